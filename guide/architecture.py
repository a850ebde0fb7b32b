"""What a config.json says of a model's tensors and of its cache, from ``docs/assets/architectures.json``.

That file holds, for each architecture, the shapes that ``guide.architectures`` found by building it with Transformers. This
module only evaluates it, and ``docs/assets/architecture.js`` does the same on the page; ``tests/test_architecture.py`` holds
both to the same figures. Nothing here knows any architecture by name.
"""

from __future__ import annotations

import json
import math
from typing import Any

from guide.project import ROOT

FILE = ROOT / "docs" / "assets" / "architectures.json"
LARGEST = 10_000_000  # of any field; the largest in a preset is a vocabulary below 300,000
MOST_LAYERS = 10_000  # each is looked at
REQUIRED = ("hidden_size", "num_hidden_layers")


def read_architectures() -> dict[str, Any]:
    """The whole of ``architectures.json``: families, presets, and the versions they were derived with."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def value(expression: str, config: dict[str, Any]) -> int:
    """A sum of products such as ``2*num_key_value_heads*head_dim+-1``: integers and fields."""
    return sum(
        math.prod(config[factor] if factor in config else int(factor) for factor in term.split("*"))
        for term in expression.split("+")
    )


def holds(rule: list, layer: int, config: dict[str, Any]) -> bool:
    """Whether a layer (counted from 0) is one that the rule means."""
    match rule:
        case ["all"]:
            return True
        case ["is", field, wanted]:
            return config[field][layer] == wanted
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


def default_of(rule: Any, config: dict[str, Any]) -> Any:
    """A default: a constant, ``"=field"``, ``"=field/field"``, or for a list by layer ``[[rule, value], ...]``."""
    if isinstance(rule, list) and rule and isinstance(rule[0], list):
        layers = range(config["num_hidden_layers"])
        return [next(kind for when, kind in rule if holds(when, layer, config)) for layer in layers]
    if isinstance(rule, str) and rule.startswith("="):
        above, _, below = rule[1:].partition("/")
        if config[above] is None:
            return None
        return config[above] // config[below] if below else config[above]
    return rule


def _shown(given: Any) -> str:
    """A value as the page writes it."""
    return json.dumps(given, ensure_ascii=False, separators=(",", ":"))


def language_part(raw: dict[str, Any]) -> dict[str, Any]:
    """The config itself, or its text_config if it has one; tied embeddings may be told above it."""
    inner = raw.get("text_config")
    if not isinstance(inner, dict):
        return raw
    return {**{key: raw[key] for key in ["tie_word_embeddings"] if key in raw}, **inner}


def read_config(text: str, families: dict[str, Any], refused: dict[str, str] | None = None) -> dict[str, Any]:
    """``{model_type, family, config, notes}`` of a config.json, or ``{problem}``: one sentence saying what is wrong.

    ``refused`` says of some architectures why their shapes could not be derived.
    """
    try:
        raw = json.loads(text, parse_constant=int)  # raises ValueError: NaN and Infinity are no JSON
    except (ValueError, RecursionError):
        return {"problem": "This is not JSON: paste the whole of a model's config.json, from { to }."}
    if not isinstance(raw, dict):
        return {"problem": "This is JSON, but no object: paste the whole of a model's config.json, from { to }."}
    notes = []
    if "quantization_config" in raw:
        notes.append("The config has a quantization_config; sizes are computed from the shapes before quantization.")
    whole, raw = raw, language_part(raw)
    name = raw.get("model_type")
    if raw is not whole and name in families:
        notes.append(f"Only the language model (text_config, {name}) is counted, no image or audio part.")
    if not isinstance(name, str):
        return {
            "problem": "The config has no model_type, which names the architecture: paste a config.json as it is published."
        }
    if name not in families and name in (refused or {}):
        return {"problem": f"The shapes of {name} could not be derived, so there are no figures for it: {refused[name]}."}
    if name not in families:
        return {
            "problem": f"The model_type {name} is not among the {len(families)} architectures this page knows: "
            f"{', '.join(sorted(families))}."
        }
    family = families[name]
    for other, field in family["names"].items():
        if other in raw and field not in raw:
            raw = {**raw, field: raw[other]}
    missing = [field for field in REQUIRED if raw.get(field) is None]
    if missing:
        return {"problem": f"The config lacks {missing[0]}: paste a complete config.json of a {name} model."}
    for field, wanted in family["fixed"].items():
        if raw.get(field) is not None and raw[field] not in wanted:
            return {
                "problem": f"The config sets {field} to {_shown(raw[field])}; the shapes of {name} are known only for "
                f"{' and '.join(map(_shown, wanted))}."
            }
    config, defaults = {}, []
    for field, default in family["fields"].items():
        if field in family["for_lists"] and all(raw.get(one) is not None for one in family["lists"]):
            continue  # it only says what the lists by layer are, and they are given
        given = raw.get(field)
        if given is None and not (field in family["nullable"] and field in raw):
            given = default_of(default, config)
            if field not in raw:
                defaults.append(field)
            if given == "required" or (given == 0 and field not in family["from_zero"]):
                return {"problem": f"The config lacks {field} and it cannot be computed from the others: add it."}
        lowest = 0 if field in family["from_zero"] else 1
        highest = MOST_LAYERS if field == "num_hidden_layers" else LARGEST
        if isinstance(given, float) and given.is_integer():
            given = int(given)
        whole = type(given) is int and lowest <= given <= highest
        if not (given is None and field in family["nullable"]) and not whole:
            return {
                "problem": f"The config's {field} is {_shown(given)}; it must be a whole number from {lowest} to {highest}."
            }
        config[field] = given
    for field, default in family["switches"].items():
        given = raw.get(field)
        given = default if given is None else given
        if not isinstance(given, bool):
            return {"problem": f"The config's {field} is {_shown(given)}; it must be true or false."}
        config[field] = given
    for field, known in family["lists"].items():
        given = raw.get(field)
        letters = known.get("letters", {"field": "", "kinds": {}})
        if given is None and isinstance(raw.get(letters["field"]), str):
            given = [letters["kinds"].get(letter, letter) for letter in raw[letters["field"]]]
        if given is None and known["default"] == "required":
            return {"problem": f"The config lacks {field}, from which follows which layer is what: add it."}
        if given is None:
            given = default_of(known["default"], config)
        elif not isinstance(given, list) or (known["values"] and len(given) != config["num_hidden_layers"]):
            return {"problem": f"The config's {field} must be a list with one entry for each of its num_hidden_layers."}
        strange = [one for one in given or [] if known["values"] and one not in known["values"]]
        if strange:
            return {
                "problem": f"The config's {field} has {_shown(strange[0])}; known for {name} are "
                f"{', '.join(map(_shown, known['values']))}."
            }
        config[field] = given
    if defaults:
        notes.append(f"Not in the config, so Transformers' defaults: {', '.join(f'{f} = {config[f]}' for f in defaults)}.")
    return {"model_type": name, "family": family, "config": config, "notes": notes}


def _layers(rule: list, config: dict[str, Any]) -> int:
    return sum(holds(rule, layer, config) for layer in range(config["num_hidden_layers"]))


def _applies(entry: dict[str, Any], config: dict[str, Any]) -> bool:
    return all(bool(config[field]) == wanted for field, wanted in entry.get("when", {}).items())


def tensors(family: dict[str, Any], config: dict[str, Any]) -> list[dict[str, Any]]:
    """Every parameter tensor as ``{part, name, rows, columns, count}``; a tied head is not listed, as it is no tensor."""
    found = []
    for entry in family["tensors"]:
        count = _layers(entry["layers"], config) if "layers" in entry else 1
        count *= value(entry.get("count", "1"), config)
        if count and _applies(entry, config):
            rows, columns = (value(entry.get(side, "1"), config) for side in ("rows", "columns"))
            found.append({"part": entry["part"], "name": entry["name"], "rows": rows, "columns": columns, "count": count})
    return found


def parameter_count(found: list[dict[str, Any]]) -> int:
    return sum(one["rows"] * one["columns"] * one["count"] for one in found)


def cache(family: dict[str, Any], config: dict[str, Any], context: int, batch: int) -> dict[str, int]:
    """What Transformers' DynamicCache holds after ``context`` tokens of ``batch`` sequences.

    ``elements``: how many keys and values (two bytes each at 16 bits, one at 8), sliding windows applied. ``constant_bytes``:
    recurrent and convolution states, which don't grow with the context, in the data types in which a bf16 model holds them.
    """
    elements = constant = 0
    for entry in family["cache"]:
        if not _applies(entry, config):
            continue
        layers = _layers(entry["layers"], config)
        held = context
        if entry.get("window") and all(config.get(name, 0) is not None for name in entry["window"].split("+")):
            held = min(context, value(entry["window"], config))
        elements += batch * layers * held * value(entry.get("per_token", "0"), config)
        constant += batch * layers * sum(size * value(state, config) for state, size in entry.get("states", []))
    return {"elements": elements, "constant_bytes": constant}
