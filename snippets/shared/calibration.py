"""Texts to calibrate with, none of which is evaluated."""

from __future__ import annotations

import zipfile

from huggingface_hub import hf_hub_download


def calibration_texts(count: int = 128, characters: int = 12_000) -> list[str]:
    """``count`` pieces of WikiText-2's raw training text, each of so many characters: 12,000 are 2,048 tokens and more.

    Replace it by texts like those your model will read: what they hold is what survives best.
    """
    archive = hf_hub_download("ggml-org/ci", "wikitext-2-raw-v1.zip", repo_type="dataset")
    with zipfile.ZipFile(archive) as files:
        text = files.read("wikitext-2-raw/wiki.train.raw").decode("utf-8")
    starts = range(0, len(text) - characters + 1, characters)[:count]
    return [text[start : start + characters] for start in starts]
