"""What installing pins would change of packages that are there, found by uv for another machine and without installing."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import Version

from guide.offline.demands import COMES_WITH_TORCH
from guide.offline.wheels import UNREACHED, cause_of, said
from guide.project import GuideError

# Of this machine's settings those by which an index is reached; its further indexes and constraints are none of the other's.
REACHING = {"UV_DEFAULT_INDEX", "UV_INSECURE_HOST", "ALL_PROXY", "SSL_CERT_FILE"}


class Unresolvable(GuideError):
    """There are no versions that will do."""


@dataclass(frozen=True)
class Upgrades:
    """What pip would leave of some pins and all that they need."""

    wanted: dict[str, str]  # {name: version}, in Colab's or a newer one
    replaced: dict[str, tuple[str, str]]  # of what was there, the version before and after


def upgrades(
    pins: Sequence[str], have: Mapping[str, str], python: str, glibc: str, folder: Path, settings: Mapping[str, str]
) -> Upgrades:
    """What ``pip install PINS`` would leave on Linux x86-64 with CPython ``python``, a ``glibc`` and the packages ``have``.

    As pip does, a version that is there is kept where all requirements allow it. 2.11.0+cu128, which is on no index, counts as
    2.11.0; what comes with torch is not compared. ``settings`` are those of ``uv_settings``. Raises Unresolvable with the
    reason if no versions will do, GuideError if that cannot be found out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    answer = folder / "kept.txt"  # uv keeps to the versions of the file that it is to write
    platform = f"x86_64-manylinux_{glibc.replace('.', '_')}"
    answer.write_text("".join(f"{name}=={Version(version).public}\n" for name, version in have.items()), encoding="utf-8")
    command = [
        *[sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate"],
        *["--output-file", str(answer)],
        *["--python", sys.executable, "--python-version", python, "--python-platform", platform],
    ]
    asked = "\n".join(pins)
    environment = {name: value for name, value in settings.items() if name in REACHING} | os.environ
    done = subprocess.run(command, input=asked, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise why_not(done.stderr)
    lines = [line.partition("==") for line in answer.read_text(encoding="utf-8").splitlines() if "==" in line]
    wanted: dict[str, str] = {canonicalize_name(name): version.partition(" ")[0] for name, _, version in lines}
    changed: dict[str, tuple[str, str]]
    changed = {name: (have[name], version) for name, version in wanted.items()
               if name in have and Version(version).public != Version(have[name]).public}  # fmt: skip
    return Upgrades(dict(wanted), {name: pair for name, pair in changed.items() if name == "torch" or not _of_torch(name)})


def why_not(refusal: str) -> GuideError:
    """The reason that uv gives, as one sentence without what follows from it."""
    if UNREACHED in refusal:
        return GuideError("The package index cannot be reached: try it on a machine that is connected.")
    text = said(refusal)
    if (found := cause_of(text)) is None:
        return GuideError(f"uv cannot find out what pip would do: {text}")
    cause = re.sub(r"\{[^}]*\}", "", found or text)
    cause = re.split(r", we can conclude| and you require", cause.removeprefix("Because ").replace("`", ""))[0]
    return Unresolvable(f"pip finds no versions that will do: {cause.rstrip('.')}.")


def _of_torch(name: str) -> bool:
    return bool(COMES_WITH_TORCH.fullmatch(name))
