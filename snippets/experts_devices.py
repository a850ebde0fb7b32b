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
#
# [tool.guide.not_pasted]
# experts = "FOLDER stands for your mixture of experts"
# lora = "FOLDER stands for your mixture of experts"
# ///

# %% [markdown]
# # Mixtures of experts, and more than one device
#
# Each cell runs what a page says of fused experts, of LoRA in them, of offloading and of sharding, and fails on the day a
# library changes. The models are small and random.
#
# The pages: [mixtures of experts](../docs/experts.md), [more than one device](../docs/devices.md).

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
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, QuantoConfig, TorchAoConfig

# %%
FOLDER = tiny_experts()
ids = torch.arange(2, 34)[None]

# %% [markdown]
# ## The experts are two parameters of three dimensions; the router is no nn.Linear either

# %%
plain = AutoModelForCausalLM.from_pretrained(FOLDER)
mixture = plain.model.layers[0].mlp
for name, parameter in mixture.named_parameters():
    print(name, tuple(parameter.shape))
assert not any(isinstance(module, torch.nn.Linear) for module in mixture.modules())
assert mixture.experts.gate_up_proj.ndim == mixture.experts.down_proj.ndim == 3

# %% [markdown]
# ## bitsandbytes, torchao and Quanto quantize the attention and leave the experts in bf16

# %%
from torchao.quantization import Int8WeightOnlyConfig

for config in (
    BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    BitsAndBytesConfig(load_in_8bit=True),
    TorchAoConfig(Int8WeightOnlyConfig()),
    QuantoConfig(weights="int8"),
):
    layer = AutoModelForCausalLM.from_pretrained(FOLDER, quantization_config=config).model.layers[0]
    attention, experts, router = layer.self_attn.q_proj.weight, layer.mlp.experts.gate_up_proj, layer.mlp.gate.weight
    print(f"{config.quant_method.value}: {type(attention).__name__}; experts {experts.dtype}, router {router.dtype}")
    assert type(attention) is not torch.nn.Parameter
    assert {type(one) for one in (experts, router)} == {torch.nn.Parameter}, "the experts are quantized now"
    assert experts.dtype == router.dtype == torch.bfloat16

# %% [markdown]
# ## torchao quantizes them if you name them
#
# The default implementation multiplies the experts as one batch, which int8 weights do not take: name `eager`.

# %%
# --8<-- [start:experts]
from torchao.quantization import FqnToConfig, Int8WeightOnlyConfig
from transformers import AutoModelForCausalLM, TorchAoConfig

int8 = Int8WeightOnlyConfig()
config = TorchAoConfig(FqnToConfig({r"re:.*\.experts\.(gate_up|down)_proj": int8, r"re:.*\.self_attn\.[qkvo]_proj": int8}))
model = AutoModelForCausalLM.from_pretrained(
    FOLDER, quantization_config=config, experts_implementation="eager", device_map="auto"
)
print(type(model.model.layers[0].mlp.experts.gate_up_proj).__name__)  # Int8Tensor
# --8<-- [end:experts]

# %%
from pathlib import Path


def file_bytes(folder):
    """Bytes of the weights of a saved model."""
    return sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))


def distance(logits):
    """Relative distance from the logits of the bf16 model."""
    return ((logits - plain(ids).logits).norm() / plain(ids).logits.norm()).item()


layer = model.model.layers[0]
assert {type(one).__name__ for one in (layer.mlp.experts.gate_up_proj, layer.self_attn.q_proj.weight)} == {"Int8Tensor"}
assert type(layer.mlp.gate.weight) is type(model.lm_head.weight) is torch.nn.Parameter, "router and head stay"
assert distance(model(ids).logits) < 0.05
model.save_pretrained("int8-experts")
again = AutoModelForCausalLM.from_pretrained("int8-experts", experts_implementation="eager")
assert torch.equal(again(ids).logits, model(ids).logits)
print(f"{file_bytes(FOLDER):,} bytes in bf16, {file_bytes('int8-experts'):,} saved in int8")
assert file_bytes("int8-experts") < 0.6 * file_bytes(FOLDER)

# %%
with shows(NotImplementedError, "Int8Tensor dispatch: attempting to run unimplemented operator/function"):
    AutoModelForCausalLM.from_pretrained("int8-experts")(ids)

# %% [markdown]
# The classes for 4 bit refuse three dimensions.

# %%
from torchao.quantization import IntxWeightOnlyConfig, quantize_

four_bit = FqnToConfig({"gate_up_proj": IntxWeightOnlyConfig(torch.int4)})
with shows(ValueError, "IntxWeightOnlyConfig only works for 2-d and 4-d Tensors, got: 3"):
    quantize_(AutoModelForCausalLM.from_pretrained(FOLDER).model.layers[0].mlp.experts, four_bit, filter_fn=None)

# %% [markdown]
# ## LoRA: all-linear trains the experts and the router too; target_parameters names what it shall train

# %%
from peft import get_peft_model


def trained(model, lora):
    """The loss before each of five steps on one batch, and the names of what was trained."""
    torch.manual_seed(0)
    model = get_peft_model(model, lora)
    adapters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.AdamW(adapters.values(), lr=1e-2)
    losses = []
    for _ in range(5):
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(round(loss.item(), 2))
    return losses, adapters


def parts(adapters):
    """How many adapter parameters the experts, the router and the attention have."""
    return {
        part: sum(one.numel() for name, one in adapters.items() if f".{part}." in name)
        for part in ("experts", "gate", "self_attn")
    }


# %%
# --8<-- [start:lora]
from peft import LoraConfig

attention = LoraConfig(r=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
experts = LoraConfig(
    r=4,
    target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
    target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
)
# --8<-- [end:lora]
nf4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
for lora, reached in (
    (LoraConfig(r=4, target_modules="all-linear"), {"experts", "gate", "self_attn"}),
    (attention, {"self_attn"}),
    (experts, {"experts", "self_attn"}),
):
    asked = lora.target_modules  # PEFT writes what it made of it into the configuration
    losses, adapters = trained(AutoModelForCausalLM.from_pretrained(FOLDER, quantization_config=nf4), lora)
    print(asked, lora.target_parameters, losses, parts(adapters))
    assert losses[-1] < losses[0]
    assert {part for part, count in parts(adapters).items() if count} == reached, "PEFT reads it otherwise now"

# %% [markdown]
# Each expert has an adapter of its own: 8 experts of 2 x 128 and 128 x 128, in 2 layers.

# %%
assert parts(adapters)["experts"] == 2 * 8 * 4 * ((128 + 2 * 128) + (128 + 128))

# %% [markdown]
# Above int8 experts that fails; adapters on the attention train.

# %%
int8_experts = {"quantization_config": config, "experts_implementation": "eager"}
with shows(NotImplementedError, "Int8Tensor dispatch: attempting to run unimplemented operator/function"):
    trained(AutoModelForCausalLM.from_pretrained(FOLDER, **int8_experts), experts)
losses, _ = trained(AutoModelForCausalLM.from_pretrained(FOLDER, **int8_experts), attention)
assert losses[-1] < losses[0]

# %% [markdown]
# `prepare_model_for_kbit_training` casts the experts to float32: twice the memory of the largest part.

# %%
from peft import prepare_model_for_kbit_training

model = prepare_model_for_kbit_training(AutoModelForCausalLM.from_pretrained(FOLDER, quantization_config=nf4))
print(model.model.layers[0].mlp.experts.gate_up_proj.dtype)
assert model.model.layers[0].mlp.experts.gate_up_proj.dtype == torch.float32, "the experts keep their type now"

# %% [markdown]
# ## Offload: what is refused

# %%
SPLIT = dict.fromkeys(("model.embed_tokens", "model.layers.0", "model.norm", "model.rotary_emb", "lm_head"), "cpu")
SPLIT["model.layers.1"] = "disk"
unquantized = AutoModelForCausalLM.from_pretrained(tiny(), device_map=SPLIT)
assert unquantized.model.layers[1].mlp.up_proj.weight.device.type == "meta"  # its weight is read when the layer runs
assert torch.equal(unquantized(ids).logits, AutoModelForCausalLM.from_pretrained(tiny())(ids).logits)
with shows(ValueError, "This is not supported with quanto when the model is quantized on the fly"):
    AutoModelForCausalLM.from_pretrained(tiny(), device_map=SPLIT, quantization_config=QuantoConfig(weights="int8"))
AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=TorchAoConfig(int8)).save_pretrained("tiny-int8")
with shows(ValueError, "You are attempting to perform disk offload with a pre-quantized torchao model"):
    AutoModelForCausalLM.from_pretrained("tiny-int8", device_map=SPLIT)

# %% [markdown]
# The experts are stored one by one and merged while they load, so they cannot stay in the checkpoint's files.

# %%
with shows(ValueError, "The current `device_map` had weights offloaded to the disk, which needed to be re-saved"):
    AutoModelForCausalLM.from_pretrained(FOLDER, device_map=SPLIT)
offloaded = AutoModelForCausalLM.from_pretrained(FOLDER, device_map=SPLIT, offload_folder="offloaded")
assert offloaded.model.layers[1].mlp.experts.gate_up_proj.device.type == "meta"
assert torch.equal(offloaded(ids).logits, plain(ids).logits)

# %% [markdown]
# ## bitsandbytes: what goes to the CPU or the disk stays unquantized
#
# The quantizer is asked as `from_pretrained` asks it, on a model without weights: a GPU may be named where there is none.

# %%
from transformers import AutoConfig
from transformers.quantizers.auto import AutoHfQuantizer

# --8<-- [start:offload]
from transformers import BitsAndBytesConfig

on_gpu = ["model.embed_tokens", "model.layers.0", "model.norm", "model.rotary_emb", "lm_head"]
device_map = {**dict.fromkeys(on_gpu, 0), "model.layers.1": "cpu"}
bnb = BitsAndBytesConfig(load_in_4bit=True, llm_int8_enable_fp32_cpu_offload=True)
# --8<-- [end:offload]
with shows(ValueError, "Some modules are dispatched on the CPU or the disk"):
    without = BitsAndBytesConfig(load_in_4bit=True)
    AutoHfQuantizer.from_config(without, pre_quantized=False).validate_environment(device_map=device_map)
quantizer = AutoHfQuantizer.from_config(bnb, pre_quantized=False)
quantizer.validate_environment(device_map=device_map)
with torch.device("meta"):
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tiny()))
quantizer.preprocess_model(model=model, device_map=device_map)
kinds = [type(layer.mlp.up_proj).__name__ for layer in model.model.layers]
print(kinds)
assert kinds == ["Linear4bit", "Linear"]

# %% [markdown]
# Where there is no GPU, nothing is quantized, and nothing becomes 32 bit.

# %%
offloaded = AutoModelForCausalLM.from_pretrained(tiny(), device_map=SPLIT, quantization_config=bnb)
assert {type(layer.mlp.up_proj) for layer in offloaded.model.layers} == {torch.nn.Linear}
assert offloaded.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
assert torch.equal(offloaded(ids).logits, unquantized(ids).logits)

# %% [markdown]
# A saved checkpoint does not take the flag: the configuration that you pass is ignored.

# %%
AutoModelForCausalLM.from_pretrained(tiny(), quantization_config=nf4).save_pretrained("tiny-nf4")
with shows(ValueError, "Some modules are dispatched on the CPU or the disk"):
    AutoModelForCausalLM.from_pretrained("tiny-nf4", device_map=SPLIT, quantization_config=bnb)

# %% [markdown]
# ## Sharding: FSDP takes nf4 after loading, and nothing quantized while loading
#
# Two processes on the CPU, started by torchrun. FSDP 2 cuts each 4-bit weight in two; its loss is that of one process.

# %%
import re
import subprocess
import sys

SCRIPT = """
# --8<-- [start:fsdp]
import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

NF4 = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
LORA = LoraConfig(r=4, target_modules=["q_proj", "v_proj"])


def qlora(folder, config=NF4):
    # the quantized model with adapters to train, whole in each process
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config)
    return get_peft_model(model, LORA, autocast_adapter_dtype=False)


def shard(model):
    # each layer divided over the processes, then what is left of the model
    torch.distributed.init_process_group("gloo")  # "nccl" on GPUs
    for layer in model.base_model.model.model.layers:
        fully_shard(layer)
    fully_shard(model)
# --8<-- [end:fsdp]


import json
import sys

from transformers.distributed import DistributedConfig

folder, kind, wanted = sys.argv[1:]
in_bf16 = {"bnb_4bit_compute_dtype": torch.bfloat16, "bnb_4bit_quant_storage": torch.bfloat16}
config = {
    "int8": BitsAndBytesConfig(load_in_8bit=True),
    "nf4": NF4,
    "nf4 in bf16": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", **in_bf16),
}[kind]
torch.manual_seed(0)
if wanted == "load":
    halves = DistributedConfig(fsdp_size=2)
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, distributed_config=halves)
else:
    model = qlora(folder, config)
if wanted == "shard":
    shard(model)
ids = torch.arange(2, 34)[None]
model.train()  # in evaluation mode bitsandbytes packs 4-bit weights otherwise on a CPU
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
losses = []
for _ in range(4):
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    losses.append(round(loss.item(), 2))
held = [p for name, p in model.named_parameters() if "up_proj" in name][0]
held = held.to_local() if hasattr(held, "to_local") else held
print("ROW " + json.dumps({"losses": losses, "bytes": held.numel() * held.element_size()}))
"""
Path("shard.py").write_text(SCRIPT)


def run(processes, *arguments):
    """The losses and the bytes held of one layer, as each process prints them; else the first error."""
    start = ["-m", "torch.distributed.run", f"--nproc-per-node={processes}"] if processes > 1 else []
    done = subprocess.run([sys.executable, *start, "shard.py", *arguments], capture_output=True, text=True, check=False)
    rows = [json.loads(row) for row in re.findall(r"ROW (\{.*?\})", done.stdout)]  # two may share a line
    errors = [line.partition("]: ")[2] for line in done.stderr.splitlines() if line.startswith("[rank") and "Error: " in line]
    return rows or errors[:1]


# %%
for kind in ("nf4", "nf4 in bf16"):
    (alone,), sharded = run(1, tiny(), kind, "alone"), run(2, tiny(), kind, "shard")
    print(kind, alone, sharded)
    assert [row["bytes"] for row in sharded] == [alone["bytes"] // 2] * 2, "a process holds more than its half"
    for row in sharded:
        assert all(abs(one - other) < 0.02 for one, other in zip(row["losses"], alone["losses"], strict=True))

# %%
for kind, wanted, error in (
    ("int8", "shard", "AttributeError: 'Parameter' object has no attribute 'CB'"),
    ("nf4", "load", "RuntimeError: start (0) + length"),
):
    found = run(2, tiny(), kind, wanted)
    print(kind, wanted, "|", found)
    assert error in found[0], "it works now, or fails otherwise: update the page"
