# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
# ]
#
# [tool.guide]
# method = "bitnet"
# needs = "cpu"
# minutes = 20
# not_pasted = {load = "the notebook makes its folder", save-reload = "the notebook makes its folder"}
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# not_compared = """
# The model was not trained for weights of -1, 0 and 1, so its quality is that of noise. The storage is the format's."""
# control = """
# import transformers
#
# _auto = transformers.AutoModelForCausalLM.from_pretrained.__func__
#
# def _load_unquantized(cls, name, **kwargs):
#     return _auto(cls, "Qwen/Qwen3-0.6B" if name == "rounded-to-ternary" else name, **kwargs)
#
# transformers.AutoModelForCausalLM.from_pretrained = classmethod(_load_unquantized)
# """
# ///

# %% [markdown]
# # BitNet: weights of -1, 0 and 1
#
# Writes one model in the format of BitNet checkpoints, four weights to a byte, by rounding; loads it, generates, saves and
# reloads it. The model was never trained for such weights, so what it says is noise: the notebook shows the format, what it
# stores, and why nobody should round a model to it afterwards. At the end it shows what goes wrong.
#
# When to take BitNet at all: [the method's page](../docs/methods/bitnet.md).
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
# ## A checkpoint in this format
#
# A weight divided by the mean size of its matrix, rounded to -1, 0 or 1. `weight_scale` is the reciprocal of that mean: the
# layer `BitLinear` divides its output by it.

# %%
import json
from pathlib import Path

from safetensors.torch import save_file
from transformers.integrations.bitnet import pack_weights

tensors = {name: tensor.cpu().contiguous() for name, tensor in baseline.state_dict().items() if name != "lm_head.weight"}
for name in linears:
    weight = tensors[f"{name}.weight"].float()
    scale = 1 / weight.abs().mean()
    ternary = (weight * scale).round().clamp(-1, 1)
    tensors |= {f"{name}.weight": pack_weights(ternary), f"{name}.weight_scale": scale.reshape(1).bfloat16()}
Path("rounded-to-ternary").mkdir(exist_ok=True)
save_file(tensors, "rounded-to-ternary/model.safetensors", metadata={"format": "pt"})
settings = {"quant_method": "bitnet", "modules_to_not_convert": ["lm_head"]}
config = baseline.config.to_dict() | {"quantization_config": settings, "dtype": "bfloat16"}
Path("rounded-to-ternary/config.json").write_text(json.dumps(config))

# %% [markdown]
# ## Load

# %%
with stopwatch() as load:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained("rounded-to-ternary", dtype=torch.bfloat16, device_map="auto")
    # --8<-- [end:load]

# %% tags=["check"]
from transformers.integrations.bitnet import BitLinear, unpack_weights

row = weigh("ternary, packed four to a byte", 2, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, BitLinear) for layer in layers)
assert 7.5 < row["linear_ratio"] <= 8
assert all(set(unpack_weights(layer.weight, torch.float32).unique().tolist()) <= {-1, 0, 1} for layer in layers)

# %% [markdown]
# ## Save and reload

# %%
# --8<-- [start:save-reload]
model.save_pretrained("ternary-again")
reloaded = AutoModelForCausalLM.from_pretrained("ternary-again", device_map="auto")
# --8<-- [end:save-reload]
tokens = generated(model, prompt)
print(tokenizer.decode(tokens[0]))
row |= {
    "saved_bytes": weight_files_bytes("ternary-again"),
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
}
assert row["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# The quality of a model that was not trained for this. Activations are rounded to 8 bit, token by token, as in every BitNet
# model. Speed is that of unpacking at every forward pass, in PyTorch's own operations, compiled by `torch.compile` at the
# first one.

# %% tags=["measures"]
row |= quality(model, baseline, windows) | speed(model, baseline, prompt)
MeasureTable([row]).show()

# %% [markdown]
# What must hold of any model that was rounded to this afterwards: it is far from bf16.

# %%
assert row["kl"] > 1

# %% [markdown]
# ## What goes wrong
#
# ### The class that a configuration names decides what is stored
#
# A configuration that says `"linear_class": "autobitlinear"` has the same packed files unpacked while they are loaded, and the
# model computes with bf16 weights. A small model with random weights shows it.

# %% tags=["trap:bitnet-autobitlinear"]
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen3Config
from transformers.integrations.bitnet import pack_weights

shape = Qwen3Config(vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=1, num_attention_heads=4,
                    num_key_value_heads=4, head_dim=64, dtype="bfloat16")  # fmt: skip
torch.manual_seed(0)
plain = AutoModelForCausalLM.from_config(shape)
tensors = plain.state_dict()
for name in [name for name in tensors if name.endswith("_proj.weight")]:
    scale = 1 / tensors[name].float().abs().mean()
    ternary = (tensors[name].float() * scale).round().clamp(-1, 1)
    tensors |= {name: pack_weights(ternary), f"{name}_scale": scale.reshape(1).bfloat16()}
linear_bytes = {}
for linear_class in ("bitlinear", "autobitlinear"):
    folder = Path(f"packed-{linear_class}")
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {"quant_method": "bitnet", "linear_class": linear_class, "modules_to_not_convert": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps(plain.config.to_dict() | {"quantization_config": settings}))
    weights = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).model.layers.state_dict().items()
    linear_bytes[linear_class] = sum(weight.nbytes for name, weight in weights if name.endswith("_proj.weight"))
    print(f"{linear_class}: {linear_bytes[linear_class]:,} bytes of weights from the same files")
known_fault(linear_bytes["autobitlinear"] == 8 * linear_bytes["bitlinear"], "transformers")

# %% [markdown]
# ### The same scale means its reciprocal
#
# `BitLinear` divides by `weight_scale`, `AutoBitLinear` multiplies by it. Files that were written for the one load as the
# other without a word, and every layer is off by the square of its scale.

# %% tags=["trap:bitnet-scale"]
import torch
from transformers.integrations.bitnet import AutoBitLinear, BitLinear, pack_weights, unpack_weights

torch.manual_seed(0)
weight, x = torch.randn(256, 256) / 16, torch.randn(8, 256)
scale = 1 / weight.abs().mean()
packed = BitLinear(256, 256, bias=False, dtype=torch.float32)
packed.weight.copy_(pack_weights((weight * scale).round().clamp(-1, 1)))
packed.weight_scale.copy_(scale)
unpacked = AutoBitLinear(256, 256, bias=False, dtype=torch.float32)  # what the loader makes of the same two tensors
unpacked.weight.data = unpack_weights(packed.weight, dtype=torch.float32)
unpacked.weight_scale.copy_(packed.weight_scale)
with torch.no_grad():
    outputs = (torch.nn.functional.linear(x, weight), packed(x), unpacked(x))
sizes = [output.abs().mean().item() for output in outputs]
print("mean size of the output: {:.2f} before rounding, {:.2f} as BitLinear, {:.2f} as AutoBitLinear".format(*sizes))
known_fault(sizes[2] > 10 * sizes[1], "transformers")
