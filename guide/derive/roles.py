"""Which fields of an architecture do what, found by changing one at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

from guide.calculator.shapes import Config
from guide.derive.refused import Refused, maybe
from guide.derive.rules import polynomials
from guide.derive.small import DROPPED, SMALL, cycle
from guide.derive.variants import LAYERS, Seen, Variants

UNRELATED = {"use_cache", "is_encoder_decoder", "is_decoder", "add_cross_attention", "return_dict", "output_attentions",
             "output_hidden_states", "tie_encoder_decoder", "torchscript"}  # fmt: skip
LAYER_KINDS = ("full_attention", "sliding_attention")  # tried for layer_types besides those seen


@dataclasses.dataclass
class Roles:
    """What was found of the fields, and the config around which variants are made."""

    base: Config
    others: dict[str, int]  # another value of each whole number of the base
    dimensions: list[str] = dataclasses.field(default_factory=list)  # by which figures scale
    shaping: set[str] = dataclasses.field(default_factory=set)  # those of them that shapes depend on, not only the cache
    indices: list[str] = dataclasses.field(default_factory=list)  # that choose layers
    switches: dict[str, bool] = dataclasses.field(default_factory=dict)  # that change the structure, as they are in the base
    fixed: dict[str, list[Any]] = dataclasses.field(default_factory=dict)  # that must have one of these values
    nullable: list[str] = dataclasses.field(default_factory=list)
    lists: dict[str, list[Any]] = dataclasses.field(default_factory=dict)  # by layer: the kinds; none for layer numbers

    def scales(self, base: Config) -> dict[str, int]:
        """The other values of the dimensions that a variant has."""
        return {field: self.others[field] for field in self.dimensions if base.get(field) is not None}

    def flipped(self, switch: str) -> Config:
        """The base with a switch the other way, or as it is with none."""
        return {**self.base, **{field: not one for field, one in self.switches.items() if field == switch}}

    def without_lists(self) -> Config:
        """The base without its lists by layer."""
        return {field: one for field, one in self.base.items() if not isinstance(one, list)}


def find_roles(variants: Variants, base: Config, own: set[str]) -> Roles:
    """The roles of all fields that are the architecture's ``own``."""
    normal = {field: one for field, one in variants.fields(base).items() if field in own}
    given = {**normal, **base}
    whole = {field: one for field, one in given.items() if type(one) is int and field != "num_hidden_layers"}
    others = {field: SMALL[field][1] if field in SMALL else max(2 * one, one + 1) for field, one in whole.items()}
    roles = Roles({**base, **whole}, others)
    given = {**normal, **roles.base}
    _find_numbers(variants, roles)
    for field, one in given.items():
        _find_switch(variants, roles, field, one)
    _find_nullable(variants, roles)
    _find_lists(variants, roles, given)
    _find_hidden(variants, roles)
    return roles


def _both(variants: Variants, raw: Config) -> tuple[Seen | None, Seen | None]:
    """Shapes and cache, None where they are refused."""
    return maybe(variants.shapes, raw), maybe(variants.cache, raw)


def _find_numbers(variants: Variants, roles: Roles) -> None:
    """The numbers by which figures scale, and those that choose layers."""
    shapes, cache = variants.shapes(roles.base), variants.cache(roles.base)
    for field, other in roles.others.items():
        changed = {**roles.base, field: other}
        now = maybe(variants.shapes, changed)
        if now is None:
            continue
        held = maybe(variants.cache, changed) if now.keys() == shapes.keys() else None
        if now.keys() != shapes.keys() or (held is not None and held.keys() != cache.keys()):
            roles.indices.append(field)
        elif now != shapes or (held is not None and held != cache):
            roles.dimensions.append(field)
            roles.shaping |= {field} if now != shapes else set()


def _find_switch(variants: Variants, roles: Roles, field: str, one: Any) -> None:
    """A field that changes the structure and is no whole number: a switch, or one that must stay as it is."""
    shapes = variants.shapes(roles.base)
    if type(one) is bool and field not in UNRELATED:
        _find_flipped(variants, roles, field, one)
    elif type(one) is float:
        now = maybe(variants.shapes, {**roles.base, field: one * 2 or 1.0})
        if now is not None and now != shapes:
            _fix(variants, roles, field, one)
    elif isinstance(one, str) and field not in DROPPED | {"model_type"}:
        # No list of what a text may be is to be had; one that is rejected, or changes shapes, must stay as it is.
        if maybe(variants.shapes, {**roles.base, field: "gelu"}) != shapes:
            _fix(variants, roles, field, one)
    elif one is None and "bool" in variants.architecture.options.get(field, ""):
        set_true = _both(variants, {**roles.base, field: True})
        if set_true != _both(variants, roles.base):
            _fix(variants, roles, field, False)


def _find_flipped(variants: Variants, roles: Roles, field: str, one: bool) -> None:
    """A field that is true or false: what cannot be derived of its other value must stay as it is."""
    start = _both(variants, roles.base)
    changed, bare = {**roles.base, field: not one}, roles.without_lists()
    now = _both(variants, changed)
    if None in now:
        roles.fixed[field] = [one]
        return
    made, before = (_lists_made(variants, {**bare, field: value}) for value in (not one, one))
    if now == start and made == before:
        return
    try:
        for observe, found in zip((variants.shapes, variants.cache), now, strict=True):
            if found not in start:
                polynomials(observe, changed, {field: roles.others[field] for field in roles.dimensions})
        roles.switches[field] = one
    except Refused:
        roles.fixed[field] = [one]


def _lists_made(variants: Variants, raw: Config) -> Config | None:
    known = maybe(variants.fields, raw)
    return None if known is None else {field: one for field, one in known.items() if isinstance(one, list)}


def _fix(variants: Variants, roles: Roles, field: str, one: Any) -> None:
    """A field that must have one of the values seen."""
    seen = [example[field] for example in variants.examples if example.get(field) is not None]
    roles.fixed[field] = list(dict.fromkeys([one, *seen]))


def _find_nullable(variants: Variants, roles: Roles) -> None:
    """The numbers that may be null: one that shapes depend on only where null changes the structure."""
    shapes = variants.shapes(roles.base)
    for field in [*roles.dimensions, *roles.indices]:
        changed = {**roles.base, field: None}
        now, held = _both(variants, changed)
        if now is None or held is None or variants.fields(changed).get(field, "absent") is not None:
            continue
        if now.keys() != shapes.keys() or field not in roles.shaping:
            roles.nullable.append(field)


def _find_lists(variants: Variants, roles: Roles, given: Config) -> None:
    """The lists by layer, and of each the kinds that can be built; all kinds go in the base."""
    for field, one in given.items():
        if field == "mlp_only_layers":
            roles.lists[field] = []
        elif isinstance(one, list) and len(one) == LAYERS and all(isinstance(each, str | int) for each in one):
            seen = [each for example in variants.examples for each in variants.fields(example).get(field) or []]
            kinds = list(dict.fromkeys([*one, *seen, *(LAYER_KINDS if field == "layer_types" else ())]))
            roles.lists[field] = [kind for kind in kinds if kind in one or _runs_with(variants, roles, field, one, kind)]
            roles.base[field] = cycle(roles.lists[field])
    for switch in ["", *roles.switches]:
        changed = roles.flipped(switch)
        if maybe(variants.cache, changed) is not None:
            roles.base = changed
            roles.switches = {field: changed.get(field, one) for field, one in roles.switches.items()}
            return
    raise Refused("a variant with all kinds of layers does not run")


def _runs_with(variants: Variants, roles: Roles, field: str, given: list[Any], kind: Any) -> bool:
    changed = {**roles.base, field: [kind if i == 1 else each for i, each in enumerate(given)]}
    choices = [changed, *({**changed, switch: not one} for switch, one in roles.switches.items())]
    return any(None not in _both(variants, raw) for raw in choices)


def _find_hidden(variants: Variants, roles: Roles) -> None:
    """Fields that matter only where a switch is set the other way or with other kinds of layers, as a window does."""
    for field in sorted((roles.others.keys() & SMALL.keys()) - {*roles.dimensions, *roles.indices}):
        for switch in ["", *roles.switches]:
            base = roles.flipped(switch)
            before, after = _both(variants, base), _both(variants, {**base, field: roles.others[field]})
            if any(None not in pair and pair[0] != pair[1] for pair in zip(before, after, strict=True)):
                roles.dimensions.append(field)
                break
