# /// script
# [tool.numbers]
# method = "bitsandbytes"
# notebook = "bitsandbytes"
#
# [tool.numbers.variants.bitsandbytes-int8]
# of = "int8"
# label = "int8"
# bits = 8
# group = "row"
# activations = "int8"
# differs = "activations are rounded to int8 too, except columns with a value above 6"
#
# [tool.numbers.variants.bitsandbytes-nf4]
# of = "nf4"
# label = "nf4"
# bits = 4
# group = 64
#
# [tool.numbers.variants.bitsandbytes-nf4-double]
# of = "nf4-double"
# label = "nf4, double quantization"
# bits = 4
# group = 64
# differs = "its scales are rounded to 8 bits"
#
# [tool.numbers.variants.bitsandbytes-fp4]
# label = "fp4"
# bits = 4
# group = 64
# ///
"""bitsandbytes on the real model."""

import logging
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from guide.guest.making import Given

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # one line a layer and token


def loaded(given: Given, **how: Any) -> nn.Module:
    """The model as a ``BitsAndBytesConfig`` says."""
    return given.load(quantization_config=BitsAndBytesConfig(**how))


four_bit = partial(loaded, load_in_4bit=True, bnb_4bit_compute_dtype=torch.bfloat16)
VARIANTS = {
    "bitsandbytes-int8": partial(loaded, load_in_8bit=True),
    "bitsandbytes-nf4": partial(four_bit, bnb_4bit_quant_type="nf4"),
    "bitsandbytes-nf4-double": partial(four_bit, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    "bitsandbytes-fp4": partial(four_bit, bnb_4bit_quant_type="fp4"),
}
