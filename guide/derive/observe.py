"""Build an architecture with Transformers, on the meta device, and see its parameters; run it, and see its cache."""

import dataclasses
import inspect
import itertools
import json
import re
import sys
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from copy import deepcopy
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForCausalLM, AutoModelForMultimodalLM, PreTrainedConfig

from guide.calculator.shapes import Config
from guide.derive import LONG, SHORT, Passed, Refused, Seen, Trace, foreign
from guide.derive.tracing import trace
from guide.guest.parts import part_of

VERSIONS = {"transformers": transformers.__version__, "torch": torch.__version__.partition("+")[0]}
SAME = {"kimi_k2": "deepseek_v3"}  # its config.json's auto_map names DeepSeek-V3's classes, kept beside it
TAKEN = {"bloom": {"n_embed": "hidden_size"}}  # other names of fields that only the configuration's __post_init__ takes
RENAMED = {"exaone4_5"}  # its class takes the name in text_config for another
GROWING = ("keys", "values", "indexer_keys")  # what a layer's cache calls its tensors that grow with the context

# What a configuration class may call otherwise, as GPT-2's n_layer; a family is written in these names.
STANDARD = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
)
# What the rest of a model is made small by, where only its language model is looked at: configurations call it otherwise.
SMALL_TOWER = {"depth": 2, "num_hidden_layers": 2, "fullatt_block_indexes": [1], "deepstack_visual_indexes": [1]}
TINY = {"vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "intermediate_size": 96, "head_dim": 16, "pad_token_id": 0}  # fmt: skip
ASKED = re.compile(r"""(?:kwargs\.(?:get|pop)\(|getattr\((?:self\.)?config, )["'](\w+)["']""")
# What a class takes for a field that it only asks for.
CONSTANT = re.compile(r"""kwargs\.(?:get|pop)\(["'](\w+)["'], (\d+)\)""")

LONGEST = "max_position_embeddings"
BY_LAYER = "per_layer_config"
MARK = 96  # a value by which a field is found again

Held = tuple[int, list[tuple[int, int]]]  # elements of keys and values; elements, and bytes an element, of each state


class Built:
    """What Transformers makes of one architecture's configs; ``raw`` is a config.json, for which it may raise Refused."""

    def __init__(self, model_type: str):
        if model_type not in CONFIG_MAPPING:
            raise Refused(f"Transformers {transformers.__version__} has no such architecture")
        self.model_type, self.kind = model_type, CONFIG_MAPPING[model_type]
        self._traces: dict[tuple[str, Passed, bool], Trace] = {}
        names: dict[str, str] = dict(self.kind.attribute_map)
        declared: dict[str, str] = {field.name: str(field.type) for field in dataclasses.fields(self.kind)}
        # What the class calls fields that are written here by a standard name, or by another that wins where both are given.
        self.own = {field: names[field] for field in STANDARD if field in names}
        self.own |= {field: own for own, field in names.items() if own in declared and field not in declared}
        standard = {own: field for field, own in self.own.items()}
        # Fields by other names that they have, which win where both are given.
        self.names: dict[str, str] = {
            other: standard.get(field, field)
            for other, field in names.items()
            if other not in self.own and other not in standard
        } | TAKEN.get(model_type, {})
        # Its fields and their types; those that it or its model only asks for have none.
        common = {field.name for field in dataclasses.fields(PreTrainedConfig)}
        self.options = {standard.get(name, name): kind for name, kind in declared.items() if name not in common}
        self.parent = None if self.kind in AutoModelForCausalLM._model_mapping else _parent_of(model_type)
        if self.parent:
            self.options.setdefault("tie_word_embeddings", "bool")  # told above its text_config
        texts = [inspect.getsource(self.kind), inspect.getsource(sys.modules[self._plain_class().__module__])]
        self.constants = {name: int(number) for text in texts for name, number in CONSTANT.findall(text)}
        asked = {name for text in texts for name in ASKED.findall(text)}
        self.asked = sorted(asked - self.options.keys() - self.names.keys() - self.own.keys() - common)

    def _plain_class(self) -> Any:
        mapping = AutoModel._model_mapping
        if self.kind not in mapping:
            raise Refused("Transformers has no model of it")
        found = mapping[self.kind]
        return found[0] if isinstance(found, tuple) else found

    def fields(self, raw: Config) -> Config:
        """The fields of Transformers' configuration object, under its own names."""
        found, standard = vars(self._config(raw)), {own: field for field, own in self.own.items()}
        kept = {key: one for key, one in found.items() if not key.startswith("_") and key not in self.names}
        found = {standard.get(key, key): one for key, one in kept.items()}
        if self.parent:  # this is told above its text_config
            found["tie_word_embeddings"] = raw.get("tie_word_embeddings", getattr(self.parent, "tie_word_embeddings", False))
        return found

    def makes(self, raw: Config, field: str) -> bool:
        """Whether the configuration object has a field that the config does not give."""
        config = self._config({key: one for key, one in raw.items() if key != field})
        with foreign():
            return hasattr(config, self.own.get(field, field))

    def limit(self) -> dict[str, int]:
        """What the class calls the longest context that a model is made for, and its default; empty where it has none."""
        field = dict(self.kind.attribute_map).get(LONGEST, LONGEST)
        default = getattr(self.kind(), field, None)
        return {field: default} if isinstance(default, int) else {}

    def moved(self) -> dict[str, Any]:
        """What a saved config has by layer alone: ``{of, fields}``, the kind of layers, and names there of these fields."""
        fields, kinds = dict[str, str](), set[str]()
        switches = {name: True for name, kind in self.options.items() if "bool" in kind}
        for field in self.asked:
            with suppress(Refused), foreign():
                config = self.kind(**{field: MARK}, **switches)
                layers = {int(layer): one for layer, one in (config.to_dict().get(BY_LAYER) or {}).items()}
                names = {name for one in layers.values() for name, value in one.items() if value == MARK}
                fields |= dict([(field, names.pop())] if len(names) == 1 else [])
                kinds |= {config.layer_types[layer] for layer in layers}
        return {"of": kinds.pop(), "fields": fields} if fields and len(kinds) == 1 else {}

    def class_name(self, raw: Config) -> str:
        """The class of the model."""
        return type(self.model(raw)).__name__

    def shapes(self, raw: Config) -> Seen:
        """``{(layer, name): (part, (rows, columns, how many of them in the layer))}``; a tied tensor counts once."""
        return shapes_of(self.model(raw))

    def cache(self, raw: Config, thorough: bool = False) -> Seen:
        """``{(layer, what): ("cache", (elements a token, tokens held or 0, elements of each state...))}``.

        ``what`` is "window" or "all", then the bytes an element of each state. ``thorough`` also looks at a batch of two and
        at a decoding step.
        """
        torch.manual_seed(0)
        model = self.model(raw, "cpu").eval()
        short, long = _held(model, SHORT), _held(model, LONG)
        if thorough:
            twice = _held(model, SHORT, batch=2)
            for layer, (growing, states) in short.items():
                if twice.get(layer) != (2 * growing, [(2 * number, size) for number, size in states]):
                    raise Refused(f"the cache of layer {layer} does not grow in proportion to the batch")
            if _held(model, LONG, prefill=LONG - 1) != long:
                raise Refused("the cache after a decoding step is not that after one pass")
        found: Seen = {}
        for layer, (growing, states) in short.items():
            if growing % SHORT or states != long[layer][1]:
                raise Refused(f"the cache of layer {layer} is neither in proportion to the context nor constant")
            per_token = growing // SHORT
            tokens, rest = divmod(long[layer][0], per_token) if per_token else (LONG, 0)
            if rest:
                raise Refused(f"the cache of layer {layer} does not hold whole tokens")
            bound, window = ("all", 0) if tokens == LONG else ("window", tokens)
            if per_token or states:
                what = " ".join([bound, *(str(size) for _, size in states)])
                found[layer, what] = ("cache", (per_token, window, *(number for number, _ in states)))
        return found

    def trace(self, raw: Config, passed: Passed, whole: bool) -> Trace:
        """The tensors that the model makes while it generates, see ``guide.derive.tracing``."""
        key = (json.dumps(raw, sort_keys=True), passed, whole)
        if key not in self._traces:
            torch.manual_seed(0)
            self._traces[key] = trace(self._generating(raw).eval(), passed, whole)
        return self._traces[key]

    def model(self, raw: Config, device: str = "meta") -> Any:
        """The whole model, whose parameters take no memory on the meta device; on the CPU, what of it holds the cache."""
        config = self._config(raw)
        with foreign(), torch.device("meta") if device == "meta" else nullcontext():
            if self.parent is None:
                return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
            if device != "meta":
                _split_positions(config)
                return AutoModel.from_config(config, dtype=torch.bfloat16)
            return self._with_towers(raw, config)

    def _generating(self, raw: Config) -> Any:
        """The model that generates, on the CPU: of a part of one, the whole with small towers."""
        if self.parent is None:
            return self.model(raw, "cpu")
        config = self._config(raw)
        _split_positions(config)
        with foreign():
            return self._with_towers(raw, config)

    def _with_towers(self, raw: Config, config: Any) -> Any:
        parent: Any = self.parent
        whole = parent(text_config=config, **_small_towers(parent), **_tied(raw))
        return AutoModelForMultimodalLM.from_config(whole, dtype=torch.bfloat16)

    def _config(self, raw: Config) -> Any:
        # A copy: Transformers writes into the dictionaries that it is given.
        own = {field: name for field, name in self.own.items() if name not in raw}
        given = {own.get(key, key): deepcopy(one) for key, one in raw.items() if key != "model_type"}
        with foreign():
            return self.kind(**given)


def _parent_of(model_type: str) -> Any:
    """The configuration class of the model that has this one as its language model."""
    for name in CONFIG_MAPPING:
        known = CONFIG_MAPPING[name]
        part = known.sub_configs_defaults.get("text_config")
        if part and part.config_class is CONFIG_MAPPING[model_type] and known in AutoModelForMultimodalLM._model_mapping:
            return known
    raise Refused("Transformers has no model of it with an output head")


def language_models(families: Mapping[str, Any]) -> dict[str, Any]:
    """The models that have one of these families as their language model, as ``guide.calculator.shapes`` reads it."""
    found: dict[str, Any] = {name: {"type": other, "flat": True} for name, other in SAME.items() if other in families}
    for name in CONFIG_MAPPING:
        kind = CONFIG_MAPPING[name]
        part = kind.sub_configs_defaults.get("text_config")
        if part and part.model_type in families and kind in AutoModelForMultimodalLM._model_mapping:
            named = not hasattr(part.config_class, "model_type")  # its text_config names the type of its own
            any_other = {"any": True} if named and name not in RENAMED else {}
            flat = {"flat": True} if _is_flat(kind) else {}
            tiny = {**TINY, "model_type": part.model_type} if named else TINY
            pairs = itertools.product((None, True, False), repeat=2)
            tied = "".join(_tied_when(kind, tiny, above, within) for above, within in pairs)
            sets = {"sets": told} if (told := _set_by(kind, families[part.model_type]["fixed"])) else {}
            found[name] = {"type": part.model_type, **any_other, **flat, **({} if "?" in tied else {"tied": tied}), **sets}
    return found


def _set_by(kind: Any, fixed: Mapping[str, list[Any]]) -> Config:
    """What a model tells its language model of fields that have but one value there else; it has the same shapes."""
    with foreign():
        inside = kind().text_config
        own = type(inside)()
    told = {field: getattr(inside, field, None) for field in fixed if getattr(own, field, None) in fixed[field]}
    return {field: one for field, one in told.items() if one not in fixed[field]}


def _is_flat(kind: Any) -> bool:
    try:
        with foreign():
            return bool(kind(hidden_size=TINY["hidden_size"]).text_config.hidden_size == TINY["hidden_size"])
    except Refused:
        return False


def _tied_when(kind: Any, tiny: Config, above: bool | None, within: bool | None) -> str:
    """T or F: whether embeddings are tied by what is said above and in text_config; ? where that can't be seen."""
    outer, inner = ({} if told is None else {"tie_word_embeddings": told} for told in (above, within))
    try:
        with foreign(), torch.device("meta"):
            model = AutoModelForMultimodalLM.from_config(kind(text_config={**tiny, **inner}, **_small_towers(kind), **outer))
            return "T" if model.get_output_embeddings().weight is model.get_input_embeddings().weight else "F"
    except Refused:
        return "?"


def _split_positions(config: Any) -> None:
    """Let the parts of a position, which are lengths of published models, be those of a small one."""
    rope = getattr(config, "rope_parameters", None)
    if isinstance(rope, dict) and "rope_type" in rope:
        half = (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads) // 2
        rope.setdefault("mrope_section", [half - 2 * (half // 3), half // 3, half // 3])


def _small_towers(parent: Any) -> dict[str, Any]:
    return {name: dict(SMALL_TOWER) for name in parent.sub_configs_defaults if name != "text_config"}


def _tied(raw: Config) -> Config:
    return {field: one for field, one in raw.items() if field == "tie_word_embeddings"}


def work_alone() -> None:
    """One thread a process, the small variants gain nothing from more; and no word of Transformers' own."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)


def shapes_of(model: Any) -> Seen:
    """A model's parameters, see ``Built.shapes``. Numbers of modules in a list inside a layer become ``*``."""
    found: Seen = {}
    for name, parameter in language_parameters(model):
        part, sides, count = part_of(model, name, parameter), list(parameter.shape), 1
        if part in ("experts", "bias of experts"):
            count, *sides = sides
            part = "experts" if part == "experts" else "other"
        elif len(sides) > 2:
            sides = [sides[0], parameter[0].numel()]  # a convolution's, as a matrix
        if len(sides) > 2:
            raise Refused(f"{name} has {len(sides)} dimensions")
        number = re.search(r"\.(\d+)\.", name)
        layer, inner = (int(number[1]), name[number.end() :]) if number else (None, name)
        inner = re.sub(r"(\.|^)weight$", "", inner)  # the name of a layer's weight is the layer's
        key = (layer, re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", inner))
        rows, columns = (*sides, 1, 1)[:2]
        known, figures = found.get(key, (part, (rows, columns, 0)))
        if (known, *figures[:2]) != (part, rows, columns):
            raise Refused(f"modules of a list in a layer have different shapes: {name}")
        found[key] = (part, (rows, columns, figures[2] + count))
    return found


def language_parameters(model: Any) -> list[tuple[str, Any]]:
    """The parameters of the language model: all, unless it is one part of a model beside others."""
    named = list(model.named_parameters())
    head = model.get_output_embeddings()
    parts = [name for name, module in model.named_modules() if name.rpartition(".")[2] == "language_model" or module is head]
    if not any(name.endswith("language_model") for name in parts):
        return named
    return [(name, one) for name, one in named if any(name.startswith(f"{part}.") for part in parts)]


def _held(model: Any, tokens: int, batch: int = 1, prefill: int | None = None) -> dict[int, Held]:
    """What each layer's cache holds after ``tokens`` tokens."""
    ids = torch.randint(3, 100, (batch, tokens))
    with foreign(), torch.no_grad():
        cache = model(ids[:, :prefill], use_cache=True).past_key_values
        if prefill:
            cache = model(ids[:, prefill:], past_key_values=cache, use_cache=True).past_key_values
    if not hasattr(cache, "layers"):
        raise Refused("the cache is not kept by layer")
    return {number: _held_by(layer) for number, layer in enumerate(cache.layers)}


def _held_by(layer: Any) -> Held:
    growing, states = 0, []
    for name, attribute in vars(layer).items():
        inner = list(attribute.values()) if isinstance(attribute, dict) else attribute
        for tensor in inner if isinstance(inner, list | tuple) else [inner]:
            if not isinstance(tensor, torch.Tensor) or tensor.dim() < 2:
                continue
            if "state" in name:
                states.append((tensor.numel(), tensor.element_size()))
            elif name in GROWING:
                growing += tensor.numel()
            else:
                raise Refused(f"the cache holds {name}, whose growth is not known")
    return growing, states
