"""Small variants of one architecture, and what each of its fields does, found by changing one at a time."""

import json
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from guide.calculator.shapes import Config
from guide.derive import LAYERS, Refused, Seen, maybe
from guide.derive.rules import polynomials

if TYPE_CHECKING:  # needs torch
    from guide.derive.observe import Built

# Values for the small variants, as (base, other): small, and with the divisibility that the models ask for. A field that is
# not here keeps its value, and is doubled as the other. This decides only what is tried, never what comes out.
SMALL = {
    "vocab_size": (160, 224), "hidden_size": (96, 192), "intermediate_size": (80, 112), "num_attention_heads": (4, 8),
    "num_key_value_heads": (2, 4), "head_dim": (16, 32), "global_head_dim": (24, 48), "num_global_key_value_heads": (1, 2),
    "moe_intermediate_size": (40, 56), "shared_expert_intermediate_size": (24, 72), "num_experts": (8, 12),
    "moe_shared_expert_intermediate_size": (24, 72), "shared_intermediate_size": (24, 72), "intermediate_size_mlp": (64, 88),
    "num_local_experts": (8, 12), "n_routed_experts": (8, 12), "n_shared_experts": (2, 3), "n_group": (2, 4),
    "topk_group": (1, 2), "num_experts_per_tok": (2, 3), "top_k_experts": (2, 3), "first_k_dense_replace": (2, 3),
    "decoder_sparse_step": (2, 3), "interleave_moe_layer_step": (2, 4), "kv_lora_rank": (12, 20), "q_lora_rank": (28, 36),
    "qk_rope_head_dim": (8, 24), "qk_nope_head_dim": (10, 14), "v_head_dim": (18, 22), "index_n_heads": (3, 5),
    "index_head_dim": (26, 34), "index_topk": (90, 95), "sliding_window": (12, 17), "max_window_layers": (3, 4),
    "attention_chunk_size": (14, 19), "sliding_window_pattern": (4, 3), "linear_num_key_heads": (2, 4),
    "linear_num_value_heads": (4, 8), "linear_key_head_dim": (10, 14), "linear_value_head_dim": (22, 26),
    "linear_conv_kernel_dim": (4, 6), "max_position_embeddings": (256, 512), "full_attention_interval": (4, 3),
    "rotary_dim": (8, 16), "mamba_num_heads": (6, 12), "mamba_head_dim": (16, 20), "ssm_state_size": (11, 13),
    "n_groups": (2, 3), "conv_kernel": (4, 5), "chunk_size": (8, 16), "moe_shared_expert_overlap": (1, 2),
    "moe_latent_size": (36, 44), "no_rope_layer_interval": (4, 3), "hidden_size_per_layer_input": (6, 10),
    "swa_num_attention_heads": (4, 8), "swa_num_key_value_heads": (2, 4), "swa_head_dim": (16, 32), "swa_v_head_dim": (14, 20),
    "conv_L_cache": (3, 4), "block_ff_dim": (128, 256), "num_dense_layers": (2, 3), "pad_token_id": (0, 1),
    "bos_token_id": (1, 2), "eos_token_id": (2, 3), "dim_model_base": (32, 64),
}  # fmt: skip
DROPPED = {"quantization_config", "auto_map", "rope_scaling", "rope_parameters", "dtype", "torch_dtype", "architectures",
           "transformers_version", "_name_or_path", "vision_config", "audio_config", "compression_config"}  # fmt: skip
UNRELATED = {"use_cache", "is_encoder_decoder", "is_decoder", "add_cross_attention", "return_dict", "output_attentions",
             "output_hidden_states", "tie_encoder_decoder", "torchscript"}  # fmt: skip
LAYER_KINDS = ("full_attention", "sliding_attention")  # tried for layer_types besides those seen


class Variants:
    """The variants of one architecture, each observed once, be it a failure; and what its fields do, see ``find_roles``."""

    def __init__(self, architecture: "Built", examples: list[Config]):
        self.architecture, self.examples = architecture, examples
        self.fields = architecture.fields
        self.shapes, self.cache = self._once(architecture.shapes), self._once(architecture.cache)
        self.random = random.Random(architecture.model_type)  # the same variants in every run
        self.tied: dict[str, str] = {}  # fields that must be equal to others for the model to run
        self.base: Config = {}  # the config around which all are made
        self.others: dict[str, int] = {}  # another value of each whole number of the base
        self.dimensions: list[str] = []  # fields by which figures scale
        self.shaping: set[str] = set()  # those of them that shapes depend on, not only the cache
        self.indices: list[str] = []  # fields that choose layers
        self.switches: dict[str, bool] = {}  # fields that change the structure, as they are in the base
        self.fixed: dict[str, list[Any]] = {}  # fields that must have one of these values
        self.nullable: list[str] = []
        self.lists: dict[str, list[Any]] = {}  # by layer: the kinds; none for layer numbers

    def both(self, raw: Config) -> tuple[Seen | None, Seen | None]:
        """Shapes and cache, None where they are refused."""
        return maybe(self.shapes, raw), maybe(self.cache, raw)

    def _once(self, observe: Callable[[Config], Seen]) -> Callable[[Config], Seen]:
        seen: dict[str, Seen | Refused] = {}

        def ask(raw: Config) -> Seen:
            raw = self.tie(raw)
            key = json.dumps(raw, sort_keys=True)
            if key not in seen:
                try:
                    seen[key] = observe(raw)
                except Refused as error:
                    seen[key] = error
            found = seen[key]
            if isinstance(found, Refused):
                raise found
            return found

        return ask

    def tie(self, raw: Config) -> Config:
        """The variant with its tied fields."""
        return {**raw, **{field: raw[other] for field, other in self.tied.items() if other in raw}}

    def flipped(self) -> list[Config]:
        """The base, and the base with each switch the other way."""
        return [self.base, *({**self.base, field: not one} for field, one in self.switches.items())]

    def without_lists(self) -> Config:
        """The base without its lists by layer."""
        return {field: one for field, one in self.base.items() if not isinstance(one, list)}

    def lists_made(self, raw: Config) -> Config:
        """The lists that the configuration has, given or made by its class."""
        return {field: one for field, one in self.fields(raw).items() if isinstance(one, list)}


def small_variant(variants: Variants) -> tuple[Config, set[str]]:
    """A config that builds and runs, and the fields that a variant of it may give; ties those that must be equal."""
    try:
        base, own = _small(variants)
        shapes, heads = variants.shapes(base), base.get("num_attention_heads")
        if heads is not None and shapes == variants.shapes({**base, "num_key_value_heads": heads}):  # as in latent attention
            variants.tied = {"num_key_value_heads": "num_attention_heads"}
        variants.architecture.cache(variants.tie(base), thorough=True)
    except Refused as error:
        raise Refused(f"a small variant is not built or does not run: {error}") from error
    return base, own


def _small(variants: Variants) -> tuple[Config, set[str]]:
    """A small config of the same kinds of layers, its lists by layer written out; and the architecture's own fields."""
    names, makes = variants.architecture.names, variants.architecture.makes
    own = {names.get(field, field) for field in variants.architecture.options}
    raw = _with_short_lists(variants, variants.examples[0])
    for other, field in names.items():
        if other in raw:
            raw[field] = raw.pop(other)
    for field, one in {**variants.fields(raw), **raw}.items():
        if field in SMALL and type(one) is int and (field in own or not makes(raw, field)):
            raw[field] = SMALL[field][0]
    for field in ("head_dim", "num_key_value_heads"):
        if field in own or not makes(raw, field):
            raw[field] = SMALL[field][0]
        else:  # computed from others
            raw.pop(field, None)
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
        if isinstance(one, str) and len(one) == layers:  # one letter a layer, of which the class makes a list
            made = variants.fields(example)
            raw |= {name: cycle(known) for name, known in made.items() if isinstance(known, list) and len(known) == layers}
            del raw[field]
        elif isinstance(one, list) and len(one) == layers and all(isinstance(each, str | int) for each in one):
            raw[field] = cycle(one)
        elif isinstance(one, list) and one:
            del raw[field]  # made anew by the class
    return {**raw, "num_hidden_layers": LAYERS}


def cycle(kinds: list[Any]) -> list[Any]:
    """The kinds of layers in turn, for a small variant."""
    kinds = list(dict.fromkeys(kinds))
    return [kinds[i % len(kinds)] for i in range(LAYERS)]


def find_roles(variants: Variants) -> None:
    """Make the base of the variants, and find what each of its fields does."""
    base, own = small_variant(variants)
    given = {**{field: one for field, one in variants.fields(base).items() if field in own}, **base}
    whole = {field: one for field, one in given.items() if type(one) is int and field != "num_hidden_layers"}
    variants.base = {**base, **whole}
    variants.others = {field: SMALL[field][1] if field in SMALL else max(2 * one, one + 1) for field, one in whole.items()}
    _find_numbers(variants)
    for field, one in given.items():
        _find_switch(variants, field, one)
    _find_nullable(variants)
    _find_lists(variants, given)
    _find_hidden(variants)


def _find_numbers(variants: Variants) -> None:
    """The numbers by which figures scale, and those that choose layers."""
    shapes, cache = variants.shapes(variants.base), variants.cache(variants.base)
    for field, other in variants.others.items():
        changed = {**variants.base, field: other}
        now = maybe(variants.shapes, changed)
        if now is None:
            continue
        held = maybe(variants.cache, changed) or cache  # one that does not run tells nothing
        if now.keys() != shapes.keys() or held.keys() != cache.keys():
            variants.indices.append(field)
        elif now != shapes or held != cache:
            variants.dimensions.append(field)
            variants.shaping |= {field} if now != shapes else set()


def _find_switch(variants: Variants, field: str, one: Any) -> None:
    """A field that changes the structure and is no whole number: a switch, or one that must have a value that was seen."""
    base, shapes, matters = variants.base, variants.shapes(variants.base), False
    if type(one) is bool and field not in UNRELATED:
        _find_flipped(variants, field, one)
    elif type(one) is float:
        matters = maybe(variants.shapes, {**base, field: one * 2 or 1.0}) not in (None, shapes)
    elif isinstance(one, str) and field not in DROPPED | {"model_type"}:
        # No list of what a text may be is to be had; one that is rejected, or changes shapes, must stay as it is.
        matters = maybe(variants.shapes, {**base, field: "gelu"}) != shapes
    elif one is None and "bool" in variants.architecture.options.get(field, ""):
        matters = variants.both({**base, field: True}) != variants.both(base)
    if matters:
        seen = [example[field] for example in variants.examples if example.get(field) is not None]
        variants.fixed[field] = list(dict.fromkeys([False if one is None else one, *seen]))


def _find_flipped(variants: Variants, field: str, one: bool) -> None:
    """A field that is true or false: what cannot be derived of its other value must stay as it is."""
    changed, bare = {**variants.base, field: not one}, variants.without_lists()
    start, now = variants.both(variants.base), variants.both(changed)
    if None in now:
        variants.fixed[field] = [one]
        return
    made, before = (maybe(variants.lists_made, {**bare, field: value}) for value in (not one, one))
    if now == start and made == before:
        return
    try:
        for observe, found in zip((variants.shapes, variants.cache), now, strict=True):
            if found not in start:
                polynomials(observe, changed, {field: variants.others[field] for field in variants.dimensions})
        variants.switches[field] = one
    except Refused:
        variants.fixed[field] = [one]


def _find_nullable(variants: Variants) -> None:
    """The numbers that may be null: one that shapes depend on only where null changes the structure."""
    shapes = variants.shapes(variants.base)
    for field in [*variants.dimensions, *variants.indices]:
        changed = {**variants.base, field: None}
        now, held = variants.both(changed)
        if now is None or held is None or variants.fields(changed).get(field, "absent") is not None:
            continue
        if now.keys() != shapes.keys() or field not in variants.shaping:
            variants.nullable.append(field)


def _find_lists(variants: Variants, given: Config) -> None:
    """The lists by layer, and of each the kinds that can be built; all kinds go in the base."""
    for field, one in given.items():
        if field == "mlp_only_layers":
            variants.lists[field] = []
        elif isinstance(one, list) and len(one) == LAYERS and all(isinstance(each, str | int) for each in one):
            seen = [each for example in variants.examples for each in variants.fields(example).get(field) or []]
            kinds = variants.lists[field] = list(dict.fromkeys(one))
            for kind in dict.fromkeys([*seen, *(LAYER_KINDS if field == "layer_types" else ())]):
                with_it = [one[0], kind, *one[2:]]
                if kind not in one and any(None not in variants.both({**raw, field: with_it}) for raw in variants.flipped()):
                    kinds.append(kind)
            variants.base[field] = cycle(variants.lists[field])
    for changed in variants.flipped():
        if maybe(variants.cache, changed) is not None:
            variants.base = changed
            variants.switches = {field: changed.get(field, one) for field, one in variants.switches.items()}
            return
    raise Refused("a variant with all kinds of layers does not run")


def _find_hidden(variants: Variants) -> None:
    """Fields that matter only where a switch is set the other way or with other kinds of layers, as a window does."""
    for field in sorted((variants.others.keys() & SMALL.keys()) - {*variants.dimensions, *variants.indices}):
        for base in variants.flipped():
            before, after = variants.both(base), variants.both({**base, field: variants.others[field]})
            if any(None not in pair and pair[0] != pair[1] for pair in zip(before, after, strict=True)):
                variants.dimensions.append(field)
                break
