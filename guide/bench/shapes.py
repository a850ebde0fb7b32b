"""Shapes of published models, for models with random weights: what is stored depends on the shapes of layers alone."""

from typing import Any

REFERENCE = "reference"  # the reference model's own shape; its config.json stands beside it
Config = dict[str, Any]


def _qwen3(hidden: int, inner: int, layers: int, heads: int, groups: int, **more: object) -> Config:
    shape = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads}
    own = {"model_type": "qwen3", "num_key_value_heads": groups, "head_dim": 128, "vocab_size": 151936}
    return own | shape | {"tie_word_embeddings": True, "max_position_embeddings": 4096, **more}


_LLAMA = {"model_type": "llama", "vocab_size": 32000, "tie_word_embeddings": False, "max_position_embeddings": 4096}
_TINYLLAMA = {"hidden_size": 2048, "intermediate_size": 5632, "num_attention_heads": 32, "num_key_value_heads": 4}
_SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
_LLAMA31 = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8}
_QWEN25 = {"hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12, "num_key_value_heads": 2}
_EXPERTS = {"model_type": "qwen3_moe", "tie_word_embeddings": False, "norm_topk_prob": True, "num_experts_per_tok": 2}

SHAPES: dict[str, Config] = {
    "Qwen3-0.6B": _qwen3(1024, 3072, 28, 16, 8),
    "TinyLlama-1.1B": _LLAMA | _TINYLLAMA | {"num_hidden_layers": 22},
    "Qwen2.5-1.5B": _QWEN25
    | {"model_type": "qwen2", "num_hidden_layers": 28, "vocab_size": 151936, "tie_word_embeddings": True},
    "Qwen3-4B": _qwen3(2560, 9728, 36, 32, 8),
    "SmolLM2-135M, 2 layers": _LLAMA | _SMOLLM2 | {"num_hidden_layers": 2, "vocab_size": 49152, "tie_word_embeddings": True},
    "Qwen3-0.6B, 1 layer": _qwen3(1024, 3072, 1, 16, 8),
    "Qwen3-30B-A3B, 2 layers, 8 experts": _qwen3(2048, 6144, 2, 32, 4, vocab_size=32000)
    | _EXPERTS
    | {"num_experts": 8, "moe_intermediate_size": 768},
    "small mixture, 4 experts": _qwen3(512, 1536, 1, 8, 2, vocab_size=8192, head_dim=64)
    | _EXPERTS
    | {"num_experts": 4, "moe_intermediate_size": 256},
}
GROUPS = {  # for methods that quantize fast on a CPU, and for those that take the first layers alone there
    "fast": (REFERENCE, *(name for name in SHAPES if name != "Qwen3-0.6B, 1 layer")),
    "slow": (REFERENCE, "SmolLM2-135M, 2 layers", "Qwen3-0.6B, 1 layer", "small mixture, 4 experts"),
}

# For speed: one layer is made and quantized, and repeated as often as the published model has it.
ONE_LAYER: dict[str, Config] = {
    "Qwen3-0.6B": _qwen3(1024, 3072, 1, 16, 8),
    "Llama-3.1-8B": _LLAMA | _LLAMA31 | {"num_hidden_layers": 1, "vocab_size": 128256},
    "Qwen3-8B": _qwen3(4096, 12288, 1, 32, 8, tie_word_embeddings=False),
}
LAYERS = {"Qwen3-0.6B": 28, "Llama-3.1-8B": 32, "Qwen3-8B": 36}
