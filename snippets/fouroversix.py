# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "fouroversix==1.0.5",
# ]
#
# [tool.guide]
# method = "fouroversix"
# needs = "cpu"
# minutes = 30
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# not_compared = """
# It ran in the library's reference code, plain PyTorch, on fewer tokens of text than the others: its speed says nothing of the
# method. Loading needed a mend that the notebook shows."""
#
# [tool.guide.source_build]
# package = "fouroversix"
# requires = ["setuptools==84.2.1", "ninja==1.13.2", "psutil==7.2.2"]
# variables = {SKIP_CUDA_BUILD = "1"}
#
# [tool.guide.swap]
# 'dtype="nvfp4", scale_rule="mse"' = 'dtype="mxfp4", scale_rule="static_6"'
# ///

# %% [markdown]
# # FourOverSix: NVFP4 that chooses between 4 and 6
#
# Loads one model with weights and activations in NVFP4, the scale of each block chosen for the smaller error, generates,
# measures it against bf16, saves and reloads it. It runs the library's reference code in PyTorch, which any machine has. The
# kernels of the library need NVIDIA Blackwell and were not run.
#
# The package builds against the torch that is installed; `SKIP_CUDA_BUILD` leaves out its CUDA code, for Blackwell GPUs.
#
# When to take FourOverSix at all: [the method's page](../docs/methods/fouroversix.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "fouroversix", needs="cpu")

# %% [markdown]
# ## The model in bf16
#
# Everything below is compared with this one. The reference code is slow, so the text is 8 windows of 512 tokens.

# %%
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = "Qwen/Qwen3-0.6B"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
baseline = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
windows = evaluation_windows(tokenizer, count=8)
linears = decoder_linears(baseline)
prompt = tokenizer("def read_config(path):\n", return_tensors="pt").input_ids
print(tokenizer.decode(generated(baseline, prompt, new_tokens=12)[0]))

# %% [markdown]
# ## NVFP4 while loading
#
# 16 weights share a scale. The largest of them becomes 6, the largest value that 4 bits have, or 4, whichever leaves the
# smaller squared error. Activations are rounded the same way at every forward pass.
#
# The reference code returns the largest weight of a layer as a number without a dimension, where the layer expects one of
# dimension 1, and Transformers 5.23.0 then refuses to load; the last part shows it. Here it is given its dimension.

# %%
with stopwatch() as load:
    # --8<-- [start:load]
    from unittest import mock

    from fouroversix import FourOverSixLinear
    from transformers import FourOverSixConfig

    as_released = FourOverSixLinear.get_quantized_parameters

    def mended(layer, name, weight):
        parts = as_released(layer, name, weight)
        return parts | {"quantized_weight_amax": parts["quantized_weight_amax"].reshape(1)}

    config = FourOverSixConfig(dtype="nvfp4", scale_rule="mse", quantize_backend="pytorch", matmul_backend="pytorch")
    with mock.patch.object(FourOverSixLinear, "get_quantized_parameters", mended):
        model = AutoModelForCausalLM.from_pretrained(
            "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
        )
    # --8<-- [end:load]

# %% [markdown]
# Codes 6 and 7 of a 4-bit float stand for 4 and 6. Plain NVFP4 scales the largest weight of every block to 6; here some blocks
# end at 4.

# %% tags=["check"]
row = weigh("NVFP4, 4 or 6 by block", 4, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, FourOverSixLinear) and not hasattr(layer, "weight") for layer in layers)
assert all(layer.quantized_weight_values.dtype == torch.uint8 for layer in layers)
scales = [layer.quantized_weight_scale_factors for layer in layers]
assert all(scale.dtype == torch.float8_e4m3fn for scale in scales)
assert all(scale.numel() * 16 == layer.in_features * layer.out_features for layer, scale in zip(layers, scales, strict=True))
assert 3.5 < row["linear_ratio"] < 3.6
blocks = torch.cat([layer.quantized_weight_values.view(-1, 8) for layer in layers])  # 16 weights a row
largest = torch.maximum(blocks & 7, blocks >> 4 & 7).amax(1)
share = (largest == 6).float().mean().item()
print(f"{100 * share:.1f} % of the blocks end at 4, {100 * (largest == 7).float().mean().item():.1f} % at 6")
assert 0.05 < share < 0.95

# %% [markdown]
# ## Save and reload
#
# Reloading needs no mend.

# %%
# --8<-- [start:save-reload]
model.save_pretrained("qwen3-fouroversix")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-fouroversix", device_map="auto")
# --8<-- [end:save-reload]
tokens = generated(model, prompt, new_tokens=12)
print(tokenizer.decode(tokens[0]))
row |= {
    "saved_bytes": weight_files_bytes("qwen3-fouroversix"),
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt, new_tokens=12)),
}
assert row["reload_equal"]

# %% [markdown]
# ## Activations are rounded too
#
# A layer's output is the product of the rounded input with the unpacked weights, and not that of the input as it came.

# %%
from fouroversix import dequantize, quantize_to_fp4

layer = layers[0]
x = torch.randn(4, layer.in_features, dtype=torch.bfloat16, device=model.device)
rounded = dequantize(quantize_to_fp4(x, layer.config.get_activation_config()), torch.float32)
weight = dequantize(layer.quantized_weight(), torch.float32)
output, as_rounded, as_it_came = (y.detach().float() for y in (layer(x), rounded @ weight.T, x.float() @ weight.T))
differences = [((output - other).norm() / output.norm()).item() for other in (as_rounded, as_it_came)]
print(f"relative difference from the rounded input's product {differences[0]:.4f}, from the input's {differences[1]:.4f}")
assert differences[0] < 0.01 < 0.05 < differences[1]

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
row |= quality(model, baseline, windows) | speed(model, baseline, prompt, new_tokens=4, repeats=3)
MeasureTable([row]).show()

# %% [markdown]
# What must hold on any model: it is not bf16 in disguise, and costs less than half a nat.

# %%
assert row["kl"] > 0 and row["loss_difference"] < 0.5

# %% [markdown]
# ## What goes wrong
#
# ### Loading raises where the library's CUDA code was not built
#
# The reference code and the Triton code both return the largest weight as a number without a dimension. Only the compiled CUDA
# code, which runs on Blackwell alone, declares it with one.

# %% tags=["trap:fouroversix-load"]
import torch
from transformers import AutoModelForCausalLM, FourOverSixConfig

config = FourOverSixConfig(quantize_backend="pytorch", matmul_backend="pytorch")
raised = None
try:
    AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
    )
except RuntimeError as error:
    raised = str(error)
print("from_pretrained raised RuntimeError:", raised)
known_fault(raised is not None and "ignore_mismatched_sizes" in raised, "transformers", "fouroversix")
