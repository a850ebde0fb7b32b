"""What a model takes in memory: its weights under a quantization method, its key-value cache, and an allowance for the rest.

``docs/assets/memory.js`` is this file in JavaScript, for the calculator's page; ``tests/test_memory.py`` holds the two to the
same bytes, for every variant of every page. Every size is in bytes and a whole number.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from guide.calculator.mixing import mixed
from guide.calculator.shapes import Read, Tensor, cache, peak, tensors
from guide.facts.method import Variant
from guide.facts.storage import Shape, Weights

Entry = Mapping[str, Any]  # one of a variant's ``storage``: {bytes, tile, run}, see ``guide.facts.method.Stored``
# {quantizes, storage, product} of a variant, None in its place stands for plain bf16. A pasted checkpoint's may have {parts},
# the storage of certain parts, and {layers}, by a tensor's place in the list [how many of it, their storage or None].
Facts = Mapping[str, Any]

PARTS = ("embedding", "head", "linear", "experts", "router", "norm", "other")
BF16_BYTES, FLOAT32_BYTES = 2, 4

# An assumption, not a measurement: what a process takes of a GPU before the first tensor (driver context, cuBLAS, kernels).
# It depends on GPU, driver and libraries.
CONTEXT_BYTES = 500_000_000

# What a forward pass holds at a time where nothing better is known, in rows of the hidden and of the widest size. Counted for
# two layers of Qwen3-0.6B's shape (torch 2.13.0, Transformers 5.23.0, on a CPU): at its peak, in the MLP, a token takes three
# rows of the inner size and 4.3 of the hidden size, here rounded up. Other architectures may hold more.
HIDDEN_ROWS, WIDEST_ROWS = 5, 3

BITS = 16  # of a number in a cache that is not quantized
# Bytes a number of a layer's cache of 8 bits, half of which are keys and half values, while it is unpacked: keys in bf16,
# values in float32 before and after the scale, and the numbers as they were before the new tokens were added.
UNPACKING = (BF16_BYTES + 2 * FLOAT32_BYTES) // 2 + 1
SHORT = 64  # tokens of a prompt whose scores are few beside the rest that its pass holds; see ``engine_pass``


def stored(rows: int, columns: int, storage: Iterable[Entry]) -> int:
    """Bytes of one quantized rows × columns layer: each entry of ``storage`` once a tile, or once a run."""
    return sum(math.ceil(entry["bytes"] * _entries(rows, columns, entry)) for entry in storage)


def _entries(rows: int, columns: int, entry: Entry) -> int:
    """How many times a rows × columns layer stores ``entry``; a side of a tile that is None is the whole of the layer's."""
    run: int | None = entry.get("run")
    if run:
        return math.ceil(rows * columns / run)
    high, wide = entry.get("tile") or (1, 1)
    return math.ceil(rows / (high or rows)) * math.ceil(columns / (wide or columns))


def shares(variant: Facts | None, tensor: Tensor, place: int) -> list[tuple[int, Sequence[Entry] | None]]:
    """How a variant stores a tensor, the one of that place in the list: how many of it, and their storage, None for 16 bit."""
    own = variant.get("layers", {}).get(place, []) if variant else []
    left = tensor["count"] - sum(many for many, _ in own)
    usual = variant and tensor["part"] in variant["quantizes"]
    return [*own, (left, variant.get("parts", {}).get(tensor["part"], variant["storage"]) if variant and usual else None)]


def weights(tensors: Iterable[Tensor], variant: Facts | None = None, rest: int = BF16_BYTES) -> dict[str, int]:
    """Bytes of all weights, by what they are.

    ``quantized`` is the first entry of the variant's storage, ``scales`` all others (zero points and tables too). The parts
    that it does not quantize take ``rest`` bytes a weight, in bf16 unless training widens them, under their own names.
    ``total`` is the sum.
    """
    split = dict.fromkeys(("quantized", "scales", *PARTS), 0)
    if variant and variant.get("mix"):
        packed, others = mixed(list(tensors), variant["quantizes"], variant["mix"])
        return split | others | {"quantized": packed, "total": packed + sum(others.values())}
    for place, tensor in enumerate(tensors):
        rows, columns = tensor["rows"], tensor["columns"]
        for many, storage in shares(variant, tensor, place):
            if storage:
                split["quantized"] += many * stored(rows, columns, storage[:1])
                split["scales"] += many * stored(rows, columns, storage[1:])
            else:
                split[tensor["part"]] += many * rows * columns * rest
    return split | {"total": sum(split.values())}


def rough(tensors: Sequence[Tensor], batch: int, tokens: int) -> int:
    """Bytes of activations by general terms, for an architecture of which ``guide.derive`` found no peaks.

    What one layer holds at a time of ``tokens``, those of one forward pass over the whole batch, and the logits of the last of
    each sequence (bf16, and float32 to sample from).
    """
    hidden = max((tensor["columns"] for tensor in tensors if tensor["part"] == "embedding"), default=0)
    vocabulary = max((tensor["rows"] for tensor in tensors if tensor["part"] == "embedding"), default=0)
    widest = max((tensor["rows"] for tensor in tensors if tensor["part"] in ("linear", "experts")), default=0)
    layer = tokens * (HIDDEN_ROWS * hidden + WIDEST_ROWS * widest) * BF16_BYTES
    return layer + batch * vocabulary * (BF16_BYTES + FLOAT32_BYTES)


def allowance(tensors: Sequence[Tensor], variant: Facts | None, activations: int) -> dict[str, int]:
    """Bytes beside weights and cache.

    ``activations`` are those of a pass, ``unpacked`` the largest quantized layer in bf16, for a method that unpacks before a
    16-bit matrix product (a kernel that unpacks on the way needs none of it), ``context`` a constant.
    """
    unpacks = variant is not None and not variant.get("fused") and variant.get("product", "16-bit") == "16-bit"
    packed = [
        one["rows"] * one["columns"]
        for place, one in enumerate(tensors)
        if unpacks and any(many and storage for many, storage in shares(variant, one, place))
    ]
    largest = max(packed, default=0)
    return {"activations": activations, "unpacked": largest * BF16_BYTES, "context": CONTEXT_BYTES}


def estimate(
    tensors: Sequence[Tensor],
    variant: Facts | None = None,
    *,
    cache_elements: int = 0,
    cache_element_bytes: float = BF16_BYTES,
    activations: int = 0,
) -> dict[str, Any]:
    """All of it: ``weights`` and ``allowance`` as those functions give them, ``cache`` and their ``total``.

    ``cache_elements`` counts the numbers of the key-value cache for the whole batch, at ``cache_element_bytes`` each (scales
    of a quantized cache included).
    """
    held, beside = weights(tensors, variant), allowance(tensors, variant, activations)
    cache = math.ceil(cache_elements * cache_element_bytes)
    total = held["total"] + cache + sum(beside.values())
    return {"weights": held, "cache": cache, "allowance": beside, "total": total}


def heaviest(read: Read, context: int, batch: int, prompt: int, *, chunked: bool = False, bits: int = 16) -> dict[str, int]:
    """The pass in which cache and activations take most: ``{tokens, context, cached, activations}``, in bytes the last two.

    The prompt's pass has ``prompt`` tokens of each sequence, or its last chunk has where it is ``chunked``; or the most is
    taken with the last token of the answer.
    """
    first = min(prompt, context)
    found = []
    for tokens, length in ((first, context if chunked else first), (1, context)):
        held = cache(read["family"], read["config"], length, batch, tokens)
        activations = peak(read["family"], read["config"], tokens, length, batch)
        if activations is None:
            activations = rough(tensors(read["family"], read["config"]), batch, batch * tokens)
        if bits < BITS and tokens < length:
            activations = max(activations, _unpacked(read, length, batch))
        cached = math.ceil(held["elements"] * bits / 8 + held["constant_bytes"])
        found.append({"tokens": tokens, "context": length, "cached": cached, "activations": activations})
    return max(found, key=lambda one: one["cached"] + one["activations"])


def _unpacked(read: Read, context: int, batch: int) -> int:
    """Bytes of one layer's cache while it is unpacked, which a cache of fewer bits is in each pass but the first.

    Transformers 5.23.0, cache_utils.py, Fp8QuantizedLayer.update; torch's profiler says the same of it on a CPU.
    """
    elements, layers = (
        cache(read["family"], read["config"], context, batch)["elements"],
        int(read["config"]["num_hidden_layers"]),
    )
    return math.ceil(UNPACKING * elements / layers)


def engine_pass(read: Read, context: int, batch: int, chunk: int, prompts: int = 1, *, bits: int = 16) -> dict[str, int]:
    """The same in an inference engine, which reads prompts in chunks of ``chunk`` tokens, of ``prompts`` of them in one pass.

    ``tokens`` are those of all sequences, whose cache is whole. An engine's kernels hold neither scores nor what they unpack
    of the cache, so that the rest of a pass grows with its tokens alone: it holds what as many short prompts do.
    """
    tokens = min(prompts * chunk, batch * min(chunk, context))
    short = min(SHORT, tokens)
    held = cache(read["family"], read["config"], context, batch, math.ceil(tokens / batch))
    activations = peak(read["family"], read["config"], short, short, math.ceil(tokens / short))
    if activations is None:
        activations = rough(tensors(read["family"], read["config"]), batch, tokens)
    cached = math.ceil(held["elements"] * bits / 8 + held["constant_bytes"])
    return {"tokens": tokens, "context": context, "cached": cached, "activations": activations}


def facts_of(variant: Variant) -> Facts:
    """What of a variant's facts is counted with."""
    return variant.model_dump(mode="json", include={"quantizes", "storage", "product"})


def predicted(shape: Shape, variant: Variant) -> Weights:
    """The calculator's answer for a model and its parts, which are those that are measured."""
    linears = [one for one in shape.tensors if one["part"] == "linear" or one["name"].endswith("_proj.bias")]
    experts = [one for one in shape.tensors if one["part"] == "experts"]
    parts = {"whole": shape.tensors, "linears": linears, "experts": experts}
    return Weights(**{part: weights(tensors, facts_of(variant))["total"] for part, tensors in parts.items()})


def gigabytes(size: float) -> float:
    """Decimal: 10⁹ bytes, as files and GPUs are sold."""
    return size / 1e9
