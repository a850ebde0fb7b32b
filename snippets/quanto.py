# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "optimum-quanto==0.2.7",
# ]
#
# [tool.guide]
# method = "quanto"
# needs = "cpu"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
#
# [tool.guide.swap]
# 'QuantoConfig(weights="int8")' = 'QuantoConfig(weights="int4")'
# 'QuantoConfig(weights="float8")' = 'QuantoConfig(weights="int4")'
# 'QuantoConfig(weights="int4")' = 'QuantoConfig(weights="int8")'
# 'QuantoConfig(weights="int2")' = 'QuantoConfig(weights="int8")'
#
# [tool.guide.weigh]
# shapes = ["fast"]
#
# [tool.guide.weigh.notes."SmolLM2-135M, 2 layers"]
# int2 = "576 inputs are no multiple of 128; quanto takes groups of 96"
# ///

# %% [markdown]
# # optimum-quanto: int8, float8, int4 and int2 while loading
#
# Loads one model in bf16 and at four widths, generates with each, measures each against bf16. Transformers cannot save what
# it quantized with quanto; the library itself can, and this notebook saves and reloads each width that way. At the end it
# shows what goes wrong.
#
# When to take quanto at all: [the method's page](../docs/methods/quanto.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "optimum-quanto", needs="cpu")

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
# One scale a row. Products of bf16 activations run in PyTorch's own int8 kernel on a CPU.

# %%
from optimum.quanto import QLinear, WeightQBitsTensor, WeightQBytesTensor, qfloat8, qint2, qint4, qint8
from transformers import QuantoConfig

with stopwatch() as int8_load:
    # --8<-- [start:int8]
    int8 = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=QuantoConfig(weights="int8"),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:int8]

# %% tags=["check"]
int8_row = weigh("int8", 8, int8, baseline, int8_load)
int8_layers = [int8.get_submodule(name) for name in linears]
assert all(isinstance(layer, QLinear) and isinstance(layer.weight, WeightQBytesTensor) for layer in int8_layers)
assert all(layer.weight.qtype == qint8 for layer in int8_layers)
assert int8_row["linear_ratio"] > 1.9

# %% [markdown]
# ## float8
#
# e4m3 values, one scale a row, unpacked before each product.

# %%
with stopwatch() as float8_load:
    # --8<-- [start:float8]
    float8 = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=QuantoConfig(weights="float8"),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:float8]

# %% tags=["check"]
float8_row = weigh("float8", 8, float8, baseline, float8_load)
float8_layers = [float8.get_submodule(name) for name in linears]
assert all(isinstance(layer, QLinear) and isinstance(layer.weight, WeightQBytesTensor) for layer in float8_layers)
assert all(layer.weight.qtype == qfloat8 for layer in float8_layers)
assert float8_row["linear_ratio"] > 1.9

# %% [markdown]
# ## int4
#
# Groups of 128 weights with a scale and a shift each.

# %%
with stopwatch() as int4_load:
    # --8<-- [start:int4]
    int4 = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=QuantoConfig(weights="int4"),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:int4]

# %% tags=["check"]
int4_row = weigh("int4", 4, int4, baseline, int4_load)
int4_layers = [int4.get_submodule(name) for name in linears]
assert all(isinstance(layer, QLinear) and isinstance(layer.weight, WeightQBitsTensor) for layer in int4_layers)
assert all(layer.weight.qtype == qint4 for layer in int4_layers)
assert int4_row["linear_ratio"] > 3.5

# %% [markdown]
# ## int2
#
# The same at 2 bits. Its unpacking is a C++ or CUDA extension that the first forward pass compiles, which takes about a
# minute and needs a compiler.

# %%
with stopwatch() as int2_load:
    # --8<-- [start:int2]
    int2 = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=QuantoConfig(weights="int2"),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:int2]

# %% tags=["check"]
int2_row = weigh("int2", 2, int2, baseline, int2_load)
int2_layers = [int2.get_submodule(name) for name in linears]
assert all(isinstance(layer, QLinear) and isinstance(layer.weight, WeightQBitsTensor) for layer in int2_layers)
assert all(layer.weight.qtype == qint2 for layer in int2_layers)
assert int2_row["linear_ratio"] > 6

# %% [markdown]
# ## Save and reload
#
# `int4.save_pretrained(...)` raises: Transformers counts quanto's models as not serializable. The library quantizes a bf16
# model to the same weights, saves them, and reads them back.

# %%
try:
    int4.save_pretrained("qwen3-int4")
except ValueError as error:
    print(str(error)[:65])
else:
    raise AssertionError("Transformers saves quanto's models now: update the page.")

# %%
# --8<-- [start:save-reload]
from optimum.quanto import QuantizedModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
QuantizedModelForCausalLM.quantize(model, weights=qint4, exclude="lm_head").save_pretrained("qwen3-int4")
reloaded = QuantizedModelForCausalLM.from_pretrained("qwen3-int4").to(model.device)
# --8<-- [end:save-reload]
tokens = generated(int4, prompt)
print(tokenizer.decode(tokens[0]))
int4_row |= {"saved_bytes": weight_files_bytes("qwen3-int4"), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
assert int4_row["reload_equal"]

# %% [markdown]
# The other widths the same way. On a CPU the reloaded int8 weights are copied first: the file is mapped into memory as it
# lies, and PyTorch's int8 kernel crashes on weights that do not start at a multiple of 16 bytes. The last part shows it.

# %%
for row, model, width in ((int8_row, int8, qint8), (float8_row, float8, qfloat8), (int2_row, int2, qint2)):
    folder = f"qwen3-{row['variant']}"
    plain = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
    QuantizedModelForCausalLM.quantize(plain, weights=width, exclude="lm_head").save_pretrained(folder)
    reloaded = QuantizedModelForCausalLM.from_pretrained(folder).to(model.device)
    for weight in reloaded.parameters():
        if isinstance(weight, WeightQBytesTensor) and weight.device.type == "cpu":
            weight._data = weight._data.clone()
    tokens = generated(model, prompt)
    print(f"{row['variant']}: {tokenizer.decode(tokens[0, prompt.shape[1] :])!r}")
    row |= {"saved_bytes": weight_files_bytes(folder), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
    assert row["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
rows = []
for row, model in ((int8_row, int8), (float8_row, float8), (int4_row, int4), (int2_row, int2)):
    rows.append(row | quality(model, baseline, windows) | speed(model, baseline, prompt))
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: no variant is bf16 in disguise, and fewer bits are farther from bf16.

# %%
assert all(row["kl"] > 0 for row in rows)
assert max(rows[0]["kl"], rows[1]["kl"]) < rows[2]["kl"] < rows[3]["kl"]
assert all(abs(row["loss_difference"]) < 0.05 for row in rows[:2]) and rows[2]["loss_difference"] < 0.33

# %% [markdown]
# ## What goes wrong
#
# Each cell stands alone, shows a fault happen, and will fail on the day it is mended.
#
# ### The memory footprint shows no saving at all
#
# A quanto weight reports the dtype and shape it stands for; `get_memory_footprint` computes from those.

# %% tags=["trap:quanto-footprint"]
import torch
from transformers import AutoModelForCausalLM, QuantoConfig

plain = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
config = QuantoConfig(weights="int4")
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
)
footprints = model.get_memory_footprint(), plain.get_memory_footprint()
print(f"footprint {footprints[0]:,} bytes at 4 bit, {footprints[1]:,} bytes in bf16")
known_fault(footprints[0] >= footprints[1], "optimum-quanto", "transformers")

# %% [markdown]
# ### Activations are accepted by the configuration and refused by the load
#
# `QuantoConfig` takes `activations`, and its documentation lists the values. Loading with one raises.

# %% tags=["trap:quanto-activations"]
from transformers import AutoModelForCausalLM, QuantoConfig

config = QuantoConfig(weights="int8", activations="int8")
try:
    AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", quantization_config=config, device_map="auto")
    refused = False
except ValueError as error:
    refused = "activations" in str(error)
    print(str(error)[:72])
known_fault(refused, "transformers")

# %% [markdown]
# ### Reloaded int8 weights crash the process on a CPU
#
# A safetensors file is mapped into memory, and its tensors start wherever they lie in the file. PyTorch's int8 kernel for
# the CPU crashes on four or more rows of activations when the weights do not start at a multiple of 16 bytes. The cell runs
# the kernel in a process of its own, eight bytes off.

# %% tags=["trap:int8-alignment"]
import subprocess
import sys

import torch

PROGRAM = """
import torch
buffer = torch.zeros(768 * 256 + 64, dtype=torch.int8)
weight = buffer[8 : 8 + 768 * 256].view(768, 256)
torch._weight_int8pack_mm(torch.ones(4, 256, dtype=torch.bfloat16), weight, torch.ones(768, dtype=torch.bfloat16))
"""
ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=False).returncode
print(f"The process ended with {ended}; -11 is a segmentation fault, 0 is a good end.")
if torch.backends.cpu.get_cpu_capability() == "AVX512":
    known_fault(ended == -11, "torch")
else:
    print("The kernel that crashes is the one for AVX512, which this machine does not have.")
