"""Build a notebook from its script, and say what is wrong with a committed one.

A notebook must stand alone in Colab, so code that several notebooks need is copied in: a cell that says only
``from snippets.shared.NAME import ...`` becomes the text of ``snippets/shared/NAME.py``.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from packaging.requirements import Requirement

from guide.notebooks.script import Script
from guide.project import GuideError, write_whole

SHARED_IMPORT = re.compile(r"^from snippets\.shared\.(\w+) import [\w, *]+(?:  # noqa.*)?$", re.MULTILINE)
INSTALL_TAG = "skip-execution"  # nbclient's: a proof runs in an environment that is already made
LINK_ID = "view-in-github"  # of the cell that leads to Colab: the name that Colab itself gives it
SHARED_TAG = "shared"
CHECK_TAG = "check"


class Shared(dict[str, str]):
    """{name: text} of ``snippets/shared/``. Equal by identity, so that what is built with it can be kept."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other


@lru_cache(maxsize=16)
def shared_modules(texts: tuple[tuple[str, str], ...]) -> Shared:
    """The shared modules of these names and texts."""
    return Shared(texts)


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell, of which most have none."""
    return list(cell.metadata.get("tags", []))


def install_lines(script: Script, cuda: bool, shell: str = "") -> list[str]:
    """The commands that install a script's pins, each with ``shell`` before it; the first line says what became of torch.

    With ``shell`` they are for a notebook and leave torch out: whoever opens one has a torch that is built for their GPU, and
    replacing it costs gigabytes.
    """
    steps = script.head.install_steps(cuda)
    torch = [pin for step in steps for pin in step.pins if Requirement(pin).name == "torch"] if shell else []
    quiet = ["-q"] if shell else []
    lines = [f"# Keeps the torch that is installed; last pinned and proven with {torch[0]}."] if torch else []
    for step in steps:
        before = [] if shell else [f"{name}={value}" for name, value in step.variables.items()]
        lines += [f"%env {name}={value}" for name, value in step.variables.items()] if shell else []
        pins = [pin for pin in step.pins if pin not in torch]
        lines.append(" ".join([*before, f"{shell}pip install", *quiet, *step.options, *pins]))
    if script.head.guide.unwanted:
        yes = ["-q", "-y"] if shell else ["--yes"]
        lines.append(" ".join([f"{shell}pip uninstall", *yes, *script.head.guide.unwanted]))
    return lines


def cell_lines(script: Script) -> list[str]:
    """What the install cell says wherever the notebook is opened."""
    return install_lines(script, cuda=script.head.guide.colab_gpu is not None, shell="%")


def colab_lines(script: Script) -> list[str]:
    """What the install cell says for Colab alone, whose image has packages and whose kernel has imported some of them."""
    table = script.head.guide
    lines = [f"# In Colab: {how}" for how in table.colab_unwanted.values()]
    if table.colab_unwanted:
        lines += ["# Elsewhere leave the next line out.", " ".join(["%pip uninstall -q -y", *table.colab_unwanted])]
    if table.colab_restart:
        replaced = ", ".join(table.colab_restart)
        lines.append("# In Colab: choose Runtime > Restart session after this cell, then run on with the next one.")
        lines.append(f"# It replaces {replaced}, which Colab has imported already.")
    return lines


def install_cell(script: Script) -> NotebookNode:
    """The ``%pip install`` cell, from the pins of the head."""
    cell = nbformat.v4.new_code_cell("\n".join(cell_lines(script) + colab_lines(script)))
    cell.metadata.tags = [INSTALL_TAG]
    return cell


def shared_cell(name: str, script: Script, shared: Shared, copied: set[str]) -> NotebookNode:
    """The text of a shared module as one folded cell, without its imports of modules that were copied before."""
    if name not in shared:
        raise GuideError(f"{script.path} imports snippets.shared.{name}, but snippets/shared/{name}.py is not there.")
    text = shared[name]
    missing = set(SHARED_IMPORT.findall(text)) - copied
    if missing:
        raise GuideError(f"{script.path} must import snippets.shared.{missing.pop()} before {name}.")
    title, text = shared_title(name, text), SHARED_IMPORT.sub("", text)
    text = text[text.index('"""', 3) + 4 :]
    text = re.sub(r"^from __future__ .*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\n{4,}", "\n\n\n", text.strip())
    cell = nbformat.v4.new_code_cell(f"# @title {title}\n{text}")
    cell.metadata.update(tags=[SHARED_TAG], cellView="form", jupyter={"source_hidden": True})
    return cell


def shared_title(name: str, text: str) -> str:
    """The first line of a shared module's docstring, which heads its cell; raises GuideError if it has none."""
    docstring = re.match(r'"""(.+?)"""\n', text, re.DOTALL)
    if not docstring:
        raise GuideError(f"snippets/shared/{name}.py must start with a docstring: its first line heads the cell in notebooks.")
    return docstring[1].splitlines()[0].rstrip(".")


@lru_cache(maxsize=512)
def build(script: Script, shared: Shared) -> NotebookNode:
    """The notebook of a script: no outputs, cell ids that depend on the cells' text alone, Colab's metadata.

    The same object for the same arguments: copy it before you change it.
    """
    cells: list[NotebookNode] = []
    copied: set[str] = set()
    for cell in script.cells():
        imported = SHARED_IMPORT.fullmatch(cell.source.strip())
        if cell.cell_type == "code" and imported:
            cell = shared_cell(imported[1], script, shared, copied)
            copied.add(imported[1])
        elif SHARED_IMPORT.search(cell.source):
            raise GuideError(f"In {script.path}, an import from snippets.shared must stand alone in its cell.")
        cells.append(cell)
    first_code = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    cells.insert(first_code, install_cell(script))

    seen: dict[str, int] = {}
    for cell in cells:
        stem = hashlib.sha256(cell.source.encode()).hexdigest()[:10]
        seen[stem] = seen.get(stem, 0) + 1
        cell.id = stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"
        if not cell.metadata.get("tags", True):
            del cell.metadata["tags"]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.nbformat_minor = 5
    notebook.metadata.update(
        kernelspec={"display_name": "Python 3", "language": "python", "name": "python3"},
        language_info={"name": "python"},
        guide={"source": script.path},
    )
    if script.head.guide.colab_gpu:
        notebook.metadata.update(accelerator="GPU", colab={"gpuType": script.head.guide.colab_gpu, "provenance": []})
    notebook.metadata.guide["content"] = content_digest(notebook)
    nbformat.validate(notebook)
    return notebook


def content_digest(notebook: NotebookNode) -> str:
    """SHA-256 over the cells, to tell an edit of the notebook from an edit of its script."""
    cells = [[cell.cell_type, cell.source, cell.get("outputs", [])] for cell in notebook.cells if cell.id != LINK_ID]
    return hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()


def digest(script: Script, notebook: NotebookNode, makers: Mapping[str, str], stand_in: str | None) -> str:
    """SHA-256 of what a proof proves: code cells, pins, hardware asked for, controls, and the stand-in if one is used.

    ``makers`` are the texts of ``models/checkpoints/``, ``stand_in`` is the digest of the reference model, None for a run on
    real models. Prose does not count, so that mending a sentence costs no run; nor what the install cell says for Colab alone,
    since no proof runs that cell: ``nox -s colab`` does.
    """
    code = ["\n".join(cell_lines(script)) if INSTALL_TAG in tags(cell) else cell.source
            for cell in notebook.cells if cell.cell_type == "code"]  # fmt: skip
    table = script.head.guide
    parts: list[object] = [code, script.head.pins(cuda=True), table.unwanted, table.needs, table.control, table.swap]
    parts.append([makers[name] for name in table.checkpoints.values()] if stand_in else [])
    parts.append(stand_in or "hub")
    parts += [sorted(table.made_with.items())] if stand_in and table.made_with else []
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def colab_url(repository: str, name: str) -> str:
    """Where a notebook of a repository on GitHub opens in Colab."""
    return f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}.ipynb"


def linked_repository(name: str, committed: str | None) -> str | None:
    """The repository whose notebook a committed notebook opens in Colab; None where it has no such link."""
    url = re.escape(colab_url("OWNER", name)).replace("OWNER", r"([\w.-]+/[\w.-]+)")
    found = re.search(rf'"\[Open in Colab\]\({url}\)', committed or "")
    return found[1] if found else None


def to_text(notebook: NotebookNode, name: str = "", repository: str | None = None) -> str:
    """A notebook as it is committed; with a ``repository``, whoever reads it on GitHub finds its link to Colab at the top."""
    if repository:
        link = nbformat.v4.new_markdown_cell(f"[Open in Colab]({colab_url(repository, name)})", id=LINK_ID)
        notebook = NotebookNode({**notebook, "cells": [link, *notebook.cells]})
    text: str = nbformat.writes(notebook)
    return text.rstrip("\n") + "\n"


def rebuilt(folder: Path, texts: Mapping[str, str], committed: Mapping[str, str]) -> Iterator[Path]:
    """Write those notebooks into a folder that are not there as they are built; the path of each that was written."""
    for name, text in texts.items():
        if committed.get(name) != text:
            path = folder / f"{name}.ipynb"
            write_whole(path, text)
            yield path


def fault(script: Script, built: NotebookNode, committed: str | None) -> str | None:
    """What is wrong with the committed notebook of a script, as one sentence; None if it is what the script builds.

    Whether it has a link to Colab, and to whose notebook, is no fault: a fork keeps what it was made from.
    """
    path = f"notebooks/{script.name}.ipynb"
    if committed is None:
        return f"{path} is missing: run 'nox -s notebooks' and commit it."
    if committed == to_text(built, script.name, linked_repository(script.name, committed)):
        return None
    try:
        found = nbformat.reads(committed, as_version=4)
    except Exception:  # nbformat raises many kinds for a file that is no notebook
        return f"{path} is not a readable notebook: run 'nox -s notebooks' to build it again from {script.path}."
    if any(cell.get("outputs") or cell.get("execution_count") for cell in found.cells):
        return f"{path} holds outputs: run 'nox -s notebooks' to build it again from {script.path}; proofs go to proofs/."
    if found.metadata.get("guide", {}).get("content") != content_digest(found):
        return f"{path} was edited by hand: make the change in {script.path}, then run 'nox -s notebooks'."
    return f"{path} is older than {script.path}: run 'nox -s notebooks' and commit it."
