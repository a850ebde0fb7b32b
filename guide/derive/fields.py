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
    "moe_latent_size": (40, 48), "no_rope_layer_interval": (4, 3), "hidden_size_per_layer_input": (6, 10),
    "swa_num_attention_heads": (4, 8), "swa_num_key_value_heads": (2, 4), "swa_head_dim": (16, 32), "swa_v_head_dim": (14, 20),
    "conv_L_cache": (3, 4), "block_ff_dim": (128, 256), "num_dense_layers": (2, 3), "pad_token_id": (0, 1),
    "bos_token_id": (1, 2), "eos_token_id": (2, 3), "dim_model_base": (32, 64), "n_inner": (80, 112),
    "n_positions": (256, 512), "hidden_size/num_attention_heads": (24, 48),
}  # fmt: skip
DROPPED = {"quantization_config", "auto_map", "rope_scaling", "rope_parameters", "dtype", "torch_dtype", "architectures",
           "transformers_version", "_name_or_path", "vision_config", "audio_config", "compression_config",
           "time_step_limit", "mtp_hybrid_override_pattern", "mtp_layers_block_type"}  # fmt: skip
UNRELATED = {"use_cache", "is_encoder_decoder", "is_decoder", "add_cross_attention", "return_dict", "output_attentions",
             "output_hidden_states", "tie_encoder_decoder", "torchscript"}  # fmt: skip
# Where heads have a width of their own in no field, variants are made by it and not by the width of the model.
RATIO = "hidden_size/num_attention_heads"
# Values of a field that is null or absent, by its type.
TRIED: dict[str, list[Any]] = {"int": [1, 3], "float": [0.5], "str": ["gelu"]}
TRIED_OF_ANY: list[Any] = [3, True, "gelu"]  # of one whose type is not declared
# How names of fields end that no tensor depends on.
HARMLESS = ("token_id", "token_ids", "_dropout", "token_index", "rope_theta")
KEPT_ZERO = {"hidden_size_per_layer_input", "num_kv_shared_layers"}  # switched off by 0, and told only as they are in examples
LAYER_KINDS = ("full_attention", "sliding_attention")  # tried for layer_types besides those seen


class Variants:
    """The variants of one architecture, each observed once, be it a failure; and what its fields do, see ``find_roles``."""

    def __init__(self, architecture: "Built", examples: list[Config]):
        standard = {own: field for field, own in architecture.own.items()}
        self.examples = [{standard.get(field, field): one for field, one in example.items()} for example in examples]
        self.architecture = architecture
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
        self.names: dict[str, str] = dict(architecture.names)  # fields, by other names that they have
        self.making: dict[str, list[Any]] = {}  # fields that only say what lists by layer are, with the values that are known
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

    def fields(self, raw: Config) -> Config:
        """The fields of the configuration that a variant gives."""
        return self.architecture.fields(self.tie(raw))

    def tie(self, raw: Config) -> Config:
        """The variant with its tied fields, and its width from that of a head."""
        raw = self.wide(raw)
        return {**raw, **{field: raw[other] for field, other in self.tied.items() if other in raw}}

    def wide(self, raw: Config) -> Config:
        """The variant with its own width where it has that of a head."""
        if RATIO not in raw:
            return raw
        width, heads = raw[RATIO], raw.get("num_attention_heads")
        rest = {field: one for field, one in raw.items() if field != RATIO}
        return {**rest, "hidden_size": heads * width if heads and width else None}

    def flipped(self) -> list[Config]:
        """The base, and the base with each switch the other way."""
        return [self.base, *({**self.base, field: not one} for field, one in self.switches.items())]

    def without_lists(self) -> Config:
        """The base without its lists by layer."""
        return {field: one for field, one in self.base.items() if not isinstance(one, list)}

    def keeps(self, raw: Config) -> bool:
        """Whether the configuration leaves the lists by layer as they are given."""
        made = maybe(self.lists_made, raw) or {}
        return all(made.get(field, raw[field]) == raw[field] for field in self.lists if field in raw)

    def lists_made(self, raw: Config) -> Config:
        """The lists that the configuration has, given or made by its class."""
        return {field: one for field, one in self.fields(raw).items() if isinstance(one, list)}


def small_variant(variants: Variants) -> tuple[Config, set[str]]:
    """A config that builds and runs, and the fields that a variant of it may give; ties those that must be equal."""
    reason: Refused | None = None
    for added in (("head_dim", "num_key_value_heads"), ()):
        variants.tied = {}
        try:
            base, own = _small(variants, added)
            shapes, heads = variants.shapes(base), base.get("num_attention_heads")
            # As in latent attention.
            if heads is not None and shapes == variants.shapes({**base, "num_key_value_heads": heads}):
                variants.tied = {"num_key_value_heads": "num_attention_heads"}
            variants.architecture.cache(variants.tie(base), thorough=True)
            base = _by_head(variants, base)
        except Refused as error:
            reason = reason or error
        else:
            return base, own | set(base)
    raise Refused(f"a small variant is not built or does not run: {reason}") from reason


def _by_head(variants: Variants, base: Config) -> Config:
    """The base with the width of a head: in its own field where that can be given, else in place of the model's width."""
    if "head_dim" in {*variants.architecture.options, *variants.architecture.names} or base.get("num_attention_heads") is None:
        return base
    shapes, given = variants.shapes(base), {**base, "head_dim": 2 * SMALL["head_dim"][0]}
    if maybe(variants.shapes, given) not in (None, shapes):
        wide, computed = {**base, "head_dim": SMALL["head_dim"][0]}, base["hidden_size"] // base["num_attention_heads"]
        fine = variants.fields(base).get("head_dim", computed) == computed and maybe(variants.cache, wide) is not None
        return wide if fine else base
    narrow = {field: one for field, one in base.items() if field not in ("head_dim", "hidden_size")}
    narrow[RATIO] = SMALL[RATIO][0]
    return narrow if maybe(variants.cache, narrow) is not None else base


def _small(variants: Variants, added: tuple[str, ...]) -> tuple[Config, set[str]]:
    """A small config of the same kinds of layers, its lists by layer written out; and the architecture's own fields.

    ``added`` are given although the configuration does not have them, as a model may still ask for them.
    """
    names, makes = variants.architecture.names, variants.architecture.makes
    own = {names.get(field, field) for field in variants.architecture.options}
    raw = _with_short_lists(variants)
    for other, field in names.items():
        if other in raw:
            raw[field] = raw.pop(other)
    for field, one in {**variants.fields(raw), **raw}.items():
        off = one == 0 and field in KEPT_ZERO
        if field in SMALL and type(one) is int and not off and (field in own or not makes(raw, field)):
            raw[field] = SMALL[field][0]
    for field in ("head_dim", "num_key_value_heads"):
        if field in own or (field in added and field not in names and not makes(raw, field)):
            raw[field] = SMALL[field][0]
        else:  # computed from others
            raw.pop(field, None)
    normal = variants.fields(raw)
    for field, one in normal.items():
        if field in own and field != "num_hidden_layers" and _numbers_layers(field, one):
            raw[field] = [number for number in one if number < LAYERS] or [1]
    for field, one in normal.items():
        if field in own and isinstance(one, list) and len(one) == LAYERS and all(isinstance(each, str) for each in one):
            raw[field] = one
    for field in sorted(field for field in own & set(SMALL) if raw.get(field) is None and normal.get(field) is None):
        tried = {**raw, field: SMALL[field][0]}
        if maybe(variants.shapes, tried) and maybe(variants.cache, tried):
            raw = tried
    return raw, own | set(raw)


def _with_short_lists(variants: Variants) -> Config:
    """The first example without what is dropped; its lists by layer, and those that others add, as long as a small variant."""
    lists: Config = {}
    for example in reversed(variants.examples):
        lists |= _short_lists(variants, example)
    first, kept = variants.examples[0], (int, float, str, type(None))
    letters = {field for field, one in first.items() if _by_letters(first, one)}
    plain = {field: one for field, one in first.items() if isinstance(one, kept) and field not in DROPPED | letters}
    empty = {field: one for field, one in first.items() if one == []}
    return {**plain, **empty, **lists, "num_hidden_layers": LAYERS}


def _by_letters(example: Config, given: Any) -> bool:
    return isinstance(given, str) and len(given) == example.get("num_hidden_layers")


def _short_lists(variants: Variants, example: Config) -> Config:
    """The example's lists by layer, and those that the class makes of one letter a layer; it makes other lists anew."""
    lists: Config = {}
    layers = example.get("num_hidden_layers")
    for field, one in example.items():
        if _by_letters(example, one) and field not in DROPPED:
            made = variants.fields(example)
            lists |= {name: cycle(known) for name, known in made.items() if isinstance(known, list) and len(known) == layers}
        elif isinstance(one, list) and len(one) == layers and all(isinstance(each, str | int) for each in one):
            lists[field] = cycle(one)
    return lists


def cycle(kinds: list[Any]) -> list[Any]:
    """The kinds of layers in turn, for a small variant."""
    kinds = list(dict.fromkeys(kinds))
    return [kinds[i % len(kinds)] for i in range(LAYERS)]


def _numbers_layers(field: str, given: Any) -> bool:
    """Whether a list has numbers of layers, and not a value for each."""
    if not isinstance(given, list) or not field.endswith("layers"):
        return False
    return all(type(one) is int for one in given) and given == sorted(set(given))


def find_roles(variants: Variants) -> None:
    """Make the base of the variants, and find what each of its fields does."""
    base, own = small_variant(variants)
    given = {**{field: one for field, one in variants.fields(base).items() if field in own}, **base}
    if RATIO in base:
        del given["hidden_size"]
    whole = {field: one for field, one in given.items() if type(one) is int and field != "num_hidden_layers"}
    variants.base = {**base, **whole}
    variants.others = {field: SMALL[field][1] if field in SMALL else max(2 * one, one + 1) for field, one in whole.items()}
    _find_numbers(variants)
    for field, one in given.items():
        _find_switch(variants, field, one)
    _find_nullable(variants)
    _find_lists(variants, given)
    _find_hidden(variants)
    _find_unprobed(variants, given)


def _find_numbers(variants: Variants) -> None:
    """The numbers by which figures scale, and those that choose layers."""
    shapes, cache = variants.shapes(variants.base), variants.cache(variants.base)
    for field, other in variants.others.items():
        changed = {**variants.base, field: other}
        now = maybe(variants.shapes, changed)
        if now is None:
            continue
        held = maybe(variants.cache, changed) or cache  # one that does not run tells nothing
        if field in KEPT_ZERO and variants.base[field] == 0 and (now, held) != (shapes, cache):
            variants.fixed[field] = [0]
        elif now.keys() != shapes.keys() or held.keys() != cache.keys():
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
        if _numbers_layers(field, one):
            variants.lists[field] = []
        elif isinstance(one, list) and len(one) == LAYERS and all(isinstance(each, str | int) for each in one):
            seen = [each for example in variants.examples for each in variants.fields(example).get(field) or []]
            kinds = variants.lists[field] = list(dict.fromkeys(one))
            others = {
                other: [each[0]] * LAYERS for other, each in given.items() if isinstance(each, list) and len(each) == LAYERS
            }
            for kind in dict.fromkeys([*seen, *(LAYER_KINDS if field == "layer_types" else ())]):
                with_it = {**others, field: [one[0], kind, *one[2:]]}
                if kind not in one and any(None not in variants.both({**raw, **with_it}) for raw in variants.flipped()):
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
    for field in sorted((variants.others.keys() & SMALL.keys()) - {*variants.dimensions, *variants.indices, *variants.fixed}):
        for base in variants.flipped():
            before, after = variants.both(base), variants.both({**base, field: variants.others[field]})
            if any(None not in pair and pair[0] != pair[1] for pair in zip(before, after, strict=True)):
                variants.dimensions.append(field)
                break


def _find_unprobed(variants: Variants, given: Config) -> None:
    """Fields that are null, absent, or no single value: each must stay as it was seen, unless others change nothing."""
    letters = {field for example in variants.examples for field, one in example.items() if _by_letters(example, one)}
    known = {
        *letters,
        *variants.others,
        *variants.switches,
        *variants.fixed,
        *variants.lists,
        *variants.names,
        *DROPPED,
        *UNRELATED,
    }
    for field in [*variants.architecture.options, *variants.architecture.asked]:
        one = given.get(field)
        probed = type(one) in (bool, int, float, str)
        if field in known or probed or field.startswith("_") or field.endswith(HARMLESS) or field == "model_type":
            continue
        kinds = variants.architecture.options.get(field)
        tries = (
            TRIED_OF_ANY if kinds is None else [value for kind, values in TRIED.items() if kind in kinds for value in values]
        )
        if kinds is not None and any(kind in kinds for kind in ("list", "tuple", "dict")):
            tries = []  # what they may hold is not known
        if alias := next((alias for value in tries if (alias := _named(variants, field, value))), None):
            variants.names[field] = alias
            continue
        effects = {_effect(variants, field, value) for value in tries} - {"fails"} or {"structure"}
        seen = [one]
        for example in variants.examples:
            value = example.get(field)
            if value is not None and value not in seen and _effect(variants, field, value) == "nothing":
                seen.append(value)
        if "structure" in effects:
            variants.fixed[field] = seen
        elif "lists" in effects:
            variants.making[field] = seen


def _named(variants: Variants, field: str, value: Any) -> str | None:
    """The field that gets the value of this one, which is another name of it."""
    before, after = maybe(variants.fields, variants.base), maybe(variants.fields, {**variants.base, field: value})
    if before is None or after is None or field in before:
        return None
    changed = [name for name, one in after.items() if name != field and one != before.get(name)]
    alike = changed and changed[0] in variants.others and type(value) is int and after[changed[0]] == value
    return changed[0] if len(changed) == 1 and alike else None


def _effect(variants: Variants, field: str, value: Any) -> str:
    """What a value of a field changes: "nothing", only "lists" that are not given, the "structure"; or building "fails"."""
    base, bare = variants.base, variants.without_lists()
    start, now = variants.both(base), variants.both({**base, field: value})
    if now[0] is None or (now[1] is None and start[1] is not None):
        return "fails"
    if now != start:
        return "structure"
    made, before = (maybe(variants.lists_made, raw) for raw in ({**bare, field: value}, bare))
    alike = made is not None and before is not None and {**made, field: None} == {**before, field: None}
    return "nothing" if alike else "lists"
