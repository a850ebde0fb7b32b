"""Unpack a GGUF file to a bf16 checkpoint with its tokenizer: ``python models/unpack.py FILE FOLDER``."""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def unpack(file: Path, folder: str) -> None:
    """Save in ``folder`` what Transformers makes of a GGUF file."""
    name: dict[str, str] = {"gguf_file": file.name}
    config = GgufConfig(dequantize=True)  # plain layers, so that what is saved says bf16
    model = AutoModelForCausalLM.from_pretrained(str(file.parent), dtype=torch.bfloat16, quantization_config=config, **name)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(file.parent), **name).save_pretrained(folder)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), sys.argv[2])
