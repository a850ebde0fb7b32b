"""Quality of the real model's variants: ladders, widths, activations, and what a small model would have told."""

from collections.abc import Sequence

from guide.facts import ranking
from guide.facts.guide import Guide
from guide.facts.number import Mean
from guide.facts.ranking import TEXTS, Row
from guide.site.render import long_date
from guide.site.urls import Links
from guide.site.views.tables import Item, Table

NOT_YET = "not measured yet"
UNPACKED = 1.005  # a variant's linear layers that are less smaller than this have bf16's bytes again
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
    return amount(figure, digits(figure.mean))


def digits(kl: float) -> str:
    """The format of a KL divergence."""
    return ".4f" if kl < 0.1 else ".3f" if kl < 10 else ".1f"


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
    processors = " and ".join(sorted({quality.on for quality in found} | {base.quality.on}))
    texts = " and ".join(
        f"{one.tokens:,} tokens of {TEXTS[name]} (bf16: perplexity {one.perplexity:.1f})"
        for name, one in base.quality.texts.items()
    )
    return (
        f"{guide.real.public_id}, {guide.real.parameters / 1e6:.1f} million parameters, {guide.real.rounded}, on {texts}, in "
        "windows of 512. "
        f"{processors}, {base.number.machine.cores} cores; {long_date(days[0].isoformat())}"
        + (f" to {long_date(days[-1].isoformat())}" if days[-1] != days[0] else "")
        + ". ± is the standard error over windows of these texts. It says nothing about other models, texts or seeds."
    )


LADDER = ("variant", "KL from bf16, WikiText-2", "KL, Python code", "decoder linears, times smaller", "perplexity, WikiText-2",
          "same top-1 as bf16, %", "same text, % of 200 tokens", "processor time to make", "group size",
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
    return Table(LADDER, lines, f"{bits} bit, nearest to bf16 first", f"Quality at {bits} bit", "numbers"), pairs


def scale(guide: Guide) -> str:
    """What a KL means on the real model: the nearest variant of each width with the share of tokens it keeps."""
    every = sorted({row.contender.bits for row in ranking.judged(guide)}, reverse=True)
    nearest = [ranking.judged(guide, bits)[0] for bits in every]
    wiki = [(row.contender.bits, row.quality.texts["wikitext"]) for row in nearest if row.quality]
    if not wiki:
        return NOT_YET
    parts = [
        f"{text.kl.mean:{digits(text.kl.mean)}} at {bits} bit ({100 * text.top1_agreement.mean:.0f} %)" for bits, text in wiki
    ]
    return (
        f"On {guide.real.name} the nearest variant of each width has a KL of {', '.join(parts)}; in brackets how often its "
        "most likely token is bf16's. Larger models lose less"
    )


def not_measured(guide: Guide) -> str:
    """A sentence that names the variants whose quality today's code has not measured; empty where there are none."""
    judged = {row.id for row in ranking.judged(guide)} | {ranking.BASE}
    missing = [f'"{guide.methods[script.table.method].title} {contender.label}"'
               for script in guide.recipes.values() if script.table.method and script.table.needs == "cpu"
               for name, contender in script.table.variants.items() if name not in judged]  # fmt: skip
    return f"Not measured yet: {', '.join(missing)}. All other variants are in the tables." if missing else ""


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
    return Table(head, lines, "Variants with 8-bit weights, by what happens to their activations; KL from bf16")


def own_text(guide: Guide) -> str:
    """How much of its own greedy continuations bf16 agrees with when it is computed in one pass."""
    base = ranking.base(guide)
    own = base.quality.same_text if base and base.quality else None
    return f"its own share is {amount(own, '.0f', 100)} %" if own else NOT_YET


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
            "same most likely token as bf16, %")  # fmt: skip
    unpacked = [name_of(guide, row) for row in ranking.judged(guide) if smaller(guide, row, "linears") < UNPACKED]
    told = (
        f" {', '.join(unpacked)} {'are' if len(unpacked) > 1 else 'is'} unpacked to bf16 while loading: 1.00."
        if unpacked
        else ""
    )
    return Table(head, lines, f"Lowest to highest over the variants.{told} {origin(guide)}", "Widths")


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
        "KL on Python code, each model compared with its own bf16. The real model has groups of 64, the reference model those "
        "of the method's page",
    )


def _reference(guide: Guide, row: Row) -> float | None:
    """KL of the same variant of the page in its notebook's proof on the reference model."""
    method = guide.methods[row.method] if row.method else None
    variant = method.variant(row.contender.of) if method else None
    best = guide.best(variant.notebook) if variant and variant.notebook else None
    if not variant or not best or not best.proof.stand_in:
        return None
    return next((one.kl for one in best.proof.measures if one.variant == variant.measured), None)
