# /// script
# [tool.numbers]
# method = "awq"
# notebook = "awq"
# saves = true
#
# [tool.numbers.variants.awq-4]
# of = "4-bit"
# label = "4 bit, by GPTQModel"
# bits = 4
# group = 64
# calibrated = true
# ///
"""AWQ on the real model."""

import os

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # on two cores GPTQModel 7.6.0 counts one, and raises ValueError

from contextlib import redirect_stdout
from io import StringIO

import torch
from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
from logbar import LogBar

from guide.guest.making import Given

LogBar.shared().setLevel("ERROR")  # every layer is reported otherwise
torch._dynamo.config.disable = not torch.cuda.is_available()  # compiling the unpacking of each layer takes minutes on a CPU


def quantized(given: Given) -> str:
    """Make the checkpoint that Transformers loads."""
    texts = [{"input_ids": ids.tolist(), "attention_mask": [1] * len(ids)} for ids in given.calibration]
    config = QuantizeConfig(bits=4, group_size=64, method="awq", format="gemm")
    with redirect_stdout(StringIO()):  # saving prints every file
        maker = GPTQModel.load(given.model, config, dtype=torch.bfloat16, device=given.device)
        maker.quantize(texts, batch_size=1, backend=BACKEND.AWQ_TORCH if given.device == "cpu" else BACKEND.AUTO)
        maker.save(str(given.folder))
    return str(given.folder)


VARIANTS = {"awq-4": quantized}
