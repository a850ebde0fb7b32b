"""The record of one machine: read, brought up to date, and stored."""

from datetime import UTC, datetime
from pathlib import Path

from guide.bench.recipe import expected, recipes
from guide.facts.guide import Guide
from guide.facts.proof import Machine
from guide.facts.storage import Case, Record, Shape, parse_record
from guide.notebooks.script import Weighing
from guide.project import Project, write_whole


def local_path(project: Project, machine: Machine) -> Path:
    """Where the results of this checkout go, kept or not."""
    return project.build / "weigh" / f"{machine.slug}.json"


def latest_record(guide: Guide, machine: Machine) -> Record:
    """This checkout's own results, else the committed record, else an empty one."""
    local = local_path(guide.project, machine)
    if local.exists():
        return parse_record(guide.project.relative(local), local.read_text(encoding="utf-8"))
    empty = Record(machine=machine, date=datetime.now(UTC).date(), shapes={}, cases=[])
    return guide.records.get(machine.slug, empty)


def with_cases(record: Record, cases: list[Case], name: str, shape: Shape) -> Record:
    """A record with what was weighed today of the shape ``name``."""
    latest = {case.key: case for case in [*record.cases, *cases]}
    new = {"shapes": {**record.shapes, name: shape}, "cases": [latest[key] for key in sorted(latest)]}
    return record.model_copy(update={**new, "date": datetime.now(UTC).date()})


def predicted_anew(guide: Guide, record: Record) -> Record:
    """A record whose predictions, notes and remarks are those of today's pages, heads and formula.

    What was measured stands; cases of variants that no page has any more are left out.
    """
    heads = {name: recipe.weighing for name, recipe in recipes(guide).items()}
    variants = {(name, variant.id): variant for name, method in guide.methods.items() for variant in method.variants}
    cases = []
    for case in record.cases:
        if variant := variants.get((case.method, case.variant)):
            weighing = heads.get(case.method, Weighing())
            cases.append(case.model_copy(update=expected(weighing, variant, case.shape, record.shapes[case.shape])))
    return record.model_copy(update={"cases": cases})


def store(project: Project, record: Record, keep: bool) -> None:
    """Write the record where local results go, and with ``keep`` where it is committed from."""
    committed = project.storage / f"{record.machine.slug}.json"
    for path in [local_path(project, record.machine), *([committed] if keep else [])]:
        write_whole(path, record.model_dump_json(indent=1) + "\n")
