"""One environment a notebook, kept between runs and keyed by its pins."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Lock, Thread

from guide.project import BUILD, GuideError
from guide.script import Script

ENVIRONMENTS = BUILD / "environments"
KERNEL = "ipykernel==7.4.0"  # what nbmake talks to; the only package beside a notebook's pins
ONE_AT_A_TIME = Lock()


def python_of(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare(script: Script, cuda: bool, background: bool = False) -> Path:
    """The interpreter of the notebook's own environment, made if its pins are new; raises GuideError if pip fails.

    An older environment of the same notebook is deleted, so that they do not pile up. In the ``background`` it takes only
    the time that nothing else wants.
    """
    with ONE_AT_A_TIME:
        return _prepared(script, cuda, ["nice", "-n", "19"] if background and os.name == "posix" else [])


def prepare_ahead(script: Script, cuda: bool) -> None:
    """Begin ``prepare`` in the background; what fails there is left for ``prepare`` to say when its turn comes."""

    def attempt() -> None:
        try:
            prepare(script, cuda, background=True)
        except GuideError:
            pass

    Thread(target=attempt, daemon=True).start()


def _prepared(script: Script, cuda: bool, prefix: list[str]) -> Path:
    pins, unwanted = [*script.head.pins(cuda), KERNEL], script.head.guide.unwanted
    steps = script.head.install_steps(cuda)
    asked = [pins, unwanted, platform.python_version(), *([step.variables for step in steps] if len(steps) > 1 else [])]
    key = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:12]
    environment = ENVIRONMENTS / f"{script.name}-{key}"
    complete = environment / "complete"
    if complete.exists():
        return python_of(environment)
    for older in ENVIRONMENTS.glob(f"{script.name}-*"):
        if older.name.rpartition("-")[0] == script.name:
            shutil.rmtree(older)
    python, pip = python_of(environment), ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    commands = [([sys.executable, "-m", "venv", environment], {})]
    for number, step in enumerate(steps):
        beside = [KERNEL] if number == 0 else pins  # named again, so that no later step moves them
        # Without compiling: a notebook imports a small part of what is installed, and compiles that as it does.
        commands.append(([python, *pip, "install", "--no-compile", *step.options, *step.pins, *beside], step.variables))
    if unwanted:
        commands.append(([python, *pip, "uninstall", "--yes", *unwanted], {}))
    for command, variables in commands:
        everything = {**os.environ, **variables}
        done = subprocess.run([*prefix, *map(str, command)], capture_output=True, text=True, check=False, env=everything)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            errors = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
            raise GuideError(" ".join(errors)[:600])
    complete.touch()
    return python_of(environment)


def kernel_spec(python: Path, folder: Path) -> str:
    """Write a Jupyter kernel that runs ``python`` below ``folder``, to be named in JUPYTER_PATH; returns its name."""
    name = "notebook"
    target = folder / "kernels" / name
    target.mkdir(parents=True)
    command = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (target / "kernel.json").write_text(json.dumps({"argv": command, "display_name": name, "language": "python"}))
    return name
