"""The proofs of this checkout: what was run in it, before ``--keep`` copies it to where it is committed from."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from guide.facts.guide import Guide
from guide.facts.proof import Machine, Proof, parse_proof
from guide.project import GuideError, Project


def folder(project: Project, machine: Machine) -> Path:
    """Where the proofs of one machine are."""
    return project.build / "proofs" / machine.slug


def path(project: Project, machine: Machine, name: str) -> Path:
    """Where the proof of a notebook is."""
    return folder(project, machine) / f"{name}.ipynb"


def read(project: Project, machine: Machine, name: str) -> Proof | None:
    """The record of a notebook's proof, None where there is none that can be read."""
    file = path(project, machine, name)
    if not file.exists():
        return None
    try:
        return parse_proof(project.relative(file), file.read_text(encoding="utf-8"))[1]
    except (GuideError, UnicodeDecodeError):
        return None


def write(project: Project, machine: Machine, name: str, executed: NotebookNode) -> None:
    """Store an executed notebook that carries its record."""
    file = path(project, machine, name)
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(executed, file)


def keep(project: Project, machine: Machine, name: str) -> None:
    """Copy a proof to where it is committed from."""
    target = project.proofs / machine.slug / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # not written through: it may be a link
    shutil.copyfile(path(project, machine, name), target)


def is_current(guide: Guide, machine: Machine, name: str, hub: bool) -> bool:
    """Whether this checkout already holds a passed proof of exactly this notebook on this machine."""
    proof = read(guide.project, machine, name)
    return proof is not None and proof.status == "passed" and proof.digest == guide.digest(name, stand_in=not hub)


def expected_seconds(guide: Guide, machine: Machine, name: str) -> float:
    """How long a notebook and its controls will take: by the last proof here, else by the one to show, else its limit."""
    best = guide.best(name)
    proof = read(guide.project, machine, name) or (best.proof if best else None)
    return 1.5 * proof.seconds + 60 if proof else 60.0 * guide.scripts[name].head.guide.minutes
