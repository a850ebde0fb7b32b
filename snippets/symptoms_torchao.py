# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "torchao==0.18.0",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 15
# models = []
# only_faults = true
# ///

# %% [markdown]
# # Errors of torchao
#
# Each cell provokes an error that people report of torchao, and fails on the day a release mends it. The models are small and
# random. What each means, and what to do: [the index of symptoms](../docs/symptoms.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.symptom import *

# %%
device = show_environment("transformers", "accelerate", "torchao", needs="cpu")

# %%
from transformers import AutoModelForCausalLM, TorchAoConfig

# %% [markdown]
# ## TorchAoConfig("int4_weight_only"): String-based quantization type is no longer supported

# %% tags=["symptom:torchao-string"]
with shows(ValueError, "String-based quantization type 'int4_weight_only' is no longer supported"):
    TorchAoConfig("int4_weight_only")

# %% [markdown]
# ## cannot import name 'int4_weight_only' from 'torchao.quantization'

# %% tags=["symptom:torchao-old-names"]
with shows(ImportError, "cannot import name 'int4_weight_only'"):
    from torchao.quantization import int4_weight_only  # noqa: F401

# %% [markdown]
# ## We encountered some issues during automatic conversion of the weights

# %% tags=["symptom:torchao-conversion-report"]
from torchao.quantization import Int4WeightOnlyConfig

transformers_logging.set_verbosity(50)  # its report has a line for each weight
with shows(RuntimeError, "We encountered some issues during automatic conversion of the weights"):
    AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=TorchAoConfig(Int4WeightOnlyConfig(group_size=128)))

# %% [markdown]
# ## Requires mslk >= 1.0.0 (torchao int4); int4 on CPU or Intel XPU fails

# %% tags=["symptom:torchao-mslk"]
from torchao.quantization import Int4WeightOnlyConfig, quantize_

with shows(ImportError, "Requires mslk >= 1.0.0"):
    quantize_(torch.nn.Linear(256, 256).bfloat16(), Int4WeightOnlyConfig(group_size=128))

# %% [markdown]
# ## A torchao checkpoint of 2024-2025 no longer loads with torchao 0.18 (version 1)

# %% tags=["symptom:torchao-version-1"]
from torchao.quantization import Int8WeightOnlyConfig

with shows(ValueError, "version 1 of Int8WeightOnlyConfig has been removed"):
    Int8WeightOnlyConfig(version=1)

# %% [markdown]
# ## torchao int4 on a CPU cannot be saved: Unsupported tensor type

# %% tags=["symptom:torchao-int4-cpu-save"]
from torchao.prototype.quantization.int4.inference_workflow import PrototypeInt4WeightOnlyConfig

model = AutoModelForCausalLM.from_pretrained(
    tiny(), quantization_config=TorchAoConfig(PrototypeInt4WeightOnlyConfig(group_size=128))
)
print(model(input_ids=torch.arange(2, 8)[None]).logits.shape)
with shows(ValueError, "Unsupported tensor type"):
    model.save_pretrained("int4")
