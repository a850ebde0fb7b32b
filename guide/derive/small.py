"""The small variant of an architecture around which all others are made."""

from __future__ import annotations

from typing import Any

from guide.calculator.shapes import Config
from guide.derive.refused import Refused, maybe
from guide.derive.variants import LAYERS, Variants

# Values for the small variants, as (base, other): small, and with the divisibility that the models ask for. A field that is
# not here keeps its value, and is doubled as the other. This decides only what is tried, never what comes out.
SMALL = {
    "vocab_size": (160, 224), "hidden_size": (96, 192), "intermediate_size": (80, 112), "num_attention_heads": (4, 8),
    "num_key_value_heads": (2, 4), "head_dim": (16, 32), "global_head_dim": (24, 48), "num_global_key_value_heads": (1, 2),
    "moe_intermediate_size": (40, 56), "shared_expert_intermediate_size": (24, 72), "num_experts": (8, 12),
    "moe_shared_expert_intermediate_size": (24, 72), "shared_intermediate_size": (24, 72), "intermediate_size_mlp": (64, 88),
    "num_local_experts": (8, 12), "n_routed_experts": (8, 12), "n_shared_experts": (2, 3), "n_group": (2, 4),
    "topk_group": (1, 2),
    "num_experts_per_tok": (2, 3), "top_k_experts": (2, 3), "first_k_dense_replace": (2, 3), "decoder_sparse_step": (2, 3),
    "interleave_moe_layer_step": (2, 4), "kv_lora_rank": (12, 20), "q_lora_rank": (28, 36), "qk_rope_head_dim": (8, 24),
    "qk_nope_head_dim": (10, 14), "v_head_dim": (18, 22), "index_n_heads": (3, 5), "index_head_dim": (26, 34),
    "index_topk": (90, 95),
    "sliding_window": (12, 17), "max_window_layers": (3, 4), "attention_chunk_size": (14, 19),
    "sliding_window_pattern": (4, 3),
    "linear_num_key_heads": (2, 4), "linear_num_value_heads": (4, 8), "linear_key_head_dim": (10, 14),
    "linear_value_head_dim": (22, 26), "linear_conv_kernel_dim": (4, 6), "max_position_embeddings": (256, 512),
    "full_attention_interval": (4, 3), "rotary_dim": (8, 16), "mamba_num_heads": (6, 12), "mamba_head_dim": (16, 20),
    "ssm_state_size": (11, 13),
    "n_groups": (2, 3), "conv_kernel": (4, 5), "chunk_size": (8, 16), "moe_shared_expert_overlap": (1, 2),
    "moe_latent_size": (36, 44), "no_rope_layer_interval": (4, 3), "hidden_size_per_layer_input": (6, 10),
    "swa_num_attention_heads": (4, 8), "swa_num_key_value_heads": (2, 4), "swa_head_dim": (16, 32), "swa_v_head_dim": (14, 20),
    "conv_L_cache": (3, 4), "block_ff_dim": (128, 256), "num_dense_layers": (2, 3), "pad_token_id": (0, 1),
    "bos_token_id": (1, 2), "eos_token_id": (2, 3), "dim_model_base": (32, 64),
}  # fmt: skip
DROPPED = {"quantization_config", "auto_map", "rope_scaling", "rope_parameters", "dtype", "torch_dtype", "architectures",
           "transformers_version", "_name_or_path", "vision_config", "audio_config", "compression_config"}  # fmt: skip


def small_variant(variants: Variants) -> tuple[Config, set[str]]:
    """A config that builds and runs, and the fields that a variant of it may give; ties those that must be equal."""
    try:
        base, own = _small(variants, variants.examples[0])
        shapes, tied = variants.shapes(base), {"num_key_value_heads": "num_attention_heads"}
        for field, other in tied.items():
            if other in base and shapes == variants.shapes({**base, field: base[other]}):  # as in latent attention
                variants.tied = tied
        variants.architecture.cache(variants.tie(base), thorough=True)
    except Refused as error:
        raise Refused(f"a small variant is not built or does not run: {error}") from error
    return base, own


def cycle(kinds: list[Any]) -> list[Any]:
    """The kinds of layers in turn, for a small variant."""
    kinds = list(dict.fromkeys(kinds))
    return [kinds[i % len(kinds)] for i in range(LAYERS)]


def _small(variants: Variants, example: Config) -> tuple[Config, set[str]]:
    """A small config of the same kinds of layers, its lists by layer written out."""
    names, options = variants.architecture.names, variants.architecture.options
    own = {names.get(field, field) for field in options}
    raw = _with_short_lists(variants, example)
    for other, field in names.items():
        if other in raw:
            raw[field] = raw.pop(other)
    _make_small(variants, raw, own)
    normal = variants.fields(raw)
    if isinstance(normal.get("mlp_only_layers"), list):
        raw["mlp_only_layers"] = [1]
    for field, one in normal.items():
        if field in own and isinstance(one, list) and len(one) == LAYERS and all(isinstance(each, str) for each in one):
            raw[field] = one
    for field in sorted(field for field in own & set(SMALL) if raw.get(field) is None and normal.get(field) is None):
        tried = {**raw, field: SMALL[field][0]}
        if maybe(variants.shapes, tried) and maybe(variants.cache, tried):
            raw = tried
    return raw, own | set(raw)


def _with_short_lists(variants: Variants, example: Config) -> Config:
    """The example without what is dropped, its lists by layer as long as a small variant."""
    raw = {field: one for field, one in example.items() if field not in DROPPED and not isinstance(one, dict)}
    layers = raw.get("num_hidden_layers")
    for field, one in list(raw.items()):
        if isinstance(one, list | str) and len(one) == layers and all(isinstance(each, str | int) for each in one):
            if isinstance(one, str):  # one letter a layer, of which the class makes a list
                lists = {name: made for name, made in variants.fields(example).items() if isinstance(made, list)}
                raw |= {name: cycle(made) for name, made in lists.items() if len(made) == layers}
                del raw[field]
            else:
                raw[field] = cycle(one)
        elif isinstance(one, list) and one:
            del raw[field]  # made anew by the class
    return {**raw, "num_hidden_layers": LAYERS}


def _make_small(variants: Variants, raw: Config, own: set[str]) -> None:
    """Give the config's numbers small values, but those that the class computes from others."""
    made = variants.architecture.makes
    for field, one in {**{field: one for field, one in variants.fields(raw).items() if field in own}, **raw}.items():
        if field in SMALL and type(one) is int and (field in own or not made(raw, field)):
            raw[field] = SMALL[field][0]
    for field in ("head_dim", "num_key_value_heads"):
        if field in own or not made(raw, field):
            raw[field] = SMALL[field][0]
        else:
            raw.pop(field, None)
