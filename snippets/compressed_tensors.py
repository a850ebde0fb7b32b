# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.17.0",  # the newest that llmcompressor 0.14.0.1 takes
#   "accelerate==1.15.0",
#   "llmcompressor==0.14.0.1",
#   "compressed-tensors==0.19.0",
# ]
#
# [tool.guide]
# method = "compressed-tensors"
# needs = "cpu"
# minutes = 30
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# control = """
# import llmcompressor
#
# def _save_plain(model, output_dir, **_):
#     transformers.AutoModelForCausalLM.from_pretrained(model).save_pretrained(output_dir)
#
# llmcompressor.oneshot = _save_plain
# """
#
# [tool.guide.swap]
# 'scheme="W4A16"' = 'scheme="W8A16"'
# 'scheme="W8A8"' = 'scheme="W4A16"'
# 'scheme="FP8_DYNAMIC"' = 'scheme="W4A16"'
#
# [tool.guide.weigh]
# before = """
# def calibration_texts(*_):
#     return tokenizer.batch_decode(ids.view(4, 256))
# """
# saves = {w4a16 = "qwen3-w4a16-gptq", w8a8 = "qwen3-w8a8", fp8-dynamic = "qwen3-fp8"}
# loads_in = "compressed_tensors_load"
# proven = true
#
# [tool.guide.weigh.remarks."small mixture, 4 experts"]
# w4a16 = "the checkpoint holds the experts quantized, and Transformers unpacks them to bf16 while it loads"
# fp8-dynamic = "the checkpoint holds the experts quantized, and Transformers unpacks them to bf16 while it loads"
# ///

# %% [markdown]
# # compressed-tensors: made with llm-compressor
#
# Makes four checkpoints with llm-compressor, 4-bit weights by GPTQ and by rounding, int8 and float8 with quantized
# activations; loads each with Transformers, generates, measures each against bf16, saves and reloads each. At the end it
# shows what goes wrong.
#
# llm-compressor 0.14.0.1 allows no Transformers newer than 5.17.0, so this notebook runs on that one.
# [The other notebook](compressed_tensors_load.ipynb) loads ready checkpoints with 5.23.0.
#
# When to take compressed-tensors at all: [the method's page](../docs/methods/compressed-tensors.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.calibration import calibration_texts

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "llmcompressor", "compressed-tensors", needs="cpu")

# %% [markdown]
# ## The model in bf16
#
# Everything below is compared with this one.

# %%
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = "Qwen/Qwen3-0.6B"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
baseline = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
windows = evaluation_windows(tokenizer)
linears = decoder_linears(baseline)
prompt = tokenizer("def read_config(path):\n", return_tensors="pt").input_ids
print(tokenizer.decode(generated(baseline, prompt)[0]))

# %% [markdown]
# ## 4-bit weights by GPTQ
#
# W4A16: groups of 128 weights share a scale, activations stay in 16 bit. GPTQ chooses the roundings so that each layer's
# output on calibration texts changes least. Calibrate on texts like those your model will read.

# %%
from llmcompressor.logger import LoggerConfig, configure_logger

configure_logger(LoggerConfig(console_log_level="ERROR"))  # it logs a few lines a layer otherwise

# --8<-- [start:gptq]
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier

texts = calibration_texts()
texts = calibration_texts(32, 2_000)  # cut down for the proof
oneshot(
    model="Qwen/Qwen3-0.6B",
    recipe=GPTQModifier(targets="Linear", scheme="W4A16", ignore=["lm_head"]),
    dataset=Dataset.from_dict({"text": texts}),
    num_calibration_samples=len(texts),
    max_seq_length=2048,
    output_dir="qwen3-w4a16-gptq",
)
# --8<-- [end:gptq]
with stopwatch() as gptq_load:
    gptq = AutoModelForCausalLM.from_pretrained("qwen3-w4a16-gptq", device_map="auto")

# %% [markdown]
# The model is weighed now, before its first forward pass. That pass unpacks every weight to bf16, on any device, and from
# then on the model takes what bf16 takes; [the other notebook](compressed_tensors_load.ipynb) shows it.

# %% tags=["check"]
PACKED = {"weight_packed": torch.int32, "weight_scale": torch.bfloat16, "weight_shape": torch.int64}


def stored(model):
    """What each decoder linear stores, by name and dtype."""
    return [{name: part.dtype for name, part in model.get_submodule(n).state_dict().items()} for n in linears]


gptq_row = weigh("W4A16 by GPTQ", 4, gptq, baseline, gptq_load)
assert all(parts == PACKED for parts in stored(gptq))
assert all(gptq.get_submodule(name).quantization_scheme.weights.num_bits == 4 for name in linears)
assert gptq_row["linear_ratio"] > 3.7

# %% [markdown]
# ## 4-bit weights by rounding
#
# The same format without calibration text: each weight goes to the nearest of the 16 values of its group.

# %%
# --8<-- [start:rounding]
from llmcompressor.modifiers.quantization import QuantizationModifier

oneshot(
    model="Qwen/Qwen3-0.6B",
    recipe=QuantizationModifier(targets="Linear", scheme="W4A16", ignore=["lm_head"]),
    output_dir="qwen3-w4a16",
)
# --8<-- [end:rounding]
with stopwatch() as rounded_load:
    rounded = AutoModelForCausalLM.from_pretrained("qwen3-w4a16", device_map="auto")

# %% tags=["check"]
rounded_row = weigh("W4A16 by rounding", 4, rounded, baseline, rounded_load)
assert all(parts == PACKED for parts in stored(rounded))
assert all(rounded.get_submodule(name).quantization_scheme.weights.num_bits == 4 for name in linears)
assert rounded_row["linear_ratio"] > 3.7

# %% [markdown]
# ## int8 weights and activations
#
# W8A8: one scale a row of weights, and one a token of activations, found while running. Transformers computes in bf16 on
# values rounded to int8, so the quality is W8A8's and the speed is not.

# %%
# --8<-- [start:w8a8]
oneshot(
    model="Qwen/Qwen3-0.6B",
    recipe=QuantizationModifier(targets="Linear", scheme="W8A8", ignore=["lm_head"]),
    output_dir="qwen3-w8a8",
)
# --8<-- [end:w8a8]
with stopwatch() as w8a8_load:
    w8a8 = AutoModelForCausalLM.from_pretrained("qwen3-w8a8", device_map="auto")

# %% tags=["check"]
w8a8_row = weigh("W8A8", 8, w8a8, baseline, w8a8_load)
assert all(parts == {"weight": torch.int8, "weight_scale": torch.bfloat16} for parts in stored(w8a8))
assert all(w8a8.get_submodule(name).quantization_scheme.input_activations.num_bits == 8 for name in linears)
assert w8a8_row["linear_ratio"] > 1.9

# %% [markdown]
# ## float8 weights and activations
#
# FP8_DYNAMIC: e4m3 values, scaled in the same way.

# %%
# --8<-- [start:fp8]
oneshot(
    model="Qwen/Qwen3-0.6B",
    recipe=QuantizationModifier(targets="Linear", scheme="FP8_DYNAMIC", ignore=["lm_head"]),
    output_dir="qwen3-fp8",
)
# --8<-- [end:fp8]
with stopwatch() as fp8_load:
    fp8 = AutoModelForCausalLM.from_pretrained("qwen3-fp8", device_map="auto")

# %% tags=["check"]
fp8_row = weigh("FP8_DYNAMIC", 8, fp8, baseline, fp8_load)
assert all(parts == {"weight": torch.float8_e4m3fn, "weight_scale": torch.bfloat16} for parts in stored(fp8))
assert all(fp8.get_submodule(name).quantization_scheme.input_activations.type == "float" for name in linears)
assert fp8_row["linear_ratio"] > 1.9

# %% [markdown]
# ## Save and reload
#
# Save **before** the first forward pass; what is saved after it is a bf16 file.

# %%
# --8<-- [start:save-reload]
gptq.save_pretrained("qwen3-saved")  # before the first forward pass
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-saved", device_map="auto")
# --8<-- [end:save-reload]

# %%
rows = []
for row, model in ((gptq_row, gptq), (rounded_row, rounded), (w8a8_row, w8a8), (fp8_row, fp8)):
    model.save_pretrained("qwen3-saved")
    reloaded = AutoModelForCausalLM.from_pretrained("qwen3-saved", device_map="auto")
    saved_bytes = weight_files_bytes("qwen3-saved")
    assert saved_bytes < 1.01 * row["quantized_bytes"] + 100_000
    tokens = generated(model, prompt)
    print(f"{row['variant']}: {tokenizer.decode(tokens[0, prompt.shape[1] :])!r}")
    rows.append(row | {"saved_bytes": saved_bytes, "reload_equal": torch.equal(tokens, generated(reloaded, prompt))})
    assert rows[-1]["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# The sizes are those of the loaded model before its first forward pass, and of its file; quality and speed are those of the
# model after it, whose weights are quantized values in bf16. *Whole model* counts every stored tensor, scales and embeddings
# included; *decoder linears* counts what is quantized. A small model keeps a large share of its weights in the embeddings,
# which stay in bf16, so its whole-model saving is smaller than a large model's.

# %% tags=["measures"]
for row, model in zip(rows, (gptq, rounded, w8a8, fp8), strict=True):
    row |= quality(model, baseline, windows) | speed(model, baseline, prompt)
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: no variant is bf16 in disguise, 4 bit is farther from bf16 than 8 bit, and GPTQ nearer than
# rounding.

# %%
kl = {row["variant"]: row["kl"] for row in rows}
assert min(kl.values()) > 0
assert max(kl["W8A8"], kl["FP8_DYNAMIC"]) < kl["W4A16 by GPTQ"] < kl["W4A16 by rounding"]
assert all(abs(row["loss_difference"]) < 0.05 for row in rows[2:]) and rows[1]["loss_difference"] < 0.33

# %% [markdown]
# ## What goes wrong
#
# The cell stands alone, shows a fault happen, and will fail on the day it is mended. What goes wrong while loading is shown by
# [the other notebook](compressed_tensors_load.ipynb).
#
# ### 2:4 sparsity saves nothing
#
# llm-compressor still prunes two of four weights to zero. compressed-tensors no longer has a sparse file format
# ([removed in March 2026](https://github.com/vllm-project/llm-compressor/pull/2452)), so the zeros are stored in full.

# %% tags=["trap:sparse-24"]
from pathlib import Path

import torch
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.pruning import WandaPruningModifier
from transformers import AutoModelForCausalLM

recipe = WandaPruningModifier(targets=["Linear"], sparsity=0.5, mask_structure="2:4", ignore=["lm_head"])
text = Dataset.from_dict({"input_ids": torch.randint(1000, (4, 128)).tolist()})
oneshot(model="Qwen/Qwen3-0.6B", recipe=recipe, dataset=text, num_calibration_samples=4, output_dir="trap-sparse")
plain = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
plain.save_pretrained("trap-dense")
sparse = AutoModelForCausalLM.from_pretrained("trap-sparse", device_map="auto")
zeros = (sparse.model.layers[0].mlp.up_proj.weight == 0).float().mean().item()
files = [Path(folder, "model.safetensors").stat().st_size for folder in ("trap-dense", "trap-sparse")]
print(f"{zeros:.0%} zeros; {files[0]:,} bytes dense, {files[1]:,} bytes sparse")
known_fault(zeros > 0.49 and files[1] >= 0.99 * files[0], "llmcompressor", "compressed-tensors")
