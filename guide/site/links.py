"""Find dead links within the built site, notebook pages included, which MkDocs itself does not check."""

import posixpath
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

REFERENCES = {"a": "href", "img": "src", "script": "src", "link": "href"}  # tags and the attribute that leads elsewhere


@dataclass(frozen=True)
class Page:
    """What a page has that links lead to, and where its own lead."""

    ids: frozenset[str]
    references: tuple[str, ...]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.references: dict[str, None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if found := given.get("id"):
            self.ids.add(found)
        reference = given.get(REFERENCES.get(tag, ""))
        if reference is not None and (tag != "link" or given.get("rel") == "stylesheet"):
            self.references[reference] = None


@lru_cache(maxsize=512)  # while one edits, most pages stay as they were
def read_page(html: str) -> Page:
    """The ids and references of one page."""
    reader = _Reader()
    reader.feed(html)
    return Page(frozenset(reader.ids), tuple(reader.references))


def dead_links(site: Path) -> list[str]:
    """One sentence for each link of the site that leads to no file or no anchor of it."""
    paths = [path for path in sorted(site.rglob("*.html")) if path.name != "404.html"]  # whose links are absolute
    pages = {path.relative_to(site).as_posix(): read_page(path.read_text(encoding="utf-8")) for path in paths}
    dead = []
    for here, page in pages.items():
        for reference in page.references:
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(here), unquote(parts.path))) if parts.path else here
            if (site / target).is_dir():
                target = posixpath.normpath(f"{target}/index.html")
            if not (site / target).is_file():
                dead.append(f"{here}: '{reference}' leads to no page.")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids | {"__top"}:
                dead.append(f"{here}: '{reference}' leads to a page without that heading.")
    return sorted(dead)
