"""Records that are no notebooks, beside what else is known of the same thing: other parts and runs, pins, names and pages."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from guide.facts.compiled import Case as Compiled
from guide.facts.guide import Guide
from guide.facts.number import STANDARD_ERRORS, Number, Quality, Run
from guide.facts.ranking import BASE, REAL
from guide.facts.storage import TOLERANCE, Weights

ALIKE = 1e-3  # relative: by how much two ways of counting one model's bytes may differ
LEAST = 0.003  # nats, or a share: what two runs of the same code may differ by, where both say that they have no error
SHARE_OF_GB = (0.9, 1.0)  # GiB that a driver reports of each GB in a card's name: less what error correction takes
PARTS = ("quality", "speed", "compiled", "graph", "compiled_graph")


def faults(guide: Guide) -> Iterator[str]:
    """Records that contradict what else is known, a sentence each with the file and what to run."""
    for machine, numbers in guide.numbers.items():
        for name, number in numbers.items():
            path = f"proofs/numbers/{machine}/{name}.json"
            for sentence in (*_bytes(numbers.get(BASE), number), *_pins(guide, number), *_runs(number)):
                yield f"{path}: {sentence} Restore it, or run 'nox -s bench -- {name}'."
        yield from _parameters(guide, numbers.get(BASE))
    for machine, record in guide.compiled.items():
        for case in record.cases:
            yield from _compiled(guide, f"proofs/compiled/{machine}.json", case)
    yield from _weighed(guide)
    yield from _colab(guide)
    yield from _cards(guide)


def _quality(number: Number | None) -> Quality | None:
    return number.runs[0].quality if number and number.runs else None


def _bytes(base: Number | None, number: Number) -> Iterator[str]:
    """Bytes that a step of decoding reads, less those of the linear layers, are bf16's: the rest of the model is the same."""
    bf16, own = _quality(base), _quality(number)
    speed = number.runs[0].speed if number.runs else None
    decode = speed.shapes[REAL].decode.get(1) if speed and REAL in speed.shapes else None
    if not (bf16 and own and decode) or own.stored.linears != own.after_forward.linears:  # it unpacks at the first pass
        return
    rest, usual = decode.read_bytes - own.stored.linears, decode.baseline_read_bytes - bf16.stored.linears
    if abs(rest / usual - 1) > ALIKE:
        yield (f"it reads {decode.read_bytes} bytes a step and stores {own.stored.linears} in its linear layers, which leaves "
               f"{rest} for the rest of the model, and bf16's record {usual}.")  # fmt: skip


def _pins(guide: Guide, number: Number) -> Iterator[str]:
    """On a CPU it ran with the pins of its notebooks; a GPU's machine may have what it has."""
    recipe = guide.recipes.get(PurePosixPath(number.recipe).stem)
    if recipe is None or number.machine.kind != "cpu":
        return
    notebooks = {recipe.table.notebook, recipe.table.loads_in or recipe.table.notebook}
    for position, run in enumerate(number.runs):
        for part, versions in _versions(run):
            for package, version in versions.items():
                pins = {guide.scripts[name].pins.get(package) for name in notebooks} - {None}
                if pins and version.partition("+")[0] not in pins:
                    yield f"runs.{position}.{part} ran with {package} {version}, and its notebook pins {min(map(str, pins))}."


def _versions(run: Run) -> Iterator[tuple[str, dict[str, str]]]:
    """The versions with which each part of a run was measured."""
    for part in PARTS:
        if measured := getattr(run, part):
            yield part, measured.versions


def _runs(number: Number) -> Iterator[str]:
    """A second run of the same code says what the first one says."""
    first, second = [run.quality for run in (*number.runs, Run(), Run())][:2]
    if not (first and second):
        return
    for text in sorted(first.texts.keys() & second.texts.keys()):
        for field in ("top1_agreement", "loss_difference", "kl"):
            one, other = getattr(first.texts[text], field), getattr(second.texts[text], field)
            most = max(STANDARD_ERRORS * math.hypot(one.error, other.error), LEAST)
            if abs(one.mean - other.mean) > most:
                yield f"its runs say {one.mean:.4f} and {other.mean:.4f} of {text}'s {field}, apart by more than {most:.4f}."


def _parameters(guide: Guide, base: Number | None) -> Iterator[str]:
    """The real model has as many parameters as its bf16 weights have pairs of bytes."""
    if (found := _quality(base)) and abs(found.stored.whole / 2 / guide.real.parameters - 1) > ALIKE:
        path = guide.project.relative(guide.project.real)
        stored = f"the bf16 model stores {found.stored.whole} bytes, two for each"
        yield f"{path}: parameters is {guide.real.parameters}, and {stored}: correct it."


def _compiled(guide: Guide, path: str, case: Compiled) -> Iterator[str]:
    """What says something else once it is compiled is a trap, and its page has it."""
    if case.compiled is None or case.plain is None or not case.graphs or case.works or case.method not in guide.methods:
        return
    traps = [trap for trap in guide.methods[case.method].traps if "compile" in f"{trap.do} {trap.get} {trap.avoid}"]
    if not traps:
        page, figures = f"docs/methods/{case.method}.md", f"{case.compiled:g} compiled and {case.plain:g} as it is"
        yield (f"{path}: {case.method} {case.variant} has a KL of {figures}, and no trap of {page} says so: run 'nox -s "
               f"compile -- {case.method}' again, or describe it there.")  # fmt: skip


def _weighed(guide: Guide) -> Iterator[str]:
    """What was weighed and what was predicted of it differ by a hundredth, or the case says why."""
    for machine, record in guide.records.items():
        for case in record.cases:
            if case.note or case.worst() <= TOLERANCE or not case.measured:
                continue
            part = max(Weights.model_fields, key=lambda name: abs(case.error(name) or 0))
            found, predicted = getattr(case.measured, part), getattr(case.predicted, part)
            case_of, page = f"{case.method} {case.variant}, {case.shape}", f"docs/methods/{case.method}.md"
            yield (f"proofs/storage/{machine}.json: {case_of}: measured.{part} is {found}, and {predicted} follow from "
                   f"'storage' of {page}: correct that, or run 'nox -s weigh -- --keep {case.method}'.")  # fmt: skip


def _colab(guide: Guide) -> Iterator[str]:
    """Outcomes on Colab's packages: of the image that there is, and of what a machine without a GPU can run."""
    path, image = guide.project.relative(guide.project.tried), guide.image.file
    current = [name for name in guide.tried.notebooks if name in guide.scripts and guide.outcome(name)]
    repository, _, commit = guide.tried.source.partition(" at ")
    if current and not (repository == image.source and commit and image.commit.startswith(commit)):
        own = f"{image.source} at {image.commit}"
        yield f"{path}: source is '{guide.tried.source}', and its outcomes are of {own}: restore it."
    for name, outcome in guide.tried.notebooks.items():
        if outcome.ran and name in guide.scripts and (needs := guide.scripts[name].head.guide.needs) != "cpu":
            yield (f"{path}: notebooks.{name}.ran is true, and it needs {needs}, which a trial on Colab's packages does not "
                   f"have: restore it, or run 'nox -s colab -- {name} --force --keep'.")  # fmt: skip


def _cards(guide: Guide) -> Iterator[str]:
    """A card whose name says its memory has as much."""
    for maker in json.loads(guide.assets["assets/cards.json"])["makers"]:
        for card in maker["cards"]:
            said = re.search(r"\b(\d+) GB\b", card["name"])
            least, most = (share * int(said[1]) for share in SHARE_OF_GB) if said else (0, math.inf)
            if not least <= card["gib"] <= most:
                yield f"docs/assets/cards.json: '{card['name']}' has a gib of {card['gib']:g}: write what its name says."
