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
# method = "nvfp4"
# needs = "cuda>=10.0"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
#
# [tool.guide.held]
# transformers = "5.23.0 and newer ask for kernels from 0.18.2 on, which is not released"
# kernels = "Transformers 5.22.0 takes none from 0.18 on"
# ///

# %% [markdown]
# # NVFP4: 4-bit floats on one Blackwell GPU
#
# Loads one model with its linear layers in NVFP4, generates, and measures it against bf16. It needs an NVIDIA GPU of compute
# capability 10.0 or more: B200, RTX 5090, RTX PRO 6000 Blackwell and later. The kernel comes from the Hub, through the package
# `kernels`. The last part shows what goes wrong.
#
# When to take NVFP4 at all: [the method's page](../docs/methods/nvfp4.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "kernels", needs="cuda>=10.0")

# %% [markdown]
# ## The model in bf16
#
# Everything below is compared with this one.

# %%
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = "Qwen/Qwen3-0.6B"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
baseline = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="cuda")
windows = evaluation_windows(tokenizer)
linears = decoder_linears(baseline)
prompt = tokenizer("def read_config(path):\n", return_tensors="pt").input_ids
print(tokenizer.decode(generated(baseline, prompt)[0]))

# %% [markdown]
# ## NVFP4 while loading
#
# 16 weights share a scale in e4m3, and each layer has one scale in fp32. The scales are stored twice, in the order that each
# of the two kernels reads: a prompt's product rounds activations to 4 bit too, a single token's keeps them in 16 bit. The
# device must be named: `device_map="auto"` raises ValueError.

# %%
from transformers import NVFP4Config

with stopwatch() as load:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B", quantization_config=NVFP4Config(), dtype=torch.bfloat16, device_map="cuda"
    )
    # --8<-- [end:load]

# %% tags=["check"]
from transformers.integrations.nvfp4 import NVFP4Linear

row = weigh("NVFP4", 4, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, NVFP4Linear) for layer in layers)
assert all(layer.weight.nbytes * 2 == layer.in_features * layer.out_features for layer in layers)
assert all(layer.weight_sf_rowmajor.shape[1] * 16 == layer.in_features for layer in layers)
assert row["linear_ratio"] > 3

# %%
print(tokenizer.decode(generated(model, prompt)[0]))

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's. Nothing can be saved, so nothing is reloaded, and the size on disk is 0.

# %% tags=["measures"]
row |= {"saved_bytes": 0, "reload_equal": False}
row |= quality(model, baseline, windows) | speed(model, baseline, prompt)
MeasureTable([row]).show()

# %% [markdown]
# What must hold on any model: it is not bf16 in disguise, and costs less than half a nat.

# %%
assert row["kl"] > 0 and row["loss_difference"] < 0.5

# %% [markdown]
# ## What goes wrong
#
# ### Saving is refused, by a TypeError
#
# The quantizer says that a model cannot be saved. It says so with a property, which `save_pretrained` calls like a method,
# so that the message is not the one written for this. The cell gives a bf16 model the quantizer that loading would, so that it
# runs without a Blackwell GPU.

# %%
import torch
from transformers import AutoModelForCausalLM, NVFP4Config
from transformers.quantizers.quantizer_nvfp4 import NVFP4HfQuantizer

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16)
model.hf_quantizer = NVFP4HfQuantizer(NVFP4Config(), pre_quantized=False)
raised = None
try:
    model.save_pretrained("qwen3-nvfp4")
except TypeError as error:
    raised = str(error)
print("save_pretrained raised TypeError:", raised)
known_fault(raised is not None, "transformers")

# %% [markdown]
# ### Layers with a bias stay in bf16
#
# Only linear layers without a bias are converted, and nothing in the log says which were left. Of Qwen2's seven linear
# layers in a block, three have one. The cell counts on a model without weights, with a stub in the kernel's place.

# %%
from unittest import mock

import torch
from transformers import AutoModelForCausalLM, Qwen2Config
from transformers.integrations import nvfp4

with torch.device("meta"):
    model = AutoModelForCausalLM.from_config(Qwen2Config(num_hidden_layers=1))
    with mock.patch.object(nvfp4, "load_nvfp4_kernel") as kernel:
        kernel().swizzled_sf_shape = lambda rows, columns: (rows, columns // 64)
        nvfp4.replace_with_nvfp4_linear(model, ["lm_head"])
block = {name.rpartition(".")[2]: type(module).__name__ for name, module in model.named_modules() if name.endswith("_proj")}
print(block)
left = [name for name, kind in block.items() if kind == "Linear"]
known_fault(left == ["q_proj", "k_proj", "v_proj"], "transformers")
