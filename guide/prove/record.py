"""The record of a run: what ran, on what, under which names, and how it ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from nbformat import NotebookNode

from guide.facts.guide import Guide
from guide.facts.proof import ENVIRONMENT_MIME, MEASURES_MIME, Failure, Machine, Proof, Source, output_data
from guide.notebooks.script import versions
from guide.prove.hub_cache import Kind, repository


@dataclass
class Outcome:
    """How a run ended, as far as it came."""

    error: Failure | None = None
    seconds: float = 0.0  # of the run itself, without installing and without controls
    control: list[int] = field(default_factory=list)  # cells that rightly failed in every control


def record(guide: Guide, name: str, machine: Machine, hub: bool, stored: NotebookNode, outcome: Outcome) -> Proof:
    """The record of one run, which ``stored`` gets in ``metadata.proof``; with ``hub`` the real models ran."""
    script = guide.scripts[name]
    table, environments, measures = (
        script.head.guide,
        output_data(stored, ENVIRONMENT_MIME),
        output_data(stored, MEASURES_MIME),
    )
    environment = environments[-1] if environments else {"machine": machine.model_dump(), "versions": {}}
    checkpoints = {public_id: f"models/checkpoints/{maker}.py" for public_id, maker in table.checkpoints.items()}
    models, texts = dict.fromkeys(table.models) | checkpoints, dict.fromkeys(table.texts)
    fields = {
        "notebook": name,
        "digest": guide.digest(name, stand_in=not hub),
        "status": "failed" if outcome.error else "passed",
        "error": outcome.error,
        "control": outcome.control,
        "date": datetime.now(UTC).replace(microsecond=0).isoformat(),
        "seconds": round(outcome.seconds, 1),
        "machine": environment["machine"],
        "python": environment.get("python", ""),
        "pins": versions(script.head.pins(machine.kind == "cuda")),
        "versions": environment["versions"],
        "models": real(models, "models") if hub else stood_in(models, guide.stand_in),
        "texts": real(texts, "datasets") if hub else stood_in(texts, guide.stand_in),
        "measures": measures[-1] if measures and not outcome.error else [],
    }
    proof = Proof.model_validate(fields)
    stored.metadata["proof"] = json.loads(proof.model_dump_json(by_alias=True))
    return proof


def stood_in(ids: Mapping[str, str | None], digest: str) -> list[Source]:
    """The stand-in under each public id, with its maker, or None where the reference model itself, or its text, stands in."""
    return [Source(id=one, stand_in=True, sha256=digest, maker=maker, revision=None) for one, maker in ids.items()]


def real(ids: Iterable[str], kind: Kind) -> list[Source]:
    """What was loaded from the hub under each public id, with the revision that this machine's cache has of it."""
    home = os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE", Path(home) / "hub"))  # as huggingface_hub finds it
    found = []
    for one in ids:
        main = repository(cache, kind, one) / "refs" / "main"
        revision = main.read_text().strip() if main.exists() else None
        found.append(Source(id=one, stand_in=False, sha256=None, maker=None, revision=revision))
    return found
