# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "mlx[cpu]==0.32.4",
#   "mlx-lm==0.32.2",
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "compressed-tensors==0.20.0",
#   "loky==3.7.0",
# ]
#
# [tool.guide]
# engine = "mlx"
# needs = "cpu"
# minutes = 15
# models = ["Qwen/Qwen3-0.6B"]
# own_figures = true
# made_with = {awq = "awq", gptq = "gptq", fp8 = "fp8_fallback", bnb_nf4 = "bitsandbytes"}
# control = """
# import loky
# import mlx_lm
#
# _convert, _executor = mlx_lm.convert, loky.ProcessPoolExecutor
# mlx_lm.convert = lambda *given, **how: _convert(*given, **(how | {"quantize": False}))
#
#
# def _plain():
#     import mlx_lm
#
#     load = mlx_lm.load
#     mlx_lm.load = lambda checkpoint: load("Qwen/Qwen3-0.6B")
#
#
# loky.ProcessPoolExecutor = lambda *given: _executor(*given, initializer=_plain)
# """
#
# [tool.guide.checkpoints]
# "Qwen/Qwen3-4B-AWQ" = "awq"
# "Qwen/Qwen3-0.6B-GPTQ-Int8" = "gptq"
# "Qwen/Qwen3-0.6B-FP8" = "fp8"
# "unsloth/Qwen3-0.6B-bnb-4bit" = "bnb_nf4"
# "RedHatAI/Qwen3-0.6B-quantized.w4a16" = "ct_w4a16"
# "RedHatAI/Qwen3-0.6B-FP8-dynamic" = "ct_fp8"
#
# [tool.guide.swap]
# "Qwen/Qwen3-4B-AWQ" = "unsloth/Qwen3-0.6B-bnb-4bit"
# "unsloth/Qwen3-0.6B-bnb-4bit" = "Qwen/Qwen3-4B-AWQ"
# ///

# %% [markdown]
# # MLX: which checkpoints it loads
#
# Converts a model to MLX's own format at 4 bit. MLX then loads that, the 16-bit model and an AWQ checkpoint, and refuses five
# other formats, each in a process of its own. What it loads generates; the first tokens of the 16-bit model stand beside those
# of Transformers. What it refuses is a row with MLX's own words. On Linux MLX runs on the CPU; on a Mac leave `[cpu]` out.
#
# Which engine loads what: [the matrix](../docs/engines/index.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.serving import *

# %%
device = show_environment("mlx", "mlx-lm", "transformers", "accelerate", "compressed-tensors", "loky", needs="cpu")

# %% [markdown]
# ## Convert
#
# Groups of 64 weights share a scale and an offset. Embeddings and head are quantized too.

# %%
# --8<-- [start:convert]
from mlx_lm import convert

convert("Qwen/Qwen3-0.6B", "qwen3-mlx-4bit", quantize=True, q_bits=4, q_group_size=64)
# --8<-- [end:convert]


# %% [markdown]
# ## Load and generate


# %%
# --8<-- [start:generate]
def by_mlx(checkpoint):
    """The tokens that MLX generates greedily, and the bytes of the weights it holds."""
    from mlx.utils import tree_flatten
    from mlx_lm import load, stream_generate

    model, tokenizer = load(checkpoint)
    tokens = [part.token for part in stream_generate(model, tokenizer, tokenizer.encode(PROMPT), max_tokens=TOKENS)]
    return tokens, sum(array.nbytes for _, array in tree_flatten(model.parameters()))
    # --8<-- [end:generate]


# %% [markdown]
# ## What loads, and what is refused

# %%
LOADS = {"bf16": "Qwen/Qwen3-0.6B", "mlx": "qwen3-mlx-4bit", "awq-4": "Qwen/Qwen3-4B-AWQ"}
REFUSES = {
    "gptq-8": "Qwen/Qwen3-0.6B-GPTQ-Int8",
    "fp8-block": "Qwen/Qwen3-0.6B-FP8",
    "bnb-nf4": "unsloth/Qwen3-0.6B-bnb-4bit",
    "ct-w4a16": "RedHatAI/Qwen3-0.6B-quantized.w4a16",
    "ct-fp8": "RedHatAI/Qwen3-0.6B-FP8-dynamic",
}
expected = {"bf16": transformers_tokens(LOADS["bf16"])}
table = show([served(by_mlx, path, name, expected.get(name)) for name, path in (LOADS | REFUSES).items()])

# %% tags=["check"]
found = {row["format"]: row for row in table}
for name in LOADS:
    assert found[name]["loads"], f"{name} was refused: {found[name]['said']}"
assert found["bf16"]["same"] == TOKENS, "MLX and Transformers generate other tokens from the same 16-bit model"
assert found["mlx"]["stored_bytes"] < 0.35 * found["bf16"]["stored_bytes"], "the converted model is not in 4 bit"
assert found["mlx"]["resident_bytes"] < 0.35 * found["bf16"]["resident_bytes"], "it is unpacked in memory"

# %% tags=["check"]
for name in REFUSES:
    assert not found[name]["loads"], f"{name} loads now: update the page of MLX"
