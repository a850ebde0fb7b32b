"""The check of the built HTML: what it finds in pages with planted faults, and nothing in what was built."""

from __future__ import annotations

import json

import pytest

from guide.site import built, searching

PAGE = """<!doctype html><html><head><title>{title}</title><meta name="description" content="{description}"></head>
<body><article><h1 id="one">Heading</h1>{text}</article></body></html>"""
PLANTED = {  # what is added to a page, and what is said of it
    "<h1>Another</h1>": "2 headings of the first order",
    "<p id=one>twice</p>": "the id 'one' is there 2 times",
    "<img src=a.svg>": "no alternative text",
    "<p>!!! note</p>": "Markdown that was not rendered: '!!! '",
    "<p>**bold**</p>": "Markdown that was not rendered: '**b'",
    "<p>[a page](x.md)</p>": "Markdown that was not rendered",
    "<p>&lt;!-- guide: plot quality --&gt;</p>": "Markdown that was not rendered: '<!-- guide'",
    "<table><tr><td>1</td></tr></table>": "a table (1) has no head",
    f"<img alt=large src='data:image/png;base64,{'A' * 300_000}'>": "is within the page, 300 kB",
    "<div class=guide-output><pre class=error>Traceback</pre></div>": "an output is an error",
    "<a href=nowhere/>a link</a>": "leads to no page",
}


@pytest.fixture
def small(tmp_path):
    """A site of two pages without a fault; adds text to the first."""

    def made(text: str = "", title: str = "Home", description: str = "The first page.") -> list[str]:
        for path, page in (("", (title, description, text)), ("other/", ("Other", "The second page.", ""))):
            target = tmp_path / path / "index.html"
            target.parent.mkdir(exist_ok=True)
            values = dict(zip(("title", "description", "text"), page, strict=True))
            target.write_text(PAGE.format(**values), encoding="utf-8")
        (tmp_path / "search").mkdir(exist_ok=True)
        (tmp_path / "search/search_index.json").write_text("{}", encoding="utf-8")
        (tmp_path / "a.svg").write_text("<svg/>", encoding="utf-8")
        return built.faults(tmp_path)

    return made


def test_the_built_site_has_no_fault(site_folder):
    assert built.faults(site_folder) == []


@pytest.mark.parametrize("text", PLANTED, ids=lambda text: text[:30])
def test_a_planted_fault_is_found_alone(small, text):
    assert small() == []
    found = small(text)
    assert len(found) == 1 and PLANTED[text] in found[0], found


def test_pages_are_told_apart_by_title_and_description(small):
    assert len(small(title="Other")) == 2
    assert any("is another page's too" in one for one in small(description="The second page."))
    assert any("161 characters" in one for one in small(description="x" * 161))


def test_what_is_too_heavy_is_found(small):
    heavy = json.dumps([n * 7919 % 100_003 for n in range(20_000)])
    assert any("more than 20" in one for one in small(f"<p>{heavy}</p>"))


def test_a_thinned_index_keeps_titles_beginnings_and_rare_words():
    common = "the same words in every section of every page and so on until the text is long enough to be cut somewhere here"
    docs = [{"location": f"page/#{n}", "title": f"Title {n}", "text": f"<p>{common} rare{n} 3.14</p>"} for n in range(9)]
    notebook = {"location": "notebooks/x/#cell", "title": "Cell", "text": "output"}
    thin = searching.thinned({"config": {}, "docs": [*docs, notebook]})["docs"]
    assert [one["title"] for one in thin] == [f"Title {n}" for n in range(9)]
    assert all(one["text"].startswith("the same words") and one["text"].endswith(f"… rare{n}") for n, one in enumerate(thin))
