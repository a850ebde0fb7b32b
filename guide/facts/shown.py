"""What a reader sees of an output beside the figures that it carries: its table and its line are written anew from those."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from html.parser import HTMLParser
from itertools import zip_longest
from typing import Any

from nbformat import NotebookNode

from guide.facts.proof import ENVIRONMENT_MIME, FIGURES_MIME, MEASURES_MIME, SERVED_MIME, Machine, Measure, Served

TOKENS = 16  # that snippets/shared/serving.py has an engine generate
Row = list[str]  # the words of each cell of a table's row


class Markup(HTMLParser):
    """An output's HTML: its words, its table, and each tag with its attributes."""

    def __init__(self, html: str):
        super().__init__()
        self.words: list[str] = []
        self.rows: list[Row] = []
        self.caption = ""
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.comments = 0
        self._within = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag; begin a row, or a cell of it."""
        self.tags.append((tag, attrs))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        if tag in ("td", "th", "caption"):
            self._within = tag

    def handle_endtag(self, tag: str) -> None:
        """End a cell or the caption."""
        self._within = "" if tag == self._within else self._within

    def handle_comment(self, data: str) -> None:
        """Note a comment: browsers do not agree where one ends."""
        self.comments += 1

    def handle_data(self, data: str) -> None:
        """Collect words."""
        self.words += data.split()
        if self._within == "caption":
            self.caption += data
        elif self._within and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data


def otherwise(output: NotebookNode) -> Iterator[str]:
    """What an output shows that its figures do not say, a sentence each that goes on after its cell."""
    data = output.get("data", {})
    plain, html = str(data.get("text/plain", "")), Markup(data.get("text/html", ""))
    if MEASURES_MIME in data:
        yield from _measures(plain, html, [Measure.model_validate(row) for row in data[MEASURES_MIME]])
    if SERVED_MIME in data:
        yield from _served(plain, html, data[SERVED_MIME])
    if FIGURES_MIME in data:
        figures = data[FIGURES_MIME]
        rows = [list(figures["head"]), *(list(row) for row in figures["rows"])]
        yield from _other_rows(html.rows, rows)
        yield from _other_words(plain, html.words)
    if ENVIRONMENT_MIME in data:
        yield from _environment(plain, data[ENVIRONMENT_MIME])


def _measures(plain: str, html: Markup, rows: Sequence[Measure]) -> Iterator[str]:
    """The table of measures beside its figures."""
    yield from _other_words(plain, html.words)
    for row in rows:
        for field, text in words(row).items():
            if Counter(text.split()) - Counter(plain.split()):
                yield f"shows another {field} of '{row.variant}' than its figures: '{text}'"
    yield from _other_rows(html.rows[1:], [bf16(rows[0]), *map(variant, rows)])
    if not html.caption.startswith(said := caption(rows[0])):
        yield f"has the caption '{html.caption.partition('. ')[0]}', and its figures say '{said}'"


def _served(plain: str, html: Markup, given: list[dict[str, Any]]) -> Iterator[str]:
    """The table of what an engine made of checkpoints beside its figures, and the list that stands for it in words."""
    yield from _other_rows(html.rows[1:], [served(Served.model_validate(row)) for row in given])
    with suppress(SyntaxError, ValueError):  # a table in words, which the lines below read as well
        if ast.literal_eval(plain) != given:
            yield "says in its text what its figures do not: they are not the same list"
        return
    yield from _other_words(plain.replace(" | ", " "), html.words)


def _environment(plain: str, given: Mapping[str, Any]) -> Iterator[str]:
    """The line of the environment beside its figures; which package comes first, the figures do not say."""
    machine = Machine.model_validate(given["machine"])
    place = (
        f"compute capability {machine.capability}, driver {machine.driver}" if machine.capability else f"{machine.cores} cores"
    )
    head = f"{machine.name}, {place}, {machine.memory_bytes / 2**30:.0f} GiB; Python {given['python']}; "
    packages = {f"{name} {found or 'missing'}" for name, found in given["versions"].items()}
    if not plain.startswith(head):
        yield f"shows the machine '{plain.rpartition('; ')[0]}', and its figures say '{head.rstrip('; ')}'"
    elif other := set(plain.removeprefix(head).split(", ")) ^ packages:
        yield f"shows other versions than its figures: '{min(other)}' stands in one of them alone"


def _other_words(plain: str, words: list[str]) -> Iterator[str]:
    """Words of a table that its plain text has not, or the other way round."""
    text, html = Counter(plain.split()), Counter(words)
    if text != html:
        yield f"shows in its table what its plain text does not say: '{' '.join((html - text) or (text - html))}'"


def _other_rows(shown: list[Row], said: list[Row]) -> Iterator[str]:
    """The first cell of a table that is not what its figures give."""
    missing: Row = []
    for row, own in zip_longest(shown, said, fillvalue=missing):
        for cell, figure in zip_longest(row, own, fillvalue=""):
            if " ".join(cell.split()) != " ".join(figure.split()):
                name = (own or row)[0]
                yield f"shows '{cell}' in its table, in the row '{name}', and its figures say '{figure}'"
                return


def words(row: Measure) -> dict[str, str]:
    """Fields of a row as its table shows them."""
    return {
        "variant": row.variant,
        "quantized_bytes": f"{row.quantized_bytes / 1e6:.2f} MB, {row.ratio:.2f} x",
        "linear_ratio": f"{row.linear_ratio:.2f} x",
        "perplexity": f"{row.perplexity:.3f}",
        "loss_difference": f"{row.loss_difference:+.4f} ± {row.loss_difference_error:.4f}",
        "top1_agreement": f"{100 * row.top1_agreement:.1f} ± {100 * row.top1_agreement_error:.1f} %",
        "kl": f"{row.kl:.5f} ± {row.kl_error:.5f}",
        "speed_ratio": f"{row.speed_ratio:.2f} ({row.speed_ratio_low:.2f} to {row.speed_ratio_high:.2f})",
    }


def variant(row: Measure) -> Row:
    """A variant's row of the table of measures."""
    smaller = {"quantized_bytes", "linear_ratio"}
    cells = [f"{text} smaller" if field in smaller else text for field, text in words(row).items()]
    return [*cells, "yes" if row.reload_equal else "no"]


def bf16(row: Measure) -> Row:
    """The first row of the table of measures: the model that a variant is compared with."""
    speed = f"1 ({row.baseline_tokens_per_second:.0f} tokens/s)"
    size = f"{row.baseline_bytes / 1e6:.2f} MB"
    return ["bf16", size, "", f"{row.baseline_perplexity:.3f}", "0", "100 %", "0", speed, ""]


def caption(row: Measure) -> str:
    """How the caption of the table of measures begins."""
    return f"A model of {row.parameters / 1e6:,.1f} million parameters on {row.tokens:,} tokens of text."


def served(row: Served) -> Row:
    """A row of the table of what an engine made of checkpoints."""
    sizes = [f"{size / 1e6:.1f}" if size else "" for size in (row.stored_bytes, row.resident_bytes)]
    seconds = f"{row.seconds:.1f}" if row.loads else ""
    same = "" if row.same is None else f"{row.same} of {TOKENS}"
    return [row.format, row.checkpoint, "yes" if row.loads else "no", seconds, *sizes, same, row.said]
