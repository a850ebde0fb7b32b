"""What the selector chooses from: ``assets/choices.json``, every variant joined with its facts, its code and its proof.

It holds nothing that is not in the front matter, the scripts or the proofs. ``docs/assets/choose.js`` reads it, and
``tests/test_choose.py`` follows each of the reasons that it gives back to ``facts.json``.
"""

import json
from datetime import timedelta
from typing import Any

from guide.calculator.shapes import language_part
from guide.facts.engine import Engine, Format, How, Loads, Offer, Original
from guide.facts.guide import Guide
from guide.facts.method import Answer, Group, Hardware, Method, NvidiaCell, Part, Stored, Variant
from guide.facts.ranking import Row, judged, race_of
from guide.notebooks.build import install_lines
from guide.notebooks.complete import completed
from guide.project import GuideError
from guide.site.urls import Links
from guide.site.views.engines import LETTERS
from guide.site.views.methods import LABELS
from guide.site.views.proofs import shown_instead
from guide.site.views.speeds import DECODE

THRIFTY = "bfloat16 all-linear checkpointed"  # how choose.js counts fine-tuning
YEAR = timedelta(days=365)
ASKED = [label for label in LABELS if label != "generate_compiles"]  # no rule asks for that
SAID = ("nvidia", "peft")  # whose notes the selector also says where the answer is yes


def files(guide: Guide, link: Links) -> dict[str, str]:
    """What the selector's page loads: ``assets/choices.json``, and a model or the code of a method once it is looked at."""
    found = {f"assets/code/{name}.json": json.dumps(codes(guide, name)) + "\n" for name in guide.methods}
    found |= {
        f"assets/models/{preset['id']}.json": json.dumps(model(guide, preset)) + "\n"
        for preset in guide.architectures["presets"]
    }
    return found | {"assets/choices.json": file(guide, link)}


def model(guide: Guide, preset: dict[str, Any]) -> dict[str, Any]:
    """Of ``architectures.json``, what one preset needs: a page that counts one model need not load them all."""
    name = language_part(preset["config"])["model_type"]
    found = {"families": {name: guide.architectures["families"][name]}, "presets": [preset]}
    measured = json.loads(guide.assets.get(f"assets/training/{name}.json", b"{}"))
    thrifty = {kind: {way: one for way, one in ways.items() if way.endswith(THRIFTY)} for kind, ways in measured.items()}
    return found | ({"training": thrifty} if thrifty else {})


def codes(guide: Guide, name: str) -> dict[str, dict[str, Any]]:
    """The code of a method's variants by their ids: their own, what loads a ready checkpoint where that is other code, what
    loads it unpacked, and what to install before."""
    return {
        variant.id: {
            "code": completed(guide.scripts[variant.notebook], guide.shared, variant.section, variant.edits)
            if variant.notebook and variant.section
            else None,
            "ready": section(guide, variant.ready),
            "unpacked": section(guide, variant.unpacked),
            "install": install_lines(guide.scripts[variant.notebook], cuda=False) if variant.notebook else [],
        }
        for variant in guide.methods[name].variants
    }


def file(guide: Guide, link: Links) -> str:
    """The text of ``assets/choices.json``."""
    columns = {one.id: one for one in guide.common.generations}
    content = {
        "generations": [one.id for one in guide.common.places],
        "series": {one.id: f"{columns[one.of].name} {one.name}" for one in guide.common.parts if one.of},
        "formats": [one.model_dump(include={"id", "name", "named", "hinted", "home"}) for one in guide.common.formats],
        "asked": ASKED,
        "engines": {name: engine(guide, one) for name, one in guide.engines.items() if not one.of_methods},
        "variants": [
            entry(guide, name, method, number, link)
            for name, method in guide.methods.items()
            for number in range(len(method.variants))
        ],
        "offers": [
            offered(guide, number, one, n) for number, one in enumerate(guide.common.formats) for n in range(len(one.offers))
        ],
    }
    return json.dumps(content, separators=(",", ":")) + "\n"


def engine(guide: Guide, one: Engine) -> dict[str, Any]:
    """Another engine: how it is started, and of each format that it may load a letter a generation of hardware, and how."""
    loaded = {format: cell for format, cell in one.formats.items() if cell.answer != Answer.NO}
    return {
        "title": one.title,
        "install": one.install,
        **({"for_cuda": True} if one.for_cuda else {}),
        "serve": one.serve,
        "flags": one.flags.model_dump(exclude={"cache_source"}, exclude_defaults=True),
        "needs_bf16": one.needs_bf16.models if one.needs_bf16 else [],
        "serves_not": one.serves_not,
        "convert": one.convert,
        "by_parts": one.makes_by_parts != "",
        "reads": one.reads and one.reads.model_dump(exclude={"source"}, exclude_defaults=True),
        "kept": one.kept == "",
        **({"own": one.own} if one.own else {}),
        "on": "".join(LETTERS[one.runs(place)] for place in guide.common.places),
        "formats": {
            name: {
                "on": "".join(LETTERS[one.on(name, place)] for place in guide.common.places),
                "answer": LETTERS[cell.answer],
                **{key: value for key, value in (more_of(cell) | {"lacks": lacking(guide, one, name)}).items() if value},
            }
            for name, cell in loaded.items()
        },
    }


def lacking(guide: Guide, one: Engine, format: str) -> dict[str, str]:
    """By columns of hardware on which a format runs, the parts of them where it does not, by name."""
    parts = [part for part in guide.common.parts if not part.capability and one.on(format, part) is Answer.NO]
    columns = [place for place in guide.common.generations if one.on(format, place) is not Answer.NO]
    named = {place.id: ", ".join(part.name for part in parts if part.of == place.id) for place in columns}
    return {column: names for column, names in named.items() if names}


def more_of(cell: Loads) -> dict[str, Any]:
    """What else the selector knows of a format in an engine."""
    excepts = {place: why.partition(":")[0] for place, why in cell.excepts.items()}
    how = "packed" if cell.keeps else cell.how
    experts = ["everywhere"] if cell.experts is Answer.NO else cell.experts_not_on
    divides = "" if cell.divides == "groups" else cell.divides
    more = {"excepts": excepts, "no_experts": experts, "divides": divides, "converted": cell.how is How.CONVERTED,
            "bits": cell.bits, "flag": cell.flag, "flag_for": cell.flag_for}  # fmt: skip
    return {"how": how, "plugin": cell.plugin, "only": cell.only} | more


def formats_of(guide: Guide, name: str, variant: Variant) -> list[Format]:
    """The formats that a method's variant writes: its own, else the method's that name no variant."""
    of_method = [one for one in guide.common.formats if one.method == name]
    own = [one for one in of_method if one.variant == variant.id]
    return own or [one for one in of_method if one.variant is None]


def offered(guide: Guide, number: int, one: Format, n: int) -> dict[str, Any]:
    """A width of a format that only other engines run, as the selector knows a variant."""
    offer: Offer = one.offers[n]
    parts = [Part.LINEAR, Part.EXPERTS, *([Part.EMBEDDING, Part.HEAD] if offer.whole else [])]
    return {
        "id": f"{one.id}/{offer.id}",
        "method": one.id,
        "title": one.name.partition(",")[0],
        "label": offer.label,
        "page": "engines/",
        "group": Group.ON_THE_FLY,
        "keys": [],
        "formats": [one.id],
        "home": one.home,
        "originals": list(one.originals),
        "only_models": [],
        "bits": offer.bits,
        "product": offer.product,
        **({"kl": offer.kl} if offer.kl else {}),
        "calibration": offer.calibration,
        "calibration_note": "",
        "kept": True,
        "quantizes": parts,
        "storage": [{"what": "weights", "run": 1, "bytes": offer.stored / 8}] if offer.stored else [],
        **({"mix": [[which, where, *blocks(guide, name)] for which, where, name in offer.types]} if offer.types else {}),
        **({"keeps": found} if offer.types and one.home and (found := kept(guide, guide.engines[one.home])) else {}),
        "self": f"format:{number}.offers.{n}",
    }


def kept(guide: Guide, engine: Engine) -> list[dict[str, Any]]:
    """What the files of an engine keep as the makers of certain models publish it, as rules of ``guide.calculator.mixing``."""
    return [
        {"only_models": guide.methods[one.method].only_models, "mix": [[part, "all", *blocks(guide, stays)] for part in parts]}
        for one in guide.common.formats
        if one.method and (stays := engine.formats[one.id].stays)
        for parts in [next(each.quantizes for each in guide.methods[one.method].variants if each.id == one.variant)]
    ]


def blocks(guide: Guide, name: str) -> list[tuple[int, int]]:
    """A type of blocks, and what stands in for it, each as weights and bytes; see ``guide.calculator.mixing``."""
    block = guide.common.blocks[name]
    return [(block.weights, block.bytes), *(blocks(guide, block.otherwise) if block.otherwise else [])]


def entry(guide: Guide, name: str, method: Method, number: int, link: Links) -> dict[str, Any]:
    """A variant as the selector knows it."""
    variant = method.variants[number]
    own = f"{name}.facts.variants.{number}"
    formats = formats_of(guide, name, variant)
    return {
        "id": f"{name}/{variant.id}",
        "method": name,
        "title": method.title,
        "label": variant.label,
        "page": f"methods/{name}/",
        "group": method.group,
        "keys": method.transformers.keys,
        "formats": [one.id for one in formats],
        "home": None,
        "originals": sorted({model for one in formats for model in one.originals}),
        **({"published": found} if (found := published(formats, variant)) else {}),
        "only_models": method.only_models,
        **({"mixtures": True} if variant.mixtures else {}),
        "bits": variant.bits,
        "product": variant.product,
        "runs": variant.runs,
        "kernel": variant.kernel,
        "kernel_capability": variant.kernel_capability,
        "kernel_rows": variant.kernel_rows,
        "calibration": variant.calibration or method.calibration,
        "calibration_note": method.calibration_note,
        "released": method.library.released.isoformat() if method.library else None,
        "kept": not method.library or method.library.read - method.library.released <= YEAR,
        "quantizes": variant.quantizes,
        "storage": counted(running(variant)),
        **({"shares": variant.shares} if variant.shares else {}),
        **({"packed": counted(variant.storage)} if variant.runs == "unpacked" else {}),
        **({"takes": variant.takes.model_dump(exclude={"source"})} if variant.takes else {}),
        "facts": {
            "self": own,
            "formats": own,
            "calibration": f"{own}.calibration" if variant.calibration else f"{name}.facts.calibration",
        },
        "cells": {label: cell(guide, name, variant, label, own) for label in ASKED},
        "unpacks": variant.unpacked is not None,
        "notebook": notebook(guide, name, variant, link),
        "numbers": numbers(guide, name, variant),
        "wider": wider(guide, name, variant),
    }


def published(formats: list[Format], variant: Variant) -> dict[str, Any]:
    """What makers' own checkpoints store otherwise, by model."""
    originals = {model: one for each in formats for model, one in each.originals.items() if isinstance(one, Original)}
    return {
        model: {
            "quantizes": one.quantizes,
            "storage": counted(
                [
                    stored.model_copy(update={"tile": (1, one.group)}) if stored.what == "scales" else stored
                    for stored in variant.storage
                ]
            ),
        }
        for model, one in originals.items()
    }


def cell(guide: Guide, name: str, variant: Variant, label: str, own: str) -> dict[str, Any]:
    """A cell with the path of the fact that it is, below ``methods`` in facts.json."""
    kind = "hardware" if label in Hardware.model_fields else "features"
    path = f"{own}.{kind}.{label}" if variant.own_cell(label) else f"{name}.facts.{kind}.{label}"
    facts = guide.cell(name, variant, label)
    bounds = {"capability": facts.capability, "not_from": facts.not_from} if isinstance(facts, NvidiaCell) else {}
    told = facts.answer != Answer.YES or label in SAID
    kept = {"answer": facts.answer, "note": facts.note if told else "", "fact": path}
    return kept | {name: bound for name, bound in bounds.items() if bound}


def running(variant: Variant) -> list[Stored]:
    """What the variant stores of a layer while Transformers runs it."""
    return variant.storage if variant.runs == "packed" else [Stored(what="weights, unpacked to bf16", bytes=2)]


def counted(storage: list[Stored]) -> list[dict[str, Any]]:
    """What memory.js counts with."""
    return [stored.model_dump(exclude_defaults=True) for stored in storage]


def section(guide: Guide, place: str | None) -> str | None:
    """The code of NOTEBOOK:SECTION."""
    if not place:
        return None
    name, _, part = place.partition(":")
    return completed(guide.scripts[name], guide.shared, part)


def notebook(guide: Guide, page: str, variant: Variant, link: Links) -> dict[str, Any] | None:
    """The variant's notebook: where it opens, what is proven of it, and what it measured of this variant."""
    if not variant.notebook:
        return None
    name = variant.notebook
    found = guide.in_colab(name)
    best, state = guide.best(name), guide.state(name)
    proof = best.proof if best else None
    rows = {row.variant: row for row in proof.measures} if proof else {}
    if variant.measured and rows and variant.measured not in rows:
        said = f"docs/methods/{page}.md: variants.{variant.id}.measured is '{variant.measured}'"
        raise GuideError(f"{said}; the proof has {', '.join(rows)}.")
    return {
        "name": name,
        "page": f"notebooks/{name}/",
        "colab": link.colab(name) if found.answer != "no" else None,
        "in_colab": found.with_what,
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
    """A row's figures, as the rules read them. A speed of another processor counts where there is no other: the rules ask only
    whether it reaches bf16's there."""
    wiki = row.quality.texts["wikitext"] if row.quality else None
    plain, compiled = row.race(DECODE) or race_of(row.elsewhere, DECODE), row.race(DECODE, compiled=True)
    fastest = max((race for race in (plain, compiled) if race), key=lambda race: race.ratio[0], default=None)
    read = {
        "kl": wiki.kl.mean if wiki else None,
        "kl_error": wiki.kl.error if wiki else None,
        "top1": wiki.top1_agreement.mean if wiki else None,
        "speed": fastest.ratio[0] if fastest else None,
        "speed_high": fastest.ratio[2] if fastest else None,
    }
    # Digits that no rule needs would weigh on the page
    short = {name: value and float(f"{value:.4g}") for name, value in read.items()}
    return {"id": row.id, "model": guide.real.name, **short, "compiled": fastest is not None and fastest is compiled}
