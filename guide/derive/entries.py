"""A family's tensors and the parts of its cache: each with its expressions, its layers and the settings that have it."""

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from guide.calculator.shapes import Config, Rule, value
from guide.derive import LAYERS, Refused, Seen, maybe
from guide.derive.fields import Variants
from guide.derive.rules import Observed, candidate_rules, fitting_rule, polynomials

STRUCTURES = 8  # variants of which layers are what
MOST_CHOICES = 6  # switches and fields that may be null: all their combinations are built
ENOUGH = 3  # of the variants of which layers are what must be built

Kind = tuple[str, str, tuple[str, ...]]  # name, part and expressions of tensors, or of parts of the cache, that are alike
Where = dict[int, set[int | None]]  # the layers that have it, by number of the setting


class Entries:
    """What a family has in each setting: a combination of switches, and of fields that may be null."""

    def __init__(self, variants: Variants):
        self.variants = variants
        choices: dict[str, list[Any]] = {field: [one, not one] for field, one in variants.switches.items()}
        choices |= {field: [variants.base[field], None] for field in variants.nullable}
        if len(choices) > MOST_CHOICES:
            raise Refused(f"too many fields change the structure: {', '.join(choices)}")
        self.settings: list[Config] = [dict(zip(choices, one, strict=True)) for one in itertools.product(*choices.values())]
        self.structures = [{}, *(_structure(variants) for _ in range(STRUCTURES))]

    def tensors(self) -> list[dict[str, Any]]:
        """As they are written, routers by their name."""
        written: list[dict[str, Any]] = []
        for (name, part, expressions), layers, when in self._entries(self.variants.shapes):
            figures = zip(("rows", "columns", "count"), expressions, strict=True)
            sizes = {figure: one for figure, one in figures if one != "1"}
            written.append({"part": part, "name": name, **sizes, **layers, **when})
        experts = {entry["count"] for entry in written if entry["part"] == "experts" and "count" in entry}
        for entry in written:
            # A matrix with one row for each expert is a router, whatever class holds it.
            matrix = entry["part"] in ("linear", "other") and "columns" in entry and "count" not in entry
            if matrix and entry.get("rows") in experts:
                entry["part"] = "router"
        return written

    def cache(self) -> list[dict[str, Any]]:
        """As they are written."""
        written: list[dict[str, Any]] = []
        for (name, _, (per_token, window, *states)), layers, when in self._entries(self.variants.cache):
            bounded, *sizes = name.split()
            figures: dict[str, Any] = {"per_token": per_token} if per_token != "0" else {}
            figures |= {"window": window} if bounded == "window" else {}
            figures |= {"states": [[one, int(size)] for one, size in zip(states, sizes, strict=True)]} if states else {}
            written.append({**layers, **figures, **when})
        return written

    def _entries(self, observe: Callable[[Config], Seen]) -> Iterator[tuple[Kind, dict[str, Any], dict[str, Any]]]:
        """What is alike, ``{layers}`` unless it is outside of all, and ``{when}`` unless each setting has it."""
        tried = {number: maybe(observe, {**self.variants.base, **one}) for number, one in enumerate(self.settings)}
        seen = {number: found for number, found in tried.items() if found is not None}
        for kind, where in self._alike(observe, seen).items():
            when, first = self._condition(set(where), set(seen)), min(where)
            rule = None if where[first] == {None} else self._layers(observe, kind, self.settings[first])
            yield kind, {"layers": rule} if rule else {}, {"when": when} if when else {}

    def _alike(self, observe: Callable[[Config], Seen], seen: dict[int, Seen]) -> dict[Kind, Where]:
        """What is seen in any setting, by what is alike."""
        found: dict[Kind, Where] = defaultdict(dict)
        known: dict[Any, tuple[str, ...]] = {}  # expressions, by key, part and figures
        for number, now in seen.items():
            if any((key, *one) not in known for key, one in now.items()):
                base = {**self.variants.base, **self.settings[number]}
                others = {field: self.variants.others[field] for field in self.variants.dimensions if base[field] is not None}
                for key, (_, expressions) in polynomials(observe, base, others).items():
                    known.setdefault((key, *now[key]), expressions)
            for (layer, name), (part, figures) in now.items():
                alike = found[name, part, known[(layer, name), part, figures]]
                alike.setdefault(number, set()).add(layer)
        return found

    def _condition(self, where: set[int], seen: set[int]) -> dict[str, bool]:
        """The fewest fields whose being set or not tells the settings that have a tensor from those that don't."""
        first = self.settings[min(where)]
        for size in range(len(first) + 1):
            for chosen in itertools.combinations(first, size):
                wanted = {field: bool(first[field]) for field in chosen}
                if where == {n for n in seen if all(bool(self.settings[n][f]) == one for f, one in wanted.items())}:
                    return wanted
        raise Refused("a tensor's presence follows from no combination of the settings")

    def _layers(self, observe: Callable[[Config], Seen], kind: Kind, setting: Config) -> Rule:
        """The simplest rule for the layers that have it, in variants with other kinds of layers."""
        name, part, expressions = kind
        observed: Observed = []
        for structure in self.structures:
            variant = {**self.variants.base, **setting, **structure}
            found = maybe(observe, variant)
            if found is not None and self.variants.keeps(variant):
                lists = {
                    field: one for field, one in self.variants.lists_made(variant).items() if field in self.variants.lists
                }
                config = {**lists, **self.variants.tie(variant)}  # what the evaluation sees
                figures = tuple(value(expression, config) for expression in expressions)
                layers = {layer for (layer, other), one in found.items() if other == name and one == (part, figures)}
                observed.append((config, layers))
        if len(observed) < ENOUGH:
            raise Refused("too few variants with other layers could be built")
        rule = fitting_rule(candidate_rules(observed[0][0], self.variants.indices), observed)
        if rule is None:
            raise Refused("no rule was found for which layers have which tensors")
        return rule


def _structure(variants: Variants) -> Config:
    """A variant of which layers are what."""
    pick = variants.random
    layers = pick.choice((LAYERS, LAYERS + 3, LAYERS - 1))
    structure: Config = {"num_hidden_layers": layers, **random_lists(variants, variants.lists, layers)}
    for field in variants.indices:
        structure[field] = pick.choice((variants.base[field], variants.others[field], variants.base[field] + 3))
    return structure


def random_lists(variants: Variants, lists: dict[str, list[Any]], layers: int) -> dict[str, list[Any]]:
    """Any kinds of layers for each list by layer, any few layers for each list of layer numbers."""
    pick, found = variants.random, {}
    for field, kinds in lists.items():
        found[field] = (
            [pick.choice(kinds) for _ in range(layers)] if kinds else sorted(pick.sample(range(layers), pick.randrange(4)))
        )
        if kinds and pick.random() < 0.5:
            found[field][0] = kinds[0]  # which in some must be the first
    return found
