"""The facts of a method: the front matter of its page, the one place they stand."""

import re
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, HttpUrl, ValidationError, ValidationInfo, field_validator, model_validator

from guide.project import GuideError, Strict, first_fault


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # in C where PyYAML was built with it
    """Front matter's YAML; a key that stands twice is an error, of which PyYAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node; raises ConstructorError for a key that it has twice."""
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key, _ in node.value if keys.count(key.value) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"'{twice.value}' stands twice", twice.start_mark)
        return dict(super().construct_mapping(node, deep))


# What a yes may rest on.
EVIDENCE = re.compile(
    r"proof|notebook \w+|run \d{4}-\d{2}-\d{2} with .+|[\w.-]+ v?\d[\w.]*( [^,]+)?, .+|.+, read \d{4}-\d{2}-\d{2}"
)


BF16 = 16  # bits of a weight that a variant unpacks
WIDTHS = re.compile(r"\bint(\d+)\b|\b((?:\d+(?:, | and | or | to ))*\d+)[- ]bit\b")  # as prose names them
RAISED = re.compile(r"(?:An? )?(?:\w+Error|error)\b")  # how a trap begins that is not silent


class Group(StrEnum):
    """Where the guide names a method; the navigation follows this order."""

    ON_THE_FLY = "on the fly"
    CALIBRATED = "calibrated"
    FORMAT = "specific format"
    RESEARCH = "research"
    SPECIAL = "one maker's hardware or models"

    @property
    def heading(self) -> str:
        """As the navigation has it."""
        return {
            Group.ON_THE_FLY: "Without calibration",
            Group.CALIBRATED: "With calibration",
            Group.FORMAT: "Formats",
            Group.RESEARCH: "Research methods",
            Group.SPECIAL: "One maker's hardware or models",
        }[self]


class Answer(StrEnum):
    YES = "yes"
    NO = "no"
    UNVERIFIED = "not verified"


class Cell(Strict):
    """One cell of a table: an answer, what a reader should know with it, and what it rests on."""

    answer: Answer
    note: str = Field(default="", description="what a reader should know with the answer")
    source: str = Field(description="'proof', 'notebook NAME', or where it was read: library and version, or page and date")
    differs: str = Field(default="", description="why the answer is not what the library's own flag or check says")

    @model_validator(mode="after")
    def _yes_has_evidence(self) -> Self:
        if self.answer is Answer.YES and not any(map(EVIDENCE.fullmatch, self.source.split("; "))):
            raise ValueError(
                f"'{self.source}' is no evidence for a yes; write proof, notebook NAME, 'library 1.2.3, name in its source', "
                "or 'page, read YYYY-MM-DD'"
            )
        return self


Version = Annotated[str, Field(pattern=r"^\d[\w.+-]*$")]  # of a release, as its package index has it
Package = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*$")]
Capability = Annotated[str, Field(pattern=r"^\d+\.\d$")]


def in_order(capability: str) -> tuple[int, int]:
    """A compute capability as numbers, which have the order of the texts' meaning: 10.0 comes after 8.9."""
    major, minor = capability.split(".")
    return int(major), int(minor)


def not_before_release(read: date, info: ValidationInfo) -> date:
    """The day that something was read; raises ValueError where ``released``, the field before it, is later."""
    if (released := info.data.get("released")) and released > read:
        raise ValueError(f"it was read on {read}, before 'released', {released}: correct one of them")
    return read


class NvidiaCell(Cell):
    """NVIDIA GPUs, with the compute capabilities at which the method begins and ends to run, where they are known."""

    capability: Capability | None = Field(
        default=None, description="lowest compute capability, such as '8.9'; null where none is known"
    )
    not_from: Capability | None = Field(
        default=None, description="compute capability from which on it does not run, such as '12.0'; null where none is known"
    )

    def ends_before(self, capability: str) -> bool:
        """Whether GPUs of that compute capability are too new for the method."""
        return self.not_from is not None and in_order(capability) >= in_order(self.not_from)

    @model_validator(mode="after")
    def _runs_somewhere(self) -> Self:
        if self.capability and self.ends_before(self.capability):
            raise ValueError(f"it runs nowhere: from compute capability {self.capability}, but not from {self.not_from}")
        return self


class Link(Strict):
    """A page elsewhere, with the day it was last read."""

    title: str
    url: HttpUrl
    read: date | None = Field(default=None, description="the day its text was last read; left out where it was not read")


class Hardware(Strict):
    """On which hardware the method loads and generates."""

    cpu: Cell
    nvidia: NvidiaCell
    amd: Cell
    intel_gpu: Cell
    apple: Cell


class Kernel(Strict):
    """A kernel that reads a method's packed weights, and what it asks for; what its source does not state is left out."""

    name: str
    runs_on: str = Field(description="devices, with the lowest compute capability where one is stated")
    system: str = Field(default="", description="operating system, and what compiling it takes")
    package: str = Field(default="", description="that brings it")
    dtype: str = Field(default="", description="of activations")
    source: str


class Features(Strict):
    """What else the method can do within Transformers."""

    quantize_on_load: Cell = Field(description="from_pretrained quantizes a bf16 model")
    activations: Cell = Field(description="quantizes activations as well as weights")
    save_and_reload: Cell
    peft: Cell
    generate_compiles: Cell = Field(description="generate compiles its decoding by itself")
    torch_compile: Cell = Field(
        default=Cell(answer=Answer.UNVERIFIED, note="not run here", source="no run of it in proofs/compiled"),
        description="torch.compile of the model works, and says the same; left out where nox -s compile has run it",
    )


class OfKey(Strict):
    """What is true of one key of the registry, where its method has several."""

    bits: list[int]
    cells: dict[str, Cell] = Field(default={}, description="where they differ from the method's, by the name of the cell")
    tried: bool = Field(default=True, description="a notebook of the method runs it")


class InTransformers(Strict):
    """What Transformers' registry and checks say of the method; ``nox -s drift`` compares it with the library."""

    keys: list[str] = Field(
        description="keys of AUTO_QUANTIZATION_CONFIG_MAPPING that this page covers; none where a library loads by itself"
    )
    own: dict[str, OfKey] = Field(default={}, description="by key, what differs from the method's facts")
    packages: dict[str, str | None] = Field(
        description="packages it asks for, with the lowest version that passes its check; null where any version does"
    )
    optional: list[str] = Field(
        default=[], description="of those packages, the ones without which it warns and unpacks instead"
    )
    packages_later: dict[str, str | None] = Field(
        default={}, description="packages that loading or the first forward pass asks for, behind that check"
    )
    raises_without: list[Literal["cuda", "mps", "xpu"]] = Field(
        default=[], description="devices; without any of them quantizing a bf16 model raises"
    )

    @model_validator(mode="after")
    def _optional_is_named(self) -> Self:
        if unknown := set(self.optional) - self.packages.keys():
            raise ValueError(f"optional has {', '.join(sorted(unknown))}, which packages has not")
        return self


class Library(Strict):
    """The method's own library and its newest release."""

    package: Package = Field(description="its name on PyPI")
    version: Version = Field(description="its newest release on the day it was looked up")
    released: date = Field(description="the day of that release")
    read: date = Field(description="the day it was looked up")

    @field_validator("read")
    @classmethod
    def _after_its_release(cls, read: date, info: ValidationInfo) -> date:
        return not_before_release(read, info)


class Stored(Strict):
    """One kind of thing that a variant stores of a linear layer: an entry for each tile of its weight matrix, or each run.

    ``guide/calculator/memory.py`` has the formula.
    """

    what: str = Field(description="weights, scales, zero points, ...")
    bytes: float = Field(gt=0, description="of one entry")
    tile: tuple[int | None, int | None] = Field(
        default=(1, 1), description="outputs × inputs that share one entry; null stands for all of them"
    )
    run: int | None = Field(default=None, gt=0, description="instead of a tile: weights that share one entry, counted on end")


class Part(StrEnum):
    """A part of a model that may be quantized."""

    LINEAR = "linear"
    EXPERTS = "experts"
    HEAD = "head"
    EMBEDDING = "embedding"


class Multiple(Strict):
    """What a layer must be for a kernel to take it; where it is not, loading raises."""

    outputs: int = Field(description="its outputs must be a multiple of this")
    inputs: int = Field(default=1, description="where its inputs are a multiple of this, and more than it")
    source: str = Field(description="where that was seen or read")


class Variant(Strict):
    """One way to use the method: what the selector recommends, and what the memory calculator counts."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    label: str = Field(description="as a reader knows it, without the method's name: int8 weight-only")
    bits: int = Field(description="of a weight")
    notebook: str | None = Field(default=None, description="the notebook that runs it, if any does")
    section: str | None = Field(default=None, description="the section of that notebook's script that loads or makes it")
    ready: Annotated[str, Field(pattern=r"^\w+:[\w-]+$")] | None = Field(
        default=None, description="NOTEBOOK:SECTION that loads a ready checkpoint, where that is other code"
    )
    unpacked: Annotated[str, Field(pattern=r"^\w+:[\w-]+$")] | None = Field(
        default=None, description="NOTEBOOK:SECTION that loads a ready checkpoint as bf16 where its kernels don't run"
    )
    edits: dict[str, str] = Field(default={}, description="text of that section and what it becomes for this variant")
    measured: str | None = Field(default=None, description="the row of that notebook's measures that is this variant")
    product: Literal["16-bit", "int8", "fp8", "fp4"] = Field(
        default="16-bit", description="in what the matrix product runs; 16-bit is weight-only"
    )
    kernel: Literal["fused", "compiled", "none"] = Field(
        description="what makes it fast on a GPU: a kernel that reads packed weights, torch.compile, or nothing"
    )
    kernel_capability: str | None = Field(default=None, description="the lowest compute capability of that kernel")
    kernel_rows: Literal["one", "few"] | None = Field(
        default=None,
        description="rows of activations that kernel is made for, where it is slow with more: one sequence, or few",
    )
    kernel_source: str = Field(description="where that was read: library, version and name")
    runs: Literal["packed", "unpacked"] = Field(
        default="packed", description="whether its weights stay as stored while Transformers runs it, or become bf16 before"
    )
    calibration: Literal["none", "needed", "made elsewhere"] | None = Field(
        default=None, description="where it differs from the method's"
    )
    hardware: dict[Literal["cpu", "nvidia", "amd", "intel_gpu", "apple"], NvidiaCell] = Field(
        default={}, description="where it differs from the method's hardware"
    )
    features: dict[Literal["quantize_on_load", "save_and_reload", "peft", "generate_compiles", "torch_compile"], Cell] = Field(
        default={}, description="where it differs from the method's features"
    )
    quantizes: list[Part] = Field(default=[Part.LINEAR], description="what of a model it quantizes; the rest stays in bf16")
    mixtures: bool = Field(default=False, description="whether it is for mixtures of experts alone, whose experts it names")
    takes: Multiple | None = Field(default=None, description="which layers it takes, where it raises for others")
    storage: list[Stored] = Field(description="what it stores of each layer, while it runs on a GPU")
    shares: int | None = Field(
        default=None, gt=0, description="how many weights share a scale, where a tile of the scales has those of several"
    )
    storage_source: str = Field(description="'proof', 'notebook NAME', or where it was read: library, version and name")

    @model_validator(mode="after")
    def _has_evidence(self) -> Self:
        for field in ("kernel_source", "storage_source"):
            if not EVIDENCE.fullmatch(getattr(self, field)):
                raise ValueError(f"'{getattr(self, field)}' is no evidence for {field.removesuffix('_source')}")
        return self

    def own_cell(self, label: str) -> Cell | None:
        """What differs from the method's cell of that name."""
        cells: tuple[tuple[str, Cell], ...] = (*self.hardware.items(), *self.features.items())
        return next((cell for name, cell in cells if name == label), None)


class Trap(Strict):
    """Something that goes wrong; the notebook's cell tagged ``trap:<id>`` shows it happen."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    silent: bool = Field(default=True, description="nothing is raised where it goes wrong, though it may be later")
    do: str = Field(description="what you do")
    expect: str = Field(description="what you expect of it")
    get: str = Field(description="what you get")
    notice: str = Field(description="how to notice")
    avoid: str = Field(description="how to avoid it")

    @model_validator(mode="after")
    def _raises_or_not(self) -> Self:
        if self.silent and (error := RAISED.match(self.get)):
            raise ValueError(f"the trap '{self.id}' is silent, but its 'get' begins with '{error[0]}': write 'silent: false'")
        return self


class Method(Strict):
    """The front matter of ``docs/methods/<name>.md``."""

    title: str
    description: Annotated[str, Field(max_length=160, description="one sentence for search engines")]
    group: Group
    use_case: str = Field(description="what to take it for, in the words of the guide's table")
    bits: list[int] = Field(description="weight widths it offers, widest first")
    calibration: Literal["none", "needed", "made elsewhere"]
    calibration_note: str = Field(default="", description="what a reader should know of its calibration")
    only_models: list[str] = Field(
        default=[], description="parts of model ids that it is for, where it does nothing to others or ruins them"
    )
    notebooks: list[str] = Field(description="notebooks that prove it, the main one first; none where nothing of it was run")
    transformers: InTransformers
    library: Library | None = Field(default=None, description="null where Transformers has all the code")
    hardware: Hardware
    kernels: list[Kernel] = Field(default=[], description="kernels of its library, by its source")
    features: Features
    pros: list[str]
    cons: list[str]
    variants: list[Variant] = Field(default=[], description="the ways to use it, the one to take first at the head")
    traps: list[Trap] = Field(default=[])
    names: list[str] = Field(
        default=[], description="dotted names of the method's own library that the prose uses; a proof's environment has them"
    )
    licence: str
    links: list[Link]

    @field_validator("bits")
    @classmethod
    def _as_it_is_described(cls, bits: list[int], info: ValidationInfo) -> list[int]:
        """The widths that the description and the use case name are among those that it offers."""
        for field in ("description", "use_case"):
            found = {
                int(one) for pair in WIDTHS.findall(info.data.get(field, "")) for one in re.findall(r"\d+", " ".join(pair))
            }
            if extra := sorted(found - {*bits, BF16}):
                raise ValueError(f"it lacks {extra[0]}, which '{field}' names: add it here, or correct '{field}'")
        return bits

    @field_validator("calibration")
    @classmethod
    def _as_its_group(cls, calibration: str, info: ValidationInfo) -> str:
        if info.data.get("group") is Group.CALIBRATED and calibration != "needed":
            raise ValueError(
                f"'group' is '{Group.CALIBRATED}', and this is '{calibration}': write 'needed', or correct 'group'"
            )
        return calibration

    @field_validator("transformers")
    @classmethod
    def _own_widths(cls, given: InTransformers, info: ValidationInfo) -> InTransformers:
        """A key's own widths are among the method's, and those that its name says."""
        for key, own in given.own.items():
            if extra := sorted(set(own.bits) - set(info.data.get("bits", own.bits))):
                raise ValueError(f"own.{key}.bits has {extra[0]}, which 'bits' lacks: correct one of them")
            named = re.search(r"(\d+)bit", key)
            if named and own.bits != [int(named[1])]:
                raise ValueError(f"own.{key}.bits is {own.bits}, and the key's name says {named[1]}: write [{named[1]}]")
        return given

    @field_validator("variants")
    @classmethod
    def _widths_that_it_offers(cls, variants: list[Variant], info: ValidationInfo) -> list[Variant]:
        for variant in variants:
            if variant.bits not in (*info.data.get("bits", [variant.bits]), BF16):
                raise ValueError(
                    f"'{variant.id}' has {variant.bits} bits, which 'bits' lacks: add it there, or correct it here"
                )
        return variants

    @property
    def calibration_words(self) -> str:
        """Whether it calibrates, the variants that differ, and what a reader should know of it."""
        words = {"made elsewhere": "none in Transformers, which only loads such checkpoints"}
        others: dict[str, list[str]] = {}
        for variant in self.variants:
            if variant.calibration not in (None, self.calibration):
                others.setdefault(words.get(variant.calibration, variant.calibration), []).append(variant.label)
        parts = [
            words.get(self.calibration, self.calibration),
            *(f"{what} for {', '.join(of)}" for what, of in others.items()),
        ]
        return "; ".join([*parts, *([self.calibration_note] if self.calibration_note else [])])

    def variant(self, id: str | None) -> Variant | None:
        """The way of that id to use the method, if there is one."""
        return next((variant for variant in self.variants if variant.id == id), None)

    def cells(self) -> dict[str, Cell]:
        """Hardware and features by name."""
        return dict(self.hardware) | dict(self.features)


def front_matter(path: str, text: str) -> dict[str, Any]:
    """The YAML between the two ``---`` lines at the head of a page."""
    if not text.startswith("---\n") or "\n---\n" not in text[4:]:
        raise GuideError(f"{path} has no front matter (the facts between two lines of '---').")
    try:
        found: dict[str, Any] = yaml.load(text[4 : text.index("\n---\n", 4)], Loader)
        return found
    except yaml.YAMLError as error:
        raise GuideError(f"The front matter of {path} is not valid YAML: {' '.join(str(error).split())}.") from error


@lru_cache(maxsize=512)
def parse_method(name: str, text: str) -> Method:
    """The facts of the page ``docs/methods/<name>.md`` of this text; raises GuideError with the file and the wrong field."""
    path = f"docs/methods/{name}.md"
    try:
        return Method.model_validate(front_matter(path, text))
    except ValidationError as error:
        raise GuideError(f"In the front matter of {path}, {first_fault(error)}.") from error
