# /// script
# [tool.numbers]
# notebook = "gguf"
# compile = ["bf16"]
#
# [tool.numbers.variants.bf16]
# label = "bf16"
# bits = 16
# group = "none"
# ///
"""The bf16 model itself, judged and raced as every variant is: what the bench says of no difference at all."""

from torch import nn

from guide.guest.making import Given


def loaded(given: Given) -> nn.Module:
    """The model as it is."""
    return given.load()


VARIANTS = {"bf16": loaded}
