"""Proofs: executed notebooks that carry, in ``metadata.proof``, a record of how they ran and what they measured."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Literal

import nbformat
from nbformat import NotebookNode
from packaging.requirements import Requirement
from packaging.version import Version
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from guide import standin
from guide.notebooks import build
from guide.project import PROOFS, SNIPPETS, GuideError, relative, stamp
from guide.script import Script

MEASURES_MIME = "application/vnd.quantization-guide.measures+json"
ENVIRONMENT_MIME = "application/vnd.quantization-guide.environment+json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Machine(_Strict):
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
        kind, _, least = needs.partition(">=")
        if kind == "cpu":
            return True
        return self.kind == "cuda" and (not least or Version(self.capability) >= Version(least))


class Source(_Strict):
    """A public model or text that a notebook loads, and what it got under that id."""

    id: str
    stand_in: bool
    sha256: str | None = Field(description="of the stand-in's files")
    maker: str | None = Field(description="the script that quantized the stand-in, where the public one is quantized already")
    revision: str | None = Field(description="commit on the hub, of the real one")


class Failure(_Strict):
    """Why a run failed."""

    kind: str = Field(alias="class", description="one of guide.failures.ADVICE")
    message: str
    cell: int | None = Field(description="number of the cell, counted from 1; None where no cell was reached")


class Measure(_Strict):
    """One row of a notebook's table. Bytes are counted tensor by tensor; ``_error`` is one standard error."""

    variant: str
    bits: int
    parameters: int
    baseline_bytes: int
    quantized_bytes: int
    saved_bytes: int
    ratio: float = Field(description="bf16's bytes over the variant's, whole model")
    linear_ratio: float = Field(description="the same for the decoder's linear layers alone")
    tokens: int = Field(description="of evaluation text")
    baseline_perplexity: float
    perplexity: float
    loss_difference: float = Field(description="nats a token, variant minus bf16")
    loss_difference_error: float
    top1_agreement: float = Field(description="share of tokens whose likeliest successor is bf16's")
    top1_agreement_error: float
    kl: float = Field(description="KL(bf16 || variant), nats a token")
    kl_error: float
    baseline_tokens_per_second: float = Field(description="greedy decode, batch 1, median")
    tokens_per_second: float
    speed_ratio: float = Field(description="variant's speed over bf16's, median of pairs taken in turns")
    speed_ratio_low: float
    speed_ratio_high: float
    load_seconds: float
    reload_equal: bool = Field(description="saved and reloaded, it generates the same tokens")


class Proof(_Strict):
    """The record of one run of one notebook."""

    version: Literal[1] = Field(1, alias="schema")
    notebook: str
    digest: str = Field(description="of the code cells, the pins and the stand-in; see ``digest``")
    status: Literal["passed", "failed"]
    error: Failure | None
    control: list[int] = Field(description="check cells, all of which rightly failed in the control runs")
    date: str = Field(description="UTC, ISO 8601")
    seconds: float = Field(description="of the run itself, without installing")
    machine: Machine
    python: str
    pins: dict[str, str]
    versions: dict[str, str | None] = Field(description="as found by the notebook")
    models: list[Source]
    texts: list[Source]
    measures: list[Measure]

    @model_validator(mode="after")
    def _consistent(self) -> Proof:
        if (self.status == "failed") != (self.error is not None):
            raise ValueError("a failed run has an error and a passed one has none")
        return self

    @property
    def stand_in(self) -> bool:
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


def digest(script: Script, stand_in: bool) -> str:
    """SHA-256 of what a proof proves: code cells, pins, hardware asked for, controls, and the stand-in if one is used.

    Prose does not count, so that mending a sentence costs no run.
    """
    stood_in = [*standin.FILES, *map(standin.maker, script.head.guide.checkpoints.values())] if stand_in else []
    return _digest(script, stand_in, stamp(script.path, *sorted((SNIPPETS / "shared").glob("*.py")), *stood_in))


@lru_cache(maxsize=1024)
def _digest(script: Script, stand_in: bool, _stamp: tuple) -> str:
    code = [cell.source for cell in build(script).cells if cell.cell_type == "code"]
    table = script.head.guide
    parts = [code, script.head.pins(cuda=True), table.unwanted, table.needs, table.control, table.swap]
    parts.append([standin.maker(name).read_text(encoding="utf-8") for name in table.checkpoints.values()] if stand_in else [])
    parts.append(standin.digest() if stand_in else "hub")
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def pins(script: Script, cuda: bool) -> dict[str, str]:
    """{package: version} of a script's head."""
    requirements = [Requirement(pin) for pin in script.head.pins(cuda)]
    return {requirement.name: next(iter(requirement.specifier)).version for requirement in requirements}


def output_data(notebook: NotebookNode, mime: str) -> list:
    """Everything that the cells' outputs hold under one MIME type, in order."""
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    return [output["data"][mime] for output in outputs if mime in output.get("data", {})]


def read(path: Path) -> tuple[NotebookNode, Proof]:
    """Read a proof file; raises GuideError naming the file if it is damaged or its table and its record disagree."""
    return _read(path, stamp(path))


@lru_cache(maxsize=256)
def _read(path: Path, _stamp: tuple) -> tuple[NotebookNode, Proof]:
    advice = f"Restore it, or run 'nox -s prove -- {path.stem} --force --keep' on such a machine again."
    try:
        notebook = nbformat.read(path, as_version=4)
        proof = Proof.model_validate(notebook.metadata["proof"])
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "record"
        raise GuideError(f"The proof {relative(path)} is damaged: {field}: {first['msg']}. {advice}") from error
    except KeyError as error:
        raise GuideError(f"The proof {relative(path)} is damaged: it has no record in metadata.proof. {advice}") from error
    except Exception as error:  # nbformat raises many kinds for a file that is no notebook
        raise GuideError(f"The proof {relative(path)} is damaged: it is not a readable notebook. {advice}") from error
    shown = output_data(notebook, MEASURES_MIME)
    if proof.status == "passed" and [Measure.model_validate(row) for row in (shown[-1] if shown else [])] != proof.measures:
        raise GuideError(f"The proof {relative(path)} is damaged: its record differs from the table it shows. {advice}")
    return notebook, proof


def committed(name: str) -> list[Path]:
    """The committed proof files of a notebook, one a machine."""
    return sorted(PROOFS.glob(f"*/{name}.ipynb"))


def state(proof: Proof | None, script: Script) -> State:
    """What may be said of a notebook, given one proof of it."""
    if proof is None:
        return State.MISSING
    if proof.digest != digest(script, proof.stand_in):
        return State.CHANGED
    return State.PROVEN if proof.status == "passed" else State.FAILED


def ranked(script: Script) -> list[tuple[Path, NotebookNode, Proof]]:
    """All committed proofs of a notebook, the one to show first at the head.

    A proof of the code as it stands beats an older one, the real model beats a stand-in, a GPU beats a CPU.
    """
    found = [(path, *read(path)) for path in committed(script.name)]

    def worth(entry: tuple[Path, NotebookNode, Proof]) -> tuple:
        proof = entry[2]
        current = [State.PROVEN, State.FAILED, State.CHANGED].index(state(proof, script))
        return current, proof.stand_in, proof.machine.kind == "cpu", proof.machine.name

    return sorted(found, key=worth)
