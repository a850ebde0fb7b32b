"""Find out whether torch.compile works on what each method makes, by the notebooks' own code on the reference model."""

import argparse
import json
import shutil
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from guide.bench.asking import ask
from guide.bench.recipe import PUBLIC_ID, Recipe, recipes
from guide.bench.weigh import filled_cache
from guide.facts.compiled import Case, Record, parse_compiled
from guide.facts.guide import Guide
from guide.facts.load import load
from guide.facts.proof import Machine
from guide.notebooks.script import Weighing
from guide.project import GuideError, Project
from guide.prove import environments
from guide.prove.machine import this_machine


def compilable(guide: Guide, machine: Machine) -> dict[str, Recipe]:
    """By method, how to make its variants on this machine: what is weighed, and on a GPU what a CPU cannot make."""
    found, weighed = dict[str, Recipe](), recipes(guide)
    for name, method in guide.methods.items():
        for script in (guide.scripts[notebook] for notebook in method.notebooks):
            table, made = script.head.guide, [one for one in method.variants if one.notebook == script.name and one.section]
            if name in found or not made or not machine.satisfies(table.needs) or PUBLIC_ID not in table.models:
                continue
            if table.weigh and machine.kind == "cpu":
                found[name] = weighed[name]
            elif table.weigh:
                found[name] = replace(weighed[name], variants=tuple(made))
            else:
                found[name] = Recipe(name, script, Weighing(), tuple(made), (), script)
    return found


def measured(guide: Guide, recipe: Recipe, machine: Machine, install: bool) -> list[Case]:
    """The cases of one method; one whose model cannot be made says so."""
    project, cuda = guide.project, machine.kind == "cuda"
    folder = project.build / "compiled" / recipe.method
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    common = {"model": str(project.reference), "text": str(project.reference / "heldout.txt"), "device": machine.kind}
    answers: dict[str, dict[str, Any]] = {}
    try:
        variables = filled_cache(guide, recipe, folder / "hub", project.reference, machine)
        for task, script, codes in recipe.tasks(project.reference / "heldout.txt", "cuda" if cuda else "cpu"):
            path = folder / f"{task}.json"
            packages = [Requirement(pin).name for pin in script.head.dependencies]
            path.write_text(json.dumps({**common, "codes": codes, "packages": packages}), encoding="utf-8")
            python = environments.prepare(project, script, cuda) if install else Path(sys.executable)
            module, words = ("weigher", ["run", str(path)]) if task == "run" else ("compiles", [str(path)])
            answers = ask(project, python, module, words, folder, variables)
    except GuideError as error:
        answers = {one.id: {"versions": {}, "failed": str(error)} for one in recipe.variants}
    own = {"method": recipe.method, "notebook": recipe.script.name, "date": datetime.now(UTC).date()}
    return [Case.model_validate({**own, "variant": name, **answer}) for name, answer in answers.items()]


def stored(guide: Guide, machine: Machine, cases: list[Case]) -> Record:
    """Write the record of this machine with these cases in place of what it had of their methods."""
    path = guide.project.compiled / f"{machine.slug}.json"
    old: list[Case] = []
    if path.exists():
        old = parse_compiled(guide.project.relative(path), path.read_text(encoding="utf-8")).cases
    anew = {case.method for case in cases}
    kept = {case.key: case for case in [*(one for one in old if one.method not in anew), *cases]}
    record = Record(machine=machine, cases=[kept[key] for key in sorted(kept)])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8")
    return record


def main() -> None:
    """The command ``nox -s compile``."""
    parser = argparse.ArgumentParser(prog="nox -s compile --", description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="all that this machine can make if none is given")
    parser.add_argument("--no-install", action="store_true", help="use the packages of this interpreter, as they are")
    given = parser.parse_args()
    try:
        guide, machine = load(Project.here()), this_machine()
        known = compilable(guide, machine)
        if unknown := [name for name in given.methods if name not in known]:
            raise GuideError(f"Not compiled here: '{unknown[0]}'. Known: {', '.join(known)}.")
        wanted, began = [known[name] for name in given.methods or known], time.monotonic()
        for number, recipe in enumerate(wanted, start=1):
            cases = measured(guide, recipe, machine, not given.no_install)
            stored(guide, machine, cases)
            left = (time.monotonic() - began) / number * (len(wanted) - number) / 60
            print(
                *(case.line() for case in cases), f"[{number}/{len(wanted)}; about {left:.0f} min left]", sep="\n", flush=True
            )
    except GuideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
