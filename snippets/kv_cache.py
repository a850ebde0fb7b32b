# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "hqq==0.2.8.post1",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 40
# models = ["HuggingFaceTB/SmolLM2-135M-Instruct"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# own_figures = true
# control = """
# from transformers import cache_utils
#
# for layer in (cache_utils.HQQQuantizedLayer, cache_utils.Fp8QuantizedLayer):
#     layer._quantize = lambda self, tensor, axis=None, scale=None: (tensor, scale)
#     layer._dequantize = lambda self, kept: kept[0]
# """
# ///

# %% [markdown]
# # The KV cache in 16, 8, 4 and 2 bit
#
# Counts the bytes of a cache by the formula and in memory. Then it quantizes the cache of a prompt in each way that
# Transformers has without another package than HQQ, and compares what the model predicts behind it with the model on its
# 16-bit cache.
#
# When the cache is what does not fit: [The KV cache](../docs/cache.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.figures import show_figures

# %%
from snippets.shared.symptom import *

# %%
device = show_environment("transformers", "accelerate", "hqq", "peft", needs="cpu")

# %% [markdown]
# ## Bytes by the formula, and in memory
#
# A token takes 2 (key and value) × layers × key-value heads × head size numbers. The text is 8 windows of 768 tokens, since
# each of the caches below is filled and read again for each window.

# %%
import copy

from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, QuantizedCache

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
PROMPT, BEHIND, WINDOWS = 512, 256, 8  # tokens of a prompt, tokens predicted behind it, windows
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map=device)
config = model.config
windows = evaluation_windows(tokenizer, WINDOWS, PROMPT + BEHIND).to(model.device)


@torch.no_grad()
def filled(ids):
    """The 16-bit cache of a prompt."""
    cache = DynamicCache(config=config)
    model(input_ids=ids[None], past_key_values=cache, logits_to_keep=1)
    return cache


def bytes_of(cache):
    """What the tensors of a cache take."""
    return sum(stored_bytes_of(vars(layer)) for layer in cache.layers)


def stored_bytes_of(thing):
    """Bytes of all tensors in dictionaries, tuples and lists."""
    if isinstance(thing, torch.Tensor):
        return thing.nbytes
    parts = thing.values() if isinstance(thing, dict) else thing if isinstance(thing, (list, tuple)) else ()
    return sum(map(stored_bytes_of, parts))


prompts = [filled(ids[:PROMPT]) for ids in windows]
heads, size = config.num_key_value_heads, config.head_dim
by_formula = 2 * config.num_hidden_layers * heads * size * 2 * PROMPT
print(f"{by_formula:,} bytes by the formula, {bytes_of(prompts[0]):,} in memory, for {PROMPT} tokens")
assert bytes_of(prompts[0]) == by_formula

# %% [markdown]
# ## The settings
#
# `axis_key` and `axis_value` say which 64 numbers share a scale. With 1 they follow each other: a head of one token. With 0,
# the default, they lie evenly over the whole tensor, and come from many tokens and from all heads.

# %%
SETTINGS = {
    "fp8": {"backend": "fp8"},
    "HQQ 8 bit": {"backend": "hqq", "nbits": 8, "axis_key": 1, "axis_value": 1},
    "HQQ 4 bit, axis 1": {"backend": "hqq", "nbits": 4, "axis_key": 1, "axis_value": 1},
    "HQQ 4 bit, axis 0 for keys alone": {"backend": "hqq", "nbits": 4, "axis_key": 0, "axis_value": 1},
    "HQQ 4 bit, axis 0": {"backend": "hqq", "nbits": 4, "axis_key": 0, "axis_value": 0},
    "HQQ 2 bit, axis 1": {"backend": "hqq", "nbits": 2, "axis_key": 1, "axis_value": 1},
    "HQQ 2 bit, axis 0 for keys alone": {"backend": "hqq", "nbits": 2, "axis_key": 0, "axis_value": 1},
    "HQQ 2 bit, axis 0": {"backend": "hqq", "nbits": 2, "axis_key": 0, "axis_value": 0},
}


def quantized(prompt, how):
    """The cache of a prompt, quantized as generate() has it behind the prompt's pass."""
    cache = QuantizedCache(config=config, **how)
    for number, layer in enumerate(prompt.layers):
        cache.update(layer.keys, layer.values, number)
    return cache


@torch.no_grad()
def behind(cache, ids):
    """Logs of the probabilities of each next token behind a prompt, with the cache that its pass left."""
    return model(input_ids=ids[None], past_key_values=cache).logits[0, :-1].float().log_softmax(-1).cpu()


reference = [behind(copy.deepcopy(prompt), ids[PROMPT:]) for prompt, ids in zip(prompts, windows, strict=True)]
results = {}
for name, how in SETTINGS.items():
    with stopwatch() as taken:
        kls, same, losses = [], [], []
        for prompt, ids, log_p in zip(prompts, windows, reference, strict=True):
            cache = quantized(prompt, how)
            held = bytes_of(cache)
            log_q = behind(cache, ids[PROMPT:])
            kls.append((log_p.exp() * (log_p - log_q)).sum(-1).mean())
            same.append((log_p.argmax(-1) == log_q.argmax(-1)).float().mean())
            losses.append(-log_q.gather(1, ids[PROMPT + 1 :, None].cpu()).mean())
    results[name] = {"bytes": held, "kl": torch.stack(kls), "same": torch.stack(same), "loss": torch.stack(losses)}
    print(f"{name}: {held:,} bytes, KL {results[name]['kl'].mean():.4f}, {taken.seconds:.0f} s")

# %% tags=["check"]
bits_of = {name: 16 * results[name]["bytes"] / by_formula for name in SETTINGS}
for name, how in SETTINGS.items():
    asked = how.get("nbits", 8)
    assert asked <= bits_of[name] < asked + 1.1, f"{name}: {bits_of[name]:.2f} bits a number"
    assert results[name]["kl"].mean() > 0

# %% [markdown]
# ## What it costs
#
# Bits a number, scales included; KL from the same model on its 16-bit cache, in nats a token, with the standard error over
# windows.

# %%
plain_loss = torch.stack(
    [-log_p.gather(1, ids[PROMPT + 1 :, None].cpu()).mean() for log_p, ids in zip(reference, windows, strict=True)]
)
rows = [("16 bit", "16", "0", "100", f"{plain_loss.mean().exp():.2f}")]
for name, row in results.items():
    kl, error = row["kl"].mean(), row["kl"].std() / WINDOWS**0.5
    perplexity = row["loss"].mean().exp()
    shown = f"{perplexity:.2f}" if perplexity < 1000 else "over 1,000"
    rows.append((name, f"{bits_of[name]:.2f}", f"{kl:.4f} ± {error:.4f}", f"{100 * row['same'].mean():.1f}", shown))
show_figures("bits", ("cache", "bits a number", "KL from the 16-bit cache", "same top-1, %", "perplexity"), rows)
kl = {name: row["kl"].mean().item() for name, row in results.items()}
assert kl["HQQ 8 bit"] < kl["fp8"] < kl["HQQ 4 bit, axis 0"], "8 bit in groups is nearest"
assert 10 * kl["HQQ 4 bit, axis 1"] < kl["HQQ 2 bit, axis 1"], "2 bit costs many times what 4 bit costs"
assert kl["HQQ 4 bit, axis 1"] < kl["HQQ 4 bit, axis 0"], "the default is further at 4 bit"
assert kl["HQQ 2 bit, axis 0 for keys alone"] < kl["HQQ 2 bit, axis 1"], "at 2 bit keys do better over many tokens"

# %% [markdown]
# ## Quantized again and again
#
# Every `residual_length` tokens of an answer all is quantized, what was quantized before with it. Here 256 tokens follow the
# prompt in steps of 64, and the predictions of the last 64 are compared. Either the prompt alone was quantized, or all of it
# at each step.


# %%
def last_step(how, again):
    """KL of the last 64 tokens, of a few windows, where each step quantizes all again, or none does."""
    found = []
    for prompt, ids, log_p in zip(prompts[:4], windows, reference, strict=False):
        cache = quantized(prompt, how | {"residual_length": 64 if again else 512})
        for step in ids[PROMPT:].split(64):
            with torch.no_grad():
                log_q = model(input_ids=step[None], past_key_values=cache).logits[0, :-1].float().log_softmax(-1).cpu()
        found.append((log_p[-63:].exp() * (log_p[-63:] - log_q)).sum(-1).mean())
    return torch.stack(found).mean().item()


again = {
    name: [last_step(SETTINGS[name], often) for often in (False, True)] for name in ("HQQ 4 bit, axis 1", "HQQ 4 bit, axis 0")
}
rows = [(name, *(f"{one:.4f}" for one in both)) for name, both in again.items()]
assert all(often > once for once, often in again.values())
show_figures("again", ("cache", "KL, the prompt quantized once", "KL, all quantized every 64 tokens"), rows)

# %% [markdown]
# ## FP8 with and without a scale
#
# vLLM and SGLang store the numbers in FP8 as they are where a checkpoint brings no scales. Here the prompt's cache alone is
# rounded, so these compare with each other; the backend `fp8` above rounds what follows too.


# %%
def cast(prompt, dtype, scaled):
    """The cache of a prompt with every number rounded to an FP8 type, the largest of a tensor to the type's largest or not."""
    cache = copy.deepcopy(prompt)
    for layer in cache.layers:
        for name in ("keys", "values"):
            numbers = getattr(layer, name)
            scale = numbers.abs().amax().float() / torch.finfo(dtype).max if scaled else 1.0
            setattr(layer, name, ((numbers.float() / scale).to(dtype).float() * scale).to(numbers.dtype))
    return cache


def rounded(dtype, scaled):
    """KL behind a prompt whose cache is rounded so."""
    found = [
        (log_p.exp() * (log_p - behind(cast(prompt, dtype, scaled), ids[PROMPT:]))).sum(-1).mean()
        for prompt, ids, log_p in zip(prompts, windows, reference, strict=True)
    ]
    return torch.stack(found).mean().item()


e4m3, e5m2 = torch.float8_e4m3fn, torch.float8_e5m2
fp8 = {
    "E4M3, one scale a tensor": rounded(e4m3, True),
    "E4M3, no scale": rounded(e4m3, False),
    "E5M2, no scale": rounded(e5m2, False),
}
show_figures(
    "fp8", ("FP8 cache of the prompt", "KL from the 16-bit cache"), [(name, f"{one:.4f}") for name, one in fp8.items()]
)
assert fp8["E5M2, no scale"] > 1.5 * fp8["E4M3, no scale"], "E5M2 has a digit less"

# %% [markdown]
# ## In generate()

# %%
# --8<-- [start:generate]
tokenizer = AutoTokenizer.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct")
model = AutoModelForCausalLM.from_pretrained("HuggingFaceTB/SmolLM2-135M-Instruct", dtype=torch.bfloat16, device_map="auto")
inputs = tokenizer("The capital of France is", return_tensors="pt").to(model.device)
out = model.generate(
    **inputs,
    max_new_tokens=32,
    do_sample=False,
    cache_implementation="quantized",
    cache_config={"backend": "hqq", "nbits": 8, "axis_key": 1, "axis_value": 1},
)
print(tokenizer.decode(out[0], skip_special_tokens=True))
# --8<-- [end:generate]

# %% [markdown]
# ## What the settings do
#
# The pass of the prompt sees the 16-bit numbers; only what comes behind it reads the rounded ones. The newest
# `residual_length` tokens stay in 16 bit, then all are quantized once more. Every step unpacks the whole layer.

# %%
key = torch.randn(1, heads, 130, size, dtype=torch.bfloat16, device=model.device)
layer = QuantizedCache(config=config, **SETTINGS["HQQ 4 bit, axis 1"]).layers[0]
returned, _ = layer.update(key, key)
assert returned is key, "the prompt's own pass is not rounded"
returned, _ = layer.update(key[:, :, :1], key[:, :, :1])
assert returned.shape[-2] == 131 and returned.dtype == torch.bfloat16, "a step gets all tokens unpacked"
assert not torch.equal(returned[:, :, :130], key) and torch.equal(returned[:, :, 130:], key[:, :, :1])
assert layer.keys.shape[-2] == 1, "new tokens stay in 16 bit"
for _ in range(127):
    layer.update(key[:, :, :1], key[:, :, :1])
assert layer.keys.numel() == 0, "with 128 of them all are quantized once more"

# %% [markdown]
# ## What is refused
#
# Without a `backend`, `generate()` takes quanto, which has 4 and 2 bit alone. Layers with a sliding window are refused.

# %%
from transformers import Gemma2Config

with shows(ImportError, "You need to install optimum-quanto"):
    model.generate(**inputs, max_new_tokens=2, cache_implementation="quantized")
with shows(ValueError, "only supported for models with only full attention layers"):
    QuantizedCache(backend="fp8", config=Gemma2Config())
with shows(ValueError, "The `fp8` backend quantizes per-tensor and does not support"):
    QuantizedCache(backend="fp8", nbits=8, config=config)
with shows(ValueError, "`axis_key` for `HQQ` backend has to be one of [`0`, `1`]"):
    QuantizedCache(backend="hqq", axis_key=-1, config=config)
