"""Compare a derived family with what Transformers builds of variants that had no part in deriving it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from guide.calculator import shapes
from guide.calculator.shapes import REQUIRED, Config, Family, Read
from guide.derive.entries import random_lists, without_weight
from guide.derive.refused import Refused, maybe
from guide.derive.roles import Roles
from guide.derive.variants import LAYERS, LONG, SHORT, Seen, Variants
from guide.project import GuideError

RANDOM_VARIANTS, RANDOM_CACHES = 18, 6

Tensors = Counter[tuple[str, int, int]]  # how many there are of each (name, rows, columns)


def verify(variants: Variants, roles: Roles, family: Family) -> None:
    """Raise Refused where random variants, some of their fields left out, are not what the family says of them."""
    architecture, families = variants.architecture, {variants.architecture.model_type: family}
    compared = compared_caches = 0
    for number in range(RANDOM_VARIANTS):
        raw = _random_variant(variants, roles, family, leave_out=number % 2 == 0)
        built = maybe(architecture.shapes, raw)
        if built is not None:
            wrong = difference(_evaluated(architecture.model_type, raw, families), built)
            if wrong:
                raise Refused(f"a random variant is built otherwise than derived: {wrong}")
            compared += 1
    for number in range(RANDOM_CACHES):
        raw = _random_variant(variants, roles, family, leave_out=False, lists=number % 2 == 0)
        held = maybe(lambda raw: architecture.cache(raw, thorough=True), raw)
        if held is not None:
            _compare_caches(_evaluated(architecture.model_type, raw, families), held)
            compared_caches += 1
    if compared < RANDOM_VARIANTS // 3 or compared_caches < RANDOM_CACHES // 3:
        raise Refused(f"only {compared} random variants could be built and {compared_caches} run")


def difference(read: Read, built: Seen) -> str:
    """The first tensor whose number is not what was built, or nothing."""
    derived, there = Tensors(), _tensors_of(built)
    for one in shapes.tensors(read["family"], read["config"]):
        derived[one["name"], one["rows"], one["columns"]] += one["count"]
    for key in {**derived, **there}:
        if derived[key] != there[key]:
            name, rows, columns = key
            return f"{name} of {rows} x {columns}: {derived[key]} derived, {there[key]} built"
    return ""


def _tensors_of(built: Seen) -> Tensors:
    """The tensors of a built model, in the terms of ``shapes.tensors``."""
    found = Tensors()
    for (_, name), (part, (*sides, count)) in built.items():
        if part in ("experts", "bias of experts"):
            count, *sides = count * sides[0], *sides[1:]
        rows, columns = (*sides, 1, 1)[:2]
        found[without_weight(name), rows, columns] += count
    return found


def _evaluated(model_type: str, raw: Config, families: Mapping[str, Family]) -> Read:
    """What the evaluation reads from a config that Transformers accepts."""
    try:
        return shapes.read_config(json.dumps({**raw, "model_type": model_type}), families)
    except GuideError as error:
        raise Refused(f"Transformers builds a config that the evaluation refuses: {error}") from error


def _compare_caches(read: Read, held: Seen) -> None:
    for tokens in (SHORT, LONG):
        elements = constant = 0
        for (_, what), (_, (per_token, window, *states)) in held.items():
            elements += per_token * (min(tokens, window) if window else tokens)
            constant += sum(number * int(size) for number, size in zip(states, what.split()[1:], strict=True))
        derived = shapes.cache(read["family"], read["config"], tokens, 1)
        if derived != {"elements": elements, "constant_bytes": constant}:
            raise Refused(f"the cache of a random variant holds {elements} and {constant}, derived {derived}")


def _random_variant(variants: Variants, roles: Roles, family: Family, leave_out: bool, lists: bool = True) -> Config:
    pick = variants.random
    raw = {field: one for field, one in roles.without_lists().items() if field != "model_type"}
    for field in roles.dimensions:
        step = roles.others[field] - roles.base[field]
        raw[field] = roles.base[field] + step * pick.choice((0, 1, 3))
    raw |= {field: pick.choice((roles.base[field], roles.others[field])) for field in roles.indices}
    raw |= {field: pick.random() < 0.5 for field in family["switches"]}
    raw |= {field: None for field in family["nullable"] if pick.random() < 0.4}
    raw = variants.tie(raw)
    layers = raw["num_hidden_layers"] = pick.choice((LAYERS, LAYERS - 3, LAYERS + 5))
    if lists:
        raw |= random_lists(variants, {field: known["values"] for field, known in family["lists"].items()}, layers)
    if leave_out:
        kept = (*REQUIRED, *variants.tied)
        raw = {field: one for field, one in raw.items() if field in kept or pick.random() >= 0.3}
    return raw
