"""What a field that is absent from a config becomes, found by leaving it out of variants."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

from guide.calculator.shapes import REQUIRED, Config, default_of
from guide.derive.lists import index_default, list_default
from guide.derive.refused import Refused, maybe
from guide.derive.roles import Roles
from guide.derive.rules import LAYER_FIELD, names_in
from guide.derive.variants import Variants

SAMPLES = 4  # variants from which a field is left out

Left = list[tuple[Config, Any]]  # variants without a field, and what the configuration has in its place


def defaults(variants: Variants, roles: Roles, entries: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The part of a family that says which fields its ``entries`` (tensors and cache) use, and what each is if absent."""
    used = names_in(json.dumps([*entries.values()]))
    lists = {field: list_default(variants, roles, field) for field in roles.lists if field in used}
    chosen = names_in(json.dumps([known["default"] for known in lists.values()]))
    rules = _field_defaults(variants, roles, [field for field in (*roles.dimensions, *roles.indices) if field in used])
    others = chosen - rules.keys() - roles.switches.keys() - roles.lists.keys()
    listing = sorted(field for field in others if LAYER_FIELD.search(field))
    rules |= {field: index_default(variants, roles, field, lists) for field in listing}
    layers = [entry.get("layers") for part in entries.values() for entry in part]
    divisors = _divisors([*layers, *(known["default"] for known in lists.values())])
    return {
        "lists": lists,
        # A field is computed from others after them.
        "fields": dict(sorted(rules.items(), key=lambda rule: str(rule[1]).startswith("="))),
        "for_lists": listing,
        "nullable": [field for field, rule in rules.items() if field in roles.nullable or rule is None],
        "from_zero": [
            field
            for field in (*roles.indices, *listing)
            if field in rules and field not in divisors and maybe(variants.shapes, {**roles.base, field: 0}) is not None
        ],
        "switches": {field: _switch_default(variants, roles, field) for field in roles.switches if field in used | chosen},
        "fixed": roles.fixed,
    }


def _switch_default(variants: Variants, roles: Roles, field: str) -> bool:
    return bool(variants.fields(_without(roles.base, field)).get(field))


def _without(raw: Config, left: str) -> Config:
    return {field: one for field, one in raw.items() if field != left}


def _divisors(rules: Any) -> set[str]:
    """The fields by which layer numbers are divided, in rules however nested."""
    if not isinstance(rules, list):
        return set()
    own = {rules[1]} if rules[:1] == ["every"] else set()
    return own.union(*map(_divisors, rules))


def _field_defaults(variants: Variants, roles: Roles, fields: list[str]) -> dict[str, Any]:
    pick = variants.random
    samples = [
        {**roles.base, **{field: pick.choice((roles.base[field], roles.others[field])) for field in roles.dimensions}}
        for _ in range(SAMPLES)
    ]
    rules: dict[str, Any] = dict.fromkeys(REQUIRED, "required")
    for field in fields:
        if field not in rules:
            left = [_without(variants.tie(_without(sample, field)), field) for sample in samples]
            made = [(raw, maybe(variants.fields, raw)) for raw in left]
            found = [(raw, known.get(field)) for raw, known in made if known is not None]
            rules[field] = _field_default(variants, roles, field, found, fields)
    return rules


def _field_default(variants: Variants, roles: Roles, field: str, left: Left, fields: Iterable[str]) -> Any:
    """A default as ``guide.calculator.shapes.default_of`` reads it."""
    found = [one for _, one in left]
    if not found:
        return "required"
    if all(one is None for one in found) and field in roles.shaping and field not in roles.nullable:
        return _filled_in(variants, field, left)
    if all(one == found[0] for one in found) and (found[0] is None or type(found[0]) is int):
        return found[0]
    for other in fields:
        if all(one == raw.get(other) for raw, one in left):
            return f"={other}"
    for above, below in itertools.permutations(fields, 2):
        if all(raw.get(above) and raw.get(below) and one == raw[above] // raw[below] for raw, one in left):
            return f"={above}/{below}"
    raise Refused(f"the default of {field} follows from no other field")


def _filled_in(variants: Variants, field: str, left: Left) -> str:
    """A default that the configuration leaves open and the model fills in: seen in the shapes alone."""
    for rule in ("=hidden_size/num_attention_heads", "=num_attention_heads", "=num_key_value_heads", "=intermediate_size"):
        if all(variants.shapes({**raw, field: default_of(rule, raw)}) == variants.shapes(raw) for raw, _ in left):
            return rule
    raise Refused(f"the default of {field} follows from no other field")
