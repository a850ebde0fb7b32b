"""The record of ``nox -s weigh``: what quantized models were found to store, beside what was predicted of them."""

from datetime import date
from typing import Any

from pydantic import Field, ValidationError

from guide.facts.proof import Machine
from guide.project import GuideError, Strict, first_fault

TOLERANCE = 0.01  # of the whole model, and of its decoder linears


class Weights(Strict):
    """Bytes of a whole model, of its decoder's linear layers (biases too), and of its experts, which are not among those."""

    whole: int
    linears: int
    experts: int


class Estimate(Strict):
    dtype: str
    bytes: int


class Shape(Strict):
    """A model with random weights: its configuration, and its tensors as ``guide.calculator.memory`` takes them."""

    config: dict[str, Any]
    bf16: Weights
    tensors: list[dict[str, Any]]


class Case(Strict):
    """One variant of a method on one shape."""

    method: str
    variant: str
    shape: str
    predicted: Weights
    measured: Weights | None = Field(description="null where it failed")
    after_forward: int | None = Field(default=None, description="bytes of the whole model after its first forward pass")
    accelerate: Estimate = Field(description="what accelerate's estimate-memory says of the whole model at that width")
    layers: list[str] = Field(default=[], description="classes of the decoder's linear layers")
    versions: dict[str, str] = Field(default={})
    proof: str = Field(default="", description="the notebook whose proof this was read from; empty where weighed on its own")
    failed: str = ""
    forward_failed: str = ""
    note: str = Field(default="", description="why the prediction is off by more than the tolerance")
    remark: str = Field(default="", description="what else a reader should know of the case")

    @property
    def key(self) -> tuple[str, str, str]:
        """What no other case of a record has."""
        return self.method, self.variant, self.shape

    def error(self, part: str = "whole") -> float | None:
        """Predicted over measured, less one; None where nothing was measured, or there is no such part."""
        measured = self.measured and getattr(self.measured, part)
        return getattr(self.predicted, part) / measured - 1 if measured else None

    def worst(self) -> float:
        """The largest error of its parts without its sign, 0 where nothing was measured."""
        return max((abs(error) for part in Weights.model_fields if (error := self.error(part)) is not None), default=0.0)

    def accelerate_error(self) -> float | None:
        """The same of accelerate's estimate for the whole model."""
        return self.accelerate.bytes / self.measured.whole - 1 if self.measured else None

    def line(self) -> str:
        """The case in one line for a terminal."""
        accelerate = self.accelerate_error()
        if accelerate is None:
            return f"{self.method} {self.variant}, {self.shape}: not measured, {self.failed}"
        parts = {part: self.error(part) for part in Weights.model_fields}
        text = ", ".join(f"{part} {100 * error:+.3f} %" for part, error in parts.items() if error is not None)
        return f"{self.method} {self.variant}, {self.shape}: {text}; accelerate {100 * accelerate:+.1f} %"


class Record(Strict):
    """All cases of one machine."""

    machine: Machine
    date: date
    shapes: dict[str, Shape]
    cases: list[Case]

    def weighed(self) -> list[Case]:
        """The cases in which something was measured."""
        return [case for case in self.cases if case.measured]

    def summary(self) -> str:
        """How many cases were measured, and the worst error of any part of a model, in half a sentence."""
        cases = self.weighed()
        if not cases:
            return "nothing was measured"
        worst = max(cases, key=Case.worst)
        return (
            f"predicted against measured: {len(cases)} of {len(self.cases)} cases, the worst error of any part "
            f"{100 * worst.worst():.3f} % ({worst.method} {worst.variant}, {worst.shape})"
        )


def parse_record(path: str, text: str) -> Record:
    """The record of this text; raises GuideError naming ``path`` and the field that is wrong."""
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        raise GuideError(f"In {path}, {first_fault(error)}.") from error
