# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "optimum==2.3.0",
#   "gptqmodel==7.6.0",
#   "auto-round==0.16.1",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# method = "awq"
# needs = "cpu"
# minutes = 30
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# colab_restart = ["numpy"]
# checkpoints = {"Qwen/Qwen3-4B-AWQ" = "awq"}
# control = """
# import auto_round
# import gptqmodel
# from transformers import AutoModelForCausalLM
#
#
# class PlainModel:
#     def __init__(self, model, *_, **__):
#         self.model = model if hasattr(model, "save_pretrained") else AutoModelForCausalLM.from_pretrained(model)
#
#     def quantize(self, *_, **__):
#         pass
#
#     def save(self, folder):
#         self.model.save_pretrained(folder)
#
#     def quantize_and_save(self, folder, **_):
#         self.save(folder)
#         return self.model, folder
#
#
# gptqmodel.GPTQModel.load = PlainModel
# auto_round.AutoRound = PlainModel
# """
#
# [tool.guide.swap] # AWQ's format has 4 bit alone, so the groups are swapped
# "group_size=128" = "group_size=64"
#
# [tool.guide.weigh]
# before = """
# import os
# import torch
# os.environ["GPTQMODEL_CPU_WORKERS"] = "2"
# torch._dynamo.config.disable = True
#
#
# def calibration_texts(*_):
#     return tokenizer.batch_decode(ids.view(4, 256))
# """
# saves = {4-bit = "qwen3-awq"}
# proven = true
#
# [tool.guide.weigh.remarks."small mixture, 4 experts"]
# 4-bit = """\
# GPTQModel quantized the experts too; loaded by Transformers in a process of its own they are reported as missing and newly \
# initialized in bf16, so the model is of no use"""
# ///

# %% [markdown]
# # AWQ: make a 4-bit checkpoint, load one
#
# Makes an AWQ checkpoint with GPTQModel, calibrated with texts that the evaluation does not see, loads it with Transformers,
# measures it against bf16, saves and reloads it. Then it has AutoRound write a checkpoint in the same format.
#
# When to take AWQ at all: [the method's page](../docs/methods/awq.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.calibration import calibration_texts

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.adapters import adapter_losses

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "optimum", "gptqmodel", "auto-round", "peft", needs="cpu")

# %% [markdown]
# ## The model in bf16, the texts
#
# Everything below is compared with this model, on text that calibrates nothing.

# %%
import logging
from contextlib import redirect_stdout
from io import StringIO

import torch
from auto_round import SignRoundConfig
from logbar import LogBar
from transformers import AutoModelForCausalLM, AutoTokenizer

LogBar.shared().setLevel("ERROR")  # the libraries report every layer
logging.getLogger("autoround").setLevel(logging.ERROR)
if device.type == "cpu":
    torch._dynamo.config.disable = True  # GPTQModel compiles the unpacking of every layer, which takes minutes on a CPU

MODEL = "Qwen/Qwen3-0.6B"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
baseline = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
all_windows = evaluation_windows(tokenizer, count=68)
windows = all_windows[:64]
linears = decoder_linears(baseline)
prompt = tokenizer("def read_config(path):\n", return_tensors="pt").input_ids
print(tokenizer.decode(generated(baseline, prompt)[0]))

# %% [markdown]
# ## Make one with GPTQModel
#
# AWQ scales up the columns of a weight that meet large activations before it rounds, so that they lose less, and scales the
# activations down to match. It searches the scale of each layer with the calibration texts. Transformers cannot make such a
# checkpoint, and AutoAWQ, which guides name, is no longer developed.

# %%
with stopwatch() as making, redirect_stdout(StringIO()):  # saving prints every file
    # --8<-- [start:make]
    import os

    os.environ["GPTQMODEL_CPU_WORKERS"] = "2"  # on two cores GPTQModel 7.6.0 counts one, and raises ValueError

    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
    from huggingface_hub import snapshot_download

    texts = calibration_texts()
    texts = calibration_texts(32, 1_000)  # cut down for the proof
    maker = GPTQModel.load(
        snapshot_download("Qwen/Qwen3-0.6B"),
        QuantizeConfig(bits=4, group_size=128, method="awq", format="gemm"),
        dtype=torch.bfloat16,
        device=device.type,
    )
    maker.quantize(texts, batch_size=1, backend=BACKEND.AWQ_TORCH if device.type == "cpu" else BACKEND.AUTO)
    maker.save("qwen3-awq")
    # --8<-- [end:make]
print(f"made in {making.seconds:.0f} s")

# %% [markdown]
# It loads like any checkpoint, with no configuration. On an NVIDIA GPU Transformers casts to float16.

# %%
with stopwatch() as load:
    model = AutoModelForCausalLM.from_pretrained("qwen3-awq", dtype=torch.bfloat16, device_map="auto")

# %% tags=["check"]
from gptqmodel.nn_modules.qlinear import AWQuantLinear

row = weigh("4 bit, by GPTQModel", 4, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, AWQuantLinear) and layer.bits == 4 and layer.group_size == 128 for layer in layers)
assert row["linear_ratio"] > 3.4

# %% [markdown]
# ## Make one with AutoRound
#
# AutoRound tunes the rounding of each weight instead of scaling columns, and can store the result in AWQ's format. That is its
# method in AWQ's clothes; its own page is [AutoRound](../docs/methods/autoround.md).

# %%
with stopwatch() as making:
    # --8<-- [start:make-autoround]
    from auto_round import AutoRound

    texts = calibration_texts()
    texts = calibration_texts(32, 1_500)  # cut down for the proof
    plain = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
    quantizer = AutoRound(
        plain,
        tokenizer,
        scheme="W4A16",
        group_size=128,
        dataset=texts,
        nsamples=32,  # cut down for the proof
        seqlen=256,  # cut down for the proof
        alg_configs=SignRoundConfig(iters=20),  # cut down for the proof
        enable_torch_compile=False,  # cut down for the proof
    )
    _, folder = quantizer.quantize_and_save("qwen3-auto-round", format="auto_awq")
    # --8<-- [end:make-autoround]
print(f"made in {making.seconds:.0f} s")
with stopwatch() as load:
    exported = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, device_map="auto")

# %% tags=["check"]
row_exported = weigh("4 bit, AutoRound in AWQ's format", 4, exported, baseline, load)
layers = [exported.get_submodule(name) for name in linears]
assert all(isinstance(layer, AWQuantLinear) and layer.bits == 4 and layer.group_size == 128 for layer in layers)
assert row_exported["linear_ratio"] > 3.4

# %% [markdown]
# ## Save and reload
#
# Before the first forward pass: on a CPU the layers repack themselves then, as the last part shows.

# %%
# --8<-- [start:save-reload]
model.save_pretrained("qwen3-awq-again")
tokenizer.save_pretrained("qwen3-awq-again")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-awq-again", dtype=torch.bfloat16, device_map="auto")
# --8<-- [end:save-reload]
exported.save_pretrained("qwen3-auto-round-again")
reloaded_export = AutoModelForCausalLM.from_pretrained("qwen3-auto-round-again", dtype=torch.bfloat16, device_map="auto")
tokens = generated(model, prompt)
print(tokenizer.decode(tokens[0]))
row |= {
    "saved_bytes": weight_files_bytes("qwen3-awq-again"),
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
}
row_exported |= {
    "saved_bytes": weight_files_bytes("qwen3-auto-round-again"),
    "reload_equal": torch.equal(generated(exported, prompt), generated(reloaded_export, prompt)),
}
assert row["reload_equal"] and row_exported["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's. The load time is that of the finished checkpoint; making it took the time printed above.

# %% tags=["measures"]
rows = [
    row | quality(model, baseline, windows) | speed(model, baseline, prompt),
    row_exported | quality(exported, baseline, windows) | speed(exported, baseline, prompt),
]
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: neither is bf16 in disguise, and neither is far from it.

# %%
assert all(row["kl"] > 0 and row["loss_difference"] < 0.33 for row in rows)

# %% [markdown]
# ## Load a checkpoint that others made

# %%
# --8<-- [start:load]
ready = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-4B-AWQ", dtype=torch.bfloat16, device_map="auto")
# --8<-- [end:load]
print(tokenizer.decode(generated(ready, prompt)[0]))
assert any(isinstance(module, AWQuantLinear) for module in ready.modules()) and not decoder_linears(ready)

# %% [markdown]
# ## Fine-tune
#
# LoRA was tried above a model that has not run yet: ten steps above the 4-bit weights, on one batch.

# %%
fresh = AutoModelForCausalLM.from_pretrained("qwen3-awq", dtype=torch.bfloat16, device_map="auto")
losses = adapter_losses(fresh, all_windows[64:68])
print(f"loss {losses[0]:.4f} at the first step, {losses[-1]:.4f} at the tenth")
assert losses[-1] < losses[0]

# %% [markdown]
# ## What goes wrong
#
# ### A model that was used cannot be saved
#
# On a CPU the first forward pass repacks each layer in place, into a layout of other shapes. Saved then, the checkpoint says
# "awq" and holds that layout.

# %% tags=["trap:awq-saved-late"]
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

torch._dynamo.config.disable = True
ids = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")("def read_config(path):", return_tensors="pt").input_ids
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-4B-AWQ", dtype=torch.bfloat16, device_map="cpu")
with torch.no_grad():
    model(input_ids=ids)
model.save_pretrained("saved-late")
try:
    AutoModelForCausalLM.from_pretrained("saved-late", dtype=torch.bfloat16, device_map="cpu")
    raised = False
except RuntimeError as error:
    raised = True
    print(str(error)[:110])
known_fault(raised, "transformers", "gptqmodel")

# %% [markdown]
# ### Arguments that no longer exist are swallowed
#
# Guides name `do_fuse` and `fuse_max_seq_len` for fused, faster modules. Transformers 5.23.0 has no such code; the
# configuration takes any name without a word.

# %% tags=["trap:awq-fuse-swallowed"]
from transformers import AwqConfig

config = AwqConfig(bits=4, **{"do_fuse": True, "fuse_max_seq_len": 512})
print("do_fuse in the configuration:", "do_fuse" in config.to_dict())
known_fault("do_fuse" not in config.to_dict(), "transformers")
