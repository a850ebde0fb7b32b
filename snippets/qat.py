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
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# own_figures = true
# colab_gpu = "L4"
# control = """
# import torchao.quantization
#
# torchao.quantization.quantize_ = lambda *_, **__: None
# """
#
# [tool.guide.swap]
# "weight_dtype=torch.int4" = "weight_dtype=torch.int8"
# ///

# %% [markdown]
# # Quantization-aware training with torchao
#
# Trains all weights while each forward pass rounds them, so that they learn to be rounded. Then it saves an ordinary
# checkpoint, quantizes it by both ways that there are, and compares with training that knows nothing of rounding.
#
# When to do it: [the guide's page](../docs/fine-tuning.md#quantization-aware-training-qat).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
device = show_environment("transformers", "accelerate", "torchao", needs="cpu")

# %% [markdown]
# ## The model and the text
#
# All weights are trained, in float32. 32 windows of 128 tokens are held out; training sees others.

# %%
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = "Qwen/Qwen3-0.6B"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
windows = evaluation_windows(tokenizer, count=256, length=128)
held_out, training = windows[:32], windows[64:]


@torch.no_grad()
def held_out_loss(model):
    """Mean loss of the held-out windows, in nats a token."""
    model.eval()
    parts = [model(input_ids=ids.to(device), labels=ids.to(device)).loss.item() for ids in held_out.split(8)]
    return sum(parts) / len(parts)


# %% [markdown]
# ## Prepare, train, save
#
# The configuration is the one that quantizes later. `prepare` puts layers in place that round their weights to it and hand
# gradients through. The output head is left out, as it is when Transformers quantizes.

# %%
# --8<-- [start:qat]
from torchao.quantization import IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerGroup
from torchao.quantization.qat import QATConfig


def is_quantized(module, name):
    return isinstance(module, torch.nn.Linear) and name != "lm_head"


int4 = IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32))
model = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.float32, device_map="auto")
quantize_(model, QATConfig(int4, step="prepare"), filter_fn=is_quantized)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
model.train()
for batch in training[:16].split(4):
    loss = model(input_ids=batch.to(device), labels=batch.to(device)).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
model.save_pretrained("qwen3-qat")
# --8<-- [end:qat]

# %% tags=["check"]
from torchao.quantization.qat.linear import FakeQuantizedLinear

layers = [one for one in model.modules() if isinstance(one, FakeQuantizedLinear)]
assert layers and all(one.weight_fake_quantizer.config.dtype == torch.int4 for one in layers)
assert not isinstance(model.lm_head, FakeQuantizedLinear)

# %% [markdown]
# What is saved is an ordinary checkpoint: it has no tensor more than the model had, and each engine can quantize it.

# %%
from safetensors import safe_open

with safe_open("qwen3-qat/model.safetensors", "pt") as file:
    saved = set(file.keys())
assert saved <= set(AutoModelForCausalLM.from_pretrained(MODEL).state_dict()), "a tensor of the fake quantizers was saved"
rounded = held_out_loss(model)
print(f"{len(saved)} tensors saved; held-out loss while rounded {rounded:.4f}")

# %% [markdown]
# ## Quantize: load with the same configuration
#
# Loading quantizes to the numbers that training saw. `convert` does the same to the model in memory.

# %%
# --8<-- [start:convert]
from transformers import TorchAoConfig

config = TorchAoConfig(IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(32)))
quantized = AutoModelForCausalLM.from_pretrained(
    "qwen3-qat", quantization_config=config, dtype=torch.float32, device_map="auto"
)
# --8<-- [end:convert]

# %% tags=["check"]
weights = [one.weight for name, one in quantized.named_modules() if is_quantized(one, name)]
assert weights and all(getattr(weight, "target_dtype", None) == torch.int4 for weight in weights)

# %%
quantize_(model, QATConfig(int4, step="convert"), filter_fn=lambda module, _: isinstance(module, FakeQuantizedLinear))
loaded, converted = held_out_loss(quantized), held_out_loss(model)
print(
    f"held-out loss: rounded in training {rounded:.4f}, loaded with the configuration {loaded:.4f}, converted {converted:.4f}"
)
assert abs(loaded - rounded) < 1e-3 and abs(converted - rounded) < 1e-3

# %% [markdown]
# ## What it gains
#
# At 2 bits, where rounding hurts, so that eight steps show it: the model rounded as it is; trained, then rounded; trained with
# rounding. The first model is a stand-in where the notebook says so, and its figures are no figures of a real one.

# %%
del model, optimizer, loss, quantized, weights, layers  # what follows needs their memory
int2 = IntxWeightOnlyConfig(weight_dtype=torch.int2, granularity=PerGroup(32))


def trained(aware):
    """The model after eight steps, with its weights rounded in each or not, then quantized to 2 bits."""
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, device_map="auto")
    if aware:
        quantize_(model, QATConfig(int2, step="prepare"), filter_fn=is_quantized)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4)
    model.train()
    for batch in training[:32].split(4):
        model(input_ids=batch.to(device), labels=batch.to(device)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    quantize_(model, QATConfig(int2, step="convert") if aware else int2, filter_fn=is_quantized)
    return model


baseline = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, device_map="auto")
losses = {"not quantized": held_out_loss(baseline)}
quantize_(baseline, int2, filter_fn=is_quantized)
losses["rounded to 2 bits"] = held_out_loss(baseline)
del baseline
losses["trained, then rounded"] = held_out_loss(trained(aware=False))
losses["trained with rounding"] = held_out_loss(trained(aware=True))
for what, loss in losses.items():
    print(f"{what}: held-out loss {loss:.3f}")
assert losses["trained with rounding"] < losses["trained, then rounded"] - 0.2
