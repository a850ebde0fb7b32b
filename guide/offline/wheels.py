"""Wheels for a node: uv finds which versions it needs, pip fetches them.

pip alone would evaluate the markers of requirements on the machine that it runs on (pypa/pip 11664).
"""

import ast
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.tags import Tag
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from guide.offline.demands import Demand, Node, named
from guide.project import GuideError

UNREACHED = "Failed to fetch"  # in uv's refusal, where it is the index that was not reached
UV_PLATFORM = "x86_64-manylinux_2_40"  # the newest glibc that uv knows; what the wheels found need is told at the end
# An option of pip, and the environment variable by which uv takes it. uv has none for the last, so pip's own stands for it.
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "constraint": "UV_CONSTRAINT",
    "trusted-host": "UV_INSECURE_HOST",
    "proxy": "ALL_PROXY",
    "cert": "SSL_CERT_FILE",
    "no-index": "PIP_NO_INDEX",
}
# pip matches each platform name exactly and prefers the earlier ones, so all are named, and the oldest glibc first:
# of two builds of one version, the one that runs on more nodes is taken.
MANYLINUX = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17} | {f"manylinux_2_{n}": n for n in range(5, 41)}
PLATFORMS = [f"{name}_x86_64" for name in sorted(MANYLINUX, key=MANYLINUX.__getitem__)] + ["linux_x86_64", "any"]
NO_TORCH = "torch<0\ntriton<0\n"  # a build that asks for torch would download it, and is one for the node anyway
BUILD_SECONDS = 600  # pure Python is built in far less; what takes longer is compiling


class Pin(NamedTuple):
    """A package in one version."""

    name: str
    version: Version

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


def uv_settings(listing: str) -> dict[str, str]:
    """What ``pip config list`` says of indexes, as the environment variables that uv reads."""
    found = {}
    for section in ["global", "download", ":env:"]:  # later ones win
        for option, value in re.findall(rf"^{section}\.([\w-]+)=(.*)$", listing, re.MULTILINE):
            if option in SETTINGS:
                found[SETTINGS[option]] = ("," if option == "find-links" else " ").join(ast.literal_eval(value).split())
    return found


def resolve(
    demands: Sequence[Demand], excluded: Collection[str], node: Node, folder: Path, settings: Mapping[str, str]
) -> dict[Pin, bool]:
    """Versions that meet all demands, each with whether there is a wheel of it for the node.

    Nothing is found for the packages that are excluded, whoever asks for them. ``folder`` is for the files that uv reads, and
    ``settings`` are those of ``uv_settings``. Raises GuideError if no versions will do.
    """
    excludes, constraints = folder / "excludes.txt", folder / "build-constraints.txt"
    constraints.write_text(NO_TORCH, encoding="utf-8")
    command = [
        *[sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--no-header", "--format", "pylock.toml"],
        *["--python", sys.executable, "--python-version", node.python, "--python-platform", UV_PLATFORM],
        *["--excludes", str(excludes), "--build-constraints", str(constraints)],
        *["--index-strategy", "unsafe-best-match"],  # as pip does: of all indexes the best version
        *(["--no-index"] if "PIP_NO_INDEX" in settings else []),
    ]
    asked, environment = "\n".join(str(demand.requirement) for demand in demands), {**settings, **os.environ}
    unknown: dict[Pin, bool] = {}  # of these there is only source, and only a build would tell what it requires
    while True:
        excludes.write_text("\n".join(sorted({*excluded, *(pin.name for pin in unknown)})), encoding="utf-8")
        result = subprocess.run(command, input=asked, capture_output=True, text=True, env=environment, check=False)
        if result.returncode == 0:
            packages = tomllib.loads(result.stdout).get("packages", [])
            return {Pin(one["name"], Version(one["version"])): "wheels" in one for one in packages} | unknown
        failed = re.search(r"Failed to (?:download and )?build `([\w.-]+)==([^`]+)`", result.stderr)
        if not failed or UNREACHED in result.stderr:
            raise GuideError(_why_not(result.stderr, demands, node))
        unknown[Pin(failed[1], Version(failed[2]))] = False


def said(refusal: str) -> str:
    """What uv's refusal says, in one line without its hints."""
    return " ".join(refusal.split("hint:")[0].split()).removeprefix("error: ")


def cause_of(text: str) -> str | None:
    """Why there are no versions that will do, by one line of uv's, empty where it gives none; None where it refuses for
    another reason."""
    return text.partition("cause: ")[2] if "No solution found" in text else None


def _why_not(refusal: str, demands: Sequence[Demand], node: Node) -> str:
    """One sentence of uv's refusal, with the notebooks that ask for what it names."""
    if UNREACHED in refusal:
        return "The package index cannot be reached: gather on a machine that is connected."
    text = said(refusal)
    if (cause := cause_of(text)) is None:
        return f"uv cannot find out what to gather: {text}"
    cause = cause.removesuffix(".").replace(". And ", "; and ")
    blamed = [one for one in demands if re.search(rf"{re.escape(str(one.requirement))}(?![\w.])", cause)]
    askers = f" (asked for are {named(blamed)})" if blamed else ""
    several = len({one.by for one in blamed if one.by.startswith("notebook ")}) > 1
    advice = "; give each notebook its own run and its own --to" if several else ""
    return f"No versions will do for {node}: {cause[:1].lower()}{cause[1:]}{askers}{advice}."


def fetch(pins: Mapping[Pin, bool], node: Node, folder: Path) -> dict[Pin, Path]:
    """The wheels of pins, each told whether there is one for the node; of the others those that build to pure Python."""
    wheels = [pin for pin, has_wheel in pins.items() if has_wheel]
    if wheels:
        tags = ["--python-version", node.python, "--implementation", "cp"]
        tags += [f"--abi={abi}" for abi in (f"cp{node.python.replace('.', '')}", "abi3", "none")]
        tags += [f"--platform={platform}" for platform in PLATFORMS]
        run_pip(["download", "--no-deps", "--only-binary=:all:", *tags, "--dest", str(folder), *map(str, wheels)])
    fetched = {Pin(*parse_wheel_filename(path.name)[:2]): path for path in folder.glob("*.whl")}
    built = {pin: path for pin in pins if pin not in wheels and (path := _build(pin, folder))}
    return {pin: fetched[pin] for pin in wheels} | built


def _build(pin: Pin, folder: Path) -> Path | None:
    target = Path(tempfile.mkdtemp(dir=folder))
    constraint = target / "constraint.txt"
    constraint.write_text(NO_TORCH, encoding="utf-8")
    environment = dict(os.environ)
    for variable in ["PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"]:  # the one or the other, by the version of pip
        environment[variable] = f"{environment.get(variable, '')} {constraint.as_uri()}".strip()
    try:
        run_pip(["wheel", "--no-deps", "--wheel-dir", str(target), str(pin)], environment, BUILD_SECONDS)
    except (GuideError, subprocess.TimeoutExpired):
        return None
    path = next(target.glob("*.whl"))
    return path if Tag("py3", "none", "any") in parse_wheel_filename(path.name)[3] else None


def run_pip(command: list[str], environment: Mapping[str, str] | None = None, seconds: int | None = None) -> str:
    """What pip prints; raises GuideError with its errors if it fails."""
    full = [sys.executable, "-m", "pip", "--no-input", "--no-color", "--disable-pip-version-check", *command]
    result = subprocess.run(full, capture_output=True, text=True, env=environment, timeout=seconds, check=False)
    if result.returncode == 0:
        return result.stdout
    lines = result.stderr.splitlines()
    errors = [line for line in lines if re.match(r"\s*error", line, re.IGNORECASE)] or lines[-1:]
    raise GuideError(f"'pip {command[0]}' failed: {' '.join(errors)}")


def needed_glibc(wheels: Sequence[Path]) -> int | None:
    """The least N for which all wheels run on glibc 2.N; None if none of them asks for a glibc."""
    least = []
    for wheel in wheels:
        platforms = {tag.platform.removesuffix("_x86_64") for tag in parse_wheel_filename(wheel.name)[3]}
        if known := [MANYLINUX[platform] for platform in platforms if platform in MANYLINUX]:
            least.append(min(known))
    return max(least, default=None)
