# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "fbgemm-gpu-genai==1.8.0",
# ]
#
# [tool.guide]
# method = "fbgemm-fp8"
# needs = "cuda>=9.0"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "H100"
# colab_not = "Its wheel is for CUDA 13 and torch 2.13; Colab has torch 2.11, for CUDA 12.8."
#
# [tool.guide.held]
# fbgemm-gpu-genai = "each of its releases is built for one torch: 1.8 for 2.13"
# torch = "fbgemm-gpu-genai 1.8 is built for 2.13"
#
# [tool.guide.swap]
# "activation_scale_ub=1200.0" = "activation_scale_ub=600.0"
# ///

# %% [markdown]
# # FBGEMM FP8: 8-bit floats by row, computed in FP8
#
# Loads one model with FP8 weights, a scale for each row, generates, measures it against bf16, saves and reloads it. It needs
# an NVIDIA GPU of compute capability 9.0 or more: H100 and later.
#
# When to take FBGEMM FP8 at all: [the method's page](../docs/methods/fbgemm-fp8.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
device = show_environment("transformers", "accelerate", "fbgemm-gpu-genai", needs="cuda>=9.0")

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
# ## FP8 while loading
#
# Each row of a weight has a scale. Activations are rounded to FP8 too, token by token, with the largest value of each token as
# its scale, at most `activation_scale_ub`; the product runs in FP8. Other dtypes than bf16 are overridden.

# %%
from transformers import FbgemmFp8Config

with stopwatch() as load:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=FbgemmFp8Config(activation_scale_ub=1200.0),
        dtype=torch.bfloat16,
        device_map="cuda",
    )
    # --8<-- [end:load]

# %% tags=["check"]
from transformers.integrations.fbgemm_fp8 import FbgemmFp8Linear

row = weigh("e4m3, by row", 8, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, FbgemmFp8Linear) and layer.weight.dtype == torch.float8_e4m3fn for layer in layers)
assert all(layer.weight_scale.shape == (layer.out_features, 1) for layer in layers)
assert all(layer.input_scale_ub.item() == 1200 for layer in layers)
assert row["linear_ratio"] > 1.9

# %% [markdown]
# ## Save and reload

# %%
# --8<-- [start:save-reload]
model.save_pretrained("qwen3-fbgemm-fp8")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-fbgemm-fp8", device_map="cuda")
# --8<-- [end:save-reload]
tokens = generated(model, prompt)
print(tokenizer.decode(tokens[0]))
row |= {
    "saved_bytes": weight_files_bytes("qwen3-fbgemm-fp8"),
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
}
assert row["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
row |= quality(model, baseline, windows) | speed(model, baseline, prompt)
MeasureTable([row]).show()

# %% [markdown]
# What must hold on any model: it is not bf16 in disguise, and not far from it.

# %%
assert row["kl"] > 0 and abs(row["loss_difference"]) < 0.05
