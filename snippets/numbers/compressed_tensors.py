# /// script
# [tool.numbers]
# method = "compressed-tensors"
# notebook = "compressed_tensors"
# loads_in = "compressed_tensors_load"
# saves = true
#
# [tool.numbers.variants.compressed-w4a16-gptq]
# of = "w4a16"
# label = "W4A16 by GPTQ"
# bits = 4
# group = 64
# calibrated = true
#
# [tool.numbers.variants.compressed-w4a16]
# label = "W4A16 by rounding"
# bits = 4
# group = 64
#
# [tool.numbers.variants.compressed-w8a8]
# of = "w8a8"
# label = "W8A8"
# bits = 8
# group = "row"
# activations = "int8"
#
# [tool.numbers.variants.compressed-fp8]
# of = "fp8-dynamic"
# label = "FP8_DYNAMIC"
# bits = 8
# group = "row"
# activations = "float8"
# ///
"""compressed-tensors on the real model, made with llm-compressor."""

from functools import partial
from typing import Any

from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.logger import LoggerConfig, configure_logger
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier

from guide.guest.making import Given

configure_logger(LoggerConfig(console_log_level="ERROR"))  # a few lines a layer otherwise
GROUPS_OF_64 = {
    "group": QuantizationScheme(
        targets=["Linear"], weights=QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=64)
    )
}


def made(given: Given, modifier: Any, calibrated: bool = False, **scheme: Any) -> str:
    """Quantize in one go and save; W4A16 is the library's scheme with groups of 64 for its 128, which do not divide 576."""
    texts: dict[str, Any] = {}
    if calibrated:
        count, length = given.calibration.shape
        texts["dataset"] = Dataset.from_dict({"input_ids": given.calibration.tolist()})
        texts |= {"num_calibration_samples": count, "max_seq_length": length}
    oneshot(model=given.model, recipe=modifier(ignore=["lm_head"], **scheme), output_dir=str(given.folder), **texts)
    return str(given.folder)


VARIANTS = {
    "compressed-w4a16-gptq": partial(made, modifier=GPTQModifier, calibrated=True, config_groups=GROUPS_OF_64),
    "compressed-w4a16": partial(made, modifier=QuantizationModifier, config_groups=GROUPS_OF_64),
    "compressed-w8a8": partial(made, modifier=QuantizationModifier, targets="Linear", scheme="W8A8"),
    "compressed-fp8": partial(made, modifier=QuantizationModifier, targets="Linear", scheme="FP8_DYNAMIC"),
}
