"""What quality and speed of the real model say together: a method's own rows, plots, and claims beside figures."""

from guide.facts import ranking
from guide.facts.guide import Guide
from guide.facts.number import Race
from guide.facts.ranking import REAL, Row
from guide.site.render import render
from guide.site.urls import Links
from guide.site.views import ladders, speeds
from guide.site.views.ladders import LADDER, NOT_YET, UNPACKED, minutes, name_of, smaller, span
from guide.site.views.plots import Plot, Point, svg
from guide.site.views.speeds import DECODE, speed_text
from guide.site.views.tables import Item, Table


def of_method(guide: Guide, method: str, link: Links) -> str:
    """A method's variants on the real model, their speed beside; a sentence where nothing of it was measured."""
    found = [row for row in ranking.on_cpu(guide) if row.method == method]
    if not found:
        return render("nothing_measured.html.jinja")
    everyone, lines = ranking.on_cpu(guide), list[list[Item | str]]()
    rest = slice(7, None if any(row.contender.differs for row in found) else -1)  # what differs, where anything does
    for row in found:
        full = ladders.ladder_row(guide, row, row.contender.label)
        speed = speed_text(everyone, row, DECODE) or speeds.timed_elsewhere(guide, row) or speeds.not_timed(row)
        lines.append([*full[:4], speed, *full[rest]])
        if row.compiled and (shape := row.compiled.shapes.get(REAL)):
            speed = speed_text(everyone, row, DECODE, compiled=True) or speeds.refusal(shape)
            lines.append([f"{row.contender.label}, compiled", "", "", "", speed, *[""] * len(LADDER[rest])])
    head = (*LADDER[:4], "decode at batch 1, times bf16's speed", *LADDER[rest])
    own = Table(head, lines, f"On the real model: {ladders.origin(guide)}", "On the real model", "numbers").html()
    return "\n\n".join([plot_of_method(guide, method), own, *speeds.on_gpus_of(guide, method, link)])


def symbol(row: Row) -> str:
    """What tells kinds of variants apart in a plot, beside the colour."""
    if row.contender.activations != "16-bit":
        return "triangle"
    return "square" if row.contender.calibrated else "circle"


KINDS = {"circle": "weights alone, no data", "square": "weights alone, calibrated", "triangle": "activations too"}


SMALL = (360, 250)  # pixels: as wide as a phone shows without scrolling


def points(guide: Guide, kind: str) -> list[tuple[float, float, tuple[Row, str]]]:
    """Stored megabytes against what a plot shows, with the variant and its name.

    ``quality`` is KL on WikiText-2; ``speed`` is seconds a token over bf16's, of what runs as it is and of what is compiled.
    """
    found = []
    for row in ranking.judged(guide):
        if row.quality is None:
            continue
        size = ((row.quality.file_bytes if row.script.table.not_timed else row.quality.stored.whole) or 0) / 1e6
        name = name_of(guide, row)
        if kind == "quality":
            found.append((size, row.kl(), (row, name)))
            continue
        for compiled, called in ((False, name), (True, f"{name}, compiled")):
            if race := row.race(DECODE, compiled):
                found.append((size, 1 / race.ratio[0], (row, called)))
    return found


def plot(guide: Guide, kind: str) -> str:
    """A plot of all variants as SVG: KL, or decode speed, against stored megabytes; the Pareto front is drawn and named."""
    found, base = points(guide, kind), ranking.base(guide)
    if not found or not base or not base.quality:
        return render("nothing_measured.html.jinja")
    best = ranking.front(found)
    quality, spread = kind == "quality", ranking.spread(ranking.on_cpu(guide), DECODE)
    marks = [
        Point(size, height if quality else 1 / height, symbol(row), name, (row, name) in best)
        for size, height, (row, name) in found
    ]
    limit = ranking.widest(spread) if spread else 1
    alt = (
        f"{guide.real.name}, {len(found)} variants: {'KL from bf16 on WikiText-2' if quality else 'decode speed at batch 1'} "
        "against megabytes of the whole model, or of its file where loading dequantizes it. No variant is both smaller and "
        f"{'nearer to bf16' if quality else 'faster'} than {'; '.join(name for _, name in best)}."
    )
    return svg(
        Plot(
            title=alt,
            x_label="stored, MB",
            y_label="KL from bf16, nats a token (log)" if quality else "times bf16's decode speed (log)",
            points=marks,
            caption=f"{'Lower is nearer to bf16' if quality else 'Higher is faster'}, left is smaller. The line joins the "
            "variants that no other beats in both. What loading dequantizes is drawn at the size of its file.",
            kinds={shape: text for shape, text in KINDS.items() if any(one.shape == shape for one in marks)},
            reference=base.quality.stored.whole / 1e6,
            band=None if quality else (1 / limit, limit),
        )
    )


def plot_of_method(guide: Guide, method: str) -> str:
    """A small plot of all variants as SVG, those of one method named, whose figures a table beside has: KL against stored
    megabytes. Empty without bf16's record."""
    base = ranking.base(guide)
    if not base or not base.quality:
        return ""
    marks = [
        Point(size, kl, symbol(row), row.contender.label if row.method == method else "", row.method == method)
        for size, kl, (row, _) in points(guide, "quality")
    ]
    return svg(
        Plot(
            title=f"{guide.methods[method].title} among all variants measured: lower is nearer to bf16, left is smaller",
            x_label="stored, MB",
            y_label="KL from bf16 (log)",
            points=marks,
            kinds={},
            reference=base.quality.stored.whole / 1e6,
            front=False,
            wide=SMALL[0],
            high=SMALL[1],
        )
    )


def claims(guide: Guide) -> Table:
    """What is commonly said, and what was measured of the real model."""
    four, eight = ranking.judged(guide, 4), ranking.judged(guide, 8)
    below = [row for row in ranking.judged(guide) if row.contender.bits < 4]
    lines = [
        ("8 bit: about half the memory, very close to bf16", _range(guide, eight)),
        ("4 bit: about a quarter of the memory, relatively good", _range(guide, four)),
        ("below 4 bit: less than a quarter, with a noticeable drop", _range(guide, below)),
        ("calibrated 4 bit is often ahead of 4 bit on the fly", _ahead(guide, four)),
        ("calibrated methods take longer to make", _effort(four)),
        ("quantized models run faster", _faster(guide)),
    ]
    return Table(
        ("what is said", "what was measured"),
        lines,
        f"Claims beside measures. {ladders.origin(guide)}",
        "Claims beside measures",
    )


def _range(guide: Guide, found: list[Row]) -> str:
    wiki = [row.quality.texts["wikitext"] for row in found if row.quality]
    if not wiki:
        return NOT_YET
    packed = [row for row in found if smaller(guide, row, "linears") >= UNPACKED]
    left = f" ({len(found) - len(packed)} that loading dequantizes left out)" if len(packed) < len(found) else ""
    return (
        f"linear layers {span([smaller(guide, row, 'linears') for row in packed], '.2f')} times smaller{left}; KL "
        f"{span([one.kl.mean for one in wiki], '.3f')} nats, same most likely token "
        f"{span([100 * one.top1_agreement.mean for one in wiki], '.0f')} %; {len(wiki)} variants"
    )


def _ahead(guide: Guide, four: list[Row]) -> str:
    """The nearest with data and without, and in how many pairs the one with data is nearer, of those told apart."""
    with_data, without = ([row for row in four if row.contender.calibrated is kind] for kind in (True, False))
    if not with_data or not without:
        return NOT_YET
    pairs = [(one, other) for one in with_data for other in without if ranking.told_apart(one, other)]
    won = sum(one.kl() < other.kl() for one, other in pairs)
    return (
        f"nearest with calibration data: {name_of(guide, with_data[0])}, KL {with_data[0].kl():.3f}; nearest without: "
        f"{name_of(guide, without[0])}, KL {without[0].kl():.3f}. In {won} of {len(pairs)} pairs that are told apart the "
        "calibrated one is nearer, on text like its calibration data"
    )


def _effort(four: list[Row]) -> str:
    """Processor time of making at 4 bits, with data and without."""
    taken = {
        kind: [cost.cpu_seconds for row in four if row.contender.calibrated is kind
               and (cost := row.number.made or (row.quality.load if row.quality else None))]
        for kind in (True, False)
    }  # fmt: skip
    if not taken[True] or not taken[False]:
        return NOT_YET
    ranges = {
        kind: " to ".join(dict.fromkeys(minutes(one) for one in (min(found), max(found)))) for kind, found in taken.items()
    }
    return f"at 4 bit {ranges[True]} of processor time with data, {ranges[False]} without"


def _faster(guide: Guide) -> str:
    """How many variants decode faster and slower than bf16 on the CPU, beyond its own spread."""
    spread = ranking.spread(ranking.on_cpu(guide), DECODE)
    races: list[Race] = [race for row in ranking.judged(guide) if (race := row.race(DECODE))]
    if not spread or not races:
        return NOT_YET
    found = [ranking.verdict(race, spread) for race in races]
    compiled = [ranking.verdict(race, spread) for row in ranking.judged(guide) if (race := row.race(DECODE, compiled=True))]
    return (
        f"on {speeds.timer(ranking.on_cpu(guide))}, decoding at batch 1: {found.count('faster')} variants faster, "
        f"{found.count('slower')} slower, {found.count('not told apart')} within bf16's own spread; of {len(compiled)} that "
        f"are compiled, {compiled.count('faster')} faster"
    )
