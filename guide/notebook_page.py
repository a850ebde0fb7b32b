"""The page of a notebook: which file it shows, and mkdocs-jupyter's HTML made light and readable for everyone.

mkdocs-jupyter inlines 574 kB of JupyterLab's stylesheet in every page. Here its cells become what Material for MkDocs
already knows how to show: prose, highlighted code with its copy button, outputs that a keyboard can scroll.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from guide import proof as proofs
from guide.notebooks import SHARED_TAG
from guide.project import BUILD, ROOT, SNIPPETS, GuideError, relative
from guide.render import SiteLink, proof_box, repository_url
from guide.script import Script, read_script

STAGED = BUILD / "pages"
INDENTED = re.compile(r"\s*\n\s*")


def shown_file(script: Script) -> Path:
    """The executed notebook to show, or the plain one where nothing was proven."""
    found = proofs.ranked(script)
    return found[0][0] if found else script.notebook_path


def stage(names: list[str]) -> list[str]:
    """Copy what each notebook page shows to one folder, and return the paths within it."""
    paths = []
    for name in names:
        target = STAGED / "notebooks" / f"{name}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        content = shown_file(read_script(name)).read_bytes()
        if not target.exists() or target.read_bytes() != content:
            target.write_bytes(content)
        paths.append(f"notebooks/{name}.ipynb")
    return paths


def site_path(name: str, href: str) -> str:
    """Where a relative link of a notebook's Markdown leads, as a path the site knows; raises GuideError if nowhere.

    A notebook links as its readers on GitHub need it, from ``notebooks/``: to ``../docs/...md`` or ``other.ipynb``.
    """
    target = posixpath.normpath(posixpath.join("notebooks", href.partition("#")[0]))
    if not (ROOT / target).is_file() or not target.startswith(("docs/", "notebooks/")):
        advice = f"mend the link in snippets/{name}.py, then run 'nox -s notebooks'"
        raise GuideError(f"The notebook {name} links to '{href}', which is not a page of the guide: {advice}.")
    return target.removeprefix("docs/")


def lighten(html: str, name: str, link: SiteLink) -> str:
    """mkdocs-jupyter's HTML of a notebook as plain page content, with the proof box below its title."""
    source = BeautifulSoup(html, "html.parser")
    soup = BeautifulSoup("", "html.parser")
    outputs = 0
    for cell in source.select(".jp-Cell.jp-MarkdownCell, .jp-Cell.jp-CodeCell[id]"):
        for part in cell.select(".jp-RenderedMarkdown"):
            prose(part, name, link)
            soup.extend(list(part.children))
        code = cell.select_one(".highlight-ipynb pre")
        if code:
            soup.append(shared_code_note(code) if f"celltag_{SHARED_TAG}" in cell["class"] else code_block(code))
        for output in cell.select(".jp-OutputArea-output"):
            outputs += 1
            soup.append(output_region(output, outputs))
    title = soup.find("h1")
    if not title:
        raise GuideError(f"The notebook {name} has no title: start snippets/{name}.py with a Markdown cell '# Title'.")
    title.insert_after(BeautifulSoup(proof_box(read_script(name), link, with_measures=False), "html.parser"))
    return str(soup)


def without_indentation(html: str) -> str:
    """A finished page without the theme's own indentation, a fifth of a notebook page; the content is left as it is."""
    before, article, rest = html.partition("<article")
    content, end, after = rest.partition("</article>")
    return "".join((INDENTED.sub("\n", before), article, content, end, INDENTED.sub("\n", after)))


def prose(part: Tag, name: str, link: SiteLink) -> None:
    """Make a Markdown cell's headings and links those of the site, in place."""
    for anchor in part.select("a.anchor-link"):
        anchor["class"], anchor["title"] = "headerlink", "Permanent link"
    for anchor in part.select("a[href]"):
        href = anchor["href"]
        if not href.startswith(("#", "http://", "https://", "mailto:")):
            fragment = "#" + href.partition("#")[2] if "#" in href else ""
            anchor["href"] = link(site_path(name, href)) + fragment
    for table in part.select("table"):
        heads = ", ".join(cell.get_text(" ", strip=True) for cell in table.select("thead th"))
        label = f"Table: {heads}"
        table.wrap(Tag(name="div", attrs={"class": "guide-table", "tabindex": "0", "role": "region", "aria-label": label}))


def code_block(code: Tag) -> Tag:
    """Material's own code block, without the spans that its colours do not tell from plain text."""
    for span in code.select("span.n, span.p, span.o, span.w") + [span for span in code.find_all("span") if not span.contents]:
        span.unwrap()
    code.name = "code"
    code.smooth()
    return code.wrap(Tag(name="pre")).wrap(Tag(name="div", attrs={"class": "language-python highlight"})).extract()


def shared_code_note(code: Tag) -> Tag:
    """A line in place of code that is the same in every notebook: what it is, and where it stands."""
    lines = code.get_text().splitlines()
    title = lines[0].removeprefix("# @title ")
    path = next(
        path for path in sorted((SNIPPETS / "shared").glob("*.py")) if f'"""{title}' in path.read_text(encoding="utf-8")
    )
    note = Tag(name="p", attrs={"class": "guide-shared"})
    note.append(f"A cell of {len(lines) - 1} lines stands here in the notebook, the same in each: ")
    anchor = Tag(name="a", attrs={"href": repository_url(relative(path))})
    anchor.string = title
    note.append(anchor)
    return note


def output_region(output: Tag, number: int) -> Tag:
    """One output of a cell: a table or text that a keyboard can scroll, told from the others by its number."""
    label = f"Output {number}"
    region = Tag(name="div", attrs={"class": "guide-output", "tabindex": "0", "role": "region", "aria-label": label})
    for child in list(output.children):
        region.append(child.extract())
    return region
