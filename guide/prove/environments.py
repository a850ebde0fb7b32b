"""One environment a notebook, kept between runs and keyed by its pins.

They are made from the wheels that pip keeps in its own cache, those that it built from source too: a new environment of pins
that were installed before costs no download and no build. Nothing here turns that cache off.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Lock, Thread

from guide.notebooks.script import Script
from guide.project import GuideError, Project

KERNEL = "ipykernel==7.4.0"  # what nbmake talks to; the only package beside a notebook's pins
ONE_AT_A_TIME = Lock()


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare(project: Project, script: Script, cuda: bool, background: bool = False) -> Path:
    """The interpreter of the notebook's own environment, made if its pins are new; raises GuideError if pip fails.

    An older environment of the same notebook is deleted, so that they do not pile up. In the ``background`` it takes only
    the time that nothing else wants.
    """
    environment = project.build / "environments" / f"{script.name}-{_key(script, cuda)}"
    complete = environment / "complete"
    with ONE_AT_A_TIME:
        if not complete.exists():
            for older in environment.parent.glob(f"{script.name}-*"):
                if older.name.rpartition("-")[0] == script.name:
                    shutil.rmtree(older)
            for command, variables in _commands(environment, script, cuda):
                prefix = ["nice", "-n", "19"] if background and os.name == "posix" else []
                _run([*prefix, *command], variables)
            complete.touch()
    return python_of(environment)


def prepare_ahead(project: Project, script: Script, cuda: bool) -> None:
    """Begin ``prepare`` in the background; what fails there is left for ``prepare`` to say when its turn comes."""

    def attempt() -> None:
        try:
            prepare(project, script, cuda, background=True)
        except GuideError:
            pass

    Thread(target=attempt, daemon=True).start()


def _key(script: Script, cuda: bool) -> str:
    """Twelve characters that change with all that an environment is made of."""
    steps = script.head.install_steps(cuda)
    asked: list[object] = [[*script.head.pins(cuda), KERNEL], script.head.guide.unwanted, platform.python_version()]
    asked += [step.variables for step in steps] if len(steps) > 1 else []
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]


def _commands(environment: Path, script: Script, cuda: bool) -> Iterator[tuple[list[str], dict[str, str]]]:
    """The commands that make an environment, each with the variables it needs."""
    pip = [str(python_of(environment)), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    yield [sys.executable, "-m", "venv", str(environment)], {}
    for number, step in enumerate(script.head.install_steps(cuda)):
        # What the steps before installed is named again, so that no later one moves it.
        beside = [*script.head.pins(cuda), KERNEL] if number else [KERNEL]
        # Without compiling: a notebook imports a small part of what is installed, and compiles that as it does.
        yield [*pip, "install", "--no-compile", *step.options, *step.pins, *beside], step.variables
    if script.head.guide.unwanted:
        yield [*pip, "uninstall", "--yes", *script.head.guide.unwanted], {}


def _run(command: list[str], variables: dict[str, str]) -> None:
    """Run a command; raises GuideError with its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **variables})
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise GuideError(" ".join(errors)[:600])
