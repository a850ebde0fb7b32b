"""What the pages compare: only what can be compared, and only differences that exceed their errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

from guide.facts import evidence


def test_all_rows_are_of_one_model_and_one_text(guide):
    rows = evidence.rows(guide)
    assert len({row.measure.tokens for row in rows}) == 1
    perplexities = [row.measure.baseline_perplexity for row in rows]
    assert max(perplexities) - min(perplexities) < 0.001, "sums in bf16 depend on processor and threads, by less"
    assert len({row.proof.models[0].sha256 for row in rows}) == 1
    assert all(row.proof.stand_in for row in rows)


def test_the_widths_of_a_method_are_told_apart(guide):
    """A wider variant is nearer to bf16 than a narrower one of the same notebook, beyond the errors of both."""
    compared = 0
    for one, other in combinations(evidence.rows(guide), 2):
        wide, narrow = (one, other) if one.measure.bits > other.measure.bits else (other, one)
        if one.notebook == other.notebook and wide.measure.bits > narrow.measure.bits:
            compared += 1
            assert wide.told_apart(narrow), f"{wide.label} and {narrow.label}"
            assert wide.measure.kl < narrow.measure.kl, f"{wide.label} and {narrow.label}"
    assert compared > 20


def test_figures_within_their_errors_are_not_told_apart(guide):
    row = evidence.rows(guide)[0]
    near = replace(row, measure=row.measure.model_copy(update={"kl": row.measure.kl + row.measure.kl_error}))
    far = replace(row, measure=row.measure.model_copy(update={"kl": row.measure.kl + 4 * row.measure.kl_error}))
    assert not row.told_apart(near)
    assert row.told_apart(far)
