"""A Hugging Face cache that holds the reference model under the public ids a notebook asks for.

With ``HF_HUB_OFFLINE=1`` an unmodified ``from_pretrained("ORG/NAME")`` then loads the stand-in. Nothing in a notebook
knows about it; the proof does, and says so. A checkpoint that is published quantized is made from the reference model by a
script of ``guide/checkpoints/``, with the packages of the notebook that loads it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

from guide.project import REFERENCE_MODEL, ROOT, GuideError, relative

CHECKPOINTS = ROOT / "guide" / "checkpoints"

WEIGHTS = REFERENCE_MODEL / "model.safetensors"
HELD_OUT = REFERENCE_MODEL / "heldout.txt"
FILES = (WEIGHTS, REFERENCE_MODEL / "tokenizer.json", HELD_OUT)
MODEL_FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

# What stands in for each public data set: the file a notebook asks for, and the name of the text within it.
TEXTS = {"ggml-org/ci": ("wikitext-2-raw-v1.zip", "wikitext-2-raw/wiki.test.raw")}


def digest() -> str:
    """SHA-256 of the stand-in: weights, tokenizer and held-out text."""
    total = hashlib.sha256()
    for path in FILES:
        if not path.exists():
            raise GuideError(f"The reference model has no {path.name}: check out models/reference, or run 'nox -s train'.")
        total.update(path.read_bytes())
    return total.hexdigest()


def _snapshot(cache: Path, kind: str, public_id: str, revision: str) -> Path:
    """The empty folder in which the hub's cache keeps one revision of a repository."""
    repository = cache / "hub" / f"{kind}--{public_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    snapshot = repository / "snapshots" / revision
    snapshot.mkdir(parents=True)
    return snapshot


def maker(name: str) -> Path:
    """The script that makes a quantized checkpoint: ``python SCRIPT REFERENCE_MODEL TARGET_FOLDER``."""
    path = CHECKPOINTS / f"{name}.py"
    if not path.exists():
        raise GuideError(f"There is no {relative(path)} to make a stand-in checkpoint with.")
    return path


def fill_cache(cache: Path, python: Path, models: list[str], checkpoints: dict[str, str], texts: list[str]) -> dict[str, str]:
    """Make ``cache`` anew with the stand-in under all ids; returns the environment variables that select it.

    ``checkpoints`` maps public ids to makers, which run with the interpreter ``python``; raises GuideError if one fails.
    """
    revision = digest()[:40]
    shutil.rmtree(cache, ignore_errors=True)
    for public_id, name in checkpoints.items():
        command = [python, maker(name), REFERENCE_MODEL, _snapshot(cache, "models", public_id, revision)]
        quiet = {**os.environ, "HF_HUB_OFFLINE": "1"}
        command = [str(part) for part in command]
        done = subprocess.run(command, cwd=cache, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise GuideError(f"{relative(maker(name))} could not make the stand-in for {public_id}: {last[:400]}")
    for public_id in models:
        snapshot = _snapshot(cache, "models", public_id, revision)
        for name in MODEL_FILES:
            shutil.copyfile(REFERENCE_MODEL / name, snapshot / name)
    for public_id in texts:
        if public_id not in TEXTS:
            raise GuideError(f"No stand-in is known for the data set '{public_id}': add it to TEXTS in guide/standin.py.")
        file_name, member = TEXTS[public_id]
        with zipfile.ZipFile(_snapshot(cache, "datasets", public_id, revision) / file_name, "w") as archive:
            archive.write(HELD_OUT, member)
    return {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
