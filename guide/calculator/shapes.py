"""What a config.json says of a model's tensors and of its cache, by the families of ``docs/assets/architectures.json``.

``guide.derive`` found the shapes of each family by building it with Transformers. This module only evaluates them, as does
``docs/assets/architecture.js`` on the page; tests hold both to the same figures and sentences. Nothing here knows a family.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from guide.calculator.pasted import parsed
from guide.project import GuideError

LARGEST = 10_000_000  # of any field; the largest in a preset is a vocabulary below 300,000
MOST_LAYERS = 10_000  # each is looked at
FILL = 64  # tokens at a time that recurrent layers work on: ``chunk_size`` in Transformers' torch_chunk_gated_delta_rule
REQUIRED = ("hidden_size", "num_hidden_layers")
TIED = "tie_word_embeddings"
LONGEST = 80  # characters of a value that is shown
# Fields of every architecture whose other values are not known.
ALWAYS: dict[str, list[Any]] = {"per_layer_config": [None], "add_cross_attention": [False]}
INSIDE = ("text_config", "llm_config", "language_config")  # where the language model of a larger one stands
OTHERWISE = "choose the model of the list that is nearest to it, or give the selector its number of parameters"

HEADS = ("num_attention_heads", "num_key_value_heads")
PER_LAYER = "hidden_size_per_layer_input"
MASK = "use_bidirectional_attention"  # which changes what is seen, and no shape
UNKNOWN = f"the shapes of such a model are not known here: {OTHERWISE}"

Config = dict[str, Any]  # values by field
Rule = list[Any]  # which layers are meant: a word and its arguments, see ``holds``
Family = Mapping[str, Any]  # an entry of the file's ``families``
Tensor = dict[str, Any]  # {part, name, rows, columns, count}: outputs × inputs of a layer, and how many like it there are
Read = dict[str, Any]  # {model_type, family, config, notes}: fields that the family's shapes ask for, what to know of them


def value(expression: str, config: Config) -> int:
    """A sum of products such as ``2*num_key_value_heads*head_dim+-1``: integers, fields, and quotients of two fields."""
    return sum(math.prod(_factor(factor, config) for factor in term.split("*")) for term in expression.split("+"))


def _factor(name: str, config: Config) -> int:
    above, _, below = name.partition("/")
    if below:
        return int(config[above] // config[below])
    return int(config.get(name, name))


def holds(rule: Rule, layer: int, config: Config) -> bool:
    """Whether a layer (counted from 0) is one that the rule means."""
    match rule:
        case ["all"]:
            return True
        case ["is", field, wanted]:
            return bool(config[field][layer] == wanted)
        case ["in", field]:
            return layer in (config[field] or [])
        case ["below", field]:
            return layer < value(field, config)
        case ["every", step, remainder]:
            return layer % value(step, config) == value(remainder, config)
        case ["set", field]:
            return bool(config[field])
        case ["not", inner]:
            return not holds(inner, layer, config)
        case ["and", *inner]:
            return all(holds(one, layer, config) for one in inner)
    raise ValueError(f"unknown rule {rule}")


def default_of(rule: Any, config: Config) -> Any:
    """A default: a constant, ``"=4*field"``, ``"=field/field"``, or for a list by layer ``[[rule, value], ...]``; for one of
    layer numbers ``["numbers", rule]``."""
    if isinstance(rule, list) and rule and isinstance(rule[0], list):
        layers = range(config["num_hidden_layers"])
        return [next(kind for when, kind in rule if holds(when, layer, config)) for layer in layers]
    if isinstance(rule, list) and rule and rule[0] == "numbers":
        return [layer for layer in range(config["num_hidden_layers"]) if holds(rule[1], layer, config)]
    if isinstance(rule, str) and rule.startswith("="):
        return None if config.get(rule[1:].partition("/")[0], 0) is None else value(rule[1:], config)
    return rule


def read_config(
    text: str,
    families: Mapping[str, Family],
    refused: Mapping[str, str] | None = None,
    inner: Mapping[str, Any] | None = None,
) -> Read:
    """What a config.json's text says; raises GuideError with one sentence for its reader.

    ``refused`` says of some architectures why their shapes could not be derived, ``inner`` of models which of them is their
    language model; see ``language_part``.
    """
    whole = parsed(text)
    part = language_part(whole, inner)
    name, family = _family_of(part.get("model_type"), part is not whole, families, refused or {})
    _check_class(whole, part is not whole, name, family)
    if untied := _ties_both(whole, part, family):
        part[TIED] = False
    raw = _moved(_renamed(part, name, family), family)
    _check(raw, part is not whole, name, family, (inner or {}).get(str(whole.get("model_type")), {}).get("sets", {}))
    switches = {field: _switch_of(field, raw, name, family) for field in family["switches"]}
    used = _used(family, switches)
    config: Config = {}
    # Some fields only say what the lists by layer are, and don't matter where those are given.
    unused = family["for_lists"] if _has_lists(raw, family) else ()
    for field in family["fields"]:
        if field not in unused:
            needed = field in used or raw.get(field) is not None
            config[field] = _number_of(field, raw, name, family, config) if needed else None
    told = {field: one for field, one in config.items() if field not in raw and field in used}
    defaults = ", ".join(f"{field} = {_shown(one)}" for field, one in told.items())
    config |= switches
    for field in family["lists"]:
        config[field] = _list_of(field, raw, name, family, config)
    notes = []
    if isinstance(whole.get("quantization_config"), dict):
        notes.append("Shapes are those of the model before its quantization_config; sizes are those of the chosen variant.")
    if part is not whole and not whole.keys().isdisjoint((*INSIDE, "vision_config", "audio_config")):
        where = f"{_where(whole)}, " if _where(whole) in whole else ""
        notes.append(f"Only the language model ({where}{name}) is counted, no image or audio part.")
    heads, keys = (config.get(field) for field in HEADS)
    if heads and keys and heads % keys:
        notes.append(f"No such model runs: {HEADS[0]}, {heads}, is no multiple of {HEADS[1]}, {keys}.")
    if untied:
        notes.append("An output head is counted; a checkpoint without lm_head has none, and takes that much less.")
    if defaults:
        notes.append(f"Not in the config, so Transformers' defaults: {defaults}.")
    return {"model_type": name, "family": family, "config": config, "notes": notes}


def language_part(raw: Config, inner: Mapping[str, Any] | None = None) -> Config:
    """The config itself, or that of its language model, which stands in text_config or, in some, beside the rest.

    ``inner`` has by model_type ``type``, that of the language model; ``any`` where text_config may name another; ``flat``
    where there may be no text_config; and ``tied``, whether embeddings are tied: T or F for each pair of what is said above
    and in text_config, nothing, true or false.
    """
    kind = (inner or {}).get(str(raw.get("model_type")), {})
    part = raw.get(_where(raw))
    if not isinstance(part, dict):
        if kind and not kind.get("flat"):
            raise GuideError("The config lacks text_config, where the language model stands: paste the whole config.json.")
        if not kind:
            return raw
        part = {field: one for field, one in raw.items() if field != TIED}
    found = {**part, "model_type": kind["type"]} if kind and not (kind.get("any") and "model_type" in part) else dict(part)
    if own := (inner or {}).get(str(found.get("model_type"))):
        found["model_type"] = own["type"]
    above, within = raw.get(TIED), part.get(TIED)
    if kind.get("tied"):
        said = [next((place for place, one in enumerate((None, True, False)) if one is told), -9) for told in (above, within)]
        if min(said) >= 0:
            found[TIED] = kind["tied"][3 * said[0] + said[1]] == "T"
    elif TIED in raw:
        found.setdefault(TIED, above)
    return found


def _where(raw: Config) -> str:
    return next((field for field in INSIDE if isinstance(raw.get(field), dict)), "text_config")


def _ties_both(whole: Config, part: Config, family: Family) -> bool:
    """Whether the class of the whole ties the output head where the config leaves that open, but the language model's doesn't.

    A checkpoint that has both tensors is loaded with both, as ``modeling_utils.tie_weights`` of Transformers 5.23.0 does.
    """
    inside = whole.get("text_config")
    if not isinstance(inside, dict) or whole.get(TIED) is not None or not part.get(TIED):
        return False
    own = inside.get(TIED)
    return not (family["switches"].get(TIED) if own is None else own)


def _family_of(name: Any, within: bool, families: Mapping[str, Family], refused: Mapping[str, str]) -> tuple[str, Family]:
    if not isinstance(name, str):
        if within:
            raise GuideError("The config's text_config has no model_type: add there the model_type of the language model.")
        raise GuideError("The config has no model_type, which names the architecture: paste a config.json as it is published.")
    if name in families:
        return name, families[name]
    if name in refused:
        raise GuideError(f"The shapes of {name} are not known here: {OTHERWISE}.")
    raise GuideError(f"The model_type {name} is not among the {len(families)} architectures this page knows: {OTHERWISE}.")


def _check_class(whole: Config, within: bool, name: str, family: Family) -> None:
    """Raise where the weights are another class's than the one that is counted, such as a draft head's or a classifier's."""
    inside = whole.get(_where(whole), {}) if within and _where(whole) != "text_config" else {}
    given = inside.get("architectures") or whole.get("architectures")
    given = [given] if isinstance(given, str) else given
    classes = [one for one in given if isinstance(one, str)] if isinstance(given, list) else []
    if within:
        fine = any(one.endswith(("ForConditionalGeneration", "ForCausalLM")) for one in classes)
    else:
        known = {one.lower() for one in (family["class"], *family["classes"])}
        fine = any(one.lower() in known for one in classes)
    if classes and not fine:
        counted = "a language model" if within else family["class"]
        raise GuideError(
            f"The config is of a {classes[0]}; what is counted for {name} is {counted}: put that name in its architectures "
            "if it is what you load."
        )


def _renamed(part: Config, name: str, family: Family) -> Config:
    """The config under the names that the family knows its fields by."""
    raw = dict(part)
    for own, field in family["own"].items():
        if own in raw:
            raw.setdefault(field, raw[own])
    for other, field in family["names"].items():  # as in Transformers, these win
        if other in raw and raw[other] is None:
            raise GuideError(f"The config sets {other} to null, which a {name} model can't have: give its number.")
        if other in raw:
            raw[field] = raw[other]
    if raw.get("num_hidden_layers") is None:
        for field, known in family["lists"].items():
            listed = raw.get(field) or raw.get(known.get("letters", {}).get("field", ""))
            if known["default"] == "required" and isinstance(listed, list | str):
                raw["num_hidden_layers"] = len(listed)
    return raw


def _moved(raw: Config, family: Family) -> Config:
    """The config with those fields of its own that Transformers saves by layer, for each layer of a kind alike."""
    by_layer, moved = raw.get("per_layer_config"), family.get("moved")
    kinds = raw.get("layer_types")
    if not moved or not isinstance(by_layer, dict) or not isinstance(kinds, list) or not by_layer:
        return raw
    layers = {str(layer) for layer, kind in enumerate(kinds) if kind == moved["of"]}
    first, *others = by_layer.values()
    names = {name: field for field, name in moved["fields"].items()}
    numbered = [layer.lstrip("0") or "0" for layer in by_layer]
    alike = isinstance(first, dict) and all(one == first for one in others) and names.keys() >= first.keys()
    if not alike or set(numbered) != layers or len(numbered) != len(layers):
        return raw
    kept = {field: one for field, one in raw.items() if field != "per_layer_config"}
    return kept | {names[name]: one for name, one in first.items()}


def _has_lists(raw: Config, family: Family) -> bool:
    return all(raw.get(field) is not None for field in family["lists"])


def _check(raw: Config, within: bool, name: str, family: Family, sets: Config) -> None:
    """Raise where the config is incomplete, or of a kind whose shapes are not known; ``sets`` is what the whole tells it."""
    for field in REQUIRED:
        if raw.get(field) is None and not (within and field not in raw):
            own = next((own for own, standard in family["own"].items() if standard == field), field)
            raise GuideError(f"The config lacks {own}: paste a complete config.json of a {name} model.")
    for field in family.get("given", ()):
        if raw.get(field) is None and field != MASK:
            known = " and ".join(map(_shown, family["fixed"][field]))
            raise GuideError(f"The config lacks {field}; the shapes of {name} are known only for {known}: {OTHERWISE}.")
    unused = family["for_lists"] if _has_lists(raw, family) else ()
    for field, wanted in {**ALWAYS, **family["fixed"]}.items():
        given = _shown(raw.get(field))
        told = within and field in sets and given == _shown(sets[field])
        if given != "null" and not told and field not in unused and given not in map(_shown, wanted):
            if field == PER_LAYER:
                raise GuideError(f"The config has embeddings of each layer ({field} is {given[:LONGEST]}): {UNKNOWN}.")
            known = " and ".join(map(_shown, wanted))
            raise GuideError(
                f"The config sets {field} to {given[:LONGEST]}; the shapes of {name} are known only for {known}: {OTHERWISE}."
            )


def _number_of(field: str, raw: Config, name: str, family: Family, config: Config) -> int | None:
    """The field's number from the config, else Transformers' default; None only for a field that may be null."""
    lowest = 0 if field in family["from_zero"] else 1
    given = raw.get(field)
    if (
        not isinstance(given, bool)
        and given == 0
        and family["switches"].get(f"use_{field}") is not None
        and not raw.get(f"use_{field}")
    ):
        given, raw = None, {**raw, field: None}  # as a config without it is saved
    if given is None:
        if field in raw and field not in family["nulls"]:
            raise GuideError(f"The config sets {field} to null, which a {name} model can't have: give its number.")
        given = default_of(family["nulls" if field in raw else "fields"][field], config)
        if given == "required" or (given == 0 and lowest == 1):
            raise GuideError(f"The config lacks {field} and it cannot be computed from the others: add it.")
        if given is None:
            return None
    highest = MOST_LAYERS if field == "num_hidden_layers" else LARGEST
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if type(given) is not int or not lowest <= given <= highest:
        raise GuideError(f"The config's {field} is {_shown(given)}; it must be a whole number from {lowest} to {highest}.")
    return given


def _used(family: Family, switches: Config) -> set[str]:
    """The words of all that a model with these switches has: a field that is not among them may be left out."""
    there = [one for one in (*family["tensors"], *family["cache"]) if applies(one, switches)]
    rules = [*family["fields"].values(), *family["nulls"].values()]
    return {*REQUIRED, *re.findall(r"\w+", json.dumps([*there, family["lists"], rules]))}


def _switch_of(field: str, raw: Config, name: str, family: Family) -> bool:
    given = raw.get(field, family["switches"][field])
    if given is None and field not in family["nulls"]:
        raise GuideError(f"The config sets {field} to null, which a {name} model can't have: make it true or false.")
    if given is None:
        given = family["nulls"][field]
    if not isinstance(given, bool):
        raise GuideError(f"The config's {field} is {_shown(given)}; it must be true or false.")
    return given


def _list_of(field: str, raw: Config, name: str, family: Family, config: Config) -> Any:
    """A list by layer, which some configs write as letters."""
    known, given = family["lists"][field], raw.get(field)
    letters = known.get("letters", {"field": "", "kinds": {}})
    if given is None and isinstance(raw.get(letters["field"]), str):
        given = [letters["kinds"].get(letter, letter) for letter in raw[letters["field"]]]
    if given is None and known["default"] == "required":
        raise GuideError(f"The config lacks {field}, from which follows which layer is what: add it.")
    if given is None:
        given = default_of(known["default"], config)
    elif not isinstance(given, list) or (known["values"] and len(given) != config["num_hidden_layers"]):
        raise GuideError(f"The config's {field} must be a list with one entry for each of its num_hidden_layers.")
    if known.get("older"):
        given = [known["older"].get(one, one) if isinstance(one, str) else one for one in given]
    if known.get("last") and given and known["values"]:
        given = [*given[:-1], known["last"]]
    strange = [one for one in given or [] if known["values"] and one not in known["values"]]
    if strange:
        values = ", ".join(map(_shown, known["values"]))
        raise GuideError(f"The config's {field} has {_shown(strange[0])}; known for {name} are {values}.")
    return given


def _shown(given: Any) -> str:
    """A value as the page writes it."""
    return json.dumps(given, ensure_ascii=False, separators=(",", ":"))


def tensors(family: Family, config: Config) -> list[Tensor]:
    """Every parameter tensor as ``{part, name, rows, columns, count}``; a tied head is not listed, as it is no tensor."""
    found = []
    for entry in family["tensors"]:
        layers = _layers(entry, config)
        count = layers and layers * value(entry.get("count", "1"), config)
        if count:
            rows, columns = (value(entry.get(side, "1"), config) for side in ("rows", "columns"))
            found.append({"part": entry["part"], "name": entry["name"], "rows": rows, "columns": columns, "count": count})
    return found


def parameter_count(found: list[Tensor]) -> int:
    """The parameters of all these tensors."""
    return sum(one["rows"] * one["columns"] * one["count"] for one in found)


def cache(family: Family, config: Config, context: int, batch: int, passed: int = 0) -> dict[str, int]:
    """What Transformers' DynamicCache holds after ``context`` tokens of ``batch`` sequences.

    ``elements``: how many keys and values (two bytes each at 16 bits, one at 8), sliding windows applied. ``constant_bytes``:
    recurrent and convolution states, which don't grow with the context, in the data types in which a bf16 model holds them.
    ``passed`` is how many of the tokens went in with the last pass: until the next, a sliding window's layer holds all of them
    behind a view of the last.
    """
    elements = constant = 0
    for entry in family["cache"]:
        if layers := _layers(entry, config):
            held = min(context, window + passed) if (window := _window(entry, config)) else context
            elements += batch * layers * held * value(entry.get("per_token", "0"), config)
            constant += batch * layers * sum(size * value(state, config) for state, size in entry.get("states", []))
    return {"elements": elements, "constant_bytes": constant}


def _window(entry: Mapping[str, Any], config: Config) -> int | None:
    """The tokens that layers with an entry of the cache hold at most; None without such a bound."""
    if entry.get("window") and all(config.get(name, 0) is not None for name in entry["window"].split("+")):
        return value(entry["window"], config)
    return None


def windows(family: Family, config: Config) -> list[int]:
    """The bound of each part of the cache that has one."""
    found = [_window(entry, config) for entry in family["cache"] if _layers(entry, config)]
    return [one for one in found if one]


def passing(family: Family, config: Config, tokens: int, context: int, batch: int) -> Config:
    """The numbers of a config, 0 for null, and those of a pass.

    The pass takes ``tokens`` of each of ``batch`` sequences, of which there are ``context`` with it and ``past`` without;
    where a sliding window is at work it looks at ``window`` of them, and recurrent layers fill the tokens up to ``filled``.
    """
    window = min(context, max(windows(family, config), default=0) + tokens)
    use = {"tokens": tokens, "context": context, "past": context - tokens, "batch": batch, "window": window}
    use["filled"] = FILL * math.ceil(tokens / FILL)
    return {field: one or 0 for field, one in config.items()} | use


def peak(family: Family, config: Config, tokens: int, context: int, batch: int) -> int | None:
    """The most bytes that a pass holds beside weights and cache, see ``guide.derive.peaks``; None where they are not known."""
    if "peaks" not in family:
        return None
    known = passing(family, config, tokens, context, batch)
    at_work = any(context > window + 1 for window in windows(family, config))
    kind, peaks = "windowed" if at_work else "plain", family["peaks"]
    moments = peaks.get(f"{kind} several", peaks[kind]) if batch > 1 else peaks[kind]
    call = "step" if tokens == 1 else "pass" if tokens == context else "chunk"
    return max(value(one, known) for one in moments[call])


def _layers(entry: Mapping[str, Any], config: Config) -> int:
    """How many layers have an entry, 1 for one outside of all; none where a switch is not as it must be."""
    if not applies(entry, config):
        return 0
    rule = entry.get("layers")
    return sum(holds(rule, layer, config) for layer in range(config["num_hidden_layers"])) if rule else 1


def applies(entry: Mapping[str, Any], config: Config) -> bool:
    """Whether the fields of a config that an entry depends on are set, or not, as it must be."""
    return all(bool(config[field]) == wanted for field, wanted in entry.get("when", {}).items() if field in config)
