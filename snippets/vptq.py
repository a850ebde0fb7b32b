# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "vptq==0.0.5.post1",
# ]
#
# [tool.guide]
# method = "vptq"
# needs = "cpu"
# minutes = 30
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# not_compared = """
# Its weights were quantized by a simple encoder of this guide, not by the method's own tool. The run shows that the library's
# layer runs; the method's quality is better and not shown."""
# control = """
# import torch
# torch.nn.Module.set_submodule = lambda *_, **__: None
# """
#
# [tool.guide.swap]
# "bits=8" = "bits=4"
#
# [tool.guide.weigh]
# before = """
# torch.manual_seed(0)
# model = bf16_model()
# linears = decoder_linears(model)
# """
# cells = ["k_means"]
# after = """
# for name in linears:
#     model.set_submodule(name, filled_layer(model.get_submodule(name), bits=8))
# """
# shapes = ["reference", "Qwen3-0.6B, 1 layer"]
# proven = true
# ///

# %% [markdown]
# # VPTQ: its layer alone
#
# Transformers 5.23.0 cannot load a VPTQ checkpoint, on any hardware, and the library's own loader raises with it too. The
# last part shows both. What does run is the library's layer. This notebook fills it by hand, measures it against bf16,
# saves and reloads it.
#
# When to take VPTQ at all: [the method's page](../docs/methods/vptq.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", "vptq", needs="cpu")

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
# ## Vectors instead of numbers
#
# Eight weights of one input column form a vector. A layer keeps 256 centroids, and for each vector the index of one; then
# 256 more for what that leaves over. Two indices of 8 bits for 8 weights are 2 bits a weight.
#
# k-means finds the centroids here. VPTQ itself weighs the error with second-order information from calibration text, keeps
# outlier columns apart, and tunes the centroids afterwards. That encoder is a research code beside the library, and is not
# run here.


# %%
def k_means(vectors: torch.Tensor, count: int, steps: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """``count`` centroids of float vectors, and the index of the nearest one of each vector."""
    centroids = vectors[torch.randperm(len(vectors), device=vectors.device)[:count]].clone()
    for step in range(steps + 1):
        nearest = (centroids.square().sum(1) - 2 * vectors @ centroids.T).argmin(1)
        if step < steps:
            members = torch.zeros(count, device=vectors.device).index_add_(0, nearest, torch.ones_like(vectors[:, 0]))
            total = torch.zeros_like(centroids).index_add_(0, nearest, vectors)
            centroids[members > 0] = total[members > 0] / members[members > 0, None]
    return centroids, nearest


# %%
# --8<-- [start:layer]
from vptq import VQuantLinear
from vptq.utils.pack import pack_index


def empty_layer(linear, bits):
    return VQuantLinear(
        linear.in_features,
        linear.out_features,
        vector_lens=[-1, 8],  # the first entry is for outlier columns, which are left out
        num_centroids=[-1, 2**bits],
        num_res_centroids=[-1, 2**bits],
        group_num=1,
        group_size=linear.in_features,
        outlier_size=0,
        indices_as_float=False,
        is_indice_packed=True,
        bias=linear.bias is not None,
        device=linear.weight.device,
        dtype=linear.weight.dtype,
        enable_proxy_error=False,
    )


def filled_layer(linear, bits):
    layer = empty_layer(linear, bits)
    rows, columns = linear.weight.shape
    vectors = linear.weight.detach().float().view(rows // 8, 8, columns).transpose(1, 2).reshape(-1, 8)
    centroids, index = k_means(vectors, 2**bits)
    rest, rest_index = k_means(vectors - centroids[index], 2**bits)
    layer.centroids.weight.data = centroids.to(linear.weight.dtype).view(1, -1)
    layer.res_centroids.weight.data = rest.to(linear.weight.dtype).view(1, -1)
    index, rest_index = (i.view(1, rows // 8, columns).to(torch.uint16) for i in (index, rest_index))
    layer.indices.data = pack_index(index, bits, rest_index, bits)
    if linear.bias is not None:
        layer.bias.data = linear.bias.detach().clone()
    return layer
    # --8<-- [end:layer]


# %%
torch.manual_seed(0)
with stopwatch() as load:
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
    for name in linears:
        model.set_submodule(name, filled_layer(model.get_submodule(name), bits=8))

# %% tags=["check"]
row = weigh("2 bit, 256 + 256 centroids", 2, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, VQuantLinear) for layer in layers)
assert all(layer.index_bits == 8 and layer.res_index_bits == 8 and layer.vector_len == 8 for layer in layers)
assert all(layer.indices.dtype == torch.int32 for layer in layers)
assert 5 < row["linear_ratio"] < 8

# %% [markdown]
# The layer's weight is the sum of the two centroids, so a product with it comes near the product with the original.

# %%
linear, layer = (other.get_submodule(linears[0]) for other in (baseline, model))
x = torch.randn(1, 16, linear.in_features, dtype=torch.bfloat16, device=baseline.device)
with torch.no_grad():
    error = (layer(x) - linear(x)).float().square().mean() / linear(x).float().square().mean()
print(f"{linears[0]}: relative squared error {error:.3f}")
assert 0 < error < 0.5

# %% [markdown]
# ## Save and reload
#
# Not through Transformers: safetensors writes the tensors, and the reader puts empty layers where full ones were.

# %%
from safetensors.torch import load_model, save_model

save_model(model, "vptq-2bit.safetensors")
reloaded = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
for name in linears:
    reloaded.set_submodule(name, empty_layer(reloaded.get_submodule(name), layer.index_bits))
load_model(reloaded, "vptq-2bit.safetensors", device=str(reloaded.device))
tokens = generated(model, prompt)
print(tokenizer.decode(tokens[0]))
row |= {
    "saved_bytes": Path("vptq-2bit.safetensors").stat().st_size,
    "reload_equal": torch.equal(tokens, generated(reloaded, prompt)),
}
assert row["reload_equal"]

# %% [markdown]
# ## Measured against bf16
#
# *Whole model* counts every stored tensor, scales and embeddings included; *decoder linears* counts what is quantized. A
# small model keeps a large share of its weights in the embeddings, which stay in bf16, so its whole-model saving is
# smaller than a large model's.

# %% tags=["measures"]
row |= quality(model, baseline, windows) | speed(model, baseline, prompt)
MeasureTable([row]).show()

# %% [markdown]
# What must hold on any model: it is not bf16 in disguise.

# %%
assert row["kl"] > 0

# %% [markdown]
# ## What goes wrong
#
# Each cell stands alone, shows a fault happen, and will fail on the day it is mended.
#
# ### Transformers cannot load a VPTQ checkpoint
#
# Without a GPU, loading is refused. With one it raises a KeyError: `replace_with_vptq_linear` looks up the path of a layer,
# such as `model.layers.0.self_attn.q_proj`, among the direct children of the model. The cell calls that function itself, so
# that it shows the fault on any machine; no checkpoint is needed.

# %% tags=["trap:vptq-load"]
import torch
from transformers import AutoConfig, AutoModelForCausalLM, VptqConfig
from transformers.integrations import replace_with_vptq_linear

shape = {"vector_lens": [-1, 8], "num_centroids": [-1, 256], "num_res_centroids": [-1, 256], "group_size": 1024}
shape |= {"group_num": 1, "outlier_size": 0, "indices_as_float": False, "enable_norm": False, "enable_perm": False}
config = AutoConfig.from_pretrained("Qwen/Qwen3-0.6B")
with torch.device("meta"):
    model = AutoModelForCausalLM.from_config(config)
names = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and name != "lm_head"]
vptq_config = VptqConfig(config_for_layers=dict.fromkeys(names, shape))
try:
    replace_with_vptq_linear(model, modules_to_not_convert=["lm_head"], quantization_config=vptq_config)
    raised = None
except KeyError as error:
    raised = error
print(f"Replacing the layers: {raised!r}")
if not torch.cuda.is_available():
    config.quantization_config = vptq_config.to_dict()
    try:
        AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", config=config)
    except RuntimeError as error:
        print(f"Loading without a GPU: {error!r}")
known_fault(raised is not None, "transformers", "vptq")

# %% [markdown]
# ### The library's own loader raises
#
# `vptq.AutoModelForCausalLM` uses a function that Transformers no longer has.

# %% tags=["trap:vptq-loader"]
import vptq

try:
    vptq.AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")
    raised = None
except AttributeError as error:
    raised = error
print(repr(raised))
known_fault(raised is not None and "no_init_weights" in str(raised), "vptq", "transformers")
