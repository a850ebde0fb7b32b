"""The selector's form: its questions, with the answers that the facts know."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from guide.calculator.shapes import read_config, tensors
from guide.facts.guide import Guide
from guide.site.render import render


def selector(guide: Guide) -> str:
    """The form as HTML; its answers are read by ``docs/assets/selector.js``."""
    makers = json.loads(guide.assets["assets/cards.json"])["makers"]
    presets = sorted(guide.architectures["presets"], key=lambda preset: int(preset["parameters"]))
    data: dict[str, Any] = {
        "makers": makers,
        "generations": [
            {"id": one.id, "name": _named(one)}
            for one in guide.common.places
            if not one.of or one.capability  # what only a card tells apart is no answer
        ],
        "engines": [(name, one.title) for name, one in guide.engines.items() if not one.of_methods and not one.kept],
        "presets": [
            {
                "id": preset["id"],
                "name": preset["name"],
                "hub": preset["model"].partition("/")[2],
                "parameters": preset["parameters"],
                "dense": not _has_experts(guide, preset),
            }
            for preset in presets
        ],
        "formats": [(one.id, one.name, ", ".join(one.named[:3])) for one in guide.common.formats if one.key],
        "keys": _keys(guide),
    }
    return render("selector.html.jinja", **data)


def choice(id: str, label: str, options: Iterable[tuple[str, str]]) -> str:
    """What narrows a matrix, one of the options, value and text, or any; ``works.js`` and ``matrix.js`` read it."""
    return render("choice.html.jinja", id=id, label=label, options=options)


def overview_filter(facts: Mapping[str, str], keys: int) -> str:
    """What narrows the overview, a box a fact, by the facts' labels; ``overview.js`` reads it."""
    return render("overview_filter.html.jinja", facts=facts, keys=keys)


def _has_experts(guide: Guide, preset: dict[str, Any]) -> bool:
    """Whether a preset is a mixture of experts."""
    found = read_config(json.dumps(preset["config"]), guide.architectures["families"])
    return any(tensor["part"] == "experts" for tensor in tensors(found["family"], found["config"]))


def _named(one: Any) -> str:
    """A generation as a reader knows it."""
    if not one.capability:
        return f"{one.name} ({one.examples})"
    return f"NVIDIA {one.name} ({one.examples}), from {one.capability}"


def _keys(guide: Guide) -> list[str]:
    """Keys of Transformers' registry whose checkpoints no format of the matrix holds."""
    known = {one.method for one in guide.common.formats}
    keys = {key for name, method in guide.methods.items() if name not in known for key in method.transformers.keys}
    return sorted(keys)
