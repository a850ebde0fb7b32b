# /// script
# [tool.numbers]
# method = "sinq"
# notebook = "sinq"
#
# [tool.numbers.variants.sinq-8]
# of = "8-bit"
# label = "8 bit"
# bits = 8
# group = 64
#
# [tool.numbers.variants.sinq-4]
# of = "4-bit"
# label = "4 bit"
# bits = 4
# group = 64
#
# [tool.numbers.variants.sinq-3]
# of = "3-bit"
# label = "3 bit"
# bits = 3
# group = 64
#
# [tool.numbers.variants.sinq-2]
# of = "2-bit"
# label = "2 bit"
# bits = 2
# group = 64
# ///
"""SINQ on the real model."""

from functools import partial

from torch import nn
from transformers import SinqConfig

from guide.guest.making import Given


def loaded(given: Given, bits: int) -> nn.Module:
    """The model with its decoder linears quantized; its head must be named, or it is replaced too."""
    return given.load(quantization_config=SinqConfig(nbits=bits, group_size=64, modules_to_not_convert=["lm_head"]))


VARIANTS = {f"sinq-{bits}": partial(loaded, bits=bits) for bits in (8, 4, 3, 2)}
