"""This machine, found without torch: what decides which notebooks can run here and where their proofs go."""

import csv
import os
import platform
import subprocess

from guide.facts.proof import Machine


def this_machine() -> Machine:
    """The first NVIDIA GPU that ``nvidia-smi`` shows, else the processor."""
    query = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version,memory.total", "--format=csv,noheader,nounits"]
    try:
        rows = list(csv.reader(subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()))
    except (OSError, subprocess.CalledProcessError):
        rows = []
    architecture, cores = platform.machine(), os.cpu_count() or 1
    if not rows:
        return Machine(name=_processor(), kind="cpu", architecture=architecture, capability=None,
                       driver=None, memory_bytes=0, cores=cores)  # fmt: skip
    name, capability, driver, mebibytes = (part.strip() for part in rows[0])
    return Machine(name=name, kind="cuda", architecture=architecture, capability=capability, driver=driver,
                   memory_bytes=int(mebibytes) * 2**20, cores=cores)  # fmt: skip


def _processor() -> str:
    """The processor's name, as Linux has it, or as Python knows it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
