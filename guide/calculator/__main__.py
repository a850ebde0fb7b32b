"""``python -m guide.calculator`` writes ``tests/memory_vectors.json``: what Python and JavaScript must both answer."""

import json
from typing import Any

from guide.calculator.memory import PARTS, Facts, estimate, facts_of, stored, weights
from guide.facts.guide import Guide
from guide.facts.load import load
from guide.project import Project, told

# Layers of a model, layers that no group size divides, and the smallest there is.
LAYERS = [
    (1, 1), (1, 129), (7, 3), (48, 40), (130, 257), (777, 1000), (1024, 1024), (3072, 1024), (1024, 3072), (896, 4864),
    (6144, 2048), (18432, 7168), (151936, 1024),
]  # fmt: skip
USE: dict[str, Any] = {"cache_elements": 12345, "cache_element_bytes": 0.53125, "activations": 98765}


def vectors(guide: Guide) -> dict[str, Any]:
    """Every variant of every page, on single layers and on a model that has every part."""
    tensors = [
        {"part": part, "rows": 130 + index, "columns": 257, "count": index + 1, "name": part}
        for index, part in enumerate(PARTS)
    ]
    variants: dict[str, Facts | None] = {"bf16": None}
    for page, method in guide.methods.items():
        variants |= {f"{page} {variant.id}": facts_of(variant) for variant in method.variants}
    scales = {"bytes": 2, "tile": [1, None]}
    head = {"bytes": 0.75}  # of a pasted checkpoint with another width there
    variants["3 bit, the head 6"] = {
        "quantizes": ["linear", "head"],
        "storage": [{"bytes": 0.375}, scales],
        "parts": {"head": [head, scales]},
    }
    cases = [
        {
            "name": name,
            "variant": facts,
            "stored": [stored(rows, columns, facts["storage"]) for rows, columns in LAYERS] if facts else [],
            "weights": weights(tensors, facts),
            "estimate": estimate(tensors, facts, **USE),
        }
        for name, facts in variants.items()
    ]
    return {"shapes": LAYERS, "tensors": tensors, "use": USE, "cases": cases}


def main(project: Project | None = None) -> None:
    """The command; what is wrong ends it with a sentence."""
    with told():
        guide = load(project or Project.here())
    path = guide.project.tests / "memory_vectors.json"
    path.write_text(json.dumps(vectors(guide)).replace('{"name": ', '\n{"name": ') + "\n", encoding="utf-8")
    print(f"wrote {guide.project.relative(path)}")


if __name__ == "__main__":
    main()
