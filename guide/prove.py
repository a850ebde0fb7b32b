"""Run notebooks and record what happened: every claim of the guide rests on what this writes.

Each notebook runs with nbmake, from a copy, in an environment of its own, off line on the stand-in model unless
``--hub`` is given. Then come two controls, one with quantization taken away and one with other bit widths than the text
says (other group sizes, where a format has one width alone): its checks must notice both.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import nbformat
from nbformat import NotebookNode
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from guide import environments, standin
from guide.failures import from_notebook, paragraph
from guide.machine import this_machine
from guide.method import read_method
from guide.notebooks import SHARED_TAG, build, fault
from guide.project import BUILD, PROOFS, ROOT, GuideError, check_names, relative
from guide.proof import (
    ENVIRONMENT_MIME,
    MEASURES_MIME,
    Failure,
    Machine,
    Proof,
    Source,
    committed,
    digest,
    output_data,
    pins,
    read,
)
from guide.script import Script, read_script

LOCAL_PROOFS = BUILD / "proofs"  # what was run in this checkout; --keep copies it to proofs/
RUNS = BUILD / "run"
INTERRUPTED = Event()  # by a person; what runs in other threads then stops
CHECK_TAG = "check"
NEEDS_TAG = "needs:"
CONTROL = """\
# The control: the same notebook, with every quantization_config taken away.
import transformers

_load = transformers.PreTrainedModel.from_pretrained.__func__


def _load_plain(cls, *args, quantization_config=None, **kwargs):
    return _load(cls, *args, **kwargs)


transformers.PreTrainedModel.from_pretrained = classmethod(_load_plain)
"""


@dataclass
class Options:
    force: bool
    keep: bool
    install: bool
    hub: bool


class Reporter:
    """Says which notebook runs, at which cell, for how long, and about how long is left."""

    def __init__(self, expected: dict[str, float]):
        self.console = Console()
        self.expected = expected  # seconds by notebook, from the last proof
        columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
        self.progress = Progress(*columns, console=self.console, transient=True)
        self.task = self.progress.add_task("")
        self.shown = 0.0

    def say(self, text: str) -> None:
        self.console.print(escape(text), soft_wrap=True, highlight=False)

    def doing(self, name: str, what: str, seconds: float = 0) -> None:
        """``seconds``: how long this notebook has been running."""
        rest = list(self.expected.items())
        later = sum(value for _, value in rest[[key for key, _ in rest].index(name) + 1 :])
        left = max(0.0, self.expected[name] - seconds) + later
        text = (
            f"{name}: {what}; about {left / 60:.0f} min left in all" if left > 60 else f"{name}: {what}; about a minute left"
        )
        self.progress.update(self.task, description=text)
        if not self.console.is_terminal and time.monotonic() - self.shown > 20:
            self.say(text)
            self.shown = time.monotonic()


def _until_checked(notebook: NotebookNode, machine: Machine) -> tuple[NotebookNode, list[int]]:
    """A copy up to the last check, to run on past errors, and the numbers (from 1) of the cells that must fail in it."""
    control = copy.deepcopy(notebook)
    must_fail = []
    for number, cell in enumerate(control.cells, start=1):
        tags = cell.metadata.get("tags", [])
        needs = next((tag.removeprefix(NEEDS_TAG) for tag in tags if tag.startswith(NEEDS_TAG)), "cpu")
        if CHECK_TAG in tags and machine.satisfies(needs):
            must_fail.append(number)
    control.cells = control.cells[: max(must_fail, default=0)]
    control.metadata["execution"] = {"allow_errors": True}
    return control, must_fail


def plain_copy(notebook: NotebookNode, machine: Machine, own: str = "") -> tuple[NotebookNode, list[int]]:
    """The control on plain weights; ``own`` is the script's code for calls other than ``from_pretrained``."""
    control, must_fail = _until_checked(notebook, machine)
    first_code = next((i for i, cell in enumerate(control.cells) if cell.cell_type == "code"), None)
    if first_code is not None:  # instead of the install cell, which does not run, so that the cells keep their numbers
        control.cells[first_code] = nbformat.v4.new_code_cell(f"{CONTROL}\n{own}")
    return control, must_fail


def swapped_copy(notebook: NotebookNode, machine: Machine, swap: dict[str, str]) -> tuple[NotebookNode, list[int]]:
    """The control with other widths; raises GuideError where a text to swap is not there."""
    control, must_fail = _until_checked(notebook, machine)
    wanted = re.compile("|".join(re.escape(text) for text in sorted(swap, key=len, reverse=True)))

    def swappable(cells: list[NotebookNode]) -> list[NotebookNode]:
        fixed = {CHECK_TAG, SHARED_TAG}
        return [cell for cell in cells if cell.cell_type == "code" and not fixed & set(cell.metadata.get("tags", []))]

    if missing := set(swap) - {text for cell in swappable(notebook.cells) for text in wanted.findall(cell.source)}:
        raise GuideError(f"The head's 'swap' names '{min(missing)}', which is in no code cell but checks")
    for cell in swappable(control.cells):
        cell.source = wanted.sub(lambda match: swap[match[0]], cell.source)
    return control, must_fail


def execute(notebook: NotebookNode, folder: Path, python: Path, variables: dict[str, str], limit: float,
            tick: Callable[[int], None], starts: int = 3) -> tuple[NotebookNode | None, Failure | None]:  # fmt: skip
    """Run a notebook with nbmake in ``folder``: the executed notebook, if the kernel lived to the end, and the failure.

    ``limit`` in seconds holds for each cell and for the whole; ``tick`` is called about once a second with the number
    of the cell that is running. A kernel that dies before its first cell is started anew, ``starts`` times in all: two that
    start at once may choose the same port.
    """
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / "work"
    work.mkdir(parents=True)
    path, log = work / "notebook.ipynb", folder / "cells.log"
    nbformat.write(notebook, path)
    kernel = environments.kernel_spec(python, folder / "jupyter")
    command = [sys.executable, "-m", "pytest", "--nbmake", path.name, f"--nbmake-kernel={kernel}", "--overwrite"]
    command += [f"--nbmake-timeout={int(limit)}", "--rootdir=.", "-c", os.devnull, "-p", "no:cacheprovider", "--color=no"]
    command += [f"--log-file={log}", "--log-file-level=DEBUG"]  # nbclient logs each cell as it starts
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TOKENIZERS_PARALLELISM": "false", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    quiet["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm asks for ipywidgets, which a proof has no use for
    everything = {**os.environ, **quiet, **variables, "JUPYTER_PATH": str(folder / "jupyter")}
    everything.pop("PYTHONPATH", None)
    everything["PATH"] = f"{python.parent}{os.pathsep}{everything.get('PATH', '')}"  # what packages bring, such as ninja
    code_cells = [i for i, cell in enumerate(notebook.cells, start=1) if cell.cell_type == "code"]
    code_cells = [i for i in code_cells if "skip-execution" not in notebook.cells[i - 1].metadata.get("tags", [])]

    def cell_now() -> int:
        started = log.read_text(encoding="utf-8", errors="replace").count("Executing cell:") if log.exists() else 0
        return code_cells[min(max(started, 1), len(code_cells)) - 1]

    with open(folder / "output.log", "w+", encoding="utf-8") as output:
        process = subprocess.Popen(command, cwd=work, env=everything, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True)  # fmt: skip
        started = time.monotonic()
        timed_out = False
        try:
            while process.poll() is None and not timed_out and not INTERRUPTED.is_set():
                time.sleep(0.5)
                tick(cell_now())
                timed_out = time.monotonic() - started > limit
        finally:  # also when a person interrupts
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        printed = output.read()
    if timed_out or "CellTimeoutError" in printed or "A cell timed out" in printed:
        return None, Failure(kind="timeout", message=f"Still running after {limit / 60:.0f} minutes", cell=cell_now())
    if "DeadKernelError" in printed or "Kernel died" in printed or "Kernel is dead" in printed:
        if starts > 1 and "Executing cell:" not in (log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""):
            return execute(notebook, folder, python, variables, limit, tick, starts - 1)
        return None, Failure(kind="dead kernel", message="The kernel died while this cell ran", cell=cell_now())
    executed = nbformat.read(path, as_version=4)
    failure = from_notebook(executed)
    if failure is None and process.returncode:
        last = [line for line in printed.splitlines() if line.strip()][-3:]
        failure = Failure(kind="error", message=" / ".join(last)[:600], cell=None)
    return executed, failure


def cleaned(executed: NotebookNode, source: NotebookNode, python: Path, folder: Path) -> NotebookNode:
    """The executed notebook as it is stored: the source's cells and metadata, with outputs, and no path of this machine."""
    result = copy.deepcopy(source)
    places = [(str(folder), "."), (str(python.parent.parent), "ENVIRONMENT"), (str(ROOT), "."), (str(Path.home()), "~")]

    def clean(text: str) -> str:
        for place, name in places:
            text = text.replace(place, name)
        text = re.sub(rf"{re.escape(tempfile.gettempdir())}/ipykernel_\d+/\d+\.py", "<cell>", text)
        text = re.sub(r"[^\n]*\r(?!\n)", "", text)  # a progress bar leaves only its last state
        text = re.sub(r"^.*\d+%\|.*\| *\d+/\d+ \[.*\]\n?", "", text, flags=re.MULTILINE)  # and a full one says nothing
        return without_repeats(text)

    for cell, run in zip(result.cells, executed.cells, strict=True):
        if cell.cell_type != "code":
            continue
        cell.execution_count = run.execution_count
        for output in run.outputs:
            last = cell.outputs[-1] if cell.outputs else None
            if output.output_type == "stream" and last and last.output_type == "stream" and last.name == output.name:
                last.text += output.text
            else:
                cell.outputs.append(output)
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = clean(output.text)
            elif output.output_type == "error":
                output.evalue, output.traceback = clean(output.evalue), [clean(line) for line in output.traceback]
            else:
                for mime, value in output.data.items():
                    output.data[mime] = clean(value) if isinstance(value, str) else value
        cell.outputs = [output for output in cell.outputs if not is_empty(output)]
    return result


def without_repeats(text: str) -> str:
    """Text in which a line that comes three times or more in a row stands once, with their number."""

    def once(match: re.Match) -> str:
        return f"{match['line']} [{match[0].count(chr(10))} such lines]\n"

    return re.sub(r"^(?P<line>.+)\n(?:(?P=line)\n){2,}", once, text, flags=re.MULTILINE)


def is_empty(output: NotebookNode) -> bool:
    """Whether an output has nothing to read: a stream without text, or a display that shows an empty string."""
    if output.output_type == "display_data" and "text/plain" in output.data:
        return not output.data["text/plain"].strip()
    return output.output_type == "stream" and not output.text.strip()


def sources(ids: dict[str, str | None], kind: str, hub: bool, cache: Path) -> list[Source]:
    """What was loaded under each public id: the stand-in with its digest, or the hub's revision as the cache has it.

    ``ids`` maps each to the maker of its stand-in, or to None where the reference model itself, or its text, stands in.
    """
    found = []
    for public, name in ids.items():
        if not hub:
            script = relative(standin.maker(name)) if name else None
            found.append(Source(id=public, stand_in=True, sha256=standin.digest(), maker=script, revision=None))
            continue
        reference = cache / f"{kind}--{public.replace('/', '--')}" / "refs" / "main"
        revision = reference.read_text().strip() if reference.exists() else None
        found.append(Source(id=public, stand_in=False, sha256=None, maker=None, revision=revision))
    return found


def hub_cache() -> Path:
    """The hub's cache on this machine, by the variables that huggingface_hub reads."""
    home = os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE", Path(home) / "hub"))


def run_notebook(script: Script, machine: Machine, options: Options, reporter: Reporter,
                 following: Script | None) -> tuple[NotebookNode, Proof]:  # fmt: skip
    """Run one notebook and its controls; returns what to store, whether it passed or failed.

    The environment of the ``following`` one is made meanwhile, in time that nothing else wants.
    """
    notebook = build(script)
    folder = RUNS / script.name
    cuda = machine.kind == "cuda"
    executed, failure, control_cells = None, None, []
    started = time.monotonic()

    def tick(what: str) -> Callable[[int], None]:
        total = len(notebook.cells)
        return lambda cell: reporter.doing(script.name, f"{what} cell {cell} of {total}", time.monotonic() - started)

    reporter.doing(script.name, "making its environment")
    python = Path(sys.executable)
    variables, table = {}, script.head.guide
    try:
        if options.install:
            python = environments.prepare(script, cuda)
        if not options.hub:
            cache = RUNS / f"{script.name}-hub"
            variables = standin.fill_cache(cache, python, table.models, table.checkpoints, table.texts)
    except GuideError as error:
        failure = Failure(kind="installation", message=str(error), cell=None)
    limit = 60.0 * table.minutes
    if failure is None:
        method = read_method(script.head.guide.method)
        names = method.names if method.notebooks[0] == script.name else []
        failure = unknown_argument(notebook, folder, python, names)
    if following and options.install:
        environments.prepare_ahead(following, cuda)
    started = time.monotonic()
    if failure is None:
        executed, failure = execute(notebook, folder, python, variables, limit, tick("running"))
    seconds = time.monotonic() - started
    if failure is None and not table.only_faults:
        failure, control_cells = run_controls(script, notebook, machine, lambda control, number, threads: execute(
            control, RUNS / f"{script.name}-control-{number}", python, variables | threads, limit,
            tick(f"control {number},")))  # fmt: skip

    stored = cleaned(executed, notebook, python, folder) if executed else notebook
    for_environment = output_data(stored, ENVIRONMENT_MIME)
    environment = for_environment[-1] if for_environment else {"machine": machine.model_dump(), "versions": {}}
    shown = output_data(stored, MEASURES_MIME)
    if failure is None and not shown and not table.only_faults:
        failure = Failure(kind="assertion", message="The notebook shows no table of measures", cell=None)
    proof = Proof.model_validate({
        "notebook": script.name,
        "digest": digest(script, stand_in=not options.hub),
        "status": "failed" if failure else "passed",
        "error": failure,
        "control": control_cells,
        "date": datetime.now(UTC).replace(microsecond=0).isoformat(),
        "seconds": round(seconds, 1),
        "machine": environment["machine"],
        "python": environment.get("python", ""),
        "pins": pins(script, cuda),
        "versions": environment["versions"],
        "models": sources(dict.fromkeys(table.models) | table.checkpoints, "models", options.hub, hub_cache()),
        "texts": sources(dict.fromkeys(table.texts), "datasets", options.hub, hub_cache()),
        "measures": shown[-1] if shown and not failure else [],
    })  # fmt: skip
    stored.metadata["proof"] = json.loads(proof.model_dump_json(by_alias=True))
    for work in RUNS.glob(f"{script.name}*/work"):
        if re.fullmatch(rf"{script.name}(-control-\d)?", work.parent.name):
            shutil.rmtree(work, ignore_errors=True)  # saved checkpoints weigh gigabytes with a real model
    return stored, proof


def unknown_argument(notebook: NotebookNode, folder: Path, python: Path, names: list[str]) -> Failure | None:
    """Ask the notebook's own environment whether it has the arguments that are used, and the names of the method's page."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "arguments.ipynb"
    nbformat.write(notebook, path)
    command = [str(python), "-m", "guide.arguments", str(path), *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        message = (
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "the check of arguments ended without a word"
        )
        return Failure(kind="error", message=message, cell=None)
    faults = json.loads(done.stdout.strip().splitlines()[-1])
    return Failure(kind="unknown argument", message=faults[0][1], cell=faults[0][0]) if faults else None


def run_controls(script: Script, notebook: NotebookNode, machine: Machine, run: Callable) -> tuple[Failure | None, list[int]]:
    """Run the controls: the first weakness they show, and the numbers of the cells that rightly failed in each.

    ``run`` takes a control, its number, and variables that share out the cores: on a CPU the controls run side by side,
    since they measure no speed; on a GPU, whose memory they would share, one after the other.
    """
    table = script.head.guide
    try:
        controls = {"on plain bf16 weights": plain_copy(notebook, machine, table.control)}
        if table.swap:
            controls["with other widths"] = swapped_copy(notebook, machine, table.swap)
    except GuideError as error:
        return Failure(kind="weak check", message=str(error), cell=None), []
    at_once = len(controls) if machine.kind == "cpu" else 1
    threads = {"OMP_NUM_THREADS": str(max(1, (machine.cores or 1) // at_once))} if at_once > 1 else {}
    with ThreadPoolExecutor(at_once) as pool:
        jobs = [pool.submit(run, control, n, threads) for n, (control, _) in enumerate(controls.values(), start=1)]
        try:
            wait(jobs)
        except KeyboardInterrupt:
            INTERRUPTED.set()
            raise
    for job, (how, (_, must_fail)) in zip(jobs, controls.items(), strict=True):
        ran, failure = job.result()
        failure = failure if ran is None else weak_check(ran, must_fail, how)
        if failure:
            return failure, []
    return None, must_fail


def weak_check(control: NotebookNode, must_fail: list[int], how: str) -> Failure | None:
    """The first check that a control passes, or that failed there for another reason than its assertions."""
    for number in must_fail:
        errors = [output for output in control.cells[number - 1].outputs if output.output_type == "error"]
        if not errors:
            return Failure(kind="weak check", message=f"This check also passes {how}", cell=number)
        if errors[0].ename != "AssertionError":
            message = f"{how.capitalize()} this check ends in {errors[0].ename}, not in a failed assertion"
            return Failure(kind="weak check", message=message, cell=number)
    return None if must_fail else Failure(kind="weak check", message="No cell is tagged 'check'", cell=None)


def is_unchanged(script: Script, machine: Machine, options: Options) -> bool:
    """Whether this checkout already holds a passed proof of exactly this notebook on this machine."""
    path = LOCAL_PROOFS / machine.slug / f"{script.name}.ipynb"
    if options.force or not path.exists():
        return False
    try:
        _, proof = read(path)
    except GuideError:
        return False
    return proof.status == "passed" and proof.digest == digest(script, stand_in=not options.hub)


def expected_seconds(script: Script) -> float:
    """How long the notebook and its control took when a proof was last made, doubled for the control; else its limit."""
    for path in [*LOCAL_PROOFS.glob(f"*/{script.name}.ipynb"), *committed(script.name)]:
        try:
            return 1.5 * read(path)[1].seconds + 60
        except GuideError:
            continue
    return 60.0 * script.head.guide.minutes


def prove(names: list[str], options: Options) -> int:
    """Prove the named notebooks, or all that can run here; returns the number that failed."""
    scripts = [read_script(name) for name in check_names(names)]
    for script in scripts:
        if found := fault(script):
            raise GuideError(found)
    machine = this_machine()
    failed, run, todo = 0, 0, []
    reporter = Reporter({script.name: expected_seconds(script) for script in scripts})
    for script in scripts:
        needs = script.head.guide.needs
        if not machine.satisfies(needs):
            if names:
                message = f"It needs {needs}; this machine ({machine.slug}) does not have that"
                reporter.say(paragraph(script.name, Failure(kind="wrong hardware", message=message, cell=None)))
                failed += 1
            else:
                reporter.say(f"{script.name}: left out, it needs {needs}.")
        elif is_unchanged(script, machine, options):
            reporter.say(f"{script.name}: unchanged since its proof of today's code on this machine, not run again.")
            keep(LOCAL_PROOFS / machine.slug / f"{script.name}.ipynb", machine, options)
        else:
            todo.append(script)
    reporter.expected = {script.name: reporter.expected[script.name] for script in todo}
    with reporter.progress:
        for script, following in zip(todo, [*todo[1:], None], strict=True):
            executed, proof = run_notebook(script, machine, options, reporter, following)
            path = LOCAL_PROOFS / machine.slug / f"{script.name}.ipynb"
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(executed, path)
            keep(path, machine, options)
            run += 1
            if proof.error:
                failed += 1
                reporter.say(paragraph(script.name, proof.error))
            else:
                weights = "the stand-in" if proof.stand_in else "the real model"
                checked = (
                    "it shows faults alone, and measures nothing."
                    if script.head.guide.only_faults
                    else f"without quantization or with other widths all {len(proof.control)} checks fail, as they must."
                )
                reporter.say(f"{script.name}: proven on {machine.slug} with {weights} in {proof.seconds:.0f} s; {checked}")
            for package, (pinned, found) in proof.differing_versions().items():
                if proof.versions:
                    reporter.say(f"{script.name}: {package} is pinned at {pinned}, ran with {found}.")
    done = len(scripts) - failed
    reporter.say(f"{run} run, {done} in order, {failed} failed; proofs in {relative(LOCAL_PROOFS / machine.slug)}.")
    return failed


def keep(path: Path, machine: Machine, options: Options) -> None:
    """With --keep, copy a proof to where it is committed from."""
    if options.keep:
        target = PROOFS / machine.slug / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s prove --", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="all that can run on this machine if none is given")
    parser.add_argument("--keep", action="store_true", help="store the proofs in proofs/<machine>/, to be committed")
    parser.add_argument("--force", action="store_true", help="run notebooks again that have not changed since their proof")
    parser.add_argument("--no-install", action="store_true", help="use this interpreter and the packages it has")
    parser.add_argument("--hub", action="store_true", help="load the real models from the hub, not the stand-in")
    arguments = parser.parse_args()
    options = Options(arguments.force, arguments.keep, not arguments.no_install, arguments.hub)
    try:
        sys.exit(1 if prove(arguments.names, options) else 0)
    except GuideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
