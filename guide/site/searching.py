"""The search's index, thinned: every visitor loads it with the first page, and whole it weighs more than all else together.

A section keeps its title, the beginning of its text, which the search shows, and of the rest each word that few sections have:
those find it, and common words find its page by titles and beginnings. A notebook keeps its title alone, as its page explains.
"""

import re
from collections import Counter
from typing import Any

SHOWN = 66  # characters of a section's text that are kept as they are
FEW = 3  # sections at most that have a word, if it is kept from further down
SHORTEST = 3  # letters of such a word
TAG = re.compile(r"<[^>]+>")
WORD = re.compile(r"[^\s()\[\]{}\"“”`,;=*]+")
NUMBER = re.compile(r"[^a-zA-Z]*")
NOTEBOOKS = "notebooks/"
SAME = ("How it was proven", "Elsewhere")  # sections of every method's page, which answer no question


def thinned(index: dict[str, Any]) -> dict[str, Any]:
    """A search index of MkDocs (``config`` and ``docs``, each with ``location``, ``title``, ``text``) with less text."""
    entries = [one for one in index["docs"] if not _left_out(one)]
    texts = [" ".join(TAG.sub(" ", one["text"]).split()) for one in entries]
    sections = Counter(word for text in texts for word in {word.lower() for word in _words(text)})
    return index | {"docs": [one | {"text": _short(text, sections)} for one, text in zip(entries, texts, strict=True)]}


def _left_out(entry: dict[str, Any]) -> bool:
    return entry["title"] in SAME or (entry["location"].startswith(NOTEBOOKS) and "#" in entry["location"])


def _words(text: str) -> list[str]:
    words = [found.strip(".:?!-/'") for found in WORD.findall(text)]
    return [word for word in words if len(word) >= SHORTEST and not NUMBER.fullmatch(word)]


def _short(text: str, sections: Counter[str]) -> str:
    """The beginning of a text, to the end of a word, and the rare words of what follows."""
    if len(text) <= SHOWN:
        return text
    beginning = text[:SHOWN].rpartition(" ")[0] or text[:SHOWN]
    rest = dict.fromkeys(word for word in _words(text[len(beginning) :]) if sections[word.lower()] <= FEW)
    return " ".join((beginning, "…", *rest))
