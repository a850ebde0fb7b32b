"""The project as a folder: where its rooms are, and the error that every command shows as one sentence."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

UNKNOWN = "OWNER/REPOSITORY"  # a readable blank


class GuideError(Exception):
    """Something a person can mend. Its text is one clear sentence: what is wrong, where, what to do."""


DISK = {
    errno.ENOSPC: "Free space on that disk",
    errno.EDQUOT: "Free space within your quota",
    errno.EROFS: "Work in a checkout on a disk that can be written",
    errno.EACCES: "Work in a checkout whose files are yours to write",
    errno.EPERM: "Work in a checkout whose files are yours to write",
}


def disk_fault(error: OSError) -> str | None:
    """What keeps a file from being written, as one sentence; None where it is another error."""
    advice = DISK.get(error.errno or 0)
    place = f" at {error.filename}" if error.filename else ""
    return (
        f"{error.strerror}{place}. {advice}; what was finished before is stored, and the same command goes on."
        if advice
        else None
    )


@contextmanager
def told() -> Iterator[None]:
    """End a command with a sentence instead of a traceback: for what a person can mend, and for a disk that takes no more."""
    try:
        yield
    except GuideError as error:
        sys.exit(str(error))
    except OSError as error:
        if sentence := disk_fault(error):
            sys.exit(sentence)
        raise


def write_whole(path: Path, text: str) -> None:
    """Write a file anew at once, so that who is stopped, or has no space left, keeps the older one. A link is not written
    through."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")  # digests are of these bytes, on Windows too
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def last_line(done: subprocess.CompletedProcess[str], otherwise: str = "no message") -> str:
    """The last line that a command which failed wrote, where errors go or else where results do."""
    return (done.stderr.strip() or done.stdout.strip() or otherwise).splitlines()[-1]


class Strict(BaseModel):
    """A model that knows all of its fields: a misspelled one is an error."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


def first_fault(error: ValidationError) -> str:
    """The first thing that a validation found, as ``'field.inner' is wrong: why``; the reason alone if it is of no field."""
    first = error.errors()[0]
    field, why = ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")
    return f"'{field}' is wrong: {why}" if field else why


class Below:
    """A place in a project, told from its root."""

    def __init__(self, path: str):
        self.path = path

    def __get__(self, project: "Project", owner: type | None = None) -> Path:
        return project.root / self.path


@dataclass(frozen=True)
class Project:
    """A checkout, or a copy in which a test plants a fault. It only says where things are; ``guide.facts.load`` reads them."""

    root: Path
    repository: str = UNKNOWN  # owner/name on GitHub, where links to sources and notebooks lead

    docs = Below("docs")
    methods = Below("docs/methods")
    engines = Below("docs/engines")
    registries = Below("proofs/engines")  # what engines' own registries were found to list
    assets = Below("docs/assets")
    architectures = Below("docs/assets/architectures.json")
    families = Below("docs/assets/families.json")  # the architectures of no preset
    training = Below("docs/assets/training")  # what training adapters holds, in a file a family
    examples = Below("models/families.json")  # public configs that these are derived from
    snippets = Below("snippets")
    shared = Below("snippets/shared")  # what several scripts import and their notebooks hold as a copy
    notebooks = Below("notebooks")
    proofs = Below("proofs")  # executed notebooks, in a folder a machine
    numbers = Below("proofs/numbers")  # what was measured of the real model, in a folder a machine
    recipes = Below("snippets/numbers")  # scripts that make the variants of the real model
    guests = Below("guide/guest")
    real = Below("models/real.toml")  # where the real model comes from
    unpack = Below("models/unpack.py")  # what makes a bf16 checkpoint of it
    colab = Below("models/colab")  # the packages of Colab's image, and what else is known of it
    tried = Below("proofs/colab.json")  # what came of the notebooks on these
    compiled = Below("proofs/compiled")  # whether torch.compile works on what methods make, in a file a machine
    storage = Below("proofs/storage")  # what quantized models were found to store, in a file a machine
    four_bit = Below("models/four_bit.py")  # what makes the 4-bit layers above which adapters are trained
    reference = Below("models/reference")  # the reference model, which stands in for public ones
    makers = Below("models/checkpoints")  # scripts that make quantized checkpoints of the reference model
    configs = Below("models/configs")  # public config.json files, the presets of the memory calculator
    tests = Below("tests")
    build = Below("build")  # everything made locally and never committed

    @classmethod
    def here(cls) -> Self:
        """The checkout that this module belongs to."""
        root = Path(__file__).resolve().parent.parent
        return cls(root, repository_of(root))

    @property
    def published(self) -> str | None:
        """``owner/name`` on GitHub; None where that is not known."""
        return None if self.repository == UNKNOWN else self.repository

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
    return found[1] if found else UNKNOWN
