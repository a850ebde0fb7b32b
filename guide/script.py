"""Read a snippet script: its PEP 723 head, and its cells.

A script is the one source of a notebook and of the code blocks of a page. It starts with a PEP 723 block that pins
its dependencies and has a ``[tool.guide]`` table; below stand py:percent cells. ``nox`` and ``pip`` read the same block.
"""

from __future__ import annotations

import re
import textwrap
import tomllib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import jupytext
from nbformat import NotebookNode
from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from guide.project import NOTEBOOKS, SNIPPETS, GuideError, relative, stamp

HEAD = re.compile(r"^# /// script\n(?P<body>(?:#(?: .*)?\n)+?)# ///\n", re.MULTILINE)
SECTION_MARK = re.compile(r"^[ \t]*# --8<-- \[(?:start|end):[\w-]+\]\n?", re.MULTILINE)
NEEDS = r"^(cpu|cuda(>=\d+\.\d+)?)$"


def _exact(pin: str) -> str:
    try:
        specifiers = list(Requirement(pin).specifier)
    except InvalidRequirement as error:
        raise ValueError(f"'{pin}' is not a requirement: {error}") from error
    if len(specifiers) != 1 or specifiers[0].operator != "==":
        raise ValueError(f"'{pin}' is not pinned with ==")
    return pin


Pin = Annotated[str, AfterValidator(_exact)]


class SourceBuild(BaseModel):
    """A package of which there is only source, to be built against the torch that is installed."""

    model_config = ConfigDict(extra="forbid")

    package: str
    requires: list[Pin] = Field(description="what its build imports, beside torch")
    variables: dict[str, str] = Field(default={}, description="environment variables of the build")


class GuideTable(BaseModel):
    """The ``[tool.guide]`` table of a script's head."""

    model_config = ConfigDict(extra="forbid")

    method: str = Field(description="the method page this notebook proves: docs/methods/<method>.md")
    needs: str = Field(pattern=NEEDS, description="the least hardware it runs on: cpu, cuda or cuda>=MAJOR.MINOR")
    minutes: int = Field(gt=0, description="how long a run may take, installation apart, before it counts as hung")
    models: list[str] = Field(description="the public model ids it loads")
    checkpoints: dict[str, str] = Field(default={}, description="quantized checkpoints it loads: public id, and the module of "
                                        "guide/checkpoints/ that makes the stand-in")  # fmt: skip
    texts: list[str] = Field(default=[], description="the public data set ids it loads")
    cuda_dependencies: list[Pin] = Field(default=[], description="pins that only an NVIDIA GPU has a use for")
    colab_gpu: str | None = Field(default=None, description="the GPU that Colab should offer: T4, L4, A100")
    not_compared: str = Field(default="", description="why its figures do not join the tables that compare methods; its proof "
                              "box says so")  # fmt: skip
    only_faults: bool = Field(default=False, description="it shows known faults of a method that cannot run, and measures "
                              "and checks nothing")  # fmt: skip
    unwanted: list[str] = Field(default=[], description="packages that a dependency pulls in and that break the others")
    source_build: SourceBuild | None = Field(
        default=None, description="the dependency to install last, without build isolation"
    )
    control: str = Field(default="", description="Python that makes the method's own calls leave weights as they are, "
                         "for the control run; from_pretrained needs none")  # fmt: skip
    swap: dict[str, str] = Field(default={}, description="text in code cells and the same with another bit width: with all "
                                 "swapped, every check must fail too")  # fmt: skip


@dataclass(frozen=True)
class InstallStep:
    """One call of ``pip install``."""

    pins: list[str]
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


class Head(BaseModel):
    """A script's PEP 723 block."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    requires_python: str = Field(alias="requires-python")
    dependencies: list[Pin]
    guide: GuideTable

    def pins(self, cuda: bool) -> list[str]:
        """What to install, on a machine with an NVIDIA GPU or without."""
        return self.dependencies + (self.guide.cuda_dependencies if cuda else [])

    def install_steps(self, cuda: bool) -> list[InstallStep]:
        """The calls of pip that install the pins: one, or two where a package is built against the others."""
        pins, build = self.pins(cuda), self.guide.source_build
        if not build:
            return [InstallStep(pins)]
        last = [pin for pin in pins if Requirement(pin).name == build.package]
        first = [pin for pin in pins if pin not in last]
        return [InstallStep(first + build.requires), InstallStep(last, ("--no-build-isolation",), build.variables)]


@dataclass(frozen=True, eq=False)
class Script:
    name: str
    path: Path
    head: Head
    body: str  # py:percent text below the head

    @property
    def notebook_path(self) -> Path:
        return NOTEBOOKS / f"{self.name}.ipynb"

    def section(self, name: str, edits: dict[str, str] | None = None) -> str:
        """The code between a section's marks, as a page includes it, with some of its text replaced.

        Raises GuideError if there is no such section, or if it does not hold a text to replace.
        """
        start, end = (rf"^[ \t]*# --8<-- \[{word}:{re.escape(name)}\]\n" for word in ("start", "end"))
        found = re.search(f"{start}(.*?){end}", self.body, re.DOTALL | re.MULTILINE)
        if not found:
            raise GuideError(f"{relative(self.path)} has no section '{name}'.")
        text = textwrap.dedent(SECTION_MARK.sub("", found[1])).rstrip()
        for old, new in (edits or {}).items():
            if old not in text:
                raise GuideError(f"The section '{name}' of {relative(self.path)} holds no '{old}', which a variant replaces.")
            text = text.replace(old, new)
        return text

    def cells(self) -> list[NotebookNode]:
        """The cells as written, before shared code is copied in; section markers are taken out."""
        return jupytext.reads(SECTION_MARK.sub("", self.body), fmt="py:percent").cells


def read_script(name: str) -> Script:
    """Read ``snippets/<name>.py``; raises GuideError with the file and the field that is wrong."""
    path = SNIPPETS / f"{name}.py"
    return _read_script(name, path, stamp(path))


@lru_cache(maxsize=256)
def _read_script(name: str, path: Path, _stamp: tuple) -> Script:
    text = path.read_text(encoding="utf-8")
    found = HEAD.search(text)
    if not found:
        raise GuideError(f"{relative(path)} has no PEP 723 block ('# /// script' ... '# ///') at its head.")
    block = "".join(line[2:] if line.startswith("# ") else line[1:] for line in found["body"].splitlines(keepends=True))
    try:
        table = tomllib.loads(block)
        tool = table.pop("tool", {})
        head = Head.model_validate({**table, "guide": tool.get("guide", {})})
    except tomllib.TOMLDecodeError as error:
        raise GuideError(f"The head of {relative(path)} is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise GuideError(f"In the head of {relative(path)}, '{field}' is wrong: {first['msg']}.") from error
    return Script(name, path, head, text[found.end() :].lstrip("\n"))
