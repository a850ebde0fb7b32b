# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.24.0",  # what this notebook is about
#   "accelerate==1.15.0",
#   "bitsandbytes==0.50.2",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 15
# models = ["Qwen/Qwen3-0.6B-FP8"]
# only_faults = true
# ///

# %% [markdown]
# # What Transformers 5.24.0 changes for quantized models
#
# This guide describes 5.23.0. Each cell shows a difference of 5.24.0, and fails on the day it is gone. Most models are small
# and random. The list, with what to do: [getting it installed](../docs/install.md#transformers-5240).

# %%
import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what follows is shown on a CPU, also where there is a GPU

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.symptom import *

# %%
device = show_environment("transformers", "accelerate", "bitsandbytes", "peft", needs="cpu")

# %%
from peft import LoraConfig
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, DynamicCache, FineGrainedFP8Config

# %% [markdown]
# ## A dequantized model is saved in 16 bit
#
# Up to 5.23.0 saving an FP8 checkpoint that was dequantized wrote FP8 weights that the next load misread, and saving a stored
# bitsandbytes checkpoint raised NotImplementedError, both unless `save_original_format=False` was passed.

# %%
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B-FP8", quantization_config=FineGrainedFP8Config(dequantize=True), dtype=torch.bfloat16
)
model.save_pretrained("plain-fp8")
again = AutoModelForCausalLM.from_pretrained("plain-fp8")
assert again.dtype == torch.bfloat16
assert all(torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True))

# %%
nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=nf4).save_pretrained("nf4")
model = AutoModelForCausalLM.from_pretrained("nf4").dequantize()
model.save_pretrained("plain-nf4")
again = AutoModelForCausalLM.from_pretrained("plain-nf4")
assert torch.equal(model.model.layers[0].mlp.up_proj.weight, again.model.layers[0].mlp.up_proj.weight)
print(type(again.model.layers[0].mlp.up_proj).__name__, again.dtype)

# %% [markdown]
# ## A model with its own code gets no cache, and generates other text
#
# `generate` passes the cache as `cache`. A `forward` that knows it as `past_key_values` swallows it in `**kwargs`, and sees
# the last token alone.


# %% tags=["symptom:own-code-without-cache"]
class OwnCode(LlamaForCausalLM):
    """A model with the signature that a repository's own code mostly has."""

    def forward(self, input_ids=None, attention_mask=None, past_key_values=None, use_cache=None, **kwargs):
        return super().forward(input_ids, attention_mask, past_key_values=past_key_values, use_cache=use_cache)


ids = torch.arange(2, 12)[None]
plain, own = (kind.from_pretrained(tiny(), dtype=torch.float32) for kind in (LlamaForCausalLM, OwnCode))
right, wrong, slow = (
    model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=1, eos_token_id=None, **more)[0, 10:].tolist()
    for model, more in ((plain, {}), (own, {}), (own, {"use_cache": False}))
)
print(f"the library's class {right}", f"own code            {wrong}", f"own code, no cache  {slow}", sep="\n")
assert right == slow != wrong

# %% [markdown]
# ## The cache has another name
#
# `past_key_values` is called `cache`. The old name works, and warns. In 5.23.0 the new one is swallowed without a word.

# %%
cache = DynamicCache(config=plain.config)
with warns("`past_key_values` is deprecated"):
    plain(input_ids=ids, past_key_values=cache)
assert cache.get_seq_length() == ids.shape[1]

# %% [markdown]
# ## Assisted generation refuses a quantized cache
#
# 5.23.0 returned text.

# %%
with shows(ValueError, "Assisted decoding requires a cache that can be cropped"):
    plain.generate(
        ids, max_new_tokens=4, do_sample=False, pad_token_id=1, prompt_lookup_num_tokens=2, cache_implementation="quantized",
        cache_config={"backend": "fp8"},
    )  # fmt: skip

# %% [markdown]
# ## Adding an adapter asks for a newer PEFT than there is
#
# `get_peft_model` and `PeftModel` work.

# %%
with shows(ValueError, "please use a version >= 0.22.0"):
    plain.add_adapter(LoraConfig(target_modules="all-linear"))
