"""Build an architecture with Transformers, on the meta device, and see its parameters; run it, and see its cache."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from guide.calculator.shapes import Config
from guide.derive.refused import Refused, foreign
from guide.derive.variants import LONG, SHORT, Seen
from guide.guest.parts import part_of

NUMBER = re.compile(r"\.(\d+)\.")
GROWING = ("keys", "values", "indexer_keys")  # what a layer's cache calls its tensors that grow with the context


class Built:
    """An architecture as Transformers builds it, see ``guide.derive.variants.Architecture``."""

    def __init__(self, model_type: str):
        if model_type not in CONFIG_MAPPING:
            raise Refused(f"Transformers {transformers.__version__} has no such architecture")
        self.model_type, self.kind = model_type, CONFIG_MAPPING[model_type]
        self.names: Mapping[str, str] = dict(self.kind.attribute_map)
        self.options: Mapping[str, str] = {field.name: str(field.type) for field in dataclasses.fields(self.kind)}

    def fields(self, raw: Config) -> Config:
        found = vars(self._config(raw))
        return {key: one for key, one in found.items() if not key.startswith("_") and key not in self.names}

    def makes(self, raw: Config, field: str) -> bool:
        config = self._config({key: one for key, one in raw.items() if key != field})
        with foreign():
            return hasattr(config, field)

    def class_name(self, raw: Config) -> str:
        return type(self.on_meta(raw)).__name__

    def shapes(self, raw: Config) -> Seen:
        return shapes_of(self.on_meta(raw))

    def cache(self, raw: Config, thorough: bool = False) -> Seen:
        torch.manual_seed(0)
        model = self._model(raw).eval()
        short, long = (_held(model, tokens) for tokens in (SHORT, LONG))
        if thorough:
            _check_proportion(short, _held(model, SHORT, batch=2))
            if _held(model, LONG, prefill=LONG - 1) != long:
                raise Refused("the cache after a decoding step is not that after one pass")
        grown = {layer: _grown(layer, held, long[layer]) for layer, held in short.items()}
        return dict(grown[layer] for layer, held in short.items() if held != Held(0, []))

    def on_meta(self, raw: Config) -> Any:
        """The whole model, without memory for its parameters."""
        with torch.device("meta"):
            return self._model(raw)

    def _model(self, raw: Config) -> Any:
        config = self._config(raw)
        with foreign():
            return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)

    def _config(self, raw: Config) -> Any:
        # A copy: Transformers writes into the dictionaries that it is given.
        given = {key: deepcopy(one) for key, one in raw.items() if key != "model_type"}
        with foreign():
            return self.kind(**given)


def versions() -> dict[str, str]:
    """The releases with which is observed."""
    return {"transformers": transformers.__version__, "torch": torch.__version__.partition("+")[0]}


def work_alone() -> None:
    """One thread a process, the small variants gain nothing from more; and no word of Transformers' own."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()


# Parameters


def shapes_of(model: Any) -> Seen:
    """A model's parameters, see ``Architecture.shapes``. Numbers of modules in a list inside a layer become ``*``."""
    found: Seen = {}
    for name, parameter in model.named_parameters():
        part, shape = part_of(model, name, parameter), tuple(parameter.shape)
        if part != "experts" and parameter.dim() > 2:
            shape = (shape[0], parameter[0].numel())  # a convolution's, as a matrix
        number = NUMBER.search(name)
        layer, inner = (int(number[1]), name[number.end() :]) if number else (None, name)
        key = (layer, re.sub(r"(^|\.)\d+(?=\.|$)", r"\1*", inner))
        count = 1
        if key in found:
            known, figures = found[key]
            if (known, figures[:-1]) != (part, shape):
                raise Refused(f"modules of a list in a layer have different shapes: {name}")
            count = figures[-1] + 1
        found[key] = (part, (*shape, count))
    return found


def parameter_count(model: Any) -> int:
    """All parameters of a model, each once."""
    return sum(parameter.numel() for parameter in model.parameters())


# Caches


class Held(NamedTuple):
    """What one layer's cache holds."""

    growing: int  # elements of keys and values
    states: list[tuple[int, int]]  # elements, and bytes an element, of each state


def _held(model: Any, tokens: int, batch: int = 1, prefill: int | None = None) -> dict[int, Held]:
    """What each layer's cache holds after ``tokens`` tokens."""
    ids = torch.randint(3, 100, (batch, tokens))
    with foreign(), torch.no_grad():
        cache = model(ids[:, :prefill], use_cache=True).past_key_values
        if prefill:
            cache = model(ids[:, prefill:], past_key_values=cache, use_cache=True).past_key_values
    layers = getattr(cache, "layers", None)
    if layers is None:
        raise Refused("the cache is not kept by layer")
    return {number: _held_by(layer) for number, layer in enumerate(layers)}


def _held_by(layer: Any) -> Held:
    growing, states = 0, []
    for name, attribute in vars(layer).items():
        for tensor in _tensors_in(attribute):
            if "state" in name:
                states.append((tensor.numel(), tensor.element_size()))
            elif name in GROWING:
                growing += tensor.numel()
            else:
                raise Refused(f"the cache holds {name}, whose growth is not known")
    return Held(growing, states)


def _tensors_in(attribute: Any) -> list[Any]:
    inner: Iterable[Any] = attribute.values() if isinstance(attribute, dict) else attribute
    several = isinstance(attribute, dict | list | tuple)
    return [one for one in (inner if several else [inner]) if isinstance(one, torch.Tensor) and one.dim() > 1]


def _check_proportion(short: dict[int, Held], twice: dict[int, Held]) -> None:
    for layer, (growing, states) in short.items():
        if twice.get(layer) != (2 * growing, [(2 * number, size) for number, size in states]):
            raise Refused(f"the cache of layer {layer} does not grow in proportion to the batch")


def _grown(layer: int, short: Held, long: Held) -> tuple[tuple[int, str], tuple[str, tuple[int, ...]]]:
    """A layer's entry of ``Architecture.cache``, from what it holds after few tokens and after many."""
    if short.growing % SHORT or short.states != long.states:
        raise Refused(f"the cache of layer {layer} is neither in proportion to the context nor constant")
    per_token = short.growing // SHORT
    held = long.growing // per_token if per_token else 0
    if per_token and held * per_token != long.growing:
        raise Refused(f"the cache of layer {layer} does not hold whole tokens")
    bounded = bool(per_token) and held != LONG
    what = f"{'window' if bounded else 'all'} {' '.join(str(size) for _, size in short.states)}"
    return (layer, what), ("cache", (per_token, held if bounded else 0, *(number for number, _ in short.states)))
