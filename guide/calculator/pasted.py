"""What was pasted in place of a model's config.json, and in one sentence what is wrong with it.

``docs/assets/pasted.js`` is this file in JavaScript; tests hold both to the same sentences.
"""

import json
import re
from typing import Any

from guide.project import GuideError

NAME = re.compile(r"https?://\S+|[\w.~@\\/:-]*[A-Za-z][\w.~@\\/:-]*", re.ASCII)  # of a model, with a file or a tag; or a path
FENCED = re.compile(r"\s*`{3,}[^\n]*\n(.*?)\n?\s*`{3,}\s*", re.DOTALL)
FAULT = re.compile(r'"(?:[^"\\\n]|\\.)*"|(//|/\*|#)|(,)(?=\s*[}\]])')  # a comment, or a comma behind which nothing comes
PASTE_ALL = "paste the whole of a model's config.json, from { to }"

MODEL = "paste the config.json of the model itself"
BESIDE = "paste the config.json that lies beside it"
OTHER_FILES = (  # files that lie beside a config.json: fields that tell one together, what it is, and what to paste instead
    (("peft_type",), "an adapter_config.json", "paste the config.json of the model that the adapter is for"),
    (("_class_name",), "the config.json of a part of a diffusion pipeline", "paste that of a language model"),
    (("tokenizer_class",), "a tokenizer_config.json", MODEL),
    (("added_tokens_decoder",), "a tokenizer_config.json", MODEL),
    (("_from_model_config",), "a generation_config.json", MODEL),
    (("do_sample",), "a generation_config.json", MODEL),
    (("weight_map",), "the index of a checkpoint's files", BESIDE),
    (("quantization", "producer"), "an hf_quant_config.json", BESIDE),
    (("quant_algo",), "a quantization config", MODEL),
    (("quant_method",), "a quantization config", MODEL),
    (("bits", "group_size"), "a quantize_config.json", BESIDE),
    (("w_bit",), "a quant_config.json", BESIDE),
    (("zero_optimization",), "a configuration of DeepSpeed", MODEL),
    (("image_processor_type",), "a preprocessor_config.json", MODEL),
    (("image_processor",), "a processor_config.json", MODEL),
    (("dim", "n_layers"), "a params.json", "paste the config.json of the same model, which Transformers reads"),
)
TOKENS = ("eos_token_id", "bos_token_id", "pad_token_id")  # of a generation_config.json without more,
SIZES = ("architectures", "hidden_size", "n_embd", "d_model", "vocab_size")  # where nothing of a model is


def parsed(text: str) -> dict[str, Any]:
    """The object that was pasted; raises GuideError where it is none, or that of another file."""
    given = _plain(text)
    try:
        raw = json.loads(given, parse_constant=str)  # NaN and Infinity, which Transformers writes, are no JSON
    except (ValueError, RecursionError):
        if NAME.fullmatch(given.strip()):
            raise GuideError(f"This is the name or address of a model, which this page can't look up: {PASTE_ALL}.") from None
        raise GuideError(f"{_fault(given.strip())} {PASTE_ALL}.") from None
    if not isinstance(raw, dict):
        raise GuideError(f"This is JSON, but no object: {PASTE_ALL}.")
    if other := _file(raw):
        raise GuideError(f"This is {other[0]}, which says nothing of a model's shapes: {other[1]}.")
    return raw


def _plain(text: str) -> str:
    """A text without what an editor, a page or a chat puts around JSON, or between its words."""
    text = re.sub("[\ufeff\u200b]", "", text).replace("\u00a0", " ")
    fenced = FENCED.fullmatch(text)
    return fenced[1] if fenced else text


def _fault(text: str) -> str:
    """Why a text that begins as JSON is none, where that is seen."""
    found = FAULT.finditer(text) if text.startswith("{") else iter(())
    fault = next((one for one in found if one[1] or one[2]), None)
    if not fault:
        return "This is not JSON:"
    line = text.count("\n", 0, fault.start()) + 1
    what = "a comment, which JSON has not" if fault[1] else "a comma behind which nothing comes"
    return f"This is not JSON, line {line} has {what}: take it out, or"


def _file(raw: dict[str, Any]) -> tuple[str, str] | None:
    """What file an object is instead, and what to paste; None where none is known."""
    if "model_type" in raw:
        return None
    for fields, what, instead in OTHER_FILES:
        if raw.keys() >= set(fields):
            return what, instead
    tokens = not raw.keys().isdisjoint(TOKENS) and raw.keys().isdisjoint(SIZES)
    return ("a generation_config.json", MODEL) if tokens else None
