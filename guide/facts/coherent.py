"""What a proof says more than once, and must say alike: cells, outputs and record; figures that follow from other figures.

Proofs are sent in by people whose machine nobody sees. What is written in one place alone is believed; the rest is compared.
"""

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from nbformat import NotebookNode

from guide.facts.guide import Guide
from guide.facts.proof import (
    ENVIRONMENT_MIME,
    FIGURES_MIME,
    MEASURES_MIME,
    SERVED_MIME,
    Machine,
    Measure,
    Proof,
    State,
    Stored,
    output_data,
)
from guide.facts.shown import Markup, otherwise
from guide.facts.storage import TOLERANCE
from guide.notebooks.build import CHECK_TAG, INSTALL_TAG, tags
from guide.notebooks.code import label, numbers, with_loops, without_magics
from guide.notebooks.script import Script, versions

ROUNDED = 1e-6  # relative: what two ways of computing a figure may differ by
SAME_WEIGHTS = 1e-3  # relative: by how much the perplexity of one bf16 model differs between processors
SAVED = 0.1  # relative: by how much a saved file may differ from what the model stores; 0 where nothing was saved
SEEN = re.compile(r"^Known fault, seen with (.+)\.$", re.MULTILINE)  # as snippets/shared/known_fault.py prints it
KINDS = {"text/plain", "text/html", "image/png", ENVIRONMENT_MIME, MEASURES_MIME, SERVED_MIME, FIGURES_MIME}
# Of an output's HTML, and of what it may not ask for; a page takes out all that could run, whatever a proof holds.
TAGS = {"b", "br", "caption", "code", "div", "em", "p", "pre", "progress", "span", "strong", "table", "tbody", "td", "th",
        "thead", "tr"}  # fmt: skip
ATTRIBUTES = {"border", "class", "colspan", "max", "rowspan", "scope", "style", "value"}
FETCHES = re.compile(r"url|@import", re.IGNORECASE)
MARKUP = re.compile(r"<[a-zA-Z!/?]|\]\(\s*(?:javascript|data|vbscript):", re.IGNORECASE)
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
ERROR = "Traceback (most recent call last)"


def incoherent(guide: Guide, stored: Stored) -> Iterator[str]:
    """What does not hold together in a proof, a sentence each that names the cell or the field."""
    script, notebook, proof = guide.scripts[stored.proof.notebook], stored.notebook, stored.proof
    yield from _unfinished(notebook)
    yield from _harmful(notebook)
    if stored.state is State.PROVEN:
        yield from _other_code(notebook, guide.notebooks[script.name])
        yield from _other_record(notebook, script, proof)
    yield from _other_machine(notebook, proof)
    yield from _other_versions(notebook, proof)
    yield from _other_rows(guide, notebook, proof)
    yield from _too_early(guide, proof)
    for row in proof.measures:
        yield from (f"its measures of '{row.variant}' cannot be: {sentence}" for sentence in impossible(row))
    for number, output in _outputs(notebook):
        yield from (f"cell {number} {sentence}" for sentence in otherwise(output))


def unlike_others(proofs: Sequence[Stored]) -> Iterator[tuple[Stored, str]]:
    """Proofs whose bf16 model is not that of the others, though it was the same model on the same text, with a sentence."""
    alike: dict[tuple[int, int, str], list[tuple[Stored, Measure]]] = {}
    for stored in proofs:
        for row in stored.proof.measures if stored.proof.stand_in else ():
            sha256 = next(source.sha256 for source in stored.proof.models if source.stand_in)
            alike.setdefault((row.parameters, row.tokens, sha256 or ""), []).append((stored, row))
    for rows in alike.values():
        usual = Counter(row.baseline_bytes for _, row in rows).most_common(1)[0][0]
        middle = sorted(row.baseline_perplexity for _, row in rows)[len(rows) // 2]
        for stored, row in rows:
            if row.baseline_bytes != usual:
                yield stored, f"its measures.baseline_bytes is {row.baseline_bytes}, elsewhere {usual} for the same model"
            elif abs(row.baseline_perplexity / middle - 1) > SAME_WEIGHTS:
                found = f"{row.baseline_perplexity:.4f}, elsewhere {middle:.4f}"
                yield stored, f"its measures.baseline_perplexity is {found} for the same model and text"


def unlike_predicted(guide: Guide) -> Iterator[tuple[Stored, str]]:
    """Proofs of the reference model whose bytes are not those that its shapes give, with a sentence."""
    for record in guide.records.values():
        for case in (case for case in record.cases if case.proof and not case.note):
            row_name = guide.weighed(record, case).measured
            for stored in (one for one in guide.proofs[case.proof] if one.proof.stand_in):
                for row in (row for row in stored.proof.measures if row.variant == row_name):
                    if abs(case.predicted.whole / row.quantized_bytes - 1) > TOLERANCE:
                        found = f"{row.quantized_bytes}, and {case.predicted.whole} follow from the model's shapes"
                        yield stored, f"its measures of '{row.variant}' cannot be: quantized_bytes is {found}"
                    linears = record.shapes[case.shape].bf16.linears / row.linear_ratio
                    if abs(case.predicted.linears / linears - 1) > TOLERANCE:
                        found = f"{row.linear_ratio:.4f}, which is {linears:.0f} bytes, and {case.predicted.linears} follow"
                        yield stored, f"its measures of '{row.variant}' cannot be: linear_ratio is {found}"


def unlike_measured(guide: Guide) -> Iterator[str]:
    """Cases whose measured bytes are not those that are predicted, and do not say why, a sentence each with its file."""
    for machine, record in guide.records.items():
        for case in record.cases:
            if case.worst() > TOLERANCE and not case.note:
                path = guide.project.relative(guide.project.storage / f"{machine}.json")
                off = f"is predicted {100 * case.worst():.1f} % off what was measured"
                advice = f"Run 'nox -s weigh -- --keep {case.method}', or say why in 'weigh.notes' of its script."
                yield f"{path}: {case.method} {case.variant} on {case.shape} {off}. {advice}"


def _code(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    """The cells of code with their numbers, counted from 1 over all cells."""
    return [(number, cell) for number, cell in enumerate(notebook.cells, start=1) if cell.cell_type == "code"]


def _outputs(notebook: NotebookNode) -> list[tuple[int, NotebookNode]]:
    return [(number, output) for number, cell in _code(notebook) for output in cell.outputs]


def _unfinished(notebook: NotebookNode) -> Iterator[str]:
    """Cells that did not run, or out of order, or that end in an error."""
    ran = [(number, cell) for number, cell in _code(notebook) if INSTALL_TAG not in tags(cell)]
    for expected, (number, cell) in enumerate(ran, start=1):
        if cell.execution_count != expected:
            yield f"cell {number} has execution_count {cell.execution_count}, not {expected}: it did not run in its turn"
            break
    for number, output in _outputs(notebook):
        text = output.get("text", "") or output.get("data", {}).get("text/plain", "")
        if output.output_type == "error" or ERROR in text:
            yield f"cell {number} shows an error"


def _harmful(notebook: NotebookNode) -> Iterator[str]:
    """Cells that hold what is no text, table or picture: it could run in a reader's browser."""
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type != "code" and (found := MARKUP.search(CODE.sub("", cell.source))):
            yield f"cell {number} holds HTML or a link that runs ('{found[0]}'), and Markdown alone is shown"
    for number, output in _outputs(notebook):
        for kind, value in output.get("data", {}).items():
            if kind not in KINDS:
                yield f"cell {number} has an output of the type {kind}, which is not shown"
            elif kind == "text/html" and (strange := _strange(Markup(value))):
                yield f"cell {number} has an output with {strange[0]}: text and tables alone are shown"


def _strange(html: Markup) -> list[str]:
    """What of an output's HTML is not text and tables."""
    found = ["a comment"] if html.comments else []
    for tag, attributes in html.tags:
        found += [f"<{tag}>"] if tag not in TAGS else []
        found += [f"{name} of <{tag}>" for name, value in attributes if name not in ATTRIBUTES or FETCHES.search(value or "")]
    return found


def _other_code(notebook: NotebookNode, built: NotebookNode) -> Iterator[str]:
    """Cells of code that are not today's, though the record says that today's ran; what installs does not run in a proof."""
    here, there = ([(n, one) for n, one in _code(which) if INSTALL_TAG not in tags(one)] for which in (notebook, built))
    if len(here) != len(there):
        yield f"it has {len(here)} cells of code, and the notebook that its digest is of has {len(there)}"
        return
    for (number, cell), (_, today) in zip(here, there, strict=True):
        if cell.source != today.source:
            yield f"the code of cell {number} is not that of the notebook whose digest it has"


def _other_record(notebook: NotebookNode, script: Script, proof: Proof) -> Iterator[str]:
    """Fields of the record that follow from the script."""
    pins = versions(script.head.pins(proof.machine.kind == "cuda"))
    if proof.pins != pins:
        name = min(set(proof.pins.items()) ^ set(pins.items()))[0]
        yield f"its pins.{name} is {proof.pins.get(name)}, in {script.path} {pins.get(name)}"
    needs = {number: [tag.removeprefix("needs:") for tag in tags(cell) if tag.startswith("needs:")]
             for number, cell in _code(notebook) if CHECK_TAG in tags(cell)}  # fmt: skip
    checks = [number for number, asked in needs.items() if all(map(proof.machine.satisfies, asked))]
    if proof.control != checks and not script.head.guide.only_faults:
        yield f"its control is {proof.control}, and the checks that such a machine runs are the cells {checks}"


def _other_machine(notebook: NotebookNode, proof: Proof) -> Iterator[str]:
    """What the record says of the machine and the time beside what the notebook itself showed."""
    for shown in output_data(notebook, ENVIRONMENT_MIME):
        if Machine.model_validate(shown["machine"]) != proof.machine:
            yield "its machine is not the one that its own output shows"
        if shown["versions"] != proof.versions:
            yield "its versions are not those that its own output shows"
        if shown["python"] != proof.python:
            yield f"its python is {proof.python}, and its own output shows {shown['python']}"
    if datetime.fromisoformat(proof.date) > datetime.now(UTC) + timedelta(days=1):
        yield f"its date, {proof.date}, is to come"
    if sum(row.load_seconds for row in proof.measures) > proof.seconds:
        yield f"it says that it ran for {proof.seconds} seconds, and that loading alone took longer"


def _too_early(guide: Guide, proof: Proof) -> Iterator[str]:
    """A date before a package that ran was released, as far as methods' pages say when."""
    day = datetime.fromisoformat(proof.date).date()
    released = {library.package: library for method in guide.methods.values() if (library := method.library)}
    for package, library in released.items():
        if proof.versions.get(package) == library.version and day < library.released:
            yield f"its date is {day}, before {package} {library.version} was released, on {library.released}"


def _other_versions(notebook: NotebookNode, proof: Proof) -> Iterator[str]:
    """Faults that were seen with other versions than the record says ran."""
    ran = {_plain(name): version for name, version in (proof.pins | proof.versions).items()}
    for number, output in _outputs(notebook):
        for name, version in (part.split(" ") for line in SEEN.findall(output.get("text", "")) for part in line.split(", ")):
            if (own := ran.get(_plain(name))) and own.partition("+")[0] != version.partition("+")[0]:
                yield f"cell {number} says 'seen with {name} {version}', and its record has {name} {own}"


def _plain(name: str) -> str:
    """A package's name as another may write it."""
    return name.replace("_", "-").lower()


def _other_rows(guide: Guide, notebook: NotebookNode, proof: Proof) -> Iterator[str]:
    """Fields of rows that follow from the notebook's own code, and from the model that it loaded."""
    widths = _weighed(notebook)
    loaded = [source for source in proof.models if source.maker is None and source.sha256 == guide.stand_in]
    for row in proof.measures:
        if row.bits not in widths.get(row.variant, {row.bits}):
            found = f"{row.bits} bits, and its own code weighs it as {min(widths[row.variant]):g}"
            yield f"its measures of '{row.variant}' say {found}"
        if loaded and row.parameters != guide.parameters:
            found = f"{row.parameters} parameters, and the reference model has {guide.parameters}"
            yield f"its measures of '{row.variant}' say {found}"


def _weighed(notebook: NotebookNode) -> dict[str, set[float]]:
    """By label, the bits with which the code weighs a row: in a loop once for each turn."""
    found: dict[str, set[float]] = {}
    for _, cell in _code(notebook):
        with suppress(SyntaxError):  # of the notebook's own syntax
            for node, where in with_loops(ast.parse(without_magics(cell.source))):
                match node:
                    case ast.Call(func=ast.Name(id="weigh"), args=[name, bits, *_]):
                        found.setdefault(label(name, where), set()).update(numbers(bits, where))
    return found


def impossible(row: Measure) -> Iterator[str]:
    """Figures of a row that do not follow from each other, or that no model has."""
    if not math.isclose(row.ratio, row.baseline_bytes / row.quantized_bytes, rel_tol=ROUNDED):
        yield f"ratio is {row.ratio:.4f}, baseline_bytes / quantized_bytes {row.baseline_bytes / row.quantized_bytes:.4f}"
    if row.saved_bytes and abs(row.saved_bytes / row.quantized_bytes - 1) > SAVED:
        yield f"saved_bytes is {row.saved_bytes}, quantized_bytes {row.quantized_bytes}: a file holds what the model stores"
    difference = math.log(row.perplexity / row.baseline_perplexity)
    if not math.isclose(row.loss_difference, difference, rel_tol=ROUNDED, abs_tol=ROUNDED):
        yield f"loss_difference is {row.loss_difference:.6f}, log(perplexity / baseline_perplexity) {difference:.6f}"
    if row.kl > row.kl_error and row.perplexity == row.baseline_perplexity:
        yield f"kl is {row.kl:.5f}, and its perplexity is bf16's to the last digit"
    speed = row.tokens_per_second / row.baseline_tokens_per_second
    if not row.speed_ratio_low <= row.speed_ratio <= row.speed_ratio_high:
        yield f"speed_ratio is {row.speed_ratio:.3f}, outside of its own lowest and highest"
    elif not row.speed_ratio_low * (1 - ROUNDED) <= speed <= row.speed_ratio_high * (1 + ROUNDED):
        yield f"its speed over bf16's is {speed:.3f}, outside of speed_ratio_low and speed_ratio_high"
    if not 0 <= row.top1_agreement <= 1 or row.kl < -ROUNDED or row.perplexity < 1:
        yield "top1_agreement is a share, kl is not below 0, perplexity not below 1"
    if row.kl > 0 and row.kl_error == 0:
        yield "kl_error is 0: the windows of one text differ from each other"
    if min(row.loss_difference_error, row.top1_agreement_error, row.kl_error) < 0:
        yield "a standard error is not below 0"
