"""Find dead links within the built site, notebook pages included, which MkDocs itself does not check."""

from __future__ import annotations

import posixpath
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup


@cache
def _anchors(path: Path) -> frozenset[str]:
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    return frozenset(tag["id"] for tag in soup.select("[id]"))


def dead_links(site: Path) -> list[str]:
    """One sentence for each link of a page's content that leads to no file or no anchor of the site."""
    _anchors.cache_clear()
    dead = []
    for page in sorted(site.rglob("*.html")):
        if page.name == "404.html":
            continue  # its links are absolute, for it is shown at any address
        here = page.relative_to(site).as_posix()
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        for tag in soup.select("a[href], img[src], script[src], link[rel=stylesheet][href]"):
            reference = tag.get("href") or tag.get("src")
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            target = posixpath.normpath(posixpath.join(posixpath.dirname(here), unquote(parts.path))) if parts.path else here
            path = site / target
            if path.is_dir():
                path = path / "index.html"
            if not path.is_file():
                dead.append(f"{here}: '{reference}' leads to no page.")
            elif parts.fragment and path.suffix == ".html" and unquote(parts.fragment) not in _anchors(path) | {"__top"}:
                dead.append(f"{here}: '{reference}' leads to a page without that heading.")
    return sorted(set(dead))
