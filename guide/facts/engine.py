"""The facts of inference engines: which checkpoint format each loads, on which hardware, and what that rests on.

An engine's facts are the front matter of ``docs/engines/<engine>.md``; formats and hardware, the rows and columns that all
engines share, are that of ``docs/engines/index.md``.
"""

import re
from collections.abc import Container, Mapping
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator

from guide.facts.method import (
    Answer,
    Capability,
    Cell,
    Method,
    NvidiaCell,
    Package,
    Part,
    Version,
    front_matter,
    in_order,
    not_before_release,
)
from guide.project import GuideError, Strict, first_fault

Model = TypeVar("Model", bound=Strict)
PLUGIN = re.compile(r"([\w-]+) v?(\d[\w.]*)")  # a package, and its version
RELEASE = re.compile(r"v?(\d+(?:\.\d+)+)")  # a tag that is a version, and not a commit
# The cell of a method that answers for a generation of hardware that is not NVIDIA's.
PLACES = {"cdna": "amd", "rdna": "amd", "intel_gpu": "intel_gpu", "apple": "apple", "cpu": "cpu"}


class How(StrEnum):
    """What an engine does with the packed weights of a checkpoint."""

    PACKED = "packed"
    UNPACKED = "unpacked"
    CONVERTED = "converted"

    @property
    def words(self) -> str:
        """As a note says it; nothing where they stay packed, which is the rule."""
        return {
            How.PACKED: "",
            How.UNPACKED: "unpacked to 16 bit",
            How.CONVERTED: "convert it first",
        }[self]


class Generation(Strict):
    """A generation of hardware: a column of the matrix."""

    id: str
    name: str
    examples: str
    capability: Capability | None = Field(default=None, description="NVIDIA's compute capability; null for other hardware")
    of: str | None = Field(default=None, description="the column beside or within which it stands, where it is none itself")


class Block(Strict):
    """A type of blocks, of which a file's tensors are made."""

    weights: int = Field(gt=0, description="of a row, that one block holds")
    bytes: int = Field(gt=0)
    otherwise: str | None = Field(default=None, description="the type of a tensor whose rows are no whole number of blocks")


MIXTURES = "mixtures"  # of experts, where hardware could stand
Which = Literal["output", "embedding", "experts", "values", "down", "out", "rest"]
Where = Literal["all", "more", "shared", "two", "8th", "16th"]


class Offer(Strict):
    """A width of a format that no method's page makes, as the selector counts it."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    label: str = Field(description="as its engine's readers know it: Q4_K_M")
    bits: int = Field(description="of a weight, without what stands beside it")
    stored: float | None = Field(default=None, gt=0, description="bits a weight, scales and what is kept wider included")
    types: list[tuple[Which, Where, str]] = Field(
        default=[], description="which tensors in which layers get which of the blocks, the first that means a tensor counts"
    )
    whole: bool = Field(default=False, description="embeddings and output head count among these weights")
    product: Literal["16-bit", "int8", "fp8", "fp4"] = "16-bit"
    calibration: Literal["none", "needed"] = "none"
    kl: float | None = Field(default=None, gt=0, description="from 16 bit, in nats, as its makers measured it: stated_kl")
    source: str = Field(description="where the bits a weight were read, or how they follow")


class Original(Strict):
    """How a maker's own checkpoint differs from what the method's page makes."""

    source: str
    quantizes: list[Part]
    group: int = Field(gt=0, description="weights of a row that share a scale")


class Format(Strict):
    """What a file holds: a row of the matrix."""

    id: str
    name: str
    method: str | None = Field(default=None, description="the method's page, where there is one")
    variant: str | None = Field(default=None, description="the variant of that page")
    key: str = Field(default="", description="quant_method in config.json, or what the file has instead")
    holds: str = Field(description="what is stored, in a phrase")
    named: list[str] = Field(default=[], description="endings of repositories' names by which it is known, in any case")
    hinted: list[str] = Field(default=[], description="endings that other formats have too: they tell where no other does")
    originals: dict[str, str | Original] = Field(
        default={}, description="presets of the calculator whose maker publishes them so, each with where that was read"
    )
    home: str | None = Field(default=None, description="the engine that it was made for, if it was for one")
    offers: list[Offer] = Field(default=[], description="its widths, where no method's page has them")


class Common(Strict):
    """The front matter of ``docs/engines/index.md``: what all engines share."""

    title: str
    description: str
    hide: list[str] = Field(default=[], description="for the theme")
    engines: list[str] = Field(description="their pages, in the order of the matrix")
    generations: list[Generation]
    parts: list[Generation] = Field(default=[], description="hardware that is told apart within, or before, a generation")
    formats: list[Format]
    blocks: dict[str, Block] = Field(default={}, description="types that offers give their tensors")
    blocks_source: str = Field(default="", description="where their sizes were read")
    stated_kl: str = Field(default="", description="where the KL of offers was read, and of what model and text it is")

    @property
    def places(self) -> list[Generation]:
        """All hardware that is told apart: the parts, then the columns."""
        return [*self.parts, *self.generations]

    @model_validator(mode="after")
    def _counted(self) -> Self:
        """Each offer says what it stores, in blocks that there are."""
        for offer in (offer for one in self.formats for offer in one.offers):
            unknown = [name for _, _, name in offer.types if name not in self.blocks]
            if unknown or not (offer.types or offer.stored):
                why = f"names {', '.join(unknown)}, which is none of the blocks" if unknown else "says not what it stores"
                raise ValueError(f"the offer {offer.label} {why}")
        return self


class Loads(Cell):
    """Whether an engine loads a format, and where."""

    how: How | None = None
    divides: Literal["groups", "padded", "no"] = Field(
        default="groups",
        description="how tensor parallelism divides it: whole groups alone, any number of weights, not at all",
    )
    nvidia: Answer | None = Field(default=None, description="on NVIDIA's GPUs, where that differs from the answer")
    only: str = Field(default="", description="the models that it is loaded for, where it is not loaded for most")
    keeps: bool = Field(default=False, description="a format that is converted first stays as narrow as it is")
    stays: str = Field(
        default="",
        pattern=r"^\w*$",
        description="the type of blocks in which the engine's own files hold its weights, whatever type the other weights get",
    )
    experts: Answer = Field(default=Answer.YES, description="whether a mixture of experts loads in it")
    experts_not_on: list[str] = Field(default=[], description="generations and parts of hardware on which a mixture does not")
    plugin: str = Field(default="", description="a separate package that it needs, with its version")
    key: list[str] = Field(default=[], description="names in the engine's own registry that take it")
    bits: list[int] = Field(default=[], description="the widths that load, where not all do")
    flag: str = Field(default="", description="what the server must be told to read this format")
    flag_for: list[str] = Field(
        default=[],
        description=f"where it must be told so: '{MIXTURES}' of experts, generations and parts; everywhere if empty",
    )
    minimum: Capability | None = Field(default=None, description="compute capability that its kernel asks for")
    elsewhere: dict[str, Answer] = Field(default={}, description="on other hardware than NVIDIA's, by generation or part")
    excepts: dict[str, str] = Field(
        default={}, description="NVIDIA generations above the minimum, and parts of others, that are refused, and why"
    )
    refusal: str = Field(default="", description="what the engine says to a format that it does not load")

    @model_validator(mode="after")
    def _fits_its_answer(self) -> Self:
        if self.answer is Answer.NO and (
            self.how or self.only or self.minimum or self.elsewhere or self.excepts or self.plugin
        ):
            raise ValueError("a format that is not loaded has no how, plugin, minimum, elsewhere or excepts")
        if self.answer is Answer.YES and not self.how:
            raise ValueError("a yes says how: packed, unpacked or converted")
        plugin = PLUGIN.fullmatch(self.plugin)
        if plugin and plugin[1] in self.source and plugin[0] not in self.source:
            raise ValueError(
                f"its plugin is {self.plugin}, and its source names {plugin[1]} of another version: write the same"
            )
        return self


class Cached(Strict):
    """How an engine's server is asked for a key-value cache of 8 bits, and where it has one."""

    flag: str = Field(description="empty where it does so by itself")
    places: list[str] = Field(default=[], description="generations, and parts of them; empty for all")
    heads: list[int] = Field(default=[], description="the sizes of a head that it takes, where it does not take all")
    latent: bool = Field(default=False, description="whether it takes the cache of latent attention, MLA")
    full: bool = Field(default=False, description="whether it takes models of full attention alone, without windows or states")
    without: list[str] = Field(default=[], description="model types that it does not take")


class Flags(Strict):
    """What an engine's server calls what a reader asks for; empty where it has no such argument."""

    context: str = Field(default="", description="a limit of tokens")
    step: int = Field(default=1, gt=0, description="of which that limit must be a multiple")
    language: str = Field(default="", description="the language model alone, of a model that sees")
    gpus: str = Field(default="", description="GPUs among which each layer is divided")
    pipeline: str = Field(default="", description="GPUs each of which takes whole layers")
    offload: bool = Field(default=False, description="whether a GPU may hold some layers, and the computer the others")
    cache: list[Cached] = Field(default=[], description="a cache of 8 bits, the first that fits counts")
    cache_source: str = ""


class NeedsBf16(Strict):
    """Models that an engine runs in float32 where a GPU has no bf16."""

    models: list[str] = Field(description="model types")
    source: str


class Chunk(Strict):
    """How many tokens of prompts a server reads in one pass, as it starts by default."""

    tokens: int = Field(gt=0)
    gib: int = Field(default=0, ge=0, description="from how much memory of one device on")
    not_on: list[str] = Field(default=[], description="generations of hardware on which it stays with the one before")


class Reads(Strict):
    """How a server reads prompts: in chunks, so that a pass holds no more, however many are waiting."""

    chunks: list[Chunk] = Field(min_length=1, description="by memory, the least first")
    prompts: int = Field(default=1, gt=0, description="how many of which it reads a chunk each in the same pass")
    source: str


class Registry(Strict):
    """Where an engine lists the methods it knows: a variable or a class in a file of a wheel on PyPI."""

    distribution: str
    version: str
    file: str
    name: str
    others: dict[str, str] = Field(default={}, description="names that no format of the matrix has, and what they are")

    @property
    def place(self) -> tuple[str, str, str, str]:
        """What was to be read."""
        return self.distribution, self.version, self.file, self.name


class Listed(Strict):
    """``proofs/engines/<engine>.json``: what was read there."""

    distribution: str
    version: str
    file: str
    name: str
    names: list[str]


class Engine(Strict):
    """The front matter of ``docs/engines/<engine>.md``."""

    title: str
    description: Annotated[str, Field(max_length=160, description="one sentence for search engines")]
    package: Package | None = Field(description="on PyPI; null if it is no Python package")
    version: Version
    released: date | None
    read: date = Field(description="the day its source was read")
    read_in: str = Field(default="", description="what was read instead, where its source at this version was out of reach")
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name on GitHub")]
    tag: Annotated[str, Field(pattern=r"^[\w./+-]+$")] | None
    licence: str
    kept: str = Field(default="", description="what its own repository says of its end, if it does")
    transformers: Annotated[str, Field(pattern=r"^[<>=!~\d.,*]+$")] | None = Field(
        default=None, description="the versions of Transformers that it asks for"
    )
    install: str
    for_cuda: bool = Field(default=False, description="whether that command fetches a build for NVIDIA's GPUs alone")
    first: str = Field(default="", description="what must be there before that command, or what comes with it")
    serve: str | None = Field(description="starts a server that speaks OpenAI's protocol; null if there is none")
    serves_not: list[str] = Field(default=[], description="hardware on which the engine runs and its server does not")
    convert: str = Field(default="", description="makes its own file of a checkpoint that it does not open as it is")
    makes_by_parts: str = Field(
        default="", description="source, where its tool holds one tensor at a time, not the model, to make a checkpoint"
    )
    flags: Flags = Flags()
    needs_bf16: NeedsBf16 | None = Field(default=None, description="models that it refuses in float16, if there are any")
    reads: Reads | None = Field(default=None, description="how its server reads prompts; null where that is not known")
    own: list[str] = Field(default=[], description="formats of its maker's own tool, where they are home to no engine")
    registry: Registry | None = Field(default=None, description="its own list of methods, where that can be read")
    hardware: dict[str, Cell] = Field(description="where the engine itself runs, by generation; a part only where it differs")
    formats: dict[str, Loads] = Field(description="by format, in the order of docs/engines/index.md")
    of_methods: bool = Field(
        default=False, description="hardware of formats that have a method's page is that page's: Transformers"
    )
    traps: list[str] = Field(default=[], description="what goes wrong with quantized checkpoints in it, each with its source")

    @field_validator("read")
    @classmethod
    def _after_its_release(cls, read: date, info: ValidationInfo) -> date:
        return not_before_release(read, info)

    @field_validator("tag")
    @classmethod
    def _of_its_version(cls, tag: str | None, info: ValidationInfo) -> str | None:
        """A tag that is a version is the page's."""
        version = info.data.get("version")
        if tag and version and (found := RELEASE.fullmatch(tag)) and found[1] != version:
            raise ValueError(f"it is of {found[1]}, and 'version' is {version}: write the same")
        return tag

    @field_validator("install")
    @classmethod
    def _installs_its_version(cls, install: str, info: ValidationInfo) -> str:
        """What a reader installs is what was read."""
        version, package = str(info.data.get("version", "")), info.data.get("package")
        name = rf"\b{re.escape(package)}(?:\[[^\]]*\])?==" if package else r"[:@=]"
        if not re.search(rf"{name}{re.escape(version)}(?![\w.])", install):
            raise ValueError(
                f"it does not install {' '.join([package or '', version]).strip()}, which is 'version': write the same"
            )
        return install

    @model_validator(mode="after")
    def _described_at_its_version(self) -> Self:
        names = "|".join(re.escape(one) for one in (self.title, self.package) if one)
        for said in re.findall(rf"(?:{names}) v?(\d+(?:\.\d+)+)", self.description):
            if not f"{self.version}.".startswith(f"{said}."):
                raise ValueError(f"'description' says {said}, and 'version' is {self.version}: write the same")
        return self

    def runs(self, generation: Generation) -> Answer:
        """Whether it runs there at all; a part that its page does not name is as its column, if it is not older than that."""
        if found := self.hardware.get(generation.id):
            return found.answer
        column = self.hardware[generation.of or ""].answer
        return Answer.UNVERIFIED if generation.capability and column is Answer.YES else column

    def on(self, format: str, generation: Generation) -> Answer:
        """Whether it loads a format on a generation of hardware, or a part of one, as far as its source says."""
        cell, place = self.formats[format], self.runs(generation)
        if Answer.NO in (cell.answer, place) or generation.id in cell.excepts:
            return Answer.NO
        if generation.capability is None:
            column = cell.elsewhere.get(generation.of or "", Answer.UNVERIFIED)
            found = cell.elsewhere.get(generation.id, column)
        elif cell.minimum is None:
            found = cell.nvidia or cell.answer
        elif in_order(generation.capability) >= in_order(cell.minimum):
            found = cell.nvidia or Answer.YES
        else:
            return Answer.NO
        if found is Answer.YES and Answer.UNVERIFIED in (cell.answer, place):
            return Answer.UNVERIFIED
        return found


@lru_cache(maxsize=4)
def parse_common(text: str) -> Common:
    """The formats and generations of ``docs/engines/index.md``; raises GuideError with the field that is wrong."""
    return _validated(Common, "docs/engines/index.md", text)


@lru_cache(maxsize=64)
def parse_engine(name: str, text: str, common: str) -> Engine:
    """The engine of ``docs/engines/<name>.md``; raises GuideError with the file and the field that is wrong.

    ``common`` is the text of ``docs/engines/index.md``, whose formats and generations it must answer, all and no other.
    """
    path, shared = f"docs/engines/{name}.md", parse_common(common)
    engine = _validated(Engine, path, text)
    generations = [generation.id for generation in shared.generations]
    parts = {part.id for part in shared.parts}
    _complete(path, "hardware", engine.hardware, generations, parts)
    _complete(path, "formats", engine.formats, [format.id for format in shared.formats])
    nvidia = {one.id for one in shared.generations if one.capability}
    others = {*generations, *parts} - nvidia
    named = [("flags.cache.places", cached.places, nvidia | others) for cached in engine.flags.cache]
    named.append(("serves_not", engine.serves_not, nvidia | others))
    chunks = engine.reads.chunks if engine.reads else []
    named += [("reads.chunks.not_on", chunk.not_on, nvidia | others) for chunk in chunks]
    for format, cell in engine.formats.items():
        named.append((f"formats.{format}.elsewhere", list(cell.elsewhere), others))
        named.append((f"formats.{format}.excepts", list(cell.excepts), nvidia | parts))
        named.append((f"formats.{format}.experts_not_on", cell.experts_not_on, nvidia | others))
        named.append((f"formats.{format}.flag_for", cell.flag_for, {MIXTURES} | nvidia | others))
        named.append((f"formats.{format}.stays", [cell.stays] if cell.stays else [], set(shared.blocks)))
    for field, given, known in named:
        if unknown := [one for one in given if one not in known]:
            raise GuideError(f"In {path}, {field} names '{unknown[0]}'; known are {', '.join(sorted(known))}.")
    return engine


@lru_cache(maxsize=64)
def parse_listed(path: str, text: str) -> Listed:
    """What was read of a registry; raises GuideError naming ``path`` and the field that is wrong."""
    try:
        return Listed.model_validate_json(text)
    except ValidationError as error:
        raise GuideError(f"In {path}, {first_fault(error)}. Run 'nox -s drift -- --engines --keep'.") from error


def with_methods(engine: Engine, common: Common, methods: Mapping[str, Method]) -> Engine:
    """The engine with the hardware of methods' pages in those formats that have one; the engine itself if it has its own."""
    if not engine.of_methods:
        return engine
    found = dict(engine.formats)
    for one in common.formats:
        cell = found[one.id]
        if one.method is None or cell.answer is not Answer.YES or cell.minimum or cell.elsewhere:
            continue
        method = methods[one.method]
        variant = method.variant(one.variant)
        hardware = {name: (variant and variant.own_cell(name)) or one_cell for name, one_cell in method.hardware}
        nvidia = hardware["nvidia"]
        places = {place: hardware[label].answer for place, label in PLACES.items()}
        more: dict[str, object] = {"nvidia": nvidia.answer, "elsewhere": places}
        if isinstance(nvidia, NvidiaCell):
            why = f"its method does not run from compute capability {nvidia.not_from} on"
            newer = [place.id for place in common.generations if place.capability and nvidia.ends_before(place.capability)]
            more |= {"minimum": nvidia.capability, "excepts": cell.excepts | dict.fromkeys(newer, why)}
        found[one.id] = cell.model_copy(update=more)
    return engine.model_copy(update={"formats": found})


def _complete(path: str, field: str, given: Mapping[str, object], wanted: list[str], more: Container[str] = ()) -> None:
    """Raise where the keys of a table are not those it must have, and may have."""
    if missing := [key for key in wanted if key not in given]:
        raise GuideError(f"In {path}, {field} lacks '{missing[0]}': write its answer, if need be 'not verified'.")
    if unknown := [key for key in given if key not in wanted and key not in more]:
        raise GuideError(f"In {path}, {field} has '{unknown[0]}', which docs/engines/index.md does not know.")


def _validated(model: type[Model], path: str, text: str) -> Model:
    try:
        return model.model_validate(front_matter(path, text))
    except ValidationError as error:
        raise GuideError(f"In the front matter of {path}, {first_fault(error)}.") from error
