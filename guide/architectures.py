"""Derive ``docs/assets/architectures.json``: the shapes of each architecture, by building it with Transformers.

    python -m guide.architectures            write architectures.json and tests/architecture_vectors.json
    python -m guide.architectures --check    fail if they are not what would be written

No formula is written by hand. Small variants of each architecture are built on the meta device with other values of each
config field; from the shapes of their parameters follow, by finite differences, the polynomials that give each dimension, and
which layers have a tensor is the simplest of a few general rules that fits all variants. What the cache holds is measured in
the same way on variants that run on the CPU. What was derived must then give exactly the parameters of random variants and of
each preset, built in full on the meta device. A family for which it doesn't is left out with the reason, and a preset for
which it doesn't is an error.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import os
import random
import re
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from fractions import Fraction
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM

from guide import architecture
from guide.project import ROOT

CONFIGS = ROOT / "models" / "configs"
VECTORS = ROOT / "tests" / "architecture_vectors.json"
LAYERS = 8  # of a small variant: twice the period of the common hybrids
CONTEXTS, BATCHES = (1, 4096, 131072), (1, 4)  # of the test vectors
SHORT, LONG = 5, 75  # tokens in a cache below and above each window of the small variants
RANDOM_VARIANTS, RANDOM_CACHES, STRUCTURES = 18, 6, 8

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
FAILURES = (Exception,)  # whatever a model raises at a config that it can't be built from says only that it can't
UNRELATED = {"use_cache", "is_encoder_decoder", "is_decoder", "add_cross_attention", "return_dict", "output_attentions",
             "output_hidden_states", "tie_encoder_decoder", "torchscript"}  # fmt: skip
LAYER_FIELD = re.compile("layer|interval|pattern|step|period|offset|dense_replace|freq")  # fields that can choose layers
LAYER_KINDS = ("full_attention", "sliding_attention")  # tried for layer_types besides those seen


class Refused(Exception):
    """An architecture whose shapes could not be derived; the message says why."""


# Building with Transformers


def config_of(model_type: str, raw: dict[str, Any]):
    """Transformers' own configuration object of a config.json."""
    # A copy: Transformers writes into the dictionaries that it is given.
    return AutoConfig.for_model(model_type, **{key: deepcopy(one) for key, one in raw.items() if key != "model_type"})


@contextlib.contextmanager
def quietly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def on_meta(model_type: str, raw: dict[str, Any]):
    with torch.device("meta"), quietly():
        return AutoModelForCausalLM.from_config(config_of(model_type, raw), dtype=torch.bfloat16)


NUMBER = re.compile(r"\.(\d+)\.")


def parameters_of(model) -> dict[tuple[int | None, str], tuple[str, tuple[int, ...]]]:
    """``{(layer, name): (part, (dimensions..., how many of them in the layer))}``; a tied tensor counts once.

    Modules in a list inside a layer are collapsed to ``*`` where their shapes agree.
    """
    head = model.get_output_embeddings()
    found: dict = {}
    for name, parameter in model.named_parameters():
        path, _, last = name.rpartition(".")
        owner = model.get_submodule(path)
        if parameter.dim() > 2 and not isinstance(owner, torch.nn.modules.conv._ConvNd):
            part = "experts"
        elif isinstance(owner, torch.nn.Embedding):
            part = "embedding"
        elif owner is head and last == "weight":
            part = "head"
        elif "norm" in type(owner).__name__.lower():
            part = "norm"
        elif isinstance(owner, torch.nn.Linear) and last == "weight":
            part = "linear"
        elif parameter.dim() == 2 and any(one.dim() == 3 for one in owner.parameters(recurse=False)):
            part = "bias of experts"
        else:
            part = "other"
        shape = tuple(parameter.shape)
        if isinstance(owner, torch.nn.modules.conv._ConvNd) and parameter.dim() > 2:
            shape = (shape[0], parameter[0].numel())
        number = NUMBER.search(name)
        layer = int(number[1]) if number else None
        inner = name[number.end() :] if number else name
        key = (layer, re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", inner))
        count = 1
        if key in found:
            if found[key][:1] + found[key][1][:-1] != (part, *shape)[:1] + shape:
                raise Refused(f"modules of a list in a layer have different shapes: {name}")
            count = found[key][1][-1] + 1
        found[key] = (part, (*shape, count))
    return found


def cache_of(
    model_type: str, raw: dict[str, Any], thorough: bool = False
) -> dict[tuple[int, str], tuple[str, tuple[int, ...]]]:
    """``{(layer, what): ("cache", (elements a token, tokens held or 0, how many of each state...))}``, by running it.

    ``what`` says whether the layer's cache is bounded, and the bytes an element of each state tensor. ``thorough`` also looks
    at a batch of two and at a decoding step.
    """
    torch.manual_seed(0)
    with quietly():
        model = AutoModelForCausalLM.from_config(config_of(model_type, raw), dtype=torch.bfloat16).eval()
    short, long = (_held(model, tokens, batch=1) for tokens in (SHORT, LONG))
    twice = _held(model, SHORT, batch=2) if thorough else None
    stepped = _held(model, LONG, batch=1, prefill=LONG - 1) if thorough else None
    found = {}
    for layer, (growing, states) in short.items():
        if twice and twice[layer] != (2 * growing, [(2 * number, size) for number, size in states]):
            raise Refused(f"the cache of layer {layer} does not grow in proportion to the batch")
        if stepped and stepped[layer] != long[layer]:
            raise Refused(f"the cache of layer {layer} after a decoding step is not that after one pass")
        if growing % SHORT or states != long[layer][1]:
            raise Refused(f"the cache of layer {layer} is neither in proportion to the context nor constant")
        per_token = growing // SHORT
        held = long[layer][0] // per_token if per_token else 0
        if per_token and held * per_token != long[layer][0]:
            raise Refused(f"the cache of layer {layer} does not hold whole tokens")
        bounded = bool(per_token) and held != LONG
        what = f"{'window' if bounded else 'all'} {' '.join(str(size) for _, size in states)}"
        if per_token or states:
            found[layer, what] = ("cache", (per_token, held if bounded else 0, *(number for number, _ in states)))
    return found


@torch.no_grad()
def _held(model, tokens: int, batch: int, prefill: int | None = None) -> dict[int, tuple[int, list[tuple[int, int]]]]:
    """``{layer: (elements of keys and values, [(elements, bytes an element) of each state])}`` after ``tokens`` tokens."""
    ids = torch.randint(3, 100, (batch, tokens))
    with quietly():
        cache = model(ids[:, :prefill], use_cache=True).past_key_values
        if prefill:
            cache = model(ids[:, prefill:], past_key_values=cache, use_cache=True).past_key_values
    held = {}
    for layer, one in enumerate(cache.layers):
        growing, states = 0, []
        for name, attribute in vars(one).items():
            inner = attribute.values() if isinstance(attribute, dict) else attribute
            for tensor in inner if isinstance(inner, list | tuple | type({}.values())) else [inner]:
                if not isinstance(tensor, torch.Tensor) or tensor.dim() < 2:
                    continue
                if "state" in name:
                    states.append((tensor.numel(), tensor.element_size()))
                elif name in ("keys", "values", "indexer_keys"):
                    growing += tensor.numel()
                else:
                    raise Refused(f"the cache holds {name}, whose growth is not known")
        held[layer] = (growing, states)
    return held


# Deriving


def polynomials(
    observe: Callable[[dict], dict], base: dict[str, Any], others: dict[str, int]
) -> dict[tuple[int | None, str], tuple[str, tuple[str, ...]]]:
    """For each key, its part and an expression of the fields for each of its figures, from finite differences around ``base``.

    A figure is taken to be a polynomial with at most one factor of each field and three fields a term; what is not shows when
    other variants are compared.
    """

    @functools.cache
    def at(changed: frozenset) -> dict:
        return observe({**base, **{field: others[field] for field in changed}})

    start = at(frozenset())
    usable, alone = [], {}
    for field in others:
        try:
            alone[field] = at(frozenset([field]))
        except FAILURES as error:
            raise Refused(f"nothing can be observed with another {field}: {_short(error)}") from error
        if alone[field].keys() == start.keys():
            usable.append(field)

    @functools.cache
    def express(key, place: int) -> str:
        number = lambda changed: at(changed)[key][1][place]  # noqa: E731
        fields = [field for field in usable if alone[field][key][1][place] != start[key][1][place]]
        terms: dict[tuple, Fraction] = defaultdict(Fraction)
        for size in range(min(len(fields), 3) + 1):
            for chosen in itertools.combinations(fields, size):
                subsets = (frozenset(some) for k in range(size + 1) for some in itertools.combinations(chosen, k))
                slope = Fraction(sum((-1) ** (size - len(some)) * number(some) for some in subsets))
                for field in chosen:
                    slope /= others[field] - base[field]
                for kept in itertools.chain.from_iterable(itertools.combinations(chosen, k) for k in range(size + 1)):
                    rest = slope
                    for field in set(chosen) - set(kept):
                        rest *= -base[field]
                    terms[kept] += rest
        if any(one.denominator != 1 for one in terms.values()):
            raise Refused(f"{key[1]}: a dimension is no polynomial with whole coefficients in {', '.join(fields)}")
        written = [
            "*".join(kept if one == 1 and kept else (str(one), *kept))
            for kept, one in sorted(terms.items(), reverse=True)
            if one
        ]
        return "+".join(written) or "0"

    return {key: (part, tuple(express(key, place) for place in range(len(figures)))) for key, (part, figures) in start.items()}


def candidate_rules(config: dict[str, Any], indices: Iterable[str]) -> list[list]:
    """The rules by which layers differ in the configs of Transformers, simplest first."""
    simple: list[list] = []
    for field, given in config.items():
        if isinstance(given, list) and given and all(isinstance(one, str) for one in given):
            simple += [["is", field, kind] for kind in sorted(set(given))]
    indices = list(indices)
    simple += [["below", field] for field in indices]
    simple += [
        ["in", field] for field, given in config.items() if isinstance(given, list) and all(type(i) is int for i in given)
    ]
    simple += [
        ["is", field, kind]
        for field, given in config.items()
        if isinstance(given, list) and len(given) == LAYERS and all(type(i) is int for i in given)
        for kind in sorted(set(given))
    ]
    simple += [["every", str(step), str(step - 1)] for step in (2, 3, 4, 6)]
    simple += [["every", step, f"{step}+-1"] for step in indices]
    simple += [["every", step, rest] for step, rest in itertools.permutations(indices, 2)]
    rules = [["all"], *simple, *(["not", rule] for rule in simple)]
    lists = [rule for rule in simple if rule[0] == "in"]
    steps = [rule for rule in simple if rule[0] == "every" and rule[1] in indices]
    both = [["and", step, ["not", one]] for step in steps for one in lists]
    rules += both + [["not", rule] for rule in both]
    return rules


def rule_of(observed: list[tuple[dict[str, Any], set[int]]], indices: Iterable[str]) -> list:
    """The simplest rule that gives, for each variant's config, exactly the layers that were observed."""
    for rule in candidate_rules(observed[0][0], indices):
        try:
            if all({i for i in range(c["num_hidden_layers"]) if architecture.holds(rule, i, c)} == has for c, has in observed):
                return rule
        except (IndexError, KeyError, TypeError, ValueError, ZeroDivisionError):
            continue
    raise Refused("no rule was found for which layers have which tensors")


class Deriver:
    """Derives one family from a real config of it."""

    def __init__(self, model_type: str, examples: list[dict[str, Any]]):
        self.model_type, self.examples = model_type, examples
        self.random = random.Random(model_type)  # the same variants in every run
        try:
            self.config_class = type(config_of(model_type, examples[0]))
        except ValueError as error:
            raise Refused(f"Transformers {transformers.__version__} has no such architecture") from error
        self.names = dict(self.config_class.attribute_map)
        self.seen: dict[tuple[str, str], dict | Refused] = {}
        self.tied: dict[str, str] = {}  # fields that must be equal to others for the model to run
        try:
            self.base = self._small(examples[0])
            self._shapes(self.base)
            heads = {"num_key_value_heads": self.base["num_attention_heads"]}
            if self._shapes(self.base) == self._shapes({**self.base, **heads}):  # as in latent attention
                self.tied = {"num_key_value_heads": "num_attention_heads"}
            cache_of(model_type, self._tie(self.base), thorough=True)
        except FAILURES as error:
            raise Refused(f"a small variant is not built or does not run: {_short(error)}") from error

    # Small variants

    def _small(self, example: dict[str, Any]) -> dict[str, Any]:
        """A small config of the same kinds of layers, its lists by layer written out."""
        raw = {key: one for key, one in example.items() if key not in DROPPED and not isinstance(one, dict)}
        layers = raw["num_hidden_layers"]
        for key, one in list(raw.items()):
            if isinstance(one, list | str) and len(one) == layers and all(isinstance(each, str | int) for each in one):
                if isinstance(one, str):  # one letter a layer, of which the class makes a list
                    lists = {field: made for field, made in self._normal(example).items() if isinstance(made, list)}
                    raw |= {field: _cycle(made) for field, made in lists.items() if len(made) == layers}
                    del raw[key]
                else:
                    raw[key] = _cycle(one)
            elif isinstance(one, list) and one:
                del raw[key]  # made anew by the class
        raw["num_hidden_layers"] = LAYERS
        for other, field in self.names.items():
            if other in raw:
                raw[field] = raw.pop(other)
        own = {self.names.get(field.name, field.name) for field in dataclasses.fields(self.config_class)}
        known = {**{key: one for key, one in self._normal(raw).items() if key in own}, **raw}
        for key in known:
            if key in SMALL and type(known[key]) is int and (key in own or not self._made(raw, key)):
                raw[key] = SMALL[key][0]
        for key in ("head_dim", "num_key_value_heads"):
            if key in own or not self._made(raw, key):
                raw[key] = SMALL[key][0]
            else:
                raw.pop(key, None)
        normal = self._normal(raw)
        if isinstance(normal.get("mlp_only_layers"), list):
            raw["mlp_only_layers"] = [1]
        for key, one in normal.items():
            if key in own and isinstance(one, list) and len(one) == LAYERS and all(isinstance(each, str) for each in one):
                raw[key] = one
        for key in sorted(key for key in own & set(SMALL) if raw.get(key) is None and normal.get(key) is None):
            if self._try(self._shapes, {**raw, key: SMALL[key][0]}) and self._try(self._cache, {**raw, key: SMALL[key][0]}):
                raw[key] = SMALL[key][0]
        self.own = own | set(raw)
        return raw

    def _made(self, raw: dict[str, Any], field: str) -> bool:
        """Whether the class computes a field that is no option of its own."""
        return hasattr(config_of(self.model_type, {key: one for key, one in raw.items() if key != field}), field)

    def _normal(self, raw: dict[str, Any]) -> dict[str, Any]:
        """The fields of Transformers' configuration object, under its own names."""
        config = config_of(self.model_type, raw)
        found = {key: one for key, one in vars(config).items() if not key.startswith("_")}
        return {key: one for key, one in found.items() if key not in self.names}

    def _tie(self, raw: dict[str, Any]) -> dict[str, Any]:
        return {**raw, **{field: raw[other] for field, other in self.tied.items() if other in raw}}

    def _shapes(self, raw: dict[str, Any]) -> dict:
        return self._once(lambda model_type, config: parameters_of(on_meta(model_type, config)), "shapes", raw)

    def _cache(self, raw: dict[str, Any]) -> dict:
        return self._once(cache_of, "cache", raw)

    def _once(self, observe, what: str, raw: dict[str, Any]) -> dict:
        """One observation of a variant, remembered, be it a failure."""
        raw = self._tie(raw)
        key = (what, json.dumps(raw, sort_keys=True))
        if key not in self.seen:
            try:
                self.seen[key] = observe(self.model_type, raw)
            except FAILURES as error:
                self.seen[key] = Refused(_short(error))
        if isinstance(self.seen[key], Refused):
            raise self.seen[key]
        return self.seen[key]

    def _try(self, observe, raw: dict[str, Any]):
        try:
            return observe(raw)
        except FAILURES:
            return None

    # Which fields do what

    def derive(self) -> dict[str, Any]:
        normal = {key: one for key, one in self._normal(self.base).items() if key in self.own}
        whole = {f: one for f, one in {**normal, **self.base}.items() if type(one) is int and f != "num_hidden_layers"}
        self.base = {**self.base, **whole}
        self.others = {field: SMALL[field][1] if field in SMALL else max(2 * one, one + 1) for field, one in whole.items()}
        shapes, cache = self._shapes(self.base), self._cache(self.base)
        self.dimensions, self.indices, self.fixed = [], [], {}
        self.shaping = set()  # the dimensions that shapes depend on, not only the cache
        for field, other in self.others.items():
            changed = {**self.base, field: other}
            now, held = self._try(self._shapes, changed), None
            if now is None:
                continue
            if now.keys() == shapes.keys():
                held = self._try(self._cache, changed)
            if now.keys() != shapes.keys() or (held is not None and held.keys() != cache.keys()):
                self.indices.append(field)
            elif now != shapes or (held is not None and held != cache):
                self.dimensions.append(field)
                self.shaping |= {field} if now != shapes else set()
        self._find_switches(normal, shapes, cache)
        self.nullable = []
        for field in [*self.dimensions, *self.indices]:
            changed = {**self.base, field: None}
            now, held = self._try(self._shapes, changed), self._try(self._cache, changed)
            stays = now is not None and held is not None and self._normal(changed).get(field, self) is None
            if stays and (now.keys() != shapes.keys() or field not in self.shaping):
                self.nullable.append(field)
        self.lists = self._list_values(normal)
        self._find_hidden()
        settings = list(self._settings())
        family: dict[str, Any] = {
            "class": type(on_meta(self.model_type, self._tie(self.base))).__name__,
            "names": {},
        }
        family["tensors"] = self._entries(self._shapes, settings, self._tensor_entry)
        self._name_routers(family["tensors"])
        family["cache"] = self._entries(self._cache, settings, self._cache_entry)
        self._defaults(family)
        family["names"] = {
            other: field for other, field in self.names.items() if field in {**family["fields"], **family["lists"]}
        }
        return family

    def _find_hidden(self) -> None:
        """Fields that matter only where a switch is set the other way or with other kinds of layers, as a window does."""
        for field in sorted((self.others.keys() & SMALL.keys()) - {*self.dimensions, *self.indices}):
            for switch in ["", *self.switches]:
                base = {**self.base, **({switch: not self.switches[switch]} if switch else {})}
                changed = {**base, field: self.others[field]}
                pairs = [(self._try(observe, base), self._try(observe, changed)) for observe in (self._shapes, self._cache)]
                if any(None not in pair and pair[0] != pair[1] for pair in pairs):
                    self.dimensions.append(field)
                    break

    def _find_switches(self, normal: dict[str, Any], shapes: dict, cache: dict) -> None:
        """The fields that are true or false and change the structure; what cannot be derived must stay as it is."""
        self.switches = {}
        kinds = {field.name: str(field.type) for field in dataclasses.fields(self.config_class)}
        bare = {key: one for key, one in self.base.items() if not isinstance(one, list)}
        lists = lambda raw: {key: one for key, one in self._normal(raw).items() if isinstance(one, list)}  # noqa: E731
        for field, one in {**normal, **self.base}.items():
            if type(one) is bool and field not in UNRELATED:
                changed = {**self.base, field: not one}
                now, held = self._try(self._shapes, changed), self._try(self._cache, changed)
                made = self._try(lists, {**bare, field: not one})
                if now is None or held is None:
                    self.fixed[field] = [one]
                elif now != shapes or held != cache or made != self._try(lists, {**bare, field: one}):
                    try:
                        for observe, found in ((self._shapes, now), (self._cache, held)):
                            if found not in (shapes, cache):
                                polynomials(observe, changed, {f: self.others[f] for f in self.dimensions})
                        self.switches[field] = one
                    except Refused:
                        self.fixed[field] = [one]
            elif type(one) is float:
                now = self._try(self._shapes, {**self.base, field: one * 2 or 1.0})
                if now is not None and now != shapes:
                    self._fix(field, one)
            elif isinstance(one, str) and field not in DROPPED | {"model_type"}:
                # No list of what a text may be is to be had; one that is rejected, or changes shapes, must stay as it is.
                if self._try(self._shapes, {**self.base, field: "gelu"}) != shapes:
                    self._fix(field, one)
            elif one is None and "bool" in kinds.get(field, ""):
                changed = {**self.base, field: True}
                if (self._try(self._shapes, changed), self._try(self._cache, changed)) != (shapes, cache):
                    self._fix(field, False)

    def _fix(self, field: str, one: Any) -> None:
        """A field that must have one of the values seen."""
        seen = [example[field] for example in self.examples if example.get(field) is not None]
        self.fixed[field] = list(dict.fromkeys([one, *seen]))

    def _list_values(self, normal: dict[str, Any]) -> dict[str, list]:
        """For each list by layer, the kinds that can be built; for a list of layer numbers, none. All go in the base."""
        lists: dict[str, list] = {}
        for field, one in {**normal, **self.base}.items():
            if field == "mlp_only_layers":
                lists[field] = []
            elif isinstance(one, list) and len(one) == LAYERS and all(isinstance(each, str | int) for each in one):
                seen = [each for example in self.examples for each in self._normal(example).get(field) or []]
                kinds = list(dict.fromkeys([*one, *seen, *(LAYER_KINDS if field == "layer_types" else ())]))
                lists[field] = [kind for kind in kinds if kind in one or self._runs_with(field, one, kind)]
                self.base[field] = _cycle(lists[field])
        for field in ["", *self.switches]:
            changed = {**self.base, **({field: not self.base.get(field, self.switches[field])} if field else {})}
            if self._try(self._cache, changed) is not None:
                self.base = changed
                self.switches = {f: changed.get(f, one) for f, one in self.switches.items()}
                return lists
        raise Refused("a variant with all kinds of layers does not run")

    def _runs_with(self, field: str, given: list, kind: str) -> bool:
        changed = {**self.base, field: [kind if i == 1 else each for i, each in enumerate(given)]}
        choices = [changed, *({**changed, switch: not one} for switch, one in self.switches.items())]
        return any(self._try(self._shapes, raw) is not None and self._try(self._cache, raw) is not None for raw in choices)

    def _settings(self) -> Iterable[dict[str, Any]]:
        """Each combination of switches and of fields set to null."""
        choices = {
            **{f: [one, not one] for f, one in self.switches.items()},
            **{f: [self.base[f], None] for f in self.nullable},
        }
        if len(choices) > 6:
            raise Refused(f"too many fields change the structure: {', '.join(choices)}")
        for values in itertools.product(*choices.values()):
            yield dict(zip(choices, values, strict=True))

    def _structures(self) -> Iterable[dict[str, Any]]:
        """Variants of which layers are what."""
        yield {}
        for _ in range(STRUCTURES):
            layers = self.random.choice((LAYERS, LAYERS + 3, LAYERS - 1))
            variant: dict[str, Any] = {"num_hidden_layers": layers}
            for field, kinds in self.lists.items():
                if kinds:
                    variant[field] = [self.random.choice(kinds) for _ in range(layers)]
                else:
                    variant[field] = sorted(self.random.sample(range(layers), self.random.randrange(4)))
            for field in self.indices:
                variant[field] = self.random.choice((self.base[field], self.others[field], self.base[field] + 3))
            yield variant

    # Entries

    def _entries(self, observe, settings: list[dict[str, Any]], write) -> list[dict[str, Any]]:
        """The tensors, or the parts of the cache: each with its expressions, its layers and the settings that have it."""
        seen = {}
        for number, setting in enumerate(settings):
            variant = {**self.base, **setting}
            found = self._try(observe, variant)
            if found is not None:
                seen[number] = found
        entries: dict[tuple, dict[int, set]] = defaultdict(dict)  # (name, part, expressions) -> {setting: layers}
        known: dict[tuple, tuple] = {}  # (key, part, figures) -> expressions
        for number, found in seen.items():
            if any((key, *one) not in known for key, one in found.items()):
                base = {**self.base, **settings[number]}
                others = {f: self.others[f] for f in self.dimensions if base.get(f) is not None}
                for key, (_, expressions) in polynomials(observe, base, others).items():
                    known.setdefault((key, *found[key]), expressions)
            for key, one in found.items():
                entries[key[1], one[0], known[key, *one]].setdefault(number, set()).add(key[0])
        written = []
        for (name, part, expressions), where in entries.items():
            when = self._condition(set(where), settings, seen)
            setting = settings[min(where)]
            written.append((name, part, expressions, setting, when, where[min(where)]))
        return [write(*one, self._layers(observe, one)) for one in written]

    def _condition(self, where: set[int], settings: list[dict[str, Any]], seen: dict) -> dict[str, bool]:
        """The fewest fields whose being set or not tells the settings that have a tensor from those that don't."""
        if where == set(seen):
            return {}
        fields = list(settings[0])
        for size in range(1, len(fields) + 1):
            for chosen in itertools.combinations(fields, size):
                wanted = {f: bool(settings[min(where)][f]) for f in chosen}
                if where == {n for n in seen if all(bool(settings[n][f]) == w for f, w in wanted.items())}:
                    return wanted
        raise Refused("a tensor's presence follows from no combination of the settings")

    def _layers(self, observe, one) -> list | None:
        name, part, expressions, setting, _, start = one
        if start == {None}:
            return None
        observed = []
        for structure in self._structures_once():
            variant = {**self.base, **setting, **structure}
            found = self._try(observe, variant)
            if found is None:
                continue
            config = self._complete(variant)
            figures = tuple(architecture.value(expression, config) for expression in expressions)
            observed.append((config, {key[0] for key, has in found.items() if key[1] == name and has == (part, figures)}))
        if len(observed) < 3:
            raise Refused("too few variants with other layers could be built")
        return rule_of(observed, self.indices)

    @functools.cache  # noqa: B019 (a deriver lives as long as its family)
    def _structures_once(self) -> list[dict[str, Any]]:
        return list(self._structures())

    def _complete(self, variant: dict[str, Any]) -> dict[str, Any]:
        """The variant with what the class adds to it: what the evaluation sees."""
        normal = self._normal(variant)
        return {**{key: one for key, one in normal.items() if isinstance(one, list)}, **variant}

    def _tensor_entry(self, name, part, expressions, setting, when, start, layers) -> dict[str, Any]:
        *sides, count = expressions
        entry: dict[str, Any] = {"part": part, "name": re.sub(r"(\.|^)weight$", "", name)}
        if part in ("experts", "bias of experts"):
            count = sides[0] if count == "1" else f"{sides[0]}*{count}"
            entry["part"], sides = "experts" if part == "experts" else "other", sides[1:]
        if len(sides) > 2:
            raise Refused(f"{name} has {len(sides)} dimensions")
        entry |= {side: one for side, one in zip(("rows", "columns"), sides, strict=False) if one != "1"}
        entry |= {"count": count} if count != "1" else {}
        entry |= {"layers": layers} if layers else {}
        return entry | ({"when": when} if when else {})

    def _name_routers(self, entries: list[dict[str, Any]]) -> None:
        """A matrix with one row for each expert is a router, whatever class holds it."""
        experts = {entry["count"] for entry in entries if entry["part"] == "experts"}
        for entry in entries:
            matrix = entry["part"] in ("linear", "other") and "columns" in entry and "count" not in entry
            if matrix and entry.get("rows") in experts:
                entry["part"] = "router"

    def _cache_entry(self, what, part, expressions, setting, when, start, layers) -> dict[str, Any]:
        per_token, window, *states = expressions
        bounded, *sizes = what.split()
        entry: dict[str, Any] = {"layers": layers}
        entry |= {"per_token": per_token} if per_token != "0" else {}
        entry |= {"window": window} if bounded == "window" else {}
        entry |= {"states": [[one, int(size)] for one, size in zip(states, sizes, strict=True)]} if states else {}
        return entry | ({"when": when} if when else {})

    # Defaults

    def _defaults(self, family: dict[str, Any]) -> None:
        """What a field that is absent becomes, found by leaving it out of variants."""
        used = set(re.findall(r"[A-Za-z_]\w*", json.dumps([family["tensors"], family["cache"]])))
        family["lists"] = {field: self._list_default(field, kinds) for field, kinds in self.lists.items() if field in used}
        chosen = set(re.findall(r"[A-Za-z_]\w*", json.dumps([one["default"] for one in family["lists"].values()])))
        fields = [f for f in (*self.dimensions, *self.indices) if f in used]
        variants = []
        for _ in range(4):
            variants.append({**self.base, **{f: self.random.choice((self.base[f], self.others[f])) for f in self.dimensions}})
        rules: dict[str, Any] = dict.fromkeys(architecture.REQUIRED, "required")
        for field in fields:
            if field in rules:
                continue
            values = []
            for variant in variants:
                without = self._tie({key: one for key, one in variant.items() if key != field})
                without = {key: one for key, one in without.items() if key != field}
                with contextlib.suppress(*FAILURES):
                    values.append((without, self._normal(without).get(field)))
            rules[field] = self._default_rule(field, values, fields)
        listing = sorted(f for f in chosen - set(rules) - set(self.switches) - set(self.lists) if LAYER_FIELD.search(f))
        for field in listing:
            rules[field] = self._index_default(field, family["lists"])
        family["fields"] = dict(sorted(rules.items(), key=lambda item: str(item[1]).startswith("=")))
        family["for_lists"] = listing
        family["nullable"] = [f for f, rule in rules.items() if f in self.nullable or rule is None]
        family["from_zero"] = self._from_zero([f for f in (*self.indices, *listing) if f in rules], family)
        family["switches"] = {}
        for field in self.switches:
            if field in used | chosen:
                without = {key: one for key, one in self.base.items() if key != field}
                family["switches"][field] = bool(self._normal(without).get(field))
        family["fixed"] = self.fixed

    def _from_zero(self, fields: list[str], family: dict[str, Any]) -> list[str]:
        """The fields that may be zero: not those by which layer numbers are divided."""
        divisors = {
            rule[1] for rule in _inner_rules([entry.get("layers") for entry in (*family["tensors"], *family["cache"])])
        }
        divisors |= {rule[1] for rule in _inner_rules([known["default"] for known in family["lists"].values()])}
        return [f for f in fields if f not in divisors and self._try(self._shapes, {**self.base, f: 0}) is not None]

    def _default_rule(self, field: str, values: list[tuple[dict, Any]], fields: list[str]) -> Any:
        found = [one for _, one in values]
        if not found:
            return "required"
        if all(one is None for one in found) and field in self.shaping and field not in self.nullable:
            return self._rule_by_shapes(field, values)
        if all(one == found[0] for one in found) and (found[0] is None or type(found[0]) is int):
            return found[0]
        for other in fields:
            if all(one == without.get(other) for without, one in values):
                return f"={other}"
        for above, below in itertools.permutations(fields, 2):
            if all(
                without.get(above) and without.get(below) and one == without[above] // without[below]
                for without, one in values
            ):
                return f"={above}/{below}"
        raise Refused(f"the default of {field} follows from no other field")

    def _rule_by_shapes(self, field: str, values: list[tuple[dict, Any]]) -> str:
        """A default that the configuration leaves open and the model fills in: seen in the shapes alone."""
        for rule in ("=hidden_size/num_attention_heads", "=num_attention_heads", "=num_key_value_heads", "=intermediate_size"):
            filled = [({**without, field: architecture.default_of(rule, without)}, without) for without, _ in values]
            if all(self._shapes(full) == self._shapes(without) for full, without in filled):
                return rule
        raise Refused(f"the default of {field} follows from no other field")

    # Lists by layer

    def _bare(self) -> dict[str, Any]:
        return {key: one for key, one in self.base.items() if not isinstance(one, list)}

    def _list_default(self, field: str, kinds: list) -> dict[str, Any]:
        """``{values, default}``: the rule for a list by layer that is absent from the config, or that it must be there."""
        observed = []
        others = {"max_window_layers", "full_attention_interval", "sliding_window_pattern", *self.indices}
        others |= {f for f in self._normal(self.base) if LAYER_FIELD.search(f) and type(self._normal(self.base)[f]) is int}
        for _ in range(12):
            layers = self.random.choice((7, 12, 13))
            changed = {index: self.random.choice((2, 3, 4, 6)) for index in others - {"num_hidden_layers"}}
            variant = {
                **self._bare(),
                **{f: self.random.random() < 0.5 for f in self.switches},
                **changed,
                "num_hidden_layers": layers,
            }
            with contextlib.suppress(*FAILURES):
                observed.append((variant, self._normal(variant)[field]))
        if observed and all(not made for _, made in observed):
            return {"values": kinds, "default": None}
        found = {"values": kinds, "default": self._two_valued(observed)}
        return {**found, **self._letters(field)}

    def _two_valued(self, observed: list[tuple[dict, list]]) -> Any:
        if not observed or any(len(made) != config["num_hidden_layers"] for config, made in observed):
            return "required"
        seen = list(dict.fromkeys(one for _, made in observed for one in made))
        if len(seen) == 1:
            return [[["all"], seen[0]]]
        fields = {f for config, _ in observed for f, one in config.items() if type(one) is int and f != "num_hidden_layers"}
        rules = candidate_rules(observed[0][0], sorted(f for f in fields if LAYER_FIELD.search(f)))
        rules += [["and", ["set", switch], rule] for switch in self.switches for rule in rules]
        for first, second in (seen, seen[::-1]) if len(seen) == 2 else ():
            for rule in rules:
                with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError, IndexError):
                    if all(
                        [first if architecture.holds(rule, i, c) else second for i in range(c["num_hidden_layers"])] == made
                        for c, made in observed
                    ):
                        return [[rule, first], [["all"], second]]
        return "required"

    def _letters(self, field: str) -> dict[str, Any]:
        """A string with one letter for each layer that stands for the list, as some published configs have it."""
        for name, given in self.examples[0].items():
            if isinstance(given, str) and len(given) == self.examples[0]["num_hidden_layers"]:
                kinds: dict[str, str] = {}
                for example in self.examples:
                    made = self._normal({key: one for key, one in example.items() if key != field})[field]
                    kinds |= dict(zip(example[name], made, strict=True))
                    if [kinds[letter] for letter in example[name]] != made:
                        return {}
                return {"letters": {"field": name, "kinds": kinds}}
        return {}

    def _index_default(self, field: str, lists: dict[str, Any]) -> int:
        """The value of a field that gives the list that the class makes without it."""
        without = {key: one for key, one in self._bare().items() if key != field}
        for value in range(1, 65):
            variants = [
                {**without, **dict.fromkeys(self.switches, True), "num_hidden_layers": layers} for layers in (13, 40, 70)
            ]
            if all(
                self._try(self._normal, raw) and self._normal(raw)[one] == self._normal({**raw, field: value})[one]
                for one in lists
                for raw in variants
            ):
                return value
        raise Refused(f"the default of {field} could not be found")


def _cycle(kinds: list) -> list:
    """The kinds of layers in turn, for a small variant."""
    kinds = list(dict.fromkeys(kinds))
    return [kinds[i % len(kinds)] for i in range(LAYERS)]


def _inner_rules(rules: Any) -> Iterable[list]:
    """The ``every`` rules in nested lists."""
    if isinstance(rules, list):
        if rules[:1] == ["every"]:
            yield rules
        for inner in rules:
            yield from _inner_rules(inner)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


# Verifying


def tensor_counts(found: Iterable[tuple[str, int, int, int]]) -> Counter:
    """``{(name, rows, columns): how many}``"""
    counts: Counter = Counter()
    for name, rows, columns, count in found:
        counts[name, rows, columns] += count
    return counts


def built_tensors(model) -> Counter:
    """The tensors of a built model, in the terms of ``architecture.tensors``."""
    found = []
    for (_, name), (part, (*sides, count)) in parameters_of(model).items():
        if part in ("experts", "bias of experts"):
            count, *sides = count * sides[0], *sides[1:]
        rows, columns = (*sides, 1, 1)[:2]
        found.append((re.sub(r"(\.|^)weight$", "", name), rows, columns, count))
    return tensor_counts(found)


def evaluated(model_type: str, raw: dict[str, Any], families: dict[str, Any]) -> dict[str, Any]:
    """What the evaluation reads from a config that Transformers accepts."""
    raw = {key: one for key, one in raw.items() if key != "model_type"}
    read = architecture.read_config(json.dumps({**raw, "model_type": model_type}), families)
    if "problem" in read:
        raise Refused(f"Transformers builds a config that the evaluation refuses: {read['problem']}")
    return read


def differences(read: dict[str, Any], built: Counter) -> str:
    """The first tensor whose number is not what was built, or nothing."""
    mine = tensor_counts(
        (one["name"], one["rows"], one["columns"], one["count"])
        for one in architecture.tensors(read["family"], read["config"])
    )
    for name, rows, columns in {**mine, **built}:
        if mine[name, rows, columns] != built[name, rows, columns]:
            return f"{name} of {rows} x {columns}: {mine[name, rows, columns]} derived, {built[name, rows, columns]} built"
    return ""


def verify(deriver: Deriver, family: dict[str, Any]) -> None:
    """Compare the family with random variants that had no part in deriving it, some of their fields left out."""
    families = {deriver.model_type: family}
    compared = compared_caches = 0
    for number in range(RANDOM_VARIANTS):
        raw = _random_variant(deriver, family, leave_out=number % 2 == 0)
        built = deriver._try(lambda raw: built_tensors(on_meta(deriver.model_type, raw)), raw)
        if built is None:
            continue
        wrong = differences(evaluated(deriver.model_type, raw, families), built)
        if wrong:
            raise Refused(f"a random variant is built otherwise than derived: {wrong}")
        compared += 1
    for number in range(RANDOM_CACHES):
        raw = _random_variant(deriver, family, leave_out=False, lists=number % 2 == 0)
        held = deriver._try(lambda raw: cache_of(deriver.model_type, raw, thorough=True), raw)
        if held is None:
            continue
        read = evaluated(deriver.model_type, raw, families)
        for tokens in (SHORT, LONG):
            elements = constant = 0
            for (_, what), (_, (per_token, window, *states)) in held.items():
                elements += per_token * (min(tokens, window) if window else tokens)
                constant += sum(number * int(size) for number, size in zip(states, what.split()[1:], strict=True))
            mine = architecture.cache(read["family"], read["config"], tokens, 1)
            if mine != {"elements": elements, "constant_bytes": constant}:
                raise Refused(f"the cache of a random variant holds {elements} and {constant}, derived {mine}")
        compared_caches += 1
    if compared < RANDOM_VARIANTS // 3 or compared_caches < RANDOM_CACHES // 3:
        raise Refused(f"only {compared} random variants could be built and {compared_caches} run")


def _random_variant(deriver: Deriver, family: dict[str, Any], leave_out: bool, lists: bool = True) -> dict[str, Any]:
    pick = deriver.random
    raw = {key: one for key, one in deriver.base.items() if key != "model_type" and not isinstance(one, list)}
    for field in deriver.dimensions:
        step = deriver.others[field] - deriver.base[field]
        raw[field] = deriver.base[field] + step * pick.choice((0, 1, 3))
    raw |= {field: pick.choice((deriver.base[field], deriver.others[field])) for field in deriver.indices}
    raw |= {field: pick.random() < 0.5 for field in family["switches"]}
    raw |= {field: None for field in family["nullable"] if pick.random() < 0.4}
    raw = deriver._tie(raw)
    layers = raw["num_hidden_layers"] = pick.choice((LAYERS, LAYERS - 3, LAYERS + 5))
    for field, known in family["lists"].items() if lists else ():
        kinds = known["values"]
        raw[field] = (
            [pick.choice(kinds) for _ in range(layers)] if kinds else sorted(pick.sample(range(layers), pick.randrange(4)))
        )
    if leave_out:
        for field in list(raw):
            if field not in (*architecture.REQUIRED, *deriver.tied) and pick.random() < 0.3:
                del raw[field]
    return raw


# Writing


def read_presets() -> list[dict[str, Any]]:
    sources = json.loads((CONFIGS / "sources.json").read_text(encoding="utf-8"))
    presets = []
    for name, source in sources.items():
        config = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
        presets.append(
            {"id": name, "name": source["name"], "model": source["model"], "source": source["source"], "config": config}
        )
    stray = {path.stem for path in CONFIGS.glob("*.json")} - {"sources", *sources}
    if stray:
        raise SystemExit(f"no source in sources.json: {', '.join(sorted(stray))}")
    return presets


def language_model(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a config that is a language model."""
    return architecture.language_part(config)


def derive_all(presets: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """(families, {model_type: why it was refused})"""
    examples = defaultdict(list)
    for preset in presets:
        raw = language_model(preset["config"])
        examples[raw["model_type"]].append(raw)
    families, refused = {}, {}
    with ProcessPoolExecutor(os.cpu_count(), initializer=_alone) as pool:
        for model_type, family in zip(
            sorted(examples), pool.map(derive_one, *zip(*sorted(examples.items()), strict=True)), strict=True
        ):
            if isinstance(family, str):
                refused[model_type] = family
                print(f"{model_type}: refused, {family}", flush=True)
            else:
                families[model_type] = family
                print(f"{model_type}: {len(family['tensors'])} tensors, {len(family['cache'])} kinds of cache", flush=True)
    return families, refused


def _alone() -> None:
    """One thread a process: the small variants gain nothing from more."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()


def derive_one(model_type: str, examples: list[dict[str, Any]]) -> dict[str, Any] | str:
    """The family, or why it was refused."""
    try:
        deriver = Deriver(model_type, examples)
        family = deriver.derive()
        verify(deriver, family)
    except FAILURES as error:
        return _short(error)
    return family


def build_presets(presets: list[dict[str, Any]], families: dict[str, Any]) -> dict[str, Any]:
    """The test vectors, with each preset's parameters counted in the model that Transformers builds of it."""
    vectors = {}
    for preset in presets:
        raw = language_model(preset["config"])
        model = on_meta(raw["model_type"], raw)
        read = architecture.read_config(json.dumps(preset["config"]), families)
        if "problem" in read:
            raise SystemExit(f"{preset['id']}: {read['problem']}")
        wrong = differences(read, built_tensors(model))
        if wrong:
            raise SystemExit(f"{preset['id']} is built otherwise than derived: {wrong}")
        preset["parameters"] = sum(parameter.numel() for parameter in model.parameters())
        parts: dict[str, int] = defaultdict(int)
        for one in architecture.tensors(read["family"], read["config"]):
            parts[one["part"]] += one["rows"] * one["columns"] * one["count"]
        if sum(parts.values()) != preset["parameters"]:
            raise SystemExit(f"{preset['id']}: the parts sum to {sum(parts.values())}, built are {preset['parameters']}")
        caches = {
            f"{context} {batch}": architecture.cache(read["family"], read["config"], context, batch)
            for context in CONTEXTS
            for batch in BATCHES
        }
        vectors[preset["id"]] = {"parameters": preset["parameters"], "parts": dict(sorted(parts.items())), "cache": caches}
        print(f"{preset['id']}: {preset['parameters']:,} parameters", flush=True)
    return vectors


def lines(value: Any, depth: int) -> str:
    """JSON with one line for each entry down to ``depth``."""
    if depth == 0 or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(key)}: {lines(one, depth - 1)}" for key, one in value.items()) + "\n}"
    return "[\n" + ",\n".join(lines(one, depth - 1) for one in value) + "\n]"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is not what would be written")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    presets = read_presets()
    families, refused = derive_all(presets)
    presets = [preset for preset in presets if language_model(preset["config"])["model_type"] in families]
    vectors = build_presets(presets, families)
    whole = {
        "transformers": transformers.__version__,
        "torch": torch.__version__.partition("+")[0],
        "families": families,
        "refused": refused,
        "presets": presets,
    }
    written = {architecture.FILE: lines(whole, 4) + "\n", VECTORS: lines(vectors, 2) + "\n"}
    stale = [path for path, text in written.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if not arguments.check:
            path.write_text(written[path], encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'not what would be written' if arguments.check else 'written'}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    sys.exit(main())
