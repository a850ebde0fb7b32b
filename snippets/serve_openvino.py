# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "openvino==2026.4.1",
#   "openvino-tokenizers==2026.4.1.0",
#   "openvino-genai==2026.4.1.0",
#   "optimum-intel==2.2.0",
#   "optimum==2.3.0",
#   "nncf==3.4.0",
#   "torch==2.13.0",
#   "transformers==5.5.4",  # optimum-intel 2.2.0 takes none from 5.6 on
#   "huggingface-hub==1.21.0",
#   "accelerate==1.15.0",
#   "compressed-tensors==0.20.0",
#   "bitsandbytes==0.50.2",
#   "gguf==0.19.0",
#   "loky==3.7.0",
# ]
#
# [tool.guide]
# engine = "openvino"
# needs = "cpu"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# own_figures = true
# unwanted = ["torchvision"]
# control = """
# import loky
# import optimum.intel
#
# _export, _executor = optimum.intel.OVModelForCausalLM.from_pretrained, loky.ProcessPoolExecutor
# optimum.intel.OVModelForCausalLM.from_pretrained = lambda *given, quantization_config=None, **how: _export(*given, **how)
#
#
# def _plain():
#     import optimum.intel
#
#     load = optimum.intel.OVModelForCausalLM.from_pretrained
#     plain = lambda checkpoint, **how: load("Qwen/Qwen3-0.6B", **(how | {"export": True}))
#     optimum.intel.OVModelForCausalLM.from_pretrained = plain
#
#
# loky.ProcessPoolExecutor = lambda *given: _executor(*given, initializer=_plain)
# """
#
# [tool.guide.made_with]
# bnb_nf4 = "bitsandbytes"
# ct_fp8 = "compressed_tensors_load"
# ct_w4a16 = "compressed_tensors_load"
# ct_w8a8 = "compressed_tensors_load"
# gguf_with_tokenizer = "gguf"
#
# [tool.guide.checkpoints]
# "Qwen/Qwen3-0.6B-GGUF" = "gguf_with_tokenizer"
# "RedHatAI/Qwen3-0.6B-quantized.w4a16" = "ct_w4a16"
# "RedHatAI/Qwen2.5-0.5B-quantized.w8a8" = "ct_w8a8"
# "RedHatAI/Qwen3-0.6B-FP8-dynamic" = "ct_fp8"
# "unsloth/Qwen3-0.6B-bnb-4bit" = "bnb_nf4"
#
# [tool.guide.swap]
# '"qwen3-openvino-int4"}' = '"unsloth/Qwen3-0.6B-bnb-4bit"}'
# '"bnb-nf4": "unsloth/Qwen3-0.6B-bnb-4bit"' = '"bnb-nf4": "qwen3-openvino-int4"'
# ///

# %% [markdown]
# # OpenVINO: which checkpoints it loads
#
# Exports a model to OpenVINO's own format at 4 bit. OpenVINO then loads that, the 16-bit model and a GGUF file, and refuses
# four quantized checkpoints, each in a process of its own. The first tokens stand beside those of Transformers. What it
# refuses is a row with its own words. It runs on any x86-64 or ARM CPU, and on Intel's GPUs and NPUs.
#
# Which engine loads what: [the matrix](../docs/engines/index.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.serving import *

# %%
device = show_environment(
    "openvino",
    "openvino-tokenizers",
    "openvino-genai",
    "optimum-intel",
    "optimum",
    "nncf",
    "transformers",
    "huggingface-hub",
    "accelerate",
    "compressed-tensors",
    "bitsandbytes",
    "gguf",
    "loky",
    needs="cpu",
)

# %% [markdown]
# ## Export
#
# Groups of 128 weights share a scale; where a row does not divide by 128, `adjust` takes a smaller group. The same from a
# shell: `optimum-cli export openvino --model Qwen/Qwen3-0.6B --weight-format int4 --group-size 128 qwen3-openvino-int4`.

# %%
# --8<-- [start:export]
from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig
from transformers import AutoTokenizer

config = OVWeightQuantizationConfig(bits=4, sym=True, group_size=128, group_size_fallback="adjust")
model = OVModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", export=True, quantization_config=config)
model.save_pretrained("qwen3-openvino-int4")
files = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B").save_pretrained("qwen3-openvino-int4")
# --8<-- [end:export]

# %% [markdown]
# ## Load and generate
#
# By default OpenVINO rounds activations and the cache to 8 bits on a CPU. `EXACT` switches that off, so that its tokens can be
# compared.

# %%
# --8<-- [start:generate]
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}


def by_openvino(checkpoint):
    """The tokens that OpenVINO generates greedily, and the bytes of the weights it holds."""
    from pathlib import Path

    from optimum.intel import OVModelForCausalLM
    from transformers import AutoTokenizer

    exported = Path(checkpoint, "openvino_model.xml").exists()
    model = OVModelForCausalLM.from_pretrained(checkpoint, export=not exported, load_in_8bit=False, ov_config=EXACT)
    inputs = AutoTokenizer.from_pretrained(checkpoint)(PROMPT, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False)
    held = sum(part.get_byte_size() for part in model.model.get_ops() if part.get_type_name() == "Constant")
    return output[0, inputs.input_ids.shape[1] :].tolist(), held
    # --8<-- [end:generate]


# %%
# --8<-- [start:gguf]
def by_genai(repository):
    """The tokens that OpenVINO GenAI generates greedily from a GGUF file, which it converts in memory."""
    import openvino_genai
    from huggingface_hub import hf_hub_download

    pipeline = openvino_genai.LLMPipeline(hf_hub_download(repository, "Qwen3-0.6B-Q8_0.gguf"), "CPU", **EXACT)
    how = openvino_genai.GenerationConfig()
    how.max_new_tokens, how.do_sample, how.ignore_eos, how.apply_chat_template = TOKENS, False, True, False
    inputs = pipeline.get_tokenizer().encode(PROMPT, add_special_tokens=False)
    return list(pipeline.generate(inputs, how).tokens[0]), 0
    # --8<-- [end:gguf]


# %% [markdown]
# ## What loads, and what is refused
#
# The GGUF file holds the same model rounded to 8 bits, and is held against the tokens of the 16-bit one.

# %%
LOADS = {"bf16": "Qwen/Qwen3-0.6B", "openvino": "qwen3-openvino-int4"}
REFUSES = {
    "ct-w4a16": "RedHatAI/Qwen3-0.6B-quantized.w4a16",
    "ct-w8a8": "RedHatAI/Qwen2.5-0.5B-quantized.w8a8",
    "ct-fp8": "RedHatAI/Qwen3-0.6B-FP8-dynamic",
    "bnb-nf4": "unsloth/Qwen3-0.6B-bnb-4bit",
}
expected = {"bf16": transformers_tokens(LOADS["bf16"])}
rows = [served(by_openvino, path, name, expected.get(name)) for name, path in (LOADS | REFUSES).items()]
table = show([*rows, served(by_genai, "Qwen/Qwen3-0.6B-GGUF", "gguf-0", expected["bf16"])])

# %% tags=["check"]
found = {row["format"]: row for row in table}
for name in (*LOADS, "gguf-0"):
    assert found[name]["loads"], f"{name} was refused: {found[name]['said']}"
assert found["bf16"]["same"] == TOKENS, "OpenVINO and Transformers generate other tokens from the same 16-bit model"
assert found["gguf-0"]["same"] >= 4, "the GGUF file says something else than the model it was made of"
assert found["openvino"]["stored_bytes"] < 0.4 * found["bf16"]["stored_bytes"], "the exported model is not in 4 bit"
assert found["openvino"]["resident_bytes"] < 0.4 * found["bf16"]["resident_bytes"], "it is unpacked in memory"

# %% tags=["check"]
for name in REFUSES:
    assert not found[name]["loads"], f"{name} loads now: update the page of OpenVINO"
