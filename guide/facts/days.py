"""Days: what was read, released, reported or measured lies behind us, and a run not before the release of what it ran."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from guide.facts.guide import Guide

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
SHORT = re.compile(r"(?<![\d-])(20\d\d)-(\d\d)-(\d\d)(?![\d-])")
LONG = re.compile(rf"\b(\d{{1,2}})\s+({'|'.join(MONTHS)})\s+(20\d\d)\b")


def faults(guide: Guide, today: date | None = None) -> Iterator[str]:
    """Days that are none or are to come, and records from before what they ran was released, a sentence each.

    ``today``: that of the reader who is furthest ahead, a day after UTC's, if none is given.
    """
    today = today or datetime.now(UTC).date() + timedelta(days=1)
    texts = {f"docs/{page}": text for page, text in guide.pages.items()}
    texts |= {script.path: script.text for script in guide.scripts.values()}
    for path, text in texts.items():
        for said, day in _days(text):
            if day is None:
                yield f"{path}: '{said}' is no day: correct it."
            elif day > today:
                yield f"{path}: '{said}' is to come: write the day on which it was read or done."
    yield from _of_runs(guide, today)


def _days(text: str) -> Iterator[tuple[str, date | None]]:
    """Each day of a text, as it is written, with its date; None where the calendar has none."""
    for found in SHORT.finditer(text):
        yield found[0], _date(int(found[1]), int(found[2]), int(found[3]))
    for found in LONG.finditer(text):
        yield " ".join(found[0].split()), _date(int(found[3]), MONTHS.index(found[2]) + 1, int(found[1]))


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def released(guide: Guide) -> dict[tuple[str, str], date]:
    """The day of each release that a page states, by package and version."""
    methods = [method.library for method in guide.methods.values() if method.library]
    found = {(one.package, one.version): one.released for one in methods}
    engines = [one for one in guide.engines.values() if one.package and one.released]
    return found | {(str(one.package), str(one.version)): one.released for one in engines if one.released}


def _of_runs(guide: Guide, today: date) -> Iterator[str]:
    """Records that are to come, or older than what they say they ran."""
    known = released(guide)
    for path, day, versions in _runs(guide):
        if day > today:
            yield f"{path} is of {day}, which is to come: restore it, or run it again."
        for package, version in versions.items():
            first = known.get((package, version.partition("+")[0]))
            if first and day < first:
                yield f"{path} is of {day}, before {package} {version} was released, on {first}: restore it, or run it again."


def _runs(guide: Guide) -> Iterator[tuple[str, date, dict[str, str]]]:
    """What was run besides notebooks: its record and field, the day, and the versions."""
    for machine, numbers in guide.numbers.items():
        for variant, number in numbers.items():
            for position, run in enumerate(number.runs):
                for part in (run.quality, run.speed, run.compiled, run.graph, run.compiled_graph):
                    if part:
                        yield f"proofs/numbers/{machine}/{variant}.json: run {position}", part.date, part.versions
    for machine, record in guide.compiled.items():
        for case in record.cases:
            yield f"proofs/compiled/{machine}.json: {case.method} {case.variant}", case.date, case.versions
    for machine, storage in guide.records.items():
        yield f"proofs/storage/{machine}.json", storage.date, {}
    for name, outcome in guide.tried.notebooks.items():
        yield f"{guide.project.relative(guide.project.tried)}: {name}", datetime.fromisoformat(outcome.date).date(), {}
