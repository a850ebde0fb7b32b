"""A project of a test's own, in which it plants a fault: the checkout's files by name, a copy of each that is changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from guide.facts.guide import Guide
from guide.facts.load import load
from guide.project import Project

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("docs", "guide/guest", "snippets", "notebooks", "proofs", "models", "pyproject.toml", "mkdocs.yml")


class Planted:
    """A project whose files are linked to the checkout's until they are changed."""

    def __init__(self, root: Path):
        self.project = Project(root, repository="owner/name")
        for room in ROOMS:
            source, target = ROOT / room, root / room
            if source.is_dir():
                shutil.copytree(source, target, copy_function=_linked, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                _linked(source, target)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text of a file, which must be there."""
        file = self.project.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} does not hold {old!r}"
        self.write(path, text.replace(old, new))

    def write(self, path: str, text: str) -> None:
        """Write a file anew, and leave the checkout's as it is."""
        file = self.project.root / path
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def load(self) -> Guide:
        """The guide with its fault."""
        return load(self.project)


def _linked(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def mkdocs_warnings(folder: Path, pages: dict[str, str], caplog: pytest.LogCaptureFixture) -> list[str]:
    """What MkDocs, as the project configures it, warns of while it builds some pages; --strict makes each an error."""
    for name, text in pages.items():
        (folder / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "docs" / name).write_text(text, encoding="utf-8")
    folders = {"docs_dir": str(folder / "docs"), "site_dir": str(folder / "site")}
    config = load_config(str(ROOT / "mkdocs.yml"), **folders, nav=list(pages), hooks=[], plugins=[])
    with caplog.at_level("WARNING", logger="mkdocs"):
        build(config)
    return [record.getMessage() for record in caplog.records if record.name.startswith("mkdocs")]


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """A project to plant faults in."""
    return Planted(tmp_path / "tree")


@pytest.fixture(scope="session")
def guide() -> Guide:
    """The guide of this checkout."""
    return load(Project.here())
