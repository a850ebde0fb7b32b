"""The memory calculator's page in a real Chromium: its figures, address, answers to bad input, and weight."""

from __future__ import annotations

import json
import re

import pytest

from guide.calculator import memory, shapes, training
from guide.calculator.mixing import with_kept
from guide.project import Project

MOST_BYTES = 67_000  # of the page's own JavaScript, a quarter of it to read what is pasted as Transformers does
ARCHITECTURES = json.loads(Project.here().architectures.read_text(encoding="utf-8"))
PRESETS = {preset["id"]: preset for preset in ARCHITECTURES["presets"]}
# One of each: a shared output head, a head of its own, experts, sliding windows, recurrent states, latent attention.
KINDS = ("qwen3-0.6b", "qwen3-8b", "gpt-oss-20b", "gemma-3-1b", "qwen3-next-80b-a3b", "deepseek-v3")
USE = {"context": 40_000, "batch": 3, "prompt": 1000, "memory": 24, "gpus": 2}


@pytest.fixture(scope="module")
def variants(site_folder) -> dict[str, dict]:
    """What the page chooses from, by id; an engine's own files are read by kernels that unpack on the way."""
    choices = json.loads((site_folder / "assets" / "choices.json").read_text(encoding="utf-8"))
    files = [offer | {"fused": True} for offer in choices["offers"] if "mix" in offer]
    return {variant["id"]: variant for variant in [*choices["variants"], *files]}


def predicted(preset: str, variant: dict | None, use: dict, cache_bits: int) -> int:
    """Bytes on all GPUs together, by the Python that the page's JavaScript must agree with; None stands for bf16."""
    read = shapes.read_config(json.dumps(PRESETS[preset]["config"]), ARCHITECTURES["families"])
    tensors = shapes.tensors(read["family"], read["config"])
    chunked = use.get("pass") == "chunk"
    held = memory.heaviest(read, use["context"], use["batch"], use["prompt"], chunked=chunked, bits=cache_bits)
    counted = memory.estimate(tensors, with_kept(variant, preset), activations=held["activations"])
    others = use["gpus"] - 1  # each GPU has its own allowance
    return counted["total"] + held["cached"] + others * sum(counted["allowance"].values())


def address(url: str, **state) -> str:
    return f"{url}memory/?" + "&".join(f"{name}={value}" for name, value in state.items())


def meant(preset: str, variants: dict[str, dict]) -> list[str]:
    """The variants that are for a model, by its id and the shapes of its layers."""
    read = shapes.read_config(json.dumps(PRESETS[preset]["config"]), ARCHITECTURES["families"])
    tensors = shapes.tensors(read["family"], read["config"])

    def raises(takes: dict[str, int], quantizes: list[str]) -> bool:
        quantized = [(one["rows"], one["columns"]) for one in tensors if one["part"] in quantizes]
        outputs, inputs = takes["outputs"], takes["inputs"]
        return any(rows % outputs and columns > inputs and columns % inputs == 0 for rows, columns in quantized)

    return [
        name
        for name, one in variants.items()
        if not one["only_models"] or any(part in preset for part in one["only_models"])
        if "takes" not in one or not raises(one["takes"], one["quantizes"])
        if not one.get("mixtures") or any(tensor["part"] == "experts" for tensor in tensors)
    ]


class Calculator:
    """The page in a tab."""

    def __init__(self, tab, url: str):
        self.tab, self.url = tab, url
        self.console, self.requests = tab.console, tab.requests

    def open(self, **state):
        self.tab.goto(address(self.url, **state) if state else f"{self.url}memory/")
        self.tab.wait_for_selector("#memory-calculator:not([hidden])")
        return self

    def field(self, name: str):
        return self.tab.locator(f"#calculator-{name}")

    def enter(self, name: str, value: str) -> None:
        """Put a value there as it is, null bytes included, which a keyboard cannot."""
        put = "(field, value) => { field.value = value; field.dispatchEvent(new Event('input', {bubbles: true})) }"
        self.field(name).evaluate(put, value)

    def error(self, name: str) -> str:
        """What stands beside a field, as a screen reader is told of it."""
        described = self.field(name).get_attribute("aria-describedby").split()
        assert f"calculator-{name}-error" in described
        return self.tab.locator(f"#calculator-{name}-error").inner_text()

    @property
    def answer(self) -> str:
        return self.tab.get_by_role("status").inner_text()

    @property
    def bytes(self) -> int:
        return int(self.tab.get_by_role("status").get_attribute("data-bytes"))

    def parts(self) -> dict[str, int]:
        rows = self.tab.locator("[data-part=split] tbody tr[data-kind]")
        return dict(rows.evaluate_all("rows => rows.map(row => [row.dataset.kind, Number(row.dataset.bytes)])"))

    def compared(self) -> dict[str, int]:
        """The table of all variants, in its order."""
        rows = self.tab.locator("[data-part=compared] tbody tr")
        return dict(rows.evaluate_all("rows => rows.map(row => [row.dataset.variant, Number(row.dataset.bytes)])"))


@pytest.fixture
def calculator(site, tab):
    return Calculator(tab, site[1])


@pytest.mark.parametrize("preset", KINDS)
def test_the_page_gives_the_figures_of_the_python(calculator, variants, preset):
    """Every variant in the table of all of them, and the parts of one add up to its sum."""
    calculator.open(model=preset, variant="bf16", **USE)
    for bits, kind in ((16, "whole"), (8, "whole"), (16, "chunk")):
        calculator.field("cache").select_option(str(bits))
        calculator.field("pass").select_option(kind)
        found = calculator.compared()
        expected = ["bf16", *meant(preset, variants)]
        assert found == {name: predicted(preset, variants.get(name), USE | {"pass": kind}, bits) for name in expected}
        assert list(found.values()) == sorted(found.values())
    calculator.field("pass").select_option("whole")
    for variant in ["bf16", "bitsandbytes/nf4-double", "torchao/int8-weight-only"]:
        calculator.field("variant").select_option(variant)
        expected = predicted(preset, variants.get(variant), USE, 16)
        assert calculator.bytes == sum(calculator.parts().values()) == expected, variant
    assert calculator.console == []


ALONE = {"qwen3-8b": set(), "gpt-oss-20b": {"mxfp4", "torchao"}, "gemma-3-1b": {"gemma"},
         "qwen3-30b-a3b": {"torchao"}}  # methods with a variant for certain models that is for it  # fmt: skip


@pytest.mark.parametrize("pasted", [False, True], ids=["chosen", "pasted"])
@pytest.mark.parametrize("preset", ALONE)
def test_a_variant_for_other_models_is_neither_offered_nor_compared(calculator, variants, preset, pasted):
    """Of a pasted config the model_type and the quant_method say what the model is; it has no id."""
    if pasted:
        calculator.open(model="qwen3-8b")
        calculator.field("model").select_option("config")
        calculator.field("config").fill(json.dumps(PRESETS[preset]["config"]))
    else:
        calculator.open(model=preset)
    offered = calculator.field("variant").locator("option").evaluate_all("options => options.map(({ value }) => value)")
    assert set(offered) == set(calculator.compared())
    restricted = {name for name, variant in variants.items() if variant["only_models"] or variant.get("mixtures")}
    assert {variants[name]["method"] for name in restricted} == {"mxfp4", "gemma", "bitnet", "torchao"}
    assert {variants[name]["method"] for name in restricted & set(offered)} == ALONE[preset]
    assert set(variants) - restricted < set(offered)
    assert calculator.console == []


def test_a_pasted_model_says_by_its_quant_method_what_it_is_for(calculator):
    calculator.open(model="llama-3.1-8b")
    calculator.field("model").select_option("config")
    config = PRESETS["llama-3.1-8b"]["config"]
    calculator.field("config").fill(json.dumps(config))
    assert "bitnet/bitlinear" not in calculator.compared()
    calculator.field("config").fill(json.dumps(config | {"quantization_config": {"quant_method": "bitnet"}}))
    assert "bitnet/bitlinear" in calculator.compared()


def test_a_chosen_variant_that_is_not_for_the_next_model_is_left_and_named(calculator):
    stale = calculator.tab.locator("[data-part=stale]")
    calculator.open(variant="mxfp4/mxfp4", model="gpt-oss-20b")  # in either order
    assert calculator.field("variant").input_value() == "mxfp4/mxfp4" and stale.inner_text() == ""
    calculator.field("model").select_option("qwen3-8b")
    assert stale.inner_text().endswith(" is for gpt-oss alone, so another variant is chosen.")
    assert calculator.answer.startswith("Qwen3-8B in torchao int8 weight-only")
    calculator.open(model="qwen3-8b", variant="mxfp4/mxfp4")
    assert "The link's variant “mxfp4/mxfp4” is no choice here." in stale.inner_text()
    assert calculator.console == []


def test_what_does_not_fit_says_how_many_layers_stay_on_the_gpu(calculator):
    """Of Qwen3-8B in bf16 on 12 GiB; layers that stay, one that is brought in, cache and the rest fit, one more would not."""
    calculator.open(model="qwen3-8b", variant="bf16", memory=12)
    said = re.search(r'With device_map="auto" (\d+) of its 36 layers stay on the GPU, ([\d.]+) GiB', calculator.answer)
    parts, room = calculator.parts(), 12 * 2**30
    layer = (parts["linear"] + parts["rest"]) / 36
    beside = parts["embedding"] + parts["cache"] + parts["activations"] + parts["runtime"] + layer
    assert beside + int(said[1]) * layer <= room < beside + (int(said[1]) + 1) * layer
    assert float(said[2]) == round((parts["head"] + (36 - int(said[1])) * layer) / 2**30, 1)
    calculator.field("memory").fill("24")
    assert "device_map" not in calculator.answer
    calculator.field("memory").fill("2")
    assert "device_map" not in calculator.answer, "not even the cache and one layer have room"
    assert calculator.console == []


def test_a_variant_that_raises_for_the_models_shapes_is_left_out(calculator):
    """Qwen3-Next's experts that all share have a gate of one output, which the kernel of one variant does not take."""
    stale, left = (calculator.tab.locator(f"[data-part={name}]") for name in ("stale", "left"))
    calculator.open(model="qwen3-8b", variant="quanto/int4")
    assert calculator.answer.startswith("Qwen3-8B in optimum-quanto int4")
    assert "quanto/int4" in calculator.compared() and left.inner_text() == ""
    calculator.field("model").select_option("qwen3-next-80b-a3b")
    assert "quanto/int4" not in calculator.compared() and "quanto/int8" in calculator.compared()
    assert calculator.field("variant").locator("option[value='quanto/int4']").count() == 0
    assert stale.inner_text() == (
        "optimum-quanto int4 raises for mlp.shared_expert_gate, of which the 1 outputs are no multiple of 16, "
        "so another variant is chosen."
    )
    assert left.inner_text() == "Left out, as loading raises for the shapes of this model: optimum-quanto int4."
    assert calculator.console == []


def test_the_largest_context_fits_and_one_token_more_does_not(calculator, variants):
    calculator.open(model="qwen3-8b", variant="torchao/int8-weight-only", memory=12)
    most = int(calculator.tab.locator("[data-part=longest]").get_attribute("data-tokens"))
    use = {"batch": 1, "prompt": 2048, "gpus": 1}
    room, variant = 12 * 2**30, variants["torchao/int8-weight-only"]
    assert predicted("qwen3-8b", variant, use | {"context": most}, 16) <= room
    assert predicted("qwen3-8b", variant, use | {"context": most + 1}, 16) > room
    calculator.field("context").fill(str(most))
    assert "It fits into one GPU with 12 GiB" in calculator.answer
    calculator.field("context").fill(str(most + 1))
    assert "It does not fit into one GPU with 12 GiB" in calculator.answer
    assert "2 such GPUs would do" in calculator.answer
    limit = PRESETS["qwen3-8b"]["config"]["max_position_embeddings"]
    assert f"made for {limit:,}" in calculator.tab.locator("[data-part=longest]").inner_text()


def test_the_number_of_gpus_is_the_least_that_holds_it(calculator):
    """A model is divided by whole layers: of the fullest GPU is said what it holds."""
    calculator.open(model="qwen3-8b", variant="bf16")
    use = {"context": 8192, "batch": 1, "prompt": 2048}
    rows = calculator.tab.locator("[data-part=gpus] tbody tr")
    needed = dict(rows.evaluate_all("rows => rows.map(row => [Number(row.dataset.gib), Number(row.dataset.gpus)])"))
    assert needed[8] > 1 and needed[80] == 1
    one, two = (predicted("qwen3-8b", None, use | {"gpus": gpus}, 16) for gpus in (1, 2))
    own, layers = two - one, PRESETS["qwen3-8b"]["config"]["num_hidden_layers"]

    def fullest(gpus: int) -> float:
        return own + (one - own) * -(-layers // gpus) / layers

    for gib, gpus in needed.items():
        assert fullest(gpus) <= gib * 2**30
        assert gpus == 1 or fullest(gpus - 1) > gib * 2**30
    calculator.open(model="qwen3-8b", variant="bf16", memory=8, gpus=needed[8])
    assert f"at most {fullest(needed[8]) / 2**30:.1f} GiB on each GPU. It fits into" in calculator.answer
    calculator.field("gpus").fill(str(needed[8] - 1))
    assert f"are missing on the fullest; {needed[8]} such GPUs would do" in calculator.answer


@pytest.mark.parametrize("model, gpus", [("deepseek-v3", 21), ("kimi-k2.5", 31), ("glm-5", 20)])
def test_many_gpus_hold_whole_layers(calculator, model, gpus):
    """Of bf16, with 80 GiB each: 17, 25 and 18 would hold the bytes, but no whole number of layers each."""
    calculator.open(model=model, variant="bf16", memory=80, gpus=gpus - 1)
    assert f"are missing on the fullest; {gpus} such GPUs would do" in calculator.answer
    calculator.field("gpus").fill(str(gpus))
    assert f"It fits into {gpus} GPUs" in calculator.answer


def test_the_worked_example_is_what_the_formula_gives(calculator):
    """The page's text without JavaScript: its bytes are those of the calculator."""
    calculator.open(model="qwen3-8b", variant="bitsandbytes/nf4", context=8192, batch=1, prompt=2048, gpus=1)
    text = (Project.here().docs / "memory.md").read_text(encoding="utf-8")
    example = text[text.index("### A worked example") :].split("### ", 2)[1]
    written = [int(number.replace(",", "")) for number in re.findall(r"\| ([\d,]+) \|$", example, re.MULTILINE)]
    assert written == [*calculator.parts().values(), calculator.bytes]
    assert f"{calculator.bytes / 2**30:.1f} GiB" in example


def test_a_context_beyond_what_the_model_was_made_for_is_not_promised(calculator, variants):
    """Of the largest context that fits no more is said than the model's own limit; what memory would hold comes after it."""
    calculator.open(model="qwen3-0.6b", variant="bitsandbytes/nf4", memory=80)
    limit = PRESETS["qwen3-0.6b"]["config"]["max_position_embeddings"]
    longest = calculator.tab.locator("[data-part=longest]")
    assert int(longest.get_attribute("data-tokens")) == limit
    said = longest.inner_text()
    assert said.startswith(f"Largest context that fits: {limit:,} tokens × 1 sequence, what the model was made for")
    more = int(re.search(r"the memory would hold ([\d,]+)\.", said)[1].replace(",", ""))
    use = {"batch": 1, "prompt": 2048, "gpus": 1}
    assert predicted("qwen3-0.6b", variants["bitsandbytes/nf4"], use | {"context": more}, 16) <= 80 * 2**30
    assert predicted("qwen3-0.6b", variants["bitsandbytes/nf4"], use | {"context": more + 1}, 16) > 80 * 2**30


def test_the_heavier_pass_is_shown(calculator):
    """The prompt's where its activations are more than the rest of the cache, the answer's last token elsewhere."""
    calculator.open(model="gpt-oss-20b", variant="bf16", context=8192, prompt=8192)
    split = calculator.tab.locator("[data-part=split]")
    assert "8,192 tokens in one pass × 1" in split.inner_text()
    long = calculator.parts()["activations"]
    calculator.field("prompt").fill("64")
    assert "one token of the answer × 1" in split.inner_text()
    assert calculator.parts()["activations"] < long / 100
    assert calculator.console == []


# A pasted block, the variant that is chosen for it, and words of what is said of it.
STORED = {
    "nf4": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        "bitsandbytes/nf4",
        "4 bits",
    ),
    "nf4 twice": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
        "bitsandbytes/nf4-double",
        "double quantization is chosen",
    ),
    "GPTQ": ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq/4-bit", "GPTQ 4 bit, groups of 128 is chosen"),
    "GPTQ, another group": (
        {"quant_method": "gptq", "bits": 4, "group_size": 32},
        "pasted",
        "counted as GPTQ 4 bit, groups of 32",
    ),
    "FP8": (
        {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ["lm_head"]},
        "fp8/blocks",
        "It leaves lm_head unquantized",
    ),
    "no variant's": (
        {"quant_method": "exl2", "bits": 4.5},
        "pasted",
        "no variant of the guide for this model is: it is counted by bits",
    ),
}


def of_torchao(kind: str, **data) -> dict:
    return {"quant_method": "torchao", "quant_type": {"default": {"_type": kind, "_data": data}}}


def of_ct(bits: int, kind: str, inputs: dict | None = None, **weights) -> dict:
    group = {"weights": {"num_bits": bits, "type": kind, **weights}, "input_activations": inputs, "targets": ["Linear"]}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}


def of_quark(**weight) -> dict:
    return {"quant_method": "quark", "global_quant_config": {"weight": weight, "input_tensors": None}}


LINEAR, WHOLE = ("linear", "experts"), ("linear", "experts", "embedding", "head")
VPTQ = {"vector_lens": [-1, 8], "num_centroids": [-1, 65536], "num_res_centroids": [-1, 65536]}
TABLES = 2 * 65536 * 8 * 2  # bytes of VPTQ's two codebooks in a layer
# A pasted block, bits a weight of the parts that it quantizes, and words of what is said of it.
COUNTED = {
    "torchao, 32": (of_torchao("Int4WeightOnlyConfig", group_size=32), 4 + 32 / 32, LINEAR, "tile-packed, groups of 32"),
    "torchao, 64": (of_torchao("Int4WeightOnlyConfig", group_size=64), 4 + 32 / 64, LINEAR, "tile-packed, groups of 64"),
    "torchao, 128": (of_torchao("Int4WeightOnlyConfig", group_size=128), 4 + 32 / 128, LINEAR, "tile-packed is chosen"),
    "torchao, none": (of_torchao("Int4WeightOnlyConfig"), 4 + 32 / 128, LINEAR, "tile-packed is chosen"),
    "torchao, 256": (of_torchao("Int4WeightOnlyConfig", group_size=256), 4 + 32 / 256, LINEAR, "tile-packed, groups of 256"),
    "torchao NVFP4": (of_torchao("NVFP4DynamicActivationNVFP4WeightConfig"), 4.5, LINEAR, "counted by bits and scales"),
    "torchao float8": (of_torchao("Float8WeightOnlyConfig"), 8, LINEAR, "torchao float8 weight-only is chosen"),
    "Quark, 32": (of_quark(dtype="int4", group_size=32), 4 + 16 / 32 + 4 / 32, LINEAR, "Quark int4 weights, groups of 32"),
    "Quark, 128": (of_quark(dtype="int4", group_size=128), 4 + 16 / 128 + 4 / 128, LINEAR, "groups of 128 is chosen"),
    "Quark FP8": (of_quark(dtype="fp8_e4m3", qscheme="per_tensor"), 8, LINEAR, "Quark with 8 bits a weight, which no variant"),
    "Quark MXFP4": (of_quark(dtype="fp4", group_size=32), 4.25, LINEAR, "counted by bits and scales"),
    "HQQ, a scale a row": ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": -1}}},
                           4 + 32 / 4096, LINEAR, "HQQ 4 bit, a scale a row"),
    "ModelOpt NVFP4": ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}, 4.5, LINEAR, "bits and scales"),
    "MXFP8": ({"quant_method": "mxfp8"}, 8.25, LINEAR, "by bits and scales"),
    "MXFP4 of another model": ({"quant_method": "mxfp4"}, 4.25, LINEAR, "no variant of the guide for this model is"),
    "NVFP4 of Transformers": ({"quant_method": "nvfp4"}, 5, LINEAR, "NVFP4 weights and activations is chosen"),
    "MLX": ({"bits": 4, "group_size": 64}, 4.5, WHOLE, "MLX with 4 bits a weight"),
    "MLX, mixed": ({"bits": 4, "group_size": 64, "mode": "affine", "model.layers.0.mlp.gate": {"bits": 8, "group_size": 64}},
                   4.5, WHOLE, "MLX with 4 bits a weight"),
    "MLX, MXFP4": ({"bits": 4, "group_size": 32, "mode": "mxfp4"}, 4.25, WHOLE, "MLX with 4 bits a weight"),
    "VPTQ of 4 bit": ({"quant_method": "vptq", "config_for_layers": {"a": VPTQ}}, 4 + 8 * TABLES * 224 / 6_979_321_856, LINEAR,
                      "VPTQ with 4 bits a weight, which no variant"),
    "compressed-tensors NVFP4": (of_ct(4, "float", group_size=16), 16, LINEAR, "in 16 bit, to which Transformers unpacks it"),
    "compressed-tensors W4A8": (of_ct(4, "int", {"num_bits": 8, "type": "int"}, group_size=128), 16, LINEAR,
                                "in 16 bit, to which Transformers unpacks it"),
    "compressed-tensors W4A16": (of_ct(4, "int", group_size=128), 16, LINEAR,
                                 "W4A16 is chosen, counted in 16 bit, to which Transformers unpacks it. An engine such as"),
    "bits in a text": ({"quant_method": "gptq", "bits": "4", "group_size": "128"}, 4 + 16 / 128 + 4 / 128, LINEAR,
                       "GPTQ 4 bit, groups of 128 is chosen"),
    "groups of no whole number": ({"quant_method": "gptq", "bits": 4, "group_size": 0.5}, 4 + 16 / 128 + 4 / 128, LINEAR,
                                  "GPTQ 4 bit, groups of 128 is chosen"),
    "ModelOpt FP8 in blocks": ({"quant_method": "modelopt", "quant_algo": "FP8_PB_WO"}, 8, LINEAR, "ModelOpt with 8 bits"),
    "ModelOpt W4A8": ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ", "group_size": 128}, 4 + 16 / 128, LINEAR,
                      "ModelOpt with 4 bits"),
}  # fmt: skip


def test_a_pasted_checkpoint_is_counted_by_what_it_stores(calculator):
    calculator.open(model="config")
    config = PRESETS["llama-3.1-8b"]["config"]
    read = shapes.read_config(json.dumps(config), ARCHITECTURES["families"])
    found = shapes.tensors(read["family"], read["config"])
    for kind, (block, bits, parts, words) in COUNTED.items():
        calculator.enter("config", json.dumps(config | {"quantization_config": block}))
        calculator.tab.locator("[data-part=remarks]").get_by_text(words).wait_for()
        held = calculator.parts()
        quantized = shapes.parameter_count([one for one in found if one["part"] in parts])
        assert 8 * (held["quantized"] + held.get("scales", 0)) / quantized == pytest.approx(bits, rel=2e-3), kind
    assert calculator.console == []


def test_an_output_head_of_other_bits_is_counted_with_them(calculator):
    """3.5 bits a weight, and 6 in the head; a 16-bit scale a row."""
    calculator.open(model="config")
    config = PRESETS["qwen3-8b"]["config"] | {"quantization_config": {"quant_method": "exl3", "bits": 3.5, "head_bits": 6}}
    calculator.enter("config", json.dumps(config))
    calculator.tab.locator("[data-part=remarks]").get_by_text("EXL3 with 3.5 bits").wait_for()
    read = shapes.read_config(json.dumps(config), ARCHITECTURES["families"])
    found = shapes.tensors(read["family"], read["config"])
    linear, head = ([one for one in found if one["part"] == part] for part in ("linear", "head"))
    packed = int(3.5 * shapes.parameter_count(linear) / 8 + 6 * shapes.parameter_count(head) / 8)
    rows = sum(one["rows"] * one["count"] for one in linear + head)
    held = calculator.parts()
    assert (held["quantized"], held["scales"]) == (packed, 2 * rows)
    assert "unpacked" not in held, "its kernels unpack on the way"


# Pasted blocks whose bits are not known, and what is said; bf16 is chosen.
UNREAD = "Not this checkpoint: its bits could not be read."
OPEN = {
    "no bits": (of_torchao("FPXWeightOnlyConfig", ebits=3), f"{UNREAD} The pasted config.json is a checkpoint of torchao."),
    "a block of no method": ({"bits_per_weight": 4}, f"{UNREAD} The quantization block names no quant_method"),
    "an empty block": ({}, f"{UNREAD} The quantization block names no quant_method"),
    "VPTQ without layers": ({"quant_method": "vptq"}, f"{UNREAD} The pasted config.json is a checkpoint of VPTQ."),
    "far too many bits": (
        {"quant_method": "exl2", "bits": 1e300},
        f"{UNREAD} The pasted config.json is a checkpoint of EXL2.",
    ),
    "a word": ({"quant_method": "awq", "bits": "four"}, f"{UNREAD} The pasted config.json is a checkpoint of AWQ."),
    "a text": ("gptq", f"{UNREAD} Its quantization_config must be an object"),
}
# What else a checkpoint leaves unquantized, under the names of its method.
LEFT = {
    "ignored_layers": ({"quant_method": "fp8", "ignored_layers": ["lm_head", "gate"]}, "It leaves lm_head, gate unquantized"),
    "exclude": (of_quark(dtype="int8") | {"exclude": ["lm_head"]}, "It leaves lm_head unquantized"),
    "skip_modules": ({"quant_method": "hqq", "skip_modules": ["lm_head"]}, "It leaves lm_head unquantized"),
    "AQLM's": ({"quant_method": "aqlm", "linear_weights_not_to_quantize": ["lm_head"]}, "It leaves lm_head unquantized"),
    "AutoRound's": ({"quant_method": "auto-round", "bits": 4, "group_size": 128, "extra_config": {"a.b": {"bits": 16},
                     "a.c": {"bits": 8}, "a.d": None}}, "It leaves a.b unquantized"),
    "GPTQ's": ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*attn.*": {}, "+:.*mlp.*": {"bits": 8}}},
               "It leaves .*attn.* unquantized"),
}  # fmt: skip


def test_what_is_not_known_of_a_pasted_checkpoint_is_said_and_bf16_chosen(calculator):
    calculator.open(model="config")
    config, remarks = PRESETS["llama-3.1-8b"]["config"], calculator.tab.locator("[data-part=remarks]")
    calculator.enter("config", json.dumps(config))
    calculator.field("variant").select_option("hqq/8-bit")
    for kind, (block, words) in OPEN.items():
        calculator.enter("config", json.dumps(config | {"quantization_config": block}))
        remarks.get_by_text(words).wait_for()
        assert calculator.field("variant").input_value() == "bf16", kind
    for block, words in LEFT.values():
        calculator.enter("config", json.dumps(config | {"quantization_config": block}))
        remarks.get_by_text(words).wait_for()
    cache = {"quant_method": "compressed-tensors", "config_groups": {}, "kv_cache_scheme": {"num_bits": 8}}
    calculator.enter("config", json.dumps(config | {"quantization_config": cache}))
    remarks.get_by_text("its weights are not quantized, so bf16 is chosen").wait_for()
    assert calculator.field("variant").input_value() == "bf16"
    calculator.enter("config", json.dumps(config | {"quantization": {"bits": 8, "group_size": 64}}))
    remarks.get_by_text("MLX with 8 bits a weight").wait_for()
    assert calculator.console == []


ATTENTION = 32 * 2 * (4096 * 4096 + 4096 * 1024)  # weights of Llama-3.1-8B's attention
LAYER = 2 * (4096 * 4096 + 4096 * 1024) + 3 * 4096 * 14336  # of one of its layers
DOWN = 32 * 4096 * 14336
# A pasted block, and how many weights of linear layers its file has in 16 bit.
APART = {
    "a name": ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["self_attn"]}, ATTENTION),
    "layers": ({"quant_method": "fbgemm_fp8", "modules_to_not_convert": ["model.layers.0", "lm_head"]}, LAYER),
    "a layer's number": ({"quant_method": "fp8", "ignored_layers": ["model.layers.3.mlp.down_proj"]}, DOWN / 32),
    "a name's beginning": ({"quant_method": "fp8", "ignored_layers": ["model.layers.3.mlp.down", "mlp.gate"]}, 0),
    "a glob": ({"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["model.layers.1*.self_attn*"]},
               11 * ATTENTION / 32),
    "another prefix": ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["language_model.model.layers.2.*"]},
                       LAYER),
    "another model": ({"quant_method": "fp8", "modules_to_not_convert": ["model.vision_tower.layers.2", "mtp.layers.0"]}, 0),
    "GPTQ's": ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:.*down": {}}}, DOWN),
    "GPTQ's list": ({"quant_method": "gptq", "bits": 4, "group_size": 128, "modules_in_block_to_quantize": [
                     ["self_attn.q_proj", "self_attn.k_proj"], ["self_attn.v_proj", "self_attn.o_proj"]]}, 3 * DOWN),
    "AutoRound's": ({"quant_method": "auto-round", "bits": 4, "group_size": 128,
                     "extra_config": {"model.layers.0.mlp.down_proj": {"bits": 16}}}, DOWN / 32),
    "an expression": ({"quant_method": "hqq", "skip_modules": ["re:.*self_attn.*"],
                       "quant_config": {"weight_quant_params": {"nbits": 4, "group_size": 64}}}, ATTENTION),
    "no expression": ({"quant_method": "fp8", "ignored_layers": ["re:(("]}, 0),
    "an expression that may take for ever": ({"quant_method": "awq", "modules_to_not_convert": ["re:^(\\w+\\.?)+!$"]}, 0),
    "letters of either kind": ({"quant_method": "gptq", "bits": 4, "group_size": 128, "dynamic": {"-:(?i).*SELF_ATTN.*": {}}},
                               ATTENTION),
    "a dot at its end": ({"quant_method": "awq", "modules_to_not_convert": ["self_attn.", "model.layers.0."]},
                         ATTENTION + LAYER - ATTENTION / 32),
    "MLX's": ({"bits": 4, "group_size": 64, "model.layers.0.mlp.down_proj": False}, DOWN / 32),
    "torchao's": (of_torchao("ModuleFqnToConfig", module_fqn_to_config={
                  "_default": {"_type": "Int8WeightOnlyConfig", "_data": {}}, "model.layers.0.mlp.down_proj": None}),
                  DOWN / 32),
}  # fmt: skip


def test_layers_that_a_checkpoint_leaves_alone_are_counted_in_16_bit(calculator):
    calculator.open(model="config")
    config = PRESETS["llama-3.1-8b"]["config"]
    for kind, (block, left) in APART.items():
        calculator.enter("config", json.dumps(config | {"quantization_config": block}))
        calculator.tab.locator("[data-part=remarks]").get_by_text("The pasted config.json is a checkpoint of").wait_for()
        assert calculator.parts().get("linear", 0) == 2 * left, kind
        calculator.enter("config", json.dumps(config))
    assert calculator.console == []


def test_layers_of_several_widths_are_counted_by_each(calculator):
    """ModelOpt's list of layers: what it does not name is in 16 bit, and another's output head may be on it."""
    calculator.open(model="config")
    remarks = calculator.tab.locator("[data-part=remarks]")
    layers = {f"model.layers.{n}.mlp.down_proj": {"quant_algo": "FP8"} for n in range(32)}
    layers["lm_head"] = {"quant_algo": "NVFP4", "group_size": 16}
    block = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION", "quantized_layers": layers}
    calculator.enter("config", json.dumps(PRESETS["llama-3.1-8b"]["config"] | {"quantization_config": block}))
    remarks.get_by_text("ModelOpt with 8 bits a weight in most layers").wait_for()
    held, head = calculator.parts(), 128256 * 4096
    assert held["quantized"] == DOWN + head // 2 and "head" not in held
    assert held["linear"] == 2 * (32 * LAYER - DOWN)
    block = {"quant_method": "gptq", "bits": 4, "group_size": 128, "lm_head": True, "dynamic": {"+:.*down_proj": {"bits": 8}}}
    calculator.enter("config", json.dumps(PRESETS["llama-3.1-8b"]["config"] | {"quantization_config": block}))
    remarks.get_by_text("GPTQ with 4 bits a weight in most layers").wait_for()
    assert calculator.parts()["quantized"] == (32 * LAYER - DOWN + head) // 2 + DOWN
    assert calculator.console == []


QWEN3_MOE = {f"model.layers.{n}.mlp.switch_mlp.{name}_proj": {"group_size": 32, "bits": 4, "mode": "mxfp4"}
             for n in range(48) for name in ("gate", "up", "down")}  # fmt: skip
INTX = of_torchao("Int8DynamicActivationIntxWeightConfig", weight_dtype={"_type": "torch.dtype", "_data": "int4"},
                  weight_granularity={"_type": "PerGroup", "_data": {"group_size": 32}})  # fmt: skip
# A block, the preset that it is of, and the GB of its file's weights by the tensors that it names.
FILES = {
    "MLX's experts": ({"group_size": 64, "bits": 8, "mode": "affine", **QWEN3_MOE}, "qwen3-30b-a3b", 17.04),
    "MLX's head": ({"group_size": 64, "bits": 4, "lm_head": {"group_size": 64, "bits": 8}}, "llama-3.1-8b", 4.517 + 0.263),
    "Mixtral's name of experts": ({"quant_method": "awq", "modules_to_not_convert": ["block_sparse_moe.experts"]},
                                  "mixtral-8x7b", 91.42),
    "Mixtral's w2": ({"quant_method": "gptq", "bits": 4, "group_size": 128,
                      "dynamic": {r"-:.*block_sparse_moe\.experts\.\d+\.w2": {}}}, "mixtral-8x7b", 46.91),
    "MiniMax's": ({"quant_method": "awq", "modules_to_not_convert": ["self_attn", "block_sparse_moe.gate", "model.layers.0."]},
                  "minimax-m2.5", 130.11),
    "a byte for each of torchao's": (INTX, "llama-3.1-8b", (32 * LAYER * 1.0625 + 4 * 128256 * 4096) / 1e9),
    "the head, which nothing leaves alone": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
         "llm_int8_skip_modules": ["visual"]}, "llama-3.1-8b", 5.263),
    "blocks of another size": ({"quant_method": "fp8", "weight_block_size": [1, 128]}, "llama-3.1-8b",
                               (32 * LAYER * 1.03125 + 4 * 128256 * 4096) / 1e9),
}  # fmt: skip


def test_a_pasted_checkpoint_takes_what_its_file_holds(calculator):
    calculator.open(model="config")
    for kind, (block, preset, size) in FILES.items():
        calculator.enter("config", json.dumps(PRESETS[preset]["config"] | {"quantization_config": block}))
        calculator.tab.locator("[data-part=remarks]").get_by_text("The pasted config.json is a checkpoint of").wait_for()
        held = calculator.parts()
        found = sum(held.get(one, 0) for one in ("quantized", "scales", "linear", "experts", "embedding", "head", "rest"))
        assert found / 1e9 == pytest.approx(size, rel=0.005), kind
        calculator.enter("config", json.dumps(PRESETS[preset]["config"]))
    assert calculator.console == []


# Of Qwen3-30B-A3B: a block, who wrote it, and the least and most GB of its weights.
MIXTURES = {
    "GPTQ": ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "5.2.0", (16, 18)),
    "AWQ": ({"quant_method": "awq", "bits": 4, "group_size": 128}, "4.51.3", (16, 18)),
    "nf4": ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "4.51.3", (18, 18.2)),
    "nf4 of Transformers 5": ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, "5.2.0",
                              (59, 60)),
    "Quanto": ({"quant_method": "quanto", "weights": "int4"}, "4.51.3", (17, 18)),
}  # fmt: skip


def test_experts_are_counted_as_the_file_stores_them(calculator):
    calculator.open(model="config")
    said = calculator.tab.get_by_text("does not load the quantized experts of such a checkpoint: run it in an engine.")
    for kind, (block, version, (least, most)) in MIXTURES.items():
        config = PRESETS["qwen3-30b-a3b"]["config"] | {"transformers_version": version, "quantization_config": block}
        calculator.enter("config", json.dumps(config))
        calculator.tab.locator("[data-part=remarks]").get_by_text("The pasted config.json is a checkpoint of").wait_for()
        held = calculator.parts()
        named = ("quantized", "scales", "linear", "experts", "embedding", "head", "rest")
        assert least < sum(held.get(one, 0) for one in named) / 1e9 < most, kind
        assert said.is_visible() == ("experts" not in held), kind
        calculator.enter("config", json.dumps(PRESETS["qwen3-30b-a3b"]["config"]))
        assert not said.is_visible()
    assert calculator.console == []


def test_a_pasted_checkpoint_is_answered_as_what_it_is(calculator, variants):
    calculator.open(model="config")
    remarks = calculator.tab.locator("[data-part=remarks]")
    config = PRESETS["llama-3.1-8b"]["config"]
    for kind, (block, chosen, words) in STORED.items():
        calculator.enter("config", json.dumps(config | {"quantization_config": block}))
        remarks.get_by_text(words).wait_for()
        assert calculator.field("variant").input_value() == chosen, kind
        assert "is chosen" in remarks.inner_text() or "is counted" in remarks.inner_text(), kind
    calculator.enter("config", json.dumps(config))
    assert calculator.field("variant").input_value() != "pasted", "a model that is no checkpoint has no such choice"
    assert "checkpoint" not in remarks.inner_text()
    block = {"quant_method": "mxfp4"}
    calculator.enter("config", json.dumps(PRESETS["gpt-oss-20b"]["config"] | {"quantization_config": block}))
    remarks.get_by_text("MXFP4").first.wait_for()
    assert calculator.field("variant").input_value() == "mxfp4/mxfp4"
    assert calculator.console == []


def test_a_group_of_another_size_is_counted_with_its_scales(calculator, variants):
    calculator.open(model="config")
    config = PRESETS["llama-3.1-8b"]["config"]
    sizes = {}
    for group in (128, 32):
        block = {"quant_method": "gptq", "bits": 4, "group_size": group}
        calculator.enter("config", json.dumps(config | {"quantization_config": block}))
        calculator.tab.locator("[data-part=remarks]").get_by_text(f"groups of {group}").wait_for()
        sizes[group] = calculator.parts()
    storage = variants["gptq/4-bit"]["storage"]
    own = [{**one, "tile": [one["tile"][0], 32]} if one.get("tile", [0, 0])[1] == 128 else one for one in storage]
    read = shapes.read_config(json.dumps(config), ARCHITECTURES["families"])
    counted = memory.weights(shapes.tensors(read["family"], read["config"]), variants["gptq/4-bit"] | {"storage": own})
    assert sizes[32]["scales"] == counted["scales"] > sizes[128]["scales"]
    assert sizes[32]["quantized"] == counted["quantized"] == sizes[128]["quantized"]


def test_the_example_of_a_peak_is_one():
    text = (Project.here().docs / "memory.md").read_text(encoding="utf-8")
    [expression] = re.findall(r"^> `(.+)`$", text, re.MULTILINE)
    assert expression in ARCHITECTURES["families"]["llama"]["peaks"]["plain"]["pass"]


def test_the_address_holds_the_state(calculator):
    """What is chosen is in the address; the address, opened elsewhere, gives the same answer."""
    calculator.open()
    assert "?" not in calculator.tab.url
    calculator.field("model").select_option("llama-3.1-8b")
    calculator.field("variant").select_option("bitsandbytes/nf4")
    calculator.field("cache").select_option("8")
    for name, value in {"context": "100,000", "batch": "2", "prompt": "4 096", "memory": "15.5", "gpus": "3"}.items():
        calculator.field(name).fill(value)
    calculator.tab.keyboard.press("Tab")  # leaving a field writes the address at once; typing does so after a while
    answer = calculator.answer
    assert answer.startswith("Llama-3.1-8B in bitsandbytes nf4, with 100,000 tokens × 2 sequences, needs ")
    other = calculator.tab.context.new_page()
    other.goto(calculator.tab.url)
    other.wait_for_selector("#memory-calculator:not([hidden])")
    assert other.get_by_role("status").inner_text() == answer
    assert other.locator("#calculator-memory").input_value() == "15.5"
    other.close()
    assert calculator.console == []


def test_a_link_with_what_there_is_not_says_so(calculator):
    calculator.open(model="no-such-model", variant="x/y", context="a lot", strange="1")
    text = calculator.tab.locator("#memory-calculator").inner_text()
    assert "The link's model “no-such-model” is no choice here." in text
    assert "The link's variant “x/y” is no choice here." in text
    assert calculator.error("context") == "Context, tokens: “a lot” is not a whole number from 1 to 10,000,000."
    assert calculator.answer.startswith("Qwen3-8B in torchao int8 weight-only, with 8,192 tokens")
    assert calculator.console == []


NUMBERS = [
    ("context", "-5", "Context, tokens: “-5” is not a whole number from 1 to 10,000,000."),
    ("context", "many", "Context, tokens: “many” is not a whole number from 1 to 10,000,000."),
    ("context", "", "Context, tokens: this field is empty; it needs a whole number from 1 to 10,000,000."),
    ("context", "8\0", "Context, tokens: “8\0” is not a whole number from 1 to 10,000,000."),
    ("context", "1" + 30 * "0", f"Context, tokens: “1{30 * '0'}” is not a whole number from 1 to 10,000,000."),
    ("context", "1e3", "Context, tokens: “1e3” is not a whole number from 1 to 10,000,000."),
    ("batch", "0", "Sequences at once: “0” is not a whole number from 1 to 100,000."),
    ("batch", "1.5", "Sequences at once: “1.5” is not a whole number from 1 to 100,000."),
    ("prompt", "١٢", "Tokens in one pass: “١٢” is not a whole number from 1 to 10,000,000."),
    ("memory", "0", "Memory of one GPU, GiB: “0” is not a number from 0.1 to 100,000."),
    ("memory", "Infinity", "Memory of one GPU, GiB: “Infinity” is not a number from 0.1 to 100,000."),
    ("gpus", "10,001", "GPUs: “10,001” is not a whole number from 1 to 10,000."),
]


def test_a_number_that_makes_no_sense(calculator):
    calculator.open()
    stale = calculator.tab.get_by_text("Not recalculated: this is the last good answer.")
    for name, value, sentence in NUMBERS:
        good, link, field = calculator.answer, calculator.tab.url, calculator.field(name)
        before = field.input_value()
        calculator.enter(name, value)
        assert calculator.error(name) == sentence
        assert field.get_attribute("aria-invalid") == "true", sentence
        assert calculator.answer == good, f"the last good answer is kept: {sentence}"
        assert stale.is_visible(), sentence
        calculator.tab.keyboard.press("Tab")
        assert calculator.tab.url == link, sentence
        field.fill("8000" if name == "prompt" else "2")  # of a short prompt the answer's last token takes more
        assert calculator.error(name) == "" and field.get_attribute("aria-invalid") == "false", f"mended: {sentence}"
        assert calculator.answer != good, f"mended: {sentence}"
        assert stale.count() == 0, f"mended: {sentence}"
        field.fill(before)
        calculator.tab.keyboard.press("Tab")  # leaving a field writes the address at once
        assert calculator.answer == good, f"as before: {sentence}"
    assert calculator.console == []


def trained(preset: str, variant: dict | None, four_bit: bool, rank: int, tokens: int, batch: int, **way) -> dict[str, int]:
    """The parts that training adds and changes, by the Python that the page must agree with."""
    read = shapes.read_config(json.dumps(PRESETS[preset]["config"]), ARCHITECTURES["families"])
    tensors = shapes.tensors(read["family"], read["config"])
    peaks = json.loads((Project.here().training / f"{read['model_type']}.json").read_text(encoding="utf-8"))
    named = training.way(four_bit, way["adapter"], way["targets"], way["checkpointed"])
    beside = training.held(tensors, way["targets"], rank, way["adapter"], way["optimizer"])
    wide = 4 if four_bit and way["adapter"] != "bfloat16" else 2
    weights = memory.weights(tensors, variant, wide)
    moment = training.activations(peaks, read["family"], read["config"], named, tokens, batch, rank)
    parts = {name: weights[name] for name in ("quantized", "scales", "linear", "embedding", "head")}
    parts |= {"activations": moment, **{name: beside[name] for name in ("adapters", "gradients", "states")}}
    return {name: one for name, one in parts.items() if one}


WAYS = [  # how the form is filled in, and whether bitsandbytes' layers are below
    ("bf16", False, {"adapter": "float32", "targets": "all-linear", "optimizer": "adamw", "checkpointed": True}),
    (
        "bitsandbytes/nf4-double",
        True,
        {"adapter": "float32", "targets": "all-linear", "optimizer": "adamw", "checkpointed": True},
    ),
    ("bitsandbytes/nf4", True, {"adapter": "autocast", "targets": "query-value", "optimizer": "8-bit", "checkpointed": False}),
    ("bitsandbytes/nf4", True, {"adapter": "bfloat16", "targets": "all-linear", "optimizer": "8-bit", "checkpointed": True}),
    (
        "torchao/int8-weight-only",
        False,
        {"adapter": "float32", "targets": "all-linear", "optimizer": "adamw", "checkpointed": True},
    ),
]


@pytest.mark.parametrize("preset", ["qwen3-8b", "llama-3.1-8b"])
def test_training_is_counted_as_in_python(calculator, variants, preset):
    calculator.open(model=preset, work="train", context=1024, batch=3, rank=32)
    assert calculator.field("prompt").is_hidden() and calculator.field("cache").is_hidden()
    for variant, four_bit, way in WAYS:
        calculator.field("variant").select_option(variant)
        for name in ("adapter", "targets", "optimizer"):
            calculator.field(name).select_option(way[name])
        calculator.field("checkpointing").select_option("yes" if way["checkpointed"] else "no")
        expected = trained(preset, variants.get(variant), four_bit, 32, 1024, 3, **way)
        found = calculator.parts()
        assert {name: found[name] for name in expected} == expected, (variant, way)
        assert "cache" not in found and sum(found.values()) == calculator.bytes
    assert "training adapters of rank 32, with 1,024 tokens × 3 sequences" in calculator.answer
    assert calculator.console == []


def test_the_longest_sequence_of_a_step_fits_and_one_token_more_does_not(calculator):
    calculator.open(model="llama-3.1-8b", work="train", variant="bitsandbytes/nf4-double", memory=16)
    longest = calculator.tab.locator("[data-part=longest]")
    assert longest.inner_text().startswith("Longest sequence that fits: ")
    most = int(longest.get_attribute("data-tokens"))
    calculator.field("context").fill(str(most))
    assert "It fits into one GPU with 16 GiB" in calculator.answer
    calculator.field("context").fill(str(most + 1))
    assert "It does not fit into one GPU with 16 GiB" in calculator.answer


def test_what_cannot_be_trained_is_said(calculator):
    calculator.open(model="llama-3.1-8b", work="train", variant="quanto/int8")
    assert (
        "optimum-quanto int8 cannot be trained above with PEFT" in calculator.tab.locator("[data-part=untrained]").inner_text()
    )
    assert "quanto/int8" not in calculator.compared() and "gguf-k/q4-k-m" not in calculator.compared()
    calculator.field("variant").select_option("gguf-k/q4-k-m")
    assert "trains no adapters" in calculator.tab.locator("[data-part=untrained]").inner_text()
    good = calculator.answer
    calculator.enter("rank", "0")
    assert calculator.error("rank") == "Rank: “0” is not a whole number from 1 to 4,096."
    calculator.enter("rank", "16")
    calculator.field("model").select_option("qwen3-next-80b-a3b")
    calculator.tab.get_by_text("What training holds was not measured for qwen3_next models.").wait_for()
    assert calculator.answer == good
    calculator.field("work").select_option("generate")
    assert calculator.error("work") == "" and calculator.answer != good
    assert calculator.console == []


def test_what_training_holds_may_not_be_loaded(calculator):
    calculator.open(model="llama-3.1-8b")
    good = calculator.answer
    calculator.tab.route("**/training/*.json", lambda route: route.abort())
    calculator.field("work").select_option("train")
    calculator.tab.get_by_text("What training holds could not be loaded: check your connection, and choose again.").wait_for()
    assert calculator.answer == good
    calculator.tab.unroute("**/training/*.json")
    calculator.field("rank").fill("8")
    calculator.tab.get_by_text("training adapters of rank 8").wait_for()
    assert calculator.error("work") == ""


def test_gpu_and_computer_together_may_not_hold_it(calculator):
    calculator.open(model="qwen3-8b", variant="bf16", memory=8, ram=16)
    assert "are in the CPU’s memory and are copied in each pass" in calculator.answer
    calculator.field("ram").fill("4")
    said = re.search(
        r"GPU and computer together do not hold it: .* ([\d.]+) GiB are left, more than the computer’s 4 GiB",
        calculator.answer,
    )
    assert said and float(said[1]) > 4
    calculator.enter("ram", "none")
    assert calculator.error("ram") == "Memory of the computer, GiB: “none” is not a number from 0.1 to 100,000."
    assert calculator.console == []


def test_a_file_of_llama_cpp_is_counted(calculator, site_folder):
    calculator.open(model="llama-3.1-8b", variant="gguf-k/q4-k-m")
    choices = json.loads((site_folder / "assets" / "choices.json").read_text(encoding="utf-8"))
    offer = next(one for one in choices["offers"] if one["id"] == "gguf-k/q4-k-m")
    read = shapes.read_config(json.dumps(PRESETS["llama-3.1-8b"]["config"]), ARCHITECTURES["families"])
    weights = memory.weights(shapes.tensors(read["family"], read["config"]), offer)
    parts = calculator.parts()
    assert parts["quantized"] == weights["quantized"] and parts["rest"] == weights["norm"]
    assert "unpacked" not in parts, "its kernels unpack on the way"
    said = calculator.tab.locator("[data-part=elsewhere]").inner_text()
    assert "Weights are counted as llama.cpp (Ollama, LM Studio) reads them" in said
    assert calculator.console == []


QWEN = PRESETS["qwen3-0.6b"]["config"]
CONFIGS = {
    "not JSON": ("model_type: qwen3", "This is not JSON"),
    "cut off": (json.dumps(QWEN)[:-20], "This is not JSON"),
    "null bytes": ("{\0}", "This is not JSON"),
    "a list": ("[1, 2]", "This is JSON, but no object"),
    "null": ("null", "This is JSON, but no object"),
    "no model_type": ("{}", "The config has no model_type"),
    "a model_type that is a number": ('{"model_type": 3}', "The config has no model_type"),
    "an unknown model_type": ('{"model_type": "qwen99"}', "The model_type qwen99 is not among the"),
    "a name that every object has": ('{"model_type": "__proto__"}', "The model_type __proto__ is not among the"),
    "markup": ('{"model_type": "<img src=x onerror=alert(1)>"}', "The model_type <img src=x onerror=alert(1)> is not"),
    "a null byte in a name": ('{"model_type": "a\\u0000b"}', "is not among the"),
    "layers left out": (json.dumps(QWEN | {"num_hidden_layers": None}), "num_hidden_layers"),
    "a text where a number belongs": (json.dumps(QWEN | {"hidden_size": "1024"}), "hidden_size"),
    "a negative number": (json.dumps(QWEN | {"vocab_size": -1}), "vocab_size"),
    "an absurd number": (json.dumps(QWEN | {"num_hidden_layers": 10**12}), "num_hidden_layers"),
    "far too long": (json.dumps(QWEN | {"x": "y" * 10_000_000}), "This is far longer than a config.json"),
    "a very long name": (json.dumps({"model_type": "z" * 5000}), "The model_type zzz"),
}


def test_a_config_that_is_none(calculator):
    calculator.open()
    calculator.field("model").select_option("config")
    good = calculator.answer
    calculator.enter("config", '{"model_type": "qwen99"}')  # loads the architectures of no preset, once
    calculator.tab.get_by_text("is not among the").wait_for()
    calculator.enter("config", "")
    for kind, (pasted, words) in CONFIGS.items():
        assert calculator.error("config") == "Paste the whole of a model's config.json, from { to }.", f"before {kind}"
        calculator.enter("config", pasted)
        sentence = calculator.error("config")
        assert words in sentence.replace("\0", ""), kind
        assert len(sentence) < 1000 and sentence[-1] in ".…", kind
        assert calculator.field("config").get_attribute("aria-invalid") == "true", kind
        assert calculator.answer == good, f"the last good answer is kept: {kind}"
        assert calculator.tab.evaluate("document.documentElement.scrollWidth") <= calculator.tab.viewport_size["width"], kind
        calculator.enter("config", "")
    assert calculator.console == []


def test_layers_that_some_methods_quantize_and_others_do_not_are_named(calculator):
    """GPT-2's are Conv1D, which bitsandbytes quantizes and most methods do not."""
    calculator.open(model="config")
    remarks = calculator.tab.locator("[data-part=remarks]")
    gpt2 = {"model_type": "gpt2", "n_embd": 1600, "n_layer": 48, "n_head": 25, "n_positions": 512}
    calculator.enter("config", json.dumps(gpt2))
    remarks.get_by_text("95 % of its weights are in layers of another class than nn.Linear").wait_for()
    longest = calculator.tab.locator("[data-part=longest]")
    assert "what the model was made for" in longest.inner_text() and "512 tokens" in longest.inner_text()
    calculator.enter("config", json.dumps({key: one for key, one in gpt2.items() if key != "n_positions"}))
    assert "1,024 tokens" in longest.inner_text(), "the class's own"
    calculator.enter("config", json.dumps(QWEN))
    calculator.tab.get_by_text("The pasted qwen3 model in ").first.wait_for()
    assert "nn.Linear" not in remarks.inner_text()


def test_a_pasted_config_is_read_and_stays_on_the_page(calculator):
    """The preset's own config gives the preset's answer; neither the address nor a request has anything of it."""
    calculator.open(model="qwen3-0.6b", variant="bitsandbytes/nf4")
    of_preset = calculator.bytes
    calculator.tab.wait_for_load_state("networkidle")
    calculator.requests.clear()
    calculator.field("model").select_option("config")
    calculator.field("config").fill(json.dumps(QWEN, indent=2))
    assert calculator.bytes == of_preset
    assert calculator.answer.startswith("The pasted qwen3 model in bitsandbytes nf4")
    calculator.field("context").fill("81920")
    calculator.field("config").fill(json.dumps({key: value for key, value in QWEN.items() if key != "head_dim"}))
    remarks = calculator.tab.locator("[data-part=remarks]").inner_text()
    assert "Not in the config, so Transformers' defaults: head_dim = " in remarks
    calculator.tab.wait_for_url(re.compile("context=81920"))
    assert "model=" not in calculator.tab.url and "hidden_size" not in calculator.tab.url
    # A browser may ask for the site's icon again when the address changes; nothing else is asked, and nothing is told.
    assert {request.removeprefix(calculator.url) for request in calculator.requests} <= {"assets/logo.svg"}
    assert calculator.console == []


OTHER = {"model_type": "olmo2", "hidden_size": 64, "num_hidden_layers": 2}


def test_an_architecture_of_no_preset_is_loaded_when_it_is_pasted(calculator):
    calculator.open(model="qwen3-0.6b")
    loaded = f"{calculator.url}assets/families.json"
    assert loaded not in calculator.requests
    calculator.field("model").select_option("config")
    calculator.field("config").fill(json.dumps(OTHER))
    calculator.tab.get_by_text("The pasted olmo2 model in ").first.wait_for()
    assert calculator.requests.count(loaded) == 1
    calculator.field("config").fill(json.dumps({**OTHER, "num_hidden_layers": 0}))
    assert "num_hidden_layers is 0" in calculator.error("config")
    assert calculator.requests.count(loaded) == 1
    assert calculator.console == []


def test_an_architecture_that_cannot_be_loaded_is_said(calculator):
    calculator.open(model="qwen3-0.6b")
    calculator.tab.route("**/families.json", lambda route: route.abort())
    calculator.field("model").select_option("config")
    calculator.field("config").fill(json.dumps(OTHER))
    calculator.tab.get_by_text("This page could not load the architecture of this config: check your connection").wait_for()
    calculator.field("config").fill(json.dumps({**QWEN, "hidden_size": 0}))
    assert "hidden_size is 0" in calculator.error("config"), "what is known is read all the same"
    calculator.tab.unroute("**/families.json")
    calculator.field("config").fill(json.dumps(OTHER))
    calculator.tab.get_by_text("The pasted olmo2 model in ").first.wait_for()


def test_everything_has_a_name_and_is_reached_by_keyboard(calculator):
    calculator.open()
    labels = ["Model", "Method and variant", "For", "Context, tokens", "Sequences at once", "Tokens in one pass",
              "That pass is", "Key-value cache", "Memory of one GPU, GiB", "GPUs", "Memory of the computer, GiB"]  # fmt: skip
    calculator.tab.get_by_label(labels[0], exact=True).focus()
    for label in labels:
        field = calculator.tab.get_by_label(label, exact=True)
        assert field.evaluate("field => field === document.activeElement"), label
        box = field.bounding_box()
        assert box["width"] >= 24 and box["height"] >= 24, label
        calculator.tab.keyboard.press("Tab")
    heard = calculator.tab.locator("[data-part=bar]").get_attribute("aria-label")
    assert "Quantized weights 6" in heard and "Key-value cache 1" in heard


def test_leaving_and_coming_back_mounts_it_once(site, desktop, variants):
    """What was typed is in the address, and comes back with it."""
    tab = desktop
    tab.goto(site[1] + "works-where/")
    link = tab.locator(".md-nav").get_by_role("link", name="Memory calculator")
    for _ in range(2):
        link.first.click()
        tab.wait_for_selector("#memory-calculator:not([hidden])")
        assert tab.locator("#calculator-model optgroup").count() == len({p["model"].split("/")[0] for p in PRESETS.values()})
        assert tab.locator("[data-part=compared] tbody tr").count() == 1 + len(meant("qwen3-8b", variants))
        tab.locator("#calculator-context").fill("4096")
        assert "4,096 tokens" in tab.get_by_role("status").inner_text()
        tab.locator(".md-nav").get_by_role("link", name="What works where").first.click()
        tab.wait_for_selector("h1:has-text('What works where')")
        assert tab.locator("#memory-calculator").count() == 0
    tab.go_back()
    tab.wait_for_selector("#memory-calculator:not([hidden])")
    assert tab.locator("#calculator-context").input_value() == "4096"
    assert tab.console == []


def test_without_javascript_the_formula_stands_there(site, still):
    still.goto(site[1] + "memory/")
    assert not still.locator("#memory-calculator").is_visible()
    assert still.get_by_text("The calculator needs JavaScript.").is_visible()
    assert still.get_by_role("heading", name="A worked example").is_visible()


def test_the_page_loads_little_javascript_of_its_own(site, calculator, record_property):
    folder, url = site
    calculator.open()
    calculator.tab.wait_for_load_state("networkidle")
    own = sorted({r.removeprefix(url).split("?")[0] for r in calculator.requests if re.search(r"/assets/[a-z]+\.js$", r)})
    sizes = {name: (folder / name).stat().st_size for name in own}
    figure = f"own JavaScript of the memory calculator: {sum(sizes.values()):,} bytes ({', '.join(own)})"
    record_property("figure", figure)
    assert {"assets/calculator.js", "assets/architecture.js", "assets/memory.js"} <= set(own)
    assert sum(sizes.values()) <= MOST_BYTES
    assert [request for request in calculator.requests if not request.startswith(url)] == []


def test_the_longest_sequence_is_no_longer_than_what_was_measured(calculator):
    """Beyond Gemma 2's window nothing is known of this way; activations that are not known are not none."""
    calculator.open(
        model="gemma-2-9b", variant="bitsandbytes/nf4", work="train", adapter="bfloat16", targets="all-linear",
        checkpointing="yes", context=2048, batch=1, memory=80, gpus=1,
    )  # fmt: skip
    calculator.tab.get_by_text("Longest sequence that fits: at least 4,095 tokens").wait_for()
