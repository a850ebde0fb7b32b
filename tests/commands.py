"""Commands that texts and workflows name, beside the sessions, modules, options and markers that there are."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import yaml
from planting import ROOT

NOX = re.compile(r"\bnox -s ((?:\w+ ?)+)(?:-- ([^\n`#)]*))?")
PYTHON = re.compile(r"\bpython3? -m (guide[\w.]*)([^\n`#)]*)")
MARKER = re.compile(r"(?:^| )-m [\"']?(?:not )?(\w+)")
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
OWN = {"--help"}
PASSED_ON = {"lint", "serve", "docs", "links", "browser"}  # to programs of others, which refuse what they do not know


@cache
def sessions() -> dict[str, ast.FunctionDef]:
    """The sessions of noxfile.py, by the name that one asks for."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    found = {}
    for node in tree.body:
        marks = (
            [one for one in node.decorator_list if "session" in ast.unparse(one)] if isinstance(node, ast.FunctionDef) else []
        )
        for mark in marks:
            names = [word.value.value for word in mark.keywords if word.arg == "name"] if isinstance(mark, ast.Call) else []
            found[names[0] if names else node.name] = node
    return found


def module_file(name: str) -> Path | None:
    """The file that ``python -m`` runs; None where there is none."""
    path = ROOT / name.replace(".", "/")
    return next((one for one in (path.with_suffix(".py"), path / "__main__.py") if one.is_file()), None)


@cache
def options(file: Path) -> frozenset[str]:
    """The options that a module knows, with those of its neighbours that it imports."""
    text = file.read_text(encoding="utf-8")
    package = ".".join(file.relative_to(ROOT).parts[:-1])
    imported = re.findall(rf"from {package}(?:\.(\w+))? import ([\w, ]+)", text)
    beside = [file.parent / f"{name}.py" for one in imported for name in re.findall(r"\w+", " ".join(one))]
    known = "\n".join([text, *(one.read_text(encoding="utf-8") for one in beside if one.is_file())])
    return frozenset(re.findall(r'"(--[\w-]+)"', known)) | OWN


def of_session(name: str) -> frozenset[str]:
    """The options that a session takes: its own, and those of what it runs."""
    strings = [
        node.value for node in ast.walk(sessions()[name]) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    files = [module_file(one) for one in strings if one.startswith("guide.")] + [
        ROOT / one for one in strings if one.endswith(".py")
    ]
    own = {one for one in strings if re.fullmatch(r"--[\w-]+", one)}
    return frozenset(own).union(*(options(file) for file in files if file and file.is_file())) | OWN


@cache
def markers() -> frozenset[str]:
    """The markers that tests may have."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"]
    return frozenset(marker.partition(":")[0] for marker in settings["markers"])


def faults(text: str) -> Iterator[str]:
    """What commands of a text name that is not there, a sentence each."""
    for named, words in NOX.findall(text):
        for name in named.split():
            yield from of_command(name, words)
    for name, words in PYTHON.findall(text):
        file = module_file(name)
        if file is None:
            yield f"'python -m {name}': there is no such module."
        else:
            yield from (
                f"'python -m {name}' has no option {one}." for one in OPTION.findall(words) if one not in options(file)
            )


def of_command(name: str, words: str) -> Iterator[str]:
    """The same of one session with what is passed to it."""
    if name not in sessions():
        yield f"'nox -s {name}': there is no such session; 'nox -l' lists them."
    elif name in ("tests", "timings"):
        yield from (
            f"'nox -s {name} -- -m {one}': no test has that marker." for one in MARKER.findall(words) if one not in markers()
        )
        gone = [one for one in re.findall(r"\btests/[\w./]+", words) if not (ROOT / one).exists()]
        yield from (f"'nox -s {name} -- {one}': there is no such file." for one in gone)
    elif name not in PASSED_ON:
        yield from (f"'nox -s {name}' has no option {one}." for one in OPTION.findall(words) if one not in of_session(name))


def of_workflow(text: str) -> Iterator[str]:
    """The same of a workflow, with the sessions and options that its matrices name."""
    yield from faults(text)
    for job in yaml.safe_load(text)["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        for entry in matrix.get("include", []) if isinstance(matrix, dict) else []:
            if isinstance(entry, dict) and "session" in entry:
                yield from of_command(entry["session"], entry.get("options", ""))


def alone(text: str) -> set[str]:
    """The sessions that a text says ``nox`` alone runs."""
    sentence = re.search(r"`nox` alone runs ([^.]*)\.", " ".join(text.split()))
    assert sentence, "CONTRIBUTING.md does not say what nox alone runs"
    return set(re.findall(r"\w+", sentence[1])) & set(sessions())


def by_default(noxfile: str) -> set[str]:
    """The sessions that it does run."""
    said = re.search(r"nox\.options\.sessions = (\[.*?\])", noxfile, re.DOTALL)
    return set(ast.literal_eval(said[1])) if said else set()
