# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
# ]
#
# [tool.guide]
# method = "higgs"
# needs = "cpu"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# not_compared = """
# The rounding was written by this guide after the method; neither Transformers' quantizer nor the kernels of flute ran. Its
# speed is that of plain PyTorch and says nothing of the method."""
# control = """
# import torch
# torch.nn.Module.set_submodule = lambda *_, **__: None
# """
#
# [tool.guide.swap]
# "bits=4" = "bits=2"
# ///

# %% [markdown]
# # HIGGS: its rounding alone
#
# Transformers 5.23.0 cannot quantize with `HiggsConfig`, on any hardware; the last part shows it. This notebook does in plain
# PyTorch what HIGGS does to a weight, with the grid that Transformers carries, and measures what the rounding costs. No
# kernel of the method runs.
#
# When to take HIGGS at all: [the method's page](../docs/methods/higgs.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.known_fault import known_fault

# %%
device = show_environment("transformers", "accelerate", needs="cpu")

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
# ## Turn, scale, look up
#
# A Hadamard transform turns each block of a row, after which its numbers are spread nearly like a normal distribution,
# whatever they were before. So one grid, computed once for the normal distribution, fits every layer, and no calibration
# text is needed. At 4 bits the grid has 256 points for pairs of weights: 8 bits a pair. The activations are turned the same
# way, which leaves the product as it was.

# %%
from functools import cache

from torch.nn.functional import linear as product
from transformers.integrations.higgs import get_higgs_grid


@cache
def hadamard(size: int, device: torch.device) -> torch.Tensor:
    """The symmetric orthogonal matrix of Hadamard's transform; ``size`` is a power of 2."""
    matrix = torch.ones(1, 1, device=device)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix / size**0.5


class RoundedLinear(torch.nn.Module):
    """A linear layer that stores one byte for two weights, and a scale for each block of a row."""

    def __init__(self, linear: torch.nn.Linear, bits: int):
        super().__init__()
        self.bits, self.columns, self.dtype = bits, linear.in_features, linear.weight.dtype
        self.block = min(512, linear.in_features & -linear.in_features)  # the largest power of 2 in it, up to 512
        grid = get_higgs_grid(2, 2 ** (2 * bits)).to(linear.weight.device)
        turned = self.turn(linear.weight.detach()).unflatten(-1, (-1, self.block))
        scales = turned.square().mean(-1, keepdim=True).sqrt()
        pairs = (turned / scales).reshape(-1, 2)
        codes = torch.cat([(2 * part @ grid.T - grid.square().sum(1)).argmax(1) for part in pairs.split(2**16)])
        self.register_buffer("grid", grid.to(self.dtype))
        self.register_buffer("codes", codes.to(torch.uint8).view(linear.out_features, -1))
        self.register_buffer("scales", scales[..., 0].to(self.dtype))
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach().clone())

    def turn(self, x: torch.Tensor) -> torch.Tensor:
        return (x.float().unflatten(-1, (-1, self.block)) @ hadamard(self.block, x.device)).flatten(-2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        blocks = self.grid[self.codes.int()].view(len(self.codes), -1, self.block)
        weight = (blocks * self.scales[..., None]).view(-1, self.columns)
        return product(self.turn(x).to(self.dtype), weight, self.bias)


# %%
with stopwatch() as load:
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
    for name in linears:
        model.set_submodule(name, RoundedLinear(model.get_submodule(name), bits=4))

# %% tags=["check"]
row = weigh("4 bit, pairs", 4, model, baseline, load)
layers = [model.get_submodule(name) for name in linears]
assert all(isinstance(layer, RoundedLinear) for layer in layers)
assert all(len(layer.grid) == 256 and layer.codes.dtype == torch.uint8 for layer in layers)
assert all(layer.codes.shape[1] * 2 == layer.columns for layer in layers)
assert 3.5 < row["linear_ratio"] < 4

# %% [markdown]
# ## Save and reload
#
# safetensors writes the tensors; the reader puts layers of the same shape in place and fills them.

# %%
from safetensors.torch import load_model, save_model

save_model(model, "higgs-4bit.safetensors")
reloaded = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
for name in linears:
    layer = RoundedLinear(reloaded.get_submodule(name), layers[0].bits)
    layer.codes.zero_()
    reloaded.set_submodule(name, layer)
load_model(reloaded, "higgs-4bit.safetensors", device=str(reloaded.device))
tokens = generated(model, prompt)
print(tokenizer.decode(tokens[0]))
row |= {
    "saved_bytes": Path("higgs-4bit.safetensors").stat().st_size,
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
# What must hold on any model: it is not bf16 in disguise, and costs less than a third of a nat.

# %%
assert row["kl"] > 0 and row["loss_difference"] < 0.33

# %% [markdown]
# ## What goes wrong
#
# ### The configuration of HIGGS raises
#
# Since Transformers 5 a quantizer must say how to quantize a weight, in `get_quantize_ops`. The one for HIGGS does not.
# Without a GPU another refusal comes first, so the cell asks the quantizer itself, as the loader does on a GPU.

# %% tags=["trap:higgs-config"]
import torch
from transformers import AutoModelForCausalLM, HiggsConfig
from transformers.quantizers.quantizer_higgs import HiggsHfQuantizer

config = HiggsConfig(bits=4)
try:
    HiggsHfQuantizer(config, pre_quantized=False).get_quantize_ops()
    raised = None
except NotImplementedError as error:
    raised = error
print(f"Asked how to quantize: {raised!r}")
if not torch.cuda.is_available():
    try:
        AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B", quantization_config=config, device_map="auto")
    except NotImplementedError as error:
        print(f"Loading without a GPU: {error!r}")
known_fault(raised is not None, "transformers")
