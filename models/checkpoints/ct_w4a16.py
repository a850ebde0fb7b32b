"""Make a compressed-tensors checkpoint by rounding: ``python SCRIPT REFERENCE_MODEL TARGET_FOLDER``, here W4A16.

Uses compressed-tensors alone, which the notebook that loads the checkpoint has; llm-compressor needs another Transformers.
"""

from __future__ import annotations

import sys

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
from compressed_tensors.quantization.utils import calculate_qparams
from transformers import AutoModelForCausalLM, AutoTokenizer


def make(source: str, target: str, scheme: str) -> None:
    """Round every decoder linear of ``source`` to a preset scheme of compressed-tensors with symmetric weights."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.bfloat16)
    apply_quantization_config(model, QuantizationConfig(config_groups={scheme: ["Linear"]}, ignore=["lm_head"]))
    for module in model.modules():
        if hasattr(module, "weight_scale"):
            arguments = module.quantization_scheme.weights
            groups = module.weight.detach().unflatten(-1, (-1, arguments.group_size or module.in_features))
            scale, _ = calculate_qparams(groups.amin(-1), groups.amax(-1), arguments)
            module.weight_scale.data.copy_(scale)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(target)
    compressor.update_config(target)
    AutoTokenizer.from_pretrained(source).save_pretrained(target)


if __name__ == "__main__":
    make(*sys.argv[1:], scheme="W4A16")
