"""What a stranger's proof could run in a reader's browser: rendered as the site renders it, and gone."""

from __future__ import annotations

from types import SimpleNamespace

import nbformat
import pytest
from bs4 import BeautifulSoup
from mkdocs_jupyter.nbconvert2 import nb2html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from guide.site import hooks
from guide.site.harmless import harm, harmless

TITLE = "# A notebook\n\nIts first lines."
HOSTILE = {  # HTML, and what is said to be taken out
    "<script>alert(1)</script>": "<script>",
    "<img src=x onerror=alert(1)>": "onerror of <img>",
    "<img src=//third.party/pixel.png alt=x>": "src of <img>",
    "<img src=https://third.party/pixel.png alt=x>": "src of <img>",
    "<a href='java&#10;script:alert(1)'>x</a>": "href of <a>",
    "<a href=' data:text/html,<script>alert(1)</script>'>x</a>": "href of <a>",
    "<iframe src=//third.party></iframe>": "<iframe>",
    "<svg><script>alert(1)</script></svg>": "<svg>",
    "<style>@import '//third.party'</style>": "<style>",
    "<link rel=stylesheet href=//third.party>": "<link>",
    "<meta http-equiv=refresh content='0;//third.party'>": "<meta>",
    "<form action=//third.party><input name=token></form>": "<form>",
    "<base href=//third.party>": "<base>",
    "<object data=//third.party></object>": "<object>",
    "<div onclick=alert(1)>x</div>": "onclick of <div>",
    "<math><mtext><script>alert(1)</script></mtext></math>": "<math>",
}
KEPT = """<div aria-label="Table: a" class="guide-table" role="region" tabindex="0">
<table><tbody><tr><th scope="col">a</th></tr></tbody></table></div>
<p><a class="headerlink" href="#a" title="Link">¶</a> <a href="https://github.com/o/n">x</a>
<img alt="a plot" loading="lazy" src="../../x.png"> <span class="k">def</span></p>"""


def rendered(tmp_path, notebook) -> tuple[str, SimpleNamespace]:
    """A notebook as its page has it, and the page."""
    path = tmp_path / "x.ipynb"
    nbformat.write(notebook, path)
    page = SimpleNamespace(meta={}, file=SimpleNamespace(src_uri="notebooks/x.ipynb", url="notebooks/x/"), title="")
    return hooks.on_page_content(nb2html(str(path)), page), page


@pytest.mark.parametrize("html", HOSTILE)
@pytest.mark.parametrize("where", ["an output", "Markdown"])
def test_what_could_run_is_not_in_the_page_and_is_warned_of(tmp_path, caplog, html, where):
    output = new_output("display_data", data={"text/html": f"<p>before</p>{html}"})
    cell = new_markdown_cell(f"before\n\n{html}") if where == "Markdown" else new_code_cell("1", outputs=[output])
    with caplog.at_level("WARNING"):
        body, _ = rendered(tmp_path, new_notebook(cells=[new_markdown_cell(TITLE), cell]))
    page = BeautifulSoup(body, "html.parser")
    assert not page.find(["script", "iframe", "svg", "style", "link", "meta", "form", "base", "object", "math", "input"])
    assert not [name for tag in page.find_all(True) for name in tag.attrs if name.startswith("on")]
    assert "third.party" not in str(page.find_all(href=True) + page.find_all(src=True))
    assert "before" in page.get_text()
    if where == "an output":
        assert HOSTILE[html] in caplog.text and "notebooks/x.ipynb" in caplog.text


@pytest.mark.parametrize("text", ["[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "![x](//third.party/pixel.png)"])
def test_a_link_in_markdown_leads_to_a_page_or_nowhere(tmp_path, text):
    body, _ = rendered(tmp_path, new_notebook(cells=[new_markdown_cell(f"{TITLE}\n\n{text}")]))
    found = BeautifulSoup(body, "html.parser").find_all(["a", "img"])
    assert not [tag for tag in found if "script:" in str(tag).lower() or "third.party" in str(tag.attrs)]


def test_text_that_looks_like_markup_is_shown(tmp_path):
    outputs = [new_output("stream", text="<script>alert(1)</script>"), new_output("display_data", data={"text/plain": "<b>"})]
    cell = new_code_cell("print('<script>')", outputs=outputs)
    body, page = rendered(tmp_path, new_notebook(cells=[new_markdown_cell(TITLE), cell]))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in body and "&lt;b&gt;" in body
    assert (page.title, page.meta["description"]) == ("A notebook", "Its first lines.")


def test_what_pages_are_made_of_is_left_as_it_is():
    assert harm(KEPT) == []
    assert BeautifulSoup(harmless(KEPT), "html.parser") == BeautifulSoup(KEPT, "html.parser")
    assert harm('<table border="1" class="dataframe"><tr style="text-align: right"><th>a</th></tr></table>') == []
