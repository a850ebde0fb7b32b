# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
# ]
#
# [tool.guide]
# method = "gemma"
# needs = "cpu"
# minutes = 20
# not_pasted = {load = "the notebook makes its folder"}
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# not_compared = "The weights were rounded by the few lines of this notebook, not trained for it as Google's checkpoints are."
# control = """
# import transformers
#
# _auto = transformers.AutoModelForCausalLM.from_pretrained.__func__
#
# def _load_unquantized(cls, name, **kwargs):
#     return _auto(cls, "Qwen/Qwen3-0.6B" if name.startswith("rounded-") else name, **kwargs)
#
# transformers.AutoModelForCausalLM.from_pretrained = classmethod(_load_unquantized)
# """
#
# [tool.guide.swap]
# "rounded-8-bit" = "rounded-4-bit"
# "rounded-4-bit" = "rounded-2-bit"
# "rounded-2-bit" = "rounded-8-bit"
#
# [tool.guide.weigh]
# before = """
# baseline = bf16_model()
# linears = decoder_linears(baseline)
# """
# cells = ["write_rounded"]
# proven = true
# ///

# %% [markdown]
# # Gemma's format: 8, 4 and 2 bit with one scale a row
#
# Writes one model in the format of quantized Gemma checkpoints, by plain rounding, loads it at 8, 4 and 2 bit, generates, and
# measures each against bf16. No published checkpoint was loaded: the format is shown, not Google's models. At the end it shows
# what goes wrong.
#
# When to take it at all: [the method's page](../docs/methods/gemma.md).
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
# A weight becomes an integer and each row has one scale; 4 and 2 bit are packed into bytes. Published checkpoints were trained
# with this rounding. Here it is done afterwards, to have files to load.

# %%
import json
from pathlib import Path

from safetensors.torch import save_file


def packed(integers, bits):
    """Signed integers (rows, columns), packed ``8 // bits`` to a byte, the first in the lowest bits."""
    if bits == 8:
        return integers.to(torch.int8)
    shifted = (integers + 2 ** (bits - 1)).to(torch.uint8).reshape(len(integers), -1, 8 // bits)
    return sum(shifted[..., i] << bits * i for i in range(8 // bits))


def write_rounded(folder, bits, ranges=True):
    """Write the bf16 model with its decoder's linear layers in ``bits``."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in baseline.state_dict().items() if name != "lm_head.weight"}
    highest = 2 ** (bits - 1) - 1
    for name in linears:
        weight = tensors[f"{name}.weight"].float()
        scale = weight.abs().amax(1, keepdim=True) / max(highest, 1)
        integers = (weight / scale).round().clamp(-highest - 1, highest)
        tensors |= {f"{name}.weight": packed(integers, bits), f"{name}.weight_scale": scale}
        if ranges:  # 0 stands for: leave activations as they are
            tensors |= {f"{name}.{side}_activation_scale": torch.tensor(0.0) for side in ("input", "output")}
    Path(folder).mkdir(exist_ok=True)
    save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
    settings = {"quant_method": "gemma", "num_bits": bits, "modules_to_not_convert": ["lm_head"]}
    config = baseline.config.to_dict() | {"quantization_config": settings, "dtype": "bfloat16"}
    Path(folder, "config.json").write_text(json.dumps(config))


for width in (8, 4, 2):
    write_rounded(f"rounded-{width}-bit", width)

# %% [markdown]
# ## 8 bit

# %%
with stopwatch() as load:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained("rounded-8-bit", dtype=torch.bfloat16, device_map="auto")
    # --8<-- [end:load]

# %% tags=["check"]
from transformers.integrations.gemma_quant import QuantizedLinear

rows = {}
rows[8] = weigh("8 bit, by row", 8, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, QuantizedLinear) and layer.num_bits == 8 for layer in layers)
assert 1.9 < rows[8]["linear_ratio"] < 2

# %%
print(tokenizer.decode(generated(model, prompt)[0]))
rows[8] |= quality(model, baseline, windows) | speed(model, baseline, prompt)

# %% [markdown]
# ## 4 bit

# %%
with stopwatch() as load:
    model = AutoModelForCausalLM.from_pretrained("rounded-4-bit", dtype=torch.bfloat16, device_map="auto")

# %% tags=["check"]
rows[4] = weigh("4 bit, by row", 4, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, QuantizedLinear) and layer.num_bits == 4 for layer in layers)
assert 3.5 < rows[4]["linear_ratio"] < 4

# %%
print(tokenizer.decode(generated(model, prompt)[0]))
rows[4] |= quality(model, baseline, windows) | speed(model, baseline, prompt)

# %% [markdown]
# ## 2 bit

# %%
with stopwatch() as load:
    model = AutoModelForCausalLM.from_pretrained("rounded-2-bit", dtype=torch.bfloat16, device_map="auto")

# %% tags=["check"]
rows[2] = weigh("2 bit, by row", 2, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, QuantizedLinear) and layer.num_bits == 2 for layer in layers)
assert 6.5 < rows[2]["linear_ratio"] < 8

# %%
print(tokenizer.decode(generated(model, prompt)[0]))
rows[2] |= quality(model, baseline, windows) | speed(model, baseline, prompt)

# %% [markdown]
# ## Measured against bf16
#
# The sizes on disk are those of the files written above: what is loaded from them cannot be saved, as shown at the end.

# %% tags=["measures"]
for bits, row in rows.items():
    row |= {"saved_bytes": weight_files_bytes(f"rounded-{bits}-bit"), "reload_equal": False}
MeasureTable(list(rows.values())).show()

# %% [markdown]
# What must hold on any model: fewer bits, further from bf16.

# %%
assert 0 < rows[8]["kl"] < rows[4]["kl"] < rows[2]["kl"]

# %% [markdown]
# ## What goes wrong
#
# ### Ranges that a checkpoint leaves out
#
# The source of Transformers 5.23.0 says that a range of 0 leaves activations as they are, and creates each range as 0. Loading
# a checkpoint without them reports them as missing and fills them with whatever stood in memory, which differs from run to run
# and may by chance be 0. So this cell only prints them.

# %%
write_rounded("rounded-without-ranges", 8, ranges=False)
careless = AutoModelForCausalLM.from_pretrained("rounded-without-ranges", dtype=torch.bfloat16)
found = [careless.get_submodule(name).output_activation_scale.item() for name in linears]
print(sum(value != 0 for value in found), "of", len(found), "ranges are not 0; the first are", found[:4])

# %% [markdown]
# ### A loaded model cannot be saved
#
# The quantizer says that it can be. But it says so with a property, which `save_pretrained` calls like a method.

# %% tags=["trap:gemma-save"]
import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16).save_pretrained("marked-gemma")
config = Path("marked-gemma/config.json")  # marked as a checkpoint in this format, with no layer converted
settings = {"quant_method": "gemma", "modules_to_not_convert": ["model", "lm_head"]}
config.write_text(json.dumps(json.loads(config.read_text()) | {"quantization_config": settings}))
model = AutoModelForCausalLM.from_pretrained("marked-gemma")
print("is_serializable:", model.hf_quantizer.is_serializable)
raised = None
try:
    model.save_pretrained("saved-again")
except TypeError as error:
    raised = str(error)
print("save_pretrained raised TypeError:", raised)
known_fault(raised is not None, "transformers")
