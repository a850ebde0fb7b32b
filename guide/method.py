"""The facts of a method: the front matter of its page, the one place they stand."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, ValidationError

from guide.project import DOCS, GuideError, check_names, relative

METHODS = DOCS / "methods"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Group(StrEnum):
    """Where the guide names a method."""

    ON_THE_FLY = "on the fly"
    CALIBRATED = "calibrated"
    FORMAT = "specific format"
    RESEARCH = "research"


class Answer(StrEnum):
    YES = "yes"
    NO = "no"
    UNVERIFIED = "not verified"


class Cell(_Strict):
    """One cell of a table: an answer, what a reader should know with it, and what it rests on."""

    answer: Answer
    note: str = Field(default="", description="what a reader should know with the answer")
    source: str = Field(description="'proof', or where it was read: library and version, or page and date")


class Link(_Strict):
    """A page elsewhere, with the day it was last read."""

    title: str
    url: HttpUrl
    read: date | None = Field(default=None, description="the day its text was last read; left out where it was not read")


class Hardware(_Strict):
    """On which hardware the method loads and generates."""

    cpu: Cell
    nvidia: Cell
    amd: Cell
    intel_gpu: Cell
    apple: Cell


class Features(_Strict):
    """What else the method can do within Transformers."""

    save_and_reload: Cell
    peft: Cell
    torch_compile: Cell


class Trap(_Strict):
    """Something that goes wrong without an error; the notebook's cell tagged ``trap:<id>`` shows it happen."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    do: str = Field(description="what you do")
    expect: str = Field(description="what you expect of it")
    get: str = Field(description="what you get")
    notice: str = Field(description="how to notice")
    avoid: str = Field(description="how to avoid it")


class Method(_Strict):
    """The front matter of ``docs/methods/<name>.md``."""

    title: str
    description: Annotated[str, Field(max_length=160, description="one sentence for search engines")]
    group: Group
    use_case: str = Field(description="what to take it for, in the words of the guide's table")
    bits: list[int] = Field(description="weight widths it offers, widest first")
    calibration: Literal["none", "needed", "made elsewhere"]
    notebooks: list[str] = Field(description="notebooks that prove it, the main one first")
    hardware: Hardware
    features: Features
    pros: list[str]
    cons: list[str]
    traps: list[Trap] = []
    licence: str
    links: list[Link]

    def cells(self) -> dict[str, Cell]:
        """Hardware and features by name."""
        return dict(self.hardware) | dict(self.features)


def front_matter(path: Path) -> dict:
    """The YAML between the two ``---`` lines at the head of a page."""
    text = path.read_text(encoding="utf-8")
    if not text.startswith("---\n") or "\n---\n" not in text[4:]:
        raise GuideError(f"{relative(path)} has no front matter (the facts between two lines of '---').")
    try:
        return yaml.safe_load(text[4 : text.index("\n---\n", 4)])
    except yaml.YAMLError as error:
        raise GuideError(f"The front matter of {relative(path)} is not valid YAML: {' '.join(str(error).split())}.") from error


def read_method(name: str) -> Method:
    """The facts of one method; raises GuideError with the file and the field that is wrong."""
    path = METHODS / f"{name}.md"
    if not path.exists():
        raise GuideError(f"There is no method page {relative(path)}.")
    try:
        method = Method.model_validate(front_matter(path))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise GuideError(f"In the front matter of {relative(path)}, '{field}' is wrong: {first['msg']}.") from error
    check_names(method.notebooks)
    return method


def read_methods() -> dict[str, Method]:
    """All methods by name."""
    return {path.stem: read_method(path.stem) for path in sorted(METHODS.glob("*.md"))}
