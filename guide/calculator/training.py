"""What training LoRA adapters takes beside the frozen weights: adapters, gradients, the optimizer's states, activations.

``docs/assets/training.js`` is this file in JavaScript; tests hold both to the same bytes. Activations are evaluated by the
expressions in ``docs/assets/training/``, a file for each family, which ``guide.derive.training`` found by running steps.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from guide.calculator.shapes import Config, Family, Tensor, applies, holds, value, windows

Peaks = Mapping[str, Mapping[str, Sequence[str]]]  # of a family: by whether windows are at work, then by way

FLOAT32_BYTES, BF16_BYTES = 4, 2
# Of the 8-bit Adam whose source training.js cites: of tensors with fewer weights than this, both moments stay in float32; of
# others each takes a byte a weight, and a float32 a block.
LEAST_IN_8BIT, BLOCK = 4096, 256
QUERY_VALUE = ("q_proj", "v_proj")  # what PEFT 0.21.2 takes for Llama and most of its kind, unless told otherwise


def adapters(tensors: Iterable[Tensor], targets: str, rank: int) -> list[tuple[int, int]]:
    """``(weights, how many)`` of each of the two matrices beside each adapted layer.

    ``targets`` is "all-linear" or "query-value". Experts that Transformers holds in fused tensors are no linear layers.
    """
    found = []
    for one in tensors:
        wanted = targets == "all-linear" or one["name"].endswith(QUERY_VALUE)
        if one["part"] == "linear" and wanted:
            found += [(rank * one["rows"], one["count"]), (rank * one["columns"], one["count"])]
    return found


def states(sizes: Iterable[tuple[int, int]], optimizer: str, weight_bytes: int) -> int:
    """Bytes of the optimizer's two moments: "8-bit", or in the type of the weights, as PyTorch's AdamW makes them."""
    if optimizer == "8-bit":
        return sum(2 * _in_8bit(size) * count for size, count in sizes)
    return sum(2 * weight_bytes * size * count for size, count in sizes)


def _in_8bit(size: int) -> int:
    if size < LEAST_IN_8BIT:
        return FLOAT32_BYTES * size
    return size + FLOAT32_BYTES * math.ceil(size / BLOCK)


def way(quantized: bool, adapter: str, targets: str, checkpointed: bool) -> str:
    """The name under which the expressions of a way to train stand; ``adapter``: "float32", "autocast" or "bfloat16"."""
    return " ".join(["4-bit" if quantized else "bf16", adapter, targets, *(["checkpointed"] if checkpointed else [])])


def numbers(family: Family, config: Config, tokens: int, batch: int, rank: int) -> Config:
    """What the expressions know: numbers of the config, 0 for null; of the step; layers of each kind of cache."""
    found = {field: one or 0 for field, one in config.items()} | {"tokens": tokens, "batch": batch, "rank": rank}
    kinds = layer_kinds(family, config)
    return found | {f"layers{kind}": kinds.count(kind) for kind in range(len(family["cache"]))}


def layer_kinds(family: Family, config: Config) -> list[int]:
    """Of each layer, which entry of the family's cache it has."""
    entries = [(kind, one["layers"]) for kind, one in enumerate(family["cache"]) if applies(one, config)]
    layers = range(config["num_hidden_layers"])
    return [next((kind for kind, rule in entries if holds(rule, layer, config)), 0) for layer in layers]


def kind(family: Family, config: Config, tokens: int) -> str:
    """Whether a sliding window is at work, so that attention takes a mask."""
    return "windowed" if any(tokens > window for window in windows(family, config)) else "plain"


def activations(peaks: Peaks, family: Family, config: Config, named: str, tokens: int, batch: int, rank: int) -> int | None:
    """The most bytes that a pass forward and backward holds beside weights, adapters, their gradients and states.

    None where that was not measured.
    """
    known = numbers(family, config, tokens, batch, rank)
    expressions = peaks.get(kind(family, config, tokens), {}).get(named)
    return max(value(one, known) for one in expressions) if expressions else None


def held(tensors: Sequence[Tensor], targets: str, rank: int, adapter: str, optimizer: str) -> dict[str, int]:
    """Bytes of ``adapters``, their ``gradients`` and the ``states`` of the optimizer; and how many are ``trained``."""
    sizes = adapters(tensors, targets, rank)
    each = BF16_BYTES if adapter == "bfloat16" else FLOAT32_BYTES
    trained = sum(size * count for size, count in sizes)
    return {
        "trained": trained,
        "adapters": each * trained,
        "gradients": each * trained,
        "states": states(sizes, optimizer, each),
    }


def estimate(found: Mapping[str, int], moment: int) -> int:
    """All of it beside the frozen weights."""
    return found["adapters"] + found["gradients"] + found["states"] + moment


def case_bytes(case: Mapping[str, Any], peaks: Peaks, family: Family, config: Config, tensors: Sequence[Tensor]) -> int:
    """What is predicted of a case in ``tests/training_measured.json``."""
    tokens, batch, rank = case["step"]
    quantized, adapter, targets, checkpointed = case["way"]
    named = way(quantized, adapter, targets, checkpointed)
    moment = activations(peaks, family, config, named, tokens, batch, rank)
    assert moment is not None, named
    return estimate(held(tensors, targets, rank, adapter, "adamw"), moment)
