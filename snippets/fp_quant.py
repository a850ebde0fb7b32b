# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "fp_quant==0.3.2",
# ]
#
# [tool.guide]
# method = "fp-quant"
# needs = "cuda>=8.0"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "L4"
# not_compared = """
# Pseudo-quantization: weights and activations are rounded to MXFP4, but kept and multiplied in bf16. It shows the rounding;
# size and speed are not those of the method."""
#
# [tool.guide.swap]
# "hadamard_group_size=32" = "hadamard_group_size=64"
# ///

# %% [markdown]
# # FP-Quant: MXFP4 after a Hadamard transform, pseudo-quantized
#
# Loads one model with weights and activations rounded to MXFP4 after a Hadamard transform, generates, and measures it against
# bf16. This is the method's pseudo-quantization, which rounds and computes in bf16 on any NVIDIA GPU that Triton supports. Its
# 4-bit arithmetic needs Blackwell and the library qutlass, which PyPI does not have.
#
# When to take FP-Quant at all: [the method's page](../docs/methods/fp-quant.md). What goes wrong:
# [the notebook without a GPU](fp_quant_fallback.ipynb).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
device = show_environment("transformers", "accelerate", "fp_quant", needs="cuda>=8.0")

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
# ## Rounded while loading
#
# Each group of 32 weights in a row is turned by a Hadamard matrix, then rounded to 4-bit floats that share a scale, a power of
# 2. Activations are turned and rounded the same way at each forward pass, after which the turns cancel in the product.

# %%
with stopwatch() as load:
    # --8<-- [start:load]
    from transformers import FPQuantConfig

    config = FPQuantConfig(forward_dtype="mxfp4", hadamard_group_size=32, pseudoquantization=True)
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="cuda"
    )
    # --8<-- [end:load]

# %% [markdown]
# A 4-bit float has 15 different values, zero counted once, so no group of 32 that shares a scale holds more. The layers are as
# large as bf16's, and each holds two Hadamard matrices besides.

# %% tags=["check"]
from fp_quant import FPQuantLinear

row = weigh("MXFP4 with activations, kept in bf16", 4, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, FPQuantLinear) and layer.weight is None for layer in layers)
assert all(layer.config.hadamard_group_size == 32 and len(layer.forward_hadamard_matrix) == 32 for layer in layers)
groups = torch.cat([layer.dqweight[:64].reshape(-1, 32) for layer in layers]).sort(dim=1).values
assert ((groups[:, 1:] != groups[:, :-1]).sum(1) + 1).max() <= 15
assert row["linear_ratio"] <= 1

# %%
print(tokenizer.decode(generated(model, prompt)[0]))

# %% [markdown]
# ## Measured against bf16
#
# What is saved cannot be loaded again, as [the other notebook](fp_quant_fallback.ipynb) shows.

# %% tags=["measures"]
model.save_pretrained("qwen3-fp-quant")
row |= {"saved_bytes": weight_files_bytes("qwen3-fp-quant"), "reload_equal": False}
row |= quality(model, baseline, windows) | speed(model, baseline, prompt)
MeasureTable([row]).show()

# %% [markdown]
# What must hold on any model: the rounding is there, and costs less than a nat.

# %%
assert row["kl"] > 0 and row["loss_difference"] < 1
