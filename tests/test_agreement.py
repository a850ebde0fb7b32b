"""What pages, records and texts say more than once: each fault is planted, and named with its file, its field and the cure."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from planting import ROOT

from guide.facts.engine import parse_engine
from guide.facts.method import parse_method
from guide.project import GuideError


class Fault(NamedTuple):
    """A text, what it becomes, and what is said of it behind the name of its file."""

    path: str
    old: str
    new: str
    said: str


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def planted_text(fault: Fault) -> str:
    """The file with its fault."""
    text = read(fault.path)
    assert fault.old in text, f"{fault.path} does not hold {fault.old!r}"
    return text.replace(fault.old, fault.new, 1)


# Within one front matter: loading refuses it

EETQ, GPTQ, VLLM = "docs/methods/eetq.md", "docs/methods/gptq.md", "docs/engines/vllm.md"
FRONT_MATTER = {
    "a width that a variant has": Fault(
        GPTQ, "bits: [8, 4, 3, 2]", "bits: [8, 4, 2]",
        "'variants' is wrong: '3-bit' has 3 bits, which 'bits' lacks: add it there, or correct it here."),
    "a width in the use case": Fault(
        EETQ, "use_case: int8 weights", "use_case: int4 weights",
        "'bits' is wrong: it lacks 4, which 'use_case' names: add it here, or correct 'use_case'."),
    "a width in the description": Fault(
        GPTQ, "When to take GPTQ at 8 to 2 bit", "When to take GPTQ at 8 to 1 bit",
        "'bits' is wrong: it lacks 1, which 'description' names: add it here, or correct 'description'."),
    "a key of another width": Fault(
        "docs/methods/bitsandbytes.md", "      bits: [4]", "      bits: [8]",
        "'transformers' is wrong: own.bitsandbytes_4bit.bits is [8], and the key's name says 4: write [4]."),
    "a key of a width that there is not": Fault(
        "docs/methods/fp8.md", "      bits: [8]", "      bits: [4]",
        "'transformers' is wrong: own.mxfp8.bits has 4, which 'bits' lacks: correct one of them."),
    "a calibrated method that does not calibrate": Fault(
        GPTQ, "calibration: needed", "calibration: none",
        "'calibration' is wrong: 'group' is 'calibrated', and this is 'none': write 'needed', or correct 'group'."),
    "a library that was read before its release": Fault(
        GPTQ, "released: 2026-10-24", "released: 2026-12-24",
        "'library.read' is wrong: it was read on 2026-11-24, before 'released', 2026-12-24: correct one of them."),
    "a trap that raises and is called silent": Fault(
        "docs/methods/hqq.md", "silent: false", "silent: true",
        "'traps.0.get' is wrong: you get 'NotImplementedError', so the trap 'hqq-config' is not silent: write "
        "'silent: false'."),
    "an engine of another version": Fault(
        VLLM, '\nversion: "0.32.0"', '\nversion: "0.33.0"',
        "'tag' is wrong: it is of 0.32.0, and 'version' is 0.33.0: write the same."),
    "a tag of another version": Fault(
        VLLM, 'tag: "v0.32.0"', 'tag: "v0.31.0"', "'tag' is wrong: it is of 0.31.0, and 'version' is 0.32.0: write the same."),
    "an install of another version": Fault(
        "docs/engines/mlx.md", 'install: "pip install mlx-lm==0.32.2', 'install: "pip install mlx-lm==0.32.1',
        "'install' is wrong: it does not install mlx-lm 0.32.2, which is 'version': write the same."),
    "an image of another version": Fault(
        "docs/engines/tgi.md", 'install: "docker pull ghcr.io/huggingface/text-generation-inference:3.3.7',
        'install: "docker pull ghcr.io/huggingface/text-generation-inference:3.3.70',
        "'install' is wrong: it does not install 3.3.7, which is 'version': write the same."),
    "a description of another version": Fault(
        VLLM, "formats vLLM 0.32.0 loads", "formats vLLM 0.23.0 loads",
        "'description' says 0.23.0, and 'version' is 0.32.0: write the same."),
    "an engine that was read before its release": Fault(
        VLLM, "released: 2026-10-18", "released: 2026-12-18",
        "'read' is wrong: it was read on 2026-11-26, before 'released', 2026-12-18: correct one of them."),
    "a plugin of another version": Fault(
        VLLM, 'plugin: "vllm-bnb-plugin 0.0.3"', 'plugin: "vllm-bnb-plugin 0.3.0"',
        "its plugin is vllm-bnb-plugin 0.3.0, and its source names vllm-bnb-plugin of another version: write the same."),
}  # fmt: skip


@pytest.mark.parametrize("what", FRONT_MATTER)
def test_front_matter_that_contradicts_itself_is_refused_in_one_sentence(what):
    fault = FRONT_MATTER[what]
    name = fault.path.rpartition("/")[2].removesuffix(".md")
    with pytest.raises(GuideError) as refused:
        if "/methods/" in fault.path:
            parse_method(name, planted_text(fault))
        else:
            parse_engine(name, planted_text(fault), read("docs/engines/index.md"))
    assert str(refused.value).startswith(f"In the front matter of {fault.path}, ") and fault.said in str(refused.value)
