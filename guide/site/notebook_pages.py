"""A notebook as its page shows it: with what its proof printed, made ready so that mkdocs-jupyter only has to render it.

The proof box stands below the title, code that is the same in every notebook is one line, an output has the form that is shown
alone, and links lead where the site has its pages.
"""

import base64
import copy
import posixpath
import re

import nbformat
from nbformat import NotebookNode

from guide.facts.guide import Guide
from guide.facts.proof import State
from guide.notebooks.build import SHARED_TAG, shared_title, tags
from guide.project import GuideError
from guide.site.render import render
from guide.site.urls import Links
from guide.site.views import proofs

LINK = re.compile(r"(?<=\]\()(?!#|https?:|mailto:)(?P<path>[^)#\s]+)(?P<anchor>#[^)\s]*)?(?=\))")
TABLE = re.compile(r"^\|(?P<head>.*)\|\n\|[ :|-]+\|\n(?:\|.*\n?)+", re.MULTILINE)
SHOWN = ("text/html", "image/png", "text/plain")  # the first that an output has is shown


def site_path(guide: Guide, name: str, href: str) -> str:
    """Where a relative link of a notebook's Markdown leads, as a path the site knows; raises GuideError if nowhere.

    A notebook links as its readers on GitHub need it, from ``notebooks/``: to ``../docs/...md`` or ``other.ipynb``.
    """
    target = posixpath.normpath(posixpath.join("notebooks", href))
    page, notebook = target.removeprefix("docs/"), target.removeprefix("notebooks/").removesuffix(".ipynb")
    if target.startswith("docs/") and page in guide.pages:
        return page
    if target == f"notebooks/{notebook}.ipynb" and notebook in guide.scripts:
        return target
    advice = f"mend the link in snippets/{name}.py, then run 'nox -s notebooks'"
    raise GuideError(f"The notebook {name} links to '{href}', which is not a page of the guide: {advice}.")


def shown(guide: Guide, name: str, link: Links) -> NotebookNode:
    """The notebook of a page."""
    source = executed(guide, name)
    title, *cells = source.cells
    heading, _, rest = title.source.partition("\n")
    if title.cell_type != "markdown" or not heading.startswith("# "):
        raise GuideError(f"The notebook {name} has no title: start snippets/{name}.py with a Markdown cell '# Title'.")
    box = proofs.box(guide, name, link, with_measures=False)
    first, own, *more = [nbformat.v4.new_markdown_cell(part) for part in (heading, box, rest.strip()) if part]
    made = [shown for cell in (first, *more, *cells) for shown in _cells(guide, name, cell, link)]
    cells = [made[0], own, *made[1:]]  # the box is HTML whose links are the site's: what it quotes is no Markdown
    for number, output in enumerate(_drawn(cells), start=1):
        output.data, output.metadata = {"text/html": _picture(name, link(_picture_path(name, number)), output)}, {}
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"  # the same text gives the same file, so that an unchanged page is not rendered again
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": source.metadata.kernelspec})


def pictures(guide: Guide, name: str) -> dict[str, bytes]:
    """What the notebook drew, as files of their own beside its page, so that the page itself stays light."""
    drawn = _drawn(executed(guide, name).cells)
    return {_picture_path(name, n): base64.b64decode(output.data["image/png"]) for n, output in enumerate(drawn, start=1)}


def _picture_path(name: str, number: int) -> str:
    """Where the site has a picture of a notebook."""
    return f"notebooks/{name}-{number}.png"


def executed(guide: Guide, name: str) -> NotebookNode:
    """A copy of the notebook with what its best proof printed; older code is shown as it ran, today's with today's prose."""
    best, notebook = guide.best(name), copy.deepcopy(guide.notebooks[name])
    if best and best.state is State.CHANGED:
        return copy.deepcopy(best.notebook)
    if best:
        ran = (cell for cell in best.notebook.cells if cell.cell_type == "code")
        for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
            cell.outputs = copy.deepcopy(next(ran).outputs)
    return notebook


def _cells(guide: Guide, name: str, cell: NotebookNode, link: Links) -> list[NotebookNode]:
    """What is shown of one cell: itself, or a line for its code and its outputs without it."""
    if cell.cell_type == "markdown":
        return [nbformat.v4.new_markdown_cell(_prose(guide, name, cell.source, link))]
    outputs = [_thin(output) for output in cell.outputs]
    if SHARED_TAG not in tags(cell):
        return [nbformat.v4.new_code_cell(cell.source, outputs=outputs)]
    line = nbformat.v4.new_markdown_cell(_shared_line(guide, cell.source, link))
    return [line, nbformat.v4.new_code_cell("", outputs=outputs)] if outputs else [line]


def _prose(guide: Guide, name: str, markdown: str, link: Links) -> str:
    """Markdown whose links lead to the site's pages and whose tables can be scrolled by keyboard."""

    def there(found: re.Match[str]) -> str:
        return link(site_path(guide, name, found["path"])) + (found["anchor"] or "")

    def wrapped(found: re.Match[str]) -> str:
        heads = ", ".join(cell.strip() for cell in found["head"].split("|"))
        before, after = render("wrapped_table.html.jinja", label=f"Table: {heads}").split("\n")
        return f"{before}\n\n{found[0].rstrip()}\n\n{after}\n"

    return TABLE.sub(wrapped, LINK.sub(there, markdown))


def _shared_line(guide: Guide, source: str, link: Links) -> str:
    """A line in place of code that is the same in every notebook: what it is, and where it stands."""
    lines = source.splitlines()
    title = lines[0].removeprefix("# @title ")
    path = next((name for name, text in guide.shared.items() if shared_title(name, text) == title), None)
    url = link.source(f"snippets/shared/{path}.py" if path else "snippets/shared")  # an older proof may have an older title
    return render("shared_code.html.jinja", lines=len(lines) - 1, url=url, title=title)


def _drawn(cells: list[NotebookNode]) -> list[NotebookNode]:
    """The outputs of cells that are pictures."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [output for output in outputs if "image/png" in output.get("data", {}) and "text/html" not in output.data]


def _picture(name: str, url: str, output: NotebookNode) -> str:
    """A picture with the words for who does not see it."""
    alt = output.metadata.get("image/png", {}).get("alt")
    if not alt:
        raise GuideError(f"The notebook {name} draws a picture without words: give display() metadata with its 'alt'.")
    return render("picture.html.jinja", url=url, alt=alt)


def _thin(output: NotebookNode) -> NotebookNode:
    """An output with the one form of it that is shown."""
    if "data" in output:
        kind = next((kind for kind in SHOWN if kind in output.data), None)
        output.data = {kind: output.data[kind]} if kind else {"text/plain": ""}
    return output
