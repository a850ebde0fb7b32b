# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "fp_quant==0.3.2",
# ]
#
# [tool.guide]
# method = "fp-quant"
# needs = "cpu"
# minutes = 10
# models = ["Qwen/Qwen3-0.6B"]
# colab_gpu = "T4"
# only_faults = true
# ///

# %% [markdown]
# # FP-Quant without a GPU: what goes wrong
#
# FP-Quant needs a GPU, and refuses without one. This notebook shows two faults of its pseudo-quantization that need none: they
# are not in the arithmetic. Where a cell would round, a stub hands on the weights as they are. It measures nothing.
#
# When to take FP-Quant at all: [the method's page](../docs/methods/fp-quant.md). On a GPU:
# [the other notebook](fp_quant.ipynb).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "fp_quant", needs="cpu")

# %% [markdown]
# ## A layer's bias is added twice
#
# Pseudo-quantization without master weights, which is the default, adds the bias in the product and then once more. Qwen3 and
# Llama have no bias in their linear layers; Qwen2, Phi-2 and others do. Nothing is reported, the answers are wrong.

# %% tags=["trap:fp-quant-bias"]
from unittest import mock

import torch
from fp_quant import FPQuantConfig, FPQuantDtype, FPQuantLinear
from fp_quant.module import linear, pseudoquant_linear_fns


def unrounded(x, *_):
    """In place of the rounding, which needs a GPU: x as it is, and the mask of what was not clipped."""
    return x, torch.ones_like(x, dtype=torch.bool)


config = FPQuantConfig(FPQuantDtype.MXFP4, "abs_max", FPQuantDtype.BF16, pseudoquantization=True)
layer = FPQuantLinear(64, 4, config, bias=True, dtype=torch.bfloat16)
with torch.no_grad():
    layer.weight.normal_()
    layer.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    with (
        mock.patch.object(linear, "forward_pseudoquantize", unrounded),
        mock.patch.object(pseudoquant_linear_fns, "forward_pseudoquantize", unrounded),
    ):
        layer.pre_forward()
        output = layer(torch.zeros(1, 1, 64, dtype=torch.bfloat16))[0, 0]
print("bias:", layer.bias.tolist())
print("output for an input of zeros:", output.tolist())
known_fault(torch.equal(output, 2 * layer.bias), "fp_quant")

# %% [markdown]
# ## A pseudo-quantized model cannot be reloaded
#
# It is saved without a word. Loading it again, Transformers gives each layer empty scales, where the layer expects its own
# shape, and refuses. The cell puts the check for a GPU aside, whose refusal it prints first.

# %% tags=["trap:fp-quant-reload"]
from contextlib import nullcontext
from unittest import mock

import torch
from fp_quant.module import linear
from transformers import AutoModelForCausalLM, FPQuantConfig
from transformers.quantizers.quantizer_fp_quant import FPQuantHfQuantizer

config = FPQuantConfig(forward_dtype="mxfp4", pseudoquantization=True)
if not torch.cuda.is_available():
    try:
        AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16)
    except NotImplementedError as error:
        print(f"Loading without a GPU: {error!r}")
raised = None
with (
    mock.patch.object(FPQuantHfQuantizer, "validate_environment"),
    mock.patch.object(linear, "forward_pseudoquantize", lambda weight, *_: (weight, None)),  # rounding needs a GPU
    mock.patch.object(torch.cpu, "device", nullcontext, create=True),
):
    model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16)
    model.save_pretrained("qwen3-fp-quant")
    try:
        AutoModelForCausalLM.from_pretrained("qwen3-fp-quant")
    except RuntimeError as error:
        raised = str(error)
print("Loading what was saved raised RuntimeError:", raised)
known_fault(raised is not None and "ignore_mismatched_sizes" in raised, "transformers", "fp_quant")
