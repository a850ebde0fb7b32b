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
# method = "eetq"
# needs = "cuda"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
#
# [tool.guide.held]
# transformers = "5.23.0 and newer ask for kernels from 0.18.2 on, which is not released"
# kernels = "Transformers 5.22.0 takes none from 0.18 on"
# ///

# %% [markdown]
# # EETQ: int8 weights, one scale for each output
#
# Loads one model with int8 weights, generates, measures it against bf16, saves and reloads it. It needs an NVIDIA GPU, and
# fetches its kernel from the Hub.
#
# When to take EETQ at all: [the method's page](../docs/methods/eetq.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
device = show_environment("transformers", "accelerate", "kernels", needs="cuda")

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
# ## int8 while loading
#
# The weight is stored transposed, and each of its columns, so each output, has a scale in fp16. Activations stay in 16 bit.
# The rest of the model is loaded in fp16, which Transformers suggests and in which the layer keeps its scales. Loading fetches
# the kernel; rounding runs on the CPU, one layer after the other.

# %%
from transformers import EetqConfig

with stopwatch() as load:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=EetqConfig("int8"),
        dtype=torch.float16,
        device_map="cuda",
    )
    # --8<-- [end:load]

# %% tags=["check"]
from transformers.integrations.eetq import EetqLinear

row = weigh("int8 weights, by output", 8, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, EetqLinear) and layer.weight.dtype == torch.int8 for layer in layers)
shapes = [tuple(baseline.get_submodule(name).weight.shape) for name in linears]
assert all(tuple(layer.weight.shape) == shape[::-1] for layer, shape in zip(layers, shapes, strict=True))
assert all(layer.weight_scales.numel() == shape[0] for layer, shape in zip(layers, shapes, strict=True))
assert row["linear_ratio"] > 1.9

# %% [markdown]
# ## Save and reload

# %%
# --8<-- [start:save-reload]
model.save_pretrained("qwen3-eetq")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-eetq", device_map="cuda")
# --8<-- [end:save-reload]
tokens = generated(model, prompt)
print(tokenizer.decode(tokens[0]))
row |= {"saved_bytes": weight_files_bytes("qwen3-eetq"), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
assert row["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in 16 bit, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
row |= quality(model, baseline, windows) | speed(model, baseline, prompt)
MeasureTable([row]).show()

# %% [markdown]
# What must hold on any model: it is not bf16 in disguise, and not far from it.

# %%
assert row["kl"] > 0 and abs(row["loss_difference"]) < 0.05
