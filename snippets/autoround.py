# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "auto-round==0.16.1",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# method = "autoround"
# needs = "cpu"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# colab_unwanted = {torchao = "PEFT raises ImportError beside the torchao 0.10 that is there, though nothing uses it."}
# control = """
# import auto_round
#
#
# class SavesPlain:
#     def __init__(self, model, tokenizer, scheme, **_):
#         self.model, self.name = model, f"Qwen3-0.6B-w{scheme[1]}g128"
#
#     def quantize_and_save(self, folder, format):
#         self.model.save_pretrained(f"{folder}/{self.name}")
#         return self.model, f"{folder}/{self.name}"
#
#
# auto_round.AutoRound = SavesPlain
# """
#
# [tool.guide.swap]
# 'scheme="W4A16"' = 'scheme="W2A16"'
# 'scheme="W2A16"' = 'scheme="W4A16"'
# "Qwen3-0.6B-w4g128" = "Qwen3-0.6B-w2g128"
#
# [tool.guide.weigh]
# before = """
# from auto_round import SignRoundConfig
#
#
# def calibration_texts(*_):
#     return tokenizer.batch_decode(ids.view(4, 256))
# """
# edits = {"iters=20" = "iters=1", "nsamples=64" = "nsamples=4", "seqlen=256" = "seqlen=128"}
# saves = {4-bit = "qwen3-auto-round/*w4g128", 2-bit = "qwen3-auto-round/*w2g128"}
# proven = true
# ///

# %% [markdown]
# # AutoRound: 4 and 2 bit, tuned on texts
#
# Quantizes one model at two widths with the auto-round library, loads each with Transformers, generates, saves and reloads,
# and measures each against bf16. Then it rounds the same model without tuning, to show what the tuning is worth.
#
# When to take AutoRound at all: [the method's page](../docs/methods/autoround.md).
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
device = show_environment("transformers", "accelerate", "auto-round", "peft", needs="cpu")

# %% [markdown]
# ## The model in bf16, and the texts
#
# Everything below is compared with this model, on text that tunes nothing.

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
# AutoRound goes through the decoder block by block and learns for each weight whether to round up or down, and for each
# group of 128 weights its range, so that the block's output changes least on the texts. Without `dataset` it downloads one.
# The library's own numbers are 200 iterations on 128 sequences of 2,048 tokens, with the blocks compiled; leave out the four
# lines that cut them down here.

# %%
import logging

from auto_round import RTNConfig, SignRoundConfig

logging.getLogger("autoround").setLevel(logging.ERROR)

with stopwatch() as tuning_4:
    # --8<-- [start:quantize]
    from auto_round import AutoRound

    texts = calibration_texts()
    texts = calibration_texts(64, 1_500)  # cut down for the proof
    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
    quantizer = AutoRound(
        model,
        tokenizer,
        scheme="W4A16",
        dataset=texts,
        nsamples=64,  # cut down for the proof
        seqlen=256,  # cut down for the proof
        alg_configs=SignRoundConfig(iters=20),  # cut down for the proof
        enable_torch_compile=False,  # cut down for the proof
    )
    _, folder = quantizer.quantize_and_save("qwen3-auto-round", format="auto_round")
    # --8<-- [end:quantize]
print(f"saved in {folder} after {tuning_4.seconds:.0f} s")

# %% [markdown]
# `quantize_and_save` puts the model in a folder below the one it is given, and returns that one's name. Transformers loads it
# as any model, with auto-round installed.

# %%
folder_4 = folder
with stopwatch() as load_4:
    # --8<-- [start:load]
    model = AutoModelForCausalLM.from_pretrained("qwen3-auto-round/Qwen3-0.6B-w4g128", dtype=torch.bfloat16, device_map="auto")
    # --8<-- [end:load]

# %% tags=["check"]
row_4 = weigh("4 bit", 4, model, baseline, load_4)
layers = [model.get_submodule(name) for name in linears]
assert all(hasattr(layer, "qweight") and layer.bits == 4 and layer.group_size == 128 for layer in layers)
assert 3.7 < row_4["linear_ratio"] < 4

# %% [markdown]
# ## 2 bit
#
# The same with another scheme.

# %%
model_4 = model
plain = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
quantizer = AutoRound(
    plain,
    tokenizer,
    scheme="W2A16",
    dataset=texts,
    nsamples=64,  # cut down for the proof
    seqlen=256,  # cut down for the proof
    alg_configs=SignRoundConfig(iters=20),  # cut down for the proof
    enable_torch_compile=False,  # cut down for the proof
)
_, folder_2 = quantizer.quantize_and_save("qwen3-auto-round", format="auto_round")
with stopwatch() as load_2:
    model_2 = AutoModelForCausalLM.from_pretrained(folder_2, dtype=torch.bfloat16, device_map="auto")

# %% tags=["check"]
row_2 = weigh("2 bit", 2, model_2, baseline, load_2)
layers = [model_2.get_submodule(name) for name in linears]
assert all(hasattr(layer, "qweight") and layer.bits == 2 and layer.group_size == 128 for layer in layers)
assert 7 < row_2["linear_ratio"] < 8

# %% [markdown]
# ## Save and reload
#
# A loaded model saves and reloads like any other, so it can also go to the Hub with `push_to_hub`.

# %%
# --8<-- [start:save-reload]
model.save_pretrained("qwen3-again")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-again", dtype=torch.bfloat16, device_map="auto")
# --8<-- [end:save-reload]
print(tokenizer.decode(generated(reloaded, prompt)[0]))

# %%
for row, model in ((row_4, model_4), (row_2, model_2)):
    again = f"qwen3-again-{row['bits']}"
    model.save_pretrained(again)
    reloaded = AutoModelForCausalLM.from_pretrained(again, dtype=torch.bfloat16, device_map="auto")
    tokens = generated(model, prompt)
    print(f"{row['variant']}: {tokenizer.decode(tokens[0, prompt.shape[1] :])!r}")
    row |= {"saved_bytes": weight_files_bytes(again), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
    assert row["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
rows = [
    row | quality(model, baseline, windows) | speed(model, baseline, prompt)
    for row, model in ((row_4, model_4), (row_2, model_2))
]
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: no variant is bf16 in disguise, and 2 bit is farther from bf16 than 4 bit.

# %%
assert 0 < rows[0]["kl"] < rows[1]["kl"]
assert rows[0]["loss_difference"] < 0.33

# %% [markdown]
# ## What the tuning is worth
#
# The same weights, groups and file format, each weight rounded to its nearest value instead. It needs no texts.

# %%
for tuned in rows:
    plain = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
    quantizer = AutoRound(
        plain, tokenizer, scheme=f"W{tuned['bits']}A16", alg_configs=RTNConfig(disable_opt_rtn=True), nsamples=64, seqlen=256
    )
    _, folder = quantizer.quantize_and_save("qwen3-rounded", format="auto_round")
    rounded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, device_map="auto")
    assert all(rounded.get_submodule(name).bits == tuned["bits"] for name in linears)
    nearest = quality(rounded, baseline, windows)
    for how, row in (("tuned", tuned), ("rounded", nearest)):
        kl = f"KL from bf16 {row['kl']:.4f} ± {row['kl_error']:.4f}"
        print(
            f"{tuned['bits']} bit, {how}: {kl}, perplexity {row['perplexity']:.2f}, top-1 {100 * row['top1_agreement']:.1f} %"
        )
    assert tuned["kl"] + 2 * tuned["kl_error"] < nearest["kl"] - 2 * nearest["kl_error"]

# %% [markdown]
# ## Fine-tune
#
# LoRA was tried above the layers that were loaded: PEFT refuses them.

# %%
try:
    adapter_losses(model, evaluation_windows(tokenizer, count=68)[64:])
    refused = False
except ValueError as error:
    refused = True
    print(f"{type(error).__name__}: {str(error)[:120]}")
assert refused, "PEFT takes these layers now: update the page"

# %% [markdown]
# ## What goes wrong
#
# Each cell stands alone, shows a fault happen, and will fail on the day it is mended. Where one has to quantize first, it
# rounds to nearest, which is quick.
#
# ### Transformers cannot quantize with it
#
# `AutoRoundConfig` takes a width, but only says how to load what the library has quantized.

# %% tags=["trap:auto-round-on-load"]
from transformers import AutoModelForCausalLM, AutoRoundConfig

try:
    AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", quantization_config=AutoRoundConfig(bits=4))
    refused = False
except ValueError as error:
    refused = "pre-quantized" in str(error)
    print(str(error)[:86])
known_fault(refused, "transformers", "auto-round")

# %% [markdown]
# ### The folder that is given is not the one that is written
#
# The library makes a folder below it, named after the model, the width and the group.

# %% tags=["trap:auto-round-folder"]
import torch
from auto_round import AutoRound, RTNConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
quantizer = AutoRound(model, tokenizer, scheme="W4A16", alg_configs=RTNConfig(disable_opt_rtn=True))
_, written = quantizer.quantize_and_save("folder-given", format="auto_round")
print("written to", written)
try:
    AutoModelForCausalLM.from_pretrained("folder-given", device_map="auto")
    missed = False
except (OSError, ValueError) as error:
    missed = "folder-given" in str(error)
    print(type(error).__name__, str(error)[:90])
known_fault(missed and written != "folder-given", "auto-round")

# %% [markdown]
# ### The model that was quantized cannot be used any more
#
# The library writes each block to disk and empties it. What it returns is the same emptied object.

# %% tags=["trap:auto-round-emptied"]
import torch
from auto_round import AutoRound, RTNConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
quantizer = AutoRound(model, tokenizer, scheme="W4A16", alg_configs=RTNConfig(disable_opt_rtn=True))
returned, _ = quantizer.quantize_and_save("qwen3-emptied", format="auto_round")
devices = {parameter.device.type for parameter in returned.parameters()}
print("returned is the model given:", returned is model, "- its parameters are on", devices)
known_fault(devices == {"meta"}, "auto-round")

# %% [markdown]
# ### Short texts end the program
#
# Texts below `seqlen` tokens (2048 if not said) are left out. If none remains, the library calls `sys.exit`, which
# `except Exception` does not catch; if some remain, it tunes on fewer and logs a warning.

# %% tags=["trap:auto-round-short-texts"]
import torch
from auto_round import AutoRound, SignRoundConfig
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
texts = ["Each of these texts is a sentence, as one would take from a chat."] * 128
quantizer = AutoRound(model, tokenizer, scheme="W4A16", alg_configs=SignRoundConfig(iters=1), dataset=texts)
try:
    quantizer.quantize_and_save("qwen3-short", format="auto_round")
    ended = None
except SystemExit as error:
    ended = error.code
print("sys.exit was called with", ended)
known_fault(ended is not None, "auto-round")
