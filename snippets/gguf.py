# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "gguf==0.19.0",
# ]
#
# [tool.guide]
# method = "gguf"
# needs = "cpu"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# not_compared = "Its widths are those of the file; in memory it is bf16. And a GGUF file quantizes the embeddings too."
# control = """
# _auto = transformers.AutoModelForCausalLM.from_pretrained.__func__
#
# def _load_unquantized(cls, name, gguf_file=None, **kwargs):
#     return _auto(cls, "Qwen/Qwen3-0.6B" if gguf_file else name, **kwargs)
#
# transformers.AutoModelForCausalLM.from_pretrained = classmethod(_load_unquantized)
# """
#
# [tool.guide.checkpoints]
# "ggml-org/Qwen3-0.6B-GGUF" = "gguf_files"
#
# [tool.guide.swap]
# "Qwen3-0.6B-Q8_0.gguf" = "Qwen3-0.6B-Q4_0.gguf"
# "Qwen3-0.6B-Q4_0.gguf" = "Qwen3-0.6B-Q8_0.gguf"
#
# [tool.guide.weigh]
# shapes = ["reference", "Qwen3-0.6B, 1 layer"]
# proven = true
# makes_checkpoints = true
# ///

# %% [markdown]
# # GGUF: files of llama.cpp, unpacked to bf16
#
# Loads one model from two GGUF files, Q8_0 and Q4_0, and shows what is in memory then: bf16. Generates with each, measures
# each against the original, saves and reloads. At the end it shows what goes wrong.
#
# When to take GGUF at all: [the method's page](../docs/methods/gguf.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "gguf", needs="cpu")

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
# ## Q8_0
#
# Blocks of 32 weights share an fp16 scale: 8.5 bits a weight in the file. Configuration and tokenizer come from the original
# model, since Transformers reads the ones in a GGUF file in part only; the end shows an instance.

# %%
from transformers import AutoConfig

with stopwatch() as q8_load:
    # --8<-- [start:load]
    q8 = AutoModelForCausalLM.from_pretrained(
        "ggml-org/Qwen3-0.6B-GGUF",
        gguf_file="Qwen3-0.6B-Q8_0.gguf",
        config=AutoConfig.from_pretrained("Qwen/Qwen3-0.6B"),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:load]

# %% [markdown]
# The check reads the file with the gguf package: its matrices are in Q8_0, and the model holds what they unpack to, in plain
# bf16 layers that take what the original's take.

# %% tags=["check"]
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFReader, dequantize, get_tensor_name_map


def in_file(name):
    """The tensors of a file that are the decoder linears, by the names that these have in Transformers."""
    tensors = {tensor.name: tensor for tensor in GGUFReader(hf_hub_download("ggml-org/Qwen3-0.6B-GGUF", name)).tensors}
    names = get_tensor_name_map(MODEL_ARCH.QWEN3, baseline.config.num_hidden_layers)
    return {linear: tensors[f"{names.get_name(linear)}.weight"] for linear in linears}


def bits_a_weight(tensors):
    return 8 * sum(int(tensor.n_bytes) for tensor in tensors) / sum(int(tensor.n_elements) for tensor in tensors)


def unpacked(tensor):
    return torch.from_numpy(dequantize(tensor.data, tensor.tensor_type)).to(torch.bfloat16)


q8_row = weigh("Q8_0", 8, q8, baseline, q8_load)
q8_file = in_file("Qwen3-0.6B-Q8_0.gguf")
assert {tensor.tensor_type for tensor in q8_file.values()} == {GGMLQuantizationType.Q8_0}
assert bits_a_weight(q8_file.values()) == 8.5
assert all(torch.equal(q8.get_submodule(name).weight.cpu(), unpacked(tensor)) for name, tensor in q8_file.items())
assert all(type(q8.get_submodule(name)) is nn.Linear for name in linears) and q8_row["linear_ratio"] == 1

# %% [markdown]
# ## Q4_0
#
# The same with 16 levels: 4.5 bits a weight in the file.

# %%
with stopwatch() as q4_load:
    q4 = AutoModelForCausalLM.from_pretrained(
        "ggml-org/Qwen3-0.6B-GGUF",
        gguf_file="Qwen3-0.6B-Q4_0.gguf",
        config=AutoConfig.from_pretrained(MODEL),
        dtype=torch.bfloat16,
        device_map="auto",
    )

# %% tags=["check"]
q4_row = weigh("Q4_0", 4, q4, baseline, q4_load)
q4_file = in_file("Qwen3-0.6B-Q4_0.gguf")
assert {tensor.tensor_type for tensor in q4_file.values()} == {GGMLQuantizationType.Q4_0}
assert bits_a_weight(q4_file.values()) == 4.5
assert all(torch.equal(q4.get_submodule(name).weight.cpu(), unpacked(tensor)) for name, tensor in q4_file.items())
assert all(type(q4.get_submodule(name)) is nn.Linear for name in linears) and q4_row["linear_ratio"] == 1
blocks = torch.cat([q4.get_submodule(name).weight.detach().cpu().view(-1, 32) for name in linears])
assert (blocks.float().sort(dim=1).values.diff(dim=1) != 0).sum(1).max() < 16  # at most 16 values a block

# %% [markdown]
# Small on disk, bf16 in memory:

# %%
for name, row in (("Qwen3-0.6B-Q8_0.gguf", q8_row), ("Qwen3-0.6B-Q4_0.gguf", q4_row)):
    file = Path(hf_hub_download("ggml-org/Qwen3-0.6B-GGUF", name)).stat().st_size
    print(f"{row['variant']}: file {file:,} bytes, in memory {row['quantized_bytes']:,}; bf16 {row['baseline_bytes']:,}")

# %% [markdown]
# ## Save and reload
#
# `save_pretrained` raises: the configuration says GGUF, and Transformers does not write that. Loaded with
# `GgufConfig(dequantize=True)` the model is the same, does not say GGUF, and saves as what it is: bf16.

# %%
try:
    q4.save_pretrained("qwen3-q4")
except ValueError as error:
    print(str(error)[:63])
else:
    raise AssertionError("Transformers saves GGUF models now: update the page.")

# %%
# --8<-- [start:save-reload]
from transformers import GgufConfig

dense = AutoModelForCausalLM.from_pretrained(
    "ggml-org/Qwen3-0.6B-GGUF",
    gguf_file="Qwen3-0.6B-Q4_0.gguf",
    config=AutoConfig.from_pretrained("Qwen/Qwen3-0.6B"),
    quantization_config=GgufConfig(dequantize=True),
    dtype=torch.bfloat16,
    device_map="auto",
)
dense.save_pretrained("qwen3-q4-dense")  # bf16
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-q4-dense", device_map="auto")
# --8<-- [end:save-reload]

# %% tags=["check"]
tokens = generated(q4, prompt)
print(tokenizer.decode(tokens[0]))
assert all(torch.equal(reloaded.get_submodule(name).weight.cpu(), unpacked(tensor)) for name, tensor in q4_file.items())
q4_row["reload_equal"] = torch.equal(tokens, generated(reloaded, prompt))
q4_row["saved_bytes"] = weight_files_bytes("qwen3-q4-dense")
assert q4_row["reload_equal"] and q4_row["saved_bytes"] >= q4_row["quantized_bytes"]

# %%
dense = AutoModelForCausalLM.from_pretrained(
    "ggml-org/Qwen3-0.6B-GGUF",
    gguf_file="Qwen3-0.6B-Q8_0.gguf",
    config=AutoConfig.from_pretrained(MODEL),
    quantization_config=GgufConfig(dequantize=True),
    dtype=torch.bfloat16,
    device_map="auto",
)
dense.save_pretrained("qwen3-q8-dense")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-q8-dense", device_map="auto")

# %% tags=["check"]
tokens = generated(q8, prompt)
print(tokenizer.decode(tokens[0]))
assert all(torch.equal(reloaded.get_submodule(name).weight.cpu(), unpacked(tensor)) for name, tensor in q8_file.items())
q8_row["reload_equal"] = torch.equal(tokens, generated(reloaded, prompt))
q8_row["saved_bytes"] = weight_files_bytes("qwen3-q8-dense")
assert q8_row["reload_equal"] and q8_row["saved_bytes"] >= q8_row["quantized_bytes"]

# %% [markdown]
# ## Measured against bf16
#
# The sizes are those in memory.

# %% tags=["measures"]
rows = []
for row, model in ((q8_row, q8), (q4_row, q4)):
    rows.append(row | quality(model, baseline, windows) | speed(model, baseline, prompt))
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: neither is the original in disguise, and 4 bit is farther from it than 8 bit.

# %%
assert 0 < rows[0]["kl"] < rows[1]["kl"]
assert abs(rows[0]["loss_difference"]) < 0.05 and rows[1]["loss_difference"] < 0.33

# %% [markdown]
# ## What goes wrong
#
# Each cell stands alone, shows a fault happen, and will fail on the day it is mended.
#
# ### Transformers says that the weights stay quantized, and unpacks them
#
# Its message is about a path for three architectures (qwen35, qwen35moe, lfm2) on Apple's Metal. It is logged for any model
# that is loaded in bf16. The configuration says GGUF, too.

# %% tags=["trap:gguf-unpacked"]
import logging
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from transformers import AutoConfig, AutoModelForCausalLM

said = []
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("transformers.quantizers.quantizer_gguf").addHandler(handler)
plain = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16)
model = AutoModelForCausalLM.from_pretrained(
    "ggml-org/Qwen3-0.6B-GGUF",
    gguf_file="Qwen3-0.6B-Q4_0.gguf",
    config=AutoConfig.from_pretrained("Qwen/Qwen3-0.6B"),
    dtype=torch.bfloat16,
)
file = Path(hf_hub_download("ggml-org/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q4_0.gguf")).stat().st_size
claims = [sentence for sentence in " ".join(said).split(" -- ") if "stay quantized" in sentence]
print(f"said: ... {claims[0] if claims else 'nothing'}")
print(f"file {file:,} bytes, memory {model.get_memory_footprint():,}, bf16 {plain.get_memory_footprint():,}")
known_fault(bool(claims) and model.get_memory_footprint() >= plain.get_memory_footprint(), "transformers")

# %% [markdown]
# ### The head size in the file is not read
#
# For Qwen3, Transformers takes the head size from its default, 128, and not from the file. A model with another one does not
# load: the shapes differ. The cell writes a header alone, with a head size of 64.

# %% tags=["trap:gguf-head-size"]
import gguf
from transformers import AutoConfig

writer = gguf.GGUFWriter("header.gguf", "qwen3")
writer.add_vocab_size(1000)
writer.add_block_count(2)
writer.add_embedding_length(256)
writer.add_head_count(4)
writer.add_key_length(64)
writer.add_value_length(64)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()
config = AutoConfig.from_pretrained(".", gguf_file="header.gguf")
print(f"the file says 64, the configuration read from it says {config.head_dim}")
known_fault(config.head_dim != 64, "transformers", "gguf")
