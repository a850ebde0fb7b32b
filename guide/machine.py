"""This machine, found without torch: what decides which notebooks can run here and where their proofs go."""

from __future__ import annotations

import csv
import os
import platform
import subprocess

from guide.proof import Machine


def this_machine() -> Machine:
    """The first NVIDIA GPU that ``nvidia-smi`` shows, else the processor."""
    query = ["nvidia-smi", "--query-gpu=name,compute_cap,driver_version,memory.total", "--format=csv,noheader,nounits"]
    try:
        rows = list(csv.reader(subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()))
    except (OSError, subprocess.CalledProcessError):
        rows = []
    common = {"architecture": platform.machine(), "cores": os.cpu_count() or 1}
    if rows:
        name, capability, driver, mebibytes = (part.strip() for part in rows[0])
        found = {"kind": "cuda", "capability": capability, "driver": driver, "memory_bytes": int(mebibytes) * 2**20}
        return Machine(name=name, **found, **common)
    name = platform.processor() or platform.machine()
    return Machine(name=name, kind="cpu", capability=None, driver=None, memory_bytes=0, **common)
