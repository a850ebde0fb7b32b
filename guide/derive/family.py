"""Derive one family, from public configs of its architecture: its entries, and what a field that is absent becomes."""

import itertools
import json
import re
from collections.abc import Callable
from typing import Any

from guide.calculator.shapes import REQUIRED, Config, default_of
from guide.derive import Refused, maybe
from guide.derive.entries import Entries
from guide.derive.fields import Variants, find_roles
from guide.derive.peaks import fields_of, measured, peaks_of
from guide.derive.rules import LAYER_FIELD, Observed, candidate_rules, fitting_rule
from guide.derive.verify import verify

FIELD_SAMPLES = 8  # variants from which a field is left out
LIST_SAMPLES = 12  # variants without a list by layer
# What a model takes for a field that its configuration leaves open.
FILLED = ("=hidden_size/num_attention_heads", "=num_attention_heads", "=num_key_value_heads", "=intermediate_size",
          "=4*hidden_size")  # fmt: skip
WORD = re.compile(r"[A-Za-z_]\w*")
MOST = 96  # the largest default of a field that a list is made of

Made = list[tuple[Config, Any]]  # configs without a field or list, and what the configuration has in its place


def family_or_reason(ask: Callable[[str], Any], model_type: str, examples: list[Config]) -> dict[str, Any] | str:
    """The family of an architecture, verified, or why it is refused; ``ask`` is ``observe.Built``, which needs torch."""
    try:
        variants = Variants(ask(model_type), examples)
        find_roles(variants)
        family = describe(variants)
        verify(variants, family)
        _add_peaks(variants, family)
    except Refused as error:
        return str(error)
    return family


def describe(variants: Variants) -> dict[str, Any]:
    """The family as ``guide.calculator.shapes`` reads it."""
    entries, base, architecture = Entries(variants), variants.base, variants.architecture
    found = {"tensors": entries.tensors(), "cache": entries.cache()}
    used = set(WORD.findall(json.dumps(found)))
    lists = {field: _list_default(variants, field) for field in variants.lists if field in used}
    made_of = json.dumps([known["default"] for known in lists.values()])
    chosen = set(WORD.findall(made_of))
    rules = _field_defaults(variants, [field for field in (*variants.dimensions, *variants.indices) if field in used])
    others = chosen - rules.keys() - variants.switches.keys() - variants.lists.keys()
    listing = sorted(field for field in others if LAYER_FIELD.search(field))
    rules |= {field: _index_default(variants, field) for field in listing}
    divisors = re.findall(r'"every", "(\w+)"', json.dumps(found) + made_of)
    can_be_zero = [field for field in (*variants.indices, *listing) if field in rules and field not in divisors]
    switches = {field: bool(variants.fields(_without(base, field)).get(field)) for field in variants.switches
                if field in used | chosen}  # fmt: skip
    fields = {*rules, *lists, *switches, *variants.fixed, *variants.making}
    normal = maybe(variants.fields, {}) or {}
    given = [field for field, known in variants.fixed.items() if normal.get(field, known[0]) not in known]
    return {
        "class": architecture.class_name(variants.tie(base)),
        "classes": sorted({name for example in variants.examples for name in example.get("architectures") or []}),
        "names": {other: field for other, field in variants.names.items() if field in fields},
        "own": {own: field for field, own in architecture.own.items() if field in fields},
        "limit": architecture.limit(),
        **({"moved": moved} if (moved := architecture.moved()) else {}),
        **found,
        "lists": lists,
        # A field is computed from others after them.
        "fields": dict(sorted(rules.items(), key=lambda rule: str(rule[1]).startswith("="))),
        "for_lists": listing + [field for field in variants.making if field not in rules],
        "nulls": _nulls(variants, {field: rule for field, rule in rules.items() if field not in chosen}, switches),
        "from_zero": [field for field in can_be_zero if maybe(variants.shapes, {**base, field: 0}) is not None],
        "switches": switches,
        "fixed": variants.fixed | {field: seen for field, seen in variants.making.items() if field not in rules},
        **({"given": given} if given else {}),  # of these, those that must be there, as the class has another value
    }


def _add_peaks(variants: Variants, family: dict[str, Any]) -> None:
    """What its models hold while they generate, with the fields that this depends on; without it where that is refused.

    ``measured`` is what was measured of them, for a test.
    """
    fields, nulls = dict(family["fields"]), dict(family["nulls"])
    try:
        family["peaks"] = peaks_of(variants, family, variants.architecture.trace)
        known = {*fields, *family["switches"], *family["lists"]}
        rules = _field_defaults(variants, [field for field in fields_of(family["peaks"]) if field not in known])
        family["fields"] = {**fields, **{field: rule for field, rule in rules.items() if field not in fields}}
        family["nulls"] = nulls | {field: None for field, rule in rules.items() if rule is None}
        family["measured"] = measured(variants, family, variants.architecture.trace)
    except Refused as error:
        family.pop("peaks", None)
        family |= {"fields": fields, "nulls": nulls}
        print(f"{variants.architecture.model_type}: no peaks, {error}", flush=True)


def _without(raw: Config, left: str) -> Config:
    return {field: one for field, one in raw.items() if field != left}


def _samples(variants: Variants) -> list[Config]:
    pairs = {field: (variants.base[field], variants.others[field]) for field in variants.dimensions}
    changed = [{field: variants.random.choice(pair) for field, pair in pairs.items()} for _ in range(FIELD_SAMPLES)]
    return [{**variants.base, **one} for one in changed]


def _field_defaults(variants: Variants, fields: list[str]) -> dict[str, Any]:
    samples = _samples(variants)
    bare = maybe(variants.fields, {}) or {}
    rules: dict[str, Any] = {field: bare.get(field) or "required" for field in REQUIRED}
    for field in fields:
        if field not in rules:
            rules[field] = _field_default(variants, field, _made_without(variants, field, samples), fields)
    return rules


def _made_without(variants: Variants, field: str, samples: list[Config], given: Config | None = None) -> Made:
    """What the configuration has for a field that is left out of the samples, or has instead what is ``given``."""
    wide = [_without(variants.wide(sample), field) for sample in samples]
    left = [{**_without(variants.tie(sample), field), **(given or {})} for sample in wide]
    found = [(raw, maybe(variants.fields, raw)) for raw in left]
    return [(raw, known.get(field)) for raw, known in found if known is not None]


def _nulls(variants: Variants, rules: dict[str, Any], switches: dict[str, bool]) -> dict[str, Any]:
    """What an explicit null becomes, by field; those that Transformers does not take null for are left out."""
    nulls: dict[str, Any] = {}
    fields = [field for field in rules if field not in REQUIRED and field not in variants.tied]
    for field in fields:
        made = _made_without(variants, field, _samples(variants), {field: None})
        stays = made and all(one is None for _, one in made) and field not in variants.shaping
        if field in variants.nullable or (stays and maybe(variants.shapes, {**variants.base, field: None}) is not None):
            nulls[field] = None
        elif made and not stays:
            try:
                rule = _field_default(variants, field, made, ["hidden_size", *fields])
            except Refused:  # what it becomes is not known, so it is not taken
                continue
            if rule != "required":
                nulls[field] = rule
    for field in switches:
        built = {one: maybe(variants.shapes, {**variants.base, field: one}) for one in (None, False, True)}
        for one in (True, False):
            if built[None] is not None and built[None] == built[one]:
                nulls[field] = one
    return nulls


def _field_default(variants: Variants, field: str, made: Made, fields: list[str]) -> Any:
    """A default as ``guide.calculator.shapes.default_of`` reads it."""
    if not made:
        return "required"
    first = made[0][1]
    if all(one is None for _, one in made) and field in variants.shaping and field not in variants.nullable:
        # The configuration leaves it open and the model fills it in: seen in the shapes alone.
        if all(maybe(variants.shapes, raw) is None for raw, _ in made):
            return "required"
        constant = variants.architecture.constants.get(field)
        for rule in (*FILLED, *([constant] if constant else [])):
            given = all(word in raw for raw, _ in made for word in WORD.findall(str(rule)))
            if given and all(
                variants.shapes({**raw, field: default_of(rule, raw)}) == variants.shapes(raw) for raw, _ in made
            ):
                return rule
    elif all(one == first for _, one in made) and (first is None or type(first) is int):
        return first
    else:
        for other in fields:
            if all(one == raw.get(other) for raw, one in made):
                return f"={other}"
        for above, below in itertools.permutations(fields, 2):
            if all(raw.get(above) and raw.get(below) and one == raw[above] // raw[below] for raw, one in made):
                return f"={above}/{below}"
    raise Refused(f"the default of {field} follows from no other field")


def _list_default(variants: Variants, field: str) -> dict[str, Any]:
    """``{values, default}``: the rule for the list, null where it stays away, or that it must be given; and its letters."""
    pick, normal, made = variants.random, variants.fields(variants.base), []
    others = {"max_window_layers", "full_attention_interval", "sliding_window_pattern", *variants.indices}
    others |= {other for other, one in normal.items() if LAYER_FIELD.search(other) and type(one) is int}
    for _ in range(LIST_SAMPLES):
        layers = pick.choice((7, 12, 13))
        changed: Config = {other: pick.choice((2, 3, 4, 6)) for other in sorted(others - {"num_hidden_layers"})}
        switches = {switch: pick.random() < 0.5 for switch in variants.switches}
        raw = {**variants.without_lists(), **switches, **changed, "num_hidden_layers": layers}
        known = maybe(variants.fields, raw)
        if known is not None and field in known:
            made.append((raw, known[field]))
    if made and not any(one for _, one in made):
        return {"values": variants.lists[field], "default": None}
    default = _list_rule(variants, field, made) or "required"
    spelled = {**_letters(variants, field), **_older(variants, field), **_last(variants, field)}
    return {"values": variants.lists[field], "default": default, **spelled}


def _last(variants: Variants, field: str) -> dict[str, str]:
    """The one kind that the class makes of the last layer, whatever the list says."""
    found = set()
    for kind in variants.lists[field]:
        known = maybe(variants.fields, {**variants.without_lists(), field: [kind] * 3, "num_hidden_layers": 3})
        if known is not None and known.get(field):
            found.add(known[field][-1])
    return {"last": found.pop()} if len(found) == 1 and len(variants.lists[field]) > 1 else {}


def _list_rule(variants: Variants, field: str, made: Made) -> list[Any] | None:
    """``[[rule, kind], ...]`` of a list with at most two kinds of layers, ``["numbers", rule]`` of one of layer numbers.

    None where no rule is found.
    """
    fields = {field for config, _ in made for field, one in config.items() if type(one) is int}
    rules = (
        candidate_rules(made[0][0], sorted(f for f in fields - {"num_hidden_layers"} if LAYER_FIELD.search(f))) if made else []
    )
    both = [["and", ["not", ["every", "2", "1"]], rule] for rule in rules if rule[0] == "below"]
    rules += [["and", ["set", switch], rule] for switch in variants.switches for rule in [*rules, *both]]
    if not variants.lists[field]:
        rule = fitting_rule(rules, [(config, set(one)) for config, one in made])
        return ["numbers", rule] if rule else None
    if any(not isinstance(one, list) or len(one) != config["num_hidden_layers"] for config, one in made):
        return None
    seen = list(dict.fromkeys(kind for _, one in made for kind in one))
    if len(seen) == 1:
        return [[["all"], seen[0]]]
    if len(seen) != 2:
        return None
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
        given, made = example.get(name) or "", variants.fields(_without(example, field)).get(field) or []
        kinds |= dict(zip(given, made, strict=False))
        if given and [kinds.get(letter) for letter in given] != made:
            return {}
    return {"letters": {"field": name, "kinds": kinds}}


def _older(variants: Variants, field: str) -> dict[str, Any]:
    """Names of kinds that some published configs have and for which the class takes others."""
    kinds: dict[str, str] = {}
    for example in variants.examples:
        given = example.get(field)
        if isinstance(given, list):
            pairs = zip(given, variants.fields(example).get(field) or [], strict=False)
            kinds |= {old: new for old, new in pairs if old != new and old not in variants.lists[field]}
    return {"older": kinds} if kinds else {}


def _index_default(variants: Variants, field: str) -> int:
    """The value of a field that gives the lists that the class makes without it."""
    bare = {**_without(variants.without_lists(), field), **dict.fromkeys(variants.switches, True)}
    raws = [{**bare, "num_hidden_layers": layers} for layers in (13, 40, 100)]
    made = [maybe(variants.lists_made, raw) for raw in raws]
    for given in range(1, MOST + 1):
        if None not in made and made == [maybe(variants.lists_made, {**raw, field: given}) for raw in raws]:
            return given
    raise Refused(f"the default of {field} could not be found")
