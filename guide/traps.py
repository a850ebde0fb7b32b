"""Traps: the cells of notebooks that show a fault happen, as scripts that stand alone and can be sent upstream."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from guide import proof as proofs
from guide.method import Method, Trap, read_methods
from guide.notebooks import build
from guide.project import BUILD, SNIPPETS, GuideError, relative
from guide.proof import State
from guide.script import Script, read_script

TAG = "trap:"
KNOWN_FAULT = SNIPPETS / "shared" / "known_fault.py"


@dataclass(frozen=True)
class ShownTrap:
    """A trap of a method, with the notebook and the cell that show it."""

    method: str
    trap: Trap
    script: Script
    code: str

    def standalone(self) -> str:
        """A script that shows the fault with nothing but the pinned packages: pip, uv and pipx run it as it is."""
        pins = "".join(f'#   "{pin}",\n' for pin in self.script.head.dependencies)
        head = (
            f'# /// script\n# requires-python = "{self.script.head.requires_python}"\n# dependencies = [\n{pins}# ]\n# ///\n'
        )
        if self.script.head.guide.unwanted:
            head += f"# Before running: pip uninstall --yes {' '.join(self.script.head.guide.unwanted)}\n"
        return f"{head}{KNOWN_FAULT.read_text(encoding='utf-8')}\n\n{self.code}\n"

    def printed(self) -> str | None:
        """What the cell printed in the proof of today's code that the pages show; None where there is none."""
        found = proofs.ranked(self.script)
        if not found or proofs.state(found[0][2], self.script) is not State.PROVEN:
            return None
        outputs = _cells(found[0][1])[self.trap.id].get("outputs", [])
        return "".join(output["text"] for output in outputs if output.get("name") == "stdout").strip()


def _cells(notebook: NotebookNode) -> dict[str, NotebookNode]:
    """The trap cells of a notebook by the trap's id."""
    tagged = ((tag, cell) for cell in notebook.cells for tag in cell.metadata.get("tags", []) if tag.startswith(TAG))
    return {tag.removeprefix(TAG): cell for tag, cell in tagged}


def shown_traps(name: str, method: Method) -> list[ShownTrap]:
    """The traps of a method in the order of its facts; raises GuideError if facts and notebooks disagree."""
    page = f"docs/methods/{name}.md"
    cells = {}
    for script in map(read_script, method.notebooks):
        for trap_id, cell in _cells(build(script)).items():
            if trap_id in cells:
                raise GuideError(f"Two cells of {relative(script.path)} and its fellows are tagged 'trap:{trap_id}'.")
            cells[trap_id] = (script, cell.source)
    described = {trap.id for trap in method.traps}
    if missing := described - set(cells):
        raise GuideError(f"{page} describes the trap '{min(missing)}', but no cell is tagged 'trap:{min(missing)}'.")
    if extra := set(cells) - described:
        script = relative(cells[min(extra)][0].path)
        raise GuideError(
            f"{script} has a cell tagged 'trap:{min(extra)}', which the front matter of {page} does not describe."
        )
    return [ShownTrap(name, trap, *cells[trap.id]) for trap in method.traps]


def all_traps() -> list[ShownTrap]:
    return [shown for name, method in read_methods().items() for shown in shown_traps(name, method)]


def write_scripts(folder: Path) -> None:
    """Write each trap's script to ``folder``, as the site offers them, in place of what was there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.py"):
        old.unlink()
    for shown in all_traps():
        (folder / f"{shown.trap.id}.py").write_text(shown.standalone(), encoding="utf-8")


if __name__ == "__main__":  # for lint: a name from another cell would not be there for who gets the script alone
    try:
        write_scripts(BUILD / "traps")
    except GuideError as error:
        sys.exit(str(error))
