"""Derive one family, from public configs of its architecture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from guide.calculator.shapes import Config
from guide.derive.defaults import defaults
from guide.derive.entries import Entries
from guide.derive.refused import Refused
from guide.derive.roles import Roles, find_roles
from guide.derive.small import small_variant
from guide.derive.variants import Architecture, Variants
from guide.derive.verify import verify


def family_or_reason(ask: Callable[[str], Architecture], model_type: str, examples: list[Config]) -> dict[str, Any] | str:
    """The family of an architecture, verified, or why it is refused."""
    try:
        variants = Variants(ask(model_type), examples)
        roles = find_roles(variants, *small_variant(variants))
        family = describe(variants, roles)
        verify(variants, roles, family)
    except Refused as error:
        return str(error)
    return family


def describe(variants: Variants, roles: Roles) -> dict[str, Any]:
    """The family as ``guide.calculator.shapes`` reads it."""
    found = Entries(variants, roles)
    entries = {"tensors": found.tensors(), "cache": found.cache()}
    absent = defaults(variants, roles, entries)
    known = {**absent["fields"], **absent["lists"]}
    return {
        "class": variants.architecture.class_name(variants.tie(roles.base)),
        "names": {other: field for other, field in variants.architecture.names.items() if field in known},
        **entries,
        **absent,
    }
