"""What changed since the pins: the newest releases beside them, as a report to paste into an issue.

The newest Transformers gets an environment of its own below ``build/``, to be asked for its registry. Of it, of every other
library that a script pins and of every engine the Python of both releases is read, and not installed.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import TypeAdapter

from guide.facts.guide import Guide
from guide.guest.registry import Description
from guide.library import engines, releases, values
from guide.library.changes import changes
from guide.library.check import check, installed
from guide.library.code import classes_used
from guide.library.lost import missing_names
from guide.library.places import Touched, places, told_once
from guide.library.releases import Source
from guide.library.telling import Told, sorted_out
from guide.offline.wheels import run_pip
from guide.project import GuideError, last_line, write_whole
from guide.prove.environments import python_of

APART = ("torch",)  # stays at its pin, for all others are built against it, and its wheel weighs gigabytes
FOLDER = "drift"  # below build/: what was fetched, and the report


def report(guide: Guide) -> str:
    """Markdown: newer releases, what of the guide they may make wrong, what else they touch, and a count of the rest."""
    pins = pinned(guide)
    newest = {}
    for number, package in enumerate(sorted(pins), start=1):
        print(f"looking up the newest releases, {number} of {len(pins)}: {package}", file=sys.stderr)
        newest[package] = newest_release(package)
    released = newest["transformers"]
    if released is None:
        raise GuideError("No index offers a release of Transformers. Is there a connection to a package index?")
    newer = {name: found for name, found in newest.items() if found and found > max(pins[name])}
    reasons = held(guide)
    unknown = [name for name, found in newest.items() if found is None]
    elsewhere = [f"docs/engines/{name}.md ({one.repository})" for name, one in guide.engines.items() if not one.package]
    before, after = installed(guide), describe_release(guide, released)
    followed = {
        name: found for name, found in newer.items() if name not in reasons or pinning(guide, name) - reasons[name].keys()
    }
    read, unread = read_sources(guide, pins, followed)
    found = told_of(guide, pins, read)
    release = f"Transformers {guide.transformers} to {released}"
    wrong = [f"{release}, registry: {line}" for line in registry_changes(asdict(before)["entries"], asdict(after)["entries"])]
    wrong += [*check(guide, after), *library_lines(guide, read), *engine_lines(guide, read)]
    parts = [
        "# Drift since the pins",
        "## Newer releases than the pinned ones",
        _listed([*release_lines(guide, pins, newer, read), *held_lines(reasons, newer)], "None."),
        *([f"No release could be looked up of: {', '.join(unknown)}."] if unknown else []),
        *([f"No Python package, so look there: {', '.join(elsewhere)}."] if elsewhere else []),
        *([_listed(unread, "")] if unread else []),
        "## What may make a page wrong",
        _listed(wrong, "") if wrong else "",
        *_by_library({name: one.wrong for name, one in found.items()}),
        *(["Nothing."] if not wrong and not any(one.wrong for one in found.values()) else []),
        "## What touches a place of the guide",
        *(_by_library({name: one.touching for name, one in found.items()}) or ["Nothing."]),
        "## The rest",
        *(_by_library({name: one.rest for name, one in found.items()}) or ["Nothing."]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _listed(lines: Iterable[str], without: str) -> str:
    return "\n".join(f"- {line}" for line in lines) or without


def _by_library(lines: Mapping[str, list[str]]) -> list[str]:
    return [f"### {name}\n\n{_listed(found, '')}" for name, found in lines.items() if found]


def pinned(guide: Guide) -> dict[str, set[Version]]:
    """Every pin of the scripts' heads, and every engine and registry that a page describes: package, and its versions."""
    pins: dict[str, set[Version]] = {}
    for script in guide.scripts.values():
        for name, version in script.pins.items():
            pins.setdefault(canonicalize_name(name), set()).add(Version(version))
    for engine in guide.engines.values():
        named = [(engine.package, engine.version)] if engine.package else []
        named += [(engine.registry.distribution, engine.registry.version)] if engine.registry else []
        for name, version in named:
            pins.setdefault(canonicalize_name(name), set()).add(Version(version))
    return pins


def held(guide: Guide) -> dict[str, dict[str, str]]:
    """What scripts' heads hold at its pin: package, and by script the reason."""
    found: dict[str, dict[str, str]] = {}
    for script in guide.scripts.values():
        for package, reason in script.head.guide.held.items():
            found.setdefault(canonicalize_name(package), {})[script.name] = reason
    return found


def pinning(guide: Guide, package: str) -> set[str]:
    """The scripts that pin a package, by its canonical name."""
    return {name for name, script in guide.scripts.items() if package in {*map(canonicalize_name, script.pins)}}


def held_lines(reasons: Mapping[str, Mapping[str, str]], newer: Mapping[str, Version]) -> Iterator[str]:
    """Each package with a newer release that heads hold at its pin, and why."""
    for package in (package for package in reasons if package in newer):
        by_reason: dict[str, list[str]] = {}
        for script, reason in reasons[package].items():
            by_reason.setdefault(reason, []).append(f"snippets/{script}.py")
        yield from (f"{package} is held in {', '.join(scripts)}: {reason}" for reason, scripts in by_reason.items())


@cache
def newest_release(package: str) -> Version | None:
    """The newest release that an index offers for this Python, or None if none does."""
    found = releases.release(package)
    return found.version if found else None


def release_lines(
    guide: Guide, pins: Mapping[str, set[Version]], newer: Mapping[str, Version], read: Mapping[str, tuple[Source, Source]]
) -> Iterator[str]:
    """Each newer release beside the pins, with what it asks for anew, and beside what a page says is the newest."""
    for name, found in newer.items():
        yield f"{name}: {' and '.join(map(str, sorted(pins[name])))} pinned, {found} released"
        before, after = (one.requires for one in read[name]) if name in read else ({}, {})
        for other in (other for other in {**before, **after} if other in pins):
            old, new = before.get(other, "nothing of it"), after.get(other, "nothing of it")
            if old != new:
                yield f"{name} {found} asks for {other} {new}; {max(pins[name])} asked for {old}"
    libraries = [method.library for method in guide.methods.values() if method.library]
    written = {canonicalize_name(library.package): library.version for library in libraries}
    for name, version in sorted(written.items()):
        if name in newer and newer[name] != Version(version):
            yield f"{name}: the front matter says that {version} is the newest release, but {newer[name]} is"
    for page, engine in guide.engines.items():
        if engine.package and engine.package in newer:
            released = f"{newer[engine.package]} is released"
            yield f"docs/engines/{page}.md describes {engine.package} {engine.version}, but {released}"


def read_sources(
    guide: Guide, pins: Mapping[str, set[Version]], newer: Mapping[str, Version]
) -> tuple[dict[str, tuple[Source, Source]], list[str]]:
    """The Python of each newer release and of its newest pin, and a sentence for each that cannot be read."""
    read, unread = {}, []
    for package, version in sorted(newer.items(), key=lambda one: (one[0] != "transformers", one[0])):
        if package in APART:
            continue
        print(f"reading {package} {max(pins[package])} and {version}", file=sys.stderr)
        pair = [releases.release(package, one) for one in (max(pins[package]), version)]
        try:
            if pair[0] is None or pair[1] is None:
                raise GuideError(f"{package}: no index has both {max(pins[package])} and {version} for this Python.")
            read[package] = releases.sources(pair[0], pair[1], guide.project.build / FOLDER / "archives")
        except GuideError as error:
            unread.append(f"{str(error).removesuffix('.')}; what changed in it was not read")
    return read, unread


def told_of(guide: Guide, pins: Mapping[str, set[Version]], read: Mapping[str, tuple[Source, Source]]) -> dict[str, Told]:
    """What changed in each library, by its name with both versions."""
    found, known = {}, places(guide)
    for package, (before, after) in read.items():
        print(f"comparing {package} {before.version} and {after.version}", file=sys.stderr)
        one = sorted_out(told_once(changes(before.files, after.files)), Touched(known, before, after, pins))
        found[f"{package} {before.version} to {after.version}"] = one
    return found


def describe_release(guide: Guide, release: Version) -> Description:
    """A release of Transformers as the interpreter describes it into which it is installed, with nothing of the guide."""
    folder = guide.project.build / "latest"
    python = python_of(folder)
    print(f"installing Transformers {release} into {guide.project.relative(folder)}", file=sys.stderr)
    venv.create(folder, symlinks=os.name != "nt")
    run_pip(["install", "--upgrade", f"transformers=={release}"], {**os.environ, "PIP_PYTHON": str(python)})
    print("comparing the registries", file=sys.stderr)
    return describe_with(python, guide)


def describe_with(python: Path, guide: Guide) -> Description:
    """The Transformers of another interpreter; raises GuideError with the last line that it wrote if it fails."""
    environment = {**os.environ, "PYTHONPATH": str(guide.project.root), "TRANSFORMERS_VERBOSITY": "error"}
    command, asked = [str(python), "-m", "guide.guest.registry"], json.dumps([classes_used(guide), values.shown(guide)])
    done = subprocess.run(command, input=asked, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GuideError(f"'{' '.join(command[1:])}' failed: {last_line(done)}")
    return TypeAdapter(Description).validate_json(done.stdout)


def registry_changes(before: Mapping[str, dict[str, Any]], after: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    """Each key that came, went or changed, and in what; both sides are the fields of entries."""
    yield from (f"`{key}` is gone" for key in before if key not in after)
    yield from (f"`{key}` is new: {entry['config']}" for key, entry in after.items() if key not in before)
    for key in (key for key in before if key in after):
        old, new = _flat(before[key]), _flat(after[key])
        for field in dict.fromkeys([*old, *new]):
            one, other = old.get(field, "absent"), new.get(field, "absent")
            if one != other:
                yield f"`{key}`: {field} was {one}, is {other}"


def _flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of an entry, those with names inside as one for each: ``arguments, bits``."""
    flat: dict[str, Any] = {}
    for field, value in entry.items():
        flat |= {f"{field}, {name}": one for name, one in value.items()} if isinstance(value, dict) else {field: value}
    return flat


def library_lines(guide: Guide, read: Mapping[str, tuple[Source, Source]]) -> Iterator[str]:
    """What scripts import from a library, and call with keywords, that its newest release does not have."""
    for package, (_, after) in read.items():
        if package == "transformers":
            continue  # its names come by way of a table of its own; the registry and the signatures are compared
        for script in (guide.scripts[name] for name in sorted(pinning(guide, package))):
            found = missing_names(after.files, script.path, script.text)
            yield from (f"{package} {after.version}: {line}" for line in found)


def engine_lines(guide: Guide, read: Mapping[str, tuple[Source, Source]]) -> Iterator[str]:
    """Methods that an engine's own registry lists anew, or no longer, in a newer release."""
    for page, engine in guide.engines.items():
        known = guide.registries.get(page)
        if known is None:
            continue
        sources = [read[name][1] for name in dict.fromkeys([engine.package, known.distribution]) if name and name in read]
        for source in (source for source in sources if known.file in source.files):
            names = set(engines.listed_by(source.files[known.file], known.name))
            for word, some in (("new", names - set(known.names)), ("no longer", set(known.names) - names)):
                if some:
                    listed = ", ".join(sorted(some))
                    yield f"docs/engines/{page}.md: {known.name} of {source.package} {source.version} has {word}: {listed}"


def written(guide: Guide, text: str) -> Path:
    """Where the report is kept, for a workflow to post."""
    path = guide.project.build / FOLDER / "report.md"
    write_whole(path, text)
    return path
