# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "bitsandbytes==0.50.2",
#   "peft==0.21.2",
#   "trl==1.16.0",
#   "datasets==5.2.0",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 15
# models = ["Qwen/Qwen3-0.6B"]
# own_figures = true
# colab_gpu = "T4"
# colab_unwanted = {torchao = "PEFT raises ImportError beside the torchao 0.10 that is there, though nothing uses it."}
#
# [tool.guide.swap]
# "load_in_4bit=True" = "load_in_8bit=True"
# ///

# %% [markdown]
# # QLoRA with TRL: SFTTrainer, chats, float16, merging
#
# Fine-tunes above nf4 weights with TRL's SFTTrainer on four chats, and by hand in float16 with loss scaling. Then it shows
# what SFTTrainer does with its arguments, what packing does, and how much of an adapter is left after merging. It fails on
# the day that a library does otherwise. Four chats teach nothing: put yours in their place.
#
# What to take when: [the guide's page](../docs/fine-tuning.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.symptom import *

# %%
device = show_environment("transformers", "accelerate", "bitsandbytes", "peft", "trl", "datasets", needs="cpu")

# %% [markdown]
# ## Chats
#
# Each is a list of messages; the tokenizer's chat template makes text of it. A base model may have none: this one is Qwen3's.

# %%
# --8<-- [start:chats]
from datasets import Dataset
from transformers import AutoTokenizer
from trl.chat_template_utils import qwen3_chat_template

pairs = [
    ("Which 4-bit type for QLoRA?", "nf4."),
    ("What does a T4 train in?", "float16, with loss scaling."),
    ("Which weights are trained?", "The adapters alone."),
    ("Do I merge into nf4?", "No. Merge into 16 bit, then quantize anew."),
]
chats = Dataset.from_list(
    [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in pairs]
)
tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
tokenizer.chat_template = tokenizer.chat_template or qwen3_chat_template
# --8<-- [end:chats]

# %% [markdown]
# ## Train with SFTTrainer
#
# It loads, quantizes, adds the adapters and trains. `half` is what the GPU computes in.

# %%
# --8<-- [start:train]
import torch
from peft import LoraConfig
from transformers import BitsAndBytesConfig
from trl import SFTConfig, SFTTrainer

gpu = torch.cuda.is_available()
old = gpu and torch.cuda.get_device_capability() < (8, 0)  # T4, V100, RTX 20: no bfloat16 arithmetic
half = torch.float16 if old else torch.bfloat16
nf4 = BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=half
)
trainer = SFTTrainer(
    model="Qwen/Qwen3-0.6B",
    args=SFTConfig(
        output_dir="qwen3-sft",
        model_init_kwargs={"dtype": half},  # float32 without it
        fp16=old,  # bf16 without it
        use_cpu=not gpu,
        learning_rate=2e-4,  # the default, 2e-5, is for training all weights
        num_train_epochs=10,
        per_device_train_batch_size=4,
        assistant_only_loss=True,
        logging_steps=1,
        report_to="none",
    ),
    train_dataset=chats,
    processing_class=tokenizer,
    quantization_config=nf4,
    peft_config=LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"),
)
if old:  # SFTTrainer makes them bfloat16, whose gradients the GPU cannot unscale
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
trainer.train()
trainer.save_model("qwen3-adapter")
# --8<-- [end:train]

# %% tags=["check"]
import bitsandbytes as bnb

layers = [one for one in trainer.model.modules() if isinstance(one, bnb.nn.Linear4bit)]
assert layers and all(layer.weight.quant_type == "nf4" and not layer.weight.requires_grad for layer in layers)

# %%
from pathlib import Path

losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
print(f"loss {losses[0]:.3f} at the first step, {losses[-1]:.3f} at the last")
weights = [path.name for path in Path("qwen3-adapter").glob("*.safetensors")]
print(f"saved: {', '.join(weights)}")
assert losses[-1] < losses[0] and weights == ["adapter_model.safetensors"]

# %% [markdown]
# The loss counts what the assistant says, and nothing else. In each row the other tokens are -100.

# %%
batch = next(iter(trainer.get_train_dataloader()))
for row in batch["labels"]:
    print(repr(tokenizer.decode(row[row != -100])))
counted = " ".join(tokenizer.decode(row[row != -100]) for row in batch["labels"])
assert all(answer in counted and question not in counted for question, answer in pairs)

# %% [markdown]
# ## Your own loop in float16
#
# PEFT makes the adapters float32, autocast computes in float16, GradScaler scales the loss. This is what
# `TrainingArguments(fp16=True)` does on a GPU; on a CPU it neither scales nor casts.

# %%
# --8<-- [start:float16]
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float16)
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.float16, device_map="auto"
)
model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
encode = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
texts = ["A T4 trains in float16, with loss scaling.", "The adapters stay in float32."]
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-4)
scaler = torch.amp.GradScaler(device.type)
losses = []
for text in texts * 6:
    ids = encode(text, return_tensors="pt").input_ids.to(device)
    with torch.autocast(device.type, dtype=torch.float16):
        loss = model(input_ids=ids, labels=ids).loss
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad()
    losses.append(loss.item())
# --8<-- [end:float16]

# %% tags=["check"]
layers = [one for one in model.modules() if isinstance(one, bnb.nn.Linear4bit)]
assert layers and all(layer.compute_dtype == torch.float16 for layer in layers)

# %%
first, last = sum(losses[:2]) / 2, sum(losses[-2:]) / 2
print(f"mean loss {first:.3f} in the first pass over the texts, {last:.3f} in the sixth; scale {scaler.get_scale():.0f}")
assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
assert last < first

# %% [markdown]
# ## What SFTTrainer does with its arguments


# %%
def sft(args=None, without=(), **more):
    """An SFTTrainer above nf4 weights; ``args`` go into its configuration, ``more`` beside what it always gets."""
    args = SFTConfig(output_dir="out", use_cpu=not gpu, report_to="none", **(args or {}))
    adapters = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM")
    parts = {"train_dataset": chats, "processing_class": tokenizer, "quantization_config": nf4, "peft_config": adapters}
    parts = {"model": "Qwen/Qwen3-0.6B", **parts, **more}
    return SFTTrainer(args=args, **{name: part for name, part in parts.items() if name not in without})


def trained_in(trainer):
    """The types of the weights that are trained."""
    return {p.dtype for p in trainer.model.parameters() if p.requires_grad}


with shows(TypeError, "got an unexpected keyword argument 'load_in_4bit'"):
    sft({"model_init_kwargs": {"load_in_4bit": True}}, without=["quantization_config"])
with shows(ValueError, "You set `quantization_config` both as a trainer argument and in `args.model_init_kwargs`"):
    sft({"model_init_kwargs": {"quantization_config": nf4}})
with shows(ValueError, "You cannot perform fine-tuning on purely quantized models"):
    sft(without=["peft_config"])

# %%
plain = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=half)
with warns("The `quantization_config` will be ignored"):
    ignored = sft(model=plain)
assert not any(isinstance(one, bnb.nn.Linear4bit) for one in ignored.model.modules())

# %% [markdown]
# Without a `dtype` what is not quantized is loaded in float32. Rates and types by default:

# %%
default = sft()
embeddings = default.model.get_input_embeddings().weight.dtype
print(f"embeddings {embeddings}, adapters {trained_in(default)}, bf16={default.args.bf16}, fp16={default.args.fp16}")
print(f"learning rate {default.args.learning_rate}, gradient checkpointing {default.args.gradient_checkpointing}")
assert embeddings == torch.float32 and trained_in(default) == {torch.bfloat16}
assert default.args.bf16 and default.args.learning_rate == 2e-5 and default.args.gradient_checkpointing

# %% [markdown]
# ## "_amp_foreach_non_finite_check_and_unscale_cuda" not implemented for 'BFloat16'
#
# With `fp16=True` the adapters are bfloat16 all the same, and a GPU raises this at the first step. A CPU has that function.

# %% tags=["symptom:unscale-bf16"]
scaled = sft({"fp16": True, "model_init_kwargs": {"dtype": torch.float16}})
print(f"fp16={scaled.args.fp16}, adapters {trained_in(scaled)}")
assert trained_in(scaled) == {torch.bfloat16}
for parameter in scaled.model.parameters():
    if parameter.requires_grad:
        parameter.data = parameter.data.float()
print(f"after the cast {trained_in(scaled)}")
assert trained_in(scaled) == {torch.float32}

# %% [markdown]
# A chat template that TRL does not know must mark what the assistant says, or `assistant_only_loss` is refused.

# %%
from copy import deepcopy

unknown = deepcopy(tokenizer)
unknown.chat_template = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
with shows(ValueError, "The chat template is not training-compatible"):
    sft({"assistant_only_loss": True}, processing_class=unknown)

# %% [markdown]
# ## Packing
#
# Four chats become one row. Positions start anew with each, so that no chat sees another; without them it would.

# %%
packed = sft({"packing": True, "bf16": False})
batch = next(iter(packed.get_train_dataloader()))
batch = {name: part.to(device) if isinstance(part, torch.Tensor) else part for name, part in batch.items()}
starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
second = slice(starts[1], starts[2])
row = batch["input_ids"]
model = packed.model.eval()
with torch.no_grad():
    alone = model(input_ids=row[:, second]).logits
    apart = model(**{name: part for name, part in batch.items() if name != "labels"}).logits[:, second]
    joined = model(input_ids=row).logits[:, second]
print(f"{len(packed.train_dataset)} row, chats begin at {starts}; attention {model.config._attn_implementation}")
print(f"the second chat's logits differ by {(apart - alone).abs().max():.3f} from those alone", end="")
print(f", without positions by {(joined - alone).abs().max():.3f}")
assert len(packed.train_dataset) == 1 and len(starts) == 4
assert torch.allclose(apart, alone, atol=0.05) and not torch.allclose(joined, alone, atol=0.5)

# %% [markdown]
# ## How much of an adapter is left after merging
#
# Weights drawn from a normal distribution, and adapters of rank 16 whose product has 0.3 to 10 % of the weights' size. What
# the merge changed, measured along the adapter: 100 % is all of it, 0 % nothing.

# %%
from bitsandbytes.functional import dequantize_4bit, quantize_4bit


def in_nf4(weight):
    """The weights after rounding to nf4 with double quantization."""
    return dequantize_4bit(*quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=True)).float()


def left(change, adapter):
    """How much of the adapter is in the change, in per cent."""
    return 100 * ((change * adapter).sum() / (adapter * adapter).sum()).item()


torch.manual_seed(0)
weight = (torch.randn(1024, 1024) * 0.02).bfloat16()
product = torch.randn(1024, 16) @ torch.randn(16, 1024)
rounded = in_nf4(weight)
shares = {}
for size in (0.003, 0.01, 0.03, 0.1):
    adapter = product / product.norm() * size * weight.float().norm()
    in_16_bit = (weight.float() + adapter).bfloat16()
    shares[size] = (
        left(in_nf4((rounded + adapter).bfloat16()) - rounded, adapter),
        left(in_16_bit.float() - weight.float(), adapter),
        left(in_nf4(in_16_bit) - rounded, adapter),
    )
    nf4_share, bf16_share, again_share = shares[size]
    print(f"adapter of {100 * size:.1f} % of the weights: merged into nf4 {nf4_share:.1f} % of it is left", end="")
    print(f", into bf16 {bf16_share:.0f} %, into bf16 and then to nf4 {again_share:.0f} %")
PAGE = {0.003: (0.7, 93, 91), 0.01: (1.6, 100, 99), 0.03: (4.0, 100, 100), 0.1: (84, 100, 99)}  # in docs/fine-tuning.md
assert all(abs(one - said) < 1.5 for size, found in shares.items() for one, said in zip(found, PAGE[size], strict=True))

# %% [markdown]
# The size of the adapter that was trained at the head of this notebook, each layer's product against its weights:

# %%
pairs = [
    (one.get_delta_weight("default").float(), dequantize_4bit(one.weight.data, one.weight.quant_state).float())
    for one in trainer.model.modules()
    if hasattr(one, "get_delta_weight")
]
size = (sum(product.norm() ** 2 for product, _ in pairs) / sum(weight.norm() ** 2 for _, weight in pairs)) ** 0.5
print(f"{100 * size:.2f} % of the weights")
assert 0 < size < 0.05
