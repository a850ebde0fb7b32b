"""What changed since the pins: the newest releases beside them, as a report to paste into an issue.

``nox -s drift -- --latest``. The newest Transformers gets an environment of its own below ``build/``; of the other
libraries the newest wheel is read, not installed.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from guide.environments import python_of
from guide.method import read_methods
from guide.project import BUILD, ROOT, GuideError, described_transformers, notebook_names
from guide.script import read_script

LATEST = BUILD / "latest"
GUIDES_OWN = ("jupytext", "nbformat", "packaging", "pydantic", "pyyaml")  # what the check needs beside Transformers
PIP = ("-m", "pip", "--disable-pip-version-check")


def report() -> str:
    """Markdown: newer releases, changes of Transformers' registry, and what of the guide they would break."""
    pins = pinned()
    newest = {}
    for number, package in enumerate(sorted(pins), start=1):
        _progress(f"looking up the newest releases, {number} of {len(pins)}: {package}")
        newest[package] = newest_release(package)
    newer = {name: found for name, found in newest.items() if found and found > max(pins[name])}
    unknown = sorted(name for name, found in newest.items() if found is None)
    parts = ["# Drift since the pins", "## Newer releases than the pinned ones"]
    parts.append("\n".join(_release_lines(pins, newer)) or "None.")
    if unknown:
        parts.append(f"No release could be looked up of: {', '.join(unknown)}.")
    described, released = described_transformers(), newest["transformers"]
    if released is None:
        raise GuideError("pip offers no release of Transformers. Is there a connection to a package index?")
    parts += [f"## Transformers {described} to {released}", *transformers_parts(released)]
    parts.append("## Names and arguments that the scripts use")
    parts.append("\n".join(f"- {line}" for line in library_lines(pins, newer)) or "All found in the newest wheels.")
    return "\n\n".join(parts) + "\n"


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def pinned() -> dict[str, set[Version]]:
    """Every pin of the scripts' heads: package, and the versions that some script pins."""
    pins: dict[str, set[Version]] = {}
    for name in notebook_names():
        for pin in map(Requirement, read_script(name).head.pins(cuda=True)):
            pins.setdefault(canonicalize_name(pin.name), set()).add(Version(next(iter(pin.specifier)).version))
    return pins


def newest_release(package: str) -> Version | None:
    """The newest release that pip offers for this Python, or None if it offers none."""
    done = subprocess.run([sys.executable, *PIP, "index", "versions", package], capture_output=True, text=True, check=False)
    found = re.match(r"\S+ \((\S+)\)", done.stdout)
    return Version(found[1]) if found else None


def _release_lines(pins: dict[str, set[Version]], newer: dict[str, Version]) -> Iterator[str]:
    written = {canonicalize_name(m.library.package): m.library.version for m in read_methods().values() if m.library}
    for name, found in newer.items():
        yield f"- {name}: {' and '.join(map(str, sorted(pins[name])))} pinned, {found} released"
    for name, version in sorted(written.items()):
        found = newer.get(name)
        if found and found != Version(version):
            yield f"- {name}: the front matter says that {version} is the newest release, but {found} is"


def transformers_parts(newest: Version) -> Iterator[str]:
    """Markdown: how the registry of the newest Transformers differs, and what the guide says wrongly of it."""
    python = python_of(LATEST)
    _progress(f"installing Transformers {newest} into build/latest")
    for command in ([sys.executable, "-m", "venv", LATEST],
                    [python, *PIP, "install", "--upgrade", f"transformers=={newest}", *GUIDES_OWN]):  # fmt: skip
        _run(command)
    _progress("comparing the registries")
    before, after = (json.loads(_run([p, "-m", "guide.registry"])) for p in (sys.executable, python))
    lines = list(registry_changes(before["entries"], after["entries"]))
    yield "Changes of the registry:"
    yield "\n".join(f"- {line}" for line in lines) or "None."
    faults = json.loads(_run([python, "-m", "guide.drift", "--json"]))
    yield "What the guide would say wrongly:"
    yield "\n".join(f"- {fault}" for fault in faults) or "Nothing."


def _run(command: list) -> str:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise GuideError(f"'{' '.join(map(str, command[1:4]))}' failed: {last}")
    return done.stdout


def registry_changes(before: dict[str, dict], after: dict[str, dict]) -> Iterator[str]:
    """Each key that came, went or changed, and in what; both sides are entries as ``guide.registry`` prints them."""
    for key in before.keys() - after.keys():
        yield f"`{key}` is gone"
    for key in after.keys() - before.keys():
        yield f"`{key}` is new: {after[key]['config']}"
    for key in (key for key in before if key in after):
        old, new = before[key], after[key]
        for field in old:
            if old[field] == new.get(field):
                continue
            if not isinstance(old[field], dict) or not isinstance(new.get(field), dict):
                yield f"`{key}`: {field} was {old[field]}, is {new.get(field)}"
                continue
            for name in dict.fromkeys([*old[field], *new[field]]):
                one, other = (side[field].get(name, "absent") for side in (old, new))
                if one != other:
                    yield f"`{key}`: {field}, {name} was {one}, is {other}"


def library_lines(pins: dict[str, set[Version]], newer: dict[str, Version]) -> Iterator[str]:
    """What scripts import from a library, and call with keywords, that its newest wheel does not have."""
    for package, version in newer.items():
        if package in ("transformers", "torch"):
            continue  # the one was compared above, the other's wheel weighs gigabytes
        _progress(f"reading the newest wheel of {package}")
        wheel = download(package, version)
        if wheel is None:
            yield f"{package} {version}: no wheel to be read; its names were not compared"
            continue
        with zipfile.ZipFile(wheel) as archive:
            tops = {name.split("/")[0].removesuffix(".py") for name in archive.namelist() if ".dist-info/" not in name}
            for name in notebook_names():
                if package in {canonicalize_name(Requirement(pin).name) for pin in read_script(name).head.pins(cuda=True)}:
                    yield from (f"{package} {version}: {line}" for line in missing_names(archive, tops, name))


def download(package: str, version: Version) -> Path | None:
    """The wheel of one release, below ``build/``; None if it has none for this Python."""
    folder = LATEST / "wheels"
    command = ["download", "--no-deps", "--only-binary", ":all:", "--dest", folder, f"{package}=={version}"]
    subprocess.run([sys.executable, *PIP, *map(str, command)], capture_output=True, check=False)
    return next(iter(folder.glob(f"{package.replace('-', '_')}-{version}-*.whl")), None)


def missing_names(archive: zipfile.ZipFile, tops: set[str], notebook: str) -> Iterator[str]:
    """What ``snippets/<notebook>.py`` uses that the wheel does not define, or does not take as an argument."""
    tree = ast.parse(read_script(notebook).path.read_text(encoding="utf-8"))
    imported: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in tops:
            module = _module(archive, node.module)
            for alias in node.names:
                submodule = _module(archive, f"{node.module}.{alias.name}")
                if module is None:
                    yield f"snippets/{notebook}.py imports {node.module}, which is gone"
                elif submodule is None and not _defines(module, alias.name):
                    yield f"snippets/{notebook}.py imports {alias.name} from {node.module}, which no longer has it"
                else:
                    imported[alias.asname or alias.name] = alias.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported:
            known = _arguments(archive, imported[node.func.id])
            for keyword in node.keywords:
                if known and keyword.arg and keyword.arg not in known:
                    yield f"snippets/{notebook}.py gives {node.func.id} the argument '{keyword.arg}', which it no longer has"


def _module(archive: zipfile.ZipFile, dotted: str) -> ast.Module | None:
    base = dotted.replace(".", "/")
    for name in (f"{base}.py", f"{base}/__init__.py"):
        if name in archive.namelist():
            return ast.parse(archive.read(name))
    return None


def _defines(module: ast.Module, name: str) -> bool:
    """Whether a module defines or imports a name; a star import or a module's ``__getattr__`` may bring any."""
    for node in ast.walk(module):
        match node:
            case ast.FunctionDef(name=found) | ast.ClassDef(name=found) if found in (name, "__getattr__"):
                return True
            case ast.Name(id=found) if found == name:
                return True
            case ast.alias(name=found, asname=asname) if found == "*" or name in (asname, found.split(".")[0]):
                return True
            case ast.Constant(value=found) if found == name:  # listed in a table of lazy imports
                return True
    return False


def _arguments(archive: zipfile.ZipFile, name: str) -> set[str]:
    """Arguments of a class or function of a wheel, bases included; empty if they cannot be told (``**kwargs``, none found)."""
    for path in archive.namelist():
        if not path.endswith(".py") or name.encode() not in (text := archive.read(path)):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return _of_function(node)
            if isinstance(node, ast.ClassDef) and node.name == name:
                inits = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
                if inits:
                    return _of_function(inits[0])
                fields = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}  # a dataclass
                own_base = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id != name]
                return fields | {argument for base in own_base for argument in _arguments(archive, base)}
    return set()


def _of_function(function: ast.FunctionDef) -> set[str]:
    if function.args.kwarg:
        return set()
    return {argument.arg for argument in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
