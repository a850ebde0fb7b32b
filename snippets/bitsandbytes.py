# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "bitsandbytes==0.50.2",
# ]
#
# [tool.guide]
# method = "bitsandbytes"
# needs = "cpu"
# minutes = 15
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
#
# [tool.guide.swap]
# "load_in_8bit=True" = "load_in_4bit=True"
# "load_in_4bit=True" = "load_in_8bit=True"
#
# [tool.guide.weigh]
# shapes = ["fast"]
# ///

# %% [markdown]
# # bitsandbytes: 8 and 4 bit while loading
#
# Loads one model in bf16 and with three bitsandbytes variants, int8, nf4 and nf4 with double quantization; generates
# with each, measures each against bf16, saves and reloads each. At the end it shows three things that go wrong without
# an error. It runs on a CPU, on any NVIDIA GPU and on Colab's free T4.
#
# When to take bitsandbytes at all: [the method's page](../docs/methods/bitsandbytes.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "bitsandbytes", needs="cpu")

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
# ## int8
#
# LLM.int8(): weights in int8 with one scale a row; activations are quantized on the fly, and the columns whose
# activations exceed the threshold (6.0) are computed in 16 bit.

# %%
import logging

import bitsandbytes as bnb
from transformers import BitsAndBytesConfig

# bitsandbytes logs one line a layer and token: its int8 kernels work in fp16, so bf16 activations are cast.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

with stopwatch() as int8_load:
    # --8<-- [start:int8]
    int8 = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=BitsAndBytesConfig(load_in_8bit=True),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:int8]

# %% tags=["check"]
int8_row = weigh("int8", 8, int8, baseline, int8_load)
assert all(isinstance(int8.get_submodule(name), bnb.nn.Linear8bitLt) for name in linears)
assert all(int8.get_submodule(name).weight.dtype == torch.int8 for name in linears)
assert int8_row["linear_ratio"] > 1.9

# %% [markdown]
# Save, reload, compare.

# %%
# --8<-- [start:save-reload]
int8.save_pretrained("qwen3-int8")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-int8", device_map="auto")
# --8<-- [end:save-reload]
tokens = generated(int8, prompt)
print(tokenizer.decode(tokens[0]))
int8_row |= {"saved_bytes": weight_files_bytes("qwen3-int8"), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
assert int8_row["reload_equal"]

# %% [markdown]
# ## nf4
#
# 4-bit normal float: blocks of 64 weights, each with one scale. `bnb_4bit_compute_dtype` is what the weights are
# unpacked to for the matrix product; left out, it is float32.

# %%
with stopwatch() as nf4_load:
    # --8<-- [start:nf4]
    nf4 = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
        ),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:nf4]

# %% tags=["check"]
nf4_row = weigh("nf4", 4, nf4, baseline, nf4_load)
nf4_layers = [nf4.get_submodule(name) for name in linears]
assert all(isinstance(layer, bnb.nn.Linear4bit) for layer in nf4_layers)
assert all(layer.weight.quant_type == "nf4" and layer.compute_dtype == torch.bfloat16 for layer in nf4_layers)
assert not any(layer.weight.quant_state.nested for layer in nf4_layers)
assert nf4_row["linear_ratio"] > 3.5

# %% [markdown]
# Save **before** the first forward pass. On a CPU with AVX512-bf16 that pass repacks the 4-bit weights in place, and what
# is saved afterwards is damaged; the last part of this notebook shows it.

# %%
# --8<-- [start:save-reload-nf4]
nf4.save_pretrained("qwen3-nf4")  # before the first forward pass
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-nf4", device_map="auto")
# --8<-- [end:save-reload-nf4]
tokens = generated(nf4, prompt)
print(tokenizer.decode(tokens[0]))
nf4_row |= {"saved_bytes": weight_files_bytes("qwen3-nf4"), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
assert nf4_row["reload_equal"]
assert reloaded.config.quantization_config.bnb_4bit_quant_type == "nf4"

# %% [markdown]
# ## nf4 with double quantization
#
# The scales are quantized as well: one float32 for 64 weights, 32 / 64 = 0.5 bits a weight, becomes one 8-bit value for
# 64 weights and one float32 for 256 of those, 8 / 64 + 32 / (64 x 256) = 0.127 bits a weight.

# %%
with stopwatch() as double_load:
    # --8<-- [start:nf4-double]
    double = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_use_double_quant=True,
        ),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:nf4-double]

# %% tags=["check"]
double_row = weigh("nf4, double quantization", 4, double, baseline, double_load)
double_layers = [double.get_submodule(name) for name in linears]
assert all(isinstance(layer, bnb.nn.Linear4bit) and layer.weight.quant_type == "nf4" for layer in double_layers)
assert all(layer.weight.quant_state.nested for layer in double_layers)
assert double_row["linear_ratio"] > nf4_row["linear_ratio"]

# %%
double.save_pretrained("qwen3-nf4-double")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-nf4-double", device_map="auto")
tokens = generated(double, prompt)
print(tokenizer.decode(tokens[0]))
double_row |= {
    "saved_bytes": weight_files_bytes("qwen3-nf4-double"),
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
}
assert double_row["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
rows = []
for row, model in ((int8_row, int8), (nf4_row, nf4), (double_row, double)):
    rows.append(row | quality(model, baseline, windows) | speed(model, baseline, prompt))
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: no variant is bf16 in disguise, 8 bit is closer to bf16 than 4 bit, and 4 bit costs less
# than a third of a nat.

# %%
assert all(row["kl"] > 0 for row in rows)
assert rows[0]["kl"] < rows[1]["kl"] and abs(rows[0]["loss_difference"]) < 0.05
assert all(row["loss_difference"] < 0.33 for row in rows)

# %% [markdown]
# ## What goes wrong without an error
#
# Each cell stands alone, shows a fault happen, and will fail on the day it is mended.
#
# ### The memory footprint leaves the scales of nf4 out
#
# `get_memory_footprint` adds up parameters and buffers. The scales of a 4-bit weight are neither, so it shows the same
# figure with double quantization and without.

# %% tags=["trap:nf4-footprint"]
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

footprints = []
for double_quantization in (False, True):
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=double_quantization)
    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", quantization_config=config, device_map="auto")
    states = [getattr(parameter, "quant_state", None) for parameter in model.parameters()]
    scales = sum(state.absmax.nbytes for state in states if state)
    footprints.append(model.get_memory_footprint())
    print(f"double quantization {double_quantization}: footprint {footprints[-1]:,} bytes, scales {scales:,} bytes")
known_fault(footprints[0] == footprints[1], "bitsandbytes", "transformers")

# %% [markdown]
# ### A configuration without a load flag loads 4-bit fp4
#
# The code below asks for neither 8 bit nor 4 bit. It gets fp4, whose quality is below nf4's.

# %% tags=["trap:no-load-flag"]
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

config = BitsAndBytesConfig(llm_int8_skip_modules=["lm_head"])
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", quantization_config=config, device_map="auto")
layer = model.get_submodule("model.layers.0.mlp.up_proj")
print(type(layer).__name__, getattr(layer.weight, "quant_type", "not quantized"))
known_fault(getattr(layer.weight, "quant_type", None) == "fp4", "transformers")

# %% [markdown]
# ### nf4 saved after a forward pass is damaged
#
# On a CPU with AVX512-bf16, `Linear4bit.forward` repacks the weight in place: it transposes the scales and rounds them to
# bf16. Saving undoes the packing of the weights, but without double quantization it leaves the scales transposed, and
# each block of the reloaded model gets another block's scale. On other machines the two files agree.

# %% tags=["trap:nf4-saved-late"]
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", quantization_config=config, device_map="auto")
text = "def read_config(path):\n    with open(path) as file:\n        return json.load(file)\n"
ids = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")(text, return_tensors="pt").input_ids.to(model.device)
model.save_pretrained("nf4-before-forward")
with torch.no_grad():
    loss = {"never saved": model(input_ids=ids, labels=ids).loss.item()}
    model.save_pretrained("nf4-after-forward")
    for folder in ("nf4-before-forward", "nf4-after-forward"):
        saved = AutoModelForCausalLM.from_pretrained(folder, device_map="auto")
        loss[folder] = saved(input_ids=ids, labels=ids).loss.item()
for folder, value in loss.items():
    print(f"{folder}: loss {value:.4f}")
if model.get_submodule("model.layers.0.mlp.up_proj").support_avx512bf16_for_cpu:
    known_fault(abs(loss["nf4-after-forward"] - loss["nf4-before-forward"]) > 0.01, "bitsandbytes", "transformers")
else:
    print("This machine does not repack: its kernels need AVX512-bf16 on a CPU.")
