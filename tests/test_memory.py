"""The memory calculator: Python and JavaScript answer the same bytes, and those are the bytes that quantized models have."""

from __future__ import annotations

import json
import re

import pytest
from serving import serve

from guide.calculator import __main__ as command
from guide.calculator import memory, shapes
from guide.facts.storage import TOLERANCE
from guide.project import GuideError, Project
from guide.site.views.measures import stored

PROJECT = Project.here()
VECTORS = PROJECT.tests / "memory_vectors.json"

ASK_ALL = """async (vectors) => {
  const memory = await import("/memory.js");
  const { cache_elements, cache_element_bytes, activations } = vectors.use;
  const use = { cacheElements: cache_elements, cacheElementBytes: cache_element_bytes, activations };
  return vectors.cases.map(({ name, variant }) => ({
    name,
    variant,
    stored: variant ? vectors.shapes.map(([rows, columns]) => memory.stored(rows, columns, variant.storage)) : [],
    weights: memory.weights(vectors.tensors, variant),
    estimate: memory.estimate(vectors.tensors, variant, use),
  }));
}"""


@pytest.mark.parametrize(
    "rows, columns, entry, expected",
    [
        (3, 5, {"bytes": 1, "tile": (1, 2)}, 9),  # three bytes a row, the last half empty
        (3, 5, {"bytes": 1, "run": 2}, 8),  # 15 weights on end
        (3, 5, {"bytes": 0.5}, 8),  # a fraction of a byte is a byte
        (300, 200, {"bytes": 4, "tile": (128, 128)}, 4 * 3 * 2),
        (300, 200, {"bytes": 2, "tile": (1, None)}, 2 * 300),
        (300, 200, {"bytes": 4, "tile": (None, 1)}, 4 * 200),
        (300, 200, {"bytes": 64, "tile": (None, None)}, 64),
    ],
)
def test_a_layer_stores_what_was_counted_by_hand(rows, columns, entry, expected):
    assert memory.stored(rows, columns, [entry]) == expected


def test_what_is_not_quantized_stays_in_bf16():
    tensors = [
        {"part": "embedding", "name": "e", "rows": 10, "columns": 4, "count": 1},
        {"part": "linear", "name": "l", "rows": 4, "columns": 4, "count": 3},
        {"part": "experts", "name": "x", "rows": 8, "columns": 4, "count": 5},
    ]
    variant = {"quantizes": ["linear"], "storage": [{"bytes": 1}, {"bytes": 2, "tile": [1, None]}]}
    split = memory.weights(tensors, variant)
    assert {name: size for name, size in split.items() if size} == {
        "quantized": 3 * 16, "scales": 3 * 8, "embedding": 80, "experts": 320, "total": 472
    }  # fmt: skip
    assert memory.weights(tensors)["total"] == 2 * (40 + 48 + 160)


def test_the_vectors_are_those_of_the_pages_and_the_formula(guide):
    fresh = json.loads(json.dumps(command.vectors(guide)))
    advice = "run 'python -m guide.calculator' and look at what changed"
    assert fresh == json.loads(VECTORS.read_text(encoding="utf-8")), advice


def test_the_command_writes_the_vectors_as_they_are_committed(planted, capsys):
    planted.project.tests.mkdir()
    command.main(planted.project)
    assert (planted.project.tests / VECTORS.name).read_text(encoding="utf-8") == VECTORS.read_text(encoding="utf-8")
    assert capsys.readouterr().out == "wrote tests/memory_vectors.json\n"


def test_the_command_says_in_one_sentence_what_is_wrong(planted):
    page = next(planted.project.methods.glob("*.md")).name
    planted.write(f"docs/methods/{page}", "No facts.\n")
    with pytest.raises(SystemExit, match=f"docs/methods/{page} has no front matter"):
        command.main(planted.project)


def test_javascript_answers_the_same(chromium):
    known = json.loads(VECTORS.read_text(encoding="utf-8"))
    with serve(PROJECT.assets) as url:
        page = chromium.new_page()
        page.goto(url)
        answers = page.evaluate(ASK_ALL, known)
        constants = page.evaluate("async () => ({ ...(await import('/memory.js')) })")
        page.close()
    for case, answer in zip(known["cases"], answers, strict=True):
        assert answer == case, case["name"]
    for name in ("PARTS", "BF16_BYTES", "FLOAT32_BYTES", "CONTEXT_BYTES", "HIDDEN_ROWS", "WIDEST_ROWS"):
        expected = getattr(memory, name)
        assert constants[name] == (list(expected) if isinstance(expected, tuple) else expected), name


def test_predicted_against_measured(guide, record_property):
    assert guide.records, "nothing was weighed: run 'nox -s weigh -- --keep'"
    variants = {(name, variant.id): variant for name, method in guide.methods.items() for variant in method.variants}
    for slug, record in guide.records.items():
        assert record.machine.slug == slug
        record_property("figure", f"{slug}: {record.summary()}")
        for case in record.weighed():
            # The page may have changed since: predict anew, and compare with what was measured.
            anew = memory.predicted(record.shapes[case.shape], variants[case.method, case.variant])
            assert anew == case.predicted, f"{case.line()}: weigh it again"
            assert case.note or case.worst() <= TOLERANCE, case.line()


def test_a_configuration_alone_gives_the_weights_of_the_models_that_were_built(guide):
    families, compared = guide.architectures["families"], set()
    for record in guide.records.values():
        for name, shape in record.shapes.items():
            try:
                read = shapes.read_config(json.dumps(shape.config), families)
            except GuideError:
                continue  # a shape of an architecture that the page does not know
            tensors = shapes.tensors(read["family"], read["config"])
            assert memory.weights(tensors) == memory.weights(shape.tensors), name
            compared.add(shape.config["model_type"])
    assert {"qwen3", "llama", "qwen3_moe"} <= compared


def test_a_prediction_that_is_off_is_noticed(guide):
    record = next(iter(guide.records.values()))
    case = next(case for case in record.weighed() if not case.note)
    wrong = case.predicted.model_copy(update={"linears": round(1.02 * case.predicted.linears)})
    assert case.model_copy(update={"predicted": wrong}).worst() > TOLERANCE


def test_the_table_shows_each_case(guide):
    record = next(iter(guide.records.values()))
    table = stored(guide, record)
    assert len(table.rows) == len(record.cases)
    assert {len(row) for row in table.rows} == {len(table.head)}
    assert re.search(r"worst error [\d.]+ %", table.caption)
