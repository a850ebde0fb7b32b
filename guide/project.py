"""Where the rooms of the project are, and the error that every command shows as one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SNIPPETS = ROOT / "snippets"
NOTEBOOKS = ROOT / "notebooks"
PROOFS = ROOT / "proofs"
DOCS = ROOT / "docs"
REFERENCE_MODEL = ROOT / "models" / "reference"
BUILD = ROOT / "build"  # everything made locally and never committed


class GuideError(Exception):
    """Something a person can mend. Its text is one clear sentence: what is wrong, where, what to do."""


def notebook_names() -> list[str]:
    """The names of all notebooks, sorted: one a script in ``snippets/``."""
    return sorted(path.stem for path in SNIPPETS.glob("*.py"))


def check_names(names: list[str]) -> list[str]:
    """The given notebook names, or all of them if none is given; an unknown one raises with the known ones."""
    known = notebook_names()
    for name in names:
        if name not in known:
            raise GuideError(f"There is no notebook '{name}'. Known: {', '.join(known)}.")
    return names or known


def relative(path: Path) -> str:
    """A path as a reader of the repository knows it."""
    return path.resolve().relative_to(ROOT).as_posix() if path.resolve().is_relative_to(ROOT) else str(path)


def stamp(*paths: Path) -> tuple:
    """When files were last written, and their sizes: part of a cache's key, so that an edited file is read again."""
    states = ((path, path.stat() if path.exists() else None) for path in paths)
    return tuple((path, state and (state.st_mtime_ns, state.st_size)) for path, state in states)


def described_transformers() -> str:
    """The release of Transformers that the guide describes and ``nox -s drift`` checks: its pin in pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        group = tomllib.load(file)["dependency-groups"]["drift"]
    return next(pin.partition("==")[2] for pin in group if isinstance(pin, str) and pin.startswith("transformers=="))


def repository() -> str:
    """``owner/name`` on GitHub: from ``GITHUB_REPOSITORY``, else from the checkout's remote, else a readable blank."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return name
    command = ["git", "-C", str(ROOT), "remote", "get-url", "origin"]
    try:
        url = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        url = ""
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?$", url)
    return found[1] if found else "OWNER/REPOSITORY"
