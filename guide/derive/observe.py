"""Build an architecture with Transformers, on the meta device, and see its parameters; run it, and see its cache."""

import dataclasses
import json
import re
from copy import deepcopy
from typing import Any

import torch
import transformers
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from guide.calculator.shapes import Config
from guide.derive import LONG, SHORT, Passed, Refused, Seen, Trace, foreign
from guide.derive.tracing import trace
from guide.guest.parts import part_of

VERSIONS = {"transformers": transformers.__version__, "torch": torch.__version__.partition("+")[0]}
GROWING = ("keys", "values", "indexer_keys")  # what a layer's cache calls its tensors that grow with the context

Held = tuple[int, list[tuple[int, int]]]  # elements of keys and values; elements, and bytes an element, of each state


class Built:
    """What Transformers makes of one architecture's configs; ``raw`` is a config.json, for which it may raise Refused."""

    def __init__(self, model_type: str):
        if model_type not in CONFIG_MAPPING:
            raise Refused(f"Transformers {transformers.__version__} has no such architecture")
        self.model_type, self.kind = model_type, CONFIG_MAPPING[model_type]
        self._traces: dict[tuple[str, Passed, bool], Trace] = {}
        self.names: dict[str, str] = dict(self.kind.attribute_map)  # fields, by other names that they have
        self.options = {field.name: str(field.type) for field in dataclasses.fields(self.kind)}  # its fields and their types

    def fields(self, raw: Config) -> Config:
        """The fields of Transformers' configuration object, under its own names."""
        found = vars(self._config(raw))
        return {key: one for key, one in found.items() if not key.startswith("_") and key not in self.names}

    def makes(self, raw: Config, field: str) -> bool:
        """Whether the configuration object has a field that the config does not give."""
        config = self._config({key: one for key, one in raw.items() if key != field})
        with foreign():
            return hasattr(config, field)

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
            self._traces[key] = trace(self.model(raw, "cpu").eval(), passed, whole)
        return self._traces[key]

    def model(self, raw: Config, device: str = "meta") -> Any:
        """The whole model, whose parameters take no memory on the meta device."""
        config = self._config(raw)
        with foreign(), torch.device(device):
            return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)

    def _config(self, raw: Config) -> Any:
        # A copy: Transformers writes into the dictionaries that it is given.
        given = {key: deepcopy(one) for key, one in raw.items() if key != "model_type"}
        with foreign():
            return self.kind(**given)


def work_alone() -> None:
    """One thread a process, the small variants gain nothing from more; and no word of Transformers' own."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()


def shapes_of(model: Any) -> Seen:
    """A model's parameters, see ``Built.shapes``. Numbers of modules in a list inside a layer become ``*``."""
    found: Seen = {}
    for name, parameter in model.named_parameters():
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
