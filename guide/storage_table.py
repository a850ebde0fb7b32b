"""What quantized models were found to store, beside what was predicted: the record of ``guide.weigh`` and its table."""

from __future__ import annotations

from datetime import date
from html import escape
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from guide.memory import gigabytes, weights
from guide.method import read_methods
from guide.project import PROOFS, GuideError, relative
from guide.proof import Machine
from guide.render import table

RECORDS = PROOFS / "storage"
TOLERANCE = 0.01  # of the whole model, and of its decoder linears


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Weights(_Strict):
    """Bytes of a whole model, of its decoder's linear layers (biases too), and of its experts, which are not among those."""

    whole: int
    linears: int
    experts: int


class Estimate(_Strict):
    dtype: str
    bytes: int


class Shape(_Strict):
    """A model with random weights: its configuration, and its tensors as ``guide.memory`` takes them."""

    config: dict
    bf16: Weights
    tensors: list[dict]


class Case(_Strict):
    """One variant of a method on one shape."""

    method: str
    variant: str
    shape: str
    predicted: Weights
    measured: Weights | None = Field(description="null where it failed")
    after_forward: int | None = Field(default=None, description="bytes of the whole model after its first forward pass")
    accelerate: Estimate = Field(description="what accelerate's estimate-memory says of the whole model at that width")
    layers: list[str] = Field(default=[], description="classes of the decoder's linear layers")
    versions: dict[str, str] = {}
    proof: str = Field(default="", description="the notebook whose proof this was read from; empty where weighed on its own")
    failed: str = ""
    forward_failed: str = ""
    note: str = Field(default="", description="why the prediction is off by more than the tolerance")
    remark: str = Field(default="", description="what else a reader should know of the case")

    def error(self, part: str = "whole") -> float | None:
        """Predicted over measured, less one; None where nothing was measured, or there is no such part."""
        measured = self.measured and getattr(self.measured, part)
        return getattr(self.predicted, part) / measured - 1 if measured else None

    def worst(self) -> float:
        """The largest error of its parts without its sign, 0 where nothing was measured."""
        return max((abs(error) for part in Weights.model_fields if (error := self.error(part)) is not None), default=0.0)

    def accelerate_error(self) -> float | None:
        return self.accelerate.bytes / self.measured.whole - 1 if self.measured else None

    def line(self) -> str:
        if self.measured is None:
            return f"{self.method} {self.variant}, {self.shape}: not measured, {self.failed}"
        parts = {part: self.error(part) for part in Weights.model_fields}
        text = ", ".join(f"{part} {100 * error:+.3f} %" for part, error in parts.items() if error is not None)
        return f"{self.method} {self.variant}, {self.shape}: {text}; accelerate {100 * self.accelerate_error():+.1f} %"


class Record(_Strict):
    """All cases of one machine."""

    machine: Machine
    date: date
    shapes: dict[str, Shape]
    cases: list[Case]

    def put(self, case: Case) -> None:
        """Add a case, or replace the one of the same method, variant and shape."""
        key = (case.method, case.variant, case.shape)
        self.cases = [other for other in self.cases if (other.method, other.variant, other.shape) != key] + [case]
        self.cases.sort(key=lambda one: (one.method, one.variant, one.shape))

    def weighed(self) -> list[Case]:
        return [case for case in self.cases if case.measured]

    def summary(self) -> str:
        cases = self.weighed()
        worst = max(cases, key=Case.worst)
        return (
            f"predicted against measured: {len(cases)} cases, worst error {100 * worst.worst():.3f} % "
            f"({worst.method} {worst.variant}, {worst.shape})"
        )


def predicted(shape: Shape, variant: dict) -> Weights:
    """The calculator's answer for a model and its parts, which are those that are measured."""
    linears = [tensor for tensor in shape.tensors if tensor["part"] == "linear"]
    biases = [tensor for tensor in shape.tensors if tensor["name"].endswith("_proj.bias")]
    experts = [tensor for tensor in shape.tensors if tensor["part"] == "experts"]
    parts = {"whole": shape.tensors, "linears": linears + biases, "experts": experts}
    return Weights(**{part: weights(tensors, variant)["total"] for part, tensors in parts.items()})


def record_path(slug: str) -> Path:
    return RECORDS / f"{slug}.json"


def read_record(path: Path) -> Record | None:
    """The record at ``path``, None if there is none; raises GuideError with the field that is wrong."""
    if not path.exists():
        return None
    try:
        return Record.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise GuideError(f"In {relative(path)}, '{field}' is wrong: {first['msg']}.") from error


def read_records() -> dict[str, Record]:
    """All committed records by machine."""
    return {path.stem: read_record(path) for path in sorted(RECORDS.glob("*.json"))}


def _percent(error: float | None) -> str:
    return "" if error is None else f"{100 * error:+.2f} %"


def storage_table(record: Record) -> str:
    """An HTML table of a record's cases: predicted, measured, error, and accelerate's estimate."""
    methods = read_methods()
    rows = []
    for case in record.cases:
        method = methods[case.method]
        label = next(variant.label for variant in method.variants if variant.id == case.variant)
        note = "".join(f" ({escape(text)})" for text in (case.note, case.remark) if text)
        measured = f"{gigabytes(case.measured.whole):.3f}" if case.measured else f"none: {escape(case.failed)}"
        rows.append((
            f"{escape(method.title)}: {escape(label)}",
            escape(case.shape),
            f"{gigabytes(case.predicted.whole):.3f}",
            measured,
            _percent(case.error()) + note,
            _percent(case.error("linears")),
            _percent(case.error("experts")),
            f"{gigabytes(case.accelerate.bytes):.3f}" + (f" ({_percent(case.accelerate_error())})" if case.measured else ""),
        ))  # fmt: skip
    head = ("method", "shape", "predicted, GB", "measured, GB", "error", "error of the decoder's linear layers",
            "error of the experts", "accelerate estimate-memory, GB")  # fmt: skip
    caption = f"Weights predicted and measured, {len(rows)} cases; 1 GB is 10⁹ bytes. {record.summary().capitalize()}."
    return table(head, rows, caption)
