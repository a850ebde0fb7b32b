# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 15
# models = []
# only_faults = true
# ///

# %% [markdown]
# # Errors of loading, without any quantization library
#
# Each cell provokes an error or a warning that people paste, with nothing installed but Transformers, and fails on the day a
# release mends it. The models are small and random. What each message means, and what to do:
# [the index of symptoms](../docs/symptoms.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.symptom import *

# %%
device = show_environment("transformers", "accelerate", needs="cpu")

# %%
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

# %% [markdown]
# ## Loading an AWQ quantized model requires gptqmodel (or: requires auto-awq library)

# %% tags=["symptom:awq-requires-gptqmodel"]
folder = with_block("awq-like", {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"})
with shows(ImportError, "Loading an AWQ quantized model requires gptqmodel"):
    AutoModelForCausalLM.from_pretrained(folder)

# %% [markdown]
# ## Loading a GPTQ quantized model requires optimum; No module named 'optimum.gptq'

# %% tags=["symptom:gptq-requires-optimum"]
from transformers import GPTQConfig

with shows(ImportError, "Loading a GPTQ quantized model requires optimum"):
    AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=GPTQConfig(bits=4, dataset=["w2 w3"], tokenizer="x"))

# %% [markdown]
# ## No package metadata was found for bitsandbytes; requires bitsandbytes

# %% tags=["symptom:no-package-metadata-bitsandbytes"]
with shows(ImportError, "Using `bitsandbytes` 4-bit quantization requires bitsandbytes"):
    AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True))

# %% [markdown]
# ## The model's quantization config from the arguments has no quant_method attribute (EXL2, MLX checkpoints)

# %% tags=["symptom:no-quant-method"]
folder = with_block("exl-like", {"bits": 4.0, "head_bits": 6})
with shows(ValueError, "has no `quant_method` attribute"):
    AutoModelForCausalLM.from_pretrained(folder)

# %% [markdown]
# ## torch_dtype is deprecated! Use dtype instead!

# %% tags=["symptom:torch-dtype-deprecated"]
with warns("`torch_dtype` is deprecated! Use `dtype` instead!"):
    AutoModelForCausalLM.from_pretrained(tiny(), torch_dtype=torch.float32)

# %% [markdown]
# ## Unknown quantization type, got fp8 (or modelopt, bf16 ...) - supported types are

# %% tags=["symptom:unknown-quantization-type"]
folder = with_block("unknown-like", {"quant_method": "modelopt", "quant_algo": "NVFP4"})
with warns("Unknown quantization type, got modelopt"):
    AutoModelForCausalLM.from_pretrained(folder)

# %% [markdown]
# ## The answer is only "!!!!!!!!" (Qwen, GPTQ, AWQ, float16)

# %% tags=["symptom:exclamation-marks", "symptom:probability-tensor-nan"]
model = AutoModelForCausalLM.from_pretrained(tiny(), dtype=torch.float16)
model.model.layers[0].mlp.down_proj.weight.data *= 1e8  # activations beyond 65504, float16's largest
with shows(RuntimeError, "probability tensor contains either `inf`, `nan` or element < 0"):
    model.generate(torch.arange(2, 8)[None], do_sample=True, max_new_tokens=4, pad_token_id=1)

# %% [markdown]
# ## Attempting to unscale FP16 gradients.

# %% tags=["symptom:unscale-fp16"]
layer = torch.nn.Linear(8, 8).half()
scaler = torch.amp.GradScaler("cpu")
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
scaler.scale(layer(torch.ones(2, 8, dtype=torch.float16)).float().sum()).backward()
with shows(ValueError, "Attempting to unscale FP16 gradients."):
    scaler.step(optimizer)

# %% [markdown]
# ## Kernels are not available. Please install a compatible version

# %% tags=["symptom:kernels-not-available"]
with shows(ValueError, "Kernels are not available. Please install a compatible version"):
    AutoModelForCausalLM.from_pretrained(tiny(), use_kernels=True)
