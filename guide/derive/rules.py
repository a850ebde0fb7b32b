"""Fit what was observed: a polynomial of the fields to each figure, and a rule to the layers that have a tensor."""

from __future__ import annotations

import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

from guide.calculator.shapes import Config, Rule, holds, value
from guide.derive.refused import Refused
from guide.derive.variants import LAYERS, Key, Seen

MOST_FACTORS = 3  # of a term
LAYER_FIELD = re.compile("layer|interval|pattern|step|period|offset|dense_replace|freq")  # fields that can choose layers

Changed = frozenset[str]  # the fields that have their other value
Observed = list[tuple[Config, set[int | None]]]  # configs, and the layers of each that a rule must mean


def names_in(text: str) -> set[str]:
    """The words of an expression, or of JSON."""
    return set(re.findall(r"[A-Za-z_]\w*", text))


# Polynomials


def polynomials(
    observe: Callable[[Config], Seen], base: Config, others: Mapping[str, int]
) -> dict[Key, tuple[str, tuple[str, ...]]]:
    """For each key, its part and an expression of the fields for each of its figures, found by changing fields of ``base``."""

    @functools.cache
    def at(changed: Changed) -> Seen:
        return observe({**base, **{field: others[field] for field in changed}})

    def figure(key: Key, place: int, changed: Changed) -> int:
        _, figures = at(changed).get(key, ("", ()))
        if place >= len(figures):
            raise Refused(f"{key[1]} is not there with another {', '.join(sorted(changed))}")
        return figures[place]

    def express(key: Key, place: int) -> str:
        number = functools.partial(figure, key, place)
        fields = [field for field in usable if number(frozenset([field])) != number(frozenset())]
        return polynomial(key[1], number, fields, base, others)

    start, usable = at(frozenset()), []
    for field in others:
        try:
            if at(frozenset([field])).keys() == start.keys():
                usable.append(field)
        except Refused as error:
            raise Refused(f"nothing can be observed with another {field}: {error}") from error
    return {key: (part, tuple(express(key, place) for place in range(len(figures)))) for key, (part, figures) in start.items()}


def polynomial(
    name: str, number: Callable[[Changed], int], fields: Iterable[str], base: Config, others: Mapping[str, int]
) -> str:
    """The expression of ``fields`` that gives ``number``, by finite differences.

    It is taken to have at most one factor of each field and three fields a term; what has not shows when other variants are
    compared.
    """
    fields = list(fields)
    terms: dict[tuple[str, ...], Fraction] = defaultdict(Fraction)
    for chosen in _subsets(fields, MOST_FACTORS):
        slope = Fraction(sum((-1) ** (len(chosen) - len(some)) * number(frozenset(some)) for some in _subsets(chosen)))
        for field in chosen:
            slope /= others[field] - base[field]
        for kept in _subsets(chosen):  # the product of (field - its base) over all chosen, multiplied out
            rest = slope
            for field in set(chosen) - set(kept):
                rest *= -base[field]
            terms[kept] += rest
    if any(one.denominator != 1 for one in terms.values()):
        raise Refused(f"{name}: a dimension is no polynomial with whole coefficients in {', '.join(fields)}")
    written = [
        "*".join(kept if one == 1 and kept else (str(one), *kept)) for kept, one in sorted(terms.items(), reverse=True) if one
    ]
    return "+".join(written) or "0"


def _subsets(fields: Iterable[str], most: int | None = None) -> Iterable[tuple[str, ...]]:
    """The subsets of fields, the smallest first, none larger than ``most``."""
    fields = list(fields)
    sizes = range(min(len(fields), len(fields) if most is None else most) + 1)
    return itertools.chain.from_iterable(itertools.combinations(fields, size) for size in sizes)


# Rules by layer


def candidate_rules(config: Config, indices: Iterable[str]) -> list[Rule]:
    """The rules by which layers differ in the configs of Transformers, simplest first."""
    indices = list(indices)
    lists = {field: given for field, given in config.items() if isinstance(given, list)}
    words = {field: given for field, given in lists.items() if given and all(isinstance(one, str) for one in given)}
    numbers = {field: given for field, given in lists.items() if all(type(one) is int for one in given)}
    by_layer = {field: given for field, given in numbers.items() if len(given) == LAYERS}
    within: list[Rule] = [["in", field] for field in numbers]
    every: list[Rule] = [["every", step, f"{step}+-1"] for step in indices]
    every += [["every", step, rest] for step, rest in itertools.permutations(indices, 2)]
    simple: list[Rule] = [["is", field, kind] for field, given in words.items() for kind in sorted(set(given))]
    simple += [["below", field] for field in indices]
    simple += within
    simple += [["is", field, kind] for field, given in by_layer.items() for kind in sorted(set(given))]
    simple += [["every", str(step), str(step - 1)] for step in (2, 3, 4, 6)]
    simple += every
    both: list[Rule] = [["and", step, ["not", one]] for step in every for one in within]
    return [["all"], *simple, *_negated(simple), *both, *_negated(both)]


def _negated(rules: list[Rule]) -> list[Rule]:
    return [["not", rule] for rule in rules]


def fitting_rule(rules: Iterable[Rule], observed: Observed) -> Rule | None:
    """The first of the rules that means, of each config, exactly the layers that were observed."""
    return next((rule for rule in rules if all(layers_of(rule, config) == layers for config, layers in observed)), None)


def layers_of(rule: Rule, config: Config) -> set[int] | None:
    """The layers that a rule means, None where the config lacks what it asks for."""
    if not _can_be_asked(rule, config):
        return None
    return {layer for layer in range(config["num_hidden_layers"]) if holds(rule, layer, config)}


def _can_be_asked(rule: Rule, config: Config) -> bool:
    match rule:
        case ["all"]:
            return True
        case ["is", field, _]:
            given = config.get(field)
            return isinstance(given, list) and len(given) >= config["num_hidden_layers"]
        case ["in" | "set", field]:
            return field in config
        case ["below", field]:
            return _is_known(field, config)
        case ["every", step, rest]:
            return _is_known(step, config) and _is_known(rest, config) and value(step, config) != 0
        case ["not" | "and", *inner]:
            return all(_can_be_asked(one, config) for one in inner)
    raise ValueError(f"unknown rule {rule}")


def _is_known(expression: str, config: Config) -> bool:
    return all(type(config.get(field)) is int for field in names_in(expression))
