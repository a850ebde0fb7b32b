"""Known faults: cells that show one happen, and fail on the day a library mends it."""

from __future__ import annotations

from importlib.metadata import version


def known_fault(happened: bool, *packages: str) -> None:
    """Say with which versions of ``packages`` a fault was seen; raises AssertionError if it no longer happens."""
    seen = ", ".join(f"{package} {version(package)}" for package in packages)
    assert happened, f"Fixed in {seen}: update the page."
    print(f"Known fault, seen with {seen}.")
