"""What was measured of the real model: ladders, speeds, plots, a method's own rows, and claims beside figures."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from guide.calculator.memory import gigabytes
from guide.facts import ranking
from guide.facts.guide import Guide
from guide.facts.number import Decode, Mean, Race, Span
from guide.facts.ranking import BASE, TEXTS, Row
from guide.site.render import long_date, render
from guide.site.urls import Links
from guide.site.views.plots import Plot, Point, svg
from guide.site.views.tables import Item, Table

NOT_YET = "not measured yet"
REAL = "SmolLM2-135M"  # the shape of the real model
DECODE = f"{REAL}/decode/1"
HUGE = 1000  # from this perplexity on a text is noise, and its digits say nothing


def name_of(guide: Guide, row: Row) -> str:
    """The variant as a reader knows it, method first."""
    return f"{guide.methods[row.method].title} {row.contender.label}" if row.method else row.contender.label


def linked(guide: Guide, row: Row, link: Links) -> Item:
    """The variant, leading to its method's page."""
    if not row.method:
        return Item(row.contender.label)
    title = guide.methods[row.method].title
    return Item(title, url=link(f"methods/{row.method}.md"), more=f" {row.contender.label}")


def amount(figure: Mean, form: str = ".3f", times: float = 1) -> str:
    """A mean with its standard error."""
    return f"{times * figure.mean:{form}} ± {times * figure.error:{form}}"


def divergence(figure: Mean) -> str:
    """A KL divergence: small ones with more digits, since they are told apart by those."""
    return amount(figure, ".4f" if figure.mean < 0.1 else ".3f" if figure.mean < 10 else ".1f")


def perplexity(figure: float) -> str:
    """A perplexity, as far as it means anything."""
    return f"{figure:.1f}" if figure < HUGE else f"over {HUGE:,}"


def smaller(guide: Guide, row: Row, part: str) -> float:
    """How many times less than bf16 a variant stores: of the ``whole`` model, or of its decoder's ``linears``."""
    base = ranking.base(guide)
    if not base or not base.quality or not row.quality:
        raise LookupError("bf16 was not measured")
    return float(getattr(base.quality.stored, part) / getattr(row.quality.stored, part))


def minutes(seconds: float) -> str:
    """Processor time, short."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def making(row: Row) -> str:
    """The processor time that making a variant took, or its loading where that makes it."""
    cost = row.number.made or (row.quality.load if row.quality else None)
    return minutes(cost.cpu_seconds) if cost else ""


def origin(guide: Guide) -> str:
    """What the figures are of, in two sentences; empty where nothing was measured."""
    base = ranking.base(guide)
    if not base or not base.quality:
        return ""
    found = [row.quality for row in ranking.judged(guide) if row.quality]
    days = sorted({quality.date for quality in found} | {base.quality.date})
    machine = base.number.machine
    texts = " and ".join(
        f"{one.tokens:,} tokens of {TEXTS[name]} (bf16: perplexity {one.perplexity:.1f})"
        for name, one in base.quality.texts.items()
    )
    return (
        f"{guide.real.public_id}, {guide.real.parameters / 1e6:.1f} million parameters, on {texts}, in windows of 512. "
        f"{machine.name}, {machine.cores} cores; {long_date(days[0].isoformat())}"
        + (f" to {long_date(days[-1].isoformat())}" if days[-1] != days[0] else "")
        + "."
    )


LADDER = ("variant", "KL from bf16, WikiText-2", "KL, Python code", "decoder linears, times smaller", "perplexity, WikiText-2",
          "same top-1 as bf16, %", "same text until, % of 200 tokens", "processor time to make", "weights a scale",
          "what differs")  # fmt: skip


def ladder_row(guide: Guide, row: Row, first: Item | str) -> list[Item | str]:
    """A variant's figures of quality."""
    quality = row.quality
    if quality is None:
        why = row.number.runs[0].failed.get("quality", NOT_YET) if row.number.runs else NOT_YET
        return [first, why, *[""] * (len(LADDER) - 2)]
    wiki, code = (quality.texts[name] for name in TEXTS)
    group = {"row": "a row", "none": ""}.get(str(row.contender.group), str(row.contender.group))
    return [
        first,
        divergence(wiki.kl),
        divergence(code.kl),
        f"{smaller(guide, row, 'linears'):.2f}",
        perplexity(wiki.perplexity),
        amount(wiki.top1_agreement, ".1f", 100),
        amount(quality.same_text, ".0f", 100) if quality.same_text else "",
        making(row),
        group,
        row.contender.differs,
    ]


def ladder(guide: Guide, bits: int, link: Links) -> tuple[Table | None, list[str]]:
    """The variants of one width, nearest to bf16 first, and the pairs that are not told apart; no table without any."""
    found = ranking.judged(guide, bits)
    if not found:
        return None, []
    lines = [ladder_row(guide, row, linked(guide, row, link)) for row in found]
    pairs = [f"{name_of(guide, one)} and {name_of(guide, other)}" for one, other in ranking.not_told_apart(found)]
    return Table(LADDER, lines, f"{bits} bit: {origin(guide)}", f"Quality at {bits} bit", "numbers"), pairs


def of_method(guide: Guide, method: str, link: Links) -> str:
    """A method's variants on the real model, their speed beside; a sentence where nothing of it was measured."""
    found = [row for slug in ranking.machines(guide, "cpu")[:1] for row in ranking.rows(guide, slug) if row.method == method]
    if not found:
        return render("nothing_measured.html.jinja")
    lines = []
    for row in found:
        full = ladder_row(guide, row, row.contender.label)
        race = row.race(DECODE)
        lines.append([*full[:4], speed_text(guide, row, DECODE) if race else not_timed(row), full[7]])
    head = (*LADDER[:4], "decode at batch 1, times bf16's speed on this CPU", LADDER[7])
    return Table(head, lines, f"On the real model: {origin(guide)}", "On the real model", "numbers").html()


def not_timed(row: Row) -> str:
    """Why a variant has no speed."""
    failed = row.number.runs[0].failed.get("speed", "") if row.number.runs else ""
    of_shape = row.speed.shapes[REAL].failed if row.speed and REAL in row.speed.shapes else ""
    return row.script.table.not_timed or failed or of_shape or NOT_YET


def span_text(span: Span) -> str:
    """A ratio with its lowest and highest."""
    return f"{span[0]:.2f} ({span[1]:.2f} to {span[2]:.2f})"


def everyone(guide: Guide) -> list[Row]:
    """All rows of the CPU, bf16 too."""
    return [row for slug in ranking.machines(guide, "cpu")[:1] for row in ranking.rows(guide, slug)]


def speed_text(guide: Guide, row: Row, figure: str, compiled: bool = False) -> str:
    """A variant's ratio, with what that is called beside what bf16 differs from itself."""
    race, spread = row.race(figure, compiled), ranking.spread(everyone(guide), figure)
    if race is None or spread is None:
        return ""
    return f"{span_text(race.ratio)}, {ranking.verdict(race, spread)}"


def own_text(guide: Guide) -> str:
    """How much of its own greedy continuations bf16 agrees with when it is computed in one pass."""
    base = ranking.base(guide)
    own = base.quality.same_text if base and base.quality else None
    return f"its own share is {amount(own, '.0f', 100)} %" if own else NOT_YET


SPEEDS = ("variant", "decode, batch 1", "decode, batch 8", "prompt of 512 tokens", "of the memory's bandwidth, %")


def speeds(guide: Guide, shape: str, link: Links) -> Table | None:
    """How many times faster than bf16 each variant is on a shape, the fastest at decoding first."""
    figures = [f"{shape}/decode/1", f"{shape}/decode/8", f"{shape}/prefill"]
    found: list[tuple[float, list[Item | str]]] = []
    for row in everyone(guide):
        for compiled in (False, True):
            race = row.race(figures[0], compiled)
            part = row.compiled if compiled else row.speed
            if not race or not part or (row.id == BASE and not compiled):
                continue
            first = linked(guide, row, link)
            if compiled:
                first = replace(first, more=f"{first.more}, compiled in {part.shapes[shape].compile_seconds:.0f} s")
            share = ranking.share_of_bandwidth(race, part.bandwidth) if isinstance(race, Decode) else 0
            cells = [speed_text(guide, row, figure, compiled) for figure in figures]
            found.append((race.ratio[0], [first, *cells, f"{100 * share:.0f}"]))
    if not found:
        return None
    lines = [cells for _, cells in sorted(found, key=lambda one: -one[0])]
    return Table(SPEEDS, lines, f"{shape}'s shape. {spread_sentence(guide, shape)}", f"Speed on {shape}'s shape", "numbers")


def spread_sentence(guide: Guide, shape: str) -> str:
    """What bf16 differs from itself on a shape, and how fast it is."""
    parts = []
    for figure, what in ((f"{shape}/decode/1", "decoding at batch 1"), (f"{shape}/decode/8", "at batch 8"),
                         (f"{shape}/prefill", "on a prompt")):  # fmt: skip
        if spread := ranking.spread(everyone(guide), figure):
            parts.append(f"{what} {spread[1]:.2f} to {spread[2]:.2f}")
    races = [race for row in everyone(guide) if (race := row.race(f"{shape}/decode/1"))]
    speed = f" bf16 decodes {1 / median(race.seconds[0] for race in races):.1f} tokens a second at batch 1." if races else ""
    bandwidths = [row.speed.bandwidth for row in everyone(guide) if row.speed]
    memory = f" The memory was read at {gigabytes(median(bandwidths)):.0f} GB/s." if bandwidths else ""
    return (
        f"Times bf16's speed: median (lowest to highest of five blocks, in turns with bf16). bf16 beside itself: "
        f"{', '.join(parts)}; what lies within is called neither faster nor slower.{speed}{memory}"
    )


def symbol(row: Row) -> str:
    """What tells kinds of variants apart in a plot, beside the colour."""
    if row.contender.activations != "16-bit":
        return "triangle"
    return "square" if row.contender.calibrated else "circle"


KINDS = {"circle": "weights alone, no data", "square": "weights alone, calibrated", "triangle": "activations too"}


def points(guide: Guide, kind: str) -> list[tuple[float, float, Row]]:
    """Stored megabytes against what a plot shows: ``quality`` is KL on WikiText-2, ``speed`` seconds a token over bf16's."""
    found = []
    for row in ranking.judged(guide):
        race = row.race(DECODE)
        if row.quality is None or (kind == "speed" and race is None):
            continue
        size = (row.quality.file_bytes if row.script.table.not_timed else row.quality.stored.whole) or 0
        found.append((size / 1e6, row.kl() if kind == "quality" else 1 / race.ratio[0] if race else 0, row))
    return found


def plot(guide: Guide, kind: str) -> str:
    """A plot of all variants as SVG: KL, or decode speed, against stored megabytes; the Pareto front is drawn and named."""
    found = points(guide, kind)
    base = ranking.base(guide)
    if not found or not base or not base.quality:
        return render("nothing_measured.html.jinja")
    best = ranking.front(found)
    quality = kind == "quality"
    marks = [
        Point(size, height if quality else 1 / height, symbol(row), name_of(guide, row), row in best)
        for size, height, row in found
    ]
    names = ", ".join(name_of(guide, row) for row in best)
    alt = (
        f"{'KL from bf16 on WikiText-2' if quality else 'Decode speed over bf16’s at batch 1'} against stored megabytes, "
        f"{len(found)} variants. No other is both smaller and {'nearer to bf16' if quality else 'faster'} than: {names}."
    )
    return svg(
        Plot(
            title=alt,
            x_label="stored, MB",
            y_label="KL from bf16, nats a token (log)" if quality else "times bf16's decode speed (log)",
            points=marks,
            kinds={shape: text for shape, text in KINDS.items() if any(one.shape == shape for one in marks)},
            reference=(base.quality.stored.whole / 1e6, None if quality else 1.0),
        )
    )


def activations(guide: Guide, link: Links) -> Table | None:
    """8-bit variants by what becomes of the activations: what rounding them costs beside rounding weights alone."""
    found = ranking.judged(guide, 8)
    lines: list[list[Item | str]] = []
    for kind, what in (("16-bit", "stay in 16 bit"), ("float8", "rounded to float8"), ("int8", "rounded to int8")):
        for row in found:
            if row.contender.activations == kind and row.quality:
                wiki, code = (row.quality.texts[name] for name in TEXTS)
                lines.append([linked(guide, row, link), what, divergence(wiki.kl), divergence(code.kl)])
    if not lines:
        return None
    head = ("variant", "activations", "KL, WikiText-2", "KL, Python code")
    return Table(head, lines, "8-bit weights, activations in 16 or 8 bit")


def span(values: Sequence[float], form: str) -> str:
    """Lowest to highest of values, as one number where they look alike."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def widths(guide: Guide) -> Table:
    """By weight width, the range over all variants of the real model."""
    lines: list[list[Item | str]] = []
    for bits in sorted({row.contender.bits for row in ranking.judged(guide)}, reverse=True):
        found = ranking.judged(guide, bits)
        wiki = [row.quality.texts["wikitext"] for row in found if row.quality]
        lines.append([
            f"{bits} bit",
            str(len(found)),
            span([smaller(guide, row, "linears") for row in found], ".2f"),
            span([smaller(guide, row, "whole") for row in found], ".2f"),
            span([one.kl.mean for one in wiki], ".3f"),
            span([100 * one.top1_agreement.mean for one in wiki], ".0f"),
        ])  # fmt: skip
    head = ("width", "variants", "decoder linears, times smaller", "whole model, times smaller", "KL from bf16, WikiText-2",
            "same top-1 as bf16, %")  # fmt: skip
    return Table(head, lines, f"Lowest to highest over the variants. {origin(guide)}", "Widths")


def claims(guide: Guide) -> Table:
    """What is commonly said, and what was measured of the real model."""
    four, eight = ranking.judged(guide, 4), ranking.judged(guide, 8)
    below = [row for row in ranking.judged(guide) if row.contender.bits < 4]
    lines = [
        ("8 bit: about half the memory, very close to bf16", _range(guide, eight)),
        ("4 bit: about a quarter of the memory, relatively good", _range(guide, four)),
        ("below 4 bit: less than a quarter, with a noticeable drop", _range(guide, below)),
        ("calibrated 4 bit is often ahead of 4 bit on the fly", _ahead(guide, four)),
        ("calibrated methods take longer to make", _effort(guide, four)),
        ("quantized models run faster", _faster(guide)),
    ]
    return Table(
        ("what is said", "what was measured"), lines, f"Claims beside measures. {origin(guide)}", "Claims beside measures"
    )


def _range(guide: Guide, found: list[Row]) -> str:
    wiki = [row.quality.texts["wikitext"] for row in found if row.quality]
    if not wiki:
        return NOT_YET
    return (
        f"decoder linears {span([smaller(guide, row, 'linears') for row in found], '.2f')} times smaller; KL "
        f"{span([one.kl.mean for one in wiki], '.3f')} nats, same top-1 "
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
        f"nearest with data {name_of(guide, with_data[0])}, KL {with_data[0].kl():.3f}; without {name_of(guide, without[0])}, "
        f"KL {without[0].kl():.3f}. Of {len(pairs)} pairs that are told apart, the calibrated one is nearer in {won}"
    )


def _effort(guide: Guide, four: list[Row]) -> str:
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
    spread = ranking.spread(everyone(guide), DECODE)
    races: list[Race] = [race for row in ranking.judged(guide) if (race := row.race(DECODE))]
    if not spread or not races:
        return NOT_YET
    found = [ranking.verdict(race, spread) for race in races]
    return (
        f"on this CPU, decoding at batch 1 without compiling: {found.count('faster')} variants faster, "
        f"{found.count('slower')} slower, {found.count('as bf16')} within bf16's own spread"
    )


def on_gpus(guide: Guide, link: Links) -> str:
    """The records of GPUs, or a sentence that there are none."""
    found = ranking.machines(guide, "cuda")
    if not found:
        return render("no_gpu_numbers.html.jinja")
    tables = []
    for slug in found:
        records = ranking.rows(guide, slug)
        shapes = dict.fromkeys(shape for row in records if row.speed for shape in row.speed.shapes)
        for shape in shapes:
            batches = sorted({batch for row in records if row.speed and shape in row.speed.shapes
                              for batch in row.speed.shapes[shape].decode})  # fmt: skip
            figures = [*(f"{shape}/decode/{batch}" for batch in batches), f"{shape}/prefill"]
            spreads = {figure: ranking.spread(records, figure) for figure in figures}
            lines: list[list[Item | str]] = []
            for row in records:
                cells = []
                for figure in figures:
                    race, own = row.race(figure), spreads[figure]
                    cells.append(f"{span_text(race.ratio)}, {ranking.verdict(race, own)}" if race and own else "")
                first = row.race(figures[0])
                share = (
                    f"{100 * ranking.share_of_bandwidth(first, row.speed.bandwidth):.0f}"
                    if row.speed and isinstance(first, Decode)
                    else ""
                )
                lines.append([linked(guide, row, link), *cells, share])
            head = ("variant", *(f"decode, batch {batch}" for batch in batches), "prompt of 512 tokens", SPEEDS[-1])
            tables.append(Table(head, lines, f"{shape}'s shape on {records[0].number.machine.name}, random weights").html())
    return "\n\n".join(tables)


def misled(guide: Guide, link: Links) -> Table | None:
    """What the reference model would have told: its KL beside the real model's, by variant, on Python code."""
    lines: list[list[Item | str]] = []
    for row in ranking.judged(guide):
        small = _reference(guide, row)
        if small is not None and row.quality:
            real = row.quality.texts["code"].kl.mean
            lines.append([linked(guide, row, link), f"{small:.4f}", f"{real:.4f}", f"{real / small:.0f}"])
    if not lines:
        return None
    head = ("variant", "KL, reference model", "KL, real model", "times more")
    return Table(
        head,
        lines,
        "Python code, each against its own bf16; groups of 64 on the real model, on the other as its page has them",
    )


def _reference(guide: Guide, row: Row) -> float | None:
    """KL of the same variant of the page in its notebook's proof on the reference model."""
    method = guide.methods[row.method] if row.method else None
    variant = next((one for one in method.variants if one.id == row.contender.of), None) if method else None
    best = guide.best(variant.notebook) if variant and variant.notebook else None
    if not variant or not best or not best.proof.stand_in:
        return None
    return next((one.kl for one in best.proof.measures if one.variant == variant.measured), None)
