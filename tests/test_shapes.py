"""What the page and Python read from a config.json: against the models that Transformers built, and against each other."""

from __future__ import annotations

import json
import math

import pytest
from serving import serve

from guide.calculator import memory, shapes
from guide.derive.peaks import ABOVE, BELOW, predicted
from guide.derive.verify import examples_of
from guide.project import GuideError, Project

PROJECT = Project.here()
WHOLE = json.loads(PROJECT.architectures.read_text(encoding="utf-8"))
REST = json.loads(PROJECT.families.read_text(encoding="utf-8"))
FAMILIES, REFUSED, INNER = {**WHOLE["families"], **REST["families"]}, REST["refused"], REST["inner"]
EXAMPLES = {
    one["id"]: one["config"] for one in examples_of(json.loads(PROJECT.examples.read_text(encoding="utf-8")), FAMILIES)
}
PRESETS = {preset["id"]: preset for preset in WHOLE["presets"]}
VECTORS = json.loads((PROJECT.tests / "architecture_vectors.json").read_text(encoding="utf-8"))
OTHERS = json.loads((PROJECT.tests / "family_vectors.json").read_text(encoding="utf-8"))
SMALL = {"model_type": "qwen3", "hidden_size": 64, "num_hidden_layers": 2}

GEMMA4_FULL = {"head_dim": 32, "num_key_value_heads": 3}
GEMMA4 = {
    "model_type": "gemma4_text", "hidden_size": 64, "num_hidden_layers": 4, "hidden_size_per_layer_input": 0,
    "use_bidirectional_attention": "vision", "layer_types": ["sliding_attention", "full_attention"] * 2,
    "attention_k_eq_v": True,
}  # fmt: skip

# A text that must be refused, and what its sentence must say.
BAD = {
    "no JSON": ("{hidden_size: 4}", "not JSON"),
    "cut off": (json.dumps(SMALL)[:-1], "not JSON"),
    "a list": ("[1, 2]", "no object"),
    "a number": ("7", "no object"),
    "empty": ("", "not JSON"),
    "no model_type": ("{}", "no model_type"),
    "model_type is no text": ('{"model_type": 3}', "no model_type"),
    "unknown": ('{"model_type": "rwkv"}', "rwkv is not among the"),
    "unknown inside": ('{"model_type": "a", "text_config": {"model_type": "b"}}', "b is not among the"),
    "named as a method of objects": ('{"model_type": "constructor"}', "constructor is not among the"),
    "no layers": (json.dumps({**SMALL, "num_hidden_layers": None}), "lacks num_hidden_layers"),
    "no width": ('{"model_type": "llama", "num_hidden_layers": 2}', "lacks hidden_size"),
    "negative": (json.dumps({**SMALL, "hidden_size": -64}), "hidden_size is -64; it must be a whole number from 1"),
    "zero": (json.dumps({**SMALL, "vocab_size": 0}), "vocab_size is 0; it must be a whole number from 1"),
    "fraction": (json.dumps({**SMALL, "hidden_size": 64.5}), "hidden_size is 64.5; it must be a whole number"),
    "text for a number": (json.dumps({**SMALL, "hidden_size": "64"}), 'hidden_size is "64"; it must be a whole number'),
    "truth for a number": (json.dumps({**SMALL, "hidden_size": True}), "hidden_size is true; it must be a whole number"),
    "a list for a number": (json.dumps({**SMALL, "hidden_size": [64, 65]}), "hidden_size is [64,65]; it must be"),
    "infinite": (
        '{"model_type": "qwen3", "num_hidden_layers": 2, "hidden_size": -Infinity}',
        'hidden_size is "-Infinity"; it must be a whole number',
    ),
    "no number": (
        '{"model_type": "qwen3", "num_hidden_layers": NaN, "hidden_size": 4}',
        'num_hidden_layers is "NaN"; it must be',
    ),
    "infinite as a name": ('{"model_type": "qwen3", Infinity: 2}', "not JSON"),
    "a hub id": ("Qwen/Qwen3-0.6B", "the name or address of a model"),
    "an address": ("https://example.org/Qwen/Qwen3-0.6B/blob/main/config.json?x=1", "the name or address of a model"),
    "an adapter": (
        '{"peft_type": "LORA", "r": 8, "base_model_name_or_path": "a/b"}',
        "config.json of the model that the adapter",
    ),
    "a layer of its own": (
        json.dumps({**GEMMA4, "per_layer_config": {"1": GEMMA4_FULL}}),
        "sets per_layer_config to {",
    ),
    "full layers that differ": (
        json.dumps({**GEMMA4, "per_layer_config": {"1": GEMMA4_FULL, "3": {"head_dim": 32}}}),
        "sets per_layer_config to {",
    ),
    "images without their language model": ('{"model_type": "gemma3", "hidden_size": 64}', "lacks text_config, where the"),
    "a language model that is a list": ('{"model_type": "gemma4", "text_config": [1]}', "lacks text_config, where the"),
    "looking both ways": (
        json.dumps({**SMALL, "model_type": "gemma", "use_bidirectional_attention": True}),
        "sets use_bidirectional_attention to true; the shapes of gemma are known only for null",
    ),
    "attention to another model": (
        '{"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "add_cross_attention": true}',
        "sets add_cross_attention to true; the shapes of gpt2 are known only for false",
    ),
    "a class that is no list": (json.dumps({**SMALL, "architectures": "Qwen3Model"}), "of a Qwen3Model; what is counted"),
    "another class inside": (
        json.dumps({"model_type": "internvl_chat", "llm_config": {**SMALL, "architectures": ["Qwen3Model"]}}),
        "of a Qwen3Model; what is counted for qwen3 is a language model",
    ),
    "per-layer inputs": (
        json.dumps({**GEMMA4, "hidden_size_per_layer_input": 256}),
        "has embeddings of each layer (hidden_size_per_layer_input is 256): the shapes of such a model are not known here",
    ),
    "a comment": ('{\n"model_type": "qwen3", // the\n}', "line 2 has a comment, which JSON has not: take it out, or paste"),
    "a comma too many": (
        '{\n"a": "//,}",\n"b": [1,\n]}',
        "line 3 has a comma behind which nothing comes: take it out, or paste",
    ),
    "a path": ("/home/me/models/Qwen3/config.json", "the name or address of a model"),
    "a path of Windows": ("C:\\models\\qwen3", "the name or address of a model"),
    "a name with a type": ("hf.co/bartowski/Qwen3-8B-GGUF:Q4_K_M", "the name or address of a model"),
    "a name with a tag": ("qwen3:8b", "the name or address of a model"),
    "which file holds what": ('{"metadata": {"total_size": 1}, "weight_map": {}}', "the index of a checkpoint's files, which"),
    "ModelOpt's file": (
        '{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}',
        "an hf_quant_config.json, which says nothing of a model's shapes: paste the config.json that lies beside it",
    ),
    "GPTQ's file": ('{"bits": 4, "group_size": 128, "desc_act": false}', "a quantize_config.json, which says nothing"),
    "AWQ's file": ('{"zero_point": true, "q_group_size": 128, "w_bit": 4}', "a quant_config.json, which says nothing"),
    "a block alone": ('{"quant_method": "gptq", "bits": 4}', "a quantization config, which says nothing"),
    "how to train": ('{"zero_optimization": {"stage": 3}, "bf16": {}}', "a configuration of DeepSpeed, which says nothing"),
    "how to see": ('{"image_processor_type": "CLIPImageProcessor"}', "a preprocessor_config.json, which says nothing"),
    "Mistral's own": (
        '{"dim": 4096, "n_layers": 32, "head_dim": 128, "vocab_size": 32768}',
        "a params.json, which says nothing",
    ),
    "when to stop": ('{"bos_token_id": 1, "eos_token_id": 2, "transformers_version": "4"}', "a generation_config.json, which"),
    "how to generate": ('{"_from_model_config": true, "eos_token_id": 2}', "a generation_config.json, which says nothing"),
    "how to sample": ('{"do_sample": true, "temperature": 0.6}', "a generation_config.json, which says nothing"),
    "a tokenizer": ('{"tokenizer_class": "LlamaTokenizer", "model_max_length": 4096}', "a tokenizer_config.json, which says"),
    "a diffusion model": ('{"_class_name": "UNet2DConditionModel", "sample_size": 64}', "of a part of a diffusion pipeline"),
    "inside without a name": (
        '{"model_type": "strange", "text_config": {"hidden_size": 4}}',
        "text_config has no model_type: add",
    ),
    "a draft head": (
        json.dumps({**SMALL, "architectures": ["DFlashDraftModel"]}),
        "of a DFlashDraftModel; what is counted for qwen3 is Qwen3ForCausalLM: put that name in its architectures if",
    ),
    "a draft head that begins as a model": (
        json.dumps({**SMALL, "model_type": "llama", "architectures": ["LlamaForCausalLMEagle3"]}),
        "of a LlamaForCausalLMEagle3; what is counted for llama is LlamaForCausalLM",
    ),
    "a classifier": (json.dumps({**SMALL, "architectures": ["Qwen3ForSequenceClassification"]}), "of a Qwen3ForSequenceClass"),
    "a model without its head": (json.dumps({**SMALL, "architectures": ["Qwen3Model"]}), "of a Qwen3Model; what is counted"),
    "a classifier of images": (
        json.dumps({"model_type": "a", "architectures": ["AForSequenceClassification"], "text_config": SMALL}),
        "of a AForSequenceClassification; what is counted for qwen3 is a language model",
    ),
    "a null that is not taken": (
        json.dumps({**SMALL, "vocab_size": None}),
        "sets vocab_size to null, which a qwen3 model can't",
    ),
    "a switch that is null": (
        json.dumps({**SMALL, "tie_word_embeddings": None}),
        "null, which a qwen3 model can't have: make it",
    ),
    "an alias that is null": (
        json.dumps({"model_type": "gpt_oss", "hidden_size": 64, "num_hidden_layers": 1, "num_experts": None}),
        "sets num_experts to null, which a gpt_oss model can't have",
    ),
    "layers that differ": (
        json.dumps({**SMALL, "per_layer_config": {"1": {}}}),
        'sets per_layer_config to {"1":{}}; the shapes',
    ),
    "a default that is not known": (
        json.dumps({"model_type": "gemma4_text", "hidden_size": 64, "num_hidden_layers": 2}),
        "lacks hidden_size_per_layer_input; the shapes of gemma4_text are known only for 0",
    ),
    "GPT-2's own name": ('{"model_type": "gpt2", "n_embd": 768}', "lacks n_layer"),
    "a shared indexer without its layers": (
        json.dumps({"model_type": "glm_moe_dsa", "hidden_size": 64, "num_hidden_layers": 8, "index_topk_freq": 2}),
        "sets index_topk_freq to 2; the shapes of glm_moe_dsa are known only for",
    ),
    "too deep": ("[" * 100_000, "not JSON"),
    "no ASCII": (json.dumps({**SMALL, "hidden_size": "größer"}, ensure_ascii=False), 'hidden_size is "größer"; it must be'),
    "absurd": (json.dumps({**SMALL, "hidden_size": 10**9}), "hidden_size is 1000000000; it must be a whole number"),
    "absurd layers": (json.dumps({**SMALL, "num_hidden_layers": 10_001}), "num_hidden_layers is 10001; it must be a whole"),
    "a number for true": (json.dumps({**SMALL, "attention_bias": 1}), "attention_bias is 1; it must be true or false"),
    "a width below its heads": ('{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 8}', "lacks head_dim"),
    "layer_types too short": (
        json.dumps({"model_type": "gpt_oss", "hidden_size": 64, "num_hidden_layers": 2, "layer_types": ["full_attention"]}),
        "layer_types must be a list with one entry for each",
    ),
    "strange layer": (
        json.dumps({"model_type": "gpt_oss", "hidden_size": 64, "num_hidden_layers": 1, "layer_types": ["mamba"]}),
        'layer_types has "mamba"; known for gpt_oss are',
    ),
}

# A config, and what some of its fields must become, as Transformers has them.
GOOD = {
    "null is what the class makes of it": (
        {
            "model_type": "qwen2",
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 16,
            "num_key_value_heads": None,
        },
        {"num_key_value_heads": 16},
    ),
    "absent is the default": (
        {"model_type": "qwen2", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 16},
        {"num_key_value_heads": 32},
    ),
    "an alias wins": (
        {"model_type": "gpt_oss", "hidden_size": 64, "num_hidden_layers": 2, "num_local_experts": 4, "num_experts": 3},
        {"num_local_experts": 3},
    ),
    "an alias that the class declares loses": (
        {"model_type": "qwen3_moe", "hidden_size": 64, "num_hidden_layers": 2, "num_local_experts": 4, "num_experts": 3},
        {"num_local_experts": 4},
    ),
    "and counts alone": (
        {"model_type": "qwen3_moe", "hidden_size": 64, "num_hidden_layers": 2, "num_experts": 3},
        {"num_local_experts": 3},
    ),
    "GPT-2's own names": (
        {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_inner": None},
        {"hidden_size": 64, "num_hidden_layers": 2, "n_inner": 256},
    ),
    "infinite elsewhere": ({**SMALL, "time_step_limit": [0, math.inf], "note": "Infinity, [NaN]"}, {"hidden_size": 64}),
    "LLaVA-1.5, whose text_config rests on defaults": (
        {
            "architectures": ["LlavaForConditionalGeneration"],
            "model_type": "llava",
            "text_config": {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096},
            "vision_config": {"model_type": "clip_vision_model", "hidden_size": 1024},
        },
        {"hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 32064, "intermediate_size": 11008},
    ),
    "inside without a name, of a model that is known": (
        {"model_type": "qwen3_vl", "text_config": {"hidden_size": 64, "num_hidden_layers": 2, "head_dim": 16}},
        {"head_dim": 16, "tie_word_embeddings": False},
    ),
    "tied above": (
        {"model_type": "qwen3_vl", "tie_word_embeddings": True, "text_config": {**SMALL, "tie_word_embeddings": False}},
        {"tie_word_embeddings": True},
    ),
    "beside the images": (
        {
            "model_type": "qwen2_5_vl",
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "tie_word_embeddings": True,
            "vision_config": {},
        },
        {"hidden_size": 64, "tie_word_embeddings": True},
    ),
    "layers by an older name, as many as are listed": (
        {"model_type": "nemotron_h", "hidden_size": 64, "layers_block_type": ["mamba", "moe", "attention"]},
        {"num_hidden_layers": 3, "layers_block_type": ["linear_attention", "moe", "full_attention"]},
    ),
    "layers by letters": (
        {"model_type": "nemotron_h", "hidden_size": 64, "num_hidden_layers": 2, "hybrid_override_pattern": "M*"},
        {"layers_block_type": ["linear_attention", "full_attention"]},
    ),
    "null where nothing asks for it": (
        {
            "model_type": "gemma4_text",
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "hidden_size_per_layer_input": 0,
            "use_bidirectional_attention": "vision",
            "layer_types": ["sliding_attention", "full_attention"],
            "enable_moe_block": False,
            "num_experts": None,
        },
        {"enable_moe_block": False, "num_experts": None},
    ),
    "Kimi-K2, whose class is DeepSeek-V3's": (
        {"model_type": "kimi_k2", "hidden_size": 64, "num_hidden_layers": 2, "architectures": ["DeepseekV3ForCausalLM"]},
        {"hidden_size": 64, "tie_word_embeddings": False},
    ),
    "BLOOM's own name of the width, which wins": (
        {"model_type": "bloom", "hidden_size": 64, "n_embed": 1024, "n_layer": 24},
        {"hidden_size": 1024, "num_hidden_layers": 24},
    ),
    "a head that nothing ties": (
        {"model_type": "mistral3", "text_config": {"model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 2}},
        {"tie_word_embeddings": False},
    ),
    "a window that is switched off, as Transformers saves it": (
        {**SMALL, "model_type": "qwen2_moe", "use_sliding_window": False, "sliding_window": 0},
        {"use_sliding_window": False, "sliding_window": None},
    ),
    "Gemma 4 as Transformers saves it": (
        {**GEMMA4, "per_layer_config": {"01": GEMMA4_FULL, "03": GEMMA4_FULL}},
        {"head_dim": 256, "global_head_dim": 32, "num_global_key_value_heads": 3},
    ),
    "Gemma 4 whose last layer looks at all, whatever its list says": (
        {**GEMMA4, "layer_types": ["sliding_attention"] * 4},
        {"layer_types": [*["sliding_attention"] * 3, "full_attention"]},
    ),
    "Kimi K2.5, whose language model is one of another name": (
        {"model_type": "kimi_k25", "text_config": {"model_type": "kimi_k2", "hidden_size": 64, "num_hidden_layers": 2}},
        {"hidden_size": 64, "num_hidden_layers": 2},
    ),
    "Gemma 4 that looks back alone": ({**GEMMA4, "use_bidirectional_attention": None}, {"head_dim": 256}),
    "PaliGemma, whose prompt looks both ways": (
        {"model_type": "paligemma", "text_config": {**SMALL, "model_type": "gemma", "use_bidirectional_attention": True}},
        {"hidden_size": 64},
    ),
    "a language model by another name": (
        {
            "model_type": "internvl_chat",
            "architectures": ["InternVLChatModel"],
            "llm_config": {**SMALL, "architectures": ["Qwen3ForCausalLM"]},
            "vision_config": {},
        },
        {"hidden_size": 64, "num_hidden_layers": 2},
    ),
    "and by one more": (
        {"model_type": "deepseek_vl_v2", "architectures": ["DeepseekVLV2ForCausalLM"], "language_config": SMALL},
        {"hidden_size": 64},
    ),
    "the class by another case": ({**SMALL, "architectures": ["QWEN3forCausalLM"]}, {"hidden_size": 64}),
}


def read(config: dict) -> shapes.Read:
    return shapes.read_config(json.dumps(config), FAMILIES, REFUSED, INNER)


def problem(text: str, families: dict = FAMILIES, refused: dict = REFUSED) -> str:
    """The sentence with which a text is refused."""
    with pytest.raises(GuideError) as raised:
        shapes.read_config(text, families, refused, INNER)
    return str(raised.value)


def figures(config: dict) -> dict:
    """What stands in the test vectors of a preset, evaluated."""
    found = read(config)
    family, values = found["family"], found["config"]
    tensors = shapes.tensors(family, values)
    parts: dict[str, int] = {}
    for one in tensors:
        parts[one["part"]] = parts.get(one["part"], 0) + one["rows"] * one["columns"] * one["count"]
    caches = {key: shapes.cache(family, values, *map(int, key.split())) for key in next(iter(VECTORS.values()))["cache"]}
    return {"parameters": shapes.parameter_count(tensors), "parts": dict(sorted(parts.items())), "cache": caches}


def test_the_presets_are_what_the_page_promises():
    assert len(PRESETS) >= 25
    assert set(PRESETS) == set(VECTORS)
    sizes = sorted(preset["parameters"] for preset in PRESETS.values())
    assert sizes[0] < 0.6e9
    assert sizes[-1] > 600e9
    assert {part for vector in VECTORS.values() for part in vector["parts"]} == {
        "embedding", "head", "linear", "experts", "router", "norm", "other"}  # fmt: skip
    assert any("head" not in vector["parts"] for vector in VECTORS.values()), "none has tied embeddings"
    assert any("experts" not in vector["parts"] for vector in VECTORS.values()), "none is dense"
    caches = [entry for preset in PRESETS.values() for entry in read(preset["config"])["family"]["cache"]]
    assert any("window" in entry for entry in caches)
    assert any("kv_lora_rank" in entry.get("per_token", "") for entry in caches)
    assert any("states" in entry for entry in caches)


def test_each_preset_names_where_its_config_was_read():
    sources = json.loads((PROJECT.configs / "sources.json").read_text(encoding="utf-8"))
    for name, preset in PRESETS.items():
        assert sources[name]["source"] and sources[name]["model"] == preset["model"]
        config = json.loads((PROJECT.configs / f"{name}.json").read_text(encoding="utf-8"))
        assert preset["config"] == config, "stale: run nox -s architectures"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_parameters_that_transformers_built(name):
    assert figures(PRESETS[name]["config"]) == VECTORS[name]
    assert PRESETS[name]["parameters"] == VECTORS[name]["parameters"]


def test_the_families_are_what_the_page_promises():
    assert len(FAMILIES) >= 45
    assert set(WHOLE["families"]) == {read(preset["config"])["model_type"] for preset in PRESETS.values()}, "others load later"
    assert not set(WHOLE["families"]) & set(REST["families"])
    assert set(OTHERS) == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_has_the_parameters_that_transformers_built(name):
    assert figures(EXAMPLES[name]) == OTHERS[name]


@pytest.mark.parametrize(("config", "expected"), GOOD.values(), ids=GOOD)
def test_a_config_is_read_as_transformers_reads_it(config, expected):
    found = read(config)["config"]
    assert {field: found[field] for field in expected} == expected


@pytest.mark.parametrize(("text", "part"), BAD.values(), ids=BAD)
def test_a_bad_config_gets_one_sentence(text, part):
    sentence = problem(text)
    assert part in sentence
    assert sentence.endswith(".")


AROUND = {  # what an editor, a page or a chat puts around it
    "a mark of the byte order": "\ufeff{}",
    "a fence": "\n```json\n{}\n```\n",
    "spaces of a page": "\u00a0{}\u00a0",
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_what_is_put_around_a_config_is_no_fault(module, around):
    text = around.replace("{}", json.dumps(SMALL, indent=1).replace(" ", "\u00a0"))
    assert shapes.read_config(text, FAMILIES)["config"]["hidden_size"] == 64
    assert module("return p.parsed(argument.text)", {"text": text}) == {"raw": SMALL}


def test_a_field_that_was_not_probed_is_refused_by_name():
    families = {"qwen3": {**FAMILIES["qwen3"], "fixed": {"double_width": [False]}}}
    assert shapes.read_config(json.dumps({**SMALL, "double_width": False}), families)["model_type"] == "qwen3"
    sentence = problem(json.dumps({**SMALL, "double_width": True}), families)
    assert sentence.startswith(
        "The config sets double_width to true; the shapes of qwen3 are known only for false: choose the"
    )


def test_a_refused_architecture_says_what_to_do_and_not_what_was_raised_inside():
    refused = {"strange": "a dimension is no polynomial"}
    said = problem('{"model_type": "strange"}', refused=refused)
    assert said.startswith("The shapes of strange are not known here: choose the model of the list that is nearest to it")
    assert "polynomial" not in said


def test_heads_that_cannot_share_keys_are_named():
    config = {**SMALL, "num_attention_heads": 30, "num_key_value_heads": 8}
    assert "No such model runs: num_attention_heads, 30, is no multiple of num_key_value_heads, 8." in read(config)["notes"]
    assert not any("No such model" in note for note in read({**config, "num_attention_heads": 32})["notes"])


def test_notes_tell_what_was_assumed():
    qwen = PRESETS["qwen3-0.6b"]["config"]
    assert read(qwen)["notes"] == []
    assert "quantization_config" in read({**qwen, "quantization_config": {"bits": 4}})["notes"][0]
    assert read({**qwen, "quantization_config": None})["notes"] == []
    text = {"model_type": "kimi_k2", "hidden_size": 64, "num_hidden_layers": 2}
    assert not any("language model" in note for note in read(text)["notes"]), "it has no other part"
    beside = {"model_type": "qwen2_5_vl", "hidden_size": 64, "num_hidden_layers": 2, "vision_config": {}}
    assert any("Only the language model (qwen2_5_vl_text)" in note for note in read(beside)["notes"])
    inside = read({"model_type": "some_vision_model", "tie_word_embeddings": True, "text_config": SMALL})
    assert "text_config, qwen3" in inside["notes"][0]
    assert inside["config"]["tie_word_embeddings"] is True
    assert "head_dim = 128" in read(SMALL)["notes"][0]


TEXT = {"model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 2}
TIES = {  # what a config of a model with images says above and inside, and whether its head is counted
    "neither": ({}, {}, True),
    "null": ({"tie_word_embeddings": None}, {"tie_word_embeddings": None}, True),
    "inside, not": ({}, {"tie_word_embeddings": False}, True),
    "inside, tied": ({}, {"tie_word_embeddings": True}, False),
    "above, tied": ({"tie_word_embeddings": True}, {}, False),
    "above, not": ({"tie_word_embeddings": False}, {}, True),
}


@pytest.mark.parametrize(("above", "inside", "head"), TIES.values(), ids=TIES)
def test_a_head_that_a_config_leaves_open_is_counted_as_the_language_model_has_it(above, inside, head):
    """As Mistral-Small-3's, whose class ties by default and whose checkpoint has both tensors."""
    found = read({"model_type": "mistral3", **above, "text_config": {**TEXT, **inside}})
    counted = any(one["part"] == "head" for one in shapes.tensors(found["family"], found["config"]))
    assert counted is head
    noted = any("An output head is counted" in note for note in found["notes"])
    assert noted is (head and above.get("tie_word_embeddings") is None)


def test_a_head_that_the_language_model_ties_itself_is_none():
    config = {"model_type": "gemma3", "text_config": {"hidden_size": 64, "num_hidden_layers": 6}}
    found = read(config)
    assert not any(one["part"] == "head" for one in shapes.tensors(found["family"], found["config"]))
    assert not any("output head" in note for note in found["notes"])


def test_every_window_is_a_field_of_the_config():
    windows = [entry["window"] for family in FAMILIES.values() for entry in family["cache"] if "window" in entry]
    assert windows
    assert all(window.split("+")[0].isidentifier() for window in windows)


def test_a_window_that_is_switched_off_costs_nothing():
    config = {
        **SMALL,
        "num_hidden_layers": 4,
        "max_window_layers": 1,
        "sliding_window": 9,
        "head_dim": 8,
        "num_key_value_heads": 2,
    }
    whole, bounded = (read({**config, "use_sliding_window": on}) for on in (False, True))
    assert shapes.cache(whole["family"], whole["config"], 100, 1)["elements"] == 4 * 100 * 32
    assert shapes.cache(bounded["family"], bounded["config"], 100, 1)["elements"] == (100 + 3 * 8) * 32


def test_a_longer_context_costs_nothing_beyond_a_window():
    family = {"cache": [{"layers": ["all"], "per_token": "2*width", "window": "window+-1"}]}
    config = {"num_hidden_layers": 3, "width": 5, "window": 9}
    assert shapes.cache(family, config, 4, 2) == {"elements": 2 * 3 * 4 * 10, "constant_bytes": 0}
    assert shapes.cache(family, config, 4000, 2) == {"elements": 2 * 3 * 8 * 10, "constant_bytes": 0}


# The same in the browser


@pytest.fixture(scope="module")
def module(chromium):
    """Calls ``body`` of an async JavaScript function with the module and an argument."""
    with serve(PROJECT.assets) as url:
        page = chromium.new_page()
        page.goto(f"{url}architectures.json")
        yield lambda body, argument: page.evaluate(
            "async argument => { const [m, p] = await Promise.all([import('/architecture.js'), import('/pasted.js')]);"
            f"{body} }}",
            argument,
        )
        page.close()


def test_the_page_reads_every_preset_as_python_does(module):
    body = """
        const {families, refused, inner, configs, keys} = argument;
        return configs.map((config) => {
            const {model_type, config: values, notes} = m.readConfig(p.parsed(config).raw, families, refused, inner);
            const family = families[model_type];
            const tensors = m.tensors(family, values);
            return {model_type, values, notes, tensors, parameters: m.parameterCount(tensors),
                    cache: keys.map((key) => m.cache(family, values, ...key.split(" ").map(Number)))};
        });"""
    configs = [preset["config"] for preset in PRESETS.values()] + [
        SMALL,
        *EXAMPLES.values(),
        *(good for good, _ in GOOD.values()),
    ]
    keys = list(next(iter(VECTORS.values()))["cache"])
    shown = module(
        body,
        {"families": FAMILIES, "refused": REFUSED, "inner": INNER, "configs": list(map(json.dumps, configs)), "keys": keys},
    )
    for config, one in zip(configs, shown, strict=True):
        mine = read(config)
        tensors = shapes.tensors(mine["family"], mine["config"])
        assert one == {
            "model_type": mine["model_type"],
            "values": mine["config"],
            "notes": mine["notes"],
            "tensors": tensors,
            "parameters": shapes.parameter_count(tensors),
            "cache": [shapes.cache(mine["family"], mine["config"], *map(int, key.split())) for key in keys],
        }


def test_the_page_refuses_with_the_same_sentences(module):
    body = """
        const {texts, families, refused, inner} = argument;
        return texts.map(p.parsed).map(({raw, problem}) => raw ? m.readConfig(raw, families, refused, inner) : {problem});"""
    texts = [text for text, _ in BAD.values()]
    shown = module(body, {"families": FAMILIES, "refused": REFUSED, "inner": INNER, "texts": texts})
    assert shown == [{"problem": problem(text)} for text in texts]


# What is held while a model generates

MEASURED = json.loads((PROJECT.tests / "peaks_measured.json").read_text(encoding="utf-8"))
PEAKS = """async (families) => {
  const { count, readModel } = await import("/counting.js");
  return Object.values(families.measured).flat().map(({ config, passed: [prompt, chunk, batch, added] }) => {
    const model = readModel(config, null, families);
    const use = { batch, cache: 16, gpus: 1 };
    const passes = [
      { ...use, context: prompt, prompt: chunk || prompt, chunked: chunk > 0 },
      { ...use, context: prompt + added - 1, prompt: 1, chunked: true },
    ];
    return Math.max(...passes.map((one) => count(model, null, one).pass).map((one) => one.cached + one.activations));
  });
}"""


def test_every_family_has_peaks_and_was_measured():
    assert MEASURED.keys() == {name for name, family in FAMILIES.items() if "peaks" in family}
    assert {"gpt_oss", "gemma2", "qwen3_next", "deepseek_v3", "llama"} <= MEASURED.keys()
    assert {kind for family in FAMILIES.values() for kind in family.get("peaks", {})} >= {"plain", "windowed"}


@pytest.mark.parametrize("name", MEASURED)
def test_cache_and_activations_are_what_was_measured(name, record_property):
    """Models that had no part in finding the expressions: by how much the sum is off, of what was held at most."""
    shares = [predicted(case, FAMILIES) / case["bytes"] - 1 for case in MEASURED[name]]
    figure = (
        f"{name}: cache and activations predicted {100 * min(shares):+.1f} to {100 * max(shares):+.1f} % of {len(shares)} runs"
    )
    record_property("figure", figure)
    assert min(shares) >= -BELOW
    assert max(shares) <= ABOVE


def test_the_page_says_the_same_of_what_was_measured(chromium):
    cases = [case for family in MEASURED.values() for case in family]
    with serve(PROJECT.assets) as url:
        page = chromium.new_page()
        page.goto(url)
        found = page.evaluate(PEAKS, {**WHOLE, "families": FAMILIES, "measured": MEASURED})
        page.close()
    assert found == [predicted(case, FAMILIES) for case in cases]


def test_a_window_holds_the_whole_prompt_until_the_next_pass():
    """As Transformers' DynamicSlidingWindowLayer: figures of the report by which it was found, 1,945,600 bytes held."""
    config = {"model_type": "mistral", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 16,
              "num_key_value_heads": 2, "sliding_window": 128}  # fmt: skip
    found = read(config)
    held = [shapes.cache(found["family"], found["config"], 1900, 1, passed)["elements"] for passed in (0, 1, 100, 1900)]
    a_token = 4 * 2 * 2 * 16
    assert held == [127 * a_token, 128 * a_token, 227 * a_token, 1900 * a_token]
    assert 2 * held[3] == 1_945_600 / 2


# What an engine holds: a chunk of all prompts at once
SERVED = [
    ("llama-3.1-8b", 64, 4096, 2048, 1), ("gpt-oss-20b", 1, 100, 512, 1), ("deepseek-v3", 64, 8192, 8192, 1),
    ("gemma-3-1b", 3, 40_000, 2048, 8), ("qwen3-next-80b-a3b", 16, 8192, 256, 1), ("qwen3-0.6b", 1, 1, 2048, 1),
]  # fmt: skip
ASK_ENGINE = """async ({ architectures, served }) => {
  const { enginePass, readModel } = await import("/counting.js");
  return served.map(([id, batch, context, chunk, prompts]) => {
    const preset = architectures.presets.find((one) => one.id === id);
    const model = readModel(preset.config, preset, architectures);
    return enginePass(model, { context, batch, chunk, prompts, cache: 16 });
  });
}"""


def test_a_cache_of_8_bits_is_unpacked_layer_by_layer():
    """12 bytes for each key of a layer, as torch's profiler measured Fp8QuantizedLayer; the first pass unpacks nothing."""
    found = read(PRESETS["llama-3.1-8b"]["config"])
    keys = 8 * 128 * 100_000
    assert memory.heaviest(found, 100_000, 1, 512, bits=8)["activations"] == 12 * keys
    assert memory.heaviest(found, 100_000, 1, 512)["activations"] < 12 * keys
    whole = [memory.heaviest(found, 4096, 1, 4096, bits=bits)["activations"] for bits in (16, 8)]
    assert whole[0] == whole[1]


def engine_pass(preset: str, batch: int, context: int, chunk: int, prompts: int = 1) -> dict[str, int]:
    return memory.engine_pass(read(PRESETS[preset]["config"]), context, batch, chunk, prompts)


def test_the_page_counts_an_engines_pass_as_python_does(chromium):
    with serve(PROJECT.assets) as url:
        page = chromium.new_page()
        page.goto(url)
        architectures = {**WHOLE, "families": FAMILIES, "refused": REFUSED, "inner": INNER}
        found = page.evaluate(ASK_ENGINE, {"architectures": architectures, "served": SERVED})
        page.close()
    assert found == [engine_pass(*one) for one in SERVED]


def test_an_engine_holds_the_cache_of_all_and_a_chunk_of_their_prompts():
    a_token = 2 * 32 * 8 * 128 * 2  # keys and values of 32 layers, 8 heads of 128 numbers, two bytes each
    found = engine_pass("llama-3.1-8b", 64, 4096, 2048)
    assert found["tokens"] == 2048 and found["cached"] == 64 * 4096 * a_token
    assert engine_pass("llama-3.1-8b", 1, 300, 2048)["tokens"] == 300, "there are no more"
    assert engine_pass("llama-3.1-8b", 4, 300, 2048)["tokens"] == 1200, "those of all sequences"
    assert engine_pass("llama-3.1-8b", 64, 4096, 2048, 8)["tokens"] == 8 * 2048


@pytest.mark.parametrize("preset", ["llama-3.1-8b", "gpt-oss-20b", "deepseek-v3", "gemma-3-1b"])
def test_what_an_engines_pass_holds_grows_with_its_tokens_alone(preset):
    """Neither with sequences that wait nor with their context: no scores, and no keys that are unpacked from a cache."""
    found = engine_pass(preset, 1, 8192, 8192)["activations"]
    assert found == engine_pass(preset, 64, 100_000, 8192)["activations"] > 0
    assert found == pytest.approx(4 * engine_pass(preset, 1, 8192, 2048)["activations"], rel=0.01)
