"""``python -m guide.prove.colab``: run each notebook's own install cell, then the notebook, on the packages of Colab's image.

Each runs in a copy of an environment that has the image's packages at its versions, its kernel as old as Colab's, which has
imported what Colab's has; off line on the stand-in, as a proof. What cannot be had: a GPU, the image's torch, in whose place a
build for CPUs stands, and its Python, where this interpreter is another. So what pip would do in Colab itself is found by
resolving, with the image's Python and torch.
"""

import argparse
import copy
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from nbformat import NotebookNode
from packaging.utils import canonicalize_name
from packaging.version import Version

from guide.facts.colab import Image, Outcome, Tried, parse_tried
from guide.facts.guide import Guide
from guide.facts.load import load
from guide.facts.proof import Failure
from guide.notebooks.build import INSTALL_TAG, tags
from guide.notebooks.script import Script, versions
from guide.offline.upgrades import Unresolvable, Upgrades, upgrades
from guide.offline.wheels import run_pip, uv_settings
from guide.project import GuideError, Project, told, write_whole
from guide.prove import environments, hub_cache, image
from guide.prove.failures import Failed, from_notebook, paragraph
from guide.prove.kernel import execute
from guide.prove.locks import alone
from guide.prove.reporting import Doing, Reporter

INSTALLING = 20  # minutes that an install cell may take


def pins(script: Script) -> list[str]:
    """What the install cell asks pip for."""
    steps = script.head.install_steps(cuda=script.head.guide.colab_gpu is not None)
    return [pin for step in steps for pin in step.pins if "torch" not in versions([pin])]


class Resolver:
    """Asks what pip would do in Colab, and keeps the answers."""

    def __init__(self, guide: Guide):
        self.image, self.folder = guide.image, guide.project.build / "colab" / "resolved"
        self.settings = uv_settings(run_pip(["config", "list"]))

    def __call__(self, script: Script) -> Upgrades:
        """What the install cell of a script would leave there; raises Unresolvable with the reason if pip would fail."""
        asked = pins(script)
        key = hashlib.sha256(json.dumps([asked, self.image.digest]).encode()).hexdigest()[:16]
        kept = self.folder / f"{key}.json"
        if kept.exists():
            read = json.loads(kept.read_text(encoding="utf-8"))
            return Upgrades(read["wanted"], {name: (had, gets) for name, (had, gets) in read["replaced"].items()})
        system = self.image.file.python, self.image.file.glibc
        found = upgrades(asked, self.image.freeze, *system, self.folder / "work", self.settings)
        kept.write_text(json.dumps(asdict(found)), encoding="utf-8")
        return found

    def all(self, scripts: Sequence[Script]) -> set[str]:
        """Every package that one of the install cells needs; a cell for which no versions will do adds none."""
        needed: set[str] = set()
        for script in scripts:
            try:
                needed |= self(script).wanted.keys()
            except Unresolvable:
                continue
        return needed


def as_in_colab(notebook: NotebookNode, image: Image, last: int | None = None) -> NotebookNode:
    """A copy whose install cell runs, in a kernel that has imported what Colab's has; up to cell number ``last``."""
    result = copy.deepcopy(notebook)
    for cell in result.cells:
        if INSTALL_TAG in tags(cell):
            cell.source = f"import {', '.join(image.file.preloaded.values())}\n\n{cell.source}"
            cell.metadata = {}
    result.cells = result.cells[:last]
    return result


def install_number(notebook: NotebookNode) -> int:
    """The number of the install cell, counted from 1."""
    return next(number for number, cell in enumerate(notebook.cells, 1) if INSTALL_TAG in tags(cell))


class Trial:
    """One notebook on Colab's packages; ``outcome`` takes all steps."""

    def __init__(self, guide: Guide, name: str, resolve: Resolver, base: Callable[[], Path], doing: Doing):
        self.guide, self.script, self.notebook = guide, guide.scripts[name], guide.notebooks[name]
        self.resolve, self.base, self.doing = resolve, base, doing
        self.table = self.script.head.guide
        self.folder = guide.project.build / "colab" / "run" / name
        self.environment = self.folder / "environment"
        self.runs = self.table.needs == "cpu"
        self.started = time.monotonic()
        self.replaced: dict[str, tuple[str, str]] = {}
        self.versions: dict[str, str] = {}

    def outcome(self) -> Outcome:
        """What came of it."""
        failure: Failure | None = None
        try:
            self.ask_pip()
            if self.runs:
                self.run()
        except Failed as failed:
            failure = failed.failure
        finally:
            shutil.rmtree(self.environment, ignore_errors=True)
        return Outcome(
            digest=self.guide.colab_digest(self.script.name),
            date=datetime.now(UTC).replace(microsecond=0).isoformat(),
            seconds=round(time.monotonic() - self.started, 1),
            ran=bool(self.versions),
            failure=failure,
            replaced=self.replaced,
            versions=self.versions,
        )

    def ask_pip(self) -> None:
        """Find out what pip would do in Colab: leave torch alone, and what is imported where the cell asks for no restart."""
        self.doing("asking what pip would do in Colab", 0)
        try:
            self.replaced = self.resolve(self.script).replaced
        except Unresolvable as error:
            raise Failed("install cell", str(error)) from error
        if "torch" in self.replaced:
            had, gets = self.replaced["torch"]
            raise Failed("install cell", f"pip replaces Colab's torch {had} by {gets}, for which its torchvision is not built")
        stale = sorted(set(self.replaced) & set(self.guide.image.file.preloaded))
        if stale != sorted(self.table.colab_restart):
            told = ", ".join(sorted(self.table.colab_restart)) or "nothing"
            imported = f"the install cell replaces {', '.join(stale) or 'nothing'} of it"
            raise Failed("stale import", f"Of what the kernel has imported {imported}, and asks for a restart for {told}")

    def run(self) -> None:
        """Run the install cell and the rest as a reader does: in one kernel, or in two where the cell asks for a restart."""
        self.doing("making its environment", 0)
        number, again = install_number(self.notebook), bool(self.table.colab_restart)
        python = image.copy(self.base(), self.environment)
        before = image.installed(self.environment)
        self.versions = {"python": ".".join(map(str, sys.version_info[:3])), "torch": before["torch"]}
        if self.table.checkpoints or again:
            self.checked(self.execute(python, {}, "install", number), number)
        try:
            variables = self.stand_in(python)
        except GuideError as error:
            raise Failed("installation", str(error)) from error
        if self.table.checkpoints and not again:
            python = image.copy(self.base(), self.environment)
        executed = self.execute(python, variables, "notebook")
        self.checked(executed, number)
        if failure := from_notebook(executed):
            raise Failed(failure.kind, failure.message, failure.cell)

    def stand_in(self, python: Path) -> dict[str, str]:
        """Make the cache of what stands in for public models: the variables that select it."""

        def python_for(maker: str) -> Path:
            if maker in self.table.made_with:
                return environments.prepare_maker(self.guide.project, self.guide.scripts, self.script.name, maker, cuda=False)
            return python

        return hub_cache.fill(self.guide.project, self.guide.stand_in, self.folder / "hub", python_for, self.table)

    def execute(self, python: Path, variables: Mapping[str, str], folder: str, last: int | None = None) -> NotebookNode:
        """Run the notebook up to a cell. pip may replace no torch: another than the one that stands in weighs gigabytes."""
        constraint = self.folder / "torch.txt"
        constraint.parent.mkdir(parents=True, exist_ok=True)
        constraint.write_text(f"torch=={Version(self.versions['torch']).public}\n", encoding="utf-8")
        given = {"PIP_CONSTRAINT": str(constraint), **variables}

        def tick(cell: int | None) -> None:
            place = f"running cell {cell} of {len(self.notebook.cells)}" if cell else "its kernel starts"
            self.doing(place, time.monotonic() - self.started)

        notebook, limit = as_in_colab(self.notebook, self.guide.image, last), 60.0 * (self.table.minutes + INSTALLING)
        return execute(notebook, self.folder / folder, python, given, limit, tick)

    def checked(self, executed: NotebookNode, number: int) -> None:
        """Raise Failed if pip did not leave what the cell asks for, with what pip said."""
        found = image.installed(self.environment)
        for package, version in versions(pins(self.script)).items():
            had = found.get(canonicalize_name(package), "none")
            if had == "none" or Version(had).public != Version(version).public:
                text = "".join(output.get("text", "") for output in executed.cells[number - 1].outputs)
                said = next((line for line in text.splitlines() if line.startswith("ERROR")), f"pip left {package} {had}")
                raise Failed("install cell", said[:600], number)


class Records:
    """The outcomes of this checkout, a file a notebook, before ``--keep`` writes them where they are committed."""

    def __init__(self, guide: Guide):
        self.guide, self.folder = guide, guide.project.build / "colab"

    def read(self, name: str) -> Outcome | None:
        """The outcome of a notebook as it is, here or committed; None where it was not tried."""
        try:
            local = parse_tried("", self._path(name).read_text(encoding="utf-8")).notebooks[name]
        except (FileNotFoundError, GuideError, KeyError):
            local = None
        return local if local and local.digest == self.guide.colab_digest(name) else self.guide.outcome(name)

    def write(self, name: str, outcome: Outcome) -> None:
        """Store an outcome."""
        write_whole(self._path(name), Tried(notebooks={name: outcome}).model_dump_json(by_alias=True))

    def keep(self) -> None:
        """Write all outcomes of today's code to where they are committed from."""
        found = {name: outcome for name in self.guide.scripts if (outcome := self.read(name))}
        source = f"{self.guide.image.file.source} at {self.guide.image.file.commit[:7]}"
        text = Tried(source=source, notebooks=found).model_dump_json(by_alias=True, indent=1)
        write_whole(self.guide.project.tried, text + "\n")

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def line(name: str, outcome: Outcome) -> str:
    """An outcome in one line."""
    if outcome.failure:
        return paragraph(name, outcome.failure)
    replaced = ", ".join(f"{package} {had} -> {gets}" for package, (had, gets) in outcome.replaced.items())
    how = "runs on Colab's packages" if outcome.ran else "installs there, as pip resolves it; it needs a GPU and did not run"
    return f"{name}: {how}, {outcome.seconds:.0f} s; replaced: {replaced or 'nothing'}."


def try_all(guide: Guide, given: argparse.Namespace) -> int:
    """Try what was asked for and what of it was not tried yet; returns the number that failed."""
    reporter, records, resolve = Reporter(), Records(guide), Resolver(guide)
    names = guide.names(given.names)
    todo = [name for name in names if given.force or not records.read(name)]
    reporter.expected = {name: expected_seconds(guide, name) for name in todo}
    on_cpu = [script for script in guide.scripts.values() if script.head.guide.needs == "cpu"]
    torch = max((pin for script in on_cpu for pin in script.head.dependencies if "torch" in versions([pin])),
                key=lambda pin: Version(versions([pin])["torch"]))  # fmt: skip

    def base() -> Path:
        return image.prepare(guide.project, guide.image, resolve.all(on_cpu), torch)

    with reporter.progress:
        for name in todo:
            outcome = Trial(guide, name, resolve, base, partial(reporter.doing, name)).outcome()
            records.write(name, outcome)
            reporter.say(line(name, outcome))
    if given.keep:
        records.keep()
    found = {name: known for name in names if (known := records.read(name))}
    for name in sorted(set(names) - set(todo)):
        reporter.say(f"unchanged since it was tried: {line(name, found[name])}")
    failed = sum(one.failure is not None for one in found.values())
    reporter.say(f"{len(todo)} tried now, {len(names) - failed} of {len(names)} run or install, {failed} failed.")
    return failed


def expected_seconds(guide: Guide, name: str) -> float:
    """How long a notebook will take: by its last outcome, else by its proof, else its limit."""
    table, best = guide.scripts[name].head.guide, guide.best(name)
    if table.needs != "cpu":
        return 5.0
    if last := guide.tried.notebooks.get(name):
        return last.seconds
    return 120 + (best.proof.seconds if best else 60.0 * table.minutes)


def main(arguments: Sequence[str] | None = None, project: Project | None = None) -> None:
    """The command; what is wrong ends it with a sentence, a notebook that failed with exit code 1."""
    parser = argparse.ArgumentParser(prog="nox -s colab --", description="Run the notebooks on the packages of Colab's image.")
    add = parser.add_argument
    add("names", nargs="*", metavar="NOTEBOOK", help="all if none is given; of those that need a GPU only what pip would do")
    add("--keep", action="store_true", help="store what came of it in proofs/colab.json, to be committed")
    add("--force", action="store_true", help="try again what has not changed since it was tried")
    given = parser.parse_args(arguments)
    with told():
        guide = load(project or Project.here(), damaged_proofs=True)
        with alone(guide.project.build / "prove.lock"):
            failed = try_all(guide, given)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
