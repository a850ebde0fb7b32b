"""Where the guide names a thing of a library: paragraphs of pages, entries of front matter (cells, traps, symptoms, engines'
answers), cells of scripts; and which of these places a change of a library touches.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Any

from packaging.utils import canonicalize_name

from guide.facts import symptoms, traps
from guide.facts.guide import Guide
from guide.facts.method import front_matter
from guide.guest.registry import names_in
from guide.library.changes import HOLE, Change, Kind, messages_of
from guide.library.code import parsed
from guide.library.releases import Source
from guide.notebooks.build import tags
from guide.notebooks.script import Script

WORD = re.compile(r"[A-Za-z_]\w*")
LIKE_CODE = re.compile(r"\w*[A-Za-z0-9]_\w+|[A-Za-z0-9]*(?:[a-z0-9][A-Z]|[A-Z][A-Z0-9]+[a-z])\w*")  # from prose: no plain word
IN_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
FILE = re.compile(r"[\w/.-]*\w\.py\b")
DEFINED = re.compile(r"^[ \t]*(?:async )?(?:def|class) (\w+)|^(?: {4})?(\w+)(?: *:[^=\n]+)? = ", re.MULTILINE)
PARAGRAPH = re.compile(r"(?:^.*\S.*\n?)+", re.MULTILINE)
QUOTED = re.compile(r"[`\"]([^`\"\n]{20,})[`\"]")
TAGS = (traps.TAG, symptoms.TAG)  # of cells that show something happen
RARE = 3  # definitions in a library up to which a name means one of them
LONG = 20  # signs of a text from which on it is not there by chance
MANY = 20  # functions that lose an argument of one name, which is then told once


class Reach(IntEnum):
    """What of a change a place names; the most telling last."""

    FILE = 1
    CLASS = 2
    NAME = 3
    ARGUMENT = 4
    TEXT = 5


@dataclass(frozen=True)
class Place:
    """A part of a file of the guide that may name things of libraries."""

    path: str
    part: str  # the field of the front matter, the tag of a cell; empty in prose
    line: int  # where it begins, 0 in front matter and where it is a file as a whole
    text: str
    own: frozenset[str]  # packages that its file is about, where it names none
    message: str = ""  # of a symptom: what is printed

    @property
    def label(self) -> str:
        """Within its file: a line, a field, or a tagged cell with its line."""
        return ", ".join(filter(None, [self.part, f"line {self.line}" if self.line else ""]))

    @cached_property
    def names(self) -> frozenset[str]:
        """Names in code."""
        if self.path.endswith(".py"):
            return frozenset(names_in(parsed(self.path, self.text)))
        code = " ".join(IN_CODE.findall(self.text))
        return frozenset([*WORD.findall(code), *LIKE_CODE.findall(self.text)])

    @cached_property
    def files(self) -> frozenset[str]:
        """Paths of Python files, as they are written."""
        return frozenset(FILE.findall(self.text))

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word, to see which libraries it is about."""
        return frozenset(canonicalize_name(word) for word in re.findall(r"[\w-]+", self.text))

    @cached_property
    def plain(self) -> str:
        """Its text as it is compared with messages."""
        return _plain(self.text)

    @cached_property
    def quotes(self) -> tuple[str, ...]:
        """What it quotes of a message, in pieces."""
        said = [text for text in QUOTED.findall(self.text) if text.count(" ") >= 3]  # of fewer words it is a name or a command
        found = [piece for text in [*self.message.splitlines(), *said] for piece in _pieces(text, "...")]
        return tuple(piece for piece in found if len(piece) >= LONG)


def places(guide: Guide) -> list[Place]:
    """All places of the guide."""
    found: list[Place] = []
    for name, text in guide.pages.items():
        found += _of_page(f"docs/{name}", text, _packages(guide, name))
    for script in guide.scripts.values():
        found += _of_script(script)
    others = {f"snippets/shared/{name}.py": text for name, text in guide.shared.items()}
    others |= {f"models/checkpoints/{name}.py": text for name, text in guide.makers.items()}
    others |= {recipe.path: recipe.text for recipe in guide.recipes.values()}
    others |= {f"guide/guest/{name}.py": text for name, text in guide.guests.items()}
    return found + [Place(path, "", 0, text, frozenset(["transformers"])) for path, text in others.items()]


def _of_script(script: Script) -> Iterator[Place]:
    """The cells of a script's code, each with its line in the script and the trap or symptom that it is tagged with."""
    own, end = frozenset(map(canonicalize_name, script.pins)), 0
    for cell in (cell for cell in script.cells() if cell.cell_type == "code" and cell.source):
        rows = cell.source.splitlines()
        end = max(script.text.find(f"\n{rows[0]}\n", end), end)
        tagged = next((tag for tag in tags(cell) if tag.startswith(TAGS)), "").replace(":", " ")
        code = "\n".join("" if row.lstrip().startswith(("%", "!")) else row for row in rows)
        yield Place(script.path, tagged, script.text[:end].count("\n") + 2, code, own)


def _packages(guide: Guide, page: str) -> frozenset[str]:
    """What a page is about where a part of it does not say: of a method what its notebooks pin, of an engine its package."""
    name = page.partition("/")[2].removesuffix(".md")
    if page.startswith("methods/") and name in guide.methods:
        pinned = [package for notebook in guide.methods[name].notebooks for package in guide.scripts[notebook].pins]
        return frozenset(map(canonicalize_name, ["transformers", *pinned]))
    if page.startswith("engines/") and name in guide.engines:
        engine = guide.engines[name]
        return frozenset(filter(None, [engine.package, engine.registry.distribution if engine.registry else None]))
    return frozenset(["transformers"])


def _of_page(path: str, text: str, own: frozenset[str]) -> Iterator[Place]:
    above, body = 0, text
    if text.startswith("---\n"):
        end = text.index("\n---\n", 4) + 5
        yield from _of_facts(path, "", front_matter(path, text), own)
        above, body = text[:end].count("\n"), text[end:]
    for found in PARAGRAPH.finditer(body):
        yield Place(path, "", above + body[: found.start()].count("\n") + 1, found[0], own)


def _of_facts(path: str, part: str, facts: Any, own: frozenset[str]) -> Iterator[Place]:
    """An entry of the front matter with what it says itself; those within it are places of their own."""
    pairs = facts.items() if isinstance(facts, dict) else enumerate(facts)
    said = []
    for key, value in pairs:
        if isinstance(value, dict | list):
            given = [value.get("id"), value.get("name")] if isinstance(value, dict) else []
            named = next((one for one in given if re.fullmatch(r"[\w.-]+", str(one or ""))), str(key))
            yield from _of_facts(path, f"{part}.{named}".lstrip("."), value, own)
            said.append(str(key))
        else:
            said.append(f"{key} {value}" if isinstance(facts, dict) else str(value))
    message = str(facts.get("message", "")) if isinstance(facts, dict) else ""
    yield Place(path, part or "front matter", 0, "\n".join(said), own, message)


def _plain(text: str) -> str:
    """Text without marks of code, layout and case."""
    return " ".join(text.replace("`", "").replace("\\", "").split()).lower()


def _pieces(text: str, hole: str) -> list[str]:
    """What stands between the holes of a message."""
    return [piece.strip(" .:,'\"") for piece in map(_plain, text.split(hole))]


class Touched:
    """Which places of the guide a library's changes touch; ``known`` are the packages that the guide knows."""

    def __init__(self, found: Iterable[Place], before: Source, after: Source, known: Iterable[str]):
        self.all = list(found)
        tops = {path.partition("/")[0] for path in before.files}
        self.words = {canonicalize_name(before.package), *map(canonicalize_name, tops)}
        self.places = [place for place in self.all if self._is_about(place, frozenset(known) | self.words)]
        self.by_name: dict[str, list[Place]] = {}
        self.on_page: dict[str, set[str]] = {}
        self.by_file: dict[str, list[Place]] = {}
        for place in self.places:
            self.on_page.setdefault(place.path, set()).update(place.names)
            for name in place.names:
                self.by_name.setdefault(name, []).append(place)
            for file in place.files:
                self.by_file.setdefault(file.lstrip("/."), []).append(place)
        self.after = after
        self.defined = _definitions(before) | _definitions(after)
        self.files = Counter(path.rpartition("/")[2] for path in {*before.files, *after.files})

    def _is_about(self, place: Place, known: frozenset[str]) -> bool:
        named = place.words & known
        return bool((named or place.own) & self.words)

    def by(self, change: Change) -> dict[Place, Reach]:
        """The places that name what changed, each with what of it."""
        found: dict[Place, Reach] = {}
        for reach, place in [*self._files(change), *self._names(change), *self._arguments(change), *self._texts(change)]:
            found[place] = max(reach, found.get(place, reach))
        return found

    def _texts(self, change: Change) -> Iterator[tuple[Reach, Place]]:
        """Messages that are gone and that a place quotes, whatever library it names: most of what stands between the holes,
        or a piece of that."""
        for text in change.texts:
            pieces = _pieces(text, HOLE)
            found = [place for place in self.all if _quotes(place, pieces)] if max(map(len, pieces)) >= LONG else []
            if found and not self._is_said(text):
                yield from ((Reach.TEXT, place) for place in found)

    def _is_said(self, text: str) -> bool:
        """Whether a function of the new release still says a message."""
        start = max(text.split(HOLE), key=len)[:LONG].strip()
        return any(text in messages_of(code) for code in self.after.files.values() if start in code)

    def _arguments(self, change: Change) -> Iterator[tuple[Reach, Place]]:
        holder, last = _named(change)
        for argument in (argument.lstrip("*") for argument in change.arguments):
            for place in self.by_name.get(argument, ()) if last or LIKE_CODE.fullmatch(argument) else ():
                page = self.on_page[place.path]
                if not last or holder in page or (last in page and self._is_rare(last)):
                    yield Reach.ARGUMENT, place

    def _names(self, change: Change) -> Iterator[tuple[Reach, Place]]:
        holder, last = _named(change)
        alone = re.compile(rf"(?<![\w.]){last}\(|import .*\b{last}\b") if not LIKE_CODE.fullmatch(last) else None
        for place in self.by_name.get(last, ()):
            if holder in self.on_page[place.path] or (
                self._is_rare(last) and (not alone or (not holder and alone.search(place.text)))
            ):
                yield Reach.NAME, place
        if holder and self._is_rare(holder):
            yield from ((Reach.CLASS, place) for place in self.by_name.get(holder, ()))

    def _files(self, change: Change) -> Iterator[tuple[Reach, Place]]:
        for tail in _tails(change.file):
            if "/" in tail or self.files[tail] == 1:
                yield from ((Reach.FILE, place) for place in self.by_file.get(tail, ()))

    def _is_rare(self, name: str) -> bool:
        return not name.startswith("__") and self.defined[name] <= RARE


def _named(change: Change) -> tuple[str, str]:
    """The class that holds what changed, if one does, and its own name."""
    *outer, last = change.owner.split(".")
    return outer[-1] if outer else "", last


def _quotes(place: Place, pieces: list[str]) -> bool:
    """Whether a place has most of a message, or enough of it that no other is meant."""
    whole = sum(map(len, pieces))
    held = sum(len(piece) for piece in pieces if len(piece) >= LONG and piece in place.plain)
    quoted = [len(quote) for quote in place.quotes for piece in pieces if quote in piece]
    return 2 * held > whole or any(2 * length > whole or length > 2 * LONG for length in quoted)


def _definitions(source: Source) -> Counter[str]:
    """How often each name is defined: as a function, a class, a constant or an attribute of a class."""
    return Counter(found[1] or found[2] for text in source.files.values() for found in DEFINED.finditer(text))


def _tails(path: str) -> list[str]:
    """``b/c.py`` and ``c.py`` of ``a/b/c.py``, and the whole."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def told_once(found: Iterable[Change]) -> list[Change]:
    """The changes, with one in the place of many functions that lost an argument of one name."""
    found = list(found)
    lost: dict[str, list[Change]] = {}
    for one in found:
        if one.kind is Kind.ARGUMENT and one.what.startswith("no longer"):
            lost.setdefault(one.arguments[0], []).append(one)
    many = {argument: ones for argument, ones in lost.items() if len(ones) >= MANY}
    apart = {id(one) for ones in many.values() for one in ones}
    return [one for one in found if id(one) not in apart] + [_of_many(argument, ones) for argument, ones in many.items()]


def _of_many(argument: str, ones: list[Change]) -> Change:
    text = f"{len(ones)} functions no longer take `{argument}`"
    (by, count), *_ = Counter(one.by for one in ones if one.by).most_common(1) or [("", 0)]
    text += f", which {count} of them still accept by way of `{by}`" if by else ""
    return Change(Kind.ARGUMENT, "", "", text, (argument,))
