"""Symptoms: cells that provoke an error or a warning, and fail on the day a library mends it.

The models are small and random, saved in the folder in which the notebook runs: nothing is downloaded.
"""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)
from transformers.utils import logging as transformers_logging

WORDS = 512  # of the small models
HEARD = ("", "transformers", "accelerate", "peft", "bitsandbytes")  # loggers


def _short(text: str) -> str:
    """One line, without the path of this machine that may stand behind it."""
    return " ".join(text.split()).partition(" (/")[0][:220]


@contextlib.contextmanager
def shows(error: type[Exception], words: str) -> Iterator[None]:
    """Print the error of the block, which must be of the type and have the words; raises AssertionError otherwise."""
    try:
        yield
    except error as raised:
        text = _short(str(raised))
        assert words in " ".join(str(raised).split()), f"another text: {type(raised).__name__}: {text}"
        print(f"{type(raised).__name__}: {text}")
    else:
        raise AssertionError("nothing was raised: the library mended it, update the page")


@contextlib.contextmanager
def warns(words: str) -> Iterator[None]:
    """Print what the block logs or warns with the words; raises AssertionError if nothing has them."""
    said: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    keep = Keep()
    transformers_logging.set_verbosity_warning()
    for name in HEARD:
        logging.getLogger(name).addHandler(keep)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
    finally:
        for name in HEARD:
            logging.getLogger(name).removeHandler(keep)
    lines = [" ".join(text.split()) for text in (*said, *(str(one.message) for one in caught))]
    found = [line for line in lines if words in line]
    assert found, f"not said: the library mended it, update the page; said was {lines}"
    print(f"warning: {_short(found[0])}")


def tiny(folder: str = "tiny", **more: object) -> str:
    """The folder of a small random model with a tokenizer; ``more`` goes into its configuration."""
    if not Path(folder).is_dir():
        torch.manual_seed(0)
        sizes: dict[str, object] = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
        heads: dict[str, object] = {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False}
        config = LlamaConfig(**{**sizes, **heads, "vocab_size": WORDS, "max_position_embeddings": 512, **more})
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
        words = {"<unk>": 0, "<eos>": 1, **{f"w{number}": number for number in range(2, WORDS)}}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        marks = {"unk_token": "<unk>", "eos_token": "<eos>", "pad_token": "<eos>"}
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(folder)
    return folder


def tiny_experts(folder: str = "tiny-experts") -> str:
    """The same of a small mixture of experts."""
    if not Path(folder).is_dir():
        torch.manual_seed(0)
        config = Qwen3MoeConfig(
            hidden_size=128,
            intermediate_size=256,
            moe_intermediate_size=128,
            num_experts=8,
            num_experts_per_tok=2,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            vocab_size=WORDS,
            tie_word_embeddings=False,
        )
        Qwen3MoeForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    return folder


def with_block(folder: str, block: dict[str, object]) -> str:
    """The folder of a small model whose config.json says that it is quantized so, though it is not."""
    path = Path(tiny(folder)) / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"quantization_config": block}
    path.write_text(json.dumps(config), encoding="utf-8")
    return folder
