"""Make an AQLM checkpoint of the reference model: ``python SCRIPT REFERENCE_MODEL TARGET_FOLDER``.

A simple encoder, not AQLM's own: k-means on groups of 8 weights, then k-means on what that leaves over, and no tuning. It
writes the format of a published checkpoint with two departures. Codebooks have 7 bits, since the library's kernel for
8-bit codebooks on a CPU gives wrong results (the notebook shows it). Floats are bf16, as in the model. A target whose public
id says 1Bit gets one codebook, any other two.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

GROUP, BITS, STEPS = 8, 7, 10
LINEAR = re.compile(r"model\.layers\.\d+\.\w+\.\w+_proj\.weight")


def k_means(vectors: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Move ``centers`` in place to the means of the vectors nearest to each; returns the index of each vector's center."""
    for step in range(STEPS + 1):
        index = (centers.square().sum(1) - 2 * vectors @ centers.T).argmin(1)
        if step < STEPS:
            count = torch.zeros(len(centers)).index_add_(0, index, torch.ones(len(vectors)))
            total = torch.zeros_like(centers).index_add_(0, index, vectors)
            centers[count > 0] = total[count > 0] / count[count > 0, None]  # a center without vectors stays
    return index


def encode(weight: torch.Tensor, codebooks: int) -> dict[str, torch.Tensor]:
    """A weight as scales of its rows, codebooks, and codes into those; the sum over the codebooks gives it back."""
    scales = weight.float().square().mean(1).sqrt()
    vectors = (weight.float() / scales[:, None]).reshape(-1, GROUP)
    books, codes = [], []
    for _ in range(codebooks):
        rest = vectors - sum(book[code] for book, code in zip(books, codes, strict=True))
        books.append(rest[torch.randperm(len(rest))[: 2**BITS]].clone())
        codes.append(k_means(rest, books[-1]))
    signed = [(code + 2 ** (BITS - 1)) % 2**BITS - 2 ** (BITS - 1) for code in codes]  # numbers of BITS bits with a sign
    return {
        "codebooks": torch.stack(books).view(codebooks, 2**BITS, 1, GROUP).to(weight.dtype),
        "codes": torch.stack(signed, 1).view(weight.shape[0], -1, codebooks).to(torch.int8),
        "scales": scales.view(-1, 1, 1, 1).to(weight.dtype),
    }


def make(reference: Path, target: Path) -> None:
    torch.manual_seed(0)
    codebooks = 1 if "-1Bit-" in str(target) else 2
    tensors, kept = {}, []
    for name, weight in load_file(reference / "model.safetensors").items():
        if LINEAR.fullmatch(name):
            module = name.removesuffix("weight")
            tensors |= {module + part: tensor for part, tensor in encode(weight, codebooks).items()}
        else:
            tensors[name] = weight
            kept.append(name)
    config = json.loads((reference / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "aqlm",
        "nbits_per_codebook": BITS,
        "num_codebooks": codebooks,
        "out_group_size": 1,
        "in_group_size": GROUP,
        "linear_weights_not_to_quantize": [*kept, "lm_head.weight"],  # the names of weights, as AQLM's converter lists them
    }
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    (target / "config.json").write_text(json.dumps(config, indent=2))
    for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(reference / name, target / name)


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]))
