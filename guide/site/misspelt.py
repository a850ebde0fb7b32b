"""Names that are nearly those of something: packages to install, flags of commands, and versions of engines in prose.

What the guide writes elsewhere, pins or ran tells how a name is spelt. A name that nothing is near to is taken as it is.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterator
from difflib import SequenceMatcher, get_close_matches
from itertools import takewhile

from packaging.version import Version

from guide.facts.guide import Guide
from guide.site.typed import known_versions, squeezed

INSTALL = re.compile(r"pip (?:install|uninstall) ([^\n`\"&|;#]+)")
FLAG = re.compile(r"(?<![\w-])--[a-z][\w-]+")
BEFORE = re.compile(r"\b(?:since|until|till|before|from|to|in older|after|below|than|up to|with) $", re.IGNORECASE)
NEAR = 0.85  # of the letters of a package's name
NEARLY = 0.93  # of those of a flag, of which there are many alike
ENDING = 5  # letters that a flag may have too many or too few at its end
NAME = re.compile(r"(?<![\w./-])(?=\w{8})[A-Z]\w*[a-z][A-Z]\w*")  # of a class: MarlinLinear


def faults(guide: Guide) -> Iterator[str]:
    """What is nearly something else, a sentence each with its file."""
    texts = {f"docs/{page}": text for page, text in guide.pages.items()}
    texts |= {script.path: script.text for script in guide.scripts.values()}
    yield from _packages(guide, texts)
    yield from _flags(texts)
    yield from _classes(texts)
    yield from _engines(guide)


def _packages(guide: Guide, texts: dict[str, str]) -> Iterator[str]:
    """Packages of install lines that are none the guide knows, and nearly one."""
    known = {*known_versions(guide), *map(squeezed, guide.image.freeze)}
    for path, text in texts.items():
        for line in INSTALL.findall(text):
            for word in line.split():
                name = re.split(r"[=<>\[!~@]", word.strip("'\".,)"))[0]
                if squeezed(name) in known or name.startswith("-"):
                    continue
                if meant := get_close_matches(squeezed(name), [one for one in known if len(one) > 5], 1, NEAR):
                    yield f"{path}: 'pip install {name}': there is no such package here; is {meant[0]} meant?"


def _flags(texts: dict[str, str]) -> Iterator[str]:
    """Flags that are written once, and nearly as one that is written more often."""
    said = Counter(flag for text in texts.values() for flag in FLAG.findall(text))
    often = [flag for flag, times in said.items() if times > 1]
    for path, text in texts.items():
        for flag in FLAG.findall(text):
            if said[flag] == 1 and (meant := _meant(flag, often)):
                yield f"{path}: the flag {flag} stands nowhere else; is {meant} meant?"


def _meant(flag: str, others: Collection[str]) -> str | None:
    """The flag that another is nearly: with a letter changed, or cut off or drawn out at its end."""
    for other in others:
        difference = abs(len(flag) - len(other))
        drawn = min(len(flag), len(other)) > 2 * ENDING and (other.startswith(flag) or flag.startswith(other))
        if (drawn and difference < ENDING) or (
            difference < 3 and SequenceMatcher(None, flag, other).ratio() >= NEARLY  # two letters
        ):
            return other
    return None


def _classes(texts: dict[str, str]) -> Iterator[str]:
    """Names of classes that are written once, and by one small letter as one that is written more often."""
    said = Counter(name for text in texts.values() for name in NAME.findall(text))
    often = [name for name, times in said.items() if times > 1]
    for path, text in texts.items():
        for name in NAME.findall(text):
            if said[name] == 1 and (meant := next((one for one in often if _by_a_letter(name, one)), None)):
                yield f"{path}: the name {name} stands nowhere else; is {meant} meant?"


def _by_a_letter(one: str, other: str) -> bool:
    """Whether a small letter more, less or otherwise, or two that changed places, tell one name from another; no plural."""
    begin = _alike(one, other)
    end = _alike(one[begin:][::-1], other[begin:][::-1])
    parts = one[begin : len(one) - end], other[begin : len(other) - end]
    turned = len(parts[0]) == 2 and parts[0] == parts[1][::-1]
    plural = end == 0 and sorted(parts) == ["", "s"]
    return not plural and (turned or max(map(len, parts)) == 1) and all(part.islower() or not part for part in parts)


def _alike(one: str, other: str) -> int:
    """How many letters two names begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _engines(guide: Guide) -> Iterator[str]:
    """Versions of engines in prose that are not the one which their page describes, but where it speaks of the past."""
    for page, text in guide.pages.items():
        prose = " ".join((text.partition("\n---\n")[2] if text.startswith("---\n") else text).split())
        others = {
            name: engine for name, engine in guide.engines.items() if not engine.of_methods
        }  # of which pins are held back
        for name, engine in others.items():
            for found in re.finditer(rf"\b{re.escape(engine.title)} v?(\d+\.\d+\.\d+)\b", prose):
                older = Version(found[1]) < Version(str(engine.version)) and BEFORE.search(prose[: found.start()])
                if not older and not f"{engine.version}.".startswith(f"{found[1]}."):
                    page_of = f"docs/engines/{name}.md"
                    yield (f"docs/{page}: '{found[0]}' is not the version of {page_of}, {engine.version}: correct it; of an "
                           f"older one say 'since', 'until' or 'before {found[0]}'.")  # fmt: skip
