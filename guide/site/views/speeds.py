"""Speed of the real model's variants beside bf16, on a CPU and on GPUs."""

from dataclasses import replace
from statistics import median

from guide.calculator.memory import gigabytes
from guide.facts import ranking
from guide.facts.guide import Guide
from guide.facts.number import Decode, Race, ShapeSpeed, Span
from guide.facts.ranking import BASE, REAL, Row
from guide.site.render import render
from guide.site.urls import Links
from guide.site.views.ladders import NOT_YET, linked, name_of
from guide.site.views.tables import Item, Table

DECODE = f"{REAL}/decode/1"
BOUND = 0.5  # of the memory's bandwidth: below it something else sets the pace
COUNTED = 1 / 16  # of bf16's bytes, a bit a weight: a step that reads less has weights that were not counted
WRONG = "it says something else once compiled"  # as records begin to say why a compiled variant has no speed


def span_text(span: Span) -> str:
    """A ratio with its lowest and highest, where they can be told from it."""
    middle, lowest, highest = (f"{one:.2f}" for one in span)
    return middle if middle == lowest == highest else f"{middle} ({lowest} to {highest})"


def not_timed(row: Row) -> str:
    """Why a variant has no speed."""
    failed = row.number.runs[0].failed.get("speed", "") if row.number.runs else ""
    of_shape = row.speed.shapes[REAL].failed if row.speed and REAL in row.speed.shapes else ""
    there = f"timed on another processor alone, {row.elsewhere.on}" if row.elsewhere else ""
    return row.script.table.not_timed or failed or of_shape or there or NOT_YET


def timed_elsewhere(guide: Guide, row: Row) -> str:
    """Decoding at batch 1 beside bf16 on another processor than the other rows'; empty where that was not timed."""
    if not row.elsewhere:
        return ""
    there = ranking.on_cpu(guide, row.elsewhere.on)
    own = next(one for one in there if one.id == row.id)
    return f"{speed_text(there, own, DECODE)}, on {row.elsewhere.on}" if own.race(DECODE) else ""


def refusal(told: ShapeSpeed) -> str:
    """Why a shape has no speed; of a compiled variant whose output is wrong, how wrong and on what."""
    if told.distances is None or not told.failed.startswith(WRONG):
        return told.failed
    plain, compiled = told.distances
    return (
        f"not timed: compiled, its output is wrong. KL from bf16 {compiled:.2g}, without compiling {plain:.2g}, "
        "on a few tokens decoded after random ones"
    )


def speed_text(records: list[Row], row: Row, figure: str, compiled: bool = False) -> str:
    """A variant's ratio, with what that is called beside what bf16 differs from itself on the machine of the records."""
    race, spread = row.race(figure, compiled), ranking.spread(records, figure)
    if race is None or spread is None:
        return ""
    return f"{span_text(race.ratio)}, {ranking.verdict(race, spread)}"


def figures_of(records: list[Row], shape: str) -> dict[str, str]:
    """What was timed of a shape, by what it is called: decoding at each batch, and reading a prompt."""
    batches = {batch for row in records if row.speed and shape in row.speed.shapes for batch in row.speed.shapes[shape].decode}
    return {f"decode, batch {batch}": f"{shape}/decode/{batch}" for batch in sorted(batches)} | {
        "prompt of 512 tokens": f"{shape}/prefill"
    }


def speeds(
    guide: Guide, records: list[Row], shape: str, link: Links, method: str | None = None, replayed: bool = False
) -> Table | None:
    """How many times faster than bf16 each variant of one machine is on a shape, the fastest at decoding first; of one method
    if given. ``replayed``: that is what was timed."""
    figures = figures_of(records, shape)
    found: list[tuple[float, list[Item | str]]] = []
    for row in records:
        for compiled in (False, True):
            race, part = row.race(next(iter(figures.values())), compiled), row.compiled if compiled else row.speed
            if not part or shape not in part.shapes or (row.id == BASE and not compiled) or method not in (None, row.method):
                continue
            first, told = linked(guide, row, link), part.shapes[shape]
            if compiled:
                took = f" in {told.compile_seconds:.0f} s" if told.compile_seconds else ""
                first = replace(first, more=f"{first.more}, compiled{took}")
            if not race:
                found.append((0, [first, refusal(told), *[""] * len(figures)]))
                continue
            cells = [speed_text(records, row, figure, compiled) for figure in figures.values()]
            found.append((race.ratio[0], [first, *cells, share_text(race, part.bandwidth)]))
    if not found:
        return None
    lines = [cells for _, cells in sorted(found, key=lambda one: -one[0])]
    head = ("variant", *figures, "of the memory's bandwidth, %")
    name = f"Speed on {shape}'s shape{', replayed' if replayed else ''}"
    return Table(head, lines, spread_sentence(records, shape, figures), name, "numbers")


def share_text(race: Race, bandwidth: float) -> str:
    """How much of the memory's bandwidth decoding takes, in percent; empty where not all that a step reads was counted."""
    if not isinstance(race, Decode) or race.read_bytes < COUNTED * race.baseline_read_bytes:
        return ""
    return f"{100 * ranking.share_of_bandwidth(race, bandwidth):.0f}"


def spread_sentence(records: list[Row], shape: str, figures: dict[str, str]) -> str:
    """On what a shape was timed, what bf16 differs from itself there, what follows for the others, and how fast bf16 is."""
    own = [f"{what}: {spread[1]:.2f} to {spread[2]:.2f} (factor {ranking.widest(spread):.2f})"
           for what, figure in figures.items() if (spread := ranking.spread(records, figure))]  # fmt: skip
    seconds, bandwidth, share = pace(records, figures)
    return (
        f"{shape}'s shape on {timer(records)}: speed divided by bf16's, so 2 is twice as fast. Median of five repeats, lowest "
        f"to highest in brackets. bf16 beside itself: {'; '.join(own)}. Faster and slower need all five repeats beyond that "
        "factor; 'not told apart' does not mean equal. "
        f"bf16 decodes {1 / seconds:.1f} tokens a second at batch 1, {100 * share:.0f} % of the memory's "
        f"{gigabytes(bandwidth):.0f} GB/s."
    )


def pace(records: list[Row], figures: dict[str, str]) -> tuple[float, float, float]:
    """bf16 at batch 1: seconds a token, bytes a second that the memory was read at, and the share of them that it takes."""
    races = [race for row in records if isinstance(race := row.race(next(iter(figures.values()))), Decode)]
    seconds = median(race.seconds[0] for race in races)
    bandwidth = median(part.bandwidth for row in records for part in (row.speed, row.compiled) if part)
    return seconds, bandwidth, median(race.baseline_read_bytes for race in races) / seconds / bandwidth


def on_cpu(guide: Guide, shape: str, link: Links) -> Table | None:
    """A shape's speeds on the CPU; the caption names what has none."""
    records = ranking.on_cpu(guide)
    table = speeds(guide, records, shape, link)
    return table and replace(table, caption=f"{table.caption} {not_here(guide, records, shape)}".rstrip())


def on_other_cpus(guide: Guide, shape: str, link: Links) -> list[Table]:
    """The same on every other CPU that timed the shape, each held against bf16 on itself."""
    timers = [(slug, timer) for slug in ranking.machines(guide, "cpu") for timer in ranking.timers(guide, slug)]
    every = [ranking.rows(guide, slug, timer=timer) for slug, timer in timers[1:]]
    found = [(records, speeds(guide, records, shape, link)) for records in every if shape in timed_shapes(records)]
    return [replace(table, label=f"{table.label}, {timer(records)}") for records, table in found if table]


def timer(records: list[Row]) -> str:
    """The processor or GPU that timed the records."""
    return next(row.speed.on for row in records if row.speed)


def not_here(guide: Guide, records: list[Row], shape: str) -> str:
    """Sentences that name the variants without a speed on a shape, one a reason; empty where there are none."""
    reasons: dict[str, list[str]] = {}
    for row in records:
        if not row.speed or shape not in row.speed.shapes:
            reasons.setdefault(not_timed(row), []).append(name_of(guide, row))
    return " ".join(f"No row for {'; '.join(names)}: {why}." for why, names in reasons.items())


def timed_shapes(records: list[Row]) -> list[str]:
    """The shapes that a machine timed."""
    return list(dict.fromkeys(shape for row in records if row.speed for shape in row.speed.shapes))


def on_gpus(guide: Guide, link: Links) -> str:
    """The records of GPUs, what was replayed first, or a sentence that there are none."""
    parts = []
    for slug in ranking.machines(guide, "cuda"):
        for replayed in (True, False):
            records = ranking.rows(guide, slug, replayed)
            tables = [(shape, speeds(guide, records, shape, link, replayed=replayed)) for shape in timed_shapes(records)]
            found = [(shape, table) for shape, table in tables if table]
            if found:
                share = min(pace(records, figures_of(records, shape))[2] for shape, _ in found)
                parts.append(render("gpu_steps.html.jinja", replayed=replayed, share=share, bound=BOUND, link=link))
            parts += [table.html() for _, table in found]
    return "\n\n".join(parts) or render("no_gpu_numbers.html.jinja")


def on_gpus_of(guide: Guide, method: str, link: Links) -> list[str]:
    """What GPUs replayed of one method, a table a shape."""
    every = [ranking.rows(guide, slug, replayed=True) for slug in ranking.machines(guide, "cuda")]
    found = [
        speeds(guide, records, shape, link, method, replayed=True) for records in every for shape in timed_shapes(records)
    ]
    return [render("gpu_steps.html.jinja", replayed=True) + table.html() for table in found if table]
