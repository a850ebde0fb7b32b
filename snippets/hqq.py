# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "hqq==0.2.8.post1",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# method = "hqq"
# needs = "cpu"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# colab_unwanted = {torchao = "PEFT raises ImportError beside the torchao 0.10 that is there, though nothing uses it."}
# control = """
# from hqq.models.hf.base import AutoHQQHFModel
# AutoHQQHFModel.quantize_model = classmethod(lambda cls, model, **_: model)
# """
#
# [tool.guide.swap]
# "nbits=4" = "nbits=8"
# "nbits=bits" = "nbits={8: 4, 3: 4, 2: 8, 1: 8}[bits]"
#
# [tool.guide.weigh]
# proven = true
# ///

# %% [markdown]
# # HQQ: 8, 4, 3, 2 and 1 bit without data
#
# Quantizes one model with the hqq library at five widths, generates with each, measures each against bf16, saves and
# reloads each. The library does it, not Transformers: `HqqConfig` raises in Transformers 5.23.0, as the end shows.
#
# When to take HQQ at all: [the method's page](../docs/methods/hqq.md).
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
device = show_environment("transformers", "accelerate", "hqq", "peft", needs="cpu")

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
# ## 4 bit
#
# Groups of 64 weights share a scale and a zero point. HQQ (half-quadratic quantization) finds the zero point that loses
# least, from the weights alone. `axis=1` groups along a row, which the fast kernels expect.

# %%
with stopwatch() as load_4:
    # --8<-- [start:load]
    from hqq.core.quantize import BaseQuantizeConfig
    from hqq.models.hf.base import AutoHQQHFModel

    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
    AutoHQQHFModel.quantize_model(
        model,
        quant_config=BaseQuantizeConfig(nbits=4, group_size=64, axis=1),
        compute_dtype=torch.bfloat16,
        device=model.device.type,
    )
    # --8<-- [end:load]

# %% tags=["check"]
from hqq.core.quantize import HQQLinear

row_4 = weigh("4 bit", 4, model, baseline, load_4)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, HQQLinear) and layer.meta["nbits"] == 4 for layer in layers)
assert all(layer.meta["group_size"] == 64 and layer.meta["axis"] == 1 for layer in layers)
assert row_4["linear_ratio"] > 3.4

# %% [markdown]
# ## 8, 3, 2 and 1 bit
#
# The same call with another `nbits`.

# %%
models, loads = {4: model}, {4: load_4}
for bits in (8, 3, 2, 1):
    with stopwatch() as loads[bits]:
        models[bits] = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
        AutoHQQHFModel.quantize_model(
            models[bits],
            quant_config=BaseQuantizeConfig(nbits=bits, group_size=64, axis=1),
            compute_dtype=torch.bfloat16,
            device=models[bits].device.type,
        )

# %% tags=["check"]
rows = {4: row_4}
for bits, least in ((8, 1.8), (3, 4.2), (2, 6), (1, 10)):
    rows[bits] = weigh(f"{bits} bit", bits, models[bits], baseline, loads[bits])
    layers = [models[bits].get_submodule(name) for name in linears]
    assert all(isinstance(layer, HQQLinear) and layer.meta["nbits"] == bits for layer in layers)
    assert rows[bits]["linear_ratio"] > least

# %% [markdown]
# ## Save and reload
#
# The library writes its own file, `qmodel.pt`; `save_pretrained` of Transformers does not know its layers.

# %%
# --8<-- [start:save-reload]
AutoHQQHFModel.save_quantized(model, "qwen3-hqq")
reloaded = AutoHQQHFModel.from_quantized("qwen3-hqq", compute_dtype=torch.bfloat16, device=model.device.type)
# --8<-- [end:save-reload]
print(tokenizer.decode(generated(reloaded, prompt)[0]))

# %%
for bits, model in models.items():
    folder = f"qwen3-hqq-{bits}"
    AutoHQQHFModel.save_quantized(model, folder)
    reloaded = AutoHQQHFModel.from_quantized(folder, compute_dtype=torch.bfloat16, device=model.device.type)
    tokens = generated(model, prompt)
    print(f"{bits} bit: {tokenizer.decode(tokens[0, prompt.shape[1] :])!r}")
    rows[bits]["saved_bytes"] = Path(folder, "qmodel.pt").stat().st_size
    rows[bits]["reload_equal"] = torch.equal(tokens, generated(reloaded, prompt))
    assert rows[bits]["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
rows = [
    rows[bits] | quality(models[bits], baseline, windows) | speed(models[bits], baseline, prompt) for bits in (8, 4, 3, 2, 1)
]
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: no variant is bf16 in disguise, and each width is farther from bf16 than the one above it.

# %%
kls = [row["kl"] for row in rows]
assert kls[0] > 0 and kls == sorted(kls)
assert abs(rows[0]["loss_difference"]) < 0.05 and rows[1]["loss_difference"] < 0.33

# %% [markdown]
# ## Fine-tune
#
# The library's flag says nothing of PEFT, so LoRA was tried: ten steps above the 4-bit weights, on one batch. "all-
# linear" does not find HQQ's layers, so the target modules are named.

# %%
losses = adapter_losses(models[4], evaluation_windows(tokenizer, count=68)[64:])
print(f"loss {losses[0]:.4f} at the first step, {losses[-1]:.4f} at the tenth")
assert losses[-1] < losses[0]

# %% [markdown]
# ## What goes wrong
#
# ### Transformers' own HQQ configuration raises
#
# `HqqConfig` is what guides recommend. Since Transformers 5 its quantizer does not say how to quantize a weight, and
# loading raises. With `device_map="auto"` on a machine without a GPU another error comes first, about the device map.

# %% tags=["trap:hqq-config"]
import torch
from transformers import AutoModelForCausalLM, HqqConfig

try:
    config = HqqConfig(nbits=4, group_size=64)
    AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16)
    raised = None
except NotImplementedError as error:
    raised = error
print(type(raised).__name__, str(raised)[:120])
known_fault(raised is not None, "transformers", "hqq")
