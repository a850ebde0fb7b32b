# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.22.0",
#   "accelerate==1.15.0",
#   "kernels==0.17.2",
# ]
#
# [tool.guide]
# method = "fp8"
# needs = "cuda>=8.9"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "L4"
#
# [tool.guide.held]
# transformers = "5.23.0 and newer ask for kernels from 0.18.2 on, which is not released"
# kernels = "Transformers 5.22.0 takes none from 0.18 on"
# ///

# %% [markdown]
# # Fine-grained FP8: 8-bit floats in blocks, computed in FP8
#
# Loads one model with FP8 weights in blocks of 128 x 128, generates, measures it against bf16, saves and reloads it. It needs
# an NVIDIA GPU of compute capability 8.9 or more: L4, RTX 4090, H100 and later.
#
# When to take FP8 at all: [the method's page](../docs/methods/fp8.md). Without such a GPU:
# [what you get instead](fp8_fallback.ipynb).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
device = show_environment("transformers", "accelerate", "kernels", needs="cuda>=8.9")

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
# Blocks of 128 x 128 weights share a scale. Activations are rounded to FP8 too, in groups of 128, and the product runs in
# FP8. The first forward pass fetches its kernel from the Hub, through the package `kernels`.

# %%
from transformers import FineGrainedFP8Config

with stopwatch() as load:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=FineGrainedFP8Config(weight_block_size=(128, 128)),
        dtype=torch.bfloat16,
        device_map="cuda",
    )
    # --8<-- [end:load]

# %% tags=["check"]
from transformers.integrations.finegrained_fp8 import FP8Linear

row = weigh("e4m3, blocks of 128 x 128", 8, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, FP8Linear) and layer.weight.dtype == torch.float8_e4m3fn for layer in layers)
assert all(tuple(layer.block_size) == (128, 128) for layer in layers)
assert row["linear_ratio"] > 1.9

# %% [markdown]
# ## Save and reload

# %%
# --8<-- [start:save-reload]
model.save_pretrained("qwen3-fp8")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-fp8", device_map="cuda")
# --8<-- [end:save-reload]
tokens = generated(model, prompt)
print(tokenizer.decode(tokens[0]))
row |= {"saved_bytes": weight_files_bytes("qwen3-fp8"), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
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
