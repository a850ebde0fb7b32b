# /// script
# [tool.numbers]
# method = "torchao"
# notebook = "torchao"
# needs = "cuda>=8.9"
# compile = ["torchao-int4-gpu", "torchao-float8-dynamic"]
#
# [tool.numbers.variants.torchao-int4-gpu]
# label = "int4 for NVIDIA GPUs, tile-packed"
# bits = 4
# group = 64
#
# [tool.numbers.variants.torchao-float8-dynamic]
# label = "float8 dynamic"
# bits = 8
# group = "row"
# activations = "float8"
# ///
"""What of torchao runs on NVIDIA GPUs alone."""

from functools import partial
from typing import Any

from torch import nn
from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, Int4WeightOnlyConfig, PerRow
from transformers import TorchAoConfig

from guide.guest.making import Given


def loaded(given: Given, config: Any) -> nn.Module:
    """The model as a configuration of torchao says."""
    return given.load(quantization_config=TorchAoConfig(config))


VARIANTS = {
    "torchao-int4-gpu": partial(loaded, config=Int4WeightOnlyConfig(group_size=64, int4_packing_format="tile_packed_to_4d")),
    "torchao-float8-dynamic": partial(loaded, config=Float8DynamicActivationFloat8WeightConfig(granularity=PerRow())),
}
