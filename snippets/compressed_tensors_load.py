# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "compressed-tensors==0.20.0",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# method = "compressed-tensors"
# needs = "cpu"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# colab_unwanted = {torchao = "PEFT raises ImportError beside the torchao 0.10 that is there, though nothing uses it."}
# not_compared = "The stand-ins of its checkpoints hold the same weights as two rows of the notebook compressed_tensors."
# control = """
# _auto = transformers.AutoModelForCausalLM.from_pretrained.__func__
#
# def _load_unquantized(cls, name, **kwargs):
#     return _auto(cls, "Qwen/Qwen3-0.6B" if name.startswith("RedHatAI/") else name, **kwargs)
#
# transformers.AutoModelForCausalLM.from_pretrained = classmethod(_load_unquantized)
# """
#
# [tool.guide.checkpoints]
# "RedHatAI/Qwen3-0.6B-quantized.w4a16" = "ct_w4a16"
# "RedHatAI/Qwen3-0.6B-FP8-dynamic" = "ct_fp8"
#
# [tool.guide.swap]
# "RedHatAI/Qwen3-0.6B-quantized.w4a16" = "RedHatAI/Qwen3-0.6B-FP8-dynamic"
# "RedHatAI/Qwen3-0.6B-FP8-dynamic" = "RedHatAI/Qwen3-0.6B-quantized.w4a16"
# ///

# %% [markdown]
# # compressed-tensors: loading ready checkpoints
#
# Loads two published checkpoints, one with 4-bit weights and one in float8, with Transformers 5.23.0 and compressed-tensors
# alone; generates with each, measures each against bf16, saves and reloads each. At the end it shows what goes wrong.
#
# [The other notebook](compressed_tensors.ipynb) makes such checkpoints. When to take compressed-tensors at all:
# [the method's page](../docs/methods/compressed-tensors.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.adapters import adapter_losses

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "compressed-tensors", "peft", needs="cpu")

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
# ## 4-bit weights
#
# The checkpoint says how it is quantized; no configuration is passed. The model is weighed before its first forward pass,
# which unpacks every weight to bf16.

# %%
with stopwatch() as w4a16_load:
    # --8<-- [start:load]
    w4a16 = AutoModelForCausalLM.from_pretrained("RedHatAI/Qwen3-0.6B-quantized.w4a16", device_map="auto")
    # --8<-- [end:load]


# %% tags=["check"]
def stored(model, part):
    """The dtypes in which the decoder linears store a part; None among them where one has no such part."""
    parts = [model.get_submodule(name).state_dict().get(part) for name in linears]
    return {None if part is None else part.dtype for part in parts}


w4a16_row = weigh("W4A16", 4, w4a16, baseline, w4a16_load)
assert stored(w4a16, "weight_packed") == {torch.int32} and stored(w4a16, "weight") == {None}
assert all(w4a16.get_submodule(name).quantization_scheme.weights.num_bits == 4 for name in linears)
assert w4a16_row["linear_ratio"] > 3.7

# %% [markdown]
# ## float8 weights and activations

# %%
with stopwatch() as fp8_load:
    fp8 = AutoModelForCausalLM.from_pretrained("RedHatAI/Qwen3-0.6B-FP8-dynamic", device_map="auto")

# %% tags=["check"]
fp8_row = weigh("FP8_DYNAMIC", 8, fp8, baseline, fp8_load)
assert stored(fp8, "weight") == {torch.float8_e4m3fn} and None not in stored(fp8, "weight_scale")
assert all(fp8.get_submodule(name).quantization_scheme.input_activations.type == "float" for name in linears)
assert fp8_row["linear_ratio"] > 1.9

# %% [markdown]
# ## Save and reload
#
# Before the first forward pass; what is saved after it is a bf16 file.

# %%
rows = []
for row, model in ((w4a16_row, w4a16), (fp8_row, fp8)):
    model.save_pretrained("qwen3-saved")
    reloaded = AutoModelForCausalLM.from_pretrained("qwen3-saved", device_map="auto")
    tokens = generated(model, prompt)
    print(f"{row['variant']}: {tokenizer.decode(tokens[0, prompt.shape[1] :])!r}")
    row |= {"saved_bytes": weight_files_bytes("qwen3-saved"), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
    assert row["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# The sizes are those before the first forward pass; quality and speed are those after it.

# %% tags=["measures"]
for row, model in ((w4a16_row, w4a16), (fp8_row, fp8)):
    rows.append(row | quality(model, baseline, windows) | speed(model, baseline, prompt))
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: no variant is bf16 in disguise, and 4 bit is farther from bf16 than 8 bit.

# %%
assert 0 < rows[1]["kl"] < rows[0]["kl"]

# %% [markdown]
# ## Fine-tune
#
# LoRA was tried above packed 4-bit layers: PEFT looks for their weights, which are stored under another name.

# %%
fresh = AutoModelForCausalLM.from_pretrained("RedHatAI/Qwen3-0.6B-quantized.w4a16", device_map="auto")
try:
    adapter_losses(fresh, evaluation_windows(tokenizer, count=68)[64:])
    refused = False
except AttributeError as error:
    refused = True
    print(f"{type(error).__name__}: {str(error)[:120]}")
assert refused, "PEFT takes these layers now: update the page"

# %% [markdown]
# ## What goes wrong
#
# Each cell stands alone, shows a fault happen, and will fail on the day it is mended.
#
# ### The first forward pass ends the saving
#
# A hook unpacks all weights before the first forward pass and leaves them unpacked. What is saved afterwards is a bf16 file.

# %% tags=["trap:first-forward"]
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

plain = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
model = AutoModelForCausalLM.from_pretrained("RedHatAI/Qwen3-0.6B-quantized.w4a16", device_map="auto")
model.save_pretrained("trap-before")
memory = {"loaded": model.get_memory_footprint()}
model(torch.tensor([[1, 2, 3]], device=model.device))
memory |= {"after one forward pass": model.get_memory_footprint(), "bf16": plain.get_memory_footprint()}
model.save_pretrained("trap-after")
files = [Path(folder, "model.safetensors").stat().st_size for folder in ("trap-before", "trap-after")]
print("memory:", ", ".join(f"{what} {size:,} bytes" for what, size in memory.items()))
print(f"file: saved before the pass {files[0]:,} bytes, after it {files[1]:,} bytes")
unpacked = memory["after one forward pass"] >= memory["bf16"] > memory["loaded"]
known_fault(unpacked and files[1] > 1.5 * files[0], "transformers", "compressed-tensors")

# %% [markdown]
# ### Unpacking at load gives another model
#
# Guides recommend `run_compressed=False`, and its successor `dequantize=True`, to run a checkpoint in bf16. The weights are
# unpacked at load, and the quantization of activations is dropped without a word: the model is neither the one that a server
# runs nor a quantized one.

# %% tags=["trap:run-compressed"]
import torch
from transformers import AutoModelForCausalLM, CompressedTensorsConfig

CHECKPOINT = "RedHatAI/Qwen3-0.6B-FP8-dynamic"
model = AutoModelForCausalLM.from_pretrained(CHECKPOINT, device_map="auto")
config = CompressedTensorsConfig(run_compressed=False)
unpacked = AutoModelForCausalLM.from_pretrained(CHECKPOINT, quantization_config=config, device_map="auto")
ids = torch.arange(100, 164, device=model.device)[None]
with torch.no_grad():
    apart = (model(ids).logits - unpacked(ids).logits).abs().max().item()
layers = [each.model.layers[0].self_attn.q_proj for each in (model, unpacked)]
print("a scheme for activations:", [hasattr(layer, "quantization_scheme") for layer in layers])
print(f"weights {layers[1].weight.dtype}, {unpacked.get_memory_footprint():,} bytes; logits up to {apart:.3f} apart")
known_fault(apart > 0 and not hasattr(layers[1], "quantization_scheme"), "transformers", "compressed-tensors")
