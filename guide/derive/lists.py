"""What a list by layer that is absent from a config becomes."""

from __future__ import annotations

from typing import Any

from guide.calculator.shapes import Config
from guide.derive.refused import Refused, maybe
from guide.derive.roles import Roles
from guide.derive.rules import LAYER_FIELD, Observed, candidate_rules, fitting_rule
from guide.derive.variants import Variants

SAMPLES = 12  # variants without the list
MOST = 64  # the largest default of a field that a list is made of

Made = list[tuple[Config, Any]]  # configs without the list, and the list that the class makes


def list_default(variants: Variants, roles: Roles, field: str) -> dict[str, Any]:
    """``{values, default}``: the rule for the list, null where it stays away, or that it must be given; and its letters."""
    kinds = roles.lists[field]
    made = _made(variants, roles, field)
    if made and not any(one for _, one in made):
        return {"values": kinds, "default": None}
    default = _two_valued(made, roles) if made else None
    return {"values": kinds, "default": default or "required", **_letters(variants, field)}


def _made(variants: Variants, roles: Roles, field: str) -> Made:
    """What the class makes in variants with other fields that can choose layers."""
    pick, normal = variants.random, variants.fields(roles.base)
    others = {"max_window_layers", "full_attention_interval", "sliding_window_pattern", *roles.indices}
    others |= {other for other, one in normal.items() if LAYER_FIELD.search(other) and type(one) is int}
    found = []
    for _ in range(SAMPLES):
        layers = pick.choice((7, 12, 13))
        changed: Config = {other: pick.choice((2, 3, 4, 6)) for other in sorted(others - {"num_hidden_layers"})}
        switches = {switch: pick.random() < 0.5 for switch in roles.switches}
        raw = {**roles.without_lists(), **switches, **changed, "num_hidden_layers": layers}
        known = maybe(variants.fields, raw)
        if known is not None and field in known:
            found.append((raw, known[field]))
    return found


def _two_valued(made: Made, roles: Roles) -> list[list[Any]] | None:
    """``[[rule, kind], ...]`` of a list with at most two kinds of layers; None where no rule is found."""
    if any(not isinstance(one, list) or len(one) != config["num_hidden_layers"] for config, one in made):
        return None
    seen = list(dict.fromkeys(kind for _, one in made for kind in one))
    if len(seen) == 1:
        return [[["all"], seen[0]]]
    if len(seen) > 2:
        return None
    fields = {field for config, _ in made for field, one in config.items() if type(one) is int}
    rules = candidate_rules(made[0][0], sorted(f for f in fields - {"num_hidden_layers"} if LAYER_FIELD.search(f)))
    rules += [["and", ["set", switch], rule] for switch in roles.switches for rule in rules]
    for first, second in (seen, seen[::-1]):
        observed: Observed = [(config, {i for i, kind in enumerate(one) if kind == first}) for config, one in made]
        rule = fitting_rule(rules, observed)
        if rule:
            return [[rule, first], [["all"], second]]
    return None


def _letters(variants: Variants, field: str) -> dict[str, Any]:
    """A string with one letter for each layer that stands for the list, as some published configs have it."""
    first = variants.examples[0]
    layers = first.get("num_hidden_layers")
    name = next((name for name, given in first.items() if isinstance(given, str) and len(given) == layers), None)
    if name is None:
        return {}
    kinds: dict[str, str] = {}
    for example in variants.examples:
        made = variants.fields({key: one for key, one in example.items() if key != field}).get(field)
        given = example.get(name)
        if not (isinstance(made, list) and isinstance(given, str) and len(made) == len(given)):
            return {}
        kinds |= dict(zip(given, made, strict=True))
        if [kinds[letter] for letter in given] != made:
            return {}
    return {"letters": {"field": name, "kinds": kinds}}


def index_default(variants: Variants, roles: Roles, field: str, lists: dict[str, Any]) -> int:
    """The value of a field that gives the lists that the class makes without it."""
    bare = {key: one for key, one in roles.without_lists().items() if key != field}
    raws = [{**bare, **dict.fromkeys(roles.switches, True), "num_hidden_layers": layers} for layers in (13, 40, 70)]
    made = [maybe(variants.fields, raw) for raw in raws]
    for given in range(1, MOST + 1):
        same = (
            known is not None and known.get(one) == variants.fields({**raw, field: given}).get(one)
            for one in lists
            for raw, known in zip(raws, made, strict=True)
        )
        if all(same):
            return given
    raise Refused(f"the default of {field} could not be found")
