"""Keyword arguments in code, and those that a configuration class does not have and would swallow without a word.

``python -m guide.guest.arguments NOTEBOOK NAME...`` runs in a notebook's own environment and prints a JSON list of
``[cell number, sentence]``; of a dotted NAME that the environment lacks, without a cell.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pkgutil import resolve_name
from typing import Any, NamedTuple


class Keyword(NamedTuple):
    """A keyword in a call."""

    line: int
    written: str  # what is called, as it stands there
    called: str  # the same, dotted where it was imported
    argument: str

    @property
    def fault(self) -> str:
        """What is wrong with it where nothing knows it."""
        return f"{self.called.rpartition('.')[2]} has no argument '{self.argument}'"


def keywords(tree: ast.AST) -> Iterator[Keyword]:
    """Each keyword of each call, in the order of lines."""
    for node, called in calls(tree):
        yield from (Keyword(one.lineno, ast.unparse(node.func), called, one.arg) for one in node.keywords if one.arg)


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Each call, with what it calls, dotted where it was imported, in the order of lines: one name may be imported from two
    libraries in turn."""
    imported: dict[str, str] = {}
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom | ast.Call)]
    for node in sorted(nodes, key=lambda node: node.lineno):
        if isinstance(node, ast.ImportFrom):
            imported |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            imported |= {alias.asname: alias.name for alias in node.names if alias.asname}
        else:
            first, dot, rest = ast.unparse(node.func).partition(".")
            yield node, imported.get(first, first) + dot + rest


def arguments_of(dotted: str) -> list[str] | None:
    """The arguments of a class; None where it is not there, or names none of them, as a factory does."""
    try:
        known = inspect.signature(resolve_name(dotted)).parameters
    except (ImportError, AttributeError, ValueError):
        return None
    kinds = {argument.kind for argument in known.values()}
    unnamed = kinds and kinds <= {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return None if unnamed else list(known)


def unknown_arguments(cells: list[dict[str, Any]]) -> list[tuple[int, str]]:
    """Keyword arguments of libraries' ``...Config`` classes that are in no signature, as (cell number, sentence)."""
    code = [(n, "".join(cell["source"])) for n, cell in enumerate(cells, start=1) if cell["cell_type"] == "code"]
    lines = [(number, line) for number, source in code for line in source.splitlines()]
    without_magics = ["" if line.lstrip().startswith(("%", "!")) else line for _, line in lines]
    faults = []
    for one in keywords(ast.parse("\n".join(without_magics))):
        if "." not in one.called or not one.called.endswith("Config"):
            continue
        known = arguments_of(one.called)
        if known is not None and one.argument not in known:
            package = one.called.split(".")[0]
            with suppress(PackageNotFoundError):
                package += f" {version(package)}"
            faults.append((lines[one.line - 1][0], f"{one.fault} in {package}"))
    return faults


def is_there(dotted: str) -> bool:
    """Whether a dotted name can be imported, or is an attribute of what can be."""
    try:
        return resolve_name(dotted) is not None
    except (ImportError, AttributeError, ValueError):
        return False


if __name__ == "__main__":
    notebook, *names = sys.argv[1:]
    with open(notebook, encoding="utf-8") as file:
        faults = unknown_arguments(json.load(file)["cells"])
    print(json.dumps(faults + [(None, f"The page names {name}, which is not there") for name in names if not is_there(name)]))
