# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "spqr_quant==0.2.0",
# ]
#
# [tool.guide]
# method = "spqr"
# needs = "cpu"
# minutes = 10
# models = ["Qwen/Qwen3-0.6B"]
# colab_gpu = "T4"
# only_faults = true
# ///

# %% [markdown]
# # SpQR: why it cannot be loaded
#
# Transformers 5.23.0 cannot load a SpQR checkpoint, on any hardware. This notebook shows the two faults that stand in the
# way. It quantizes nothing and measures nothing; it runs on a CPU, since both come before the first kernel.
#
# What SpQR is, and what to take instead: [the method's page](../docs/methods/spqr.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "spqr_quant", needs="cpu")

# %% [markdown]
# ## Transformers and the library spell a function differently
#
# Transformers asks the library for an empty layer by `create_placeholder`. The source of the library is searched for that
# name as it lies on disk, since importing it needs a CUDA compiler.

# %% tags=["trap:spqr-placeholder"]
import ast
import inspect
from importlib.util import find_spec
from pathlib import Path

from transformers.quantizers import quantizer_spqr

source = Path(find_spec("spqr_quant").origin).with_name("inference.py").read_text(encoding="utf-8")
functions = [node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
print("The library has:", [name for name in functions if name.startswith("create")])
called = "create_placeholder" in inspect.getsource(quantizer_spqr.replace_with_spqr_linear)
print("Transformers calls create_placeholder:", called)
known_fault(called and "create_placeholder" not in functions, "transformers", "spqr_quant")

# %% [markdown]
# ## Transformers looks for layers where they are not
#
# With the name mended the next fault comes: `replace_with_spqr_linear` looks up the path of a layer, such as
# `model.layers.0.self_attn.q_proj`, among the direct children of the model. In this cell a stub takes the library's place,
# so that it runs without a compiler. Before any of this, a machine without a GPU is refused.

# %% tags=["trap:spqr-load"]
import sys
from importlib.util import find_spec
from types import ModuleType
from unittest import mock

import torch
from transformers import AutoConfig, AutoModelForCausalLM, SpQRConfig
from transformers.quantizers import quantizer_spqr

config = AutoConfig.from_pretrained("Qwen/Qwen3-0.6B")
with torch.device("meta"):
    model = AutoModelForCausalLM.from_config(config)
names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
parts = ("dense_weights", "row_offsets", "col_vals", "in_perm")
spqr_config = SpQRConfig(shapes={f"{name}.{part}.shape": 1 for name in names for part in parts})

stub = ModuleType("spqr_quant")
stub.__spec__ = find_spec("spqr_quant")
stub.QuantizedLinear = mock.Mock()
stub.QuantizedLinear.create_placeholder = lambda **_: torch.nn.Identity()
with mock.patch.dict(sys.modules, {"spqr_quant": stub}):
    try:
        quantizer_spqr.replace_with_spqr_linear(model, ["lm_head"], spqr_config)
        raised = None
    except KeyError as error:
        raised = error
print(f"Replacing the layers: {raised!r}")
if not torch.cuda.is_available():
    config.quantization_config = spqr_config.to_dict()
    try:
        AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", config=config, dtype=torch.float16)
    except RuntimeError as error:
        print(f"Loading without a GPU: {error!r}")
known_fault(raised is not None, "transformers")
