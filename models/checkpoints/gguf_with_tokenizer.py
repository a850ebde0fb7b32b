"""Write a GGUF file of the reference model with its tokenizer within: ``python SCRIPT REFERENCE_MODEL TARGET_FOLDER``.

Named as in the public repository, for engines that read nothing else. Every matrix is in Q8_0, rounded by the gguf package.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gguf
import torch
from transformers import AutoModelForCausalLM

KIND = gguf.GGMLQuantizationType.Q8_0


def add_tokenizer(writer: gguf.GGUFWriter, source: Path) -> None:
    """Add the byte-level BPE of ``tokenizer.json``, which splits text as GPT-2 does."""
    tokenizer = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    special = {one["id"] for one in tokenizer["added_tokens"]}
    tokens = sorted(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].__getitem__)
    kinds = [gguf.TokenType.CONTROL if number in special else gguf.TokenType.NORMAL for number in range(len(tokens))]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    for name in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        name(min(special))
    writer.add_add_bos_token(False)


def write(model, source: Path, path: Path) -> None:
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
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    add_tokenizer(writer, source)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":  # tied to the embeddings
            continue
        data = tensor.float().numpy()
        name = names.get_name(name, try_suffixes=(".weight",))
        if data.ndim == 1:
            writer.add_tensor(name, data)
        else:
            writer.add_tensor(name, gguf.quantize(data, KIND), raw_dtype=KIND)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(source: str, target: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    write(model, Path(source), Path(target) / "Qwen3-0.6B-Q8_0.gguf")


if __name__ == "__main__":
    main(*sys.argv[1:])
