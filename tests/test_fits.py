"""What fits in a memory: the calculator's answers for widths of no method's own."""

from __future__ import annotations

import pytest

from guide.facts.guide import Guide
from guide.site.views import fits


def test_what_a_model_takes_falls_with_the_width_and_what_fits_grows(guide: Guide):
    names = ["llama-3.2-1b", "qwen3-8b", "llama-3.1-70b"]
    for row in fits.needs(guide, names).rows:
        taken = [float(str(cell)) for cell in row[2:]]
        assert taken == sorted(taken, reverse=True)
    titles = ["none of these", "Llama-3.2-1B", "Qwen3-8B", "Llama-3.1-70B"]
    for column in zip(*(row[1:] for row in fits.fits(guide, names).rows), strict=True):
        sizes = [titles.index(str(cell).rpartition(", ")[0] or str(cell)) for cell in column]
        assert sizes == sorted(sizes), "more memory holds at least as much"


def test_sixteen_bits_are_the_parameters_and_what_stands_beside_them(guide: Guide):
    preset = next(one for one in guide.architectures["presets"] if one["id"] == "qwen3-8b")
    beside = 1_207_959_552 + 17_616_912 + 500_000_000  # cache, activations, runtime of the worked example of docs/memory.md
    assert fits.needed(guide, preset, 16) * fits.GIB == pytest.approx(2 * preset["parameters"] + beside, abs=1)


def test_a_model_that_the_calculator_lacks_is_named(guide: Guide):
    with pytest.raises(ValueError, match="no model nothing-9b"):
        fits.needs(guide, ["nothing-9b"])


def test_it_keeps_as_much_memory_free_as_the_selector(guide: Guide):
    """One page must not say that a model fits which the other rules out."""
    reader = (guide.project.docs / "assets" / "reader.js").read_text(encoding="utf-8")
    assert f"export const SPARE = {fits.SPARE};" in reader
