"""Fit what was observed: a polynomial of the fields to each figure, and a rule to the layers that have a tensor."""

import functools
import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

from guide.calculator.shapes import Config, Rule, holds
from guide.derive import LAYERS, Key, Refused, Seen

MOST_FACTORS = 3  # of a term; what has more shows when random variants are compared
LAYER_FIELD = re.compile("layer|interval|pattern|step|period|offset|dense_replace|freq")  # fields that can choose layers

Changed = frozenset[str]  # the fields that have their other value
Observed = list[tuple[Config, set[int | None]]]  # configs, and the layers of each that a rule must mean


def polynomials(observe: Callable[[Config], Seen], base: Config, others: Config) -> dict[Key, tuple[str, tuple[str, ...]]]:
    """For each key, its part and an expression of the fields for each of its figures, found by changing fields of ``base``."""

    @functools.cache
    def at(changed: Changed) -> Seen:
        try:
            return observe({**base, **{field: others[field] for field in changed}})
        except Refused as error:
            raise Refused(f"nothing can be observed with another {', '.join(sorted(changed))}: {error}") from error

    def express(key: Key, place: int) -> str:
        def number(changed: Changed) -> int:
            _, figures = at(changed).get(key, ("", ()))
            if place >= len(figures):
                raise Refused(f"{key[1]} is not there with another {', '.join(sorted(changed))}")
            return figures[place]

        fields = [field for field in usable if number(frozenset([field])) != number(frozenset())]
        return polynomial(key[1], number, fields, base, others)

    start = at(frozenset())
    usable = [field for field in others if at(frozenset([field])).keys() == start.keys()]
    return {key: (part, tuple(express(key, place) for place in range(len(figures)))) for key, (part, figures) in start.items()}


def polynomial(name: str, number: Callable[[Changed], int], fields: Sequence[str], base: Config, others: Config) -> str:
    """The expression of ``fields`` that gives ``number``, by finite differences: a term has each field at most once."""
    terms: dict[tuple[str, ...], Fraction] = defaultdict(Fraction)
    for chosen in _subsets(fields):
        slope = Fraction(sum((-1) ** (len(chosen) - len(some)) * number(frozenset(some)) for some in _subsets(chosen)))
        for field in chosen:
            slope /= others[field] - base[field]
        for kept in _subsets(chosen):  # the product of (field - its base) over all chosen, multiplied out
            terms[kept] += slope * math.prod(-base[field] for field in chosen if field not in kept)
    if any(one.denominator != 1 for one in terms.values()):
        raise Refused(f"{name}: a dimension is no polynomial with whole coefficients in {', '.join(fields)}")
    sums = sorted((_whole(kept), one) for kept, one in terms.items() if one)[::-1]
    written = ["*".join(kept if one == 1 and kept else (str(one), *kept)) for kept, one in sums]
    return "+".join(written) or "0"


def _whole(factors: tuple[str, ...]) -> tuple[str, ...]:
    """The factors, a quotient and its divisor as the dividend."""
    for quotient in factors:
        above, _, below = quotient.partition("/")
        if below in factors:
            return tuple(above if factor == quotient else factor for factor in factors if factor != below)
    return factors


def _subsets(fields: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The subsets that can be a term's factors, the smallest first."""
    for size in range(MOST_FACTORS + 1):
        yield from itertools.combinations(fields, size)


def candidate_rules(config: Config, indices: Sequence[str]) -> list[Rule]:
    """The rules by which layers differ in the configs of Transformers, simplest first."""
    lists = {field: given for field, given in config.items() if isinstance(given, list)}
    words = {field: given for field, given in lists.items() if given and all(isinstance(one, str) for one in given)}
    numbers = {field: given for field, given in lists.items() if all(type(one) is int for one in given)}
    by_layer = {field: given for field, given in numbers.items() if len(given) == LAYERS}
    within: list[Rule] = [["in", field] for field in numbers]
    every: list[Rule] = [["every", step, f"{step}+-1"] for step in indices]
    every += [["every", step, rest] for step, rest in itertools.permutations(indices, 2)]
    simple: list[Rule] = [
        *(["is", field, kind] for field, given in words.items() for kind in sorted(set(given))),
        *(["below", field] for field in indices),
        ["below", "1"],
        *within,
        *(["is", field, kind] for field, given in by_layer.items() for kind in sorted(set(given))),
        *(["every", str(step), str(step - 1)] for step in (2, 3, 4, 6)),
        *every,
    ]
    both: list[Rule] = [["and", step, ["not", one]] for step in every for one in within]
    return [["all"], *simple, *(["not", rule] for rule in simple), *both, *(["not", rule] for rule in both)]


def fitting_rule(rules: Iterable[Rule], observed: Observed) -> Rule | None:
    """The first of the rules that means, of each config, exactly the layers that were observed."""
    return next((rule for rule in rules if all(layers_of(rule, config) == layers for config, layers in observed)), None)


def layers_of(rule: Rule, config: Config) -> set[int] | None:
    """The layers that a rule means, None where the config lacks what it asks for, or has it null."""
    known = {field: one for field, one in config.items() if one is not None}
    try:
        return {layer for layer in range(config["num_hidden_layers"]) if holds(rule, layer, known)}
    except (KeyError, IndexError, ValueError, ZeroDivisionError):
        return None
