"""Find dead links within the built site, notebook pages included, which MkDocs itself does not check; and those that lead to
the repository that it is made from."""

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from guide.project import Project

FETCHED = ("", "http", "https", "mailto", "data")  # schemes of what a page may lead to or show
HOSTED = re.compile(
    r"https://(?P<host>github\.com|colab\.research\.google\.com/github)/(?P<repository>[^/]+/[^/]+)"
    r"/(?:blob|tree|edit|raw)/main/(?P<path>[^#?]+)"
)
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
            if parts.scheme not in FETCHED:
                dead.append(f"{here}: '{reference}' is no address of a page.")
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


def lost_sources(site: Path, project: Project) -> list[str]:
    """One sentence for each link to the project's own repository that leads to no file of it, and for each that leads with a
    path of this one to another, or opens another's notebook in Colab."""
    lost = []
    for path in sorted(site.rglob("*.html")):
        for reference in read_page(path.read_text(encoding="utf-8")).references:
            found = HOSTED.match(reference)
            own = found and found["repository"] == project.repository
            if found and own and not (project.root / unquote(found["path"])).exists():
                lost.append(f"{path.relative_to(site).as_posix()}: '{reference}' leads to no file of the repository.")
            elif found and not own and ("colab" in found["host"] or _is_ours(project, unquote(found["path"]))):
                lost.append(f"{path.relative_to(site).as_posix()}: '{reference}' leads to another repository.")
    return lost


def _is_ours(project: Project, path: str) -> bool:
    """Whether a path is one of the project's, below a folder; any repository has a README."""
    return "/" in path and (project.root / path).is_file()
