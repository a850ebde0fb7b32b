"""The presets of the memory calculator: public configs, and the figures of each that the tests hold the page to."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from guide.calculator import shapes
from guide.calculator.shapes import Config, Family
from guide.derive.variants import Seen
from guide.derive.verify import difference
from guide.project import GuideError

CONTEXTS, BATCHES = (1, 4096, 131072), (1, 4)  # of the test vectors

Preset = dict[str, Any]  # {id, name, model, source, config}; and parameters, once it was built


def presets_of(configs: Mapping[str, Any]) -> list[Preset]:
    """A preset for each entry of sources.json, from ``configs`` by name; raises GuideError for a config without a source."""
    sources = configs["sources"]
    for name in configs:
        if name not in {"sources", *sources}:
            raise GuideError(f"models/configs/sources.json has no entry for {name}.json: say there where it was read.")
    for name in sources:
        if name not in configs:
            raise GuideError(f"models/configs/sources.json names {name}, but there is no models/configs/{name}.json: add it.")
    return [
        {"id": name, **{key: source[key] for key in ("name", "model", "source")}, "config": configs[name]}
        for name, source in sources.items()
    ]


def by_architecture(presets: list[Preset]) -> dict[str, list[Config]]:
    """The configs of language models, by model_type, sorted."""
    found: dict[str, list[Config]] = defaultdict(list)
    for preset in presets:
        raw = shapes.language_part(preset["config"])
        found[raw["model_type"]].append(raw)
    return dict(sorted(found.items()))


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
    caches = {
        f"{context} {batch}": shapes.cache(read["family"], read["config"], context, batch)
        for context in CONTEXTS
        for batch in BATCHES
    }
    return {"parameters": parameters, "parts": dict(sorted(parts.items())), "cache": caches}


def lines(value: Any, depth: int) -> str:
    """JSON with one line for each entry down to ``depth``."""
    if depth == 0 or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{\n" + ",\n".join(f"{json.dumps(key)}: {lines(one, depth - 1)}" for key, one in value.items()) + "\n}"
    return "[\n" + ",\n".join(lines(one, depth - 1) for one in value) + "\n]"
