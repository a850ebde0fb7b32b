"""Proofs: executed notebooks that carry, in ``metadata.proof``, a record of how they ran and what they measured."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import nbformat
from nbformat import NotebookNode
from packaging.version import Version
from pydantic import AfterValidator, Field, ValidationError, model_validator

from guide.project import GuideError, Strict, first_fault

MEASURES_MIME = "application/vnd.quantization-guide.measures+json"
SERVED_MIME = "application/vnd.quantization-guide.served+json"
FIGURES_MIME = "application/vnd.quantization-guide.figures+json"
ENVIRONMENT_MIME = "application/vnd.quantization-guide.environment+json"

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


def _utc(text: str) -> str:
    """A date with its time zone; raises ValueError for what is none."""
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(f"'{text}' says no time zone")
    return text


class Machine(Strict):
    """Where a notebook ran, as its own environment cell shows it."""

    name: str = Field(description="GPU name, or processor name where there is no GPU")
    kind: Literal["cpu", "cuda"]
    architecture: str = Field(description="of the processor: x86_64, aarch64, arm64")
    capability: str | None = Field(description="CUDA compute capability, MAJOR.MINOR")
    driver: str | None
    memory_bytes: int = Field(description="of the GPU, or of the machine where there is none")
    cores: int

    @property
    def slug(self) -> str:
        """The name of the machine's folder in ``proofs/``."""
        text = self.name if self.kind == "cuda" else f"cpu-{self.architecture}"
        return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())

    def satisfies(self, needs: str) -> bool:
        """Whether this machine has what ``needs`` asks for: cpu, cuda or cuda>=MAJOR.MINOR."""
        return needs == "cpu" or (self.kind == "cuda" and reaches(self.capability or "0", needs))


def reaches(capability: str, needs: str) -> bool:
    """Whether a GPU of a compute capability has what ``needs`` asks for."""
    least = needs.partition(">=")[2]
    return not least or Version(capability) >= Version(least)


class Source(Strict):
    """A public model or text that a notebook loads, and what it got under that id."""

    id: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    stand_in: bool
    sha256: Sha256 | None = Field(description="of the stand-in's files")
    maker: str | None = Field(description="the script that quantized the stand-in, where the public one is quantized already")
    revision: str | None = Field(pattern="^[0-9a-f]{40}$", description="commit on the hub, of the real one")


class Failure(Strict):
    """Why a run failed."""

    kind: str = Field(alias="class", description="one of guide.prove.failures.ADVICE")
    message: str
    cell: int | None = Field(description="number of the cell, counted from 1; None where no cell was reached")


class Measure(Strict):
    """One row of a notebook's table. Bytes are counted tensor by tensor; ``_error`` is one standard error."""

    variant: str
    bits: int = Field(gt=0)
    parameters: int
    baseline_bytes: int = Field(gt=0)
    quantized_bytes: int = Field(gt=0)
    saved_bytes: int
    ratio: Finite = Field(description="bf16's bytes over the variant's, whole model")
    linear_ratio: Finite = Field(description="the same for the decoder's linear layers alone")
    tokens: int = Field(gt=0, description="of evaluation text")
    baseline_perplexity: Finite = Field(gt=0)
    perplexity: Finite = Field(gt=0)
    loss_difference: Finite = Field(description="nats a token, variant minus bf16")
    loss_difference_error: Finite
    top1_agreement: Finite = Field(description="share of tokens whose likeliest successor is bf16's")
    top1_agreement_error: Finite
    kl: Finite = Field(description="KL(bf16 || variant), nats a token")
    kl_error: Finite
    baseline_tokens_per_second: Finite = Field(gt=0, description="greedy decode, batch 1, median")
    tokens_per_second: Finite
    speed_ratio: Finite = Field(description="variant's speed over bf16's, median of pairs taken in turns")
    speed_ratio_low: Finite
    speed_ratio_high: Finite
    load_seconds: Finite
    reload_equal: bool = Field(description="saved and reloaded, it generates the same tokens")


class Served(Strict):
    """What an engine made of one checkpoint: a row of a notebook that serves."""

    format: str = Field(description="a row of the matrix of engines")
    checkpoint: str
    loads: bool
    seconds: float = Field(description="of starting a process, loading and generating; 0 where it does not load")
    stored_bytes: int = Field(description="of the files of weights")
    resident_bytes: int = Field(description="of the weights that the engine holds; 0 where it does not say or does not load")
    same: int | None = Field(description="first tokens that are Transformers' own; null where that was not compared")
    said: str = Field(description="the engine's words where it refused")


class Proof(Strict):
    """The record of one run of one notebook."""

    version: Literal[1] = Field(1, alias="schema")
    notebook: str
    digest: Sha256 = Field(description="of the code cells, the pins and the stand-in; see guide.notebooks.build.digest")
    status: Literal["passed", "failed"]
    error: Failure | None
    control: list[int] = Field(description="check cells, all of which rightly failed in the control runs")
    date: Annotated[str, AfterValidator(_utc)] = Field(description="UTC, ISO 8601")
    seconds: Finite = Field(description="of the run itself, without installing")
    machine: Machine
    python: str
    pins: dict[str, str]
    versions: dict[str, str | None] = Field(description="as found by the notebook")
    models: list[Source]
    texts: list[Source]
    measures: list[Measure]
    served: list[Served] = Field(default=[], description="what an engine made of checkpoints, of a notebook that serves")
    kernels: dict[str, Annotated[str, Field(pattern=r"^https://[\w./-]+$")]] = Field(
        default={}, description="that were not the hub's build: what each was made of"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("a failed run has an error and a passed one has none")
        return self

    @property
    def stand_in(self) -> bool:
        """Whether the reference model, or its text, ran under a public name."""
        return any(source.stand_in for source in self.models + self.texts)

    def differing_versions(self) -> dict[str, tuple[str, str]]:
        """Packages that ran in another version than pinned: {package: (pinned, found)}; local parts do not count."""
        pairs = {name: (pin, self.versions.get(name)) for name, pin in self.pins.items()}
        return {name: (pin, found or "none") for name, (pin, found) in pairs.items()
                if not found or Version(found).public != Version(pin).public}  # fmt: skip


class State(StrEnum):
    """What a page says of a notebook. Readers can't miss which of these it is."""

    PROVEN = "proven"
    CHANGED = "code changed since this proof"
    FAILED = "failed when it was last run"
    MISSING = "not proven yet"


@dataclass(frozen=True)
class Stored:
    """A proof as it is stored: where, the executed notebook, its record, and what may be said of today's code."""

    path: str  # proofs/<machine>/<notebook>.ipynb
    notebook: NotebookNode
    proof: Proof
    state: State

    @property
    def worth(self) -> tuple[bool | int | str, ...]:
        """Sorts the one to show first to the head: today's code before older, the real model before a stand-in, a GPU
        before a CPU."""
        current = [State.PROVEN, State.FAILED, State.CHANGED].index(self.state)
        return current, self.proof.stand_in, self.proof.machine.kind == "cpu", self.proof.machine.name


def state_of(proof: Proof, digest: str) -> State:
    """What may be said of a notebook, given one proof of it and the digest of its code as it is."""
    if proof.digest != digest:
        return State.CHANGED
    return State.PROVEN if proof.status == "passed" else State.FAILED


def output_data(notebook: NotebookNode, mime: str) -> list[Any]:
    """Everything that the cells' outputs hold under one MIME type, in order."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return [output["data"][mime] for output in outputs if mime in output.get("data", {})]


@lru_cache(maxsize=512)
def parse_proof(path: str, text: str) -> tuple[NotebookNode, Proof]:
    """The executed notebook ``proofs/<machine>/<name>.ipynb`` of this text, and its record.

    Raises GuideError naming the file if it is damaged, or if its table and its record disagree.
    """
    name = path.rpartition("/")[2].removesuffix(".ipynb")
    advice = f"Restore it, or run 'nox -s prove -- {name} --force --keep' on such a machine again."
    try:
        notebook = nbformat.reads(text, as_version=4)
        proof = Proof.model_validate(notebook.metadata["proof"])
    except ValidationError as error:
        raise GuideError(f"The proof {path} is damaged: {first_fault(error)}. {advice}") from error
    except KeyError as error:
        raise GuideError(f"The proof {path} is damaged: it has no record in metadata.proof. {advice}") from error
    except Exception as error:  # nbformat raises many kinds for a file that is no notebook
        raise GuideError(f"The proof {path} is damaged: it is not a readable notebook. {advice}") from error
    shown = output_data(notebook, MEASURES_MIME)
    if proof.status == "passed" and [Measure.model_validate(row) for row in (shown[-1] if shown else [])] != proof.measures:
        raise GuideError(f"The proof {path} is damaged: its record differs from the table it shows. {advice}")
    tried = output_data(notebook, SERVED_MIME)
    if proof.status == "passed" and [Served.model_validate(row) for row in (tried[-1] if tried else [])] != proof.served:
        raise GuideError(f"The proof {path} is damaged: its record differs from what it shows of checkpoints. {advice}")
    return notebook, proof
