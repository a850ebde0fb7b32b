"""Find arguments that a configuration class does not have, before a library swallows them without a word.

Runs in a notebook's own environment (``python -m guide.arguments NOTEBOOK NAME...``), so it uses the standard library
alone. Prints a JSON list of ``[cell number, sentence]``; of a dotted NAME that the environment lacks, without a cell.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
from importlib.metadata import PackageNotFoundError, version


def code_of(cell: dict) -> str:
    """A cell's source without its magics."""
    source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def unknown_arguments(cells: list[dict]) -> list[tuple[int, str]]:
    """Keyword arguments of imported ``...Config`` classes that are in no signature, as (cell number, sentence)."""
    imported: dict[str, str] = {}
    faults = []
    for number, cell in enumerate(cells, start=1):
        if cell["cell_type"] != "code":
            continue
        for node in ast.walk(ast.parse(code_of(cell))):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported |= {alias.asname or alias.name: node.module for alias in node.names}
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            name = node.func.id
            if not name.endswith("Config") or name not in imported:
                continue
            try:
                known = inspect.signature(getattr(importlib.import_module(imported[name]), name)).parameters
            except (ImportError, AttributeError):
                continue  # the run itself will say so, with its own class
            if known and all(argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD) for argument in known.values()):
                continue  # a factory that names none of its arguments
            package = imported[name].split(".")[0]
            try:
                package += f" {version(package)}"
            except PackageNotFoundError:
                pass
            for keyword in node.keywords:
                if keyword.arg and keyword.arg not in known:
                    faults.append((number, f"{name} has no argument '{keyword.arg}' in {package}"))
    return faults


def is_there(dotted: str) -> bool:
    """Whether a dotted name can be imported, or is an attribute of what can be."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            found = getattr(found, part, None)
        return found is not None
    return False


if __name__ == "__main__":
    notebook, *names = sys.argv[1:]
    with open(notebook, encoding="utf-8") as file:
        faults = unknown_arguments(json.load(file)["cells"])
    print(json.dumps(faults + [(None, f"The page names {name}, which is not there") for name in names if not is_there(name)]))
