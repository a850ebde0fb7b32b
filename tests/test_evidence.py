"""What the pages compare: only what can be compared, and only differences that exceed their errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from guide import evidence
from guide.project import notebook_names


def test_all_rows_are_of_one_model_and_one_text():
    rows = evidence.rows()
    assert len({row.measure.tokens for row in rows}) == 1
    perplexities = [row.measure.baseline_perplexity for row in rows]
    assert max(perplexities) - min(perplexities) < 0.001, "sums in bf16 depend on processor and threads, by less"
    assert len({row.proof.models[0].sha256 for row in rows}) == 1
    assert all(row.proof.stand_in for row in rows)


@pytest.mark.parametrize("name", notebook_names())
def test_the_widths_of_a_method_are_told_apart(name):
    """A wider variant is nearer to bf16 than a narrower one of the same notebook, beyond the errors of both."""
    rows = [row for row in evidence.rows() if row.notebook == name]
    for one, other in combinations(rows, 2):
        if one.measure.bits > other.measure.bits:
            assert one.told_apart(other), f"{one.label} and {other.label}"
            assert one.measure.kl < other.measure.kl, f"{one.label} and {other.label}"


def test_figures_within_their_errors_are_not_told_apart():
    row = evidence.rows()[0]
    near = replace(row, measure=row.measure.model_copy(update={"kl": row.measure.kl + row.measure.kl_error}))
    far = replace(row, measure=row.measure.model_copy(update={"kl": row.measure.kl + 4 * row.measure.kl_error}))
    assert not row.told_apart(near)
    assert row.told_apart(far)
