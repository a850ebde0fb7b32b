# /// script
# [tool.numbers]
# method = "torchao"
# notebook = "torchao"
# compile = ["torchao-int8", "torchao-int8-dynamic", "torchao-float8"]
#
# [tool.numbers.variants.torchao-int8]
# of = "int8-weight-only"
# label = "int8 weight-only"
# bits = 8
# group = "row"
#
# [tool.numbers.variants.torchao-int8-dynamic]
# of = "int8-dynamic"
# label = "int8 dynamic"
# bits = 8
# group = "row"
# activations = "int8"
#
# [tool.numbers.variants.torchao-float8]
# of = "float8-weight-only"
# label = "float8 weight-only"
# bits = 8
# group = "row"
#
# [tool.numbers.variants.torchao-int4-cpu]
# label = "int4 for CPUs (prototype)"
# bits = 4
# group = 64
#
# [tool.numbers.variants.torchao-intx-4]
# label = "int4 in bytes (IntxWeightOnlyConfig)"
# bits = 4
# group = 64
# differs = "each 4-bit value takes a byte: it saves what int8 saves"
# ///
"""torchao on the real model."""

from functools import partial
from typing import Any

import torch
from torch import nn
from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
from torchao.quantization import (
    Float8WeightOnlyConfig,
    Int8DynamicActivationInt8WeightConfig,
    Int8WeightOnlyConfig,
    IntxWeightOnlyConfig,
    PerGroup,
)
from transformers import TorchAoConfig

from guide.guest.making import Given


def loaded(given: Given, config: Any) -> nn.Module:
    """The model as a configuration of torchao says."""
    return given.load(quantization_config=TorchAoConfig(config))


VARIANTS = {
    "torchao-int8": partial(loaded, config=Int8WeightOnlyConfig()),
    "torchao-int8-dynamic": partial(loaded, config=Int8DynamicActivationInt8WeightConfig()),
    "torchao-float8": partial(loaded, config=Float8WeightOnlyConfig()),
    "torchao-int4-cpu": partial(loaded, config=PrototypeInt4WeightOnlyConfig(group_size=64)),
    "torchao-intx-4": partial(loaded, config=IntxWeightOnlyConfig(weight_dtype=torch.int4, granularity=PerGroup(64))),
}
