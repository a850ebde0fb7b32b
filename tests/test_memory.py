"""The memory calculator: Python and JavaScript answer the same bytes, and those are the bytes that quantized models have."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from serving import serve

from guide.calculator import memory, shapes
from guide.facts.guide import Guide
from guide.facts.storage import TOLERANCE
from guide.project import GuideError, Project
from guide.site.views.measures import stored

PROJECT = Project.here()
# Layers of a model, layers that no group size divides, and the smallest there is.
LAYERS = [
    (1, 1), (1, 129), (7, 3), (48, 40), (130, 257), (777, 1000), (1024, 1024), (3072, 1024), (1024, 3072), (896, 4864),
    (6144, 2048), (18432, 7168), (151936, 1024),
]  # fmt: skip
USE: dict[str, Any] = {"cache_elements": 12345, "cache_element_bytes": 0.53125, "activations": 98765}

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


def vectors(guide: Guide) -> dict[str, Any]:
    """What Python and JavaScript must both answer: every variant of every page, on single layers and on a model that has every
    part."""
    tensors = [
        {"part": part, "rows": 130 + index, "columns": 257, "count": index + 1, "name": part}
        for index, part in enumerate(memory.PARTS)
    ]
    variants: dict[str, memory.Facts | None] = {"bf16": None}
    for page, method in guide.methods.items():
        variants |= {f"{page} {variant.id}": memory.facts_of(variant) for variant in method.variants}
    scales = {"bytes": 2, "tile": [1, None]}
    head = {"bytes": 0.75}  # of a pasted checkpoint with another width there
    variants["3 bit, the head 6"] = {
        "quantizes": ["linear", "head"],
        "storage": [{"bytes": 0.375}, scales],
        "parts": {"head": [head, scales]},
    }
    variants["layers of their own"] = {
        "quantizes": ["linear", "experts"],
        "storage": [{"bytes": 0.5}, scales],
        "layers": {2: [[1, None], [1, [{"bytes": 1}, scales]]], 1: [[1, [{"bytes": 1}]]]},
    }
    cases = [
        {
            "name": name,
            "variant": facts,
            "stored": [memory.stored(rows, columns, facts["storage"]) for rows, columns in LAYERS] if facts else [],
            "weights": memory.weights(tensors, facts),
            "estimate": memory.estimate(tensors, facts, **USE),
        }
        for name, facts in variants.items()
    ]
    return {"shapes": LAYERS, "tensors": tensors, "use": USE, "cases": cases}


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


def test_layers_of_their_own_are_counted_so():
    """Of three layers one in 16 bit, one in 8 bit, one as the rest; a head that is quantized though its part is not."""
    tensors = [
        {"part": "linear", "name": "l", "rows": 4, "columns": 4, "count": 3},
        {"part": "head", "name": "h", "rows": 8, "columns": 4, "count": 1},
    ]
    variant = {"quantizes": ["linear"], "storage": [{"bytes": 0.5}], "layers": {
        0: [(1, None), (1, [{"bytes": 1}, {"bytes": 2, "tile": [1, None]}])], 1: [(1, [{"bytes": 0.5}])],
    }}  # fmt: skip
    split = memory.weights(tensors, variant)
    assert {name: size for name, size in split.items() if size} == {
        "quantized": 8 + 16 + 16, "scales": 8, "linear": 32, "total": 80
    }  # fmt: skip


def test_javascript_answers_the_same(chromium, guide):
    known = json.loads(json.dumps(vectors(guide)))
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
    assert re.search(r"worst error of any part [\d.]+ %", record.summary())


# Tables that a page types, beside what is computed


def rows_of(guide, page: str, head: str) -> list[list[str]]:
    """The rows of the typed table of a page whose first line is that."""
    table = guide.pages[page].partition(f"\n{head}\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]
    assert rows, head
    return rows


def counted(guide, name: str):
    """What the calculator reads of one of its own models, by the name that a page calls it."""
    preset = next(
        one for one in guide.architectures["presets"] if one["name"].removesuffix(", language model") in (name, f"{name}-v0.1")
    )
    return shapes.read_config(json.dumps(preset["config"]), guide.architectures["families"])


def facts(guide, method: str, variant: str) -> memory.Facts:
    return memory.facts_of(next(one for one in guide.methods[method].variants if one.id == variant))


def in_use(guide, name: str, context: int) -> int:
    """Bytes of a 16-bit cache after so many tokens of one sequence."""
    read = counted(guide, name)
    held = shapes.cache(read["family"], read["config"], context, 1)
    return 2 * held["elements"] + held["constant_bytes"]


def test_the_cache_by_context_is_what_is_counted(guide):
    heads = "| context | 1 sequence | 16 sequences | 64 sequences |"
    for context, *sizes in rows_of(guide, "cache.md", heads):
        one = in_use(guide, "Llama-3.1-8B", number(context))
        assert sizes == [rounded(one * sequences / 1e9) for sequences in (1, 16, 64)], context


def number(text: str) -> int:
    return int(text.replace(",", ""))


def rounded(value: float) -> str:
    """Three digits that count."""
    return f"{float(f'{value:.3g}'):,.{2 if value < 10 else 1 if value < 100 else 0}f}"


def test_the_tokens_that_a_gpu_holds_are_what_is_counted(guide):
    read = counted(guide, "Llama-3.1-8B")
    layers = shapes.tensors(read["family"], read["config"])
    variants = {"bf16": None, "int8": facts(guide, "bitsandbytes", "int8"), "nf4": facts(guide, "bitsandbytes", "nf4")}
    a_token = in_use(guide, "Llama-3.1-8B", 1)
    for row, exact, half in rows_of(guide, "cache.md", "| Llama-3.1-8B on 24 GiB | 16-bit cache | 8-bit cache |"):
        name, _, size = row.partition(", ")
        held = memory.weights(layers, variants[name])["total"]
        assert size == f"{held / 1e9:.2f} GB", row
        tokens = int((24 * 2**30 - held - 0.5e9) / a_token)
        assert number(exact.split()[0]) == tokens and number(half) == int((24 * 2**30 - held - 0.5e9) / a_token * 2), row


def test_the_caches_of_models_are_what_is_counted(guide):
    for names, size, _ in rows_of(guide, "cache.md", "| model | cache, GB | why |"):
        for name in names.partition(", 671")[0].split(", "):
            assert size == f"{in_use(guide, name, 32_768) / 1e9:.2f}", name


def test_the_sizes_of_mixtures_are_what_is_counted(guide):
    heads = "| Model | Weights, billion | In experts | bf16, GB | nf4 with experts in bf16, GB |"
    for name, billions, share, plain, packed in rows_of(guide, "experts.md", heads):
        read = counted(guide, name)
        layers = shapes.tensors(read["family"], read["config"])
        every, nf4 = shapes.parameter_count(layers), facts(guide, "bitsandbytes", "nf4")
        inside = shapes.parameter_count([one for one in layers if one["part"] == "experts"])
        linears = shapes.parameter_count([one for one in layers if one["part"] == "linear"])
        assert nf4["quantizes"] == ["linear"]
        said = [f"{every / 1e9:.1f}", f"{100 * inside / every:.1f} %", f"{2 * every / 1e9:,.1f}"]
        assert [billions, share, plain] == said, name
        assert packed == f"{(2 * (every - linears) + linears * 4.5 / 8) / 1e9:,.1f}", name
