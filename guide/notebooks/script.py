"""A snippet script: its PEP 723 head, its sections and its cells.

A script is the one source of a notebook and of the code blocks of a page. It starts with a PEP 723 block that pins
its dependencies and has a ``[tool.guide]`` table; below stand py:percent cells. ``nox`` and ``pip`` read the same block.
"""

import re
import textwrap
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any, Self

import jupytext
from nbformat import NotebookNode
from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, Field, ValidationError, model_validator

from guide.notebooks.edits import edited
from guide.project import GuideError, Strict, first_fault

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


class SourceBuild(Strict):
    """A package of which there is only source, to be built against the torch that is installed."""

    package: str
    requires: list[Pin] = Field(description="what its build imports, beside torch")
    variables: dict[str, str] = Field(default={}, description="environment variables of the build")


class Weighing(Strict):
    """How ``nox -s weigh`` runs the script's sections on models of other shapes; see ``guide.bench.recipe``."""

    before: str = Field(default="", description="code that makes the names which the sections use")
    cells: list[str] = Field(default=[], description="functions that the sections use; the cells that define them run before")
    after: str = Field(default="", description="code that puts together what the section made")
    saves: dict[str, str] = Field(default={}, description="by variant, a pattern of the folder in which its section saves "
                                  "the model; a process of its own loads it, as a reader does")  # fmt: skip
    loads_in: str | None = Field(default=None, description="the notebook in whose environment that process runs, if another")
    edits: dict[str, str] = Field(default={}, description="text of the sections and what it becomes, for a short calibration")
    shapes: list[str] = Field(default=["slow"], description="shapes, or groups of shapes, of guide/bench/shapes.py")
    proven: bool = Field(default=False, description="the reference is not weighed again: the proof has done that")
    not_here: list[str] = Field(default=[], description="variants that need a GPU")
    makes_checkpoints: bool = Field(default=False, description="what it loads ready-made is made of the random model")
    notes: dict[str, dict[str, str]] = Field(default={}, description="by shape and variant, why a prediction is off by more "
                                             "than 1 %")  # fmt: skip
    remarks: dict[str, dict[str, str]] = Field(default={}, description="by shape and variant, what else a reader should know")


class GuideTable(Strict):
    """The ``[tool.guide]`` table of a script's head."""

    method: str | None = Field(default=None, description="the method whose page, docs/methods/<method>.md, it proves; none "
                               "where it is about several")  # fmt: skip
    needs: str = Field(pattern=NEEDS, description="the least hardware it runs on: cpu, cuda or cuda>=MAJOR.MINOR")
    minutes: int = Field(gt=0, description="how long a run may take, installation apart, before it counts as hung")
    models: list[str] = Field(description="the public model ids it loads")
    checkpoints: dict[str, str] = Field(default={}, description="quantized checkpoints it loads: public id, and the module of "
                                        "models/checkpoints/ that makes the stand-in")  # fmt: skip
    made_with: dict[str, str] = Field(default={}, description="makers that run in another notebook's environment, and which")
    not_pasted: dict[str, str] = Field(default={}, description="sections that do not run by themselves, and what they need")
    engine: str | None = Field(default=None, description="the engine whose page, docs/engines/<engine>.md, it proves")
    texts: list[str] = Field(default=[], description="the public data set ids it loads")
    cuda_dependencies: list[Pin] = Field(default=[], description="pins that only an NVIDIA GPU has a use for")
    colab_gpu: str | None = Field(default=None, description="the smallest GPU of models/colab/image.toml that it runs on; "
                                  "none where it needs none")  # fmt: skip
    colab_not: str = Field(default="", description="why it does not run in Colab, as a sentence; none where it may")
    colab_unwanted: dict[str, str] = Field(default={}, description="packages of Colab's image that break it, each with how, "
                                           "as a sentence; its install cell takes them away")  # fmt: skip
    colab_restart: list[str] = Field(default=[], description="packages that its install cell replaces when Colab's kernel has "
                                     "imported them already: the cell asks for a restart")  # fmt: skip
    not_compared: str = Field(default="", description="why its figures do not join the tables that compare methods; its proof "
                              "box says so")  # fmt: skip
    only_faults: bool = Field(default=False, description="it shows known faults of a method that cannot run, and measures "
                              "and checks nothing")  # fmt: skip
    own_figures: bool = Field(default=False, description="it measures for its reader, in place of the table of measures")
    unwanted: list[str] = Field(default=[], description="packages that a dependency pulls in and that break the others")
    source_build: SourceBuild | None = Field(
        default=None, description="the dependency to install last, without build isolation"
    )
    control: str = Field(default="", description="Python that makes the method's own calls leave weights as they are, "
                         "for the control run; from_pretrained needs none")  # fmt: skip
    swap: dict[str, str] = Field(default={}, description="text in code cells and the same with another bit width: with all "
                                 "swapped, every check must fail too")  # fmt: skip
    held: dict[str, str] = Field(default={}, description="packages that nox -s upgrade leaves at their pins, and why, where "
                                 "the newest do not say by themselves what they go with")  # fmt: skip
    weigh: Weighing | None = Field(default=None, description="how to measure what its sections store; none where it is not")


@dataclass(frozen=True)
class InstallStep:
    """One call of ``pip install``."""

    pins: list[str]
    options: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


class Head(Strict):
    """A script's PEP 723 block."""

    requires_python: str = Field(alias="requires-python")
    dependencies: list[Pin]
    guide: GuideTable

    @model_validator(mode="after")
    def _holds_what_it_pins(self) -> Self:
        if unknown := self.guide.held.keys() - versions(self.pins(cuda=True)):
            raise ValueError(f"'held' names {', '.join(sorted(unknown))}, which is not among the pins")
        return self

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


@dataclass(frozen=True, eq=False)  # the same text gives the same object, so that what is made of it can be kept
class Script:
    """One file of ``snippets/``."""

    name: str
    head: Head
    body: str  # py:percent text below the head
    text: str

    @property
    def path(self) -> str:
        """As a reader of the repository knows it."""
        return f"snippets/{self.name}.py"

    @property
    def pins(self) -> dict[str, str]:
        """{package: version} of everything that the head pins, for a GPU too."""
        return versions(self.head.pins(cuda=True))

    def section(self, name: str, edits: Mapping[str, str] | None = None) -> str:
        """The code between a section's marks, as a page includes it, with some of its text replaced.

        Raises GuideError if there is no such section, or if it does not hold each text to replace exactly once.
        """
        start, end = (rf"^[ \t]*# --8<-- \[{word}:{re.escape(name)}\]\n" for word in ("start", "end"))
        found = re.search(f"{start}(.*?){end}", self.body, re.DOTALL | re.MULTILINE)
        if not found:
            raise GuideError(f"{self.path} has no section '{name}'.")
        code = textwrap.dedent(SECTION_MARK.sub("", found[1])).rstrip()
        return edited(code, edits or {}, f"The section '{name}' of {self.path}")

    def cells(self) -> list[NotebookNode]:
        """The cells as written, before shared code is copied in; section markers are taken out."""
        return list(jupytext.reads(SECTION_MARK.sub("", self.body), fmt="py:percent").cells)


def versions(pins: list[str]) -> dict[str, str]:
    """{package: version} of exact pins."""
    requirements = map(Requirement, pins)
    return {requirement.name: next(iter(requirement.specifier)).version for requirement in requirements}


@lru_cache(maxsize=512)
def parse_script(name: str, text: str) -> Script:
    """The script ``snippets/<name>.py`` of this text; raises GuideError with the file and the field that is wrong."""
    path = f"snippets/{name}.py"
    table, body = split_head(path, text)
    tool = table.pop("tool", {})
    try:
        head = Head.model_validate({**table, "guide": tool.get("guide", {})})
    except ValidationError as error:
        raise GuideError(f"In the head of {path}, {first_fault(error)}.") from error
    return Script(name, head, body, text)


def split_head(path: str, text: str) -> tuple[dict[str, Any], str]:
    """The table of a script's PEP 723 block, and what stands below it; raises GuideError naming ``path``."""
    found = HEAD.search(text)
    if not found:
        raise GuideError(f"{path} has no PEP 723 block ('# /// script' ... '# ///') at its head.")
    block = "".join(line[2:] if line.startswith("# ") else line[1:] for line in found["body"].splitlines(keepends=True))
    try:
        return tomllib.loads(block), text[found.end() :].lstrip("\n")
    except tomllib.TOMLDecodeError as error:
        raise GuideError(f"The head of {path} is not valid TOML: {error}.") from error
