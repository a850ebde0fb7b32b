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
from guide.project import GuideError, Project, told, write_whole
from guide.prove import environments
from guide.prove.machine import this_machine


def compilable(guide: Guide, machine: Machine) -> dict[str, Recipe]:
    """By method, how to make its variants on this machine: what is weighed, and on a GPU what a CPU cannot make.

    Left out is what a notebook shows not to load, though its weights can be counted.
    """
    found, weighed = dict[str, Recipe](), recipes(guide)
    for name, method in guide.methods.items():
        if method.features.torch_compile.source.startswith("notebook "):
            continue
        for script in (guide.scripts[notebook] for notebook in method.notebooks):
            table, made = script.head.guide, [one for one in method.variants if one.notebook == script.name and one.section]
            loads = table.weigh or PUBLIC_ID in table.models
            if name in found or not (made and loads and machine.satisfies(table.needs)):
                continue
            if table.weigh and machine.kind == "cpu":
                found[name] = weighed[name]
            elif table.weigh:
                found[name] = replace(weighed[name], variants=tuple(made))
            else:
                found[name] = Recipe(name, script, Weighing(), tuple(made), (), script)
    return found


def measured(guide: Guide, recipe: Recipe, machine: Machine, install: bool) -> tuple[list[Case], list[str]]:
    """The cases of one method, and why the others could not be made, a sentence each; that says nothing of compiling."""
    project, cuda = guide.project, machine.kind == "cuda"
    folder = project.build / "compiled" / recipe.method
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    common = {"model": str(project.reference), "text": str(project.reference / "heldout.txt"), "device": machine.kind}
    answers: dict[str, dict[str, Any]] = {}
    variables = filled_cache(guide, recipe, folder / "hub", project.reference, machine, install)
    for task, script, codes in recipe.tasks(project.reference / "heldout.txt", machine.kind):
        path = folder / f"{task}.json"
        packages = [Requirement(pin).name for pin in script.head.dependencies]
        path.write_text(json.dumps({**common, "codes": codes, "packages": packages}), encoding="utf-8")
        python = environments.prepare(project, script, cuda) if install else Path(sys.executable)
        module, words = ("weigher", ["run", str(path)]) if task == "run" else ("compiles", [str(path)])
        answers = ask(project, python, module, words, folder, variables)
    own = {"method": recipe.method, "notebook": recipe.script.name, "date": datetime.now(UTC).date()}
    unmade = [
        f"{recipe.method} {name} could not be made: {one['not_made']}" for name, one in answers.items() if "not_made" in one
    ]
    return [
        Case.model_validate({**own, "variant": name, **one}) for name, one in answers.items() if "not_made" not in one
    ], unmade


def stored(guide: Guide, machine: Machine, cases: list[Case]) -> Record:
    """Write the record of this machine with these cases in place of what it had of their methods."""
    path = guide.project.compiled / f"{machine.slug}.json"
    old: list[Case] = []
    if path.exists():
        old = parse_compiled(guide.project.relative(path), path.read_text(encoding="utf-8")).cases
    anew = {case.method for case in cases}
    kept = {case.key: case for case in [*(one for one in old if one.method not in anew), *cases]}
    record = Record(machine=machine, cases=[kept[key] for key in sorted(kept)])
    write_whole(path, record.model_dump_json(indent=1, exclude_defaults=True) + "\n")
    return record


def main() -> None:
    """The command ``nox -s compile``."""
    parser = argparse.ArgumentParser(prog="nox -s compile --", description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="all that this machine can make if none is given")
    parser.add_argument("--no-install", action="store_true", help="use the packages of this interpreter, as they are")
    given = parser.parse_args()
    with told():
        guide, machine = load(Project.here()), this_machine()
        known = compilable(guide, machine)
        if unknown := [name for name in given.methods if name not in known]:
            raise GuideError(f"Not compiled here: '{unknown[0]}'. Known: {', '.join(known)}.")
        wanted, began = [known[name] for name in given.methods or known], time.monotonic()
        failed: list[str] = []
        for number, recipe in enumerate(wanted, start=1):
            try:
                cases, unmade = measured(guide, recipe, machine, not given.no_install)
            except GuideError as error:  # one method's fault spares the others
                cases, unmade = [], [f"{recipe.method} could not be made: {error}"]
            failed += unmade
            if cases:
                stored(guide, machine, cases)
            left = (time.monotonic() - began) / number * (len(wanted) - number) / 60
            said = [*(case.line() for case in cases), *unmade]
            print(*said, f"[{number}/{len(wanted)}; about {left:.0f} min left]", sep="\n", flush=True)
        if failed:
            sys.exit(f"{len(failed)} of what was asked could not be made.")


if __name__ == "__main__":
    main()
