"""What front matter names by the way: the versions that its sources were read at, and types of models."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from guide.facts.guide import Guide
from guide.facts.method import front_matter
from guide.facts.versions import stated
from guide.guest.registry import Description

VERSION = re.compile(r"(?<![\w./-])([A-Za-z][\w.-]*\w) v?(\d+(?:\.\d+)+(?:\.?(?:post|dev|rc|a|b)\d+)*)(?![\w-]|\.\d)")


def wrong_versions(guide: Guide) -> Iterator[str]:
    """Sources that were read at a version which no pin, no proof and no fact has, a sentence for each version of a page.

    Of a package that is not the page's own subject another version may be cited, if the page speaks of it elsewhere; of a
    package that the guide does not know a page cites one version.
    """
    known = _known(guide)
    for page, text in guide.pages.items():
        if not page.startswith(("methods/", "engines/")) or not text.startswith("---\n"):
            continue
        sources = dict(_sources(front_matter(f"docs/{page}", text)))
        spoken, read = " ".join(text.lower().split()), " ".join(sources.values()).lower()
        cited: dict[tuple[str, str], list[str]] = {}
        for field, source in sources.items():
            for name, version in VERSION.findall(source):
                cited.setdefault((name, version), []).append(field)
        first: dict[str, str] = {}
        for (name, version), (field, *others) in cited.items():
            place = f"docs/{page}: {field}{f' and {len(others)} more' if others else ''}"
            pair, own = f"{name} {version}", known.get(_squeezed(name))
            elsewhere = spoken.count(pair.lower()) > read.count(pair.lower())
            if own and not _is_among(version, own) and not (elsewhere and _squeezed(name) not in _subject(guide, page)):
                yield (f"{place}: the source cites {pair}, which is no pin, no fact and in no proof; known are "
                       f"{', '.join(sorted(own))}. Read it there, or correct the version.")  # fmt: skip
            if not own and first.setdefault(name, version) != version and not elsewhere:
                yield f"{place}: the source cites {pair}, but another one {name} {first[name]}. Read both at one version."


def _known(guide: Guide) -> Mapping[str, set[str]]:
    """The versions of packages that the guide pins, ran, or states as a fact, by name without signs and capitals."""
    own = ((name, method.library.version) for name, method in guide.methods.items() if method.library)
    found: dict[str, set[str]] = {}
    for name, version in (*stated(guide), *own):
        found.setdefault(_squeezed(name), set()).add(version)
    return found


def _is_among(version: str, known: set[str]) -> bool:
    """Whether a version is one of those that are known, or the head of one: 2026.4.1 of 2026.4.1.0."""
    return any(f"{one}.".startswith(f"{version}.") for one in known)


def _subject(guide: Guide, page: str) -> set[str]:
    """What a page is about, as a source may name it."""
    name = page.rpartition("/")[2].removesuffix(".md")
    if page.startswith("engines/"):
        engine = guide.engines.get(name)
        found = [engine.title, engine.package or name] if engine else []
    else:
        method = guide.methods[name]
        found = [name, method.title, *([method.library.package] if method.library else [])]
    return set(map(_squeezed, found))


def _squeezed(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _sources(value: Any, field: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each text of front matter that says where something was read, with its field."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        name = part.get("id", key) if isinstance(part, dict) and isinstance(value, list) else key
        if isinstance(part, str) and str(key).endswith("source"):
            yield ".".join((*field, str(name))), part
        else:
            yield from _sources(part, (*field, str(name)))


def unknown_models(guide: Guide, library: Description) -> Iterator[str]:
    """Types of models that engines' pages name and Transformers has not, a sentence each with its field."""
    for name, engine in guide.engines.items():
        fields = {"needs_bf16.models": engine.needs_bf16.models} if engine.needs_bf16 else {}
        fields |= {f"flags.cache.{number}.without": one.without for number, one in enumerate(engine.flags.cache)}
        for field, types in fields.items():
            for one in (one for one in types if one not in library.model_types):
                yield f"docs/engines/{name}.md: {field} names '{one}', no model type of {library.release}. Correct it."
