"""An environment with packages of Colab's image at its versions, and copies of it that an install cell may change."""

import hashlib
import json
import os
import platform
import shutil
import sys
from collections.abc import Collection
from importlib.metadata import distributions
from pathlib import Path

from packaging.utils import canonicalize_name

from guide.facts.colab import Image
from guide.offline.demands import COMES_WITH_TORCH
from guide.project import Project
from guide.prove.environments import python_of, run_quietly

PIP = "pip"  # at the image's version too
NEWER = {"setuptools"}  # the torch that stands in asks for a newer one than the image has


def packages(image: Image, asked: Collection[str]) -> dict[str, str]:
    """Which packages of the image an environment needs: of those asked for what it has, what its kernel has imported, pip.

    torch, what comes with it and what is built for it, as 0.26.0+cu128 is, are left out: they are for a GPU, and large.
    """
    names = {*asked, *image.file.preloaded, PIP} & set(image.freeze) - NEWER
    for_cpus = [name for name in sorted(names) if not COMES_WITH_TORCH.fullmatch(name) and "+" not in image.freeze[name]]
    return {name: image.freeze[name] for name in for_cpus}


def prepare(project: Project, image: Image, asked: Collection[str], torch: str) -> Path:
    """The environment, made if it is new, with the pin ``torch`` in place of the image's; raises GuideError if pip fails.

    What these packages need beside comes in the image's versions. Older such environments are deleted.
    """
    found = packages(image, asked)
    key = hashlib.sha256(json.dumps([found, torch, platform.python_version()]).encode()).hexdigest()[:12]
    environment = project.build / "colab" / f"image-{key}"
    if (environment / "complete").exists():
        return environment
    for older in environment.parent.glob("image-*"):
        shutil.rmtree(older)
    run_quietly([sys.executable, "-m", "venv", str(environment)])
    versions = environment / "versions.txt"
    versions.write_text("".join(f"{name}=={version}\n" for name, version in packages(image, image.freeze).items()))
    pip = [str(python_of(environment)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    last = f"{PIP}=={found.pop(PIP)}"  # an older pip is slower, and nothing else asks for it
    run_quietly([*pip, "--constraint", str(versions), torch, *(f"{name}=={version}" for name, version in found.items())])
    run_quietly([*pip, last])
    (environment / "complete").touch()
    return environment


def copy(environment: Path, target: Path) -> Path:
    """The interpreter of a copy of an environment. They share their files: pip replaces a file, and writes in none."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(environment, target, symlinks=True, copy_function=_linked)
    for script in (target / "bin").iterdir():
        if script.is_file() and not script.is_symlink():
            content = script.read_bytes().replace(os.fsencode(environment), os.fsencode(target))
            mode = script.stat().st_mode
            script.unlink()
            script.write_bytes(content)
            script.chmod(mode)
    return python_of(target)


def installed(environment: Path) -> dict[str, str]:
    """{name: version} of what an environment has."""
    places = [str(path) for path in environment.glob("lib/python*/site-packages")]
    return {canonicalize_name(one.name): one.version for one in distributions(path=places)}


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
