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
# method = "bitsandbytes"
# needs = "cpu"
# minutes = 30
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# not_compared = """
# The figures are of nf4 before training, as in the notebook bitsandbytes; what training changed stands in the notebook."""
#
# [tool.guide.swap]
# "load_in_4bit=True" = "load_in_8bit=True"
# ///

# %% [markdown]
# # QLoRA: train adapters above 4-bit weights
#
# Loads a model in nf4, trains LoRA adapters above its frozen weights with PEFT, and measures the held-out loss before and
# after. Saves and reloads the adapter, merges it in two ways and measures both. At the end it trains a few steps above int8
# weights of bitsandbytes and of torchao.
#
# When to fine-tune what: [the guide's page](../docs/fine-tuning.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.adapters import adapter_losses

# %%
device = show_environment("transformers", "accelerate", "bitsandbytes", "peft", "torchao", "optimum-quanto", needs="cpu")

# %% [markdown]
# ## The model in bf16, the text
#
# Everything below is compared with this model. The first 64 windows of the text are held out. Training sees the 86 windows
# after them and nothing else.

# %%
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = "Qwen/Qwen3-0.6B"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
baseline = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
all_windows = evaluation_windows(tokenizer, count=150)
windows, training = all_windows[:64], all_windows[64:]
linears = decoder_linears(baseline)
prompt = tokenizer("def read_config(path):\n", return_tensors="pt").input_ids
assert len(training) == 86

# %% [markdown]
# ## nf4 weights
#
# nf4 with double quantization, as the QLoRA paper has it.

# %%
import bitsandbytes as bnb
from transformers import BitsAndBytesConfig

with stopwatch() as nf4_load:
    # --8<-- [start:load]
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
    model = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
    )
    # --8<-- [end:load]

# %% tags=["check"]
row = weigh("nf4, double quantization, before training", 4, model, baseline, nf4_load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, bnb.nn.Linear4bit) and layer.weight.quant_type == "nf4" for layer in layers)
assert row["linear_ratio"] > 3.5

# %%
model.save_pretrained("qwen3-nf4")  # before the first forward pass: see the traps of bitsandbytes
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-nf4", device_map="auto")
tokens = generated(model, prompt)
row |= {"saved_bytes": weight_files_bytes("qwen3-nf4"), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
row |= quality(model, baseline, windows) | speed(model, baseline, prompt)

# %% [markdown]
# ## The 4-bit weights before training, against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized.

# %% tags=["measures"]
MeasureTable([row]).show()

# %% [markdown]
# ## Train
#
# Adapters of rank 16 beside every linear layer of the decoder. One pass over the training windows, four windows a step.

# %%
# --8<-- [start:adapters]
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=device.type == "cuda")
lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
model = get_peft_model(model, lora)
# --8<-- [end:adapters]
model.print_trainable_parameters()


# %%
@torch.no_grad()
def losses(model) -> torch.Tensor:
    """Mean loss of each held-out window, in nats a token."""
    model.eval()
    found = [model(input_ids=ids[None].to(device), labels=ids[None].to(device)).loss.float().cpu() for ids in windows]
    return torch.stack(found)


def packed_weights(model) -> list[torch.Tensor]:
    """Copies of what is stored of every frozen 4-bit weight."""
    return [p.detach().clone() for p in model.parameters() if isinstance(p, bnb.nn.Params4bit)]


before = losses(model)
frozen = packed_weights(model)

# %%
# --8<-- [start:train]
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
generator = torch.Generator().manual_seed(0)
model.train()
for batch in training[torch.randperm(len(training), generator=generator)].split(4):
    loss = model(input_ids=batch.to(device), labels=batch.to(device)).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
# --8<-- [end:train]

# %% [markdown]
# The held-out loss fell by more than three standard errors of the paired difference, and the 4-bit weights did not change.

# %%
after = losses(model)
change = after - before
error = change.std() / len(change) ** 0.5
print(f"held-out loss {before.mean():.4f} before, {after.mean():.4f} after: {change.mean():+.4f} ± {error:.4f} nats a token")
assert change.mean() < -3 * error
assert len(frozen) == len(linears)
assert all(torch.equal(old, new) for old, new in zip(frozen, packed_weights(model), strict=True))

# %% [markdown]
# ## Save the adapter, reload it
#
# Only the adapter is saved. It goes above a freshly loaded nf4 model.

# %%
# --8<-- [start:save-reload]
from peft import PeftModel

model.save_pretrained("qwen3-adapter")
base = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
)
reloaded = PeftModel.from_pretrained(base, "qwen3-adapter")
# --8<-- [end:save-reload]
print(f"adapter {weight_files_bytes('qwen3-adapter'):,} bytes, nf4 model {row['saved_bytes']:,} bytes")
difference = (losses(reloaded) - after).abs().max()
print(f"largest difference of a window's loss after reloading: {difference:.4f}")
assert difference < 0.01

# %% [markdown]
# ## Merge it
#
# Merging writes the adapter into the weights. Into nf4 it rounds them to 4 bit again; into the bf16 model it does not, but
# those are not the weights the adapter was trained above, and the result takes bf16's memory.

# %%
merged = {"beside nf4, not merged": after.mean()}
base = AutoModelForCausalLM.from_pretrained(MODEL, quantization_config=config, dtype=torch.bfloat16, device_map="auto")
merged["merged into nf4"] = losses(PeftModel.from_pretrained(base, "qwen3-adapter").merge_and_unload()).mean()
# --8<-- [start:merge]
base = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
merged_model = PeftModel.from_pretrained(base, "qwen3-adapter").merge_and_unload()
merged_model.save_pretrained("qwen3-merged")
# --8<-- [end:merge]
merged["merged into bf16"] = losses(merged_model).mean()
merged["bf16 without adapter"] = losses(baseline).mean()
for name, loss in merged.items():
    print(f"{name}: held-out loss {loss:.4f}")
assert merged["merged into bf16"] < before.mean()
again = AutoModelForCausalLM.from_pretrained("qwen3-merged", device_map="auto")
assert torch.equal(generated(again, prompt), generated(merged_model, prompt))

# %% [markdown]
# ## Above other quantized weights
#
# Ten steps each on one batch. That the loss falls says that gradients reach the adapters, and no more.

# %%
from torchao.quantization import Int8WeightOnlyConfig
from transformers import QuantoConfig, TorchAoConfig

others = {
    "bitsandbytes int8": BitsAndBytesConfig(load_in_8bit=True),
    "torchao int8 weight-only": TorchAoConfig(Int8WeightOnlyConfig()),
    "quanto int8": QuantoConfig(weights="int8"),
}
refused = set()
for name, other in others.items():
    base = AutoModelForCausalLM.from_pretrained(MODEL, quantization_config=other, dtype=torch.bfloat16, device_map="auto")
    try:
        seen = adapter_losses(base, training[:4])
    except (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError) as error:
        refused.add(name)
        print(f"{name}: {type(error).__name__}: {str(error)[:200]}")
    else:
        print(f"{name}: loss {seen[0]:.4f} at the first step, {seen[-1]:.4f} at the tenth")
        assert seen[-1] < seen[0]
assert refused == {"quanto int8"}, f"Refused are {refused}: update the pages"
