"""Cells and variants of methods' pages beside what they rest on: a cell by a proof must follow from what that proof shows.

An answer stands beside the note that explains it. Where one was changed alone the two no longer agree, and that is said too.
"""

import ast
import json
import re
from collections.abc import Iterator

from guide.facts.guide import Guide
from guide.facts.method import Answer, Cell, Method, Variant
from guide.facts.proof import Measure, Stored
from guide.notebooks.complete import statements

COMPILED = "torch_compile"  # whose answers are read from runs, and written nowhere
PROVEN, UNPROVEN = "proven here", "not proven here"
RELOADED = re.compile(r"\.save_pretrained\(.*= \S+\.from_pretrained\(.*assert torch\.equal\(", re.DOTALL)  # without measures
REFUSES = re.compile(r"\braises?\b|\bnot through\b|\bdoes not\b|\bno model loads\b")  # how a note says what goes wrong
UNSURE = re.compile(r"\bneither \w+ nor refused?\b|\bno restriction\b|\brefuses no\b|\bdoes not refuse\b")
UNTRIED = re.compile(r"\bnot (?:tried|run)\b")  # at the head of a note; further on it may be of a part
RUN = ("quantize_on_load", "save_and_reload", "peft")  # features that only a run shows
ERROR = re.compile(r"\b\w+Error\b")
WIDTH = 16  # bits of a weight of bf16
EXACT = "16-bit"  # a product of activations that stay as they are


def faults(guide: Guide) -> Iterator[str]:
    """What cells and variants say beyond what they rest on, a sentence each with page and field."""
    for name, method in guide.methods.items():
        for field, cell in _cells(method):
            yield from (f"docs/methods/{name}.md: {field} {sentence}" for sentence in _of_cell(guide, method, field, cell))
        for notebook in method.notebooks:
            if (page := guide.scripts[notebook].head.guide.method) not in (None, name):
                yield f"docs/methods/{name}.md: notebooks has '{notebook}', whose head says that it proves '{page}'."
        for variant in method.variants:
            field = f"variants.{variant.id}"
            named = {one.partition(":")[0] for one in (variant.notebook, variant.ready, variant.unpacked) if one}
            for notebook in sorted(named - set(method.notebooks)):
                yield f"docs/methods/{name}.md: {field} opens the notebook '{notebook}', which the page does not list."
            yield from (f"docs/methods/{name}.md: {field} {sentence}" for sentence in _of_variant(guide, variant))


def _cells(method: Method) -> Iterator[tuple[str, Cell]]:
    """Each cell that a person wrote, by its field."""
    yield from ((f"hardware.{name}", cell) for name, cell in method.hardware)
    yield from ((f"features.{name}", cell) for name, cell in method.features if name != COMPILED)
    for variant in method.variants:
        yield from ((f"variants.{variant.id}.hardware.{name}", cell) for name, cell in variant.hardware.items())
        own = {name: cell for name, cell in variant.features.items() if name != COMPILED}
        yield from ((f"variants.{variant.id}.features.{name}", cell) for name, cell in own.items())


def _of_cell(guide: Guide, method: Method, field: str, cell: Cell) -> Iterator[str]:
    """What is wrong with one cell, a sentence that goes on after its field."""
    parts = cell.source.split("; ")
    names = [name for part in parts for name in _notebooks(method, part)]
    if unknown := [name for name in names if name not in guide.proofs]:
        yield f"rests on the notebook '{unknown[0]}', which is not there."
        return
    passed = [stored for name in names for stored in guide.proofs[name] if stored.proof.status == "passed"]
    if names and not passed:
        yield "rests on a run, but no proof of it has passed."
    if cell.answer is Answer.UNVERIFIED and "proof" in parts:
        yield "is 'not verified', but names a proof as its source."
    kind, label = field.split(".")[-2:]
    if kind == "hardware":
        yield from _of_hardware(guide, method, label, cell, passed)
    yield from _of_note(kind, label, cell)
    first = cell.note.partition(";")[0]
    if cell.answer is Answer.NO and passed:
        ran = [one for stored in passed for one in stored.notebook.cells if one.cell_type == "code"]
        shown = json.dumps([[one.source, one.outputs] for one in ran])
        if not REFUSES.search(first):
            yield f"is 'no' by a run, but its note does not say what is raised or not done: '{first}'."
        elif unseen := [error for error in ERROR.findall(first) if error not in shown]:
            yield f"names {unseen[0]}, which no run that it rests on shows."
    if cell.answer is Answer.UNVERIFIED and _notebooks(method, parts[0]) and not REFUSES.search(first):
        yield f"is 'not verified', but rests on a run first: '{first}'."
    if cell.answer is Answer.YES and kind == "features" and label in RUN and not names:
        yield "is 'yes', but rests on no run: name the proof or the notebook that showed it."
    if cell.answer is Answer.YES and names:
        yield from _of_feature(guide, label, names, passed)
    if label == "activations":
        yield from _of_activations(method, cell, passed)


def _of_note(kind: str, label: str, cell: Cell) -> Iterator[str]:
    """An answer that its own note contradicts."""
    first = cell.note.partition(";")[0]
    refused = REFUSES.search(first) if label != "nvidia" else None  # whose note may be of some generations
    if (cell.answer is Answer.YES and refused) or (
        cell.answer is Answer.UNVERIFIED and kind == "hardware" and "raises" in first
    ):
        yield f"is '{cell.answer}', but its note says '{first}'. Mend the one or the other."
    if cell.answer is not Answer.NO and cell.note == "weight-only":
        yield f"is '{cell.answer}', but its note says 'weight-only'."
    if cell.answer is not Answer.UNVERIFIED and (doubt := UNSURE.search(cell.note) or UNTRIED.search(first)):
        yield f"is '{cell.answer}', but its note says '{doubt[0]}', which goes with 'not verified'."


def _notebooks(method: Method, part: str) -> list[str]:
    """The notebooks that a part of a source names."""
    return method.notebooks if part == "proof" else [part.removeprefix("notebook ")] if part.startswith("notebook ") else []


def _of_hardware(guide: Guide, method: Method, label: str, cell: Cell, passed: list[Stored]) -> Iterator[str]:
    """Where it runs: a CPU by a proof on one, a GPU by one on it, or the note says that it was not proven here."""
    ran = passed if label == "cpu" else [stored for name in method.notebooks for stored in guide.proofs[name]]
    here = [stored for stored in ran if stored.proof.machine.kind == {"cpu": "cpu", "nvidia": "cuda"}.get(label)]
    unproven = UNPROVEN in cell.note
    proven = not unproven and (label == "cpu" or PROVEN in cell.note)
    if cell.answer is not Answer.YES:
        if PROVEN in cell.note:
            yield f"is '{cell.answer}', but its note says '{UNPROVEN if unproven else PROVEN}', which goes with a yes."
    elif proven and not here:
        yield f"is 'yes' as if it had been run, but no proof that it rests on ran there. Say '{UNPROVEN}' in its note."
    elif unproven and here:
        yield f"has a proof on {here[0].proof.machine.name}, but its note says '{UNPROVEN}'."
    elif not proven and not unproven:
        yield f"is 'yes', and its note says neither '{PROVEN} on ...' nor '{UNPROVEN}'."


def _of_feature(guide: Guide, label: str, names: list[str], passed: list[Stored]) -> Iterator[str]:
    """What a proof must show for a yes."""
    rows = [row for stored in passed for row in stored.proof.measures]
    unmeasured = [guide.scripts[name] for name in names if guide.scripts[name].head.guide.only_faults]
    asserted = any(RELOADED.search(cell.source) for script in unmeasured for cell in script.cells())
    if label == "save_and_reload" and not asserted and not any(row.reload_equal for row in rows):
        yield "is 'yes' by a proof, but no row of its measures was reloaded with the same tokens (reload_equal)."
    if label == "peft" and not any("peft" in guide.scripts[name].pins for name in names):
        yield "is 'yes' by a proof, but its notebook does not pin peft."
    if label == "quantize_on_load" and not any(row.linear_ratio > 1 or row.kl > 0 for row in rows):
        yield "is 'yes' by a proof, but no row of its measures differs from bf16."


def _of_activations(method: Method, cell: Cell, passed: list[Stored]) -> Iterator[str]:
    """Whether activations are quantized, beside what the variants multiply in."""
    rows = [row.variant for stored in passed for row in stored.proof.measures if "activations" in row.variant]
    rounded = [variant.id for variant in method.variants if variant.product != EXACT]
    if cell.answer is Answer.YES and not rounded and not rows:
        yield f"is 'yes', but the product of every variant is '{EXACT}', and no row of a proof's measures names activations."
    if cell.answer is Answer.NO and rounded:
        yield f"is 'no', but the product of the variant '{rounded[0]}' is not '{EXACT}'."


def _of_variant(guide: Guide, variant: Variant) -> Iterator[str]:
    """What is wrong with the section and the row of a variant: they must make what it says it is."""
    notebook = variant.notebook
    if notebook is None or notebook not in guide.scripts or variant.bits == WIDTH:  # whose weights become bf16 again
        return
    rows: list[Measure] = [row for stored in guide.proofs[notebook] for row in stored.proof.measures]
    own = [row.bits for row in rows if row.variant == variant.measured]
    if own and variant.bits not in own:
        yield f"has {variant.bits} bits, but the row '{variant.measured}' that is its 'measured' has {own[0]}."
    if not variant.section:
        return
    script = guide.scripts[notebook]
    made = {name for one in statements(script.section(variant.section)) for name in one.binds}
    code = ast.parse("\n".join(cell.source for cell in script.cells() if cell.cell_type == "code"))
    calls = [node for node in ast.walk(code) if isinstance(node, ast.Call) and ast.unparse(node.func) == "weigh"]
    weighed = [call.args[:2] for call in calls if len(call.args) > 2 and ast.unparse(call.args[2]) in made]
    widths = {width.value for _, width in weighed if isinstance(width, ast.Constant)}
    labels = {label.value for label, _ in weighed if isinstance(label, ast.Constant)}
    if variant.edits:
        if widths and variant.bits not in widths and not re.search(rf"{variant.bits}\b|{variant.bits}a", _new(variant), re.I):
            yield f"has {variant.bits} bits, but its 'edits' of the section '{variant.section}' do not say so."
    elif widths and variant.bits not in widths:
        yield f"has {variant.bits} bits, but its section '{variant.section}' makes {min(map(str, widths))}."
    elif labels and variant.measured and variant.measured not in labels:
        yield f"has the row '{variant.measured}', but its section '{variant.section}' makes '{min(map(str, labels))}'."


def _new(variant: Variant) -> str:
    """What the edits of a variant write."""
    return " ".join(variant.edits.values())
