# /// script
# [tool.numbers]
# method = "gptq"
# notebook = "gptq"
# saves = true
#
# [tool.numbers.variants.gptq-8]
# of = "8-bit"
# label = "8 bit"
# bits = 8
# group = 64
# calibrated = true
#
# [tool.numbers.variants.gptq-4]
# of = "4-bit"
# label = "4 bit"
# bits = 4
# group = 64
# calibrated = true
#
# [tool.numbers.variants.gptq-3]
# of = "3-bit"
# label = "3 bit"
# bits = 3
# group = 64
# calibrated = true
#
# [tool.numbers.variants.gptq-2]
# of = "2-bit"
# label = "2 bit"
# bits = 2
# group = 64
# calibrated = true
# ///
"""GPTQ on the real model."""

import os

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # on two cores GPTQModel 7.6.0 counts one, and raises ValueError

from functools import partial

import torch
from logbar import LogBar
from transformers import GPTQConfig

from guide.guest.making import Given

LogBar.shared().setLevel("ERROR")  # every layer is reported otherwise
torch._dynamo.config.disable = not torch.cuda.is_available()  # compiling the unpacking of each layer takes minutes on a CPU


def quantized(given: Given, bits: int) -> str:
    """Quantize while loading, calibrated with the texts, and save."""
    texts = given.tokenizer.batch_decode(given.calibration)
    model = given.load(quantization_config=GPTQConfig(bits=bits, group_size=64, dataset=texts, tokenizer=given.tokenizer))
    model.save_pretrained(given.folder)
    return str(given.folder)


VARIANTS = {f"gptq-{bits}": partial(quantized, bits=bits) for bits in (8, 4, 3, 2)}
