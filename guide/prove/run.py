"""One proof: its steps, one after the other, each of which may end it. After the notebook come its controls."""

import json
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import nbformat
from nbformat import NotebookNode
from pydantic import ValidationError

from guide.facts import coherent
from guide.facts.guide import Guide
from guide.facts.proof import (
    ENVIRONMENT_MIME,
    MEASURES_MIME,
    SERVED_MIME,
    Failure,
    Machine,
    Measure,
    Proof,
    Source,
    output_data,
)
from guide.guest import arguments
from guide.notebooks.script import versions
from guide.project import GuideError, first_fault, last_line
from guide.prove import environments, hub_cache
from guide.prove.cleaning import cleaned
from guide.prove.controls import Control, check_weakness, plain_copy, swapped_copy
from guide.prove.failures import Failed, from_notebook
from guide.prove.kernel import execute
from guide.prove.reporting import Doing


class Run:
    """The run of a copy of one notebook on this machine; ``prove`` takes all steps.

    With ``install`` it is in an environment of its own, else in this interpreter with what it has; with ``hub`` on the real
    models, else off line on the stand-in.
    """

    def __init__(self, guide: Guide, name: str, machine: Machine, doing: Doing, install: bool = True, hub: bool = False):
        self.guide, self.script, self.machine, self.doing = guide, guide.scripts[name], machine, doing
        self.install, self.hub, self.cuda = install, hub, machine.kind == "cuda"
        self.table, self.notebook = self.script.head.guide, guide.notebooks[name]
        self.folder = guide.project.build / "run" / name
        self.python, self.variables = Path(sys.executable), dict[str, str]()
        self.started, self.interrupted = time.monotonic(), Event()
        self.executed = self.notebook  # until it ran
        self.error: Failure | None = None
        self.seconds = 0.0  # of the run itself, without installing and without controls
        self.control: list[int] = []  # cells that rightly failed in every control

    def prove(self, following: str | None = None) -> tuple[NotebookNode, Proof]:
        """What to store, whether it passed or failed, and its record, which it holds.

        The environment of the ``following`` notebook is made meanwhile, in time that nothing else wants.
        """
        try:
            self.prepare()
            self.check_arguments()
            if following and self.install:
                environments.prepare_ahead(self.guide.project, self.guide.scripts[following], self.cuda)
            self.run()
            if not self.table.only_faults:
                self.run_controls()
            self.check_measures()
        except Failed as failed:
            self.error = failed.failure
        stored = self.stored()
        proof = self.record(stored)
        for work in self.folder.glob("*/work"):
            shutil.rmtree(work, ignore_errors=True)  # saved checkpoints weigh gigabytes with a real model
        return stored, proof

    def prepare(self) -> None:
        """Make the notebook's environment, and the cache of what stands in for public models."""
        self.doing("making its environment", 0)
        project, stand_in = self.guide.project, self.guide.stand_in
        try:
            if self.install:
                self.python = environments.prepare(project, self.script, self.cuda)
            if not self.hub:
                self.variables = hub_cache.fill(project, stand_in, self.folder / "hub", self.python_for, self.table)
        except GuideError as error:
            raise Failed("installation", str(error)) from error

    def python_for(self, maker: str) -> Path:
        """The interpreter that makes a checkpoint."""
        if not self.install:
            return self.python
        return environments.prepare_maker(self.guide.project, self.guide.scripts, self.script.name, maker, self.cuda)

    def check_arguments(self) -> None:
        """Ask the environment whether it has the arguments that are used, and the names of the page that this proves first."""
        method = self.guide.method_of(self.script)
        names = method.names if method and method.notebooks[:1] == [self.script.name] else []
        path = self.folder / "arguments.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(self.notebook, path)
        command = [str(self.python), "-m", arguments.__name__, str(path), *names]
        home = Path(arguments.__file__).parents[2]  # from where it can be imported
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed("error", last_line(done, "the check of arguments ended without a word"))
        if faults := json.loads(done.stdout.strip().splitlines()[-1]):
            cell, sentence = faults[0]
            raise Failed("unknown argument", sentence, cell)

    def run(self) -> None:
        """Run the notebook as it is."""
        self.started = time.monotonic()
        try:
            self.executed = self._execute(self.notebook, "notebook", "running")
        finally:
            self.seconds = time.monotonic() - self.started
        if failure := from_notebook(self.executed):
            raise Failed(failure.kind, failure.message, failure.cell)

    def check_measures(self) -> None:
        """Look whether the notebook measured what it should, and whether its figures can be."""
        tables = output_data(self.stored(), MEASURES_MIME)
        if not (tables or self.table.only_faults or self.table.own_figures):
            raise Failed("assertion", "The notebook shows no table of measures")
        for row in tables[-1] if tables else []:
            try:
                wrong = next(coherent.impossible(Measure.model_validate(row)), None)
            except ValidationError as error:
                wrong = first_fault(error)
            if wrong:
                raise Failed("assertion", f"The measures of '{row.get('variant')}' cannot be: {wrong}")

    def run_controls(self) -> None:
        """Run the controls side by side, with the cores shared out, since they measure no speed; one after the other where
        real models would share the memory of a GPU."""
        try:
            controls = [plain_copy(self.notebook, self.machine, self.table.control)]
            if self.table.swap:
                controls.append(swapped_copy(self.notebook, self.machine, self.table.swap))
        except GuideError as error:
            raise Failed("weak check", str(error)) from error
        at_once = 1 if self.cuda and self.hub else len(controls)
        if at_once > 1:
            self.variables["OMP_NUM_THREADS"] = str(max(1, self.machine.cores // at_once))

        def run(number: int, control: Control) -> None:
            check_weakness(self._execute(control.notebook, f"control-{number}", f"control {number},"), control)

        with ThreadPoolExecutor(at_once) as pool:
            jobs = [pool.submit(run, number, control) for number, control in enumerate(controls, start=1)]
            try:
                wait(jobs)
            except KeyboardInterrupt:
                self.interrupted.set()
                raise
        for job in jobs:
            job.result()
        self.control = controls[0].must_fail

    def stored(self) -> NotebookNode:
        """What to store: the executed notebook cleaned, or the notebook itself if it never ran."""
        places = {self.folder / "notebook": ".", self.python.parent.parent: "ENVIRONMENT"}
        if not self.install:  # the interpreter at hand may have packages from anywhere
            packages = [place for place in sys.path if place and Path(place) != self.guide.project.root]
            places |= {Path(place): "ENVIRONMENT" for place in sorted(packages, key=len, reverse=True)}
        places |= {self.guide.project.root: ".", Path.home(): "~"}
        return cleaned(self.executed, self.notebook, {str(place): name for place, name in places.items()})

    def record(self, stored: NotebookNode) -> Proof:
        """The record of this run, which ``stored`` gets in ``metadata.proof``."""
        shown, measures = output_data(stored, ENVIRONMENT_MIME), output_data(stored, MEASURES_MIME)
        tried = output_data(stored, SERVED_MIME)
        environment = shown[-1] if shown else {"machine": self.machine.model_dump(), "versions": {}}
        models = dict.fromkeys(self.table.models) | self.table.checkpoints
        fields = {
            "notebook": self.script.name,
            "digest": self.guide.digest(self.script.name, stand_in=not self.hub),
            "status": "failed" if self.error else "passed",
            "error": self.error,
            "control": self.control,
            "date": datetime.now(UTC).replace(microsecond=0).isoformat(),
            "seconds": round(self.seconds, 1),
            "machine": environment["machine"],
            "python": environment.get("python", ""),
            "pins": versions(self.script.head.pins(self.cuda)),
            "versions": environment["versions"],
            "models": [self._source("models", one, maker) for one, maker in models.items()],
            "texts": [self._source("datasets", one) for one in dict.fromkeys(self.table.texts)],
            "measures": measures[-1] if measures and not self.error else [],
            "served": tried[-1] if tried and not self.error else [],
            "kernels": hub_cache.local_kernels() if "kernels" in versions(self.script.head.pins(self.cuda)) else {},
        }
        proof = Proof.model_validate(fields)
        stored.metadata["proof"] = json.loads(proof.model_dump_json(by_alias=True))
        return proof

    def _source(self, kind: hub_cache.Kind, public_id: str, maker: str | None = None) -> Source:
        """What was loaded under a public id: the hub's, or the stand-in, with its checkpoint's ``maker`` if it has one."""
        if self.hub:
            revision = hub_cache.cached_revision(kind, public_id)
            return Source(id=public_id, stand_in=False, sha256=None, maker=None, revision=revision)
        path = f"models/checkpoints/{maker}.py" if maker else None
        return Source(id=public_id, stand_in=True, sha256=self.guide.stand_in, maker=path, revision=None)

    def _execute(self, notebook: NotebookNode, folder: str, what: str) -> NotebookNode:
        """Run a notebook, or a control of it in another thread, which ends once a person interrupted."""

        def tick(cell: int | None) -> None:
            if self.interrupted.is_set():
                raise KeyboardInterrupt
            place = f"cell {cell} of {len(self.notebook.cells)}" if cell else "its kernel starts"
            self.doing(f"{what} {place}", time.monotonic() - self.started)

        return execute(notebook, self.folder / folder, self.python, self.variables, 60.0 * self.table.minutes, tick)
