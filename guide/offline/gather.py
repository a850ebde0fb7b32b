"""Gather what notebooks need and a node lacks, in a folder to carry there."""

import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from guide.offline.demands import Demand, Node, named, reach
from guide.offline.wheels import Pin, fetch, needed_glibc, resolve, run_pip, uv_settings
from guide.project import GuideError

REQUIREMENTS_HEAD = "# Written by 'nox -s wheels'. Each run replaces this file and the wheels beside it.\n"
MIB = 2**20


def check_folder(folder: Path, place: str) -> None:
    """Raise if a folder holds what another than this command put there: its wheels would be deleted."""
    if folder.exists() and not folder.is_dir():
        raise GuideError(f"{place} is a file: give a folder to --to.")
    mark = folder / "requirements.txt"
    ours = mark.exists() and mark.read_text(encoding="utf-8", errors="replace").startswith(REQUIREMENTS_HEAD)
    if not ours and folder.exists() and any(folder.iterdir()):
        raise GuideError(f"{place} holds other files than gathered wheels: give an empty or new folder to --to.")


def gather_into(folder: Path, roots: list[Demand], unwanted: set[str], node: Node) -> tuple[list[Path], list[str]]:
    """Fill a folder with wheels, and give them with the notes; nothing in it changes if the gathering fails."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as part, Console(stderr=True).status("gathering"):
        settings = uv_settings(run_pip(["config", "list"]))
        wheels, notes = gather(roots, unwanted, node, Path(part).resolve(), settings)
        return fill(folder, wheels), notes


def gather(
    roots: Sequence[Demand], unwanted: Collection[str], node: Node, folder: Path, settings: Mapping[str, str]
) -> tuple[dict[Pin, Path], list[str]]:
    """The wheels of all that the roots lead to and the node lacks, and what else a person must know, a sentence each.

    With ``node.exact``, what the node has in a version that somebody excludes is resolved too, until there is no more of it.
    ``unwanted``: what breaks a notebook, though a dependency asks for it. ``folder`` and ``settings``: see ``resolve``.
    """
    excluded = {*node.have, *unwanted, *([] if node.torch else ["torch", "triton"])}
    fetched: dict[Pin, Path] = {}
    while True:
        found = resolve(roots, excluded, node, folder, settings)
        pins = {pin: has_wheel for pin, has_wheel in found.items() if not node.gets_with_torch(pin.name)}
        fetched |= fetch({pin: has_wheel for pin, has_wheel in pins.items() if pin not in fetched}, node, folder)
        wheels = {pin: fetched[pin] for pin in pins if pin in fetched}
        demands = reach(roots, {pin.name: path for pin, path in wheels.items()}, node)
        kept = {name: asked for name, asked in demands.items() if name in node.have and name in excluded}
        unmet = {name: [one for one in asked if not one.met_by(node.have[name])] for name, asked in kept.items()}
        wrong = {name: asked for name, asked in unmet.items() if asked}
        more = {name for name in wrong if node.exact and not node.gets_with_torch(name)}
        if not more:
            break
        excluded -= more
    notes = [f"The node has {name} {node.have[name]}; asked for: {named(asked)}." for name, asked in wrong.items()]
    notes += _left_out([name for name in demands if name not in node.have], unwanted, node)
    notes += [f"{pin} has no wheel for {node}: it must be compiled on the node." for pin in pins if pin not in wheels]
    return wheels, notes


def _left_out(lacking: Sequence[str], unwanted: Collection[str], node: Node) -> list[str]:
    """What is asked for, and neither there nor gathered."""
    left = [name for name in lacking if node.gets_with_torch(name)]
    notes = []
    if "torch" in left:
        notes.append("torch is not gathered: the node must have one already, built for its CUDA (or give --torch).")
    if others := [name for name in left if name != "torch"]:
        notes.append(f"Not gathered, for the node's torch should have brought it: {', '.join(others)} (or give --torch).")
    if broken := [name for name in lacking if name in unwanted]:
        notes.append(f"Not gathered, for a notebook works only without it: {', '.join(broken)}.")
    return notes


def fill(folder: Path, wheels: Mapping[Pin, Path]) -> list[Path]:
    """Move the wheels into the folder with a requirements.txt, in place of those of an earlier run."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.whl"):
        old.unlink()
    moved = [Path(shutil.move(path, folder / path.name)) for path in wheels.values()]
    lines = sorted(f"{pin}\n" for pin in wheels)
    (folder / "requirements.txt").write_text(REQUIREMENTS_HEAD + "".join(lines), encoding="utf-8")
    return moved


def summary(place: str, wheels: Sequence[Path], names: Sequence[str], python: str) -> str:
    """What was gathered, and what to do with it."""
    prove = f"nox -s prove -- --no-install {' '.join(names)}"
    if not wheels:
        return f"The node lacks no wheel, so {place} has none.\nOn the node: {prove}"
    sizes = sorted(((path.stat().st_size, path.name.split("-")[0]) for path in wheels), reverse=True)
    largest = ", ".join(f"{name} {size / MIB:.1f}" for size, name in sizes[:5])
    glibc = needed_glibc(wheels)
    needs = f"CPython {python}" + (f" and glibc 2.{glibc} or newer ('ldd --version' tells)" if glibc else "")
    return (
        f"{place}: {len(wheels)} wheels, {sum(size for size, _ in sizes) / MIB:.1f} MiB. Largest, in MiB: {largest}.\n"
        f"They need {needs}. Copy the folder to the node and run there:\n"
        f"  python3 -m pip install --no-index --no-deps --find-links {place} -r {place}/requirements.txt\n"
        f"  {prove}"
    )
