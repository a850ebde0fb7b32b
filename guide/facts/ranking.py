"""What was measured of the real model, side by side: rows of today's code, and which of them are told apart."""

from dataclasses import dataclass
from itertools import combinations
from typing import TypeVar

from guide.facts.guide import Guide
from guide.facts.number import (
    Contender,
    Decode,
    Number,
    NumbersScript,
    Part,
    Quality,
    Race,
    Run,
    Span,
    Speed,
    nearer,
)

Shown = TypeVar("Shown")
TEXTS = {"wikitext": "WikiText-2", "code": "Python code"}  # that are evaluated; the first one orders rows
REAL = "SmolLM2-135M"  # the shape of the real model
BASE = "bf16"  # the variant that is the bf16 model itself


@dataclass(frozen=True)
class Row:
    """A variant on one machine: the parts of its record that today's code measured."""

    id: str
    contender: Contender
    script: NumbersScript
    number: Number
    quality: Quality | None
    speed: Speed | None
    compiled: Speed | None
    elsewhere: Speed | None = None  # a speed beside bf16 on another processor, where it was timed only there

    @property
    def method(self) -> str | None:
        """The method's page; None for bf16."""
        return self.script.table.method

    def kl(self, text: str = "wikitext") -> float:
        """KL(bf16 || variant) on a text, nats a token; raises LookupError where its quality was not measured."""
        if self.quality is None:
            raise LookupError(f"{self.id} has no figures of quality")
        return self.quality.texts[text].kl.mean

    def race(self, figure: str, compiled: bool = False) -> Race | None:
        """A figure of speed, ``SHAPE/decode/BATCH`` or ``SHAPE/prefill``; None where it was not measured."""
        return race_of(self.compiled if compiled else self.speed, figure)


def race_of(speed: Speed | None, figure: str) -> Race | None:
    """The same of one part of a record."""
    shape, kind, *batch = figure.split("/")
    found = speed.shapes.get(shape) if speed else None
    if found is None:
        return None
    return found.prefill if kind == "prefill" else found.decode.get(int(batch[0]))


def machines(guide: Guide, kind: str) -> list[str]:
    """The machines of a kind, ``cpu`` or ``cuda``, that have records; the one with most of them first."""
    found = {slug: records for slug, records in guide.numbers.items() if next(iter(records.values())).machine.kind == kind}
    return sorted(found, key=lambda slug: -len(found[slug]))


def rows(guide: Guide, machine: str, replayed: bool = False, timer: str | None = None) -> list[Row]:
    """What was measured on a machine; variants in the order of their recipes. Left out are parts of older code, and speeds
    of another processor than ``timer``, bf16's if none is given. ``replayed``: the speeds are those of steps replayed as CUDA
    graphs."""
    timer, found = timer or timed_on(guide, machine), []
    kinds: tuple[Part, Part] = ("graph", "compiled_graph") if replayed else ("speed", "compiled")
    for script in guide.recipes.values():
        for name, contender in script.table.variants.items():
            if number := guide.numbers.get(machine, {}).get(name):
                quality = None if replayed else current(guide, script, number, "quality")
                timed = [timings(guide, script, number, kind) for kind in kinds]
                plain, compiled = (next((one for one in each if one.on == timer), None) for each in timed)
                elsewhere = None if plain else next(iter(timed[0]), None)
                found.append(Row(name, contender, script, number, quality, plain, compiled, elsewhere))  # type: ignore[arg-type]
    return found


def timings(guide: Guide, script: NumbersScript, number: Number, kind: Part) -> list[Speed]:
    """The speeds of a variant that today's code measured, on whichever processor."""
    found = (current(guide, script, number, kind, run) for run in range(len(number.runs)))
    return [one for one in found if isinstance(one, Speed)]


def timed_on(guide: Guide, machine: str) -> str | None:
    """The processor that timed bf16 on a kind of machine: speeds of another are not held against its."""
    number = guide.numbers.get(machine, {}).get(BASE)
    run = number.runs[0] if number and number.runs else Run()
    return next((part.on for part in (run.speed, run.graph) if part), None)


def timers(guide: Guide, machine: str) -> list[str]:
    """The processors that timed variants of a kind of machine, each beside bf16 on itself; that of bf16's own record first."""
    scripts = {name: script for script in guide.recipes.values() for name in script.table.variants}
    every = [
        one.on
        for name, number in guide.numbers.get(machine, {}).items()
        if name in scripts
        for one in timings(guide, scripts[name], number, "speed")
    ]
    first = timed_on(guide, machine)
    return sorted(set(every), key=lambda name: (name != first, -every.count(name)))


def current(guide: Guide, script: NumbersScript, number: Number, part: Part, run: int = 0) -> Quality | Speed | None:
    """A part of a record if today's code measured it."""
    if run >= len(number.runs):
        return None
    found: Quality | Speed | None = getattr(number.runs[run], part)
    return found if found and found.digest == guide.digest_of(script, number.variant, part) else None


def on_cpu(guide: Guide, timer: str | None = None) -> list[Row]:
    """What was measured on the CPU that measured most, bf16 too; speeds of ``timer``, of bf16's processor if none is given."""
    return [row for slug in machines(guide, "cpu")[:1] for row in rows(guide, slug, timer=timer)]


def judged(guide: Guide, bits: int | None = None) -> list[Row]:
    """The variants whose quality was measured, nearest to bf16 on WikiText-2 first; of one width if given, without bf16."""
    chosen = [row for row in on_cpu(guide) if row.quality and row.id != BASE and bits in (None, row.contender.bits)]
    return sorted(chosen, key=Row.kl)


def base(guide: Guide) -> Row | None:
    """The bf16 model itself, as it was measured like any variant."""
    return next((row for row in on_cpu(guide) if row.id == BASE), None)


def told_apart(one: Row, other: Row, text: str = "wikitext") -> bool:
    """Whether two variants differ on a text by more than two standard errors of their difference, window by window."""
    return nearer(one.quality, other.quality, text) is not None


def not_told_apart(found: list[Row]) -> list[tuple[Row, Row]]:
    """Pairs of variants that neither text tells apart."""
    return [pair for pair in combinations(found, 2) if not any(told_apart(*pair, text) for text in TEXTS)]


def front(points: list[tuple[float, float, Shown]]) -> list[Shown]:
    """What no other beats on both axes, where less is better, from the smallest on."""
    best: list[Shown] = []
    lowest = float("inf")
    for _, height, what in sorted(points, key=lambda point: point[:2]):
        if height < lowest:
            lowest = height
            best.append(what)
    return best


def spread(found: list[Row], figure: str) -> Span | None:
    """How much bf16 differed from itself in a figure, over all the rows: median, lowest and highest."""
    spans = [race.control for row in found for race in (row.race(figure), row.race(figure, compiled=True)) if race]
    if not spans:
        return None
    return sorted(span[0] for span in spans)[len(spans) // 2], min(span[1] for span in spans), max(span[2] for span in spans)


def verdict(race: Race, spread: Span) -> str:
    """Faster or slower than bf16, or neither where its span reaches into what bf16 differs from itself."""
    limit = widest(spread)
    if race.ratio[1] > limit:
        return "faster"
    return "slower" if race.ratio[2] < 1 / limit else "not told apart"


def widest(spread: Span) -> float:
    """How many times faster, or slower, bf16 was than itself at most."""
    return max(spread[2], 1 / spread[1])


def share_of_bandwidth(race: Decode, bandwidth: float) -> float:
    """Bytes that a step reads, over what the memory could have read in that time: 1 is the roofline."""
    return race.read_bytes / race.seconds[2] / bandwidth
