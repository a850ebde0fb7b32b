# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 10
# models = []
# own_figures = true
# control = """
# import time
#
# import torch
#
# torch.int8 = torch.bfloat16  # what is stored is not smaller
# time.sleep = lambda seconds: None  # the slow model is not slow
# torch.Tensor.argmax = lambda self, *_: torch.zeros(self.shape[:-1])  # whatever is likely, the first token is said to be
# """
#
# [tool.guide.swap]
# "STEP = 2" = "STEP = 3"
# "torch.int8" = "torch.int16"
# "SLOWER = 2" = "SLOWER = 4"
# ///

# %% [markdown]
# # The measures, tested on models whose answers are known
#
# Every figure of the guide comes from the functions below. Here they measure models so simple that a person can compute what
# must come out: loss, agreement, KL divergence, bytes and speed. Each check compares with that, not with a run of before.
#
# What else is checked: [How it is proven](../docs/proofs.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
device = show_environment("transformers", "accelerate", needs="cpu")

# %% [markdown]
# ## Quality
#
# The text counts in steps of two: four windows, three of even numbers and one of odd ones. The first model gives half of its
# probability to the next number of the text, the rest to all others alike. The second model does the same after even numbers.
# After odd numbers it expects another number.
#
# So on three of four windows they are the same model, and on the fourth they agree nowhere:
#
# - loss of the first: log 2, a perplexity of 2
# - agreement: 3/4
# - KL on the fourth window: (1/2 - r) log(1/2 / r), where r = 1/2 / 63 is what each other token gets; over all windows a
#   quarter of it
# - the loss of the second is higher by log(1/2 / r) on the fourth window, over all windows by a quarter of it
# - standard error of the mean over four windows, if one has the value x and three have 0: x / 4

# %%
import math
from types import SimpleNamespace

STEP = 2
VOCABULARY = 64
windows = torch.stack([torch.arange(start, start + 2 * 16, 2) % VOCABULARY for start in (0, 8, 24, 7)])


class Counts(nn.Module):
    """Expects the number ``steps[parity]`` further, with a probability of one half."""

    device = torch.device("cpu")

    def __init__(self, even: int, odd: int):
        super().__init__()
        self.steps = torch.tensor([even, odd])

    def forward(self, input_ids, use_cache=False):
        expected = (input_ids + self.steps[input_ids % 2]) % VOCABULARY
        likely = nn.functional.one_hot(expected, VOCABULARY).double()
        rest = 0.5 / (VOCABULARY - 1)
        return SimpleNamespace(logits=(rest + (0.5 - rest) * likely).log())


figures = quality(Counts(STEP, STEP + 3), Counts(STEP, STEP), windows)
print({name: round(value, 6) for name, value in figures.items()})

# %% tags=["check"]
rest = 0.5 / 63
expected = {
    "tokens": 4 * 16,
    "baseline_perplexity": 2,
    "perplexity": 2 * math.exp(math.log(0.5 / rest) / 4),
    "loss_difference": math.log(0.5 / rest) / 4,
    "loss_difference_error": math.log(0.5 / rest) / 4,
    "top1_agreement": 0.75,
    "top1_agreement_error": 0.25,
    "kl": (0.5 - rest) * math.log(0.5 / rest) / 4,
    "kl_error": (0.5 - rest) * math.log(0.5 / rest) / 4,
}
wrong = {
    name: (figures[name], value) for name, value in expected.items() if not math.isclose(figures[name], value, rel_tol=1e-5)
}
assert not wrong, f"measured, and computed by hand: {wrong}"

# %% [markdown]
# ## Bytes
#
# A model with an embedding of 64 × 32, whose output head is the same tensor, and two layers of 32 × 32 with a bias. In bf16
# that is 2 bytes a number, and the shared tensor counts once. The second model stores the layers' weights in 8 bits, with a
# 32-bit scale a row. The third does it in a tensor that holds others, as libraries do.


# %%
class Small(nn.Module):
    """An embedding, two linear layers, and a head that is the embedding."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(64, 32)
        self.layers = nn.ModuleList([nn.Linear(32, 32), nn.Linear(32, 32)])
        self.head = nn.Linear(32, 64, bias=False)
        self.head.weight = self.embedding.weight
        self.to(torch.bfloat16)

    def get_output_embeddings(self):
        return self.head


class Codes(nn.Module):
    """A layer's codes, their scales, and its bias as it was."""

    def __init__(self, layer):
        super().__init__()
        scale = layer.weight.detach().float().abs().amax(1, keepdim=True) / 127
        self.register_buffer("codes", (layer.weight.detach() / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = layer.bias


class Holder(torch.Tensor):
    """A tensor that holds others, and says so as torch asks of one."""

    @staticmethod
    def __new__(cls, codes, scale):
        return torch.Tensor._make_wrapper_subclass(cls, codes.shape, dtype=torch.bfloat16)

    def __init__(self, codes, scale):
        self.codes, self.scale = codes, scale

    def __tensor_flatten__(self):
        return ["codes", "scale"], None

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return args[0]  # what nn.Parameter asks for

    def __repr__(self):
        return "Holder"


bf16, eight, held = Small(), Small(), Small()
eight.layers = nn.ModuleList([Codes(layer) for layer in eight.layers])
for layer in held.layers:
    codes = Codes(layer)
    layer.weight = nn.Parameter(Holder(codes.codes, codes.scale), requires_grad=False)
names = decoder_linears(bf16)
found = {name: (stored_bytes(model), stored_bytes(model, names)) for name, model in
         (("bf16", bf16), ("8 bit", eight), ("8 bit, held", held))}  # fmt: skip
print(names, found)

# %% tags=["check"]
embedding, bias, layer = 64 * 32 * 2, 32 * 2, 32 * 32
assert names == ["layers.0", "layers.1"], "the head is no layer that methods quantize"
assert found["bf16"] == (embedding + 2 * (2 * layer + bias), 2 * (2 * layer + bias))
assert found["8 bit"] == (embedding + 2 * (layer + 32 * 4 + bias), 2 * (layer + 32 * 4 + bias))
assert found["8 bit, held"] == found["8 bit"], "what a tensor holds counts, and it alone"

# %% [markdown]
# ## Speed
#
# Two models that do nothing but wait. The second waits twice as long for the same tokens, so its speed is half of the first's.

# %%
SLOWER = 2


class Waits:
    """Takes some milliseconds to generate, whatever it is asked for."""

    device = torch.device("cpu")

    def __init__(self, milliseconds):
        self.milliseconds = milliseconds

    def generate(self, ids, **_):
        time.sleep(self.milliseconds / 1000)
        return ids


pace = speed(Waits(50 * SLOWER), Waits(50), torch.zeros(1, 4, dtype=torch.long), new_tokens=10)
print({name: round(value, 3) for name, value in pace.items()})

# %% tags=["check"]
assert 0.45 < pace["speed_ratio"] < 0.55, "twice the time is half the speed"
assert 0.3 < pace["speed_ratio_low"] <= pace["speed_ratio"] <= pace["speed_ratio_high"] < 0.8
assert 160 < pace["baseline_tokens_per_second"] < 205, "10 tokens in 50 ms"
assert 80 < pace["tokens_per_second"] < 103
