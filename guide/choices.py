"""What the selector chooses from: ``assets/choices.json``, every variant joined with its facts, its code and its proof.

It holds nothing that is not in the front matter, the scripts or the proofs. ``docs/assets/choose.js`` reads it, and
``tests/test_choose.py`` follows each of the reasons that it gives back to ``facts.json``.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta

from guide import architecture
from guide import proof as proofs
from guide.method import Cell, Hardware, Method, Stored, Variant, read_methods
from guide.project import GuideError
from guide.proof import Measure, State
from guide.render import FACT_LABELS, colab_url
from guide.script import read_script

WORK = {"single": (8192, 1), "throughput": (8192, 16), "finetune": (2048, 1), "smallest": (8192, 1)}  # tokens, sequences
YEAR = timedelta(days=365)
IN_ONE_PASS = 2048  # tokens of each sequence at most, as the calculator starts with


def code(variant: Variant) -> str | None:
    """The snippet that makes or loads the variant."""
    return read_script(variant.notebook).section(variant.section, variant.edits) if variant.section else None


def ready_code(variant: Variant) -> str | None:
    """The snippet that loads a ready checkpoint, where that is other code than ``code``."""
    if not variant.ready:
        return None
    name, _, section = variant.ready.partition(":")
    return read_script(name).section(section)


def notebook(variant: Variant, page: str) -> dict | None:
    """The variant's notebook: where it opens, what is proven of it, and what it measured of this variant."""
    if not variant.notebook:
        return None
    script = read_script(variant.notebook)
    found = proofs.ranked(script)
    proof = found[0][2] if found else None
    state = proofs.state(proof, script)
    rows = {row.variant: row for row in proof.measures} if proof else {}
    if variant.measured and rows and variant.measured not in rows:
        raise GuideError(f"{page}: variants.{variant.id}.measured is '{variant.measured}'; the proof has {', '.join(rows)}.")
    shown = state is State.PROVEN and not script.head.guide.not_compared
    return {
        "name": script.name,
        "page": f"notebooks/{script.name}/",
        "colab": colab_url(script.name),
        "state": state,
        "date": proof.date[:10] if proof else None,
        "machine": proof.machine.name if proof else None,
        "kind": proof.machine.kind if proof else None,
        "stand_in": proof.stand_in if proof else None,
        "measured": figures(rows[variant.measured], rows) if shown and variant.measured else None,
    }


def figures(row: Measure, rows: dict[str, Measure]) -> dict:
    """What was measured of a variant; its speed is the compiled one where that was measured too and is higher."""
    compiled = rows.get(f"{row.variant}, both compiled", row)
    fastest = max(row, compiled, key=lambda measure: measure.speed_ratio)
    return {
        "kl": row.kl,
        "kl_error": row.kl_error,
        "top1": row.top1_agreement,
        "speed": fastest.speed_ratio,
        "speed_high": fastest.speed_ratio_high,
        "compiled": fastest is not row,
    }


def cell(facts: Cell, path: str) -> dict:
    """A cell with the path of the fact that it is, below ``methods`` in facts.json."""
    kept = {"answer": facts.answer, "note": facts.note, "fact": path}
    return kept | ({"capability": facts.capability} if getattr(facts, "capability", None) else {})


def running(variant: Variant) -> list[Stored]:
    """What the variant stores of a layer while Transformers runs it."""
    return variant.storage if variant.runs == "packed" else [Stored(what="weights, unpacked to bf16", bytes=2)]


def entry(name: str, method: Method, number: int, variant: Variant) -> dict:
    page = f"docs/methods/{name}.md"
    own = f"{name}.facts.variants.{number}"
    hardware, features = dict(method.hardware), dict(method.features)
    joined = {}
    for label in FACT_LABELS:
        kind = "hardware" if label in Hardware.model_fields else "features"
        overriding = getattr(variant, kind).get(label)
        path = f"{own}.{kind}.{label}" if overriding else f"{name}.facts.{kind}.{label}"
        joined[label] = cell(overriding or (hardware | features)[label], path)
    return {
        "id": f"{name}/{variant.id}",
        "method": name,
        "title": method.title,
        "label": variant.label,
        "page": f"methods/{name}/",
        "group": method.group,
        "keys": method.transformers.keys,
        "bits": variant.bits,
        "product": variant.product,
        "runs": variant.runs,
        "kernel": variant.kernel,
        "kernel_capability": variant.kernel_capability,
        "kernel_source": variant.kernel_source,
        "calibration": variant.calibration or method.calibration,
        "released": method.library.released.isoformat() if method.library else None,
        "kept": not method.library or method.library.read - method.library.released <= YEAR,
        "quantizes": variant.quantizes,
        "storage": [stored.model_dump(exclude_defaults=True) for stored in running(variant)],
        "facts": {
            "self": own,
            "calibration": f"{own}.calibration" if variant.calibration else f"{name}.facts.calibration",
            "group": f"{name}.facts.group",
            "released": f"{name}.facts.library.released",
            "keys": f"{name}.facts.transformers.keys",
        },
        "cells": joined,
        "code": code(variant),
        "ready_code": ready_code(variant),
        "notebook": notebook(variant, page),
    }


def choices() -> list[dict]:
    """Every variant of every method."""
    return [
        entry(name, method, number, variant)
        for name, method in read_methods().items()
        for number, variant in enumerate(method.variants)
    ]


def models() -> list[dict]:
    """The calculator's presets, smallest first: their tensors, and their caches for each purpose."""
    known = architecture.read_architectures()
    found = []
    for preset in sorted(known["presets"], key=lambda preset: preset["parameters"]):
        read = architecture.read_config(json.dumps(preset["config"]), known["families"])
        work = {
            purpose: passes(tokens, batch) | architecture.cache(read["family"], read["config"], tokens, batch)
            for purpose, (tokens, batch) in WORK.items()
        }
        tensors = merged(architecture.tensors(read["family"], read["config"]))
        found.append({"id": preset["id"], "name": preset["name"], "tensors": tensors, "work": work})
    return found


def passes(tokens: int, batch: int) -> dict:
    """Sequences at once, and the tokens that one forward pass takes in over all of them."""
    return {"batch": batch, "tokens": batch * min(tokens, IN_ONE_PASS)}


def merged(tensors: list[dict]) -> list[dict]:
    """Tensors of one part and shape as one entry, without their names."""
    counts: Counter = Counter()
    for tensor in tensors:
        counts[tensor["part"], tensor["rows"], tensor["columns"]] += tensor["count"]
    return [
        {"part": part, "rows": rows, "columns": columns, "count": count} for (part, rows, columns), count in counts.items()
    ]


def file(transformers: str) -> str:
    """The text of ``assets/choices.json``."""
    content = {
        "transformers": transformers,
        "work": WORK,
        "passes": {purpose: passes(*work) for purpose, work in WORK.items()},
        "variants": choices(),
        "models": models(),
    }
    return json.dumps(content) + "\n"
