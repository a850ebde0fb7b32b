"""What a model takes in memory: its weights under a quantization method, its key-value cache, and an allowance for the rest.

``docs/assets/memory.js`` is this file in JavaScript, for the calculator's page; ``tests/memory_vectors.json`` holds the two
to the same bytes and is written by ``python -m guide.memory``. Every size is in bytes and a whole number.

A tensor is ``{"part", "name", "rows", "columns", "count"}``, rows × columns being outputs × inputs of a layer and ``count``
how many like it the model has. A variant is ``{"quantizes", "storage", "product"}`` of a method page's front matter, see
``guide.method.Variant``; None stands for plain bf16.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

PARTS = ("embedding", "head", "linear", "experts", "router", "norm", "other")
BF16_BYTES = 2
FLOAT32_BYTES = 4

# An assumption, not a measurement: what a process takes of a GPU before the first tensor (driver context, cuBLAS, kernels).
# It depends on GPU, driver and libraries.
CONTEXT_BYTES = 500_000_000

# Intermediate results that a forward pass holds at a time, in rows of the hidden and of the widest size. Counted for two
# layers of Qwen3-0.6B's shape (torch 2.13.0, Transformers 5.23.0, on a CPU): at its peak, in the MLP, a token takes three rows
# of the inner size and 4.3 of the hidden size, here rounded up. Other architectures may hold more.
HIDDEN_ROWS = 5
WIDEST_ROWS = 3


def _entries(rows: int, columns: int, entry: dict) -> int:
    """How many times a rows × columns layer stores ``entry``."""
    if entry.get("run"):
        return -(-rows * columns // entry["run"])
    high, wide = entry.get("tile") or (1, 1)
    return (1 if high is None else -(-rows // high)) * (1 if wide is None else -(-columns // wide))


def stored(rows: int, columns: int, storage: Sequence[dict]) -> int:
    """Bytes of one quantized rows × columns layer: each entry of ``storage`` once a tile, or once a run."""
    return sum(math.ceil(entry["bytes"] * _entries(rows, columns, entry)) for entry in storage)


def weights(tensors: Sequence[dict], variant: dict | None = None) -> dict[str, int]:
    """Bytes of all weights, by what they are.

    ``quantized`` is the first entry of the variant's storage, ``scales`` all others (zero points and tables too). The parts
    that it does not quantize are in bf16 under their own names. ``total`` is the sum.
    """
    split = dict.fromkeys(("quantized", "scales", *PARTS), 0)
    for tensor in tensors:
        rows, columns, count = tensor["rows"], tensor["columns"], tensor["count"]
        if variant and tensor["part"] in variant["quantizes"]:
            packed, *others = variant["storage"]
            split["quantized"] += count * stored(rows, columns, [packed])
            split["scales"] += count * stored(rows, columns, others)
        else:
            split[tensor["part"]] += count * rows * columns * BF16_BYTES
    return split | {"total": sum(split.values())}


def allowance(tensors: Sequence[dict], variant: dict | None, batch: int, tokens: int) -> dict[str, int]:
    """Bytes beside weights and cache, an estimate: ``tokens`` is what one forward pass takes in, over the whole batch.

    ``activations`` is what one layer holds at a time and the last token's logits (bf16, and float32 to sample from),
    ``unpacked`` the largest quantized layer in bf16, for a method that unpacks before a 16-bit matrix product (a kernel that
    unpacks on the way needs none of it), ``context`` a constant.
    """
    embedding = [tensor for tensor in tensors if tensor["part"] == "embedding"]
    hidden = max((tensor["columns"] for tensor in embedding), default=0)
    vocabulary = max((tensor["rows"] for tensor in embedding), default=0)
    layers = [tensor for tensor in tensors if tensor["part"] in ("linear", "experts")]
    widest = max((tensor["rows"] for tensor in layers), default=0)
    unpacks = variant is not None and variant.get("product", "16-bit") == "16-bit"
    sizes = [tensor["rows"] * tensor["columns"] for tensor in tensors if unpacks and tensor["part"] in variant["quantizes"]]
    return {
        "activations": tokens * (HIDDEN_ROWS * hidden + WIDEST_ROWS * widest) * BF16_BYTES
        + batch * vocabulary * (BF16_BYTES + FLOAT32_BYTES),
        "unpacked": max(sizes, default=0) * BF16_BYTES,
        "context": CONTEXT_BYTES,
    }


def estimate(
    tensors: Sequence[dict],
    variant: dict | None = None,
    *,
    cache_elements: int = 0,
    cache_element_bytes: float = BF16_BYTES,
    batch: int = 1,
    tokens: int = 1,
) -> dict:
    """All of it: ``weights``, ``cache``, ``allowance`` and their ``total``.

    ``cache_elements`` counts the numbers of the key-value cache for the whole batch, at ``cache_element_bytes`` each (scales
    of a quantized cache included).
    """
    held = weights(tensors, variant)
    cache = math.ceil(cache_elements * cache_element_bytes)
    beside = allowance(tensors, variant, batch, tokens)
    return {
        "weights": held,
        "cache": cache,
        "allowance": beside,
        "total": held["total"] + cache + sum(beside.values()),
    }


def gigabytes(size: float) -> float:
    """Decimal: 10⁹ bytes, as files and GPUs are sold."""
    return size / 1e9


# Layers of a model, layers that no group size divides, and the smallest there is.
VECTOR_SHAPES = [
    (1, 1), (1, 129), (7, 3), (48, 40), (130, 257), (777, 1000), (1024, 1024), (3072, 1024), (1024, 3072), (896, 4864),
    (6144, 2048), (18432, 7168), (151936, 1024),
]  # fmt: skip


def vectors() -> dict:
    """What both implementations must answer: every variant of every page on layers, and on a model that has every part."""
    from guide.method import read_methods  # needs packages that the rest of this module does without

    shapes = [(part, rows, columns, index + 1) for index, part in enumerate(PARTS) for rows, columns in [(130 + index, 257)]]
    model = [dict(zip(("part", "rows", "columns", "count"), row, strict=True), name=row[0]) for row in shapes]
    variants: dict[str, dict | None] = {"bf16": None}
    for name, method in read_methods().items():
        for variant in method.variants:
            facts = variant.model_dump(mode="json", include={"quantizes", "storage", "product"})
            variants[f"{name} {variant.id}"] = facts
    use = {"cache_elements": 12345, "cache_element_bytes": 0.53125, "batch": 3, "tokens": 96}
    return {
        "shapes": VECTOR_SHAPES,
        "tensors": model,
        "use": use,
        "cases": [
            {
                "name": name,
                "variant": variant,
                "stored": [stored(*shape, variant["storage"]) for shape in VECTOR_SHAPES] if variant else [],
                "weights": weights(model, variant),
                "estimate": estimate(model, variant, **use),
            }
            for name, variant in variants.items()
        ],
    }


def main() -> None:
    from guide.project import ROOT

    lines = json.dumps(vectors(), indent=None, separators=(", ", ": ")).replace('{"name": ', '\n{"name": ')
    (ROOT / "tests" / "memory_vectors.json").write_text(lines + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
