"""What the diagrams draw: computed from the reference model, inside the frame."""

from __future__ import annotations

import json
import re
import struct

import pytest

from guide.project import Project
from guide.site.views import diagrams

CHARACTER = 7.4  # pixels that a character of a diagram's text takes at most, on average


def test_the_weights_are_those_of_the_reference_model():
    content = (Project.here().reference / "model.safetensors").read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    tensor = json.loads(content[8 : 8 + length])["model.layers.2.mlp.gate_proj.weight"]
    assert tensor["dtype"] == "BF16"
    start = 8 + length + tensor["data_offsets"][0] + 346 * tensor["shape"][1] * 2
    found = [struct.unpack("<f", b"\0\0" + content[start + 2 * n : start + 2 * n + 2])[0] for n in range(64)]
    assert found == list(diagrams.WEIGHTS)


def test_grids_hold_what_their_names_say():
    weights = diagrams.WEIGHTS[: diagrams.GROUP]
    assert 0 in diagrams.symmetric(weights) and 0 in diagrams.shifted(weights) and 0 in diagrams.normal(weights)
    assert [len(levels(weights)) for levels in (diagrams.symmetric, diagrams.shifted, diagrams.normal)] == [15, 16, 16]
    # bitsandbytes 0.50.2, functional.get_4bit_type("nf4"): its second, ninth and second to last level
    nf4 = diagrams.normal([1.0])
    assert [nf4[1], nf4[8], nf4[-2]] == pytest.approx([-0.6961928, 0.0795803, 0.7229568], abs=1e-6)


def test_a_finer_grid_rounds_with_a_smaller_error():
    one = diagrams.error(diagrams.WEIGHTS, diagrams.nearest(diagrams.WEIGHTS, diagrams.symmetric(diagrams.WEIGHTS)))
    cut = [
        level for group in diagrams.groups(diagrams.WEIGHTS) for level in diagrams.nearest(group, diagrams.symmetric(group))
    ]
    assert 0 < diagrams.error(diagrams.WEIGHTS, cut) < one


def test_what_is_packed_unpacks_to_the_nearest_levels():
    drawing = diagrams.packed()
    word = int(re.search("0x[0-9a-f]{8}", drawing.title)[0], 16)
    weights = diagrams.WEIGHTS[diagrams.GROUP : diagrams.GROUP + diagrams.PACKED]
    levels = diagrams.symmetric(weights)
    scale = levels[1] - levels[0]
    unpacked = [((word >> 4 * place & 15) - 8) * scale for place in range(8)]
    assert unpacked == pytest.approx(diagrams.nearest(weights, levels))


@pytest.mark.parametrize("name", diagrams.DIAGRAMS)
def test_all_that_is_drawn_is_inside_the_frame(name):
    drawing = diagrams.DIAGRAMS[name]()
    for text in drawing.texts:
        wide = CHARACTER * len(text.text)
        left = text.x - {"start": 0, "middle": wide / 2}[text.anchor]
        assert left >= 0 and left + wide <= diagrams.WIDTH and 0 < text.y < drawing.height, text.text
    assert all(0 <= mark.x <= diagrams.WIDTH and 0 <= mark.y <= drawing.height for mark in drawing.marks)
    assert drawing.title in diagrams.svg(name).replace("&#39;", "'")


def test_a_diagram_that_there_is_not_is_named():
    with pytest.raises(ValueError, match="no diagram 'circle'"):
        diagrams.svg("circle")
