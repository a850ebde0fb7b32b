# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "torchao==0.18.0",
#   "bitsandbytes==0.50.2",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 15
# models = ["Qwen/Qwen3-0.6B"]
# own_figures = true
# not_pasted = {script = "it is saved as a file, which torchrun starts"}
# control = """
# import subprocess
#
# _run = subprocess.run
# _as_it_is = {"torchao": "none", "bitsandbytes": "none"}
# subprocess.run = lambda command, **how: _run([_as_it_is.get(part, part) for part in command], **how)
# """
#
# [tool.guide.swap]
# '"--nproc-per-node=2"' = '"--nproc-per-node=1"'
# '"bitsandbytes": "bitsandbytes"' = '"bitsandbytes": "none"'
# ///

# %% [markdown]
# # Tensor parallelism in Transformers: which quantized layers can be cut
#
# Loads one model in two processes that hold half of each layer: as it is, in torchao's int8, and in bitsandbytes' 4 bit. The
# first two generate what one process generates, with half of the weights in each; bitsandbytes fails while it loads. On GPUs
# each process takes one; here both run on the CPU.
#
# To serve many users, an engine does this faster: [more than one GPU](../docs/engines/index.md#more-than-one-gpu).

# %%
from snippets.shared.environment import show_environment

# %%
device = show_environment("transformers", "accelerate", "torchao", "bitsandbytes", needs="cpu")

# %% [markdown]
# ## The script that each process runs
#
# torchrun starts it once for each GPU. `from_pretrained(..., tp_plan="auto")` is the older form: 5.23.0 takes it, and warns.

# %%
from pathlib import Path

SCRIPT = """
# --8<-- [start:script]
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TorchAoConfig
from transformers.distributed import DistributedConfig

model_id, kind = sys.argv[1:]
how = {}
if kind == "torchao":
    from torchao.quantization import Int8WeightOnlyConfig

    how["quantization_config"] = TorchAoConfig(Int8WeightOnlyConfig())
if kind == "bitsandbytes":
    how["quantization_config"] = BitsAndBytesConfig(load_in_4bit=True)
model = AutoModelForCausalLM.from_pretrained(
    model_id, dtype=torch.float32, distributed_config=DistributedConfig(tp_plan="auto"), **how
)
tokenizer = AutoTokenizer.from_pretrained(model_id)
inputs = tokenizer("def read_config(path):", return_tensors="pt").to(model.device)
tokens = model.generate(**inputs, max_new_tokens=16, do_sample=False)[0]
print(tokenizer.decode(tokens))
# --8<-- [end:script]
import json

weight = model.model.layers[0].mlp.up_proj.weight
shard = weight.to_local() if hasattr(weight, "to_local") else weight
print("ROW " + json.dumps({"tokens": tokens.tolist(), "rows": shard.shape[0], "class": type(shard).__name__}))
"""
Path("parallel.py").write_text(SCRIPT)

# %% [markdown]
# ## Two processes

# %%
import json
import re
import subprocess
import sys


def in_two_processes(kind):
    """What each process says of its shard and its tokens; the last line of the error where it fails."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "parallel.py", "Qwen/Qwen3-0.6B", kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [json.loads(row) for row in re.findall(r"ROW (\{.*?\})", done.stdout)]  # two may share a line
    errors = [line.partition("]: ")[2] for line in done.stderr.splitlines() if "Error: " in line and line.startswith("[rank")]
    return rows or errors[:1]


KINDS = {"as it is": "none", "torchao int8": "torchao", "bitsandbytes": "bitsandbytes"}
answers = {name: in_two_processes(kind) for name, kind in KINDS.items()}

# %% [markdown]
# ## Beside one process

# %%
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
whole = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.float32)
inputs = tokenizer("def read_config(path):", return_tensors="pt")
expected = whole.generate(**inputs, max_new_tokens=16, do_sample=False)[0].tolist()
rows = whole.model.layers[0].mlp.up_proj.weight.shape[0]

# %%
from html import escape

from IPython.display import HTML, display

HEAD = ("model", "rows of a layer in each process", "class of its weight", "generates what one process does")


def line(name, answer):
    """A row of the table: what both processes say, or the error."""
    if isinstance(answer[0], str):
        return name, answer[0], "", ""
    shards = ", ".join(f"{one['rows']} of {rows}" for one in answer)
    same = "yes" if all(one["tokens"] == expected for one in answer) else "no: its weights are rounded"
    return name, shards, answer[0]["class"], same


body = "".join(
    f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line(name, answer))}</tr>" for name, answer in answers.items()
)
display(HTML(f"<table><thead><tr>{''.join(f'<th>{title}</th>' for title in HEAD)}</tr></thead><tbody>{body}</tbody></table>"))

# %% tags=["check"]
assert [row["tokens"] for row in answers["as it is"]] == [expected] * 2
for name in ("as it is", "torchao int8"):
    assert [row["rows"] for row in answers[name]] == [rows // 2] * 2, f"{name}: a process holds more than its half"
assert [row["class"] for row in answers["torchao int8"]] == ["Int8Tensor"] * 2

# %% tags=["check"]
assert isinstance(answers["bitsandbytes"][0], str), "bitsandbytes can be cut now: update the pages"
