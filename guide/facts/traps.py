"""Traps: the cells of notebooks that show a fault happen, as scripts that stand alone and can be sent upstream."""

from dataclasses import dataclass

from guide.facts.cells import printed, tagged
from guide.facts.guide import Guide
from guide.facts.method import Trap
from guide.notebooks.script import Script
from guide.project import GuideError

TAG = "trap:"
# The pages that show them: one for both would be too heavy for a phone
SILENT, ERRORS = "traps.md", "traps-errors.md"
SEEN = "Known fault, seen with"  # printed by known_fault of snippets/shared/known_fault.py, where the fault happened


@dataclass(frozen=True)
class ShownTrap:
    """A trap of a method, with the notebook and the cell that show it."""

    method: str
    trap: Trap
    script: Script
    printed: str | None  # by the cell in the proof of today's code that the pages show; None where there is none
    happened: bool  # in that run; where it did not, the cell says why
    standalone: str  # a script that shows the fault with nothing but the pinned packages: uv and pipx run it as it is

    @property
    def page(self) -> str:
        """Of docs/: the one that shows it."""
        return SILENT if self.trap.silent else ERRORS


def _standalone(script: Script, code: str, known_fault: str) -> str:
    pins = "".join(f'#   "{pin}",\n' for pin in script.head.dependencies)
    head = f'# /// script\n# requires-python = "{script.head.requires_python}"\n# dependencies = [\n{pins}# ]\n# ///\n'
    if script.head.guide.unwanted:
        head += f"# Before running: pip uninstall --yes {' '.join(script.head.guide.unwanted)}\n"
    return f"{head}{known_fault}\n\n{code}\n"


def shown_traps(guide: Guide, name: str) -> list[ShownTrap]:
    """The traps of a method in the order of its facts; raises GuideError if facts and notebooks disagree."""
    page, method = f"docs/methods/{name}.md", guide.methods[name]
    cells: dict[str, tuple[Script, str]] = {}
    for script in (guide.scripts[notebook] for notebook in method.notebooks):
        for trap_id, cell in tagged(guide.notebooks[script.name], TAG).items():
            if trap_id in cells:
                raise GuideError(f"Two cells of {script.path} and its fellows are tagged 'trap:{trap_id}'.")
            cells[trap_id] = (script, cell.source)
    described = {trap.id for trap in method.traps}
    if missing := described - set(cells):
        raise GuideError(f"{page} describes the trap '{min(missing)}', but no cell is tagged 'trap:{min(missing)}'.")
    if extra := set(cells) - described:
        path = cells[min(extra)][0].path
        raise GuideError(f"{path} has a cell tagged 'trap:{min(extra)}', which the front matter of {page} does not describe.")
    found = []
    for trap in method.traps:
        script, code = cells[trap.id]
        said = printed(guide, script, TAG, trap.id)
        alone = _standalone(script, code, guide.shared["known_fault"])
        found.append(ShownTrap(name, trap, script, said, SEEN in (said or ""), alone))
    return found


def all_traps(guide: Guide) -> list[ShownTrap]:
    """The traps of all methods."""
    return [shown for name in guide.methods for shown in shown_traps(guide, name)]
