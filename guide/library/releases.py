"""Releases of libraries: which is the newest, and the Python that its wheel or its sdist holds, read and not installed.

uv says where an index has them, without building anything, as pip does to learn what an sdist is.
"""

import hashlib
import re
import ssl
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from functools import cache
from os import environ
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from guide.offline.wheels import run_pip, uv_settings
from guide.project import GuideError

APART = {"test", "tests", "testing", "benchmark", "benchmarks", "example", "examples", "docs", "tools", "scripts", ".github",
         ".buildkite", "node_modules"}  # fmt: skip
ROOTS = ("src", "python", "lib")  # folders of an sdist in which packages lie


@dataclass(frozen=True)
class Archive:
    """One file of a release: a wheel or an sdist."""

    kind: str  # wheel or sdist
    place: str  # a URL, or a path of this machine
    size: int  # bytes, 0 where the index does not say
    sha256: str  # empty where the index does not say

    @property
    def name(self) -> str:
        """Of the file."""
        return PurePosixPath(self.place).name


@dataclass(frozen=True)
class Release:
    """A version of a package, and the files in which it is had for this interpreter."""

    package: str
    version: Version
    archives: tuple[Archive, ...]


@dataclass(frozen=True)
class Source:
    """The Python of one release."""

    package: str
    version: Version
    files: Mapping[str, str]  # text by path, as it is installed
    requires: Mapping[str, str]  # versions by package, of what it asks for without an extra


@cache
def settings() -> dict[str, str]:
    """What pip is told of indexes, as uv reads it."""
    return uv_settings(run_pip(["config", "list"]))


def release(package: str, version: Version | None = None) -> Release | None:
    """One release, or the newest that is none before another; None if no index has it."""
    asked = f"{package}=={version}" if version else package
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--no-deps", "--quiet", "--no-header"]
    command += ["--format", "pylock.toml", "--python", sys.executable, "--index-strategy", "unsafe-best-match"]
    variables = {**settings(), **environ} | ({} if version else {"UV_PRERELEASE": "disallow"})
    command += ["--no-index"] if "PIP_NO_INDEX" in variables else []
    done = subprocess.run(command, input=asked, capture_output=True, text=True, env=variables, check=False)
    found = tomllib.loads(done.stdout).get("packages") if done.returncode == 0 else None
    if not found:
        return None
    entry: dict[str, Any] = found[0]
    given = [("wheel", one) for one in entry.get("wheels", [])] + ([("sdist", entry["sdist"])] if "sdist" in entry else [])
    return Release(package, Version(entry["version"]), tuple(_archive(kind, one) for kind, one in given))


def _archive(kind: str, entry: Mapping[str, Any]) -> Archive:
    place = entry.get("url") or str(Path(entry["path"]).absolute())
    return Archive(kind, place, entry.get("size", 0), entry.get("hashes", {}).get("sha256", ""))


def sources(before: Release, after: Release, folder: Path) -> tuple[Source, Source]:
    """The Python of two releases, both from wheels or both from sdists where they can be, whichever are smaller.

    Raises GuideError where neither has a file with Python in it.
    """
    sizes = {kind: [_smallest(one, kind) for one in (before, after)] for kind in ("wheel", "sdist")}
    both = [found for found in sizes.values() if all(found)]
    chosen = min(both, key=lambda found: sum(one.size for one in found if one)) if both else [
        _smallest(before), _smallest(after)
    ]  # fmt: skip
    read = []
    for one, archive in zip((before, after), chosen, strict=True):
        if archive is None:
            raise GuideError(f"{one.package} {one.version}: no index has a wheel or an sdist of it for this Python.")
        read.append(read_source(one, fetched(archive, folder)))
    return read[0], read[1]


def _smallest(one: Release, kind: str | None = None) -> Archive | None:
    return min((file for file in one.archives if kind in (None, file.kind)), key=lambda file: file.size, default=None)


def fetched(archive: Archive, folder: Path) -> Path:
    """The archive as a file of this machine; raises GuideError where it cannot be had as the index says it is."""
    if Path(archive.place).is_file():
        return Path(archive.place)
    path = folder / archive.name
    if not (path.is_file() and archive.sha256 in ("", hashlib.sha256(path.read_bytes()).hexdigest())):
        print(f"fetching {archive.name}, {archive.size / 2**20:.0f} MiB", file=sys.stderr)
        try:
            with urlopen(archive.place, context=ssl.create_default_context(cafile=settings().get("SSL_CERT_FILE"))) as answer:
                data = answer.read()
        except (URLError, OSError) as error:
            raise GuideError(f"{archive.name} cannot be fetched: {error}.") from error
        if archive.sha256 and hashlib.sha256(data).hexdigest() != archive.sha256:
            raise GuideError(f"{archive.name} is not the file that the index names: its SHA-256 differs. Run it again.")
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path


def read_source(one: Release, path: Path) -> Source:
    """The Python of a wheel or an sdist, tests and examples apart; raises GuideError where it holds none."""
    files: dict[str, str] = {}
    metadata = ""
    try:
        for name, data in _members(path):
            parts = PurePosixPath(name).parts
            if parts[-1] in ("METADATA", "PKG-INFO") and (not metadata or len(parts) <= 2):
                metadata = data.decode(errors="replace")
            elif path.suffix == ".whl" or len(parts) > 1:
                files |= _module(parts if path.suffix == ".whl" else parts[1:], data)
    except (zipfile.BadZipFile, tarfile.TarError) as error:
        raise GuideError(f"{path.name} is no readable archive: {error}.") from error
    if not files:
        raise GuideError(f"{one.package} {one.version}: {path.name} holds no Python of it; its code is published elsewhere.")
    return Source(one.package, one.version, files, _requires(metadata))


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of an archive's Python and metadata."""
    wanted = re.compile(r".*(\.py|/METADATA|/PKG-INFO)")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel:
            yield from ((name, wheel.read(name)) for name in wheel.namelist() if wanted.fullmatch(name))
        return
    with tarfile.open(path) as sdist:
        for member in sdist:
            if member.isfile() and wanted.fullmatch(member.name) and (file := sdist.extractfile(member)):
                yield member.name, file.read()


def _module(parts: tuple[str, ...], data: bytes) -> dict[str, str]:
    """{path as installed: text} of one file; nothing of what is not installed."""
    parts = parts[1:] if parts[0] in ROOTS and len(parts) > 1 else parts
    apart = APART.intersection(parts[:-1]) or parts[-1] in ("setup.py", "conftest.py") or parts[-1].startswith("test_")
    return {} if apart or not parts[-1].endswith(".py") else {"/".join(parts): data.decode(errors="replace")}


def _requires(metadata: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for line in HeaderParser().parsestr(metadata).get_all("Requires-Dist") or []:
        try:
            asked = Requirement(line)
        except InvalidRequirement:
            continue
        if not asked.marker or "extra" not in str(asked.marker):
            found.setdefault(canonicalize_name(asked.name), []).append(str(asked.specifier) or "any version")
    return {name: " or ".join(dict.fromkeys(asked)) for name, asked in found.items()}
