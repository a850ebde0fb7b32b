"""Entries of the index of symptoms beside what they rest on: releases that are out, their report, what was printed."""

import re
from collections.abc import Iterator

from packaging.version import Version

from guide.facts.cells import tagged
from guide.facts.guide import Guide
from guide.facts.symptoms import PAGE, TAG, ShownSymptom, Symptom, parse_symptoms, shown_symptoms
from guide.facts.versions import stated

RELEASE = re.compile(r"\b([A-Za-z][\w.-]*) (?:from |>= ?)?(\d+(?:\.\d+)+)(?![\w.]*\d)")
CITED = {  # numbers of one kind, in an address and in words: an issue may be followed by the pull request that ends it
    re.compile(r"/pull/(\d+)"): re.compile(r"\b(?:PR|pull request) #?(\d{3,})"),
    re.compile(r"/issues/(\d+)"): re.compile(r"\bissue #?(\d{3,})"),
}
ANCHOR = re.compile(r"\]\(#([\w-]+)\)")
ASKED = re.compile(r'(?:shows\(\w+, |warns\()"([^"]+)"')  # what a cell asks of what happens, which shows it or fails


def faults(guide: Guide) -> Iterator[str]:
    """Entries that name a release that is not out, another number than their link's, or words that no run printed."""
    newest = _newest(guide)
    for one in shown_symptoms(guide):
        for sentence in (*_releases(one.symptom, newest), *_numbers(one.symptom), *_message(guide, one)):
            yield f"{PAGE}: {one.symptom.id}.{sentence}"
    ids = {one.id for one in parse_symptoms(guide.pages["symptoms.md"])}
    for symptom in parse_symptoms(guide.pages["symptoms.md"]):
        for field in ("see", "versions", "cause", "cure", "said"):
            if dead := [one for one in ANCHOR.findall(getattr(symptom, field)) if one not in ids]:
                yield f"{PAGE}: {symptom.id}.{field} leads to '#{dead[0]}', which is no entry: write the id of one."


def _newest(guide: Guide) -> dict[str, Version]:
    """The newest release that the guide knows of each package that it pins, ran or has a page of."""
    asked = [(one.transformers.packages | one.transformers.packages_later).items() for one in guide.methods.values()]
    least = [(name, version) for packages in asked for name, version in packages if version]
    found: dict[str, Version] = {}
    for name, version in (*stated(guide), *least, *guide.image.freeze.items()):
        found[_plain(name)] = max(found.get(_plain(name), Version("0")), Version(version))
    return found


def _releases(symptom: Symptom, newest: dict[str, Version]) -> Iterator[str]:
    """A release that is newer than the newest that the guide knows."""
    for field in ("versions", "cause", "said"):
        for name, version in RELEASE.findall(getattr(symptom, field)):
            known = newest.get(_plain(name))
            if known and Version(version) > known:
                yield f"{field} says '{name} {version}', and the newest that the guide knows is {known}: correct it."


def _numbers(symptom: Symptom) -> Iterator[str]:
    """A number beside the link that differs from the link's by a slip: digits in another order, or one of them."""
    for address, words in CITED.items():
        linked = address.search(symptom.source)
        said = dict.fromkeys(words.findall(f"{symptom.versions} {symptom.said} {symptom.cause}"))
        for number in said if linked and linked[1] not in said else ():
            if linked and (sorted(number) == sorted(linked[1]) or _one_digit(number, linked[1])):
                yield f"source leads to {linked[1]}, and the entry says {number}: correct one."


def _one_digit(one: str, other: str) -> bool:
    """Whether two numbers differ in one digit alone."""
    return len(one) == len(other) and sum(mine != its for mine, its in zip(one, other, strict=True)) == 1


def _message(guide: Guide, one: ShownSymptom) -> Iterator[str]:
    """A message of which no line is what its cell asks for, or what that cell printed."""
    message = one.symptom.message
    if not (message and one.script and one.printed):
        return
    code = tagged(guide.notebooks[one.script.name], TAG)[one.symptom.id].source
    asked, printed = [_words(words) for words in ASKED.findall(code)], _words(one.printed)
    lines = [_words(line) for line in (*message.splitlines(), message)]
    if asked and not any(words in line or line in words or line in printed for words in asked for line in lines):
        first = message.splitlines()[0]
        yield f"message is '{first}', which its cell of {one.script.path} did not print: write what it printed."


def _plain(name: str) -> str:
    """A package's name without signs and capitals."""
    return re.sub(r"[\W_]", "", name).lower()


def _words(text: str) -> str:
    """A text without spaces and capitals; its quotes, which tell a name, are kept alike."""
    return re.sub(r"[^a-z0-9_']", "", text.lower().replace('"', "'"))
