"""A Hugging Face cache that holds the reference model under the public ids a notebook asks for.

With ``HF_HUB_OFFLINE=1`` an unmodified ``from_pretrained("ORG/NAME")`` then loads the stand-in, and the proof says so.
A checkpoint that is published quantized is made by a script of ``models/checkpoints/``, with the packages of its notebook.
"""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from guide.notebooks.script import GuideTable
from guide.project import GuideError, Project, last_line

MODEL_FILES = ("config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")

CARD = "---\nlicense: apache-2.0\n---\nThe guide's small reference model, under the name of a public one.\n"

# What stands in for each public data set: the file a notebook asks for, the names of its texts, and which part of the
# stand-in's text each is. What trains lies behind the windows that notebooks evaluate, which are the first.
TEXTS = {
    "ggml-org/ci": (
        "wikitext-2-raw-v1.zip",
        {"wikitext-2-raw/wiki.test.raw": slice(None), "wikitext-2-raw/wiki.train.raw": slice(130_000, None)},
    )
}

Kind = Literal["models", "datasets"]


def text_of(public_id: str) -> tuple[str, dict[str, slice]]:
    """The file of a public data set that notebooks ask for, and its texts; raises GuideError if none is known."""
    if public_id not in TEXTS:
        advice = "add it to TEXTS in guide/prove/hub_cache.py"
        raise GuideError(f"No stand-in is known for the data set '{public_id}': {advice}.")
    return TEXTS[public_id]


def main_of(cache: Path, kind: Kind, public_id: str) -> Path:
    """The file that names a repository's revision in a hub cache, the folder that ``HF_HUB_CACHE`` names."""
    return cache / f"{kind}--{public_id.replace('/', '--')}" / "refs" / "main"


def snapshot(cache: Path, kind: Kind, public_id: str, revision: str) -> Path:
    """Make the empty folder in which the cache below ``HF_HOME=cache`` keeps one revision, and name it ``main``."""
    main = main_of(cache / "hub", kind, public_id)
    main.parent.mkdir(parents=True)
    main.write_text(revision)
    folder = main.parents[1] / "snapshots" / revision
    folder.mkdir(parents=True)
    return folder


def own_cache() -> Path:
    """This machine's own cache, as huggingface_hub finds it."""
    home = os.environ.get("HF_HOME", f"{os.environ.get('XDG_CACHE_HOME', '~/.cache')}/huggingface")
    cache = os.environ.get("HF_HUB_CACHE", os.environ.get("HUGGINGFACE_HUB_CACHE", f"{home}/hub"))
    return Path(os.path.expandvars(cache)).expanduser()


def cached_revision(kind: Kind, public_id: str) -> str | None:
    """The revision that this machine's own cache has of a repository, if it has any."""
    main = main_of(own_cache(), kind, public_id)
    return main.read_text().strip() if main.exists() else None


def name_main(kind: Kind, public_id: str, revision: str) -> None:
    """Let a downloaded revision be the one that a notebook gets off line, as it asks for none."""
    main = main_of(own_cache(), kind, public_id)
    main.parent.mkdir(parents=True, exist_ok=True)
    main.write_text(revision)


def local_kernels() -> dict[str, str]:
    """Kernels that ``LOCAL_KERNELS``, which the package ``kernels`` reads, puts in the hub's place: what each was made of."""
    entries = [entry.partition("=") for entry in os.environ.get("LOCAL_KERNELS", "").split(":") if entry]
    return {repository: _source_of(Path(folder)) for repository, _, folder in entries}


def _source_of(folder: Path) -> str:
    """What the metadata of a kernel in ``folder`` name as its source."""
    for path in sorted(folder.rglob("metadata.json")):
        if source := json.loads(path.read_text(encoding="utf-8")).get("source"):
            return str(source)
    return "a folder that does not name its source"


def make_checkpoint(maker: Path, python: Path, model: Path, target: Path, public_id: str) -> None:
    """Quantize ``model`` into the folder ``target`` with the script ``maker``, run by ``python``; GuideError if it fails."""
    command = [str(part) for part in (python, maker, model, target)]
    with TemporaryDirectory() as work:
        quiet = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run(command, cwd=work, env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        said = last_line(done)[:400]
        raise GuideError(f"models/checkpoints/{maker.name} could not make the stand-in for {public_id}: {said}")


def fill(project: Project, stand_in: str, cache: Path, python_for: Callable[[str], Path], table: GuideTable) -> dict[str, str]:
    """Make ``cache`` anew with the stand-in, of digest ``stand_in``, under all ids of a head.

    ``python_for`` gives the interpreter that a maker runs with.

    Returns the environment variables that select it; raises GuideError if something cannot be made.
    """
    revision = stand_in[:40]
    shutil.rmtree(cache, ignore_errors=True)
    for public_id, maker in table.checkpoints.items():
        target = snapshot(cache, "models", public_id, revision)
        make_checkpoint(project.makers / f"{maker}.py", python_for(maker), project.reference, target, public_id)
    for public_id in table.models:
        target = snapshot(cache, "models", public_id, revision)
        for name in MODEL_FILES:
            shutil.copyfile(project.reference / name, target / name)
        (target / "README.md").write_text(CARD, encoding="utf-8")
    for public_id in table.texts:
        file_name, members = text_of(public_id)
        text = (project.reference / "heldout.txt").read_text(encoding="utf-8")
        with zipfile.ZipFile(snapshot(cache, "datasets", public_id, revision) / file_name, "w") as archive:
            for member, part in members.items():
                archive.writestr(member, text[part])
    return {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1"}
