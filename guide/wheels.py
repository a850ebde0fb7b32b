"""Gather, on a connected machine, the wheels that a GPU node without a network lacks to prove notebooks.

Walks from the pins of the notebooks, and from what proving itself needs, through the requirements of each package, as
the node's own Python would see them. What the node has already (``--have``, its ``pip freeze``) is left out. torch is
left out too: a node has one that is built for its CUDA, and PyPI's costs gigabytes.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from packaging.dependency_groups import resolve_dependency_groups
from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from guide.project import BUILD, ROOT, GuideError, check_names, relative
from guide.script import Script, read_script

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
# pip matches each platform name exactly and prefers the earlier ones, so all are named, and the oldest glibc first:
# of two builds of one version, the one that runs on more nodes is taken.
MANYLINUX = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17} | {f"manylinux_2_{n}": n for n in range(5, 40)}
PLATFORMS = [f"{name}_x86_64" for name in sorted(MANYLINUX, key=MANYLINUX.get)] + ["linux_x86_64", "any"]
COMES_WITH_TORCH = re.compile(r"torch|triton|nvidia-.+|cuda-.+")
DOWNLOADS_PER_PACKAGE = 10  # one package may change its version so often before its requirements count as unsettled
BUILD_SECONDS = 600  # pure Python is built in far less; what takes longer is compiling
LARGEST = 5
MIB = 2**20
PART = ".part"  # the folder inside the target where downloads lie until the walk is done
REQUIREMENTS_HEAD = "# Written by 'nox -s wheels'. Each run replaces this file and the wheels beside it.\n"


class NoVersionError(Exception):
    """No version of a package, neither wheel nor source, meets the specifiers for the target."""


class MustCompileError(Exception):
    """A package comes as source only, and its build is not pure Python."""


class NoIndexError(GuideError):
    """pip reached no index; told apart from a build that failed."""


Fetch = Callable[[str, SpecifierSet], Path]  # (name, specifiers) -> a wheel; raises NoVersionError or MustCompileError


@dataclass(frozen=True)
class Demand:
    """A requirement, and who asks for it."""

    requirement: Requirement
    by: str

    @property
    def name(self) -> str:
        return canonicalize_name(self.requirement.name)

    def met_by(self, version: Version | None) -> bool:
        """Whether a version will do; an unknown one (None) is taken as good."""
        return version is None or self.requirement.specifier.contains(version, prereleases=True)


@dataclass(frozen=True, eq=False)  # compared by identity, so that `asks` can keep its answers
class Wheel:
    path: Path
    name: str
    version: Version
    requires: list[Requirement]

    def meets(self, demands: list[Demand]) -> bool:
        return all(demand.met_by(self.version) for demand in demands)


@dataclass(frozen=True)
class Node:
    """The machine to gather for: Linux x86-64 with CPython."""

    python: str  # "3.12"
    have: dict[str, Version | None]  # its packages; None where the version is unknown
    exact: bool = False  # whether a package in a version that a requirement excludes counts as lacking
    torch: bool = False  # whether torch, and what comes with it, may be gathered

    def environment(self, extra: str) -> dict[str, str]:
        """The values of the markers of PEP 508 on this node."""
        return {
            "extra": extra,
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.0",
            "os_name": "posix",
            "platform_machine": "x86_64",
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux",
        }

    def covers(self, name: str, demands: list[Demand]) -> bool:
        """Whether a package is not to be gathered: the node has it, or must have it with its torch."""
        if not self.torch and COMES_WITH_TORCH.fullmatch(name):
            return True
        return name in self.have and (not self.exact or all(demand.met_by(self.have[name]) for demand in demands))


@dataclass(frozen=True)
class Gathered:
    wheels: dict[str, Wheel]
    demands: dict[str, list[Demand]]  # all that was asked for, whether gathered or not
    to_compile: list[str]


HAVE_SKIPPED = re.compile(r"\s*|#.*|-[\s-]*|Package\s+Version\b.*")
HAVE_VERSION = re.compile(r"(?P<name>\w[\w.-]*?)(?:\s*===?\s*|\s+)(?P<version>\d[^\s;]*)(?:[\s;].*)?", re.ASCII)
HAVE_ADDRESS = re.compile(r"(?P<name>\w[\w.-]*?)(?:\[.*\])?\s*@\s*(?P<address>\S+).*", re.ASCII)
HAVE_EDITABLE = re.compile(r"-e\s.*?(?:#egg=(?P<egg>[\w.-]+).*)?", re.ASCII)
# `pip freeze` names a package in this comment and, in the next line, only its folder
HAVE_EDITABLE_NOTE = re.compile(r"# Editable .*\((?P<name>\w[\w.-]*?)==(?P<version>\d\S*)\)", re.ASCII)


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None  # distributions have their own, as Ubuntu's distro-info 1.1build1


def parse_have(text: str, source: str) -> dict[str, Version | None]:
    """The packages in the output of ``pip freeze`` or ``pip list``; a line that is neither raises with its number."""
    have = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if found := HAVE_EDITABLE_NOTE.fullmatch(line) or HAVE_VERSION.fullmatch(line):
            have[canonicalize_name(found["name"])] = _version(found["version"])
        elif found := HAVE_ADDRESS.fullmatch(line):
            # a wheel's file name tells the version: torch @ file:///opt/torch-2.11.0%2Bcu130-cp312-cp312-linux_x86_64.whl
            parts = found["address"].split("/")[-1].replace("%2B", "+").replace("%2b", "+").split("-")
            have[canonicalize_name(found["name"])] = _version(parts[1]) if len(parts) > 4 else None
        elif found := HAVE_EDITABLE.fullmatch(line):
            if found["egg"]:
                have[canonicalize_name(found["egg"])] = None
        elif not HAVE_SKIPPED.fullmatch(line):
            raise GuideError(f"{source}, line {number}, is no line of 'pip freeze' or 'pip list': '{line}'.")
    return have


def read_have(path: Path) -> dict[str, Version | None]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise GuideError(f"There is no file {path}: make it on the node with 'python3 -m pip freeze > FILE'.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise GuideError(f"{path} cannot be read as text: {error}.") from error
    return parse_have(text, str(path))


def read_wheel(path: Path) -> Wheel:
    """The name, version and requirements of a wheel, from its file name and its METADATA."""
    try:
        name, version, _, _ = parse_wheel_filename(path.name)
        with zipfile.ZipFile(path) as archive:
            member = next(entry for entry in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", entry))
            raw, _ = parse_email(archive.read(member))
        return Wheel(path, name, version, [Requirement(line) for line in raw.get("requires_dist", [])])
    except (InvalidWheelFilename, zipfile.BadZipFile, StopIteration, InvalidRequirement) as error:
        raise GuideError(f"{path.name} is not a readable wheel: {error or 'it has no METADATA'}.") from error


@functools.cache
def asks(wheel: Wheel, extra: str, python: str) -> list[Demand]:
    """What a wheel requires on the node, for one extra ('' for none)."""
    environment = Node(python, {}).environment(extra)
    return [
        Demand(requirement, f"{wheel.name} {wheel.version}")
        for requirement in wheel.requires
        if requirement.marker is None or requirement.marker.evaluate(environment)
    ]


def reach(roots: list[Demand], wheels: dict[str, Wheel], node: Node) -> dict[str, list[Demand]]:
    """All that is asked for, breadth first from the roots through the wheels known so far: package to its demands."""
    demands: dict[str, list[Demand]] = {}
    queue, walked = deque(roots), set()
    while queue:
        demand = queue.popleft()
        if demand in demands.setdefault(demand.name, []):
            continue
        demands[demand.name].append(demand)
        for extra in ["", *sorted(demand.requirement.extras)]:
            if demand.name in wheels and (demand.name, extra) not in walked:
                walked.add((demand.name, extra))
                queue.extend(asks(wheels[demand.name], extra, node.python))
    return demands


def gather(
    roots: list[Demand], node: Node, fetch: Fetch, step: Callable[[str, int, int], None] = lambda name, done, total: None
) -> Gathered:
    """Fetch, one by one, a wheel of each package that the roots lead to and the node lacks.

    What is asked for is found anew from the roots after each wheel, so the requirements of a version that was replaced
    are forgotten. ``step`` is told the package that comes next, the number gathered and the number known to be needed.
    """
    wheels: dict[str, Wheel] = {}
    to_compile: list[str] = []
    tries: Counter[str] = Counter()
    while True:
        demands = reach(roots, wheels, node)
        lacking = [
            name
            for name, asked in demands.items()
            if name not in to_compile and not node.covers(name, asked) and not (name in wheels and wheels[name].meets(asked))
        ]
        kept = {name: wheel for name, wheel in wheels.items() if name in demands}
        if not lacking:
            return Gathered(kept, demands, to_compile)
        name = lacking[0]
        done = len([known for known in kept if known not in lacking])
        step(name, done, done + len(lacking))
        tries[name] += 1
        if tries[name] > DOWNLOADS_PER_PACKAGE:
            raise GuideError(f"The version of {name} cannot be settled: asked for are {named(demands[name])}.")
        try:
            wheels[name] = read_wheel(fetch(name, combined(demands[name])))
        except NoVersionError:
            raise GuideError(unsatisfied(name, demands[name], node)) from None
        except MustCompileError:
            wheels.pop(name, None)
            to_compile.append(name)


def combined(demands: list[Demand]) -> SpecifierSet:
    return functools.reduce(lambda one, other: one & other, (demand.requirement.specifier for demand in demands))


def named(demands: list[Demand]) -> str:
    """Requirements with who asks for each: ``numpy<2 (notebook a, b 1.0) and numpy>=2 (c 1.0)``."""
    askers: dict[str, list[str]] = {}
    for demand in demands:
        askers.setdefault(f"{demand.name}{demand.requirement.specifier}", []).append(demand.by)
    return " and ".join(f"{text} ({', '.join(dict.fromkeys(by))})" for text, by in askers.items())


def unsatisfied(name: str, demands: list[Demand], node: Node) -> str:
    """Why no version of a package would do, as one sentence."""
    demands = [demand for demand in demands if demand.requirement.specifier] or demands
    where = f"for CPython {node.python} on Linux x86-64"
    if len({demand.requirement.specifier for demand in demands}) == 1:
        return f"No version of {name} satisfies {named(demands)} {where}."
    notebooks = {demand.by for demand in demands if demand.by.startswith("notebook ")}
    advice = "; give each notebook its own run and its own --to" if len(notebooks) > 1 else ""
    return f"No version of {name} satisfies at once {named(demands)} {where}{advice}."


def notes(gathered: Gathered, node: Node) -> list[str]:
    """What a person must know or do beside installing the wheels, a sentence each."""
    found = []
    for name, demands in gathered.demands.items():
        version = node.have.get(name)
        unmet = [demand for demand in demands if not demand.met_by(version)]
        if unmet and name not in gathered.wheels:
            found.append(f"The node has {name} {version}; asked for: {named(unmet)}.")
    left = [name for name in gathered.demands if name not in node.have and node.covers(name, [])]
    if "torch" in left:
        found.append("torch is not gathered: the node must have one already, built for its CUDA (or give --torch).")
    if others := [name for name in left if name != "torch"]:
        found.append(f"Not gathered, for the node's torch should have brought it: {', '.join(others)} (or give --torch).")
    for name in gathered.to_compile:
        asked = named(gathered.demands[name])
        found.append(f"{asked} has no wheel for CPython {node.python} on Linux x86-64: it must be compiled on the node.")
    return found


def is_pure(path: Path) -> bool:
    """Whether a wheel runs on every Python 3 and every machine."""
    return any(str(tag) == "py3-none-any" for tag in parse_wheel_filename(path.name)[3])


def needed_glibc(paths: list[Path]) -> int | None:
    """The least N for which all wheels run on glibc 2.N; None if none of them asks for a glibc."""
    least = []
    for path in paths:
        platforms = {tag.platform.removesuffix("_x86_64") for tag in parse_wheel_filename(path.name)[3]}
        if known := [MANYLINUX[platform] for platform in platforms if platform in MANYLINUX]:
            least.append(min(known))
    return max(least, default=None)


@dataclass(frozen=True)
class Pip:
    """Fetches with pip: a wheel for the node, or else a source that builds to pure Python."""

    python: str
    folder: Path

    def __call__(self, name: str, specifiers: SpecifierSet) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            return self._run(self.download_command(name, specifiers, folder), name, folder)
        except NoVersionError:
            return self._build(name, specifiers, folder)

    def download_command(self, name: str, specifiers: SpecifierSet, folder: Path) -> list[str]:
        tags = ["--python-version", self.python, "--implementation", "cp"]
        for abi in [f"cp{self.python.replace('.', '')}", "abi3", "none"]:
            tags += ["--abi", abi]
        for platform in PLATFORMS:
            tags += ["--platform", platform]
        return ["download", "--no-deps", "--only-binary=:all:", *tags, "--dest", str(folder), f"{name}{specifiers}"]

    def _build(self, name: str, specifiers: SpecifierSet, folder: Path) -> Path:
        # A build that wants torch would download it. pip looks for constraints on a build in the one variable or the
        # other, by its version; with none to be had the build fails at once, and is one for the node anyway.
        constraint = folder / "constraint.txt"
        constraint.write_text("torch<0\ntriton<0\n", encoding="utf-8")
        environment = dict(os.environ)
        for variable in ["PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"]:
            environment[variable] = f"{environment.get(variable, '')} {constraint.as_uri()}".strip()
        command = ["wheel", "--no-deps", "--no-binary", name, "--wheel-dir", str(folder), f"{name}{specifiers}"]
        try:
            path = self._run(command, name, folder, environment)
        except NoIndexError:
            raise
        except (GuideError, subprocess.TimeoutExpired):
            raise MustCompileError from None
        if not is_pure(path):
            path.unlink()
            raise MustCompileError
        return path

    def _run(self, command: list[str], name: str, folder: Path, environment: dict[str, str] | None = None) -> Path:
        """Run pip, and give the one wheel that it wrote."""
        full = [sys.executable, "-m", "pip", "--no-input", "--no-color", "--disable-pip-version-check", *command]
        seconds = BUILD_SECONDS if environment else None
        result = subprocess.run(full, capture_output=True, text=True, env=environment, timeout=seconds, check=False)
        if result.returncode == 0:
            return next(folder.glob("*.whl"))
        if "WARNING: Retrying" in result.stderr and "(from versions: none)" in result.stderr:
            raise NoIndexError(f"pip cannot reach its package index to find {name}: gather on a machine that is connected.")
        if re.search(rf"No matching distribution found for {re.escape(name)}(?![\w.-])", result.stderr, re.IGNORECASE):
            raise NoVersionError
        errors = [line for line in result.stderr.splitlines() if line.lstrip().lower().startswith("error")]
        raise GuideError(f"pip could not fetch {name}: {' '.join(errors or result.stderr.splitlines()[-1:])}")


def find_roots(scripts: list[Script], python: str) -> list[Demand]:
    """What to walk from: the pins of the notebooks, with those for a GPU, and what proving needs."""
    for script in scripts:
        if not SpecifierSet(script.head.requires_python).contains(f"{python}.0"):
            needs = script.head.requires_python
            raise GuideError(f"The notebook '{script.name}' needs Python {needs}, but --python is {python}.")
    pins = [(pin, f"notebook {script.name}") for script in scripts for pin in script.head.pins(cuda=True)]
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    tools = [(text, "nox -s prove") for text in ["nox", *resolve_dependency_groups(groups, "prove")]]
    demands = [Demand(Requirement(text), by) for text, by in pins + tools]
    environment = Node(python, {}).environment("")
    return [demand for demand in demands if not (mark := demand.requirement.marker) or mark.evaluate(environment)]


def check_python(python: str) -> str:
    if python not in PYTHONS:
        raise GuideError(f"There is no CPython '{python}' to gather for. Known: {', '.join(PYTHONS)}.")
    return python


def check_folder(folder: Path) -> None:
    """Raise if a folder holds what another than this command put there: its wheels would be deleted."""
    if folder.exists() and not folder.is_dir():
        raise GuideError(f"{relative(folder)} is a file: give a folder to --to.")
    mark = folder / "requirements.txt"
    ours = mark.exists() and mark.read_text(encoding="utf-8", errors="replace").startswith(REQUIREMENTS_HEAD)
    if not ours and folder.exists() and any(path.name != PART for path in folder.iterdir()):
        raise GuideError(f"{relative(folder)} holds other files than gathered wheels: give an empty or new folder to --to.")


def fill(folder: Path, wheels: list[Wheel]) -> list[Path]:
    """Put the wheels and their requirements.txt into the folder, in place of those of an earlier run."""
    for old in folder.glob("*.whl"):
        old.unlink()
    paths = [wheel.path.rename(folder / wheel.path.name) for wheel in wheels]
    lines = sorted(f"{wheel.name}=={wheel.version}\n" for wheel in wheels)
    (folder / "requirements.txt").write_text(REQUIREMENTS_HEAD + "".join(lines), encoding="utf-8")
    return paths


def gather_into(folder: Path, roots: list[Demand], node: Node) -> tuple[Gathered, list[Path]]:
    """Gather with pip, showing progress, and fill the folder; nothing in it changes if the gathering fails."""
    part = folder / PART
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    part.mkdir(parents=True)
    columns = [SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()]
    try:
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("gathering", total=None)

            def step(name: str, done: int, total: int) -> None:
                progress.update(task, description=name, completed=done, total=total)

            gathered = gather(roots, node, Pip(node.python, part.resolve()), step)
            count = len(gathered.wheels)
            progress.update(task, description="gathered", completed=count, total=count)
        return gathered, fill(folder, list(gathered.wheels.values()))
    finally:
        shutil.rmtree(part, ignore_errors=True)


def summary(folder: Path, paths: list[Path], names: list[str], python: str) -> str:
    """What was gathered, and what to do with it."""
    place = relative(folder)
    if not paths:
        return f"The node lacks no wheel, so {place} has none.\nOn the node: nox -s prove -- --no-install {' '.join(names)}"
    sizes = sorted(((path.stat().st_size, path.name.split("-")[0]) for path in paths), reverse=True)
    largest = ", ".join(f"{name} {size / MIB:.1f}" for size, name in sizes[:LARGEST])
    glibc = needed_glibc(paths)
    needs = f"CPython {python}" + (f" and glibc 2.{glibc} or newer ('ldd --version' tells)" if glibc else "")
    return "\n".join(
        [
            f"{place}: {len(paths)} wheels, {sum(size for size, _ in sizes) / MIB:.1f} MiB. Largest, in MiB: {largest}.",
            f"They need {needs}. Copy the folder to the node and run there:",
            f"  python3 -m pip install --no-index --no-deps --find-links {place} -r {place}/requirements.txt",
            f"  nox -s prove -- --no-install {' '.join(names)}",
        ]
    )


def main() -> None:
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser = argparse.ArgumentParser(prog="nox -s wheels --", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="all if none is given")
    parser.add_argument("--python", default=running, metavar="3.N", help=f"the node's CPython; {running} if not given")
    parser.add_argument("--have", type=Path, metavar="FILE", help="the node's 'pip freeze' or 'pip list'")
    parser.add_argument("--to", type=Path, default=BUILD / "wheels", metavar="DIR", help="build/wheels if not given")
    parser.add_argument(
        "--exact", action="store_true", help="gather too what the node has in a version that a pin or requirement excludes"
    )
    parser.add_argument("--torch", action="store_true", help="gather torch too, and its CUDA packages: gigabytes")
    arguments = parser.parse_args()
    try:
        if importlib.util.find_spec("pip") is None:
            raise GuideError(f"Gathering needs pip, and {sys.executable} has none: run '-m ensurepip' with it.")
        names = check_names(arguments.names)
        have = read_have(arguments.have) if arguments.have else {}
        node = Node(check_python(arguments.python), have, arguments.exact, arguments.torch)
        roots = find_roots([read_script(name) for name in names], node.python)
        check_folder(arguments.to)
        gathered, paths = gather_into(arguments.to, roots, node)
        print("\n".join([*notes(gathered, node), summary(arguments.to, paths, names, node.python)]))
    except GuideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
