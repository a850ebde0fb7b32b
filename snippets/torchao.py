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
# method = "torchao"
# needs = "cpu"
# minutes = 20
# not_pasted = {int4 = "its kernel is for NVIDIA GPUs from 8.0 on", float8-dynamic = "it needs an NVIDIA GPU from 8.9 on"}
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
#
# [tool.guide.swap]
# "import Int8Tensor, Int8WeightOnlyConfig" = "import Int8Tensor, IntxWeightOnlyConfig"
# "(Int8WeightOnlyConfig())" = "(IntxWeightOnlyConfig(weight_dtype=torch.int4))"
# "import Int8DynamicActivationInt8WeightConfig" = "import Int8DynamicActivationIntxWeightConfig"
# "Int8DynamicActivationInt8WeightConfig()" = "Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4)"
# "import Float8Tensor, Float8WeightOnlyConfig" = "import Float8Tensor, IntxWeightOnlyConfig"
# "(Float8WeightOnlyConfig())" = "(IntxWeightOnlyConfig(weight_dtype=torch.int4))"
# "import Int4WeightOnlyConfig" = "import Int8WeightOnlyConfig as Int4WeightOnlyConfig"
# 'group_size=128, int4_packing_format="tile_packed_to_4d", int4_choose_qparams_algorithm="hqq"' = ""
# "import Float8DynamicActivationFloat8WeightConfig, PerRow" = "import Int8WeightOnlyConfig"
# "Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())" = "Int8WeightOnlyConfig()"
#
# [tool.guide.weigh]
# shapes = ["fast"]
# not_here = ["int4-weight-only", "float8-dynamic"]
# ///

# %% [markdown]
# # torchao: int8, float8 and int4, made for torch.compile
#
# Loads one model in bf16 and with torchao's int8 weight-only, int8 dynamic and float8 weight-only configurations (float8
# dynamic and int4 weight-only too where the GPU has their kernels); generates with each, measures each against bf16, saves
# and reloads each, and compiles one. It runs on a CPU, on any NVIDIA GPU and on Colab's free T4.
#
# When to take torchao at all: [the method's page](../docs/methods/torchao.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "torchao", needs="cpu")

# %% [markdown]
# ## The model in bf16
#
# Everything below is compared with this one.

# %%
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

MODEL = "Qwen/Qwen3-0.6B"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
baseline = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
windows = evaluation_windows(tokenizer)
linears = decoder_linears(baseline)
prompt = tokenizer("def read_config(path):\n", return_tensors="pt").input_ids
print(tokenizer.decode(generated(baseline, prompt)[0]))

# %% [markdown]
# ## int8 weight-only
#
# One scale a row; the weights are unpacked to bf16 for the matrix product. Saves memory traffic, which is what limits
# decoding at batch 1.

# %%
from torchao.quantization import Int8Tensor, Int8WeightOnlyConfig
from transformers import TorchAoConfig

with stopwatch() as int8_load:
    # --8<-- [start:int8]
    int8 = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=TorchAoConfig(Int8WeightOnlyConfig()),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:int8]

# %% tags=["check"]
int8_row = weigh("int8 weight-only", 8, int8, baseline, int8_load)
int8_weights = [int8.get_submodule(name).weight for name in linears]
assert all(isinstance(weight, Int8Tensor) and weight.qdata.dtype == torch.int8 for weight in int8_weights)
assert all(weight.act_quant_kwargs is None for weight in int8_weights)
assert int8_row["linear_ratio"] > 1.9

# %%
# --8<-- [start:save-reload]
int8.save_pretrained("qwen3-int8")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-int8", device_map="auto")
# --8<-- [end:save-reload]
tokens = generated(int8, prompt)
print(tokenizer.decode(tokens[0]))
int8_row |= {"saved_bytes": weight_files_bytes("qwen3-int8"), "reload_equal": torch.equal(tokens, generated(reloaded, prompt))}
assert int8_row["reload_equal"]
assert isinstance(reloaded.get_submodule(linears[0]).weight, Int8Tensor)

# %% [markdown]
# ## int8 dynamic
#
# The same weights, and activations quantized to int8 a token at a time as they come, so that the matrix product itself
# runs in int8. Pays off at large batches and long prompts, not at batch 1.

# %%
from torchao.quantization import Int8DynamicActivationInt8WeightConfig

with stopwatch() as dynamic_load:
    # --8<-- [start:int8-dynamic]
    dynamic = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=TorchAoConfig(Int8DynamicActivationInt8WeightConfig()),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:int8-dynamic]

# %% tags=["check"]
dynamic_row = weigh("int8 dynamic", 8, dynamic, baseline, dynamic_load)
dynamic_weights = [dynamic.get_submodule(name).weight for name in linears]
assert all(isinstance(weight, Int8Tensor) and weight.qdata.dtype == torch.int8 for weight in dynamic_weights)
assert all(weight.act_quant_kwargs is not None for weight in dynamic_weights)
assert dynamic_row["linear_ratio"] > 1.9

# %%
dynamic.save_pretrained("qwen3-int8-dynamic")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-int8-dynamic", device_map="auto")
tokens = generated(dynamic, prompt)
print(tokenizer.decode(tokens[0]))
dynamic_row |= {
    "saved_bytes": weight_files_bytes("qwen3-int8-dynamic"),
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
}
assert dynamic_row["reload_equal"]
assert reloaded.get_submodule(linears[0]).weight.act_quant_kwargs is not None

# %% [markdown]
# ## float8 weight-only
#
# e4m3 values with one scale a row. It loads anywhere; on an NVIDIA GPU torch.compile takes this type from compute capability
# 8.9 on.

# %%
from torchao.quantization import Float8Tensor, Float8WeightOnlyConfig

with stopwatch() as float8_load:
    # --8<-- [start:float8]
    float8 = AutoModelForCausalLM.from_pretrained(
        "Qwen/Qwen3-0.6B",
        quantization_config=TorchAoConfig(Float8WeightOnlyConfig()),
        dtype=torch.bfloat16,
        device_map="auto",
    )
    # --8<-- [end:float8]

# %% tags=["check"]
float8_row = weigh("float8 weight-only", 8, float8, baseline, float8_load)
float8_weights = [float8.get_submodule(name).weight for name in linears]
assert all(isinstance(weight, Float8Tensor) for weight in float8_weights)
assert all(weight.qdata.dtype == torch.float8_e4m3fn for weight in float8_weights)
assert float8_row["linear_ratio"] > 1.9

# %%
float8.save_pretrained("qwen3-float8")
reloaded = AutoModelForCausalLM.from_pretrained("qwen3-float8", device_map="auto")
tokens = generated(float8, prompt)
print(tokenizer.decode(tokens[0]))
float8_row |= {
    "saved_bytes": weight_files_bytes("qwen3-float8"),
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
}
assert float8_row["reload_equal"]

variants = [(int8_row, int8), (dynamic_row, dynamic), (float8_row, float8)]

# %% [markdown]
# ## float8 dynamic
#
# Activations become float8 too, a scale a token, so that the product runs on the float8 units of an NVIDIA GPU of compute
# capability 8.9 (Ada) and up. Scales by row cost less quality than one for the whole tensor, which is the default.

# %%
from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow

has_float8_units = device.type == "cuda" and torch.cuda.get_device_capability() >= (8, 9)
if has_float8_units:
    with stopwatch() as float8_dynamic_load:
        # --8<-- [start:float8-dynamic]
        float8_dynamic = AutoModelForCausalLM.from_pretrained(
            "Qwen/Qwen3-0.6B",
            quantization_config=TorchAoConfig(Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())),
            dtype=torch.bfloat16,
            device_map="auto",
        )
        # --8<-- [end:float8-dynamic]
else:
    print("float8 dynamic was not run: this machine has no NVIDIA GPU of compute capability 8.9 or higher.")

# %% tags=["check", "needs:cuda>=8.9"]
if has_float8_units:
    float8_dynamic_row = weigh("float8 dynamic", 8, float8_dynamic, baseline, float8_dynamic_load)
    float8_dynamic_weights = [float8_dynamic.get_submodule(name).weight for name in linears]
    assert all(isinstance(weight, Float8Tensor) for weight in float8_dynamic_weights)
    assert all(weight.act_quant_kwargs is not None for weight in float8_dynamic_weights)

# %%
if has_float8_units:
    float8_dynamic.save_pretrained("qwen3-float8-dynamic")
    reloaded = AutoModelForCausalLM.from_pretrained("qwen3-float8-dynamic", device_map="auto")
    tokens = generated(float8_dynamic, prompt)
    print(tokenizer.decode(tokens[0]))
    float8_dynamic_row |= {
        "saved_bytes": weight_files_bytes("qwen3-float8-dynamic"),
        "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
    }
    assert float8_dynamic_row["reload_equal"]
    variants.append((float8_dynamic_row, float8_dynamic))

# %% [markdown]
# ## int4 weight-only
#
# Groups of 128 weights share a scale and a zero point, which HQQ's algorithm chooses, as in torchao's README. The
# `tile_packed_to_4d` layout uses a kernel that PyTorch itself ships for NVIDIA GPUs of compute capability 8.0 (Ampere) and
# up; a T4 or a CPU does not have it. The default layout of `Int4WeightOnlyConfig` needs the separate package mslk. The
# kernel pads each row to a multiple of 1024 weights, so a model whose layers are narrower than that gains less, or nothing.

# %%
from torchao.quantization import Int4WeightOnlyConfig

has_int4_kernel = device.type == "cuda" and torch.cuda.get_device_capability() >= (8, 0)
if has_int4_kernel:
    with stopwatch() as int4_load:
        # --8<-- [start:int4]
        int4 = AutoModelForCausalLM.from_pretrained(
            "Qwen/Qwen3-0.6B",
            quantization_config=TorchAoConfig(
                Int4WeightOnlyConfig(
                    group_size=128, int4_packing_format="tile_packed_to_4d", int4_choose_qparams_algorithm="hqq"
                )
            ),
            dtype=torch.bfloat16,
            device_map="auto",
        )
        # --8<-- [end:int4]
else:
    print("int4 weight-only was not run: this machine has no NVIDIA GPU of compute capability 8.0 or higher.")

# %% tags=["check", "needs:cuda>=8.0"]
if has_int4_kernel:
    from torchao.quantization import Int4TilePackedTo4dTensor

    int4_row = weigh("int4 weight-only", 4, int4, baseline, int4_load)
    int4_weights = [int4.get_submodule(name).weight for name in linears]
    assert all(isinstance(weight, Int4TilePackedTo4dTensor) for weight in int4_weights)
    for weight in int4_weights:
        height, width = weight.shape
        padded_width = -(-width // 1024) * 1024
        assert weight.qdata.nbytes == height * padded_width / 2  # half a byte each

# %%
if has_int4_kernel:
    int4.save_pretrained("qwen3-int4")
    reloaded = AutoModelForCausalLM.from_pretrained("qwen3-int4", device_map="auto")
    tokens = generated(int4, prompt)
    print(tokenizer.decode(tokens[0]))
    int4_row |= {
        "saved_bytes": weight_files_bytes("qwen3-int4"),
        "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
    }
    assert int4_row["reload_equal"]
    variants.append((int4_row, int4))

# %% [markdown]
# ## torch.compile
#
# Without it torchao runs each unpacking step as a kernel of its own; with it they are fused into the matrix product. A
# cache of fixed size lets one compiled graph serve every step. Compiling costs seconds to minutes at the first call, and
# again for each new batch size. On a GPU below compute capability 8.0, such as a T4, torch.compile skips bf16: load in float16
# first, or the last row is not compiled.

# %%
rows = [row | quality(model, baseline, windows) | speed(model, baseline, prompt) for row, model in variants]

# %%
# --8<-- [start:compile]
int8.generation_config.cache_implementation = "static"
int8.generation_config.disable_compile = True  # compile once, here, instead of once more in generate
int8.forward = torch.compile(int8.forward)
# --8<-- [end:compile]
baseline.generation_config = int8.generation_config  # bf16 too, to compare with
baseline.forward = torch.compile(baseline.forward)
torch._inductor.config.coordinate_descent_tuning = False  # torchao turns it on: a GPU then tries kernels for minutes
with stopwatch() as first_call:
    for model in (int8, baseline):
        generated(model, prompt)
print(f"both compiled in {first_call.seconds:.0f} s")
rows.append(rows[0] | speed(int8, baseline, prompt) | {"variant": "int8 weight-only, both compiled"})

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
MeasureTable(rows).show()

# %% [markdown]
# What must hold on any model: no variant is bf16 in disguise, 8 bit costs less than a twentieth of a nat.

# %%
assert all(row["kl"] > 0 for row in rows)
assert all(abs(row["loss_difference"]) < 0.05 for row in rows if row["bits"] == 8)

# %% [markdown]
# ## What goes wrong without an error
#
# Each cell stands alone, shows a fault happen, and will fail on the day it is mended.
#
# ### int8 dynamic, compiled on a CPU with AMX, decodes nonsense
#
# For one token at a time Inductor hands torch._int_mm a view whose first stride is 0; oneDNN refuses it, nobody looks at the
# refusal, and what stood in memory is taken for the product ([PyTorch issue
# 195066](https://github.com/pytorch/pytorch/issues/195066)). Two tokens at a time are right. Seen on an Intel Xeon with AMX;
# an AMD EPYC, which has none, is right at one token too.

# %% tags=["trap:int8-dynamic-compiled"]
import torch
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

layer = torch.nn.Linear(256, 256, bias=False, dtype=torch.bfloat16)
quantize_(layer, Int8DynamicActivationInt8WeightConfig())
compiled = torch.compile(layer)
for tokens in (2, 1):
    hidden = torch.randn(1, tokens, 256, dtype=torch.bfloat16)
    with torch.no_grad():
        right = layer(hidden).float()
        off = (compiled(hidden).float() - right).norm() / right.norm()
    print(f"{tokens} at a time: compiled is off by {off:.1g} times the right result")
if torch.cpu._is_amx_tile_supported():
    known_fault(off > 1, "torch", "torchao")
else:
    print("This CPU has no AMX, without which the fault was not seen.")

# %% [markdown]
# ### The memory footprint shows no saving at all
#
# A torchao weight reports the dtype and shape it stands for; `get_memory_footprint` computes from those.

# %% tags=["trap:torchao-footprint"]
import torch
from torchao.quantization import Int8WeightOnlyConfig
from transformers import AutoModelForCausalLM, TorchAoConfig

config = TorchAoConfig(Int8WeightOnlyConfig())
plain = AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto")
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
)
weight = model.get_submodule("model.layers.0.mlp.up_proj").weight
print(f"one weight stores {weight.qdata.nbytes:,} bytes and its scales {weight.scale.nbytes:,}, bf16 {2 * weight.numel():,}")
print(f"footprint {model.get_memory_footprint():,} bytes, of the bf16 model {plain.get_memory_footprint():,} bytes")
known_fault(model.get_memory_footprint() == plain.get_memory_footprint(), "torchao", "transformers")

# %% [markdown]
# ### Intx at 4 bit stores 8
#
# `IntxWeightOnlyConfig` keeps values of 4 bits one a byte. It is meant for export, and saves no more than int8.

# %% tags=["trap:intx-unpacked"]
import torch
from torchao.quantization import IntxWeightOnlyConfig
from transformers import AutoModelForCausalLM, TorchAoConfig

config = TorchAoConfig(IntxWeightOnlyConfig(weight_dtype=torch.int4))
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", quantization_config=config, dtype=torch.bfloat16, device_map="auto"
)
weight = model.get_submodule("model.layers.0.mlp.up_proj").weight
print(f"{weight.numel():,} weights of 4 bits take {weight.qdata.nbytes:,} bytes; packed it would be {weight.numel() // 2:,}")
known_fault(weight.qdata.nbytes == weight.numel(), "torchao")
