"""What changed in one library, as lines of a report: what may make a page wrong, what touches a place, the rest by file."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from guide.library.changes import Change, Kind
from guide.library.places import Place, Reach, Touched

# What may make a place wrong: the least that it must name of the change.
WRONG = {Kind.LOST: Reach.NAME, Kind.ARGUMENT: Reach.ARGUMENT, Kind.DEFAULT: Reach.ARGUMENT, Kind.VALUE: Reach.NAME,
         Kind.MESSAGE: Reach.TEXT}  # fmt: skip
HEADS = {Kind.LOST: "gone or moved", Kind.ARGUMENT: "other arguments", Kind.DEFAULT: "other defaults",
         Kind.VALUE: "other values", Kind.MESSAGE: "other messages", Kind.NEW: "new", Kind.BODY: "other code"}  # fmt: skip
MOST_PLACES, MOST_NAMES, MOST_FILES = 5, 4, 20  # that a line or a list names before it counts
ABOUT = re.compile(r"quant(?!ile|ity)", re.IGNORECASE)
Found = tuple[Change, dict[Place, Reach]]  # a change, and the places that it touches


@dataclass(frozen=True)
class Told:
    """The lines of one library, without the bullet."""

    wrong: list[str]
    touching: list[str]
    rest: list[str]


def sorted_out(changes: Iterable[Change], touched: Touched) -> Told:
    """Every change in one of three lists; the last has a line for each file that is about quantization, and a count."""
    wrong: list[tuple[int, str]] = []
    named: dict[tuple[str, str], list[Found]] = {}
    weak: dict[str, list[Found]] = {}
    rest: list[Change] = []
    for change in _once(changes):
        by = touched.by(change)
        reach = max(by.values(), default=None)
        if reach is None:
            rest.append(change)
        elif reach >= WRONG.get(change.kind, Reach.TEXT + 1):
            wrong.append((-reach, f"{_subject(change)}{change.what}: {_places([(change, by)], reach)}"))
        elif reach >= Reach.NAME:
            named.setdefault((change.file, change.owner), []).append((change, by))
        else:
            weak.setdefault(change.file, []).append((change, by))
    touching = [f"{_subject(found[0][0])}{_joined(found)}: {_places(found, Reach.NAME)}" for found in named.values()]
    touching += [
        f"`{file}`: {_names([change for change, _ in found])}: {_places(found, Reach.FILE)}" for file, found in weak.items()
    ]
    return Told([line for _, line in sorted(wrong, key=lambda one: one[0])], touching, list(_rest(rest)))


def _once(changes: Iterable[Change]) -> Iterator[Change]:
    """Without what a class says again of its ``__init__``, and a generated file again of its source beside it."""
    seen = set()
    for change in changes:
        key = (change.file.rpartition("/")[0], change.owner, change.kind, change.what)
        if key not in seen or not change.name:
            yield change
        seen.add(key)


def _subject(change: Change) -> str:
    return "".join(f"`{part}` " for part in (change.file, change.owner) if part)


def _joined(found: list[Found]) -> str:
    """What all changes of one thing are; that its code changed goes without saying where something else did."""
    texts = [change.what for change, _ in found if change.kind is not Kind.BODY]
    return _some(texts or [found[0][0].what], MOST_NAMES, "; ")


def _places(found: list[Found], least: Reach) -> str:
    """The places that name so much of the changes: each file once, pages first, with its lines and fields."""
    places = dict.fromkeys(place for _, by in found for place, reach in by.items() if reach >= least)
    labels: dict[str, list[str]] = {}
    for place in sorted(places, key=lambda place: place.path.endswith(".py")):
        labels.setdefault(place.path, []).append(place.label)
    inner = {path: _some(list(dict.fromkeys(filter(None, parts))), MOST_PLACES, "; ") for path, parts in labels.items()}
    return _some([f"{path} ({parts})" if parts else path for path, parts in inner.items()], MOST_PLACES)


def _names(changes: list[Change]) -> str:
    """What changed in a file, by kind; new private names, which nobody calls, only where there is nothing else."""
    public = [one for one in changes if one.kind is not Kind.NEW or not one.name.rpartition(".")[2].startswith("_")]
    kinds: dict[Kind, list[str]] = {}
    for change in public or changes:
        kinds.setdefault(change.kind, []).append(f"`{change.owner}`" if change.name else "the file")
    return "; ".join(f"{HEADS[kind]} {_some(list(dict.fromkeys(kinds[kind])), MOST_NAMES)}" for kind in Kind if kind in kinds)


def _some(texts: list[str], most: int, between: str = ", ") -> str:
    more = len(texts) - most
    return between.join(texts[:most] + ([f"{more} more"] if more > 0 else []))


def _rest(changes: list[Change]) -> Iterator[str]:
    """A line for each file about quantization, as far as a person reads on, and how many changes there are beside."""
    files: dict[str, list[Change]] = {}
    for change in changes:
        files.setdefault(change.file, []).append(change)
    about = [file for file, found in files.items() if any(_is_about_quantization(change) for change in found)]
    for file in about[:MOST_FILES]:
        kinds = [change.kind for change in files[file]]
        yield f"`{file}`: {', '.join(f'{kinds.count(kind)} {HEADS[kind]}' for kind in Kind if kind in kinds)}"
    others = [found for file, found in files.items() if file not in about[:MOST_FILES]]
    if others:
        yield f"{sum(map(len, others))} changes in {len(others)} other files"


def _is_about_quantization(change: Change) -> bool:
    return bool(ABOUT.search(" ".join([change.file, change.name, *change.bases])))
