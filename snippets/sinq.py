# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "sinq==0.2.0",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# method = "sinq"
# needs = "cpu"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# colab_unwanted = {torchao = "PEFT raises ImportError beside the torchao 0.10 that is there, though nothing uses it."}
# unwanted = ["torchvision", "torchaudio"]
#
# [tool.guide.swap]
# "nbits=4" = "nbits=8"
# "nbits=bits" = "nbits={8: 4, 3: 4, 2: 8}[bits]"
#
# [tool.guide.weigh]
# proven = true
# ///

# %% [markdown]
# # SINQ: 8, 4, 3 and 2 bit while loading
#
# Loads one model in bf16 and at four widths, generates with each, measures each against bf16, saves and reloads each. At the
# end it shows what goes wrong, which is much: among other things `from_pretrained` does not read back what was saved.
#
# When to take SINQ at all: [the method's page](../docs/methods/sinq.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "sinq", "peft", needs="cpu")

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
# SINQ (Sinkhorn-normalized quantization) scales rows and columns of a weight in turns until both spread alike, then rounds in
# groups of 64. The output head must be named: without that it is replaced too, and a model that shares its weights with the
# embeddings breaks, as the end shows.

# %%
with stopwatch() as load_4:
    # --8<-- [start:load]
    from transformers import SinqConfig

    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=SinqConfig(nbits=4, group_size=64, modules_to_not_convert=["lm_head"]),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:load]

# %% [markdown]
# On a GPU the library's kernel for 4 bit keeps a second copy of the weights, so less is asked of the ratio there.

# %% tags=["check"]
from sinq.sinqlinear_hf import SINQLinear

row_4 = weigh("4 bit", 4, model, baseline, load_4)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, SINQLinear) and layer.meta["nbits"] == 4 for layer in layers)
assert all(layer.meta["group_size"] == 64 for layer in layers)
assert row_4["linear_ratio"] > (3.5 if device.type == "cpu" else 1.7)

# %% [markdown]
# ## 8, 3 and 2 bit
#
# The same call with another `nbits`.

# %%
models, loads = {4: model}, {4: load_4}
for bits in (8, 3, 2):
    with stopwatch() as loads[bits]:
        models[bits] = AutoModelForCausalLM.from_pretrained(
            MODEL,
            quantization_config=SinqConfig(nbits=bits, group_size=64, modules_to_not_convert=["lm_head"]),
            dtype=torch.bfloat16,
            device_map="auto",
        )

# %% tags=["check"]
rows = {4: row_4}
for bits, least in ((8, 1.8), (3, 4.2), (2, 6.5)):
    rows[bits] = weigh(f"{bits} bit", bits, models[bits], baseline, loads[bits])
    layers = [models[bits].get_submodule(name) for name in linears]
    assert all(isinstance(layer, SINQLinear) and layer.meta["nbits"] == bits for layer in layers)
    assert rows[bits]["linear_ratio"] > least

# %% [markdown]
# ## Save and reload
#
# Once the library is loaded, `save_pretrained` writes its own layout. The library's own loader reads that back; it must be
# told the dtype of the model.

# %%
# --8<-- [start:save-reload]
from sinq.patch_model import AutoSINQHFModel

model.save_pretrained("qwen3-sinq")
reloaded = AutoSINQHFModel.from_quantized_safetensors("qwen3-sinq", compute_dtype=torch.bfloat16, device=model.device.type)
# --8<-- [end:save-reload]
print(tokenizer.decode(generated(reloaded, prompt)[0]))

# %%
for bits, model in models.items():
    folder = f"qwen3-sinq-{bits}"
    model.save_pretrained(folder)
    tokens = generated(model, prompt)
    print(f"{bits} bit: {tokenizer.decode(tokens[0, prompt.shape[1] :])!r}")
    rows[bits]["saved_bytes"] = weight_files_bytes(folder)
    try:
        reloaded = AutoSINQHFModel.from_quantized_safetensors(folder, compute_dtype=torch.bfloat16, device=model.device.type)
        rows[bits]["reload_equal"] = torch.equal(tokens, generated(reloaded, prompt))
    except KeyError as error:
        print(f"{bits} bit cannot be run once reloaded: {error!r}")
        rows[bits]["reload_equal"] = False
assert all(rows[bits]["reload_equal"] for bits in (4, 3, 2))

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
# ## What goes wrong
#
# Each cell stands alone, shows a fault happen, and will fail on the day it is mended.
#
# ### The output head is replaced unless it is named
#
# The documentation in Transformers gives `["lm_head"]` as the default of `modules_to_not_convert`. The class has none, so the
# head is replaced. Where it shares its weights with the embeddings there is nothing to fill it from.

# %% tags=["trap:sinq-head"]
import torch
from transformers import AutoModelForCausalLM, SinqConfig

model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", quantization_config=SinqConfig(nbits=4), dtype=torch.bfloat16, device_map="auto"
)
head = type(model.lm_head).__name__
try:
    model(torch.tensor([[1, 2, 3]], device=model.device))
    failed = False
except AssertionError as error:
    failed = True
    print(f"The head is a {head}; its first use fails: {error}")
known_fault(head == "SINQLinear" and failed, "transformers", "sinq")

# %% [markdown]
# ### Arguments that it does not have are taken without a word
#
# `SinqConfig` keeps what it does not know. The documentation in Transformers itself passes `dtype` and `device`, which do
# nothing; a wrong name for the width does nothing either.

# %% tags=["trap:sinq-arguments"]
from transformers import SinqConfig

config = SinqConfig(**{"dtype": "float16", "device": "cuda:7", "bits": 2})
print(f"bits=2 was given, nbits is {config.nbits}")
known_fault(config.nbits == 4 and not hasattr(config, "device"), "transformers")

# %% [markdown]
# ### Transformers does not read back what was saved
#
# The library replaces `from_pretrained` too, and hides its own errors. With the usual arguments its loader fails, that of
# Transformers takes over, finds no weight under the names it looks for, and returns a model whose linear layers are empty.

# %% tags=["trap:sinq-reload"]
import torch
from transformers import AutoModelForCausalLM, SinqConfig
from transformers.utils import logging

logging.set_verbosity_error()  # the report of names that were not found is 60 lines long
config = SinqConfig(nbits=4, modules_to_not_convert=["lm_head"])
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
)
model.save_pretrained("sinq-4")
reloaded = AutoModelForCausalLM.from_pretrained("sinq-4", dtype=torch.bfloat16, device_map="auto")
try:
    reloaded(torch.tensor([[1, 2, 3]], device=reloaded.device))
    lost = False
except AssertionError as error:
    lost = True
    print(error)
known_fault(lost, "transformers", "sinq")

# %% [markdown]
# ### 8 bit cannot be read back by the library's loader either
#
# The loader takes weights of one byte each for unpacked ones, drops the note on how they are packed, and the first product
# looks for it.

# %% tags=["trap:sinq-reload-8"]
import torch
from sinq.patch_model import AutoSINQHFModel
from transformers import AutoModelForCausalLM, SinqConfig

config = SinqConfig(nbits=8, modules_to_not_convert=["lm_head"])
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
)
model.save_pretrained("sinq-8")
reloaded = AutoSINQHFModel.from_quantized_safetensors("sinq-8", compute_dtype=torch.bfloat16, device=model.device.type)
try:
    reloaded(torch.tensor([[1, 2, 3]], device=model.device))
    missing = None
except KeyError as error:
    missing = error.args[0]
    print("missing:", missing)
known_fault(missing == "packing", "sinq")

# %% [markdown]
# ### The memory footprint leaves out all quantized weights
#
# They are plain attributes of their layers, neither parameters nor buffers, and so `get_memory_footprint` passes them by.

# %% tags=["trap:sinq-footprint"]
import torch
from transformers import AutoModelForCausalLM, SinqConfig

footprints = {}
for bits in (8, 2):
    config = SinqConfig(nbits=bits, modules_to_not_convert=["lm_head"])
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
    )
    footprints[bits] = model.get_memory_footprint()
    print(f"{bits} bit: footprint {footprints[bits]:,} bytes")
known_fault(footprints[8] == footprints[2], "sinq", "transformers")

# %% [markdown]
# ### Every start of Python loads Transformers
#
# The package installs a `sitecustomize.py`, which Python runs at each start, whatever the program, unless another one comes
# first, as in the Python of Debian and Ubuntu. It imports Transformers and replaces three of its methods; on the way it
# prints a line to standard output, which breaks programs whose output is read. The variable `SINQ_AUTO_PATCH` turns it off.
# The cell starts Python twice with nothing set but that.

# %% tags=["trap:sinq-every-start"]
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

run_at_start = Path(find_spec("sitecustomize").origin).read_text()
PROGRAM = "import sys; print('transformers' in sys.modules)"
starts = {}
for switch in ("1", "0"):
    command, variables = [sys.executable, "-c", PROGRAM], {"SINQ_AUTO_PATCH": switch}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    *printed, loaded = starts[switch] = done.stdout.splitlines()
    print(f"SINQ_AUTO_PATCH={switch}: Transformers loaded: {loaded}; printed without being asked: {printed}")
loads_it = len(starts["1"]) > 1 and starts["1"][-1] == "True" and starts["0"] == ["False"]
known_fault(loads_it or "sinq" not in run_at_start, "sinq")

# %% [markdown]
# ### It says that it can be trained, and PEFT refuses it

# %% tags=["trap:sinq-peft"]
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, SinqConfig

config = SinqConfig(nbits=4, modules_to_not_convert=["lm_head"])
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
)
try:
    get_peft_model(model, LoraConfig(target_modules=["q_proj"]))
    refused = False
except ValueError as error:
    refused = "SINQLinear" in str(error)
    print(str(error)[:24])
print("is_trainable:", model.hf_quantizer.is_trainable)
known_fault(refused and model.hf_quantizer.is_trainable, "transformers", "peft", "sinq")

# %% [markdown]
# ### It drops the biases of the layers that it replaces
#
# A small model of Qwen2's architecture, whose query, key and value layers have biases.

# %% tags=["trap:sinq-bias"]
import torch
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM, SinqConfig

sizes = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 1, "vocab_size": 512}
whole = Qwen2ForCausalLM(Qwen2Config(**sizes, num_attention_heads=4, num_key_value_heads=2)).to(torch.bfloat16)
torch.nn.init.ones_(whole.model.layers[0].self_attn.q_proj.bias)
whole.save_pretrained("with-biases")
model = AutoModelForCausalLM.from_pretrained(
    "with-biases", quantization_config=SinqConfig(nbits=4), dtype=torch.bfloat16, device_map="auto"
)
layer = model.model.layers[0].self_attn.q_proj
nothing = torch.zeros(1, 1, 256, dtype=torch.bfloat16)
before, after = whole.model.layers[0].self_attn.q_proj(nothing), layer(nothing.to(model.device))
print(f"of an input of zeros: {before.max().item()} before, {after.max().item()} in SINQ; bias: {layer.bias}")
known_fault(before.max() == 1 and after.abs().max() == 0, "sinq", "transformers")
