"""Bytes of a file that gives tensors different types of blocks by what they are and which layer they are in.

``docs/assets/mixing.js`` is this file in JavaScript; tests hold both to the same bytes. What is not quantized is in float32.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from guide.calculator.shapes import Tensor

Block = tuple[int, int]  # weights, and the bytes that they take together
Rule = Sequence[Any]  # [which tensors, in which layers, a Block, a Block where a row is no whole number of the first]

FLOAT32_BYTES, FLOAT16_BYTES = 4, 2
HEADS = 4  # queries that share a key, from which on the rules give values more bits
PARTS = ("embedding", "experts")  # that a rule means as a whole
ALONE = re.compile(r"(^|\.)(wpe|conv1d)$")  # positions and convolutions, which are never quantized
NAMED = {
    "values": re.compile(r"(^|\.)(v_proj|qkv_proj|query_key_value|c_attn)$"),
    "down": re.compile(r"(down_proj|dense_4h_to_h|mlp\.c_proj|fc2|fc_out)$"),
    "out": re.compile(r"(o_proj|attention\.dense|self_attn\.dense|attn\.c_proj|attn\.out_proj)$"),
}


def with_kept(variant: Mapping[str, Any] | None, model: str) -> Mapping[str, Any] | None:
    """A variant with what the files of a model, named by its id, keep as it was published: these rules are read first."""
    if not variant or not variant.get("mix"):
        return variant
    own = [one for one in variant.get("keeps", ()) if any(part in model.lower() for part in one["only_models"])]
    return {**variant, "mix": [rule for one in own for rule in one["mix"]] + variant["mix"]}


def mixed(tensors: Sequence[Tensor], quantizes: Iterable[str], mix: Sequence[Rule]) -> tuple[int, dict[str, int]]:
    """Bytes of what is quantized, and of the parts that are not by their names. The first rule that means a tensor counts;
    one that means some of its layers leaves the others to the next."""
    about, packed, others = _about(tensors), 0, dict[str, int]()
    for one in tensors:
        size = one["rows"] * one["columns"]
        if not _packs(one, quantizes):
            others[one["part"]] = others.get(one["part"], 0) + one["count"] * size * FLOAT32_BYTES
            continue
        for count, (_, _, *blocks) in _spread(one, mix, about):
            wide = one["rows"] if one["part"] == "other" else one["columns"]  # GPT-2's are inputs x outputs
            fitting = next((block for block in blocks if wide % block[0] == 0), None)
            packed += count * (size // fitting[0] * fitting[1] if fitting else size * FLOAT16_BYTES)
    return packed, others


def _packs(tensor: Tensor, quantizes: Iterable[str]) -> bool:
    """Whether a tensor is quantized; one of another class than nn.Linear is, where it has two sides."""
    part = "linear" if tensor["part"] == "other" else tensor["part"]
    return tensor["columns"] != 1 and not ALONE.search(tensor["name"]) and part in quantizes


def _about(tensors: Sequence[Tensor]) -> dict[str, Any]:
    """Whether the head shares the embeddings' tensor, experts of a layer, and queries that share a key."""
    rows = {
        name: max((one["rows"] for one in tensors if one["name"].endswith(name)), default=0) for name in ("q_proj", "k_proj")
    }
    return {
        "tied": not any(one["part"] == "head" for one in tensors),
        "experts": max((one["rows"] for one in tensors if one["part"] == "router"), default=1),
        "shared": rows["q_proj"] / rows["k_proj"] if rows["k_proj"] else 1,
    }


def _spread(tensor: Tensor, mix: Sequence[Rule], about: dict[str, Any]) -> Iterator[tuple[int, Rule]]:
    """How many of a tensor's count each rule takes."""
    experts = about["experts"] if tensor["part"] == "experts" else 1
    left = layers = max(1, round(tensor["count"] / experts))
    for rule in mix:
        if left and _means(rule[0], tensor, about):
            taken = min(left, _layers(rule[1], layers, about["shared"]))
            left -= taken
            yield taken * tensor["count"] // layers, rule


def _means(which: str, tensor: Tensor, about: dict[str, Any]) -> bool:
    if which == "output":
        return bool(tensor["part"] == "head" or (about["tied"] and tensor["part"] == "embedding"))
    if which in PARTS:
        return bool(tensor["part"] == which)
    return which == "rest" or bool(tensor["part"] in ("linear", "experts", "other") and NAMED[which].search(tensor["name"]))


def _layers(where: str, layers: int, shared: float) -> int:
    """How many layers a rule means: all; "more", those in which more bits help; the first two, 8th or 16th; all with HEADS."""
    if where == "more":
        eighth = layers // 8
        return sum(n < eighth or n >= 7 * layers // 8 or (n - eighth) % 3 == 2 for n in range(layers))
    if where == "shared":
        return layers if shared >= HEADS else 0
    return {"two": min(2, layers), "8th": layers // 8, "16th": layers // 16, "all": layers}[where]
