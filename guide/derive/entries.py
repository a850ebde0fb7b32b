"""A family's tensors and the parts of its cache: each with its expressions, its layers and the settings that have it."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NamedTuple

from guide.calculator.shapes import Config, Rule, value
from guide.derive.refused import Refused, maybe
from guide.derive.roles import Roles
from guide.derive.rules import Observed, candidate_rules, fitting_rule, polynomials
from guide.derive.variants import LAYERS, Figures, Key, Seen, Variants

STRUCTURES = 8  # variants of which layers are what
MOST_CHOICES = 6  # switches and fields that may be null: all their combinations are built
ENOUGH = 3  # of those variants must be built

Setting = dict[str, Any]  # switches, and fields that may be null
Kind = tuple[str, str, tuple[str, ...]]  # name, part and expressions
Where = dict[int, set[int | None]]  # the layers that have it, by number of the setting


class Entry(NamedTuple):
    """Tensors, or parts of the cache, that are alike."""

    name: str
    part: str
    expressions: tuple[str, ...]
    when: dict[str, bool]  # the fields that must be set or not
    layers: Rule | None  # None outside of all layers

    def conditions(self) -> dict[str, Any]:
        """As they are written."""
        return ({"layers": self.layers} if self.layers else {}) | ({"when": self.when} if self.when else {})


class Entries:
    """What all settings of a family have."""

    def __init__(self, variants: Variants, roles: Roles):
        self.variants, self.roles = variants, roles
        self.settings = _settings(roles)
        self.structures = [{}, *(_structure(variants, roles) for _ in range(STRUCTURES))]

    def tensors(self) -> list[dict[str, Any]]:
        """As they are written, routers by their name."""
        written = [_tensor(entry) for entry in self._entries(self.variants.shapes)]
        _name_routers(written)
        return written

    def cache(self) -> list[dict[str, Any]]:
        """As they are written."""
        return [_cache_part(entry) for entry in self._entries(self.variants.cache)]

    def _entries(self, observe: Callable[[Config], Seen]) -> list[Entry]:
        seen: dict[int, Seen] = {}
        for number, setting in enumerate(self.settings):
            found = maybe(observe, {**self.roles.base, **setting})
            if found is not None:
                seen[number] = found
        return [
            Entry(*kind, self._condition(set(where), seen), self._layers(observe, kind, where))
            for kind, where in self._alike(observe, seen).items()
        ]

    def _alike(self, observe: Callable[[Config], Seen], seen: dict[int, Seen]) -> dict[Kind, Where]:
        """What is seen in any setting, by what is alike."""
        found: dict[Kind, Where] = defaultdict(dict)
        known: dict[tuple[Key, str, Figures], tuple[str, ...]] = {}
        for number, now in seen.items():
            if any((key, *one) not in known for key, one in now.items()):
                base = {**self.roles.base, **self.settings[number]}
                for key, (_, expressions) in polynomials(observe, base, self.roles.scales(base)).items():
                    known.setdefault((key, *now[key]), expressions)
            for (layer, name), (part, figures) in now.items():
                alike = found[name, part, known[(layer, name), part, figures]]
                alike.setdefault(number, set()).add(layer)
        return found

    def _condition(self, where: set[int], seen: dict[int, Seen]) -> dict[str, bool]:
        """The fewest fields whose being set or not tells the settings that have a tensor from those that don't."""
        if where == set(seen):
            return {}
        first = self.settings[min(where)]
        for size in range(1, len(first) + 1):
            for chosen in itertools.combinations(first, size):
                wanted = {field: bool(first[field]) for field in chosen}
                if where == {n for n in seen if all(bool(self.settings[n][f]) == one for f, one in wanted.items())}:
                    return wanted
        raise Refused("a tensor's presence follows from no combination of the settings")

    def _layers(self, observe: Callable[[Config], Seen], kind: Kind, where: Where) -> Rule | None:
        """The simplest rule for the layers that have it, in variants with other kinds of layers."""
        (name, part, expressions), first = kind, min(where)
        if where[first] == {None}:
            return None
        observed: Observed = []
        for structure in self.structures:
            variant = {**self.roles.base, **self.settings[first], **structure}
            found = maybe(observe, variant)
            if found is None:
                continue
            made = {field: one for field, one in self.variants.fields(variant).items() if isinstance(one, list)}
            config = {**made, **variant}  # what the evaluation sees
            figures = tuple(value(expression, config) for expression in expressions)
            layers = {layer for (layer, other), one in found.items() if other == name and one == (part, figures)}
            observed.append((config, layers))
        if len(observed) < ENOUGH:
            raise Refused("too few variants with other layers could be built")
        rule = fitting_rule(candidate_rules(observed[0][0], self.roles.indices), observed)
        if rule is None:
            raise Refused("no rule was found for which layers have which tensors")
        return rule


def _settings(roles: Roles) -> list[Setting]:
    """Each combination of switches and of fields set to null."""
    choices: dict[str, list[Any]] = {field: [one, not one] for field, one in roles.switches.items()}
    choices |= {field: [roles.base[field], None] for field in roles.nullable}
    if len(choices) > MOST_CHOICES:
        raise Refused(f"too many fields change the structure: {', '.join(choices)}")
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def _structure(variants: Variants, roles: Roles) -> Config:
    """A variant of which layers are what."""
    pick = variants.random
    layers = pick.choice((LAYERS, LAYERS + 3, LAYERS - 1))
    structure: Config = {"num_hidden_layers": layers, **random_lists(variants, roles.lists, layers)}
    for field in roles.indices:
        structure[field] = pick.choice((roles.base[field], roles.others[field], roles.base[field] + 3))
    return structure


def random_lists(variants: Variants, lists: dict[str, list[Any]], layers: int) -> dict[str, list[Any]]:
    """Any kinds of layers for each list by layer, any few layers for each list of layer numbers."""
    pick = variants.random
    return {
        field: [pick.choice(kinds) for _ in range(layers)] if kinds else sorted(pick.sample(range(layers), pick.randrange(4)))
        for field, kinds in lists.items()
    }


# As they are written


def _tensor(entry: Entry) -> dict[str, Any]:
    *sides, count = entry.expressions
    part = entry.part
    if part in ("experts", "bias of experts"):
        count = sides[0] if count == "1" else f"{sides[0]}*{count}"
        part, sides = "experts" if part == "experts" else "other", sides[1:]
    if len(sides) > 2:
        raise Refused(f"{entry.name} has {len(sides)} dimensions")
    written = {"part": part, "name": without_weight(entry.name)}
    written |= {side: one for side, one in zip(("rows", "columns"), sides, strict=False) if one != "1"}
    written |= {"count": count} if count != "1" else {}
    return written | entry.conditions()


def without_weight(name: str) -> str:
    """The name of a layer's weight is the layer's."""
    return re.sub(r"(\.|^)weight$", "", name)


def _name_routers(entries: list[dict[str, Any]]) -> None:
    """A matrix with one row for each expert is a router, whatever class holds it."""
    experts = {entry["count"] for entry in entries if entry["part"] == "experts" and "count" in entry}
    for entry in entries:
        matrix = entry["part"] in ("linear", "other") and "columns" in entry and "count" not in entry
        if matrix and entry.get("rows") in experts:
            entry["part"] = "router"


def _cache_part(entry: Entry) -> dict[str, Any]:
    per_token, window, *states = entry.expressions
    bounded, *sizes = entry.name.split()
    written: dict[str, Any] = {"layers": entry.layers}
    written |= {"per_token": per_token} if per_token != "0" else {}
    written |= {"window": window} if bounded == "window" else {}
    written |= {"states": [[one, int(size)] for one, size in zip(states, sizes, strict=True)]} if states else {}
    return written | entry.conditions()
