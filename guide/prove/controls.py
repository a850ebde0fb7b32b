"""The controls of a proof: the same notebook made wrong, so that every check in it must fail, or it proves nothing.

One is without quantization, the other has other bit widths than the text says (other group sizes, where a format has one width
alone).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

from nbformat import NotebookNode

from guide.facts.proof import Machine
from guide.notebooks.build import CHECK_TAG, SHARED_TAG, tags
from guide.notebooks.edits import edited, holds
from guide.project import GuideError
from guide.prove.failures import Failed

PLAIN = """\
# The control: the same notebook, with every quantization_config taken away.
import transformers

_load = transformers.PreTrainedModel.from_pretrained.__func__


def _load_plain(cls, *args, quantization_config=None, **kwargs):
    return _load(cls, *args, **kwargs)


transformers.PreTrainedModel.from_pretrained = classmethod(_load_plain)
"""


@dataclass(frozen=True)
class Control:
    """A notebook to run on past its errors, up to its last check."""

    how: str  # in words: on plain bf16 weights
    notebook: NotebookNode
    must_fail: list[int]  # numbers, from 1, of the cells that must fail in it


def plain_copy(notebook: NotebookNode, machine: Machine, own: str = "") -> Control:
    """The control on plain weights; ``own`` is the script's code for calls other than ``from_pretrained``."""
    control = _until_checked(copy.deepcopy(notebook), machine, "on plain bf16 weights")
    for cell in control.notebook.cells:
        if cell.cell_type == "code":  # the install cell, which does not run here, so that the cells keep their numbers
            cell.source, cell.metadata = f"{PLAIN}\n{own}", {}
            break
    return control


def swapped_copy(notebook: NotebookNode, machine: Machine, swap: Mapping[str, str]) -> Control:
    """The control with other widths: in every line of code but checks and shared code, each text that is there is replaced.

    A text spans no lines, and a line holds it once. Raises GuideError where one is in no line.
    """
    control, missing = copy.deepcopy(notebook), set(swap)
    for cell in control.cells:
        if cell.cell_type == "code" and not {CHECK_TAG, SHARED_TAG} & set(tags(cell)):
            lines = cell.source.split("\n")
            for i, line in enumerate(lines):
                here = {old: new for old, new in swap.items() if holds(line, old)}
                lines[i] = edited(line, here, f"The line '{line.strip()}'")
                missing -= set(here)
            cell.source = "\n".join(lines)
    if missing:
        raise GuideError(f"The head's 'swap' names '{min(missing)}', which is in no code cell but checks")
    return _until_checked(control, machine, "with other widths")


def check_weakness(ran: NotebookNode, control: Control) -> None:
    """Raise Failed with the first check that a control passes, or that failed there for another reason than its assertions."""
    if not control.must_fail:
        raise Failed("weak check", "No cell is tagged 'check'")
    for number in control.must_fail:
        errors = [output for output in ran.cells[number - 1].outputs if output.output_type == "error"]
        if not errors:
            raise Failed("weak check", f"This check also passes {control.how}", number)
        if errors[0].ename != "AssertionError":
            how = control.how.capitalize()
            raise Failed("weak check", f"{how} this check ends in {errors[0].ename}, not in a failed assertion", number)


def _until_checked(control: NotebookNode, machine: Machine, how: str) -> Control:
    """The control of what is left of a notebook up to the last check that this machine can run, to run on past errors."""
    must_fail = []
    for number, cell in enumerate(control.cells, start=1):
        needs = [tag.removeprefix("needs:") for tag in tags(cell) if tag.startswith("needs:")]
        if CHECK_TAG in tags(cell) and all(map(machine.satisfies, needs)):
            must_fail.append(number)
    control.cells = control.cells[: max(must_fail, default=0)]
    control.metadata["execution"] = {"allow_errors": True}
    return Control(how, control, must_fail)
