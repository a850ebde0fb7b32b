"""Build ``notebooks/*.ipynb`` from ``snippets/*.py``, or check that they are what the scripts build.

A notebook must stand alone in Colab, so code that several notebooks need is copied in: a cell that says only
``from snippets.shared.NAME import ...`` becomes the text of ``snippets/shared/NAME.py``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys

import nbformat
from nbformat import NotebookNode
from packaging.requirements import Requirement

from guide.project import NOTEBOOKS, SNIPPETS, GuideError, check_names, notebook_names, relative
from guide.script import Script, read_script

SHARED_IMPORT = re.compile(r"^from snippets\.shared\.(\w+) import [\w, *]+(?:  # noqa.*)?$", re.MULTILINE)
INSTALL_TAG = "skip-execution"  # nbclient's: a proof runs in an environment that is already made
SHARED_TAG = "shared"


def install_cell(script: Script) -> NotebookNode:
    """The ``%pip install`` cell, from the pins of the head.

    torch is left out: whoever opens a notebook has one built for their GPU, and replacing it costs gigabytes.
    """
    steps = script.head.install_steps(cuda=script.head.guide.colab_gpu is not None)
    torch = [pin for step in steps for pin in step.pins if Requirement(pin).name == "torch"]
    lines = [f"# Keeps the torch that is installed; last pinned and proven with {torch[0]}."] if torch else []
    for step in steps:
        lines += [f"%env {name}={value}" for name, value in step.variables.items()]
        lines.append(" ".join(["%pip install -q", *step.options, *(pin for pin in step.pins if pin not in torch)]))
    if script.head.guide.unwanted:
        lines.append("%pip uninstall -q -y " + " ".join(script.head.guide.unwanted))
    cell = nbformat.v4.new_code_cell("\n".join(lines))
    cell.metadata.tags = [INSTALL_TAG]
    return cell


def shared_cell(name: str, script: Script, copied: set[str]) -> NotebookNode:
    """The text of a shared module as one folded cell, without its imports of modules that were copied before."""
    path = SNIPPETS / "shared" / f"{name}.py"
    if not path.exists():
        raise GuideError(f"{relative(script.path)} imports snippets.shared.{name}, but {relative(path)} is not there.")
    text = path.read_text(encoding="utf-8")
    missing = set(SHARED_IMPORT.findall(text)) - copied
    if missing:
        raise GuideError(f"{relative(script.path)} must import snippets.shared.{missing.pop()} before {name}.")
    text = SHARED_IMPORT.sub("", text)
    docstring = re.match(r'"""(.+?)"""\n', text, re.DOTALL)
    title = docstring[1].splitlines()[0].rstrip(".")
    text = re.sub(r"^from __future__ .*\n", "", text[docstring.end() :], flags=re.MULTILINE)
    text = re.sub(r"\n{4,}", "\n\n\n", text.strip())
    cell = nbformat.v4.new_code_cell(f"# @title {title}\n{text}")
    cell.metadata.update(tags=[SHARED_TAG], cellView="form", jupyter={"source_hidden": True})
    return cell


def build(script: Script) -> NotebookNode:
    """The notebook of a script: no outputs, cell ids that depend on the cells' text alone, Colab's metadata."""
    cells, copied = [], set()
    for cell in script.cells():
        shared = SHARED_IMPORT.fullmatch(cell.source.strip())
        if cell.cell_type == "code" and shared:
            cell = shared_cell(shared[1], script, copied)
            copied.add(shared[1])
        elif SHARED_IMPORT.search(cell.source):
            raise GuideError(f"In {relative(script.path)}, an import from snippets.shared must stand alone in its cell.")
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
        guide={"source": relative(script.path)},
    )
    if script.head.guide.colab_gpu:
        notebook.metadata.update(accelerator="GPU", colab={"gpuType": script.head.guide.colab_gpu, "provenance": []})
    notebook.metadata.guide["content"] = content_digest(notebook)
    nbformat.validate(notebook)
    return notebook


def content_digest(notebook: NotebookNode) -> str:
    """SHA-256 over the cells, to tell an edit of the notebook from an edit of its script."""
    cells = [[cell.cell_type, cell.source, cell.get("outputs", [])] for cell in notebook.cells]
    return hashlib.sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()


def to_text(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def fault(script: Script) -> str | None:
    """What is wrong with the committed notebook of a script, as one sentence; None if it is what the script builds."""
    path, source = relative(script.notebook_path), relative(script.path)
    if not script.notebook_path.exists():
        return f"{path} is missing: run 'nox -s notebooks' and commit it."
    text = script.notebook_path.read_text(encoding="utf-8")
    if text == to_text(build(script)):
        return None
    try:
        committed = nbformat.reads(text, as_version=4)
    except Exception:  # nbformat raises many kinds for a file that is no notebook
        return f"{path} is not a readable notebook: run 'nox -s notebooks' to build it again from {source}."
    if any(cell.get("outputs") or cell.get("execution_count") for cell in committed.cells):
        return f"{path} holds outputs: run 'nox -s notebooks' to build it again from {source}; proofs go to proofs/."
    if committed.metadata.get("guide", {}).get("content") != content_digest(committed):
        return f"{path} was edited by hand: make the change in {source}, then run 'nox -s notebooks'."
    return f"{path} is older than {source}: run 'nox -s notebooks' and commit it."


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s notebooks --", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="all if none is given")
    parser.add_argument("--check", action="store_true", help="change nothing, fail if one is stale or edited")
    arguments = parser.parse_args()
    try:
        scripts = [read_script(name) for name in check_names(arguments.names)]
        if arguments.check:
            faults = [found for script in scripts if (found := fault(script))]
            known = {f"{name}.ipynb" for name in notebook_names()}
            for stray in sorted(path for path in NOTEBOOKS.iterdir() if path.name not in known):
                faults.append(f"{relative(stray)} has no script in snippets/: delete it, or write the script.")
            if faults:
                sys.exit("\n".join(faults))
            print(f"{len(scripts)} notebooks are what their scripts build.")
            return
        NOTEBOOKS.mkdir(exist_ok=True)
        for script in scripts:
            text = to_text(build(script))
            if not script.notebook_path.exists() or script.notebook_path.read_text(encoding="utf-8") != text:
                script.notebook_path.write_text(text, encoding="utf-8")
                print(f"built {relative(script.notebook_path)}")
    except GuideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
