"""Environment: what this notebook runs on.

Shows one line for the reader and keeps the same facts in the output, from which a proof's record is taken.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch
from IPython.display import display


class WrongHardware(RuntimeError):
    """This machine lacks what the notebook needs."""


class Environment(dict):
    """The machine and the package versions; displays as one line."""

    def __repr__(self) -> str:
        machine = self["machine"]
        name = machine["name"]
        if machine["capability"]:
            name += f", compute capability {machine['capability']}, driver {machine['driver']}"
        else:
            name += f", {machine['cores']} cores"
        packages = ", ".join(f"{name} {found or 'missing'}" for name, found in self["versions"].items())
        return f"{name}, {machine['memory_bytes'] / 2**30:.0f} GiB; Python {self['python']}; {packages}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        return {"text/plain": repr(self), "application/vnd.quantization-guide.environment+json": dict(self)}


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _driver() -> str | None:
    from subprocess import run

    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0].strip()
    except (OSError, IndexError, ValueError):
        return None


def show_environment(*packages: str, needs: str = "cpu") -> torch.device:
    """Display the machine and the versions of ``packages``, and return the device to use.

    ``needs`` is "cpu", "cuda" or "cuda>=MAJOR.MINOR"; on less than that this raises WrongHardware.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)
    versions = {"torch": torch.__version__}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    cuda = torch.cuda.is_available()
    capability = torch.cuda.get_device_capability() if cuda else None
    memory = torch.cuda.get_device_properties(0).total_memory if cuda else _system_memory()
    machine = {
        "name": torch.cuda.get_device_name() if cuda else _cpu_name(),
        "kind": "cuda" if cuda else "cpu",
        "architecture": platform.machine(),
        "capability": f"{capability[0]}.{capability[1]}" if cuda else None,
        "driver": _driver() if cuda else None,
        "memory_bytes": memory,
        "cores": os.cpu_count(),
    }
    python = ".".join(map(str, sys.version_info[:3]))
    display(Environment(machine=machine, python=python, versions=versions))
    kind, _, least = needs.partition(">=")
    if kind == "cuda" and not cuda:
        raise WrongHardware(f"This notebook needs an NVIDIA GPU ({needs}); this machine has none that torch can use.")
    if least and capability < tuple(int(part) for part in least.split(".")):
        raise WrongHardware(f"This notebook needs compute capability {least}; {machine['name']} has {machine['capability']}.")
    return torch.device("cuda" if cuda else "cpu")


def _system_memory() -> int:
    """Physical memory in bytes; 0 where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 0
