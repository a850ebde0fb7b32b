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
# method = "mxfp4"
# needs = "cuda>=7.5"
# minutes = 60
# models = []
# texts = ["ggml-org/ci"]
# checkpoints = {"openai/gpt-oss-20b" = "mxfp4_gpt_oss"}
# not_compared = """
# bf16 here is the same checkpoint, unpacked, since gpt-oss is published in MXFP4 alone: the figures are those of the kernels,
# not of the rounding."""
# control = """
# from transformers import Mxfp4Config
#
# def _load_unpacked(cls, *args, **kwargs):
#     return _load(cls, *args, **kwargs | {"quantization_config": Mxfp4Config(dequantize=True)})
#
# transformers.PreTrainedModel.from_pretrained = classmethod(_load_unpacked)
# """
#
# [tool.guide.held]
# transformers = "5.23.0 and newer ask for kernels from 0.18.2 on, which is not released"
# kernels = "Transformers 5.22.0 takes none from 0.18 on"
# ///

# %% [markdown]
# # MXFP4: gpt-oss as it is published
#
# Loads gpt-oss-20b with its experts in 4 bit, generates, measures it against the same weights unpacked to bf16, saves and
# reloads it. MXFP4 needs an NVIDIA GPU of compute capability 7.5 or more; the comparison needs one with 80 GB, since both
# models are in its memory. The kernels come from the Hub, through the package `kernels`.
#
# When to take MXFP4 at all: [the method's page](../docs/methods/mxfp4.md). Without such a GPU:
# [what you get instead](mxfp4_fallback.ipynb).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
device = show_environment("transformers", "accelerate", "kernels", needs="cuda>=7.5")

# %% [markdown]
# ## The model in bf16
#
# Everything below is compared with this one: the checkpoint, unpacked.

# %%
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Mxfp4Config

MODEL = "openai/gpt-oss-20b"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
baseline = AutoModelForCausalLM.from_pretrained(
    MODEL, quantization_config=Mxfp4Config(dequantize=True), dtype=torch.bfloat16, device_map="cuda"
)
windows = evaluation_windows(tokenizer)
prompt = tokenizer("def read_config(path):\n", return_tensors="pt").input_ids
print(tokenizer.decode(generated(baseline, prompt)[0]))

# %% [markdown]
# ## The checkpoint, packed
#
# No argument is needed. 32 weights share a scale, a power of 2. Only the experts are in 4 bit: attention, router and
# embeddings are published in bf16.

# %%
with stopwatch() as load:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained("openai/gpt-oss-20b", dtype=torch.bfloat16, device_map="cuda")
    # --8<-- [end:load]

# %% [markdown]
# The kernels keep codes and scales in objects of their own, which `stored_bytes` does not know; they are counted here. In
# the table *decoder linears* stands for the experts.

# %% tags=["check"]
from transformers.integrations.mxfp4 import Mxfp4GptOssExperts
from transformers.models.gpt_oss.modeling_gpt_oss import GptOssExperts

names = [name for name, module in baseline.named_modules() if isinstance(module, GptOssExperts)]
experts = [model.get_submodule(name) for name in names]
assert names and all(isinstance(layer, Mxfp4GptOssExperts) for layer in experts)
packed = []
for layer in experts:
    for weight, settings in (
        (layer.gate_up_proj, layer.gate_up_proj_precision_config),
        (layer.down_proj, layer.down_proj_precision_config),
    ):
        packed += [weight.storage.data, settings.weight_scale.storage.data]
assert all(tensor.dtype == torch.uint8 for tensor in packed)
in_kernels = sum(tensor.untyped_storage().nbytes() for tensor in packed)
row = weigh("MXFP4, experts packed", 4, model, baseline, load)
row["quantized_bytes"] += in_kernels
row["ratio"] = row["baseline_bytes"] / row["quantized_bytes"]
row["linear_ratio"] = stored_bytes(baseline, names) / (stored_bytes(model, names) + in_kernels)
assert row["linear_ratio"] > 3.5

# %% [markdown]
# ## Save and reload

# %%
# --8<-- [start:save-reload]
model.save_pretrained("gpt-oss-packed")
reloaded = AutoModelForCausalLM.from_pretrained("gpt-oss-packed", device_map="cuda")
# --8<-- [end:save-reload]
tokens = generated(model, prompt)
print(tokenizer.decode(tokens[0]))
row |= {
    "saved_bytes": weight_files_bytes("gpt-oss-packed"),
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
}
assert row["reload_equal"]
del reloaded

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included.

# %% tags=["measures"]
row |= quality(model, baseline, windows) | speed(model, baseline, prompt)
MeasureTable([row]).show()

# %% [markdown]
# What must hold: packed and unpacked are the same weights, so that the loss moves by no more than arithmetic does.

# %%
assert abs(row["loss_difference"]) < 0.02
