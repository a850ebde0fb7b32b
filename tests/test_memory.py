"""The memory calculator: Python and JavaScript answer the same bytes, and those are the bytes that quantized models have."""

from __future__ import annotations

import functools
import http.server
import json
import re
import threading

import pytest

from guide import architecture, memory, storage_table
from guide.method import read_methods
from guide.project import ROOT

VECTORS = ROOT / "tests" / "memory_vectors.json"

ASK_ALL = """async (vectors) => {
  const memory = await import("/memory.js");
  const { cache_elements, cache_element_bytes, batch, tokens } = vectors.use;
  const use = { cacheElements: cache_elements, cacheElementBytes: cache_element_bytes, batch, tokens };
  return vectors.cases.map(({ name, variant }) => ({
    name,
    variant,
    stored: variant ? vectors.shapes.map(([rows, columns]) => memory.stored(rows, columns, variant.storage)) : [],
    weights: memory.weights(vectors.tensors, variant),
    estimate: memory.estimate(vectors.tensors, variant, use),
  }));
}"""


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def assets():
    """URL of docs/assets, served on this machine."""
    handler = functools.partial(_QuietHandler, directory=str(ROOT / "docs" / "assets"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


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


def test_the_vectors_are_those_of_the_pages_and_the_formula():
    fresh = json.loads(json.dumps(memory.vectors()))
    assert fresh == json.loads(VECTORS.read_text(encoding="utf-8")), "run 'python -m guide.memory' and look at what changed"


def test_javascript_answers_the_same(assets, chromium):
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    page = chromium.new_page()
    page.goto(assets)
    answers = page.evaluate(ASK_ALL, vectors)
    constants = page.evaluate("async () => ({ ...(await import('/memory.js')) })")
    page.close()
    for case, answer in zip(vectors["cases"], answers, strict=True):
        assert answer == case, case["name"]
    for name in ("PARTS", "BF16_BYTES", "FLOAT32_BYTES", "CONTEXT_BYTES", "HIDDEN_ROWS", "WIDEST_ROWS"):
        expected = getattr(memory, name)
        assert constants[name] == (list(expected) if isinstance(expected, tuple) else expected), name


def test_predicted_against_measured(record_property):
    records = storage_table.read_records()
    assert records, "nothing was weighed: run 'nox -s weigh -- --keep'"
    variants = {(name, variant.id): variant for name, method in read_methods().items() for variant in method.variants}
    for slug, record in records.items():
        assert record.machine.slug == slug
        record_property("figure", f"{slug}: {record.summary()}")
        for case in record.weighed():
            # The page may have changed since: predict anew, and compare with what was measured.
            variant = variants[case.method, case.variant].model_dump(mode="json")
            assert storage_table.predicted(record.shapes[case.shape], variant) == case.predicted, (
                f"{case.line()}: weigh it again"
            )
            assert case.note or case.worst() <= storage_table.TOLERANCE, case.line()


def test_a_configuration_alone_gives_the_weights_of_the_models_that_were_built():
    families, compared = architecture.read_architectures()["families"], set()
    for record in storage_table.read_records().values():
        for name, shape in record.shapes.items():
            read = architecture.read_config(json.dumps(shape.config), families)
            if "problem" not in read:
                tensors = architecture.tensors(read["family"], read["config"])
                assert memory.weights(tensors) == memory.weights(shape.tensors), name
                compared.add(shape.config["model_type"])
    assert {"qwen3", "llama", "qwen3_moe"} <= compared


def test_a_prediction_that_is_off_is_noticed():
    record = next(iter(storage_table.read_records().values()))
    case = next(case for case in record.weighed() if not case.note)
    wrong = case.predicted.model_copy(update={"linears": round(1.02 * case.predicted.linears)})
    assert case.model_copy(update={"predicted": wrong}).worst() > storage_table.TOLERANCE


def test_the_table_shows_each_case():
    record = next(iter(storage_table.read_records().values()))
    html = storage_table.storage_table(record)
    assert html.count("<tr>") == len(record.cases) + 1
    assert re.search(r"worst error [\d.]+ %", html)
