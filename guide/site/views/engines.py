"""Where checkpoints run: the matrix of formats and engines, and the facts of one engine."""

import re

from guide.facts import served
from guide.facts.engine import Engine, Format, Generation, How, Loads
from guide.facts.guide import Guide
from guide.facts.method import Answer
from guide.facts.proof import Proof
from guide.facts.served import Ran
from guide.site.render import render
from guide.site.urls import Links
from guide.site.views import forms
from guide.site.views.methods import MARKS
from guide.site.views.tables import Item, Table

LETTERS = {Answer.YES: "y", Answer.NO: "n", Answer.UNVERIFIED: "u"}  # data-on, a letter a generation


def matrix(guide: Guide, link: Links) -> Table:
    """Formats by engines; ``matrix.js`` narrows the answers to one generation of hardware by each cell's ``data-on``."""
    pages = [Item(engine.title, url=link(f"engines/{name}.md")) for name, engine in guide.engines.items()]
    ran = {name: {one.row.format: one for one in served.runs(guide, name)} for name in guide.engines}
    rows: list[list[Item | str]] = [
        [
            _format(one, link),
            *(_cell(engine, one, guide.common.generations, ran[name]) for name, engine in guide.engines.items()),
        ]
        for one in guide.common.formats
    ]
    versions = ", ".join(f"{engine.title} {engine.version}" for engine in guide.engines.values())
    caption = f"Which engine loads which format, and where; numbers are compute capabilities of NVIDIA GPUs. {versions}."
    options = [(one.id, f"{one.name} ({one.examples})") for one in guide.common.generations]
    form = forms.choice("matrix-hardware", "Hardware", options)
    return Table(["format", *pages], rows, caption, "Formats and engines", "matrix", form)


def _format(one: Format, link: Links) -> Item:
    return Item(one.name, url=link(f"methods/{one.method}.md") if one.method else "")


def _cell(engine: Engine, one: Format, generations: list[Generation], ran: dict[str, Ran]) -> Item:
    """The answer in short, and its letters for every generation."""
    answers = {generation.id: engine.on(one.id, generation) for generation in generations}
    found = engine.formats[one.id].answer
    if found is Answer.YES and Answer.YES not in answers.values():
        found = Answer.UNVERIFIED  # it loads, but on which hardware is not known
    data = {"answer": found, "on": "".join(LETTERS[answer] for answer in answers.values())}
    text = short(engine, one, generations) or found
    if one.id in ran:
        data |= {"ran": ran[one.id].place or ""}
        machine = ran[one.id].stored.proof.machine
        where = "a CPU" if machine.kind == "cpu" else machine.name
        text = f"{text}; {'run' if ran[one.id].row.loads else 'refused'} here on {where}"
    return Item(text, mark=MARKS[found], data=data)


def short(engine: Engine, one: Format, generations: list[Generation]) -> str:
    """Where an engine loads a format, in a few words; empty where that is not known of any hardware."""
    cell = engine.formats[one.id]
    on = [generation for generation in generations if engine.on(one.id, generation) is Answer.YES]
    places = [*_capabilities(on, generations), *_makers([generation for generation in on if not generation.capability])]
    notes = [cell.how.value] if one.key and cell.how in (How.CONVERTED, How.UNPACKED) else []
    notes += ["by a plugin"] if cell.plugin else []
    notes += ["some models"] if cell.only else []
    return ", ".join(places) + (f" ({', '.join(notes)})" if notes and places else "")


def _capabilities(on: list[Generation], generations: list[Generation]) -> list[str]:
    """Compute capabilities in short: 8.0+, 7.5 to 9.0, or one by one."""
    every = [generation.capability for generation in generations if generation.capability]
    found = [generation.capability for generation in on if generation.capability]
    if not found:
        return []
    first = every.index(found[0])
    if found != every[first : first + len(found)]:
        return found
    if found[-1] == every[-1]:
        return [f"{found[0]}+"]
    return [f"{found[0]} to {found[-1]}"] if len(found) > 1 else found


def _makers(others: list[Generation]) -> list[str]:
    """Hardware that is not NVIDIA's, in short: a maker's name where all of its generations are there."""
    names = [generation.name.removesuffix(" GPU") for generation in others]
    both = [name for name in names if name.startswith("AMD ")]
    return [
        *(["AMD"] if len(both) > 1 else [name.removeprefix("AMD ") for name in both]),
        *(n for n in names if n not in both),
    ]


def facts(guide: Guide, page: str, link: Links) -> str:
    """What was run of an engine; then its formats and hardware, each with its answer, what to know with it, and its source."""
    engine, names_of = guide.engines[page], {one.id: one.name for one in guide.common.formats}
    names = {place.id: f"{place.name} ({place.examples})" for place in guide.common.places}
    hardware: list[list[Item | str]] = [
        [names[one], Item(cell.answer, form="strong"), cell.note, cell.source] for one, cell in engine.hardware.items()
    ]
    formats: list[list[Item | str]] = []
    places = guide.common.generations
    for one in guide.common.formats:
        cell = engine.formats[one.id]
        where, words = short(engine, one, places), said(cell, guide.common.places)
        formats.append([_format(one, link), Item(cell.answer, form="strong"), where, words, cell.source])
    tried: list[list[Item | str]] = [
        [
            names_of[one.row.format],
            Item(one.row.checkpoint, form="code"),
            Item("yes" if one.row.loads else "no", form="strong"),
            "" if one.row.same is None else str(one.row.same),
            one.row.said,
            Item(one.notebook, url=link(f"notebooks/{one.notebook}.ipynb")),
        ]
        for one in served.runs(guide, page)
    ]
    heads = ("format", "checkpoint", "loads", "equal first tokens", "it said", "notebook")
    proofs = [one.stored.proof for one in served.runs(guide, page)]
    machines = ", ".join(sorted({_where(proof) for proof in proofs}))
    of = ", each checkpoint by a small stand-in of its format" if any(proof.stand_in for proof in proofs) else ""
    plugins = {re.split(r"[^\w-]", cell.plugin)[0] for cell in engine.formats.values() if cell.plugin}
    missing = ", ".join(sorted(plugins.difference(*(proof.pins for proof in proofs))))
    without = f", without {missing}" if missing else ""
    caption = (
        f"What was run of {engine.title}, on {machines}{without}{of}; the next table has every format and all hardware. "
        "Equal first tokens: how many tokens Transformers also generates before the first that differs; empty if not compared"
    )
    ran = [Table(heads, tried, caption).html()] if tried else []
    packed = any(cell.how is How.PACKED for cell in engine.formats.values())
    kept = ". Weights stay packed in memory unless the note says otherwise; numbers are NVIDIA's compute capabilities" * packed
    return "\n\n".join(
        [
            *ran,
            Table(("format", "loads", "where", "note", "source"), formats, f"Formats that {engine.title} loads{kept}").html(),
            Table(("hardware", "runs", "note", "source"), hardware, f"Hardware that {engine.title} runs on").html(),
        ]
    )


def _where(proof: Proof) -> str:
    """The machine of a run, a CPU called one."""
    return f"a CPU ({proof.machine.name})" if proof.machine.kind == "cpu" else proof.machine.name


def said(cell: Loads, generations: list[Generation]) -> str:
    """All that a reader should know with an answer."""
    names = {one.id: one.name for one in generations}
    notes = [
        cell.how.words if cell.how else "",
        f"needs {cell.plugin}" if cell.plugin else "",
        f"for {cell.only} alone" if cell.only else "",
        cell.note,
    ]
    notes += [f"not on {names[place]}: {why}" for place, why in cell.excepts.items()]
    notes += [f"it says: {cell.refusal}"] if cell.refusal else []
    return "; ".join(note.rstrip(". ") for note in notes if note)


def names(guide: Guide, link: Links) -> Table:
    """The endings of names by which formats are known, and what each holds."""
    rows: list[list[Item | str]] = [
        [", ".join([*one.named, *one.hinted]), _format(one, link), one.holds, Item(one.key, form="code")]
        for one in guide.common.formats
        if one.named or one.hinted
    ]
    head = ("in the name", "mostly means", "which holds", "says in its files")
    return Table(head, rows, "Endings of names of checkpoints, and what they mostly mean")


def head(engine: Engine) -> str:
    """Markdown: an engine's version, how to install it, and how to start its server."""
    return render("engine_head.md.jinja", engine=engine)


def traps(engine: Engine) -> str:
    """Markdown: what goes wrong with quantized checkpoints in an engine, by its source."""
    return render("engine_traps.md.jinja", engine=engine)
