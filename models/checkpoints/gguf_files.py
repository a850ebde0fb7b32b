"""Write GGUF files of the reference model: ``python SCRIPT REFERENCE_MODEL TARGET_FOLDER``.

One file a type, named as in the public repository. Every matrix has that type, embeddings too, and the rounding is that of
the gguf package. The tokenizer is left in its own files: llama.cpp would need it within.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import torch
from transformers import AutoModelForCausalLM

TYPES = (gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0)


def write(model, path: Path, kind: gguf.GGMLQuantizationType) -> None:
    """Write ``model``, a Qwen3, with all its matrices in one type."""
    config = model.config
    writer = gguf.GGUFWriter(path, "qwen3")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":  # tied to the embeddings
            continue
        data = tensor.float().numpy()
        name = names.get_name(name, try_suffixes=(".weight",))
        if data.ndim == 1:
            writer.add_tensor(name, data)
        else:
            writer.add_tensor(name, gguf.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(source: str, target: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    for kind in TYPES:
        write(model, Path(target) / f"Qwen3-0.6B-{kind.name}.gguf", kind)


if __name__ == "__main__":
    main(*sys.argv[1:])
