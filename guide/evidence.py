"""What today's proofs measured, side by side: every row of one model, so that rows can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import hypot

from guide import proof as proofs
from guide.method import Group, read_method
from guide.project import notebook_names
from guide.proof import Measure, Proof, State
from guide.script import read_script

STANDARD_ERRORS = 2  # two figures nearer than this many standard errors of their difference are not told apart


@dataclass(frozen=True)
class Row:
    """One variant as one notebook measured it on the reference model."""

    notebook: str
    group: Group
    proof: Proof
    measure: Measure

    @property
    def label(self) -> str:
        return f"{self.notebook} {self.measure.variant}"

    def told_apart(self, other: Row) -> bool:
        """Whether the KL divergences of two variants differ by more than their errors.

        The errors count as independent. Both were measured on the same text, so the true error of the difference is
        smaller, and some pairs that do differ are not told apart.
        """
        distance = abs(self.measure.kl - other.measure.kl)
        return distance > STANDARD_ERRORS * hypot(self.measure.kl_error, other.measure.kl_error)


def rows(bits: int | None = None) -> list[Row]:
    """The variants that current proofs measured on the reference model, nearest to bf16 first; of one width if given.

    Left out: what a script's head declares as not to be compared, and a variant measured again for its speed alone.
    """
    found, seen = [], set()
    for name in notebook_names():
        script = read_script(name)
        if script.head.guide.not_compared:
            continue
        group = read_method(script.head.guide.method).group
        for _, _, proof in proofs.ranked(script):
            if proofs.state(proof, script) is not State.PROVEN or not proof.stand_in:
                continue
            for measure in proof.measures:
                key = name, measure.quantized_bytes, measure.kl
                if (bits is None or measure.bits == bits) and key not in seen:
                    seen.add(key)
                    found.append(Row(name, group, proof, measure))
            break  # one machine a notebook
    return sorted(found, key=lambda row: row.measure.kl)


def widths() -> list[int]:
    """The bit widths that were measured, widest first."""
    return sorted({row.measure.bits for row in rows()}, reverse=True)


def not_told_apart(bits: int) -> list[tuple[Row, Row]]:
    """Pairs of variants of different notebooks at one width whose KL divergences lie within their errors."""
    pairs = combinations(rows(bits), 2)
    return [(one, other) for one, other in pairs if one.notebook != other.notebook and not one.told_apart(other)]
