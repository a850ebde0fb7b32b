"""Compare a derived family with what Transformers builds: of variants that had no part in deriving it, and of each preset."""

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from guide.calculator import shapes
from guide.calculator.shapes import REQUIRED, Config, Family, Read
from guide.derive import LAYERS, LONG, SHORT, Refused, Seen, maybe
from guide.derive.entries import random_lists
from guide.derive.fields import Variants
from guide.project import GuideError

RANDOM_VARIANTS, RANDOM_CACHES = 18, 6
CONTEXTS, BATCHES = (1, 4096, 131072), (1, 4)  # of the test vectors

Preset = dict[str, Any]  # of the memory calculator: {id, name, model, config}; and parameters, once it was built


def verify(variants: Variants, family: Family) -> None:
    """Raise Refused where random variants, some of their fields left out, are not what the family says of them."""
    architecture = variants.architecture
    compared = compared_caches = 0
    for number in range(RANDOM_VARIANTS):
        raw = _random_variant(variants, family, leave_out=number % 2 == 0)
        built = maybe(architecture.shapes, raw)
        if built is not None and variants.keeps(raw):
            if wrong := difference(_evaluated(architecture.model_type, raw, family), built):
                raise Refused(f"a random variant is built otherwise than derived: {wrong}")
            compared += 1
    for number in range(RANDOM_CACHES):
        raw = _random_variant(variants, family, leave_out=False, lists=number % 2 == 0)
        held = maybe(lambda raw: architecture.cache(raw, thorough=True), raw)
        if held is not None and variants.keeps(raw):
            _compare_caches(_evaluated(architecture.model_type, raw, family), held)
            compared_caches += 1
    if compared < RANDOM_VARIANTS // 3 or compared_caches < RANDOM_CACHES // 3:
        raise Refused(f"only {compared} random variants could be built and {compared_caches} run")


def difference(read: Read, built: Seen) -> str:
    """The first tensor whose number is not what was built, or nothing."""
    derived: Counter[tuple[str, int, int]] = Counter()  # how many there are of each (name, rows, columns)
    there: Counter[tuple[str, int, int]] = Counter()
    for one in shapes.tensors(read["family"], read["config"]):
        derived[one["name"], one["rows"], one["columns"]] += one["count"]
    for (_, name), (_, (rows, columns, count)) in built.items():
        there[name, rows, columns] += count
    for key in {**derived, **there}:
        if derived[key] != there[key]:
            name, rows, columns = key
            return f"{name} of {rows} x {columns}: {derived[key]} derived, {there[key]} built"
    return ""


def _evaluated(model_type: str, raw: Config, family: Family) -> Read:
    """What the evaluation reads from a config that Transformers accepts."""
    try:
        return shapes.read_config(json.dumps({**raw, "model_type": model_type}), {model_type: family})
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


def _random_variant(variants: Variants, family: Family, leave_out: bool, lists: bool = True) -> Config:
    pick, base, others = variants.random, variants.base, variants.others
    raw = {field: one for field, one in variants.without_lists().items() if field != "model_type"}
    raw |= {field: base[field] + (others[field] - base[field]) * pick.choice((0, 1, 3)) for field in variants.dimensions}
    raw |= {field: pick.choice((base[field], others[field])) for field in variants.indices}
    raw |= {field: pick.random() < 0.5 for field in family["switches"]}
    nulls = family["nulls"] if leave_out else variants.nullable  # a window that is null may be built and not run
    raw |= {field: None for field in nulls if pick.random() < 0.4}
    raw = variants.tie(raw)
    layers = raw["num_hidden_layers"] = pick.choice((LAYERS, LAYERS - 3, LAYERS + 5))
    needed = [field for field, known in family["lists"].items() if known["default"] == "required"]
    given = {field: known["values"] for field, known in family["lists"].items() if lists or field in needed}
    raw |= random_lists(variants, given, layers)
    for other, field in {**family["names"], **family["own"]}.items():
        if field in variants.dimensions and pick.random() < 0.3:
            raw[other] = variants.others[field]
    if leave_out:
        kept = (*REQUIRED, *variants.tied, *needed, *family.get("given", ()))
        raw = {field: one for field, one in raw.items() if field in kept or pick.random() >= 0.3}
    return raw


def presets_of(configs: Mapping[str, Any]) -> list[Preset]:
    """A preset for each entry of sources.json, from ``configs`` by name; raises GuideError for a config without a source."""
    sources = configs["sources"]
    for name in configs:
        if name not in {"sources", *sources}:
            raise GuideError(f"models/configs/sources.json has no entry for {name}.json: say there where it was read.")
    for name in sources:
        if name not in configs:
            raise GuideError(f"models/configs/sources.json names {name}, but there is no models/configs/{name}.json: add it.")
    shown = ("name", "model")
    return [{"id": name, **{key: sources[name][key] for key in shown}, "config": configs[name]} for name in sources]


def by_architecture(presets: list[Preset], examples: Mapping[str, list[Preset]]) -> dict[str, list[Config]]:
    """The configs of language models, by model_type, sorted; an empty one where the class's defaults are the only example."""
    found: dict[str, list[Config]] = defaultdict(list)
    for preset in presets:
        raw = shapes.language_part(preset["config"])
        found[raw["model_type"]].append(raw)
    for model_type, more in examples.items():
        found[model_type] += [example["config"] for example in more]
    return {model_type: found[model_type] or [{}] for model_type in sorted(found)}


def examples_of(examples: Mapping[str, list[Preset]], families: Mapping[str, Family]) -> list[Preset]:
    """What is built in full beside the presets: the models of ``models/families.json``, else one of the class's defaults."""
    found = []
    for model_type in examples.keys() & families.keys():
        for example in examples[model_type]:
            found.append(
                {"id": f"{model_type}: {example['model']}", "config": {"model_type": model_type, **example["config"]}}
            )
        defaults = {field: families[model_type]["fields"][field] for field in REQUIRED}
        if not examples[model_type]:
            found.append({"id": f"{model_type}: defaults", "config": {"model_type": model_type, **defaults}})
    return sorted(found, key=lambda example: str(example["id"]))


def vector(preset: Preset, families: Mapping[str, Family], built: Seen, parameters: int) -> dict[str, Any]:
    """A preset's figures: parameters in all and by part, and caches; raises GuideError where they are not what was built."""
    read = shapes.read_config(json.dumps(preset["config"]), families)
    if wrong := difference(read, built):
        raise GuideError(f"{preset['id']} is built otherwise than derived: {wrong}.")
    parts: Counter[str] = Counter()
    for one in shapes.tensors(read["family"], read["config"]):
        parts[one["part"]] += one["rows"] * one["columns"] * one["count"]
    if parts.total() != parameters:
        raise GuideError(f"{preset['id']}: the parts sum to {parts.total()}, built are {parameters}.")
    use = itertools.product(CONTEXTS, BATCHES)
    caches = {f"{tokens} {batch}": shapes.cache(read["family"], read["config"], tokens, batch) for tokens, batch in use}
    return {"parameters": parameters, "parts": dict(sorted(parts.items())), "cache": caches}


def lines(value: Any, depth: int) -> str:
    """JSON with one line for each entry down to ``depth``."""
    if depth == 0 or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(key)}: {lines(one, depth - 1)}" for key, one in value.items()) + "\n}"
    return "[\n" + ",\n".join(lines(one, depth - 1) for one in value) + "\n]"
