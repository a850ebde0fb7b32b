"""What today's proofs measured, side by side: every row of one model, so that rows can be compared."""

from dataclasses import dataclass
from itertools import combinations
from math import hypot
from typing import Self

from guide.facts.guide import Guide
from guide.facts.method import Method
from guide.facts.proof import Measure, Proof, State

STANDARD_ERRORS = 2  # two figures nearer than this many standard errors of their difference are not told apart


@dataclass(frozen=True)
class Row:
    """One variant as one notebook measured it on the reference model."""

    notebook: str
    method: Method
    proof: Proof
    measure: Measure

    @property
    def label(self) -> str:
        """The notebook and the variant, as a reader tells rows apart."""
        return f"{self.notebook} {self.measure.variant}"

    def told_apart(self, other: Self) -> bool:
        """Whether the KL divergences of two variants differ by more than their errors.

        The errors count as independent. Both were measured on the same text, so the true error of the difference is
        smaller, and some pairs that do differ are not told apart.
        """
        distance = abs(self.measure.kl - other.measure.kl)
        return distance > STANDARD_ERRORS * hypot(self.measure.kl_error, other.measure.kl_error)


def rows(guide: Guide, bits: int | None = None) -> list[Row]:
    """The variants that current proofs measured on the reference model, nearest to bf16 first; of one width if given.

    Left out: what a script's head declares as not to be compared, and a variant measured again for its speed alone.
    """
    found: list[Row] = []
    seen: set[tuple[str, int, float]] = set()
    for name, script in guide.scripts.items():
        if script.head.guide.not_compared:
            continue
        current = [one for one in guide.proofs[name] if one.state is State.PROVEN and one.proof.stand_in]
        for stored in current[:1]:  # one machine a notebook
            for measure in stored.proof.measures:
                key = name, measure.quantized_bytes, measure.kl
                if (bits is None or measure.bits == bits) and key not in seen:
                    seen.add(key)
                    found.append(Row(name, guide.method_of(script), stored.proof, measure))
    return sorted(found, key=lambda row: row.measure.kl)


def widths(guide: Guide) -> list[int]:
    """The bit widths that were measured, widest first."""
    return sorted({row.measure.bits for row in rows(guide)}, reverse=True)


def not_told_apart(found: list[Row]) -> list[tuple[Row, Row]]:
    """Pairs of variants of different notebooks whose KL divergences lie within their errors."""
    pairs = combinations(found, 2)
    return [(one, other) for one, other in pairs if one.notebook != other.notebook and not one.told_apart(other)]
