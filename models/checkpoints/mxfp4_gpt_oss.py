"""Stand-in for a published gpt-oss checkpoint: a small gpt-oss with random weights, its experts in MXFP4.

``python SCRIPT REFERENCE_MODEL TARGET``. It shares the reference model's tokenizer alone: no gpt-oss was trained for this
guide, and nothing in Transformers 5.23.0 writes MXFP4 without a GPU. What it predicts means nothing; its tensors have the
names, axes and types of the published ones.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import GptOssConfig, GptOssForCausalLM

FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])  # the magnitudes of e2m1, by code


def packed(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Expert weights (experts, inputs, outputs) as blocks (experts, outputs, inputs / 32, 16), two codes to a byte and the
    first in the lower half, and scales (experts, outputs, inputs / 32), exponents of 2 with a bias of 127."""
    blocks = weight.float().transpose(1, 2).unflatten(-1, (-1, 32))
    exponents = torch.ceil(torch.log2(blocks.abs().amax(-1) / 6))
    scaled = blocks / torch.exp2(exponents)[..., None]
    codes = (scaled.abs()[..., None] - FP4).abs().argmin(-1) + 8 * (scaled < 0)
    return (codes[..., 0::2] | codes[..., 1::2] << 4).to(torch.uint8), (exponents + 127).to(torch.uint8)


reference, target = (Path(argument) for argument in sys.argv[1:])
vocabulary = json.loads((reference / "config.json").read_text(encoding="utf-8"))["vocab_size"]
torch.manual_seed(0)
config = GptOssConfig(
    vocab_size=vocabulary,
    num_hidden_layers=4,
    hidden_size=256,
    intermediate_size=256,
    num_local_experts=8,
    num_experts_per_tok=2,
    num_attention_heads=8,
    num_key_value_heads=2,
    head_dim=64,
)
GptOssForCausalLM(config).to(torch.bfloat16).save_pretrained(target)
weights = {}
for name, weight in load_file(target / "model.safetensors").items():
    if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
        weights[f"{name}_blocks"], weights[f"{name}_scales"] = packed(weight)
    else:
        weights[name] = weight
save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copyfile(reference / name, target / name)
settings = {
    "quant_method": "mxfp4",
    "modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"],
}
model = json.loads((target / "config.json").read_text(encoding="utf-8")) | {"quantization_config": settings}
(target / "config.json").write_text(json.dumps(model, indent=2), encoding="utf-8")
