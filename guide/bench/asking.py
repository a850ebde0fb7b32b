"""Ask a module of ``guide.guest`` in the environment of a notebook; its answer is the last line it prints, in JSON."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from guide.project import GuideError, Project

MINUTES = 300  # after which a task counts as hung: one took 111 on two busy cores


def ask(
    project: Project, python: Path, module: str, task: list[str], folder: Path, variables: dict[str, str] | None = None
) -> dict[str, Any]:
    """What a guest answers to a task, run in ``folder``; raises GuideError with the last line it wrote if it dies."""
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(project.root)}
    command = [str(python), "-m", f"guide.guest.{module}", *task]
    log_path = folder / "-".join([module, *(word for word in task if word.isalpha())])
    log_path = log_path.with_suffix(".log")
    with log_path.open("w", encoding="utf-8") as log:
        try:
            environment = {**os.environ, **quiet, **(variables or {})}
            done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True,
                                  timeout=60 * MINUTES, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise GuideError(f"not done in {MINUTES} minutes") from None
    if done.returncode:
        lines = log_path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise GuideError((lines or [f"ended with {done.returncode} and no message"])[-1][:300])
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
