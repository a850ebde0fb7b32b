"""Small variants of one architecture, and what is observed of each."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Protocol

from guide.calculator.shapes import Config
from guide.derive.refused import Refused

LAYERS = 8  # of a small variant: twice the period of the common hybrids
SHORT, LONG = 5, 75  # tokens in a cache below and above each window of the small variants

Key = tuple[int | None, str]  # the layer, None outside of all, and the name
Figures = tuple[int, ...]
Seen = dict[Key, tuple[str, Figures]]  # the part, and its dimensions and how many like it, or the numbers of a cache


class Architecture(Protocol):
    """What is asked of Transformers about one architecture; ``raw`` is a config.json, for which it may raise Refused."""

    model_type: str
    names: Mapping[str, str]  # other names of fields
    options: Mapping[str, str]  # the fields of its configuration class, and their types as they are written

    def fields(self, raw: Config) -> Config:
        """The fields of Transformers' configuration object, under its own names."""

    def makes(self, raw: Config, field: str) -> bool:
        """Whether the configuration object has a field that the config does not give."""

    def class_name(self, raw: Config) -> str:
        """The class of the model."""

    def shapes(self, raw: Config) -> Seen:
        """``{(layer, name): (part, (dimensions..., how many of them in the layer))}``; a tied tensor counts once."""

    def cache(self, raw: Config, thorough: bool = False) -> Seen:
        """``{(layer, what): ("cache", (elements a token, tokens held or 0, elements of each state...))}``.

        ``what`` is "window" or "all", then the bytes an element of each state. ``thorough`` also looks at a batch of two and
        at a decoding step.
        """


class Variants:
    """Variants of one architecture, each observed once, be it a failure."""

    def __init__(self, architecture: Architecture, examples: list[Config]):
        self.architecture, self.examples = architecture, examples
        self.random = random.Random(architecture.model_type)  # the same variants in every run
        self.tied: dict[str, str] = {}  # fields that must be equal to others for the model to run
        self._seen: dict[tuple[str, str], Seen | Refused] = {}

    def tie(self, raw: Config) -> Config:
        """The variant with its tied fields."""
        return {**raw, **{field: raw[other] for field, other in self.tied.items() if other in raw}}

    def fields(self, raw: Config) -> Config:
        """See ``Architecture.fields``."""
        return self.architecture.fields(raw)

    def shapes(self, raw: Config) -> Seen:
        """See ``Architecture.shapes``."""
        return self._once("shapes", self.architecture.shapes, raw)

    def cache(self, raw: Config) -> Seen:
        """See ``Architecture.cache``."""
        return self._once("cache", self.architecture.cache, raw)

    def _once(self, what: str, observe: Callable[[Config], Seen], raw: Config) -> Seen:
        raw = self.tie(raw)
        key = (what, json.dumps(raw, sort_keys=True))
        if key not in self._seen:
            try:
                self._seen[key] = observe(raw)
            except Refused as error:
                self._seen[key] = error
        found = self._seen[key]
        if isinstance(found, Refused):
            raise found
        return found
