# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "optimum==2.3.0",
#   "gptqmodel==7.6.0",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# method = "gptq"
# needs = "cpu"
# minutes = 30
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# colab_restart = ["numpy"]
#
# [tool.guide.checkpoints]
# "Qwen/Qwen3-0.6B-GPTQ-Int8" = "gptq"
#
# [tool.guide.swap]
# "bits=4" = "bits=8"
# "bits=bits" = "bits={8: 4, 3: 8, 2: 8}[bits]"
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
# proven = true
# ///

# %% [markdown]
# # GPTQ: 8, 4, 3 and 2 bit, calibrated with your own texts
#
# Quantizes one model at four widths with GPTQ, calibrated with texts that the evaluation does not see. Generates with each,
# measures each against bf16, saves and reloads each. Then it loads a checkpoint that others published, and shows what
# saving that one again does.
#
# When to take GPTQ at all: [the method's page](../docs/methods/gptq.md).
#
# On a T4, the free GPU of Colab, first replace every `torch.bfloat16` by `torch.float16`: GPTQ's Marlin kernel refuses bf16
# there ([more](../docs/install.md#colab)).

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
device = show_environment("transformers", "accelerate", "optimum", "gptqmodel", "peft", needs="cpu")

# %% [markdown]
# ## The model in bf16, the texts
#
# Everything below is compared with this model, on text that calibrates nothing.

# %%
import logging

import torch
from logbar import LogBar
from transformers import AutoModelForCausalLM, AutoTokenizer

LogBar.shared().setLevel("ERROR")  # GPTQModel and optimum report every layer
logging.getLogger("optimum").setLevel(logging.ERROR)
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
# ## 4 bit
#
# GPTQ rounds one column of a weight after the other and corrects the columns still to come for the error made, weighted by
# what the calibration texts send through the layer. Groups of 128 weights share a scale. `dataset` is a list of texts, best of
# your own; the names of data sets that it also takes are downloaded.

# %%
from gptqmodel.nn_modules.qlinear import BaseQuantLinear
from transformers import GPTQConfig

with stopwatch() as load_4:
    # --8<-- [start:quantize]
    texts = calibration_texts()
    texts = calibration_texts(16, 2_000)  # cut down for the proof
    config = GPTQConfig(bits=4, group_size=128, dataset=texts, tokenizer=tokenizer)
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
    )
    # --8<-- [end:quantize]

# %% tags=["check"]
row_4 = weigh("4 bit", 4, model, baseline, load_4)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, BaseQuantLinear) and layer.bits == 4 and layer.group_size == 128 for layer in layers)
assert row_4["linear_ratio"] > 3.4

# %% [markdown]
# ## 8, 3 and 2 bit
#
# The same with another `bits`. The table's load time is mostly calibration, and grows with the model and the texts.

# %%
models, loads = {4: model}, {4: load_4}
for bits in (8, 3, 2):
    with stopwatch() as loads[bits]:
        config = GPTQConfig(bits=bits, group_size=128, dataset=texts, tokenizer=tokenizer)
        models[bits] = AutoModelForCausalLM.from_pretrained(
            MODEL, quantization_config=config, dtype=torch.bfloat16, device_map="auto"
        )

# %% tags=["check"]
rows = {4: row_4}
for bits, least in ((8, 1.8), (3, 4.4), (2, 6)):
    rows[bits] = weigh(f"{bits} bit", bits, models[bits], baseline, loads[bits])
    layers = [models[bits].get_submodule(name) for name in linears]
    assert all(isinstance(layer, BaseQuantLinear) and layer.bits == bits for layer in layers)
    assert rows[bits]["linear_ratio"] > least

# %% [markdown]
# ## Save and reload

# %%
# --8<-- [start:save-reload]
model.save_pretrained("qwen3-gptq")
tokenizer.save_pretrained("qwen3-gptq")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-gptq", dtype=torch.bfloat16, device_map="auto")
# --8<-- [end:save-reload]
print(tokenizer.decode(generated(reloaded, prompt)[0]))

# %%
for bits, model in models.items():
    folder = f"qwen3-gptq-{bits}"
    model.save_pretrained(folder)
    reloaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, device_map="auto")
    tokens = generated(model, prompt)
    print(f"{bits} bit: {tokenizer.decode(tokens[0, prompt.shape[1] :])!r}")
    rows[bits]["saved_bytes"] = weight_files_bytes(folder)
    rows[bits]["reload_equal"] = torch.equal(tokens, generated(reloaded, prompt))

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
rows = [rows[bits] | quality(models[bits], baseline, windows) | speed(models[bits], baseline, prompt) for bits in (8, 4, 3, 2)]
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: no variant is bf16 in disguise, and each width is farther from bf16 than the one above it.

# %%
kls = [row["kl"] for row in rows]
assert kls[0] > 0 and kls == sorted(kls)
assert abs(rows[0]["loss_difference"]) < 0.05 and rows[1]["loss_difference"] < 0.33

# %% [markdown]
# ## Load a checkpoint that others made
#
# It needs the same packages, no texts, and no configuration: the checkpoint says what it is.

# %%
# --8<-- [start:load]
ready = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B-GPTQ-Int8", dtype=torch.bfloat16, device_map="auto")
# --8<-- [end:load]
print(tokenizer.decode(generated(ready, prompt)[0]))
layers = [ready.get_submodule(name) for name in linears]
assert all(isinstance(layer, BaseQuantLinear) and layer.bits == 8 for layer in layers)

# %% [markdown]
# ## Fine-tune
#
# The library's flag says nothing of PEFT, so LoRA was tried: ten steps above the 4-bit weights, on one batch.

# %%
losses = adapter_losses(models[4], all_windows[64:68])
print(f"loss {losses[0]:.4f} at the first step, {losses[-1]:.4f} at the tenth")
assert losses[-1] < losses[0]

# %% [markdown]
# ## What goes wrong
#
# ### A checkpoint in the older format gets other zero points when it is saved again
#
# Checkpoints in the older "gptq" format store their zero points less one. Loading adds the one; saving writes the changed
# data under the old label, and the next load adds it again. At 8 bit that shifts a weight by one of 255 steps, at 4 bit by
# one of 15.

# %% tags=["trap:gptq-resave"]
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

if not torch.cuda.is_available():
    torch._dynamo.config.disable = True

CHECKPOINT = "Qwen/Qwen3-0.6B-GPTQ-Int8"
tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
ids = tokenizer("import os\n\nfor name in os.listdir('.'):\n    print(name)\n" * 8, return_tensors="pt").input_ids
model = AutoModelForCausalLM.from_pretrained(CHECKPOINT, dtype=torch.bfloat16, device_map="auto")
model.save_pretrained("saved-again")
again = AutoModelForCausalLM.from_pretrained("saved-again", dtype=torch.bfloat16, device_map="auto")
with torch.no_grad():
    before, after = (m(input_ids=ids.to(m.device), labels=ids.to(m.device)) for m in (model, again))
changed = (before.logits - after.logits).abs().max().item()
print(f"loss {before.loss:.3f} as published, {after.loss:.3f} saved and loaded again; a logit moved by up to {changed:.2f}")
known_fault(changed > 0.1, "transformers", "optimum", "gptqmodel")

# %% [markdown]
# ### Arguments that no longer exist are swallowed
#
# Guides name `use_exllama` and `exllama_config` to choose a kernel. Transformers 5.23.0 knows neither; the configuration
# takes any name without a word. `backend` chooses the kernel now.

# %% tags=["trap:gptq-exllama-swallowed"]
from transformers import GPTQConfig

config = GPTQConfig(bits=4, **{"use_exllama": False, "exllama_config": {"version": 2}})
print("use_exllama in the configuration:", "use_exllama" in config.to_dict())
known_fault("use_exllama" not in config.to_dict(), "transformers")
