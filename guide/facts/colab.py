"""Colab: what its image has, what came of the notebooks on its packages, and so with which of its GPUs each of them runs."""

import datetime
import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from packaging.utils import canonicalize_name
from pydantic import Field, ValidationError, model_validator

from guide.facts.engine import Common
from guide.facts.method import Method, in_order
from guide.facts.proof import Failure, reaches
from guide.notebooks.script import GuideTable
from guide.project import GuideError, Strict, first_fault

BF16 = "8.0"  # the least compute capability with bf16 arithmetic: docs/symptoms.md, bf16-on-t4-slow
MARKUP = re.compile(r"<!--|<[a-zA-Z]+\s[^<>]*>|\]\(\s*\w+:")  # no words of pip or of an error
FROZEN = re.compile(r"(?P<name>[\w.-]+)==(?P<version>\S+)")


class Gpu(Strict):
    """A GPU that Colab offers, under the name by which a notebook asks for it."""

    name: str
    capability: str
    gib: float
    free: bool

    @property
    def emulates_bf16(self) -> bool:
        """Whether it computes bf16 in float32, which is slow."""
        return in_order(self.capability) < in_order(BF16)

    @property
    def a_name(self) -> str:
        """The name with its article, as one says it: an L4, a G4."""
        return f"{'an' if self.name[0] in 'AEFHILMNORSX' else 'a'} {self.name}"


class Offered(Strict):
    """The same as ``image.toml`` has it."""

    card: str = Field(description="its id in docs/assets/cards.json")
    free: bool = False


class ImageFile(Strict):
    """``models/colab/image.toml``."""

    source: str = Field(description="the repository that has the list of packages")
    commit: str
    date: datetime.date
    python: str = Field(pattern=r"^\d+\.\d+$")
    glibc: str = Field(pattern=r"^\d+\.\d+$")
    preloaded: dict[str, str] = Field(description="packages that the kernel imports before the first cell runs: their modules")
    preloaded_source: str
    gpus: dict[str, Offered]


@dataclass(frozen=True)
class Image:
    """The image that Colab runs a notebook with a GPU in."""

    file: ImageFile
    freeze: Mapping[str, str]  # its packages, {name: version}
    gpus: Mapping[str, Gpu]

    @property
    def digest(self) -> str:
        """SHA-256 of what a run on its packages depends on."""
        parts = [self.file.python, self.file.glibc, self.file.preloaded, dict(self.freeze)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    @property
    def free(self) -> Gpu:
        """The GPU that costs nothing."""
        return next(gpu for gpu in self.gpus.values() if gpu.free)


class Outcome(Strict):
    """What came of a notebook's install cell, and of the notebook after it, on Colab's packages."""

    digest: str = Field(description="of the notebook, its install cell and the image")
    date: str = Field(description="UTC, ISO 8601")
    seconds: float
    ran: bool = Field(description="whether the notebook ran; where it needs a GPU, pip was only asked what it would install")
    failure: Failure | None
    replaced: dict[str, tuple[str, str]] = Field(description="packages of the image that the install cell replaces, each with "
                                                 "the version before and after, as pip would in Colab")  # fmt: skip
    versions: dict[str, str] = Field(default={}, description="of Python, and of packages that ran in another version than in "
                                     "Colab")  # fmt: skip

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """A run took time, and had a Python and a torch; what it failed with is words."""
        if self.ran and not self.failure and (lacking := {"python", "torch"} - self.versions.keys()):
            raise ValueError(f"it ran, but its versions lack {min(lacking)}")
        if self.ran and self.seconds <= 0:
            raise ValueError(f"it ran, but took {self.seconds:g} seconds")
        if self.failure and (found := MARKUP.search(self.failure.message)):
            raise ValueError(f"its failure.message holds '{found[0]}', which is markup and no word of pip or of an error")
        return self


class Tried(Strict):
    """``proofs/colab.json``: what ``nox -s colab`` found."""

    source: str = Field(default="", description="the image: its repository and commit")
    notebooks: dict[str, Outcome] = Field(default={})

    def failed(self, name: str) -> bool:
        """Whether a notebook was found not to run, as it was then."""
        return name in self.notebooks and self.notebooks[name].failure is not None


@dataclass(frozen=True)
class InColab:
    """With which of Colab's GPUs a notebook runs, and what a reader should know before opening it there."""

    answer: Literal["free", "paid", "no"]
    gpu: Gpu | None  # None where it needs none
    why: str  # a sentence; empty where nothing is to be said

    @property
    def with_what(self) -> str:
        """What it takes, in a few words."""
        if self.answer == "no":
            return "does not run there"
        if self.gpu is None:
            return "free, without a GPU"
        return f"free, with {self.gpu.a_name}" if self.answer == "free" else f"with {self.gpu.a_name}, which is not free"


def parse_image(path: str, text: str, freeze: str, cards: Mapping[str, Any], common: Common) -> Image:
    """The image of ``image.toml`` and ``freeze.txt`` beside it; raises GuideError naming the file and what is wrong there.

    ``cards`` is docs/assets/cards.json; ``common`` has the compute capability of each generation.
    """
    try:
        file = ImageFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise GuideError(f"{path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        raise GuideError(f"In {path}, {first_fault(error)}.") from error
    packages = _frozen(f"{path.rpartition('/')[0]}/freeze.txt", freeze)
    if strays := [name for name in file.preloaded if name not in packages]:
        raise GuideError(f"{path}: the kernel is said to import {strays[0]}, which freeze.txt has not: delete it there.")
    known = {card["id"]: card for maker in cards["makers"] for card in maker["cards"]}
    capabilities = {one.id: one.capability for one in common.generations}
    gpus = {}
    for name, offered in file.gpus.items():
        card = known.get(offered.card, {})
        capability = capabilities.get(card.get("hardware"))
        if not capability:
            raise GuideError(
                f"{path}: gpus.{name}.card is '{offered.card}', which is no NVIDIA card of docs/assets/cards.json."
            )
        gpus[name] = Gpu(name=name, capability=capability, gib=card["gib"], free=offered.free)
    if sum(gpu.free for gpu in gpus.values()) != 1:
        raise GuideError(f"{path}: say 'free = true' of one GPU.")
    return Image(file, packages, gpus)


def parse_tried(path: str, text: str) -> Tried:
    """The record of this text; raises GuideError naming ``path`` and the field that is wrong."""
    try:
        return Tried.model_validate_json(text)
    except ValidationError as error:
        advice = "Restore it, or run 'nox -s colab -- --keep' again."
        raise GuideError(f"{path} is damaged: {first_fault(error)}. {advice}") from error


def in_colab(image: Image, name: str, table: GuideTable, method: Method | None, outcome: Outcome | None) -> InColab:
    """What may be said of a notebook: by its head, its method's page, and the ``outcome`` of its code as it is, if any."""
    gpu, free = image.gpus[table.colab_gpu] if table.colab_gpu else None, image.free
    if outcome and outcome.failure:
        failure = outcome.failure
        place = f"Cell {failure.cell}: " if failure.cell else ""
        return InColab("no", gpu, f"{place}{failure.message.rstrip('.')}.")
    if table.colab_not:
        return InColab("no", gpu, table.colab_not)
    if gpu is None and table.needs != "cpu":
        return InColab("no", None, f"It needs {table.needs}, and its head names no GPU of Colab.")
    if gpu and not gpu.free:
        least = table.needs.partition(">=")[2]
        short = f"compute capability {least} or more: the free {free.name} has {free.capability}"
        memory = f"more memory than the {free.gib:g} GiB of the free {free.name}"
        return InColab("paid", gpu, f"It needs {memory if reaches(free.capability, table.needs) else short}.")
    return InColab("free", gpu, _lacks(free, name, method) if gpu and method else "")


def _lacks(gpu: Gpu, name: str, method: Method) -> str:
    """What of a method's notebook a GPU is too old for, as a sentence; empty where that is nothing."""
    own = {variant.label: variant.hardware["nvidia"].capability for variant in method.variants
           if variant.notebook == name and "nvidia" in variant.hardware}  # fmt: skip
    whole = method.hardware.nvidia.capability
    if whole and in_order(whole) > in_order(gpu.capability):
        return f"The method needs compute capability {whole}: a {gpu.name} has {gpu.capability} and shows what you get there."
    beyond = [f"{label} ({least})" for label, least in own.items() if least and in_order(least) > in_order(gpu.capability)]
    return f"The {gpu.name} has compute capability {gpu.capability}, too low for {', '.join(beyond)}." if beyond else ""


def _frozen(path: str, text: str) -> dict[str, str]:
    """{name: version} of a ``pip freeze``; raises GuideError naming the line that is none of it."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line and not line.startswith("#"):
            match = FROZEN.fullmatch(line)
            if not match:
                raise GuideError(f"{path}, line {number}, is no package with its version: leave out '{line}'.")
            found[canonicalize_name(match["name"])] = match["version"]
    return found
