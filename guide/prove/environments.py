"""One environment a notebook, kept between runs and keyed by its pins.

pip's own cache stays on: a new environment of pins that were installed before costs no download and no build.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread

from guide.notebooks.script import Script
from guide.project import GuideError, Project
from guide.prove.locks import in_turn

KERNEL = "ipykernel==7.4.0"  # what nbmake talks to; the only package beside a notebook's pins
ONE_AT_A_TIME = Lock()  # of this process's own threads; other commands wait for a notebook's lock file


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare(project: Project, script: Script, cuda: bool, background: bool = False) -> Path:
    """The interpreter of the notebook's own environment, made if its pins are new; raises GuideError if pip fails.

    An older environment of the same notebook is deleted, so that they do not pile up. In the ``background`` it takes only
    the time that nothing else wants.
    """
    steps, pins, unwanted = script.head.install_steps(cuda), [*script.head.pins(cuda), KERNEL], script.head.guide.unwanted
    asked = [pins, unwanted, platform.python_version(), *([step.variables for step in steps] if len(steps) > 1 else [])]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]
    environment = project.build / "environments" / f"{script.name}-{key}"
    nice = ["nice", "-n", "19"] if background and os.name == "posix" else []
    pip = [*nice, str(python_of(environment)), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    with ONE_AT_A_TIME, in_turn(environment.parent / f"{script.name}.lock"):
        if (environment / "complete").exists() and python_of(environment).exists():  # the interpreter may be gone
            return python_of(environment)
        for older in environment.parent.glob(f"{script.name}-*"):
            if older.name.rpartition("-")[0] == script.name:
                shutil.rmtree(older)
        run_quietly([*nice, sys.executable, "-m", "venv", str(environment)])
        for number, step in enumerate(steps):
            # What the steps before installed is named again, so that no later one moves it.
            beside = pins if number else [KERNEL]
            # Without compiling: a notebook imports a small part of what is installed, and compiles that as it does.
            run_quietly([*pip, "install", "--no-compile", *step.options, *step.pins, *beside], step.variables)
        if unwanted:
            run_quietly([*pip, "uninstall", "--yes", *unwanted])
        (environment / "complete").touch()
    return python_of(environment)


def prepare_maker(project: Project, scripts: Mapping[str, Script], name: str, maker: str, cuda: bool) -> Path:
    """The interpreter that makes a checkpoint for the notebook ``name``: its own, or that of the notebook its head names."""
    return prepare(project, scripts[scripts[name].head.guide.made_with.get(maker, name)], cuda)


def prepare_ahead(project: Project, script: Script, cuda: bool) -> None:
    """Begin ``prepare`` in the background; what fails there is left for ``prepare`` to say when its turn comes."""

    def attempt() -> None:
        with suppress(GuideError):
            prepare(project, script, cuda, background=True)

    Thread(target=attempt, daemon=True).start()


def run_quietly(command: list[str], variables: dict[str, str] | None = None) -> None:
    """Run a command; raises GuideError with its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | (variables or {}))
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise GuideError(" ".join(errors)[:600])
