"""Who asks for what, notebooks and wheels, and the machine to gather for, which has some of it."""

import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from guide.notebooks.script import Script
from guide.project import GuideError

COMES_WITH_TORCH = re.compile(r"torch|triton|nvidia-.+|cuda-.+")
NAME = r"(?P<name>\w[\w.-]*?)"
FORMS = [  # of a line; the first that matches tells the package, if any, and its version, if it has one
    rf"# Editable .*\({NAME}==(?P<version>\d\S*)\)",  # the next line has only its folder
    rf"{NAME}(?:\s*===?\s*|\s+)(?P<version>\d[^\s;]*)(?:[\s;].*)?",
    rf"{NAME}(?:\[.*\])?\s*@\s*(?:\S*/)?[^/\s-]+-(?P<version>[^/\s-]+)(?:-[^/\s-]+){{3,4}}(?:\s.*)?",  # the file of a wheel
    rf"{NAME}(?:\[.*\])?\s*@\s*\S.*",
    rf"-e\s.*#egg={NAME}(?:&.*)?",
    r"\s*|#.*|-e\s.*|-[\s-]*|Package\s+Version\b.*",
]


@dataclass(frozen=True)
class Node:
    """The machine to gather for: Linux x86-64 with CPython."""

    python: str  # "3.12"
    have: dict[str, Version | None]  # its packages; None where the version is unknown
    exact: bool = False  # whether a package in a version that a requirement excludes counts as lacking
    torch: bool = False  # whether torch, and what comes with it, may be gathered

    def __str__(self) -> str:
        return f"CPython {self.python} on Linux x86-64"

    def gets_with_torch(self, name: str) -> bool:
        """Whether a package is not to be gathered since the node's own torch, built for its CUDA, brings it."""
        return not self.torch and bool(COMES_WITH_TORCH.fullmatch(name))

    def markers(self, extra: str) -> dict[str, str]:
        """The values of the markers of PEP 508 on this node."""
        return {
            "extra": extra, "implementation_name": "cpython", "implementation_version": f"{self.python}.0",
            "os_name": "posix", "platform_machine": "x86_64", "platform_python_implementation": "CPython",
            "platform_release": "", "platform_system": "Linux", "platform_version": "",
            "python_full_version": f"{self.python}.0", "python_version": self.python, "sys_platform": "linux",
        }  # fmt: skip


def read_have(path: Path) -> dict[str, Version | None]:
    """The packages in a file made by ``pip freeze`` or ``pip list``; raises GuideError naming the line that is neither."""
    try:
        return parse_have(path.read_text(encoding="utf-8-sig"), str(path))
    except FileNotFoundError:
        raise GuideError(f"There is no file {path}: make it on the node with 'python3 -m pip freeze > FILE'.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise GuideError(f"{path} cannot be read as text: {error}.") from error


def parse_have(text: str, source: str) -> dict[str, Version | None]:
    """{package: version} of the output of ``pip freeze`` or ``pip list``; None where it does not tell the version."""
    have: dict[str, Version | None] = {}
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        found = next((match for form in FORMS if (match := re.fullmatch(form, line, re.ASCII))), None)
        if not found:
            raise GuideError(f"{source}, line {number}, is no line of 'pip freeze' or 'pip list': '{line}'.")
        if name := found.groupdict().get("name"):
            have[canonicalize_name(name)] = _version(found.groupdict().get("version", ""))
    return have


def _version(text: str) -> Version | None:
    try:
        return Version(unquote(text))  # "+" is written as "%2B" in the address of a wheel
    except InvalidVersion:
        return None  # distributions have their own, as Ubuntu's distro-info 1.1build1


@dataclass(frozen=True)
class Demand:
    """A requirement, and who asks for it."""

    requirement: Requirement
    by: str

    @property
    def name(self) -> str:
        """The package, in its canonical spelling."""
        return canonicalize_name(self.requirement.name)

    def met_by(self, version: Version | None) -> bool:
        """Whether a version will do; an unknown one (None) is taken as good."""
        return version is None or self.requirement.specifier.contains(version, prereleases=True)


def named(demands: Sequence[Demand]) -> str:
    """Requirements with who asks for each: ``numpy<2 (notebook a, b 1.0) and numpy>=2 (c 1.0)``."""
    askers: dict[str, list[str]] = {}
    for demand in demands:
        askers.setdefault(f"{demand.name}{demand.requirement.specifier}", []).append(demand.by)
    return " and ".join(f"{text} ({', '.join(dict.fromkeys(by))})" for text, by in askers.items())


def find_roots(scripts: Sequence[Script], tools: Sequence[str], node: Node) -> list[Demand]:
    """What scripts pin, with what only a GPU or a build has a use for, and the tools that prove them."""
    for script in scripts:
        if not SpecifierSet(script.head.requires_python).contains(f"{node.python}.0"):
            needs = script.head.requires_python
            raise GuideError(f"The notebook '{script.name}' needs Python {needs}, but --python is {node.python}.")
    steps = [(step, f"notebook {script.name}") for script in scripts for step in script.head.install_steps(cuda=True)]
    pins = [(pin, by) for step, by in steps for pin in step.pins] + [(tool, "nox -s prove") for tool in tools]
    return _valid([Demand(Requirement(text), by) for text, by in pins], node)


def reach(roots: Sequence[Demand], wheels: Mapping[str, Path], node: Node) -> dict[str, list[Demand]]:
    """{package: its demands} of all that the roots, and the wheels that they lead to, ask for."""
    demands: dict[str, list[Demand]] = {}
    queue, walked = deque(roots), set()
    while queue:
        demand = queue.popleft()
        demands.setdefault(demand.name, []).append(demand)
        for extra in ["", *demand.requirement.extras]:
            if demand.name in wheels and (demand.name, extra) not in walked:
                walked.add((demand.name, extra))
                queue.extend(_valid(requirements(wheels[demand.name]), node, extra))
    return {name: list(dict.fromkeys(asked)) for name, asked in demands.items()}


def requirements(wheel: Path) -> list[Demand]:
    """What a wheel requires, under whatever markers; raises GuideError if it is not readable as a wheel."""
    try:
        (found,) = distributions(path=[str(wheel)])
        return [Demand(Requirement(line), f"{canonicalize_name(found.name)} {found.version}") for line in found.requires or []]
    except (ValueError, InvalidRequirement) as error:
        raise GuideError(f"{wheel.name} is not a readable wheel: {error}.") from error


def _valid(demands: list[Demand], node: Node, extra: str = "") -> list[Demand]:
    """Those demands whose markers hold on the node."""
    return [one for one in demands if not (mark := one.requirement.marker) or mark.evaluate(node.markers(extra))]
