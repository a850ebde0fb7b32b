"""Run one notebook with nbmake, in a process of its own, and follow which cell runs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from guide.prove.failures import Failed, from_notebook

STARTS = 3  # of a kernel that dies before its first cell: two that start at once may choose the same port
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "PYTHONWARNINGS": "ignore:IProgress not found,ignore:install",  # tqdm and rich ask for ipywidgets, of no use to a proof
}
Tick = Callable[[int | None], None]
Events = dict[str, int]  # what guide.prove.watched told of a run until now


def execute(notebook: NotebookNode, folder: Path, python: Path, variables: dict[str, str], limit: float,
            tick: Tick) -> NotebookNode:  # fmt: skip
    """Run a notebook with nbmake in ``folder``, its kernel with ``python``: the executed notebook, which may show an error.

    ``limit`` in seconds holds for the whole; ``tick`` is called twice a second with the number of the cell
    that is running, None before the first, and may raise to end the run. Raises Failed if the kernel did not live to the end.
    """
    path = folder / "work" / "notebook.ipynb"
    for _ in range(STARTS):
        shutil.rmtree(folder, ignore_errors=True)
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
        done, events = _attempt(folder, python, variables, limit, tick)
        cell, died = events.get("cell"), "died" in events
        if cell or not died:
            break
    if done is None:
        raise Failed("timeout", f"Still running after {limit / 60:.0f} minutes", cell)
    if died:
        when = "while this cell ran" if cell else f"before its first cell, {STARTS} times in a row"
        raise Failed("dead kernel", f"The kernel died {when}", cell)
    executed = nbformat.read(path, as_version=4)
    if done and from_notebook(executed) is None:
        printed = (folder / "output.log").read_text(encoding="utf-8", errors="replace")
        raise Failed("error", " / ".join([line for line in printed.splitlines() if line.strip()][-3:])[:600])
    return executed


def _attempt(folder: Path, python: Path, variables: dict[str, str], limit: float, tick: Tick) -> tuple[int | None, Events]:
    """Run ``folder/work/notebook.ipynb`` once: the exit code of nbmake, None if it ran past ``limit``, and what happened."""
    path = folder / "events.json"

    def events() -> Events:
        return Events(json.loads(path.read_text(encoding="utf-8")) if path.exists() else {})

    process, ends = _start(folder, path, python, variables), time.monotonic() + limit
    try:
        while process.poll() is None and time.monotonic() < ends:
            tick(events().get("cell"))
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.5)
    finally:  # also when a person interrupts
        timed_out = process.poll() is None
        if timed_out:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return None if timed_out else process.returncode, events()


def _start(folder: Path, events: Path, python: Path, variables: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start nbmake in this interpreter on ``folder/work/notebook.ipynb``, with a kernel of its own that runs ``python``."""
    spec = folder / "jupyter" / "kernels" / "notebook" / "kernel.json"
    spec.parent.mkdir(parents=True)
    kernel = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": kernel, "display_name": "notebook", "language": "python"}))
    environment = {**os.environ, **QUIET, **variables, "JUPYTER_PATH": str(folder / "jupyter")}
    environment.pop("PYTHONPATH", None)
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment.get('PATH', '')}"  # what packages bring, such as ninja
    command = [sys.executable, "-P", str(Path(__file__).with_name("watched.py")), str(events)]
    command += ["--nbmake", "notebook.ipynb", "--nbmake-kernel=notebook", "--overwrite"]
    command += ["--nbmake-timeout=-1"]  # none for a cell, since the whole has one
    command += ["--disable-plugin-autoload", "-p", "nbmake.pytest_plugin"]  # whatever else this interpreter has
    command += ["--rootdir=.", "-c", os.devnull, "-p", "no:cacheprovider", "--color=no"]
    with (folder / "output.log").open("w", encoding="utf-8") as output:
        return subprocess.Popen(command, cwd=folder / "work", env=environment, stdout=output, stderr=subprocess.STDOUT,
                                start_new_session=True)  # fmt: skip
