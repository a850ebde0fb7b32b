"""``python -m guide.library.upgrade``: move the pins to the newest releases that work together, and say what is then to do.

uv resolves each head's pins together. torch stays where it is, for a notebook's figures and wheels rest on it; so does what a
head holds, and, unless asked, what records of the real model were measured with.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from guide.facts.guide import Guide
from guide.facts.load import load, load_scripts, pyproject
from guide.library.newest import newest_release, report, written
from guide.library.releases import settings
from guide.notebooks.build import rebuilt
from guide.notebooks.script import HEAD, Script
from guide.offline.demands import Demand, Node
from guide.offline.wheels import resolve
from guide.project import GuideError, Project, told, write_whole

TORCH = "torch"


@dataclass(frozen=True)
class Plan:
    """What is to be moved: by notebook {pin as it is written: the pin it becomes}, and why others stay."""

    moves: dict[str, dict[str, str]]
    stays: list[str]
    project: dict[str, str]  # moves of pins in pyproject.toml

    def moves_described(self) -> bool:
        """Whether the release of Transformers that the pages describe moves."""
        return any(Requirement(pin).name == "transformers" for pin in self.project)

    def pins(self, name: str) -> list[str]:
        """Moves of a notebook as a person reads them."""
        return [_as_read(old, new) for old, new in self.moves[name].items()]


def _as_read(old: str, new: str) -> str:
    return f"{old.replace('==', ' ')} to {new.partition('==')[2]}"


def planned(guide: Guide, names: Sequence[str], bench: bool, torch: bool) -> Plan:
    """The newest pins that work together for each notebook; what cannot be resolved stays, with the reason."""
    measured = benches(guide)
    moves: dict[str, dict[str, str]] = {}
    stays: list[str] = []
    known: dict[tuple[str, ...], dict[str, Version]] = {}
    behind: dict[str, list[str]] = {}  # what no other pin goes with, and where
    chosen = guide.names(names)
    for number, name in enumerate(chosen, start=1):
        print(f"resolving {number} of {len(chosen)}: {name}", file=sys.stderr)
        script = guide.scripts[name]
        asked = tuple(sorted(demands(script, torch)))
        try:
            if asked not in known:
                known[asked] = resolved(asked, name)
        except GuideError as error:
            stays.append(f"{script.path} stays as it is: {error}")
            continue
        found = dict(moved(script, known[asked]))
        if found and name in measured and not bench:
            stays.append(f"{script.path} could move to {', '.join(found.values())}, but records of the real model rest on its "
                         f"pins ({measured[name]}): --bench moves them.")  # fmt: skip
        elif found:
            moves[name] = found
        for line in kept_behind(script, known[asked], torch):
            behind.setdefault(line, []).append(script.path)
        for package, reason in script.head.guide.held.items():
            stays.append(f"{script.path} holds {package} {script.pins[package]}: {reason}.")
    stays += [f"{line} ({', '.join(paths)})." for line, paths in behind.items()]
    return Plan(moves, stays, {} if names else in_project(guide, moves))  # what all share moves when all are asked for


def in_project(guide: Guide, moves: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Pins of pyproject.toml that heads have too, and what they become: the newest that a head moves to."""
    newest: dict[str, Version] = {}
    for new in (Requirement(pin) for found in moves.values() for pin in found.values()):
        version = Version(next(iter(new.specifier)).version)
        newest[new.name] = max(version, newest.get(new.name, version))
    text = pyproject(guide.project)
    return {
        f"{name}=={own}": f"{name}=={version}"
        for name, version in newest.items()
        for own in re.findall(rf'"{re.escape(name)}==([^"]+)"', text)
        if version > Version(own)
    }


def demands(script: Script, torch: bool) -> Iterator[str]:
    """What a script asks for: each pin or newer, and exactly the pin of torch and of what its head holds."""
    held = {canonicalize_name(name) for name in script.head.guide.held} | (set() if torch else {TORCH})
    for pin in all_pins(script):
        name = canonicalize_name(Requirement(pin).name)
        yield pin if name in held else pin.replace("==", ">=")


def all_pins(script: Script) -> list[str]:
    """Every pin of a head, with those of a build from source."""
    return list(dict.fromkeys(pin for step in script.head.install_steps(cuda=True) for pin in step.pins))


def resolved(asked: Sequence[str], name: str) -> dict[str, Version]:
    """The newest versions that meet all demands together; raises GuideError if none do.

    A release before another comes into question only where something that is asked for cannot do without one of its own.
    """
    node = Node(f"{sys.version_info.major}.{sys.version_info.minor}", {})
    roots = [Demand(Requirement(text), f"notebook {name}") for text in asked]
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = resolve(roots, [], node, Path(folder), settings() | {"UV_PRERELEASE": "disallow"})
        except GuideError:
            found = resolve(roots, [], node, Path(folder), settings())
    return {canonicalize_name(pin.name): Version(pin.version.public) for pin in found}


def moved(script: Script, found: Mapping[str, Version]) -> Iterator[tuple[str, str]]:
    """Each pin that has a newer version, and what it becomes."""
    for pin in all_pins(script):
        old, new = pin.partition("==")[2].partition(";")[0].strip(), found.get(canonicalize_name(Requirement(pin).name))
        if new and new > Version(old) and not new.is_prerelease:
            yield pin, pin.replace(f"=={old}", f"=={new}")


def kept_behind(script: Script, found: Mapping[str, Version], torch: bool) -> Iterator[str]:
    """Each pin, of those that may move, for which the newest release was not found to go with the others."""
    for asked in map(Requirement, demands(script, torch)):
        name = canonicalize_name(asked.name)
        newest = newest_release(name) if next(iter(asked.specifier)).operator == ">=" else None
        if newest and name in found and newest > found[name]:
            yield f"{name} {newest} does not go with the other pins, so {found[name]} is the newest"


def benches(guide: Guide) -> dict[str, str]:
    """By notebook, the records of the real model that rest on its pins: ``cpu-x86-64: a, b``."""
    found: dict[str, dict[str, list[str]]] = {}
    for recipe in guide.recipes.values():
        for name in {recipe.table.notebook, recipe.table.loads_in or recipe.table.notebook}:
            for machine, records in guide.numbers.items():
                variants = [variant for variant in recipe.table.variants if variant in records]
                found.setdefault(name, {}).setdefault(machine, []).extend(variants)
    texts = {
        name: "; ".join(f"{machine}: {', '.join(ones)}" for machine, ones in by.items() if ones) for name, by in found.items()
    }
    return {name: text for name, text in texts.items() if text}


def write(guide: Guide, plan: Plan) -> list[str]:
    """Write the heads, pyproject.toml and the notebooks anew; the paths that changed."""
    texts = {guide.project.root / guide.scripts[name].path: with_pins(guide.scripts[name], found)
             for name, found in plan.moves.items()}  # fmt: skip
    if plan.project:
        text = pyproject(guide.project)
        for old, new in plan.project.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        texts[guide.project.root / "pyproject.toml"] = text
    for file, text in texts.items():
        write_whole(file, text)
    known = load_scripts(guide.project)
    notebooks = {name: known.to_commit(name) for name in plan.moves}
    built = rebuilt(guide.project.notebooks, notebooks, known.committed)
    return [guide.project.relative(file) for file in [*texts, *built]]


def with_pins(script: Script, found: Mapping[str, str]) -> str:
    """A script's text with other pins in its head."""
    head = HEAD.search(script.text)
    text = head[0] if head else ""
    for old, new in found.items():
        text, times = re.subn(rf"(?<=[\"']){re.escape(old)}(?=[\"'])", new, text)
        if not times:
            raise GuideError(f"The head of {script.path} does not have '{old}' as a text of its own: write its pins so.")
    return script.text.replace(head[0], text, 1) if head else text


def to_do(guide: Guide, plan: Plan) -> Iterator[str]:
    """What is to be run again once the pins are moved, a line each."""
    if not plan.moves:
        return
    for name in plan.moves:
        times = [f"{max(1, round(one.proof.seconds / 60))} min on {one.proof.machine.name}" for one in guide.proofs[name]]
        last = f"last {' and '.join(times)}" if times else "not proven yet"
        yield f"`nox -s prove -- {name} --keep`, {last}"
    if plan.moves_described():
        yield "`nox -s drift`, then the pages that it names"
        yield from unexplained(guide, plan)
    if plan.project:
        yield "`nox -s architectures` and `nox -s training`"
    compiled = {one.method for record in guide.compiled.values() for one in record.cases if one.notebook in plan.moves}
    if compiled:
        yield f"`nox -s compile -- {' '.join(sorted(compiled))}`"
    weighed = {one.head.guide.method for name, one in guide.scripts.items() if name in plan.moves and one.head.guide.weigh}
    if weighed:
        yield f"`nox -s weigh -- --keep {' '.join(sorted(filter(None, weighed)))}`"
    for name, records in benches(guide).items():
        if name in plan.moves:
            yield f"`nox -s bench`, on each machine: {records}"


def unexplained(guide: Guide, plan: Plan) -> Iterator[str]:
    """Heads that pin the release which the pages no longer describe once it moves, of which ``nox -s lint`` asks why."""
    left = [script.path for name, script in guide.scripts.items()
            if name not in plan.moves and script.pins.get("transformers") == guide.transformers]  # fmt: skip
    if left:
        yield f"`nox -s lint` asks why these pin transformers {guide.transformers}: {', '.join(left)}. Say it behind the pin."


def as_text(guide: Guide, plan: Plan) -> str:
    """The plan as Markdown."""
    lines = [f"{guide.scripts[name].path}: {', '.join(plan.pins(name))}" for name in plan.moves]
    if plan.project:
        lines.append(f"pyproject.toml: {', '.join(_as_read(old, new) for old, new in plan.project.items())}")
    parts = [("Pins that move", lines), ("Pins that stay", plan.stays), ("To be run again", list(to_do(guide, plan)))]
    return "\n".join(
        f"## {title}\n\n" + ("\n".join(f"- {line}" for line in found) or "None.") + "\n" for title, found in parts
    )


def main(
    arguments: Sequence[str] | None = None, project: Project | None = None, reported: Callable[[Guide], str] = report
) -> None:
    """The command; an error ends it with one sentence."""
    parser = argparse.ArgumentParser(prog="nox -s upgrade --", description="Move the pins to the newest that work together.")
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="all if none is given")
    parser.add_argument("--dry-run", action="store_true", help="print what would move, and write nothing")
    parser.add_argument("--bench", action="store_true", help="also where records of the real model rest on the pins")
    parser.add_argument("--torch", action="store_true", help="torch too, in the heads")
    given = parser.parse_args(arguments)
    with told():
        guide = load(project or Project.here())
        plan = planned(guide, given.names, given.bench, given.torch)
        text = reported(guide)  # of the pins as they are, so before they move
        changed = [] if given.dry_run else write(guide, plan)
        print(f"# Upgrade\n\n{as_text(guide, plan)}\n{text}")
        for path in changed:
            print(f"wrote {path}", file=sys.stderr)
        print(f"the report is kept in {guide.project.relative(written(guide, text))}", file=sys.stderr)


if __name__ == "__main__":
    main()
