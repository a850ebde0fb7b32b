# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "bitsandbytes==0.50.2",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 15
# models = []
# only_faults = true
# ///

# %% [markdown]
# # Errors and surprises with bitsandbytes
#
# Each cell provokes an error or a surprise that people report of bitsandbytes, and fails on the day a release mends it. The
# models are small and random. What each means, and what to do: [the index of symptoms](../docs/symptoms.md).

# %%
import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what follows is shown on a CPU, also where there is a GPU

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.symptom import *

# %%
device = show_environment("transformers", "accelerate", "bitsandbytes", needs="cpu")

# %%
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

# %% [markdown]
# ## load_in_4bit=True: unexpected keyword argument

# %% tags=["symptom:load-in-4bit-typeerror"]
folder = tiny()
with shows(TypeError, "unexpected keyword argument 'load_in_4bit'"):
    AutoModelForCausalLM.from_pretrained(folder, load_in_4bit=True)

# %% [markdown]
# ## You passed quantization_config but the model already has a quantization_config attribute: 4 bit asked, 8 bit stays

# %% tags=["symptom:config-from-model-used"]
AutoModelForCausalLM.from_pretrained(
    tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
).save_pretrained("nf4")
with warns("The `quantization_config` from the model will be used"):
    again = AutoModelForCausalLM.from_pretrained("nf4", quantization_config=BitsAndBytesConfig(load_in_8bit=True))
print(type(again.model.layers[0].mlp.up_proj).__name__)
assert type(again.model.layers[0].mlp.up_proj).__name__ == "Linear4bit"

# %% [markdown]
# ## You cannot cast a bitsandbytes model in a new dtype; .half() and .to are not supported

# %% tags=["symptom:cast-quantized"]
model = AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True))
with shows(ValueError, "`.half()` is not supported for quantized model"):
    model.half()
with shows(ValueError, "You cannot cast a bitsandbytes model in a new `dtype`"):
    model.to(torch.float16)

# %% [markdown]
# ## Calling cuda() is not supported for 8-bit quantized models

# %% tags=["symptom:cuda-8bit"]
model = AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=BitsAndBytesConfig(load_in_8bit=True))
with shows(ValueError, "Calling `cuda()` is not supported for `8-bit` quantized models"):
    model.cuda()

# %% [markdown]
# ## llm_int8_skip_modules=["vision_tower"] skips nothing: the vision tower is quantized all the same

# %% tags=["symptom:skip-modules-anchored"]
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

vision = CLIPVisionConfig(
    hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16
)
text = LlamaConfig(hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2, vocab_size=512)
LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=text, image_token_index=500)).save_pretrained(
    "llava"
)


def packed(skip):
    model = LlavaForConditionalGeneration.from_pretrained(
        "llava", quantization_config=BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=skip)
    )
    return sum(type(m).__name__ == "Linear4bit" for n, m in model.named_modules() if "vision_tower" in n)


for skip in (["vision_tower"], ["model.vision_tower"], [".*vision_tower.*"]):
    print(skip, "leaves", packed(skip), "4-bit layers in the vision tower")
assert packed(["vision_tower"]) > 0 and packed(["model.vision_tower"]) == 0, "mended"

# %% [markdown]
# ## module.weight.shape[1] == 1, or no attribute 'SCB' / 'CB', after setting llm_int8_skip_modules

# %% tags=["symptom:skip-modules-head"]
folder = tiny("tied", tie_word_embeddings=True)
model = AutoModelForCausalLM.from_pretrained(
    folder, quantization_config=BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["q_proj"])
)
with shows(AssertionError, ""):  # no text: `assert module.weight.shape[1] == 1`
    model(input_ids=torch.arange(2, 8)[None])
model = AutoModelForCausalLM.from_pretrained(
    folder, quantization_config=BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["q_proj", "lm_head"])
)
print("with lm_head in the list:", tuple(model(input_ids=torch.arange(2, 8)[None]).logits.shape))

# %% [markdown]
# ## Some modules are dispatched on the CPU or the disk

# %% tags=["symptom:dispatched-cpu-disk"]
device_map = {"model": "cpu", "lm_head": "disk"}
with shows(ValueError, "Some modules are dispatched on the CPU or the disk"):
    AutoModelForCausalLM.from_pretrained(
        tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True), device_map=device_map
    )

# %% [markdown]
# ## A mixture of experts stays huge in 4 bit (Qwen3-MoE, gpt-oss, Gemma 4)

# %% tags=["symptom:moe-experts-16-bit"]
model = AutoModelForCausalLM.from_pretrained(tiny_experts(), quantization_config=BitsAndBytesConfig(load_in_4bit=True))
print(type(model.model.layers[0].self_attn.q_proj).__name__, "-", model.model.layers[0].mlp.experts.gate_up_proj.dtype)
assert model.model.layers[0].mlp.experts.gate_up_proj.dtype == torch.bfloat16, "mended: the experts are quantized"
plain = AutoModelForCausalLM.from_pretrained(tiny_experts())
print(f"{plain.get_memory_footprint():,} bytes in bf16, {model.get_memory_footprint():,} in 4 bit")

# %% [markdown]
# ## Input type into Linear4bit is torch.float16, but bnb_4bit_compute_dtype=torch.float32 (default)

# %% tags=["symptom:compute-dtype-float32"]
import bitsandbytes as bnb

layer = bnb.nn.Linear4bit(128, 128).to("cpu")
with warns("bnb_4bit_compute_dtype=torch.float32 (default). This will lead to slow inference"):
    layer(torch.ones(2, 128, dtype=torch.float16))

# %% [markdown]
# ## only Tensors of floating point dtype can require gradients

# %% tags=["symptom:only-float-gradients"]
model = AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True))
with shows(RuntimeError, "only Tensors of floating point"):
    for parameter in model.parameters():
        parameter.requires_grad_(True)
