"""The project as a folder: where its rooms are, and the error that every command shows as one sentence."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError


class GuideError(Exception):
    """Something a person can mend. Its text is one clear sentence: what is wrong, where, what to do."""


class Strict(BaseModel):
    """A model that knows all of its fields: a misspelled one is an error."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


def first_fault(error: ValidationError) -> str:
    """The first thing that a validation found, as ``'field.inner' is wrong: why``."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "record"
    return f"'{field}' is wrong: {first['msg']}"


@dataclass(frozen=True)
class Project:
    """A checkout, or a copy in which a test plants a fault. It only says where things are; ``guide.facts.load`` reads them."""

    root: Path
    repository: str = "OWNER/REPOSITORY"  # owner/name on GitHub, where links to sources and notebooks lead

    @classmethod
    def here(cls) -> Self:
        """The checkout that this module belongs to."""
        root = Path(__file__).resolve().parent.parent
        return cls(root, repository_of(root))

    @property
    def docs(self) -> Path:
        return self.root / "docs"

    @property
    def methods(self) -> Path:
        return self.docs / "methods"

    @property
    def assets(self) -> Path:
        return self.docs / "assets"

    @property
    def snippets(self) -> Path:
        return self.root / "snippets"

    @property
    def shared(self) -> Path:
        """What several scripts import and their notebooks hold as a copy."""
        return self.snippets / "shared"

    @property
    def notebooks(self) -> Path:
        return self.root / "notebooks"

    @property
    def proofs(self) -> Path:
        """Executed notebooks, in a folder a machine."""
        return self.root / "proofs"

    @property
    def storage(self) -> Path:
        """What quantized models were found to store, in a file a machine."""
        return self.proofs / "storage"

    @property
    def reference(self) -> Path:
        """The reference model, which stands in for public ones."""
        return self.root / "models" / "reference"

    @property
    def makers(self) -> Path:
        """Scripts that make quantized checkpoints of the reference model."""
        return self.root / "models" / "checkpoints"

    @property
    def configs(self) -> Path:
        """Public config.json files, the presets of the memory calculator."""
        return self.root / "models" / "configs"

    @property
    def architectures(self) -> Path:
        return self.assets / "architectures.json"

    @property
    def tests(self) -> Path:
        return self.root / "tests"

    @property
    def build(self) -> Path:
        """Everything made locally and never committed."""
        return self.root / "build"

    def relative(self, path: Path) -> str:
        """A path as a reader of the repository knows it."""
        full = path.absolute()
        return full.relative_to(self.root).as_posix() if full.is_relative_to(self.root) else str(path)


def repository_of(root: Path) -> str:
    """``owner/name`` on GitHub: from ``GITHUB_REPOSITORY``, else from the checkout's remote, else a readable blank."""
    if name := os.environ.get("GITHUB_REPOSITORY"):
        return name
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        url = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        url = ""
    found = re.search(r"github\.com[:/]([\w.-]+/[\w.-]+?)(?:\.git)?$", url)
    return found[1] if found else "OWNER/REPOSITORY"
