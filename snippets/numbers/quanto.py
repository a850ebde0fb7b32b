# /// script
# [tool.numbers]
# method = "quanto"
# notebook = "quanto"
#
# [tool.numbers.variants.quanto-int8]
# of = "int8"
# label = "int8"
# bits = 8
# group = "row"
#
# [tool.numbers.variants.quanto-float8]
# of = "float8"
# label = "float8"
# bits = 8
# group = "row"
#
# [tool.numbers.variants.quanto-int4]
# of = "int4"
# label = "int4"
# bits = 4
# group = 96
# differs = "its groups cannot be chosen: 128 weights, or the next smaller size that divides the width, here 96"
#
# [tool.numbers.variants.quanto-int2]
# of = "int2"
# label = "int2"
# bits = 2
# group = 96
# differs = "its groups cannot be chosen: 128 weights, or the next smaller size that divides the width, here 96"
# ///
"""quanto on the real model."""

from functools import partial

from torch import nn
from transformers import QuantoConfig

from guide.guest.making import Given


def loaded(given: Given, weights: str) -> nn.Module:
    """The model with weights of that type."""
    return given.load(quantization_config=QuantoConfig(weights=weights))


VARIANTS = {f"quanto-{weights}": partial(loaded, weights=weights) for weights in ("int8", "float8", "int4", "int2")}
