# /// script
# [tool.numbers]
# method = "hqq"
# notebook = "hqq"
#
# [tool.numbers.variants.hqq-8]
# of = "8-bit"
# label = "8 bit"
# bits = 8
# group = 64
#
# [tool.numbers.variants.hqq-4]
# of = "4-bit"
# label = "4 bit"
# bits = 4
# group = 64
#
# [tool.numbers.variants.hqq-3]
# of = "3-bit"
# label = "3 bit"
# bits = 3
# group = 64
#
# [tool.numbers.variants.hqq-2]
# of = "2-bit"
# label = "2 bit"
# bits = 2
# group = 64
# ///
"""HQQ on the real model."""

from functools import partial

import torch
from hqq.core.quantize import BaseQuantizeConfig
from hqq.models.hf.base import AutoHQQHFModel
from torch import nn

from guide.guest.making import Given


def quantized(given: Given, bits: int) -> nn.Module:
    """The model with its decoder linears quantized by the library, grouped along rows as its fast kernels expect."""
    model = given.load()
    config = BaseQuantizeConfig(nbits=bits, group_size=64, axis=1)
    AutoHQQHFModel.quantize_model(model, quant_config=config, compute_dtype=torch.bfloat16, device=given.device)
    return model


VARIANTS = {f"hqq-{bits}": partial(quantized, bits=bits) for bits in (8, 4, 3, 2)}
