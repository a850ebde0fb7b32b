# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
# ]
#
# [tool.guide]
# method = "fp8"
# needs = "cpu"
# minutes = 15
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# checkpoints = {"Qwen/Qwen3-0.6B-FP8" = "fp8"}
# colab_gpu = "T4"
# not_compared = """
# The weights were unpacked to bf16: the figures are those of their rounding to FP8, with activations in bf16."""
# control = """
# from transformers import AutoModelForCausalLM
#
# _from_pretrained = AutoModelForCausalLM.from_pretrained
# AutoModelForCausalLM.from_pretrained = lambda name, **arguments: _from_pretrained(name.removesuffix("-FP8"), **arguments)
# """
# ///

# %% [markdown]
# # FP8 without the hardware: what you get instead
#
# Fine-grained FP8 runs on GPUs of compute capability 8.9 and up. This notebook loads an FP8 checkpoint without one:
# Transformers unpacks it to bf16, which saves no memory and keeps the rounding. It measures that rounding, and shows
# what goes wrong on the way.
#
# When to take FP8 at all: [the method's page](../docs/methods/fp8.md). On the right GPU: [the other notebook](fp8.ipynb).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", needs="cpu")

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
# ## An FP8 checkpoint, unpacked
#
# `dequantize=True` asks for bf16 weights. On hardware without FP8 Transformers does the same unasked.

# %%
from transformers import FineGrainedFP8Config

with stopwatch() as load:
    # --8<-- [start:dequantize]
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B-FP8",
        quantization_config=FineGrainedFP8Config(dequantize=True),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:dequantize]

# %% [markdown]
# An e4m3 number has 253 different finite values, so no block of 128 x 128 weights that share a scale
# holds more different ones. The layers are plain linear layers, as large as bf16's.

# %% tags=["check"]
row = weigh("FP8 checkpoint, unpacked to bf16", 8, model, baseline, load)
weights = [model.get_submodule(name).weight for name in linears]
assert all(type(model.get_submodule(name)) is torch.nn.Linear and weight.dtype == torch.bfloat16
           for name, weight in zip(linears, weights, strict=True))  # fmt: skip
blocks = [weight[:128, :128] for weight in weights]
assert max(block.unique().numel() for block in blocks) <= 253
assert row["linear_ratio"] == 1

# %% [markdown]
# ## Save and reload
#
# `save_original_format=False` saves the bf16 weights that are in memory. What the default does stands at the end.

# %%
# --8<-- [start:save-unpacked]
model.save_pretrained("qwen3-unpacked", save_original_format=False)
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-unpacked", device_map="auto")
# --8<-- [end:save-unpacked]
tokens = generated(model, prompt)
print(tokenizer.decode(tokens[0]))
row |= {
    "saved_bytes": weight_files_bytes("qwen3-unpacked"),
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
}
assert row["reload_equal"]

# %% [markdown]
# ## Measured against bf16

# %% tags=["measures"]
row |= quality(model, baseline, windows) | speed(model, baseline, prompt)
MeasureTable([row]).show()

# %% [markdown]
# What must hold on any model: the rounding is there, and it is small.

# %%
assert row["kl"] > 0 and abs(row["loss_difference"]) < 0.05

# %% [markdown]
# ## What goes wrong
#
# ### A bf16 model stays bf16 when it is told to dequantize
#
# The argument is meant for checkpoints that are FP8 already. With a bf16 model it loads that model as it is, without a
# warning, and its configuration says "fp8".

# %% tags=["trap:fp8-dequantize"]
import torch
from transformers import AutoModelForCausalLM, FineGrainedFP8Config

MODEL = "Qwen/Qwen3-0.6B"
config = FineGrainedFP8Config(dequantize=True)
plain = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
model = AutoModelForCausalLM.from_pretrained(MODEL, quantization_config=config, dtype=torch.bfloat16, device_map="auto")
same = all(torch.equal(one, other) for one, other in zip(plain.parameters(), model.parameters(), strict=True))
print("every weight equals bf16's:", same)
print("the configuration says:", model.config.quantization_config.quant_method.value)
known_fault(same, "transformers")

# %% [markdown]
# ### Without the hardware an FP8 checkpoint becomes bf16
#
# One line in the log says so. The model takes twice the memory of its files.

# %% tags=["trap:fp8-no-hardware"]
import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B-FP8", dtype=torch.bfloat16, device_map="auto")
types = {weight.dtype for name, weight in model.named_parameters() if "_proj" in name}
print("weights of the linear layers:", types)
if torch.cuda.is_available() and torch.cuda.get_device_capability() >= (8, 9):
    print("This GPU has FP8, so the checkpoint stays as it is.")
else:
    known_fault(types == {torch.bfloat16}, "transformers")

# %% [markdown]
# ### Saving the unpacked model destroys it
#
# By default saving writes the format that the checkpoint had: FP8 weights and their scales, now of the embeddings too. But the
# unpacked model's configuration no longer says "fp8", so the next load reads the FP8 numbers as weights and drops the scales.

# %% tags=["trap:fp8-saved-unpacked"]
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, FineGrainedFP8Config

ids = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")("import os\nimport sys\n\n" * 8, return_tensors="pt").input_ids
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B-FP8",
    quantization_config=FineGrainedFP8Config(dequantize=True),
    dtype=torch.bfloat16,
    device_map="auto",
)
model.save_pretrained("saved-unpacked")
again = AutoModelForCausalLM.from_pretrained("saved-unpacked", device_map="auto")
with torch.no_grad():
    before, after = (m(input_ids=ids.to(m.device), labels=ids.to(m.device)).loss.item() for m in (model, again))
print(f"loss {before:.2f} before, {after:.2f} after; configuration: {getattr(again.config, 'quantization_config', None)}")
known_fault(after > before + 1, "transformers")
