"""``python -m guide.site.built FOLDER``: what is wrong with a built site, page by page, without a browser.

Whether pages work in one, and are accessible, is tested by ``tests/test_site.py``.
"""

import gzip
import re
import sys
from collections import Counter
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from guide.site.links import dead_links

NOTEBOOK = "notebooks/"
PLAIN, OF_NOTEBOOK = 20, 15  # kilobytes of HTML as hosts send it, compressed; of a plain page, of a notebook's
INDEX = 70  # kilobytes of the search's index, compressed
INLINE = 4_000  # characters of a picture that may stand in a page
LONGEST = 160  # characters of a description that search engines show
UNRENDERED = re.compile(
    r"^(?:!!!|\?\?\?|===) |\*\*\w|\]\((?:https?:|\.|#|\w)|^```|<!-- guide|--8<--|\{ ?[.#][\w-]+ ?\}|\{[{%]", re.MULTILINE
)
WRITTEN = "script, style, pre, code, .guide-output, svg"  # where such signs may stand


def faults(site: Path) -> list[str]:
    """A sentence for each fault of the site: page, what is wrong, what to do."""
    files = sorted(site.rglob("index.html"))
    pages = {path.parent.relative_to(site).as_posix().removeprefix(".") + "/": _read(path) for path in files}
    found = [f"{page.lstrip('/') or 'home'}: {fault}" for page, html in pages.items() for fault in _of_page(html)]
    for what in ("title", "description"):
        texts = {page: _said(html, what) for page, html in pages.items()}
        often = Counter(texts.values())
        found += [f"{page}: its {what} '{text}' is another page's too." for page, text in texts.items() if often[text] > 1]
    return found + _weights(site, files) + dead_links(site)


def _read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def _said(html: BeautifulSoup, what: str) -> str:
    """The title or description of a page, empty if it has none."""
    tag = html.title if what == "title" else html.find("meta", attrs={"name": what})
    return (tag.get_text() if what == "title" else str(tag.get("content", ""))) if isinstance(tag, Tag) else ""


def _words(tag: Tag) -> str:
    return " ".join((tag.get_text() or str(tag.get("alt", ""))).split())[:40]


def _of_page(html: BeautifulSoup) -> list[str]:
    """What is wrong with one page."""
    found = []
    headings = len(html.find_all("h1"))
    if headings != 1:
        found.append(f"it has {headings} headings of the first order: give it one.")
    if not 0 < len(_said(html, "description")) <= LONGEST:
        found.append(f"its description has {len(_said(html, 'description'))} characters: 1 to {LONGEST} are shown.")
    ids = Counter(str(tag["id"]) for tag in html.find_all(id=True))
    found += [f"the id '{name}' is there {times} times." for name, times in ids.items() if times > 1]
    found += [
        f"the picture {image.get('src')} has no alternative text." for image in html.find_all("img") if not image.get("alt")
    ]
    found += [f"a table ({_words(table)}) has no head." for table in html.select("article table") if not table.find("th")]
    found += [f"the picture {_words(image)} is within the page, {len(str(image['src'])) / 1000:.0f} kB: make it a file."
              for image in html.find_all("img", src=re.compile("^data:")) if len(str(image["src"])) > INLINE]  # fmt: skip
    if html.select(".guide-output .error, .jp-OutputArea-output[data-mime-type*=stderr]"):
        found.append("an output is an error: prove the notebook again.")
    article = html.find("article")
    if isinstance(article, Tag):
        for tag in article.select(WRITTEN):
            tag.decompose()
        found += [f"Markdown that was not rendered: '{sign[0]}'." for sign in UNRENDERED.finditer(article.get_text("\n"))]
    return found


def _weights(site: Path, files: list[Path]) -> list[str]:
    """What is heavier than its budget."""
    found = []
    for path in files:
        page = path.parent.relative_to(site).as_posix() + "/"
        most = OF_NOTEBOOK if page.startswith(NOTEBOOK) else PLAIN
        weight = packed(path)
        if weight > most:
            found.append(f"{page}: its HTML takes {weight:.0f} kB compressed, more than {most}.")
    index = packed(site / "search/search_index.json")
    if index > INDEX:
        found.append(f"search/search_index.json takes {index:.0f} kB compressed, more than {INDEX}.")
    return found


def packed(path: Path) -> float:
    """Kilobytes of a file, compressed as hosts of sites do."""
    return len(gzip.compress(path.read_bytes())) / 1000


def main() -> None:
    """Print what is wrong with the site in the folder that was given, and how heavy it is."""
    site = Path(sys.argv[1])
    if not (site / "index.html").is_file():
        sys.exit(f"{site} holds no built site: 'nox -s check' builds one.")
    found = faults(site)
    print(*found, sep="\n")
    print(f"{len(list(site.rglob('index.html')))} pages, {len(found)} faults.")
    if found:
        sys.exit(1)


if __name__ == "__main__":
    main()
