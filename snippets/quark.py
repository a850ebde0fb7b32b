# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "amd-quark==0.13",
# ]
#
# [tool.guide]
# method = "quark"
# needs = "cpu"
# minutes = 30
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# colab_unwanted = {torchao = "Quark imports from it what the torchao 0.10 that is there has not."}
# control = """
# import transformers
#
# _auto = transformers.AutoModelForCausalLM.from_pretrained.__func__
#
# def _load_unquantized(cls, name, **kwargs):
#     return _auto(cls, "Qwen/Qwen3-0.6B" if name.startswith("quark-w") else name, **kwargs)
#
# transformers.AutoModelForCausalLM.from_pretrained = classmethod(_load_unquantized)
# """
#
# [tool.guide.swap]
# 'from_pretrained("quark-w8a16"' = 'from_pretrained("quark-w4a16"'
# 'from_pretrained("quark-w8a8"' = 'from_pretrained("quark-w8a16"'
# 'from_pretrained("quark-w4a16"' = 'from_pretrained("quark-w8a8"'
# ///

# %% [markdown]
# # Quark: made by AMD's library, loaded by Transformers
#
# Quantizes one model three ways with the library amd-quark (int8 weights; int8 weights and activations; int4 weights), exports
# each, loads it with Transformers, generates, and measures each against bf16. At the end it shows what goes wrong.
#
# When to take Quark at all: [the method's page](../docs/methods/quark.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "amd-quark", needs="cpu")

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
# ## Quantize and export with the library
#
# The first import of `quark.torch` compiles C++ code, for which it needs a compiler and `ninja` on the path; loading a
# checkpoint imports it too. The library prints its whole configuration unless told otherwise before it is imported. None of
# these three needs calibration texts: weights are rounded as they are, activations get their scale at each call.

# %%
import os

os.environ["QUARK_LOG_LEVEL"] = "warning"

# --8<-- [start:make]
from quark.torch import ModelQuantizer, export_safetensors
from quark.torch.quantization.config.config import (
    Int4PerGroupSpec,
    Int8PerChannelSpec,
    Int8PerTensorSpec,
    QConfig,
    QLayerConfig,
)

int8 = Int8PerChannelSpec(ch_axis=0, symmetric=True).to_quantization_spec()  # a scale for each row of a weight


def make(folder, layers):
    """Quantize all linear layers but the output head, and write the checkpoint."""
    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
    quantizer = ModelQuantizer(QConfig(global_quant_config=layers, exclude=["lm_head"]))
    export_safetensors(quantizer.freeze(quantizer.quantize_model(model)), folder)


make("quark-w8a16", QLayerConfig(weight=int8))
# --8<-- [end:make]

# %%
int4 = Int4PerGroupSpec(ch_axis=1, group_size=128, symmetric=True).to_quantization_spec()
activations = Int8PerTensorSpec(
    observer_method="min_max", symmetric=True, scale_type="float", round_method="half_even", is_dynamic=True
).to_quantization_spec()

make("quark-w8a8", QLayerConfig(weight=int8, input_tensors=activations))
make("quark-w4a16", QLayerConfig(weight=int4))

# %% [markdown]
# ## int8 weights

# %%
with stopwatch() as load:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained("quark-w8a16", dtype=torch.bfloat16, device_map="auto")
    # --8<-- [end:load]

# %% tags=["check"]
from quark.torch.export.nn.modules.qparamslinear import QParamsLinear

rows = {}
rows["quark-w8a16"] = row = weigh("int8 weights, by row", 8, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, QParamsLinear) and layer.weight.dtype == torch.int8 for layer in layers)
assert all(layer.weight_quantizer.scale.numel() == layer.weight.shape[0] for layer in layers)
assert all(layer.input_quantizer is None for layer in layers)
assert 1.9 < row["linear_ratio"] < 2

# %%
print(tokenizer.decode(generated(model, prompt)[0]))
row |= quality(model, baseline, windows) | speed(model, baseline, prompt, new_tokens=8, repeats=3)

# %% [markdown]
# ## int8 weights and activations
#
# One scale for all activations that enter a layer in a call. They are rounded and turned back into bf16, and the product runs
# in bf16: what int8 arithmetic costs in quality is shown, not what it gains in speed.

# %%
with stopwatch() as load:
    model = AutoModelForCausalLM.from_pretrained("quark-w8a8", dtype=torch.bfloat16, device_map="auto")

# %% tags=["check"]
rows["quark-w8a8"] = row = weigh("int8 weights and activations", 8, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, QParamsLinear) and layer.weight.dtype == torch.int8 for layer in layers)
assert all(layer.input_quantizer is not None for layer in layers)
assert 1.9 < row["linear_ratio"] < 2

# %%
print(tokenizer.decode(generated(model, prompt)[0]))
row |= quality(model, baseline, windows) | speed(model, baseline, prompt, new_tokens=8, repeats=3)

# %% [markdown]
# ## int4 weights
#
# Groups of 128 weights share a scale; eight weights are packed into an int32.

# %%
with stopwatch() as load:
    model = AutoModelForCausalLM.from_pretrained("quark-w4a16", dtype=torch.bfloat16, device_map="auto")

# %% tags=["check"]
rows["quark-w4a16"] = row = weigh("int4 weights, groups of 128", 4, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, QParamsLinear) and layer.weight.dtype == torch.int32 for layer in layers)
assert 3.5 < row["linear_ratio"] < 4

# %%
print(tokenizer.decode(generated(model, prompt)[0]))
row |= quality(model, baseline, windows) | speed(model, baseline, prompt, new_tokens=8, repeats=3)

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. The
# sizes on disk are those of the exported files: what is loaded from them cannot be saved, as shown at the end.

# %% tags=["measures"]
for folder, row in rows.items():
    row |= {"saved_bytes": weight_files_bytes(folder), "reload_equal": False}
MeasureTable(list(rows.values())).show()

# %% [markdown]
# What must hold on any model: none is bf16 in disguise, int8 weights alone stay closest to it, and fewer bits take less room.

# %%
assert 0 < rows["quark-w8a16"]["kl"] < min(rows["quark-w8a8"]["kl"], rows["quark-w4a16"]["kl"])
assert rows["quark-w4a16"]["saved_bytes"] < rows["quark-w8a16"]["saved_bytes"]

# %% [markdown]
# ## What goes wrong
#
# ### The configuration swallows what it does not know
#
# `QuarkConfig` names none of its arguments, and takes any. What counts is nested in `global_quant_config`; what other methods
# take beside it is dropped.

# %% tags=["trap:quark-arguments"]
import os

os.environ["QUARK_LOG_LEVEL"] = "warning"

from quark.torch.quantization.config.config import Int8PerChannelSpec, QConfig, QLayerConfig
from transformers import QuarkConfig

weight = Int8PerChannelSpec(ch_axis=0, symmetric=True).to_quantization_spec()
settings = QConfig(global_quant_config=QLayerConfig(weight=weight), exclude=["lm_head"]).to_dict()
config = QuarkConfig(**settings, group_size=32, bits=4, modules_to_not_convert=["down_proj"])
kept = config.quant_config
for name in ("dtype", "group_size"):
    print(f"{name}: {getattr(kept.global_quant_config.weight, name)}")
print("exclude:", kept.exclude)
dropped = not any(hasattr(config, name) for name in ("group_size", "bits", "modules_to_not_convert"))
known_fault(dropped and kept.to_dict() == settings, "transformers", "amd-quark")

# %% [markdown]
# ### The output head is quantized unless it is excluded
#
# Many small models use one matrix as embeddings and as output head. Quark quantizes the head as a linear layer like any other,
# the embeddings stay in bf16, and the model then stores both.

# %% tags=["trap:quark-head"]
import os

os.environ["QUARK_LOG_LEVEL"] = "warning"

from pathlib import Path

import torch
from quark.torch import ModelQuantizer, export_safetensors
from quark.torch.quantization.config.config import Int8PerChannelSpec, QConfig, QLayerConfig
from transformers import AutoModelForCausalLM

weight = Int8PerChannelSpec(ch_axis=0, symmetric=True).to_quantization_spec()
sizes = {}
for exclude in (["lm_head"], []):
    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
    tied = model.config.tie_word_embeddings
    quantizer = ModelQuantizer(QConfig(global_quant_config=QLayerConfig(weight=weight), exclude=exclude))
    export_safetensors(quantizer.freeze(quantizer.quantize_model(model)), "exported")
    sizes[bool(exclude)] = Path("exported/model.safetensors").stat().st_size
print(f"head and embeddings are one matrix: {tied}")
print(f"{sizes[True]:,} bytes without the head, {sizes[False]:,} bytes with it")
known_fault(tied and sizes[False] > sizes[True], "amd-quark")

# %% [markdown]
# ### A loaded model cannot be saved

# %% tags=["trap:quark-save"]
import os

os.environ["QUARK_LOG_LEVEL"] = "warning"

import torch
from quark.torch import ModelQuantizer, export_safetensors
from quark.torch.quantization.config.config import Int8PerChannelSpec, QConfig, QLayerConfig
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
weight = Int8PerChannelSpec(ch_axis=0, symmetric=True).to_quantization_spec()
quantizer = ModelQuantizer(QConfig(global_quant_config=QLayerConfig(weight=weight), exclude=["lm_head"]))
export_safetensors(quantizer.freeze(quantizer.quantize_model(model)), "exported")
loaded = AutoModelForCausalLM.from_pretrained("exported", device_map="auto")
raised = None
try:
    loaded.save_pretrained("saved-again")
except ValueError as error:
    raised = str(error)
print("save_pretrained raised ValueError:", raised)
known_fault(raised is not None, "transformers", "amd-quark")
