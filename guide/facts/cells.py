"""Cells that show something happen, a trap or a symptom: each has a tag that names it, behind a word for its kind."""

from nbformat import NotebookNode

from guide.facts.guide import Guide
from guide.facts.proof import State
from guide.notebooks.build import tags
from guide.notebooks.script import Script


def tagged(notebook: NotebookNode, kind: str) -> dict[str, NotebookNode]:
    """The cells of a notebook with a tag that begins so, by the rest of the tag."""
    return {tag.removeprefix(kind): cell for cell in notebook.cells for tag in tags(cell) if tag.startswith(kind)}


def printed(guide: Guide, script: Script, kind: str, id: str) -> str | None:
    """What such a cell printed in the proof of today's code that the pages show; None where there is none."""
    best = guide.best(script.name)
    if not best or best.state is not State.PROVEN:
        return None
    outputs = tagged(best.notebook, kind)[id].get("outputs", [])
    return "".join(output["text"] for output in outputs if output.get("name") == "stdout").strip()
