# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
# ]
#
# [tool.guide]
# method = "mxfp4"
# needs = "cpu"
# minutes = 10
# not_pasted = {dequantize = "the notebook makes its folder", save-unpacked = "the notebook makes its folder"}
# models = ["Qwen/Qwen3-0.6B"]
# colab_gpu = "T4"
# only_faults = true
# ///

# %% [markdown]
# # MXFP4 without its kernels: what you get instead
#
# MXFP4 needs a GPU, Triton and the package `kernels`. Where one is missing, Transformers unpacks the checkpoint to bf16. This
# notebook shows that, and what goes wrong on the way. It measures nothing: its gpt-oss model has two small layers with random
# weights, rounded to MXFP4 by the few lines of the cell, since nothing in Transformers 5.23.0 writes the format on a CPU.
#
# When to take MXFP4 at all: [the method's page](../docs/methods/mxfp4.md). On the right GPU:
# [the other notebook](mxfp4.ipynb).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", needs="cpu")

# %% [markdown]
# ## Without the kernels a checkpoint becomes bf16
#
# Two lines in the log say so, and the first names only the first thing that is missing. The experts take 3.76 times the memory
# of their files: 16 bits a weight instead of 4 bits and a byte for 32 of them.

# %% tags=["trap:mxfp4-no-kernels"]
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GptOssConfig, GptOssForCausalLM
from transformers.utils import is_kernels_available


def packed(weight):
    """MXFP4 of expert weights (experts, inputs, outputs): codes, two to a byte, and an exponent for 32 inputs."""
    blocks = weight.float().transpose(1, 2).unflatten(-1, (-1, 32))
    exponents = torch.ceil(torch.log2(blocks.abs().amax(-1) / 6))
    scaled = blocks / torch.exp2(exponents)[..., None]
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    codes = (scaled.abs()[..., None] - values).abs().argmin(-1) + 8 * (scaled < 0)
    return (codes[..., 0::2] | codes[..., 1::2] << 4).to(torch.uint8), (exponents + 127).to(torch.uint8)


torch.manual_seed(0)
sizes = {"num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 128, "num_local_experts": 4, "vocab_size": 512}
heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "num_experts_per_tok": 2}
GptOssForCausalLM(GptOssConfig(**sizes, **heads)).to(torch.bfloat16).save_pretrained("gpt-oss-mxfp4")
tensors = {}
for name, tensor in load_file("gpt-oss-mxfp4/model.safetensors").items():
    if name.endswith("_proj"):
        tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = packed(tensor)
    else:
        tensors[name] = tensor
save_file(tensors, "gpt-oss-mxfp4/model.safetensors", metadata={"format": "pt"})
config = Path("gpt-oss-mxfp4/config.json")
config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": {"quant_method": "mxfp4"}}))

model = AutoModelForCausalLM.from_pretrained("gpt-oss-mxfp4", dtype=torch.bfloat16, device_map="auto")
weights = [layer.mlp.experts.gate_up_proj for layer in model.model.layers]
weights += [layer.mlp.experts.down_proj for layer in model.model.layers]
if torch.cuda.is_available() and is_kernels_available():
    print("This machine has the kernels, so the checkpoint stays as it is.")
else:
    files = sum(tensor.nbytes for name, tensor in tensors.items() if name.endswith(("_blocks", "_scales")))
    memory = sum(weight.nbytes for weight in weights)
    print(f"experts in {weights[0].dtype}: {files:,} bytes in the file, {memory:,} in memory, {memory / files:.2f} times")
    known_fault(all(weight.dtype == torch.bfloat16 for weight in weights) and memory > 3.5 * files, "transformers")

# %% [markdown]
# ## Saving the unpacked model loses its experts
#
# By default saving turns back to the names that the checkpoint had, but not to its format: the bf16 experts are written under
# the names of packed ones. The next load does not know these names, and fills the experts with random numbers.
# `save_original_format=False` saves what is in memory.

# %% tags=["trap:mxfp4-saved-unpacked"]
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GptOssConfig, GptOssForCausalLM, Mxfp4Config


def packed(weight):
    """MXFP4 of expert weights (experts, inputs, outputs): codes, two to a byte, and an exponent for 32 inputs."""
    blocks = weight.float().transpose(1, 2).unflatten(-1, (-1, 32))
    exponents = torch.ceil(torch.log2(blocks.abs().amax(-1) / 6))
    scaled = blocks / torch.exp2(exponents)[..., None]
    values = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    codes = (scaled.abs()[..., None] - values).abs().argmin(-1) + 8 * (scaled < 0)
    return (codes[..., 0::2] | codes[..., 1::2] << 4).to(torch.uint8), (exponents + 127).to(torch.uint8)


torch.manual_seed(0)
sizes = {"num_hidden_layers": 2, "hidden_size": 128, "intermediate_size": 128, "num_local_experts": 4, "vocab_size": 512}
heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "num_experts_per_tok": 2}
GptOssForCausalLM(GptOssConfig(**sizes, **heads)).to(torch.bfloat16).save_pretrained("gpt-oss-mxfp4")
tensors = {}
for name, tensor in load_file("gpt-oss-mxfp4/model.safetensors").items():
    if name.endswith("_proj"):
        tensors[f"{name}_blocks"], tensors[f"{name}_scales"] = packed(tensor)
    else:
        tensors[name] = tensor
save_file(tensors, "gpt-oss-mxfp4/model.safetensors", metadata={"format": "pt"})
config = Path("gpt-oss-mxfp4/config.json")
config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": {"quant_method": "mxfp4"}}))

# --8<-- [start:dequantize]
model = AutoModelForCausalLM.from_pretrained(
    "gpt-oss-mxfp4",
    quantization_config=Mxfp4Config(dequantize=True),
    dtype=torch.bfloat16,
    device_map="auto",
)
# --8<-- [end:dequantize]
model.save_pretrained("unpacked-by-default")
written = load_file("unpacked-by-default/model.safetensors")["model.layers.0.mlp.experts.down_proj_blocks"]
print("written as down_proj_blocks:", written.dtype, tuple(written.shape))
# --8<-- [start:save-unpacked]
model.save_pretrained("unpacked", save_original_format=False)
reloaded = AutoModelForCausalLM.from_pretrained("unpacked", device_map="auto")
# --8<-- [end:save-unpacked]
lost = AutoModelForCausalLM.from_pretrained("unpacked-by-default", device_map="auto")
before, right, wrong = (m.model.layers[0].mlp.experts.down_proj for m in (model, reloaded, lost))
print("with save_original_format=False the experts are the same:", torch.equal(before, right))
print("by default the experts are the same:", torch.equal(before, wrong))
known_fault(torch.equal(before, right) and not torch.equal(before, wrong), "transformers")

# %% [markdown]
# ## A bf16 model stays bf16 when it is told to dequantize
#
# The argument is meant for checkpoints in MXFP4. With any other it loads the model as it is, without a warning, and its
# configuration says "mxfp4".

# %% tags=["trap:mxfp4-dequantize"]
import torch
from transformers import AutoModelForCausalLM, Mxfp4Config

MODEL = "Qwen/Qwen3-0.6B"
config = Mxfp4Config(dequantize=True)
plain = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
model = AutoModelForCausalLM.from_pretrained(MODEL, quantization_config=config, dtype=torch.bfloat16, device_map="auto")
same = all(torch.equal(one, other) for one, other in zip(plain.parameters(), model.parameters(), strict=True))
print("every weight equals bf16's:", same)
print("the configuration says:", model.config.quantization_config.quant_method.value)
known_fault(same, "transformers")

# %% [markdown]
# ## Any model but gpt-oss stays as it is
#
# `replace_with_mxfp4_linear` looks for the expert layers of gpt-oss alone. With any other model it converts nothing and
# leaves one line in the log. Before it looks, it fetches the kernels; in this cell a stub takes their place, so that it runs
# without them.

# %% tags=["trap:mxfp4-other-model"]
from unittest import mock

import torch
from transformers import AutoModelForCausalLM, Mxfp4Config
from transformers.integrations.mxfp4 import replace_with_mxfp4_linear

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
before = {name: type(module) for name, module in model.named_modules()}
with mock.patch("transformers.integrations.hub_kernels.get_kernel"):
    model = replace_with_mxfp4_linear(model, quantization_config=Mxfp4Config())
after = {name: type(module) for name, module in model.named_modules()}
linears = sum(kind is torch.nn.Linear for kind in after.values())
print(f"{linears} linear layers, {sum(before[name] is not after[name] for name in before)} modules converted")
known_fault(before == after, "transformers")
