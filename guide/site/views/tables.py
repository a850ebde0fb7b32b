"""Tables as data."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from guide.site.render import render

WIDE = 6  # columns of figures; a wider table shows the first of them until a reader asks for the others
# A figure with its error, unit or share: 12, 1,024, 0.13 ± 0.01, 1.4x, 12 %, 3.5 GiB
FIGURE = re.compile(r"[-−<≈]? ?\d[\d,.]*( ?± ?[\d.]+)?( ?(x|×|%|[kMG]i?B|s|min|ms))?")


@dataclass(frozen=True)
class Item:
    """One cell of a table. What is empty is left out."""

    text: str
    url: str = ""  # where its text leads
    more: str = ""  # plain text after it
    mark: str = ""  # a sign before it, for eyes alone
    form: str = ""  # strong or code
    sign: bool = False  # the mark alone is seen, its text heard
    data: Mapping[str, str] = field(default_factory=dict)  # for scripts


@dataclass(frozen=True)
class Table:
    """A table whose first column heads its rows; the region around it can be scrolled by keyboard."""

    head: Sequence[Item | str]
    rows: Sequence[Sequence[Item | str]]
    caption: str
    label: str = ""  # of the region, where it is not the caption
    classes: str = ""  # beside guide-table
    form: str = ""  # HTML before it, seen where scripts run
    sorts: bool = False  # its heads are buttons, which a script enables

    def html(self) -> str:
        """The table as HTML."""
        items = [[Item(cell) if isinstance(cell, str) else cell for cell in row] for row in (self.head, *self.rows)]
        wide = "numbers" in self.classes.split() and len(self.head) > WIDE
        right = self._figures(items[1:])
        return render("table.html.jinja", table=self, wide=wide, right=right, head=items[0], rows=items[1:])

    def _figures(self, rows: list[list[Item]]) -> list[int]:
        """The columns that hold figures alone, from 1: the style sheet aligns them on the right."""
        found = []
        for number, column in enumerate(zip(*rows, strict=True), start=1):
            texts = [cell.text for cell in column if cell.text]
            if texts and all(FIGURE.fullmatch(text) for text in texts):
                found.append(number)
        return found
