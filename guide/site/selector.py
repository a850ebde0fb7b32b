"""What the selector chooses from: ``assets/choices.json``, every variant joined with its facts, its code and its proof.

It holds nothing that is not in the front matter, the scripts or the proofs. ``docs/assets/choose.js`` reads it, and
``tests/test_choose.py`` follows each of the reasons that it gives back to ``facts.json``.
"""

import json
from datetime import timedelta
from typing import Any

from guide.facts.guide import Guide
from guide.facts.method import Hardware, Method, NvidiaCell, Stored, Variant
from guide.facts.ranking import Row, judged
from guide.notebooks.build import install_lines
from guide.notebooks.complete import completed
from guide.project import GuideError
from guide.site.urls import Links
from guide.site.views.methods import LABELS
from guide.site.views.proofs import shown_instead
from guide.site.views.speeds import DECODE

YEAR = timedelta(days=365)


def file(guide: Guide, link: Links) -> str:
    """The text of ``assets/choices.json``."""
    content = {
        "transformers": guide.transformers,
        "installs": {name: install_lines(guide.scripts[name], cuda=False) for name in used(guide)},
        "variants": [
            entry(guide, name, method, number, link)
            for name, method in guide.methods.items()
            for number in range(len(method.variants))
        ],
    }
    return json.dumps(content) + "\n"


def used(guide: Guide) -> list[str]:
    """The notebooks of variants, whose code stands on the selector's page."""
    return sorted({variant.notebook for method in guide.methods.values() for variant in method.variants if variant.notebook})


def entry(guide: Guide, name: str, method: Method, number: int, link: Links) -> dict[str, Any]:
    """A variant as the selector knows it."""
    variant = method.variants[number]
    own = f"{name}.facts.variants.{number}"
    return {
        "id": f"{name}/{variant.id}",
        "method": name,
        "title": method.title,
        "label": variant.label,
        "page": f"methods/{name}/",
        "group": method.group,
        "keys": method.transformers.keys,
        "only_models": method.only_models,
        "bits": variant.bits,
        "product": variant.product,
        "runs": variant.runs,
        "kernel": variant.kernel,
        "kernel_capability": variant.kernel_capability,
        "kernel_rows": variant.kernel_rows,
        "kernel_source": variant.kernel_source,
        "calibration": variant.calibration or method.calibration,
        "calibration_note": method.calibration_note,
        "released": method.library.released.isoformat() if method.library else None,
        "kept": not method.library or method.library.read - method.library.released <= YEAR,
        "quantizes": variant.quantizes,
        **({"takes": variant.takes.model_dump(exclude={"source"})} if variant.takes else {}),
        "storage": [stored.model_dump(exclude_defaults=True) for stored in running(variant)],
        "facts": {
            "self": own,
            "calibration": f"{own}.calibration" if variant.calibration else f"{name}.facts.calibration",
            "calibration_note": f"{name}.facts.calibration_note",
            "group": f"{name}.facts.group",
            "only_models": f"{name}.facts.only_models",
            "released": f"{name}.facts.library.released",
            "keys": f"{name}.facts.transformers.keys",
        },
        "cells": {label: cell(guide, name, variant, label, own) for label in LABELS},
        "code": completed(guide.scripts[variant.notebook], guide.shared, variant.section, variant.edits)
        if variant.notebook and variant.section
        else None,
        "ready_code": ready_code(guide, variant),
        "notebook": notebook(guide, name, variant, link),
        "numbers": numbers(guide, name, variant),
        "wider": wider(guide, name, variant),
    }


def cell(guide: Guide, name: str, variant: Variant, label: str, own: str) -> dict[str, Any]:
    """A cell with the path of the fact that it is, below ``methods`` in facts.json."""
    kind = "hardware" if label in Hardware.model_fields else "features"
    path = f"{own}.{kind}.{label}" if variant.own_cell(label) else f"{name}.facts.{kind}.{label}"
    facts = guide.cell(name, variant, label)
    bounds = {"capability": facts.capability, "not_from": facts.not_from} if isinstance(facts, NvidiaCell) else {}
    kept = {"answer": facts.answer, "note": facts.note, "fact": path}
    return kept | {name: bound for name, bound in bounds.items() if bound}


def running(variant: Variant) -> list[Stored]:
    """What the variant stores of a layer while Transformers runs it."""
    return variant.storage if variant.runs == "packed" else [Stored(what="weights, unpacked to bf16", bytes=2)]


def ready_code(guide: Guide, variant: Variant) -> str | None:
    """The snippet that loads a ready checkpoint, where that is other code than the variant's own."""
    if not variant.ready:
        return None
    name, _, section = variant.ready.partition(":")
    return completed(guide.scripts[name], guide.shared, section)


def notebook(guide: Guide, page: str, variant: Variant, link: Links) -> dict[str, Any] | None:
    """The variant's notebook: where it opens, what is proven of it, and what it measured of this variant."""
    if not variant.notebook:
        return None
    name = variant.notebook
    best, state = guide.best(name), guide.state(name)
    proof = best.proof if best else None
    rows = {row.variant: row for row in proof.measures} if proof else {}
    if variant.measured and rows and variant.measured not in rows:
        said = f"docs/methods/{page}.md: variants.{variant.id}.measured is '{variant.measured}'"
        raise GuideError(f"{said}; the proof has {', '.join(rows)}.")
    return {
        "name": name,
        "page": f"notebooks/{name}/",
        "colab": link.colab(name),
        "state": state,
        "date": proof.date[:10] if proof else None,
        "machine": proof.machine.name if proof else None,
        "kind": proof.machine.kind if proof else None,
        "stand_in": proof.stand_in if proof else None,
        "instead": shown_instead(guide, name, proof) if proof else "",
    }


def numbers(guide: Guide, page: str, variant: Variant) -> dict[str, Any] | None:
    """What was measured of a variant on the real model: how far it is from bf16, and its decode speed at batch 1 on a CPU.

    The speed is the compiled one where that was measured too and is higher; None for a variant that was not measured.
    """
    rows = [one for one in judged(guide) if one.method == page]
    row = next((one for one in rows if one.contender.of == variant.id), None)
    return figures(guide, row) if row else None


def wider(guide: Guide, page: str, variant: Variant) -> dict[str, Any] | None:
    """The same of the narrowest variant of the method that was measured and has more bits: what is narrower is no better."""
    rows = [one for one in judged(guide) if one.method == page]
    if any(one.contender.of == variant.id for one in rows):
        return None
    row = min((one for one in rows if one.contender.bits > variant.bits), key=lambda one: one.contender.bits, default=None)
    return figures(guide, row) if row else None


def figures(guide: Guide, row: Row) -> dict[str, Any]:
    """A row's figures, as the rules read them."""
    wiki = row.quality.texts["wikitext"] if row.quality else None
    plain, compiled = row.race(DECODE), row.race(DECODE, compiled=True)
    fastest = max((race for race in (plain, compiled) if race), key=lambda race: race.ratio[0], default=None)
    return {
        "id": row.id,
        "model": guide.real.name,
        "kl": wiki.kl.mean if wiki else None,
        "kl_error": wiki.kl.error if wiki else None,
        "top1": wiki.top1_agreement.mean if wiki else None,
        "speed": fastest.ratio[0] if fastest else None,
        "speed_high": fastest.ratio[2] if fastest else None,
        "compiled": fastest is not None and fastest is compiled,
    }
