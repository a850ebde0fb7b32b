# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "compressed-tensors==0.20.0",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 10
# models = []
# own_figures = true
# control = """
# import compressed_tensors.quantization.lifecycle.forward as forward
#
# forward.fake_quantize = lambda values, *_: values
# """
#
# [tool.guide.swap]
# '"W8A8", "int8' = '"W4A4", "int8'
# '"FP8_DYNAMIC", "FP8' = '"NVFP4", "FP8'
# '"MXFP8", "MXFP8' = '"MXFP4", "MXFP8'
# '"NVFP4", "NVFP4' = '"FP8_DYNAMIC", "NVFP4'
# '"MXFP4", "MXFP4' = '"MXFP8", "MXFP4'
# '"FP8", ["Linear"]' = '"MXFP8", ["Linear"]'
# ///

# %% [markdown]
# # Activations with outliers: what each format does to them
#
# Rounds random activations in the formats that compressed-tensors has for them, first as they are, then with four of 1,024
# channels 50 times larger. Then it moves the outliers into the weights, as SmoothQuant does. It shows how the formats work,
# not how much your model loses: [measure that](../docs/judge.md).
#
# When to round activations at all: [Activations too](../docs/activations.md).

# %%
from snippets.shared.environment import show_environment

# %%
device = show_environment("transformers", "accelerate", "compressed-tensors", "peft", needs="cpu")

# %% [markdown]
# ## Activations
#
# 256 tokens of 1,024 channels. In the second tensor four channels are outliers in every token.

# %%
import torch

torch.manual_seed(0)
OUTLIERS = [7, 300, 611, 900]
ordinary = torch.randn(256, 1024)
spiked = ordinary.clone()
spiked[:, OUTLIERS] *= 50
others = torch.ones(1024, dtype=torch.bool)
others[OUTLIERS] = False

# %% [markdown]
# ## Rounded in each format
#
# The scheme of llm-compressor that has the format, and what shares a scale. The scales are computed from the values
# themselves, as the engines do while they run.

# %%
from compressed_tensors.quantization import preset_name_to_scheme
from compressed_tensors.quantization.lifecycle import forward
from compressed_tensors.quantization.utils import compute_dynamic_scales_and_zp, generate_gparam

FORMATS = [
    ("W8A8", "int8, a scale a token"),
    ("FP8_DYNAMIC", "FP8, a scale a token"),
    ("MXFP8", "MXFP8, a power of two for 32 values"),
    ("NVFP4", "NVFP4, an FP8 scale for 16 values"),
    ("MXFP4", "MXFP4, a power of two for 32 values"),
]


def rounded(values, scheme):
    """The values as the scheme's activations have them."""
    args = preset_name_to_scheme(scheme, ["Linear"]).input_activations
    largest = generate_gparam(values.min(), values.max()) if scheme == "NVFP4" else None
    scale, zero_point = compute_dynamic_scales_and_zp(values, args, None, largest)
    return forward.fake_quantize(values, scale, zero_point, args, largest)


def error(values, what_they_became):
    """What rounding did to the channels that are no outliers, as a share of their size."""
    return ((what_they_became - values)[:, others].norm() / values[:, others].norm()).item()


errors = {name: [error(values, rounded(values, scheme)) for values in (ordinary, spiked)] for scheme, name in FORMATS}

# %% [markdown]
# ## Outliers moved into the weights
#
# SmoothQuant divides a channel of the activations by a factor and multiplies the same column of the weights by it. The
# product stays the same. The factor is the square root of the channel's largest value over the column's: a strength of 1/2.

# %%
weight = torch.randn(1024, 1024) / 32
factors = (spiked.abs().amax(0) / weight.abs().amax(0)).sqrt()
smoothed, scaled = spiked / factors, weight * factors
scheme, name = "W8A8", "int8, a scale a token"
errors[f"{name}, smoothed"] = [None, error(spiked, rounded(smoothed, scheme) * factors)]

# %% [markdown]
# ## What is left
#
# The error of the channels that are no outliers, as a share of their size.

# %%
from html import escape

from IPython.display import HTML, display

HEAD = ("activations", "error, no outliers, %", "error, 4 of 1,024 channels 50 times larger, %")
rows = [[what, *("" if one is None else f"{100 * one:.1f}" for one in both)] for what, both in errors.items()]
body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
display(HTML(f"<table><thead><tr>{''.join(f'<th>{title}</th>' for title in HEAD)}</tr></thead><tbody>{body}</tbody></table>"))

# %% tags=["check"]
assert torch.allclose(smoothed @ scaled.T, spiked @ weight.T, atol=1e-3), "smoothing changed the product"
plain, hit = ({what: both[which] for what, both in errors.items()} for which in (0, 1))
int8, fp8, mxfp8, nvfp4, mxfp4 = (name for _, name in FORMATS)
assert plain[int8] < plain[fp8] / 2, "without outliers int8 is nearer than FP8"
assert hit[int8] > 10 * hit[fp8], "with outliers it is much further"
assert hit[int8] > hit[mxfp4] > hit[nvfp4] > plain[mxfp4] > plain[nvfp4] > 2 * plain[fp8]
assert all(abs(hit[one] / plain[one] - 1) < 0.05 for one in (fp8, mxfp8)), "FP8 does not feel outliers of this size"
assert hit[f"{int8}, smoothed"] < hit[int8] / 5, "smoothing takes most of the error away"
PAGE = {int8: (1.1, 40.5), fp8: (2.6, 2.7), nvfp4: (9.5, 20.2), mxfp4: (11.2, 29.1)}  # per cent, in docs/activations.md
assert all(abs(100 * of[one] - said) < 0.2 for one, both in PAGE.items() for of, said in zip((plain, hit), both, strict=True))
assert abs(100 * hit[f"{int8}, smoothed"] - 5.6) < 0.2, "the page says another"

# %% [markdown]
# ## A static scale clips what the calibration texts did not have
#
# The scheme FP8 keeps one scale from calibration. Here it saw the ordinary activations, then gets the others.

# %%
args = preset_name_to_scheme("FP8", ["Linear"]).input_activations
seen, zero_point = compute_dynamic_scales_and_zp(ordinary, args, None)
clipped = forward.fake_quantize(spiked, seen, zero_point, args)
print(f"largest value {spiked.abs().max():.0f}, after rounding {clipped.abs().max():.1f}")

# %% tags=["check"]
assert not args.dynamic
assert clipped.abs().max() < 1.05 * ordinary.abs().max() < spiked.abs().max() / 10
assert len(clipped.unique()) < 256
