"""Measure what methods do to the real model: how far each variant is from bf16, what it takes, and how fast it is.

One record a variant in ``proofs/numbers/<machine>/``, written after each part, so that a run goes on where the last one was
stopped. A variant that fails has a record that says so.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from pydantic import ValidationError

from guide.bench import real_model
from guide.bench.asking import ask
from guide.bench.shapes import LAYERS, ONE_LAYER
from guide.bench.weigh import random_model
from guide.facts.guide import Guide
from guide.facts.load import load
from guide.facts.number import Made, Number, NumbersScript, Part, Quality, Run, Speed, parse_number
from guide.facts.proof import Machine
from guide.facts.ranking import REAL
from guide.project import GuideError, Project, first_fault, told, write_whole
from guide.prove import environments
from guide.prove.machine import this_machine

ON_CPU = {REAL: [1, 8], "Qwen3-0.6B": [1, 8]}  # shapes that are timed, and the batches each decodes
COMPILED = {REAL: [1]}  # of a CPU, where compiling takes minutes a shape and batch; a GPU compiles for batch 1 of its shapes
GUESTS = {"speed": "racing", "compiled": "compiling", "graph": "replaying", "compiled_graph": "replaying"}
PARTS: dict[str, list[Part]] = {"cpu": ["quality", "speed", "compiled"], "cuda": ["speed", "graph", "compiled_graph"]}
ON_GPU = {"Llama-3.1-8B": [1, 8, 64], "Qwen3-8B": [1, 8, 64]}
STEPS = {REAL: 10, "Qwen3-0.6B": 4, "Llama-3.1-8B": 24, "Qwen3-8B": 24}  # decoded at batch 1, in each of the blocks
# Seconds, until the first of its kind is done.
GUESS = {"quality": 75.0, "speed": 120.0, "compiled": 150.0, "graph": 60.0, "compiled_graph": 150.0}
COMPILING = ("compiled", "compiled_graph")
IDLE, PATIENCE = 0.15, 600  # share of the processors that may be busy while speed is measured; seconds to wait for that
QUIET = {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}  # threads stay where they are


@dataclass(frozen=True)
class Task:
    """One part of one variant."""

    id: str
    script: NumbersScript
    part: Part


class Bench:
    """The measuring of variants on this machine. ``install``: each in the environment of its notebook, made from its pins;
    else in this interpreter with what it has. ``again``: as a second run, which checks the first."""

    def __init__(self, guide: Guide, machine: Machine, install: bool = True, again: bool = False):
        self.guide, self.project, self.machine, self.install = guide, guide.project, machine, install
        self.run, self.cuda = int(again), machine.kind == "cuda"
        self.work = guide.project.build / "numbers"

    def path(self, variant: str) -> Path:
        """Where a variant's record is."""
        return self.project.numbers / self.machine.slug / f"{variant}.json"

    def stored(self, task: Task) -> Number | None:
        """The record so far; None where there is none, or one that cannot be read, which is measured anew."""
        path = self.path(task.id)
        try:
            return parse_number(self.project.relative(path), path.read_text(encoding="utf-8")) if path.exists() else None
        except GuideError as error:
            print(f"{error} It is measured anew.", flush=True)
            return None

    def is_done(self, task: Task, shapes: dict[str, list[int]]) -> bool:
        """Whether today's code has measured the part, a speed on this processor and of these shapes; what failed is tried
        again."""
        number = self.stored(task)
        if number is None or len(number.runs) <= self.run:
            return False
        run = number.runs[self.run]
        found: Quality | Speed | None = getattr(run, task.part)
        if found is None:
            return False
        if isinstance(found, Speed) and (found.on != self.machine.name or not set(shapes) <= set(found.shapes)):
            return False
        return found.digest == self.guide.digest_of(task.script, task.id, task.part)

    def python(self, notebook: str) -> Path:
        """The interpreter of a notebook's environment, or this one."""
        if not self.install:
            return Path(sys.executable)
        return environments.prepare(self.project, self.guide.scripts[notebook], self.cuda)

    def job(self, task: Task, **more: Any) -> dict[str, Any]:
        """What every guest is told."""
        loads = task.script.table.loads_in or task.script.table.notebook
        packages = [Requirement(pin).name for pin in self.guide.scripts[loads].head.dependencies]
        if not self.install:  # the interpreter at hand need not have what bf16's notebook needs to unpack the real model
            packages = [name for name in packages if is_installed(name)]
        return {
            "module": f"snippets.numbers.{task.script.name}",
            "variant": task.id,
            "model": str(real_model.folder(self.project)),
            "wikitext": str(real_model.text(self.project)),
            "texts": {"wikitext": str(real_model.text(self.project)), "code": str(self.project.reference / "heldout.txt")},
            "base": str(self.work / "bf16"),
            "folder": str(self.work / "making" / task.id),
            "device": "cuda" if self.cuda else "cpu",
            "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else self.machine.cores,
            "quick": False,
            "packages": packages,
            **more,
        }

    def ask(self, notebook: str, module: str, job: dict[str, Any], *words: str) -> dict[str, Any]:
        """Have a guest do a job in a notebook's environment."""
        folder = self.work / "jobs" / job["variant"]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{module}.json"
        path.write_text(json.dumps(job), encoding="utf-8")
        return ask(self.project, self.python(notebook), module, [*words, str(path)], folder, QUIET)

    def bf16(self, task: Task) -> dict[str, Any]:
        """What is known of the bf16 model once its logits are on disk, where they are kept for all variants."""
        source = self.guide.guests["making"] + self.guide.guests["judging"]
        inputs = [real_model.folder(self.project) / "model.safetensors", real_model.text(self.project)]
        key = hashlib.sha256((source + "".join(map(real_model.sha256, inputs))).encode()).hexdigest()
        facts = self.work / "bf16.json"
        if facts.exists() and (known := json.loads(facts.read_text(encoding="utf-8")))["key"] == key:
            return dict(known)
        found = self.ask(self.guide.real.notebook, "judging", self.job(task), "bf16") | {"key": key}
        facts.write_text(json.dumps(found), encoding="utf-8")
        return found

    def made(self, task: Task) -> Made:
        """The making of a variant that is saved, done now where it was not."""
        facts = self.work / "made" / f"{task.id}.json"
        digest = self.guide.digest_of(task.script, task.id, "made")
        if facts.exists() and (known := Made.model_validate_json(facts.read_text(encoding="utf-8"))).digest == digest:
            return known
        folder = facts.with_suffix("")
        shutil.rmtree(folder, ignore_errors=True)
        facts.parent.mkdir(parents=True, exist_ok=True)
        answer = self.ask(task.script.table.notebook, "making", self.job(task, folder=str(folder)))
        answer["folder"] = os.path.relpath(answer["folder"], folder)
        known = Made.model_validate({**answer, "digest": digest, "date": today(), "on": self.machine.name})
        facts.write_text(known.model_dump_json(), encoding="utf-8")
        return known

    def quality(self, task: Task, number: Number) -> Number:
        """The record with the variant's quality."""
        bf16, made, more = self.bf16(task), number.made, {}
        if task.script.table.saves:
            latest = self.made(task)
            made = number.made if self.run else latest  # a second run leaves the first one's figures as they are
            more = {"made": str(self.work / "made" / task.id / latest.folder)}
        texts = ["wikitext"] if self.run else ["wikitext", "code"]  # a second run checks the order on one text
        job = self.job(task, linears=bf16["linears"], judged=texts, again=bool(self.run), **more)
        answer = self.ask(task.script.table.loads_in or task.script.table.notebook, "judging", job, "variant")
        own = {"digest": self.guide.digest_of(task.script, task.id, "quality"), "date": today(), "on": self.machine.name}
        number = number.model_copy(update={"made": made, "windows_sha256": bf16["windows_sha256"]})
        return self.with_part(number, task, Quality.model_validate({**answer, **own}))

    def speed(self, task: Task, number: Number, shapes: dict[str, list[int]]) -> Number:
        """The record with the variant's speed on each of the shapes."""
        places = [self.shape(task, name, batches) for name, batches in shapes.items()]
        job = self.job(task, shapes=places, compile=task.part in COMPILING)
        answer = self.ask(task.script.table.loads_in or task.script.table.notebook, GUESTS[task.part], job)
        shutil.rmtree(self.work / "quick", ignore_errors=True)
        own = {"digest": self.guide.digest_of(task.script, task.id, task.part), "date": today(), "on": self.machine.name}
        return self.with_part(number, task, Speed.model_validate({**answer, **own}))

    def shape(self, task: Task, name: str, batches: list[int]) -> dict[str, Any]:
        """What the guest is told of a shape: the bf16 model, and where the variant is saved, a checkpoint made quickly, since
        speed does not ask how well the weights were chosen."""
        told: dict[str, Any] = {"name": name, "batches": batches, "steps": STEPS[name]}
        model, stretch = real_model.folder(self.project), name != REAL
        if stretch:
            model, _ = random_model(self.guide, f"{name}, one layer", self.python(self.guide.real.notebook), ONE_LAYER[name])
        told["model"] = str(self.stretched(task, model, name) if stretch else model)
        if task.script.table.saves:
            folder = self.work / "quick" / f"{task.id}-{name}"
            shutil.rmtree(folder, ignore_errors=True)
            job = self.job(task, model=str(model), folder=str(folder), quick=True)
            made = Path(self.ask(task.script.table.notebook, "making", job)["folder"])
            told["made"] = str(self.stretched(task, made, name) if stretch else made)
        return told

    def stretched(self, task: Task, folder: Path, name: str) -> Path:
        """A checkpoint of one layer with as many as the shape has; bf16's is kept, a variant's replaces the last one's."""
        kept = folder.is_relative_to(self.project.build / "weigh")
        target = self.work / "stretched" / (f"{folder.name}" if kept else f"variant-{name}")
        if not (kept and (target / "config.json").is_file()):
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            notebook = task.script.table.loads_in or task.script.table.notebook
            words = [str(folder), str(target), str(LAYERS[name])]
            ask(self.project, self.python(notebook), "stretching", words, target.parent)
        return target

    def with_part(self, number: Number, task: Task, found: Quality | Speed) -> Number:
        """The record with a part of this run; what failed before is forgotten."""
        runs = [*number.runs, *(Run() for _ in range(self.run + 1 - len(number.runs)))]
        failed = {part: why for part, why in runs[self.run].failed.items() if part != task.part}
        old = getattr(runs[self.run], task.part)
        if isinstance(found, Speed) and old and (old.digest, old.on) == (found.digest, found.on):
            found = found.model_copy(update={"shapes": {**old.shapes, **found.shapes}})
        runs[self.run] = runs[self.run].model_copy(update={task.part: found, "failed": failed})
        return number.model_copy(update={"runs": runs})

    def measure(self, task: Task, shapes: dict[str, list[int]]) -> tuple[str, bool]:
        """Measure a part, store the record, and return what to say of it, and whether it could be measured."""
        empty = Number(version=1, variant=task.id, recipe=task.script.path, machine=self.machine, windows_sha256="", runs=[])
        number = self.stored(task) or empty
        try:
            number = self.quality(task, number) if task.part == "quality" else self.speed(task, number, shapes)
            said, ok = summary(number, task, self.run), True
        except (GuideError, ValidationError) as error:  # the latter of figures that cannot be
            why = first_fault(error) if isinstance(error, ValidationError) else str(error)
            runs = [*number.runs, *(Run() for _ in range(self.run + 1 - len(number.runs)))]
            failed = {**runs[self.run].failed, task.part: why}
            runs[self.run] = runs[self.run].model_copy(update={task.part: None, "failed": failed})
            number, said, ok = number.model_copy(update={"runs": runs}), f"failed: {why}", False
        write_whole(self.path(task.id), as_text(number))
        return said, ok


def is_installed(package: str) -> bool:
    """Whether this interpreter has a package."""
    try:
        return bool(version(package))
    except PackageNotFoundError:
        return False


def today() -> str:
    """The date, as records have it."""
    return datetime.now(UTC).date().isoformat()


def as_text(number: Number) -> str:
    """A record as it is stored: a line a field, lists of numbers in one line."""
    text = number.model_dump_json(indent=1, by_alias=True)
    return re.sub(r"\[\s+([-\d.e+,\s]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text) + "\n"


def summary(number: Number, task: Task, run: int) -> str:
    """A part's main figure."""
    found = getattr(number.runs[run], task.part)
    if isinstance(found, Quality):
        kls = ", ".join(f"{name} {one.kl.mean:.4f} ± {one.kl.error:.4f}" for name, one in found.texts.items())
        return f"KL {kls}; {found.stored.whole / 1e6:.0f} MB"
    texts = []
    for name, shape in found.shapes.items():
        decoded = [f"batch {batch} {race.ratio[0]:.2f}× ({race.control[1]:.2f} to {race.control[2]:.2f})"
                   for batch, race in shape.decode.items()]  # fmt: skip
        texts.append(f"{name}: {', '.join(decoded) or shape.failed}")
    return "; ".join(texts)


def tasks(guide: Guide, machine: Machine, variants: list[str], parts: list[Part]) -> list[Task]:
    """What to measure on a machine, quality first; raises GuideError naming a variant that no recipe makes there."""
    known = {name: script for script in guide.recipes.values() for name in script.table.variants}
    if unknown := [name for name in variants if name not in known]:
        raise GuideError(f"No recipe of snippets/numbers/ makes '{unknown[0]}'. Known: {', '.join(known)}.")
    if unfit := [name for name in variants if not machine.satisfies(known[name].table.needs)]:
        raise GuideError(f"'{unfit[0]}' needs {known[unfit[0]].table.needs}; this machine ({machine.slug}) lacks that.")
    parts = [part for part in parts if part in PARTS[machine.kind]]
    here = variants or [name for name, script in known.items() if machine.satisfies(script.table.needs)]
    found = [Task(name, known[name], part) for part in parts for name in here]
    timed = [task for task in found if task.part == "quality" or not task.script.table.not_timed]
    return [task for task in timed if task.part not in COMPILING or task.id in task.script.table.compile]


def busy(seconds: float = 3.0) -> float:
    """The share of this machine's processors that other work takes; 0 where the system does not say."""

    def read() -> tuple[int, int]:
        with open("/proc/stat", encoding="ascii") as file:
            used = [int(word) for word in file.readline().split()[1:9]]
        return sum(used), used[3] + used[4]

    try:
        total, idle = read()
        time.sleep(seconds)
        later, later_idle = read()
    except OSError:
        return 0.0
    return 1 - (later_idle - idle) / max(1, later - total)


def wait_until_alone() -> None:
    """Wait for a quiet machine; raises GuideError if it does not become one."""
    began = time.monotonic()
    while (share := busy()) > IDLE:
        if time.monotonic() - began > PATIENCE:
            raise GuideError(f"Other work takes {100 * share:.0f} % of this machine, so speed would be noise: end it, and run "
                             "'nox -s bench' again; it goes on from here.")  # fmt: skip
        print(f"Other work takes {100 * share:.0f} % of this machine; waiting for it to end.", flush=True)
        time.sleep(20)


def faults(guide: Guide, machine: str) -> Iterator[str]:
    """What is wrong with the committed records of a machine, a sentence each. A CPU's must be whole; of a GPU, whose time is
    dear, there are those that were asked for, with what was measured there."""
    known = {name: script for script in guide.recipes.values() for name in script.table.variants}
    stored = guide.numbers.get(machine, {})
    on = next((number.machine for number in stored.values()), None)
    for name in sorted(set(stored) - set(known)):
        yield f"proofs/numbers/{machine}/{name}.json is of no variant of snippets/numbers/: delete it."
    for name, script in known.items():
        path, command = f"proofs/numbers/{machine}/{name}.json", f"run 'nox -s bench -- {name}'"
        if name not in stored:
            if on is None or (on.kind == "cpu" and on.satisfies(script.table.needs)):
                yield f"There is no {path}: {command}."
            continue
        number = stored[name]
        if number.recipe != script.path:
            yield f"{path}: its recipe is {number.recipe}, but {script.path} makes {name}: {command}."
        if number.runs and number.runs[0].quality and number.windows_sha256 != guide.real.windows_sha256:
            yield f"{path} was measured with another text than the others: {command}."
        for part in [task.part for task in tasks(guide, number.machine, [name], PARTS[number.machine.kind])]:
            found = getattr(number.runs[0], part) if number.runs else None
            if found is None and number.machine.kind == "cpu" and not (number.runs and part in number.runs[0].failed):
                yield f"{path} has no {part}: {command}."
            elif found and found.digest != guide.digest_of(script, name, part):
                yield f"{path}: its {part} was measured with other code or pins: {command}."
            elif found and number.machine.kind == "cuda" and found.on != number.machine.name:
                yield f"{path}: its {part} was measured on {found.on}, but the record is of {number.machine.name}: {command}."


def compiled_shapes(bench: Bench, shapes: dict[str, list[int]]) -> dict[str, list[int]]:
    """Which shapes are compiled, and for which batches: it takes minutes for each."""
    return {name: [1] for name in shapes} if bench.cuda else COMPILED


def run(bench: Bench, wanted: list[Task], shapes: dict[str, list[int]], minutes: float | None) -> list[str]:
    """Measure what is not measured yet, showing how far it is; returns what failed, a sentence each."""
    began, spent, failed = time.monotonic(), dict[str, list[float]](), list[str]()
    of_part = {part: compiled_shapes(bench, shapes) if part in COMPILING else shapes for part in GUESS}
    todo = [task for task in wanted if not bench.is_done(task, of_part[task.part])]
    print(f"{len(wanted) - len(todo)} of {len(wanted)} parts are measured, {len(todo)} to go.", flush=True)
    for number, task in enumerate(todo, start=1):
        if minutes and time.monotonic() - began > 60 * minutes:
            left = len(todo) - number + 1
            print(f"{minutes:g} minutes are over with {left} parts to go; run it again to go on.", flush=True)
            break
        if task.part != "quality":
            wait_until_alone()
        started = time.monotonic()
        said, ok = bench.measure(task, of_part[task.part])
        spent.setdefault(task.part, []).append(time.monotonic() - started)
        guesses = {part: sum(seconds) / len(seconds) for part, seconds in spent.items()}
        more = sum(guesses.get(one.part, GUESS[one.part]) for one in todo[number:]) / 60
        took = spent[task.part][-1]
        print(f"[{number}/{len(todo)}] {task.id}, {task.part}: {said} ({took:.0f} s; about {more:.0f} min left)", flush=True)
        if not ok:
            failed.append(f"{task.id}, {task.part}, {said}")
    return failed


def main() -> None:
    """The command ``nox -s bench``."""
    parser = argparse.ArgumentParser(prog="nox -s bench --", description=__doc__)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help="all that snippets/numbers/ makes if none is given")
    parser.add_argument("--part", action="append", choices=list(GUESS), help="only this part")
    parser.add_argument("--again", action="store_true", help="measure a second time, to be held against the first")
    parser.add_argument("--check", action="store_true", help="measure nothing: are the committed records of today's code?")
    parser.add_argument("--shape", action="append", metavar="NAME", help="time this shape alone")
    parser.add_argument("--minutes", type=float, help="begin nothing more after so many minutes")
    parser.add_argument("--no-install", action="store_true", help="use the packages of this interpreter, as they are")
    given = parser.parse_args()
    with told():
        guide, machine = load(Project.here()), this_machine()
        if given.check:
            sys.exit(check(guide, machine) or None)
        everywhere = ON_GPU if machine.kind == "cuda" else ON_CPU
        if unknown := [name for name in given.shape or () if name not in ON_CPU | ON_GPU]:
            raise GuideError(f"There is no shape '{unknown[0]}'. Known: {', '.join(ON_CPU | ON_GPU)}.")
        shapes = {name: (ON_CPU | ON_GPU)[name] for name in given.shape} if given.shape else everywhere
        parts: list[Part] = given.part or PARTS[machine.kind]
        if REAL in shapes or "quality" in parts:
            real_model.require(guide.project)
        bench = Bench(guide, machine, not given.no_install, given.again)
        failed = run(bench, tasks(guide, machine, given.variants, parts), shapes, given.minutes)
    print("\n".join(failed) or "Nothing failed.")


def check(guide: Guide, machine: Machine) -> str:
    """What ``--check`` says, printing what is right; empty where nothing is wrong."""
    found = [fault for slug in guide.numbers or [machine.slug] for fault in faults(guide, slug)]
    for slug, records in guide.numbers.items():
        measured = sum(1 for number in records.values() if number.runs and number.runs[0].quality)
        print(f"proofs/numbers/{slug}: {len(records)} records, {measured} with quality, "
              f"{sum(1 for number in records.values() if number.runs[0].failed)} that say what failed.")  # fmt: skip
    return "\n".join(found)


if __name__ == "__main__":
    main()
