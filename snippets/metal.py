# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
# ]
#
# [tool.guide]
# method = "metal"
# needs = "cpu"
# minutes = 10
# not_pasted = {load = "it asks for Apple's GPU"}
# models = ["Qwen/Qwen3-0.6B"]
# only_faults = true
# ///

# %% [markdown]
# # Metal: what happens without Apple's GPU
#
# Metal quantization computes on Apple's GPU alone, through the package `kernels`, and no such machine ran this notebook. It
# shows what other machines do with it, and measures nothing. The cell below "Quantize while loading" is the one for a Mac.
#
# What Metal is, and what to take instead: [the method's page](../docs/methods/metal.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "kernels", needs="cpu")

# %% [markdown]
# ## Quantize while loading
#
# Without Apple's GPU this is refused, as it should be.

# %%
import torch
from transformers import AutoModelForCausalLM, MetalConfig

try:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=MetalConfig(bits=4, group_size=64),
        dtype=torch.bfloat16,
        device_map="mps",
    )
    # --8<-- [end:load]
    print(type(model.model.layers[0].mlp.up_proj), model.model.layers[0].mlp.up_proj.weight.dtype)
except (ImportError, RuntimeError) as error:
    assert not torch.backends.mps.is_available() or isinstance(error, ImportError)
    print(f"{type(error).__name__}: {error}")

# %% [markdown]
# ## What goes wrong
#
# ### A checkpoint becomes bf16
#
# The checkpoint is written here with Transformers' own rounding, which runs anywhere: 4 bit, groups of 64. Loaded without
# Apple's GPU it is unpacked, with one line in the log.

# %% tags=["trap:metal-no-hardware"]
import json
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, MetalConfig
from transformers.integrations.metal_quantization import MetalQuantize

config = MetalConfig(bits=4, group_size=64)
rounding = MetalQuantize(SimpleNamespace(quantization_config=config))
plain = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16)
tensors = {}
for name, tensor in plain.state_dict().items():
    if name != "lm_head.weight":
        tensors |= rounding.convert({name: [tensor]}) if name.endswith("_proj.weight") else {name: tensor}
Path("metal-4-bit").mkdir(exist_ok=True)
save_file(tensors, "metal-4-bit/model.safetensors", metadata={"format": "pt"})
settings = plain.config.to_dict() | {"quantization_config": config.to_dict()}
Path("metal-4-bit/config.json").write_text(json.dumps(settings))

elsewhere = "mps" if torch.backends.mps.is_available() else "auto"
model = AutoModelForCausalLM.from_pretrained("metal-4-bit", dtype=torch.bfloat16, device_map=elsewhere)
layer = model.model.layers[0].mlp.up_proj
print(f"in the file {tensors['model.layers.0.mlp.up_proj.weight'].dtype}, in the model {layer.weight.dtype}, {type(layer)}")
print(f"file {sum(t.nbytes for t in tensors.values()):,} bytes, model {model.get_memory_footprint():,} bytes")
if elsewhere == "mps":
    print("Apple's GPU is here, so the checkpoint stays packed.")
else:
    known_fault(layer.weight.dtype == torch.bfloat16 and type(layer) is torch.nn.Linear, "transformers")

# %% [markdown]
# ### Without a device map the load fails
#
# The quantizer puts the model on Apple's GPU when no device is named, also after it has said that it will unpack the model for
# want of that GPU.

# %% tags=["trap:metal-device-map"]
import json
from pathlib import Path
from types import SimpleNamespace

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, MetalConfig
from transformers.integrations.metal_quantization import MetalQuantize

config = MetalConfig(bits=4, group_size=64)
rounding = MetalQuantize(SimpleNamespace(quantization_config=config))
plain = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16)
tensors = {}
for name, tensor in plain.state_dict().items():
    if name != "lm_head.weight":
        tensors |= rounding.convert({name: [tensor]}) if name.endswith("_proj.weight") else {name: tensor}
Path("metal-unmapped").mkdir(exist_ok=True)
save_file(tensors, "metal-unmapped/model.safetensors", metadata={"format": "pt"})
settings = plain.config.to_dict() | {"quantization_config": config.to_dict()}
Path("metal-unmapped/config.json").write_text(json.dumps(settings))

raised = None
try:
    AutoModelForCausalLM.from_pretrained("metal-unmapped", dtype=torch.bfloat16)
except RuntimeError as error:
    raised = error
print(f"raised: {raised!r}")
if torch.backends.mps.is_available():
    print("Apple's GPU is here, so the model is put there.")
else:
    known_fault(raised is not None, "transformers")

# %% [markdown]
# ### Asking to dequantize a bf16 model quantizes nothing
#
# The argument is for checkpoints. A bf16 model stays what it is, and its configuration says "metal".

# %% tags=["trap:metal-dequantize"]
import torch
from transformers import AutoModelForCausalLM, MetalConfig

MODEL = "Qwen/Qwen3-0.6B"
config = MetalConfig(bits=4, dequantize=True)
plain = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
model = AutoModelForCausalLM.from_pretrained(MODEL, quantization_config=config, dtype=torch.bfloat16, device_map="auto")
same = all(torch.equal(one, other) for one, other in zip(plain.parameters(), model.parameters(), strict=True))
print("every weight equals bf16's:", same)
print("the configuration says:", model.config.quantization_config.quant_method.value)
known_fault(same, "transformers")
