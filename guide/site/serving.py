"""``assets/serving.json``: which engine loads which format where, for the tool that reads a checkpoint's configuration."""

import json
from typing import Any

from guide.facts.engine import Loads
from guide.facts.guide import Guide
from guide.site.views.engines import LETTERS


def file(guide: Guide) -> str:
    """The matrix for scripts: formats, generations, and of each engine a letter a generation for every format."""
    content = {
        "formats": [one.model_dump(exclude={"key"}) for one in guide.common.formats],
        "generations": [{"id": one.id, "name": f"{one.name} ({one.examples})"} for one in guide.common.generations],
        "engines": [
            {
                "id": name,
                "title": engine.title,
                "version": engine.version,
                "formats": {
                    one.id: {
                        "on": "".join(LETTERS[engine.on(one.id, place)] for place in guide.common.generations),
                        **said_of(engine.formats[one.id]),
                    }
                    for one in guide.common.formats
                },
            }
            for name, engine in guide.engines.items()
        ],
    }
    return json.dumps(content) + "\n"


def said_of(cell: Loads) -> dict[str, Any]:
    """What the tool says with an answer; what is empty is left out."""
    found = {"how": cell.how and cell.how.value, "only": cell.only, "plugin": cell.plugin, "note": cell.note}
    return {name: value for name, value in found.items() if value}
