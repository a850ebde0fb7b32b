"""Files of mixed types: as llama.cpp wrote them to the byte, as its table says of Llama-3.1-8B, and on the page the same."""

from __future__ import annotations

import json

import pytest
from serving import serve

from guide.calculator import memory, shapes
from guide.calculator.mixing import with_kept
from guide.facts.engine import Common
from guide.project import GuideError, Project

PROJECT = Project.here()
WHOLE = json.loads(PROJECT.architectures.read_text(encoding="utf-8"))
PRESETS = {preset["id"]: preset["config"] for preset in WHOLE["presets"]}
# A Qwen3 with random weights, converted to Q8_0, and from it quantized by llama_model_quantize of llama-cpp-python 0.3.36,
# without an importance matrix: the bytes of all tensors, as gguf.GGUFReader reads them.
SMALL = {
    "model_type": "qwen3", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 64, "intermediate_size": 768, "vocab_size": 2048, "tie_word_embeddings": True,
}  # fmt: skip
WRITTEN = {"Q8_0": 3_910_656, "Q4_0": 2_210_816, "Q4_K_M": 2_329_088, "IQ4_XS": 2_112_512, "Q2_K": 1_593_344}
CLOSE = 0.0001  # of the table's bits, which it rounds


def tensors(config: dict) -> list[dict]:
    read = shapes.read_config(json.dumps(config), WHOLE["families"])
    return shapes.tensors(read["family"], read["config"])


@pytest.fixture(scope="module")
def offers(site_folder) -> dict[str, dict]:
    """What the pages count, by label."""
    choices = json.loads((site_folder / "assets" / "choices.json").read_text(encoding="utf-8"))
    return {one["label"]: one for one in choices["offers"] if "mix" in one}


@pytest.mark.parametrize("label", WRITTEN)
def test_a_file_has_the_bytes_that_were_written(offers, label):
    assert memory.weights(tensors(SMALL), offers[label])["total"] == WRITTEN[label]


def test_every_type_has_the_bits_that_its_table_says(guide, offers):
    known = {offer.label: offer.stored for one in guide.common.formats for offer in one.offers if offer.types and offer.stored}
    assert len(known) > 7
    llama = tensors(PRESETS["llama-3.1-8b"])
    for label, bits in known.items():
        found = 8 * memory.weights(llama, offers[label])["total"] / shapes.parameter_count(llama)
        assert abs(found / bits - 1) < CLOSE, f"{label}: {found:.4f}, {bits} in the table"


def test_rows_of_no_whole_number_of_blocks_get_another_type(offers):
    """Rows of 896, as Qwen2-0.5B has: Q5_0, 22 bytes for 32 weights, in place of Q4_K."""
    one = {"part": "linear", "name": "self_attn.q_proj", "rows": 64, "columns": 896, "count": 3}
    assert memory.weights([one], offers["Q4_K_M"])["total"] == 3 * 64 * 896 // 32 * 22
    odd = {**one, "columns": 40}
    assert memory.weights([odd], offers["Q4_K_M"])["total"] == 3 * 64 * 40 * 2, "float16 where no block fits"


def test_layers_of_gpt2_are_quantized_and_its_positions_are_not(offers):
    """Conv1D is inputs x outputs: rows of 1600 in the file, which no block of 256 divides."""
    config = {"model_type": "gpt2", "n_embd": 1600, "n_layer": 2, "n_head": 25, "n_positions": 1024, "vocab_size": 2048}
    families = json.loads(PROJECT.families.read_text(encoding="utf-8"))["families"]
    read = shapes.read_config(json.dumps(config), families)
    held = memory.weights(shapes.tensors(read["family"], read["config"]), offers["Q8_0"])
    layers = 2 * (1600 * 4800 + 1600 * 1600 + 2 * 1600 * 6400)
    assert held["quantized"] == (layers + 2048 * 1600) // 32 * 34 and held["embedding"] == 1024 * 1600 * 4
    one = {"part": "other", "name": "mlp.c_fc", "rows": 1600, "columns": 6400, "count": 1}
    assert memory.weights([one], offers["Q6_K"])["total"] == 1600 * 6400 // 32 * 34, "Q8_0 in place of Q6_K"
    state = {"part": "other", "name": "linear_attn.conv1d", "rows": 64, "columns": 4, "count": 1}
    assert memory.weights([state], offers["Q6_K"])["total"] == 64 * 4 * 4


def test_what_is_not_quantized_is_in_float32(offers):
    norm = {"part": "norm", "name": "model.norm", "rows": 256, "columns": 1, "count": 1}
    router = {"part": "router", "name": "mlp.gate", "rows": 8, "columns": 256, "count": 2}
    assert memory.weights([norm, router], offers["Q8_0"]) == {
        **dict.fromkeys(("quantized", "scales", *memory.PARTS), 0), "norm": 1024, "router": 16384, "total": 17408
    }  # fmt: skip


# What is published of openai/gpt-oss-20b, converted by llama.cpp: its experts take 17 bytes for 32 weights in all of them.
GPT_OSS, OTHERS_AT_MOST = 12.06e9, 12.2e9


def test_gpt_oss_keeps_its_experts_as_they_were_published(offers):
    model = tensors(PRESETS["gpt-oss-20b"])
    sizes = {label: memory.weights(model, with_kept(one, "gpt-oss-20b"))["total"] for label, one in offers.items()}
    assert sizes["Q8_0"] == pytest.approx(GPT_OSS, rel=0.01)
    assert max(sizes.values()) < OTHERS_AT_MOST and len(sizes) > 9
    assert with_kept(offers["Q8_0"], "qwen3-30b-a3b")["mix"] == offers["Q8_0"]["mix"], "no other model's are kept"


def test_a_type_that_stays_is_one_of_the_blocks(planted):
    planted.edit("docs/engines/llama-cpp.md", "stays: MXFP4", "stays: MXFP5")
    with pytest.raises(GuideError, match=r"llama-cpp\.md, formats\.mxfp4\.stays names 'MXFP5'; known are IQ2_S"):
        planted.load()


def test_the_page_counts_the_same(chromium, offers):
    models = {name: tensors(config) for name, config in [("small", SMALL), *PRESETS.items()]}
    models["gpt2"] = [{"part": "other", "name": "attn.c_attn", "rows": 1600, "columns": 4800, "count": 48}]
    body = """async ({ models, offers }) => {
      const [{ weights }, { withKept }] = await Promise.all([import("/memory.js"), import("/variant.js")]);
      return Object.entries(models).map(([id, tensors]) => offers.map((one) => weights(tensors, withKept(one, { id }))));
    }"""
    with serve(PROJECT.assets) as url:
        page = chromium.new_page()
        page.goto(url)
        found = page.evaluate(body, {"models": models, "offers": list(offers.values())})
        page.close()
    assert found == [
        [memory.weights(model, with_kept(one, name)) for one in offers.values()] for name, model in models.items()
    ]


@pytest.mark.parametrize(
    "offer, sentence",
    [({"types": [["rest", "all", "Q9_K"]]}, "names Q9_K, which is none of the blocks"), ({}, "says not what it stores")],
)
def test_an_offer_says_what_it_stores(guide, offer, sentence):
    facts = guide.common.model_dump(mode="json")
    facts["formats"][0]["offers"] = [{"id": "x", "label": "X", "bits": 4, "source": "s", **offer}]
    with pytest.raises(ValueError, match=sentence):
        Common.model_validate(facts)
