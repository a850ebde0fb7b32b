"""What changed since the pins: the newest releases beside them, as a report to paste into an issue.

The newest Transformers gets an environment of its own below ``build/``; of the other libraries the newest wheel is read.
"""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import Version
from pydantic import TypeAdapter

from guide.facts.guide import Guide
from guide.guest.registry import Description
from guide.library.check import check, classes_used, installed
from guide.library.wheel import missing_names
from guide.offline.wheels import run_pip
from guide.project import GuideError
from guide.prove.environments import python_of

NOT_READ = ("transformers", "torch")  # the one is compared with its registry, the other's wheel weighs gigabytes


def report(guide: Guide) -> str:
    """Markdown: newer releases, changes of Transformers' registry, and what of the guide they would break, a line each."""
    pins = pinned(guide)
    newest = {}
    for number, package in enumerate(sorted(pins), start=1):
        print(f"looking up the newest releases, {number} of {len(pins)}: {package}", file=sys.stderr)
        newest[package] = newest_release(package)
    released = newest["transformers"]
    if released is None:
        raise GuideError("pip offers no release of Transformers. Is there a connection to a package index?")
    newer = {name: found for name, found in newest.items() if found and found > max(pins[name])}
    unknown = [name for name, found in newest.items() if found is None]
    before, after = installed(guide), describe_release(guide, released)
    parts = [
        "# Drift since the pins",
        "## Newer releases than the pinned ones",
        _listed(release_lines(guide, pins, newer), "None."),
        *([f"No release could be looked up of: {', '.join(unknown)}."] if unknown else []),
        f"## Transformers {guide.transformers} to {released}",
        "Changes of the registry:",
        _listed(registry_changes(asdict(before)["entries"], asdict(after)["entries"]), "None."),
        "What the guide would say wrongly:",
        _listed(check(guide, after), "Nothing."),
        "## Names and arguments that the scripts use",
        _listed(library_lines(guide, newer), "All found in the newest wheels."),
    ]
    return "\n\n".join(parts) + "\n"


def _listed(lines: Iterable[str], without: str) -> str:
    return "\n".join(f"- {line}" for line in lines) or without


def pinned(guide: Guide) -> dict[str, set[Version]]:
    """Every pin of the scripts' heads: package, and the versions that some script pins."""
    pins: dict[str, set[Version]] = {}
    for script in guide.scripts.values():
        for name, version in script.pins.items():
            pins.setdefault(canonicalize_name(name), set()).add(Version(version))
    return pins


def newest_release(package: str) -> Version | None:
    """The newest release that pip offers for this Python, or None if it offers none."""
    with suppress(GuideError):
        if found := re.match(r"\S+ \((\S+)\)", run_pip(["index", "versions", package])):
            return Version(found[1])
    return None


def release_lines(guide: Guide, pins: Mapping[str, set[Version]], newer: Mapping[str, Version]) -> Iterator[str]:
    """Each newer release beside the pins, and beside what a page says is the newest."""
    for name, found in newer.items():
        yield f"{name}: {' and '.join(map(str, sorted(pins[name])))} pinned, {found} released"
    libraries = [method.library for method in guide.methods.values() if method.library]
    written = {canonicalize_name(library.package): library.version for library in libraries}
    for name, version in sorted(written.items()):
        if name in newer and newer[name] != Version(version):
            yield f"{name}: the front matter says that {version} is the newest release, but {newer[name]} is"


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
    command, classes = [str(python), "-m", "guide.guest.registry"], json.dumps(classes_used(guide))
    done = subprocess.run(command, input=classes, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise GuideError(f"'{' '.join(command[1:])}' failed: {last}")
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


def library_lines(guide: Guide, newer: Mapping[str, Version]) -> Iterator[str]:
    """What scripts import from a library, and call with keywords, that its newest wheel does not have."""
    for package, version in newer.items():
        if package in NOT_READ:
            continue
        print(f"reading the newest wheel of {package}", file=sys.stderr)
        wheel = download(guide.project.build / "latest" / "wheels", package, version)
        if wheel is None:
            yield f"{package} {version}: no wheel to be read; its names were not compared"
            continue
        with zipfile.ZipFile(wheel) as archive:
            for script in guide.scripts.values():
                if package in {canonicalize_name(name) for name in script.pins}:
                    yield from (f"{package} {version}: {line}" for line in missing_names(archive, script.path, script.text))


def download(folder: Path, package: str, version: Version) -> Path | None:
    """The wheel of one release; None if it has none for this Python."""
    with suppress(GuideError):
        run_pip(["download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), f"{package}=={version}"])
    return next(iter(folder.glob(f"{package.replace('-', '_')}-{version}-*.whl")), None)
