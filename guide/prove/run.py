"""One proof: its steps, one after the other, each of which may end it.

A notebook runs from a copy, in an environment of its own, off line on the stand-in model unless the real ones are asked for.
Then come its controls, which its checks must notice.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from threading import Event

import nbformat
from nbformat import NotebookNode

from guide.facts.guide import Guide
from guide.facts.proof import MEASURES_MIME, Machine, Proof, output_data
from guide.guest import arguments
from guide.project import GuideError
from guide.prove import environments, hub_cache
from guide.prove.cleaning import cleaned
from guide.prove.controls import Control, check_weakness, controls_of
from guide.prove.failures import Failed, from_notebook
from guide.prove.kernel import Tick, execute
from guide.prove.record import Outcome, record

Doing = Callable[[str, float], None]  # takes what a run does, and for how many seconds it has been running


@dataclass(frozen=True)
class Options:
    """How to run notebooks."""

    install: bool = True  # in an environment of its own, else in this interpreter with what it has
    hub: bool = False  # on the real models, else on the stand-in


class Run:
    """The run of one notebook on this machine; ``prove`` takes all steps."""

    def __init__(self, guide: Guide, name: str, machine: Machine, options: Options, doing: Doing):
        self.guide, self.script, self.machine, self.options = guide, guide.scripts[name], machine, options
        self.table, self.notebook = self.script.head.guide, guide.notebooks[name]
        self.folder = guide.project.build / "run" / name
        self.python, self.variables = Path(sys.executable), dict[str, str]()
        self.executed: NotebookNode | None = None
        self.outcome = Outcome()
        self.doing, self.started = doing, time.monotonic()

    def prove(self, following: str | None = None) -> tuple[NotebookNode, Proof]:
        """What to store, whether it passed or failed, and its record, which it holds.

        The environment of the ``following`` notebook is made meanwhile, in time that nothing else wants.
        """
        try:
            self.prepare()
            self.check_arguments()
            if following and self.options.install:
                script, cuda = self.guide.scripts[following], self.machine.kind == "cuda"
                environments.prepare_ahead(self.guide.project, script, cuda)
            self.run()
            if not self.table.only_faults:
                self.run_controls()
                self.check_measures()
        except Failed as failed:
            self.outcome.error = failed.failure
        stored = self.stored()
        proof = record(self.guide, self.script.name, self.machine, self.options.hub, stored, self.outcome)
        for work in self.folder.glob("*/work"):
            shutil.rmtree(work, ignore_errors=True)  # saved checkpoints weigh gigabytes with a real model
        return stored, proof

    def prepare(self) -> None:
        """Make the notebook's environment, and the cache of what stands in for public models."""
        self.doing("making its environment", 0)
        project = self.guide.project
        try:
            if self.options.install:
                self.python = environments.prepare(project, self.script, self.machine.kind == "cuda")
            if not self.options.hub:
                cache = self.folder / "hub"
                self.variables = hub_cache.fill(project, self.guide.stand_in, cache, self.python, self.table)
        except GuideError as error:
            raise Failed("installation", str(error)) from error

    def check_arguments(self) -> None:
        """Ask the environment whether it has the arguments that are used, and the names of the page that this proves first."""
        method = self.guide.method_of(self.script)
        names = method.names if method.notebooks[:1] == [self.script.name] else []
        path = self.folder / "arguments.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(self.notebook, path)
        command = [str(self.python), "-m", arguments.__name__, str(path), *names]
        home = Path(arguments.__file__).parents[2]  # from where it can be imported
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["the check of arguments ended without a word"]
            raise Failed("error", lines[-1])
        if faults := json.loads(done.stdout.strip().splitlines()[-1]):
            cell, sentence = faults[0]
            raise Failed("unknown argument", sentence, cell)

    def run(self) -> None:
        """Run the notebook as it is."""
        self.started = time.monotonic()
        try:
            self.executed = self._execute(self.notebook, "notebook", self._tick("running"))
        finally:
            self.outcome.seconds = time.monotonic() - self.started
        if failure := from_notebook(self.executed):
            raise Failed(failure.kind, failure.message, failure.cell)

    def run_controls(self) -> None:
        """Run the controls. On a CPU side by side, with the cores shared out, since they measure no speed; on a GPU, whose
        memory they would share, one after the other."""
        try:
            controls = controls_of(self.notebook, self.machine, self.table)
        except GuideError as error:
            raise Failed("weak check", str(error)) from error
        at_once = len(controls) if self.machine.kind == "cpu" else 1
        threads = {"OMP_NUM_THREADS": str(max(1, self.machine.cores // at_once))} if at_once > 1 else {}
        interrupted = Event()

        def run(number: int, control: Control) -> None:
            tick = self._tick(f"control {number},", interrupted)
            check_weakness(self._execute(control.notebook, f"control-{number}", tick, threads), control)

        with ThreadPoolExecutor(at_once) as pool:
            jobs = [pool.submit(run, number, control) for number, control in enumerate(controls, start=1)]
            try:
                wait(jobs)
            except KeyboardInterrupt:
                interrupted.set()
                raise
        for job in jobs:
            job.result()
        self.outcome.control = controls[0].must_fail

    def check_measures(self) -> None:
        """The notebook must show what it measured."""
        if not output_data(self.stored(), MEASURES_MIME):
            raise Failed("assertion", "The notebook shows no table of measures")

    def stored(self) -> NotebookNode:
        """What to store: the executed notebook cleaned; as far as it never ran, the notebook itself."""
        places = {self.folder / "notebook": ".", self.python.parent.parent: "ENVIRONMENT",
                  self.guide.project.root: ".", Path.home(): "~"}  # fmt: skip
        ran = self.executed or self.notebook
        return cleaned(ran, self.notebook, {str(place): name for place, name in places.items()})

    def _execute(self, notebook: NotebookNode, folder: str, tick: Tick, threads: dict[str, str] | None = None) -> NotebookNode:
        variables = self.variables | (threads or {})
        return execute(notebook, self.folder / folder, self.python, variables, 60.0 * self.table.minutes, tick)

    def _tick(self, what: str, interrupted: Event | None = None) -> Tick:
        """Shows the cell that runs; ends what runs in another thread once a person interrupted."""

        def tick(cell: int | None) -> None:
            if interrupted and interrupted.is_set():
                raise KeyboardInterrupt
            place = f"cell {cell} of {len(self.notebook.cells)}" if cell else "its kernel starts"
            self.doing(f"{what} {place}", time.monotonic() - self.started)

        return tick
