"""Run one notebook with nbmake, in a process of its own, and follow which cell runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from guide.prove.failures import Failed, from_notebook

STARTS = 3  # of a kernel that dies before its first cell: two that start at once may choose the same port
QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    "PYTHONWARNINGS": "ignore:IProgress not found",  # tqdm asks for ipywidgets, which a proof has no use for
}
Tick = Callable[[int | None], None]


@dataclass(frozen=True)
class Events:
    """What ``guide.prove.watched`` told of a run until now."""

    cell: int | None = None  # the one that was started last, counted from 1
    died: bool = False  # the kernel

    @classmethod
    def read(cls, path: Path) -> Events:
        """The events of a run that may be under way."""
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        told: dict[str, Any] = {}
        for line in lines:
            if line.endswith("\n"):  # else it is being written
                told |= json.loads(line)
        return cls(**told)


def execute(notebook: NotebookNode, folder: Path, python: Path, variables: dict[str, str], limit: float,
            tick: Tick) -> NotebookNode:  # fmt: skip
    """Run a notebook with nbmake in ``folder``, its kernel with ``python``: the executed notebook, which may show an error.

    ``limit`` in seconds holds for the whole; ``tick`` is called twice a second with the number of the cell
    that is running, None before the first, and may raise to end the run. Raises Failed if the kernel did not live to the end.
    """
    path, events = folder / "work" / "notebook.ipynb", Events()
    for _ in range(STARTS):
        shutil.rmtree(folder, ignore_errors=True)
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)
        done, events = _attempt(folder, python, variables, limit, tick)
        if not events.died or events.cell:
            break
    if done is None:
        raise Failed("timeout", f"Still running after {limit / 60:.0f} minutes", events.cell)
    if events.died:
        when = "while this cell ran" if events.cell else f"before its first cell, {STARTS} times in a row"
        raise Failed("dead kernel", f"The kernel died {when}", events.cell)
    executed = nbformat.read(path, as_version=4)
    if done and from_notebook(executed) is None:
        printed = (folder / "output.log").read_text(encoding="utf-8", errors="replace")
        raise Failed("error", " / ".join([line for line in printed.splitlines() if line.strip()][-3:])[:600])
    return executed


def _attempt(folder: Path, python: Path, variables: dict[str, str], limit: float, tick: Tick) -> tuple[int | None, Events]:
    """Run ``folder/work/notebook.ipynb`` once: the exit code of nbmake, None if it ran past ``limit``, and what happened."""
    path = folder / "events.jsonl"
    environment = {**os.environ, **QUIET, **variables, "JUPYTER_PATH": str(folder / "jupyter")}
    environment.pop("PYTHONPATH", None)
    environment["PATH"] = f"{python.parent}{os.pathsep}{environment.get('PATH', '')}"  # what packages bring, such as ninja
    with (folder / "output.log").open("w", encoding="utf-8") as output:
        command = _command(path, kernel_spec(python, folder / "jupyter"))
        process = subprocess.Popen(command, cwd=folder / "work", env=environment, stdout=output, stderr=subprocess.STDOUT,
                                   start_new_session=True)  # fmt: skip
        ends = time.monotonic() + limit
        try:
            while process.poll() is None and time.monotonic() < ends:
                tick(Events.read(path).cell)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
        finally:  # also when a person interrupts
            timed_out = process.poll() is None
            if timed_out:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return None if timed_out else process.returncode, Events.read(path)


def _command(events: Path, kernel: str) -> list[str]:
    """nbmake in this interpreter, on the notebook of the folder it is started in."""
    watched = Path(__file__).with_name("watched.py")
    command = [sys.executable, "-P", str(watched), str(events), "--nbmake", "notebook.ipynb", f"--nbmake-kernel={kernel}"]
    command += ["--overwrite", "--nbmake-timeout=-1"]  # none for a cell, since the whole has one
    command += ["--disable-plugin-autoload", "-p", "nbmake.pytest_plugin"]  # whatever else this interpreter has
    return [*command, "--rootdir=.", "-c", os.devnull, "-p", "no:cacheprovider", "--color=no"]


def kernel_spec(python: Path, folder: Path) -> str:
    """Write a Jupyter kernel that runs ``python`` below ``folder``, to be named in JUPYTER_PATH; returns its name."""
    name = "notebook"
    target = folder / "kernels" / name
    target.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (target / "kernel.json").write_text(json.dumps({"argv": command, "display_name": name, "language": "python"}))
    return name
