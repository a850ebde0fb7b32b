"""What fits in a memory at a width: the calculator's answer for its own models, for weights of a width and no method's."""

import json
from typing import Any

from guide.calculator.memory import Facts, estimate, heaviest
from guide.calculator.shapes import read_config, tensors
from guide.facts.guide import Guide
from guide.site.views.tables import Item, Table

WIDTHS = (16, 8, 4, 3, 2)  # bits a weight, scales apart
MEMORIES = (8, 12, 16, 24, 48, 80)  # GiB of one GPU
SPARE = 0.05  # of the memory, which the selector keeps free too
GROUP, SCALE_BYTES = 64, 2  # weights that share a scale of 16 bits
CONTEXT, PROMPT = 8192, 2048  # tokens of one sequence, and of them those of the prompt, as the calculator begins
GIB = 2**30
USE = f"{CONTEXT:,} tokens of one sequence, {PROMPT:,} of them the prompt"


def width(bits: int) -> Facts | None:
    """Linear layers and experts of so many bits with a scale a group; embeddings and head in bf16. None for 16 bits."""
    if bits == 16:
        return None
    storage = [{"bytes": bits / 8, "run": 1}, {"bytes": SCALE_BYTES, "tile": (1, GROUP)}]
    return {"quantizes": ["linear", "experts"], "storage": storage, "product": "16-bit"}


def needed(guide: Guide, preset: dict[str, Any], bits: int) -> float:
    """GiB that a model of the calculator takes in all: weights, cache, activations and what stands beside them."""
    read = read_config(json.dumps(preset["config"]), guide.architectures["families"])
    use = heaviest(read, CONTEXT, 1, PROMPT)
    layers = tensors(read["family"], read["config"])
    found = estimate(layers, width(bits), cache_elements=use["cached"], cache_element_bytes=1, activations=use["activations"])
    return float(found["total"]) / GIB


def billions(preset: dict[str, Any]) -> str:
    """A model's parameters."""
    return f"{preset['parameters'] / 1e9:.1f} billion"


def needs(guide: Guide, names: list[str]) -> Table:
    """Models, by their identifiers in the calculator, and what each takes at each width; raises ValueError for an unknown."""
    presets = {preset["id"]: preset for preset in guide.architectures["presets"]}
    if unknown := set(names) - set(presets):
        raise ValueError(f"no model {', '.join(sorted(unknown))} in the calculator; there are {', '.join(presets)}")
    rows = [[presets[name]["name"], billions(presets[name]), *(f"{needed(guide, presets[name], bits):.1f}" for bits in WIDTHS)]
            for name in names]  # fmt: skip
    head = ("model", "weights", *(f"{bits} bit, GiB" for bits in WIDTHS))
    return Table(head, rows, f"All that a model takes, with {USE}; GiB are 2³⁰ bytes.", "What models take at each width")


def fits(guide: Guide, names: list[str]) -> Table:
    """The largest of some models that fits in each memory at each width; raises ValueError for an unknown one."""
    taken = needs(guide, names).rows
    head = ("memory of the GPU", *(f"at {bits} bit" for bits in WIDTHS))
    rows: list[list[Item | str]] = []
    for memory in MEMORIES:
        row: list[Item | str] = [f"{memory} GiB"]
        for column in range(2, 2 + len(WIDTHS)):
            inside = [line for line in taken if float(str(line[column])) <= (1 - SPARE) * memory]
            row.append(f"{inside[-1][0]}, {inside[-1][column]}" if inside else "none of these")
        rows.append(row)
    caption = f"The largest of these models that fits with {SPARE:.0%} free, and the GiB that it takes in all, with {USE}."
    return Table(head, rows, caption, "The largest model that fits, by memory and width")
