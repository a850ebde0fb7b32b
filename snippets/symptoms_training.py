# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "bitsandbytes==0.50.2",
#   "peft==0.21.2",
#   "torchao==0.18.0",
#   "optimum-quanto==0.2.7",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 15
# models = []
# only_faults = true
# ///

# %% [markdown]
# # Errors of training and merging
#
# Each cell provokes an error or a warning of training above quantized weights, and fails on the day a release mends it. The
# models are small and random. What each means, and what to do: [the index of symptoms](../docs/symptoms.md).

# %%
import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what follows is shown on a CPU, also where there is a GPU

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.symptom import *

# %%
device = show_environment("transformers", "accelerate", "bitsandbytes", "peft", "torchao", "optimum-quanto", needs="cpu")

# %%
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

# %% [markdown]
# ## Out of memory in prepare_model_for_kbit_training

# %% tags=["symptom:kbit-float32"]
from peft import prepare_model_for_kbit_training

folder = tiny("big-vocabulary", vocab_size=32768)
model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=BitsAndBytesConfig(load_in_4bit=True))
before = model.get_memory_footprint()
after = prepare_model_for_kbit_training(model).get_memory_footprint()
print(
    f"{before:,} -> {after:,} bytes; embeddings {model.get_input_embeddings().weight.dtype}, head {model.lm_head.weight.dtype}"
)
assert after > before and model.lm_head.weight.dtype == torch.float32

# %% [markdown]
# ## Merge lora module to 4-bit linear may get different generations due to rounding errors

# %% tags=["symptom:merge-4bit-worse", "symptom:merged-file-small"]
from peft import LoraConfig, get_peft_model

model = AutoModelForCausalLM.from_pretrained(
    tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4")
)
model = get_peft_model(model, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
with warns("Merge lora module to 4-bit linear may get different generations due to rounding errors"):
    merged = model.merge_and_unload()
merged.save_pretrained("merged")

from pathlib import Path

from safetensors.torch import load_file

scales = [name for name in load_file("merged/model.safetensors") if "absmax" in name]
print(f"{len(scales)} tensors of 4-bit scales in the merged file, such as {scales[0]}")
assert scales and "quantization_config" in Path("merged/config.json").read_text(encoding="utf-8")

# %% [markdown]
# ## You cannot perform fine-tuning on purely quantized models

# %% tags=["symptom:purely-quantized"]
from transformers import Trainer, TrainingArguments

model = AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True))
with shows(ValueError, "You cannot perform fine-tuning on purely quantized models"):
    Trainer(model, TrainingArguments("out", use_cpu=True, report_to="none"))

# %% [markdown]
# ## element 0 of tensors does not require grad and does not have a grad_fn

# %% tags=["symptom:no-grad-fn"]
from peft import LoraConfig, PeftModel, get_peft_model


def load():
    return AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True))


get_peft_model(load(), LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM")).save_pretrained("adapter")
model = PeftModel.from_pretrained(load(), "adapter")  # without is_trainable=True the adapter is frozen
ids = torch.arange(2, 34)[None]
with shows(RuntimeError, "element 0 of tensors does not require grad and does not have a grad_fn"):
    model(input_ids=ids, labels=ids).loss.backward()
PeftModel.from_pretrained(load(), "adapter", is_trainable=True)(input_ids=ids, labels=ids).loss.backward()
print("with is_trainable=True: backward runs")

# %% [markdown]
# ## Must flatten tensors with uniform dtype but got torch.bfloat16 and torch.uint8 (FSDP)

# %% tags=["symptom:fsdp-uniform-dtype"]
import torch.distributed as dist
from torch.distributed.fsdp import FullyShardedDataParallel

dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
model = AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True))
for parameter in model.parameters():
    parameter.requires_grad_(False)
with shows(ValueError, "Must flatten tensors with uniform dtype but got"):
    FullyShardedDataParallel(model, device_id=torch.device("cpu"))
model = AutoModelForCausalLM.from_pretrained(
    tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_storage=torch.bfloat16)
)
for parameter in model.parameters():
    parameter.requires_grad_(False)
FullyShardedDataParallel(model, device_id=torch.device("cpu"))
print("with bnb_4bit_quant_storage=torch.bfloat16: wrapped")

# %% [markdown]
# ## You can't train a model that has been loaded in 8-bit or 4-bit precision with CPU or disk offload

# %% tags=["symptom:train-different-device"]
from accelerate import Accelerator

model = AutoModelForCausalLM.from_pretrained(
    tiny(),
    quantization_config=BitsAndBytesConfig(load_in_4bit=True, llm_int8_enable_fp32_cpu_offload=True),
    device_map={"model": "cpu", "lm_head": "disk"},
    offload_folder="off",
)
with shows(ValueError, "You can't train a model that has been loaded in 8-bit or 4-bit precision"):
    Accelerator(cpu=True).prepare(model)

# %% [markdown]
# ## The model you are trying to fine-tune is quantized with … but that quantization method do not support training

# %% tags=["symptom:method-not-trainable"]
from transformers import TorchAoConfig, Trainer, TrainingArguments
from torchao.quantization import IntxWeightOnlyConfig
from peft import LoraConfig, get_peft_model

model = AutoModelForCausalLM.from_pretrained(
    tiny(), quantization_config=TorchAoConfig(IntxWeightOnlyConfig(weight_dtype=torch.int4))
)
model = get_peft_model(model, LoraConfig(target_modules=["q_proj"], task_type="CAUSAL_LM"))
with shows(ValueError, "but that quantization method do not support training"):
    Trainer(model, TrainingArguments("out", use_cpu=True, report_to="none"))

# %% [markdown]
# ## use_cache=True is incompatible with gradient checkpointing

# %% tags=["symptom:use-cache-warning"]
model = AutoModelForCausalLM.from_pretrained(tiny())
model.gradient_checkpointing_enable()
model.train()
with warns("`use_cache=True` is incompatible with gradient checkpointing"):
    model(input_ids=torch.arange(8)[None], use_cache=True)

# %% [markdown]
# ## Target modules [] not found in the base model. Please check the target modules and try again.

# %% tags=["symptom:peft-target-modules"]
from peft import LoraConfig, get_peft_model

model = AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=BitsAndBytesConfig(load_in_4bit=True))
with shows(ValueError, "not found in the base model"):
    get_peft_model(model, LoraConfig(target_modules=["query_key_value"], task_type="CAUSAL_LM"))

# %% [markdown]
# ## quanto: The dtype of a weights Tensor cannot be changed (QBitsTensor cannot be changed)

# %% tags=["symptom:quanto-dtype"]
from transformers import QuantoConfig
from peft import prepare_model_for_kbit_training

model = AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=QuantoConfig("int8"))
with shows(ValueError, "The dtype of a weights Tensor cannot be changed"):
    prepare_model_for_kbit_training(model)

model = AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=QuantoConfig("int8"))
model = get_peft_model(model, LoraConfig(target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
optimizer = torch.optim.AdamW((one for one in model.parameters() if one.requires_grad), lr=1e-2)
seen = []
for _ in range(10):
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    seen.append(loss.item())
print(f"get_peft_model alone: loss {seen[0]:.3f} at the first step, {seen[-1]:.3f} at the tenth")
assert seen[-1] < seen[0]
