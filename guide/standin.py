"""A Hugging Face cache that holds the reference model under the public ids a notebook asks for.

With ``HF_HUB_OFFLINE=1`` an unmodified ``from_pretrained("ORG/NAME")`` then loads the stand-in. Nothing in a notebook
knows about it; the proof does, and says so.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path

from guide.project import REFERENCE_MODEL, GuideError

WEIGHTS = REFERENCE_MODEL / "model.safetensors"
HELD_OUT = REFERENCE_MODEL / "heldout.txt"
MODEL_FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

# What stands in for each public data set: the file a notebook asks for, and the name of the text within it.
TEXTS = {"ggml-org/ci": ("wikitext-2-raw-v1.zip", "wikitext-2-raw/wiki.test.raw")}


def digest() -> str:
    """SHA-256 of the stand-in: weights, tokenizer and held-out text."""
    total = hashlib.sha256()
    for path in (WEIGHTS, REFERENCE_MODEL / "tokenizer.json", HELD_OUT):
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


def fill_cache(cache: Path, models: list[str], texts: list[str]) -> dict[str, str]:
    """Make ``cache`` anew with the stand-in under all ids; returns the environment variables that select it."""
    revision = digest()[:40]
    shutil.rmtree(cache, ignore_errors=True)
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
