"""The built site in a real Chromium: weight, requests, accessibility, errors, layout, the light and dark setting."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import axe_playwright_python
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Error as PlaywrightError
from serving import DESKTOP, serve

from guide.facts.method import Answer
from guide.facts.proof import State
from guide.project import Project
from guide.site.urls import Links, url_of
from guide.site.views import methods, proofs

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
PROJECT = Project.here()
NOTEBOOK_PAGES = [f"notebooks/{path.stem}/" for path in sorted(PROJECT.notebooks.glob("*.ipynb"))]
PAGES = NOTEBOOK_PAGES + [url_of(path.relative_to(PROJECT.docs).as_posix()) for path in sorted(PROJECT.docs.rglob("*.md"))]
HEAVIEST_NOTEBOOK_PAGE = 60_000  # bytes of HTML
LONGEST_LINE = 127  # of a script, as in pyproject.toml; the formatter leaves long texts as they are
FOCUSED = 40  # controls of an article whose focus is looked at
OPENED = {  # pages with parts that open, and what is there once they can be
    "?card=geforce-rtx-4090&model=qwen3-8b#answer": ".answer .ranked",
    "memory/?model=qwen3-8b": "#memory-calculator:not([hidden])",
    "methods/torchao/": ".tabbed-labels > label",
}
ALIKE = 3  # texts of one look whose contrast is measured

# Mark all but the first few texts of the same colour, size and ground in the same place, and have axe pass over them: it takes
# about a millisecond a text, and a page of code has thousands of a dozen looks.
MARK_ALIKE = """(most) => {
  const times = new Map(), grounds = new Map([[null, ""]]);
  const ground = (element) => {
    if (!grounds.has(element)) {
      const { backgroundColor, backgroundImage, opacity } = getComputedStyle(element);
      const own = [backgroundColor, backgroundImage, opacity].join();
      grounds.set(element, ground(element.parentElement) + (own === "rgba(0, 0, 0, 0),none,1" ? "" : `/${own}`));
    }
    return grounds.get(element);
  };
  const isText = (node) => node.nodeType === Node.TEXT_NODE && node.data.trim();
  for (const element of document.body.querySelectorAll("*")) {
    element.removeAttribute("data-alike");
    if (!element.checkVisibility() || ![...element.childNodes].some(isText)) continue;
    const { color, fontSize, fontWeight, textShadow } = getComputedStyle(element);
    const place = element.closest("[data-md-component], header, nav, footer, article")?.className;
    const look = [color, fontSize, fontWeight, textShadow, ground(element), place].join();
    times.set(look, (times.get(look) ?? 0) + 1);
    element.toggleAttribute("data-alike", times.get(look) > most);
  }
  axe.configure({ rules: [{ id: "color-contrast", selector: ":not([data-alike])" }] });
}"""

# The first controls of the article whose focus, come by keyboard, nobody sees.
UNSEEN_FOCUS = """(most) => {
  const controls = document.querySelectorAll(
    ".md-content :is(a[href], button, input, select, textarea, summary, [tabindex='0'])");
  return [...controls].filter((control) => control.checkVisibility()).slice(0, most).filter((control) => {
    control.focus();
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(control);
    return (outlineStyle === "none" || parseFloat(outlineWidth) === 0) && boxShadow === "none";
  }).map((control) => control.outerHTML.slice(0, 120));
}"""


PLANT = "html => document.querySelector('article').insertAdjacentHTML('beforeend', html)"


def violations(tab, run_only) -> list[str]:
    """What axe has against the page."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(AXE)
    tab.evaluate(MARK_ALIKE, ALIKE)
    options = {"runOnly": run_only, "resultTypes": ["violations"], "iframes": False}
    found = tab.evaluate("async (options) => (await axe.run(document, options)).violations", options)
    return [f"{v['id']}: {node['target']} {node['failureSummary']}" for v in found for node in v["nodes"]]


def scheme(tab) -> str:
    return tab.locator("body").get_attribute("data-md-color-scheme")


def scrolls_sideways(tab) -> bool:
    return tab.evaluate("document.documentElement.scrollWidth") > tab.viewport_size["width"]


def turn_dark(tab) -> None:
    """Choose the scheme that Material takes at the start where a reader prefers dark."""
    tab.emulate_media(color_scheme="dark")
    tab.evaluate("""() => [...document.querySelectorAll("input[data-md-color-media]")]
      .find((input) => matchMedia(input.dataset.mdColorMedia).matches).click()""")


def unseen_focus(tab) -> list[str]:
    """Controls of the article whose focus is not seen; the key makes a browser show it at all."""
    tab.keyboard.press("Tab")
    return tab.evaluate(UNSEEN_FOCUS, FOCUSED)


def foreign(tab, url: str) -> list[str]:
    """What the page asked of others."""
    return [request for request in tab.requests if not request.startswith((url, "data:"))]


UNFOLD = "() => document.querySelectorAll('article details:not(.choose details)').forEach((one) => { one.open = true; })"
ON_PAPER = """() => {
  const seen = [...document.querySelectorAll("article *")].filter((one) => one.checkVisibility() && !one.matches(".unseen"));
  const cut = (one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflowX !== "visible";
  return {
    folded: document.querySelectorAll("article details:not([open])").length,
    cut: seen.filter(cut).map((one) => one.outerHTML.slice(0, 120)),
    wide: seen.filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.outerHTML.slice(0, 120)),
    beside: [...document.querySelectorAll(".md-header, .md-sidebar")].filter((one) => one.checkVisibility()).length,
  };
}"""


def test_all_built_pages_are_tested(site_folder):
    built = {path.parent.relative_to(site_folder).as_posix() for path in site_folder.rglob("index.html")}
    assert built == {page.rstrip("/") or "." for page in PAGES}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_in_the_browser(site, tab, page):
    """Opened once: on a phone in light, where axe looks at everything, then in dark, then on a desktop by keyboard."""
    _, url = site
    tab.goto(url + page)
    tab.wait_for_load_state("networkidle")
    assert scheme(tab) == "default"
    assert not scrolls_sideways(tab), "scrolls sideways on a phone"
    tab.evaluate(UNFOLD)
    assert violations(tab, RULES) == []

    tab.add_style_tag(content="*, ::before, ::after { transition: none !important; }")  # change at once
    turn_dark(tab)
    assert scheme(tab) == "slate"
    assert not scrolls_sideways(tab), "scrolls sideways on a phone in dark"
    assert violations(tab, {"type": "rule", "values": ["color-contrast"]}) == []

    tab.set_viewport_size(DESKTOP)
    assert not scrolls_sideways(tab), "scrolls sideways on a desktop"
    assert unseen_focus(tab) == []

    assert foreign(tab, url) == []
    assert tab.errors == []


@pytest.mark.parametrize("page", ["methods/bitsandbytes/", NOTEBOOK_PAGES[0], "benchmarks/", "works-where/", "engines/"])
def test_a_page_is_whole_on_paper(site, tab, page):
    """On a sheet of A4: nothing folded, nothing cut off, nothing beyond the edge, and no navigation."""
    tab.set_viewport_size({"width": 718, "height": 1000})
    tab.goto(site[1] + page)
    tab.wait_for_load_state("networkidle")
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.wait_for_timeout(300)  # milliseconds: a folded part opens
    assert tab.evaluate(ON_PAPER) == {"folded": 0, "cut": [], "wide": [], "beside": 0}


def test_a_wide_table_shows_its_first_figures_and_all_on_demand(site, tab):
    tab.goto(site[1] + "benchmarks/")
    table = tab.locator(".wide").first
    seen = "(region) => [...region.querySelectorAll('thead th')].filter((one) => one.checkVisibility()).length"
    assert table.evaluate(seen) == 4
    table.get_by_role("button").click()
    assert table.evaluate(seen) == table.locator("thead th").count() > 6
    assert not table.get_by_role("button").is_visible()
    assert table.evaluate("(region) => document.activeElement === region.querySelector('.guide-table')"), "it can be scrolled"
    figures = table.locator("tbody td:nth-child(2)")
    assert {one.evaluate("(cell) => getComputedStyle(cell).textAlign") for one in figures.all()} == {"right"}
    assert not scrolls_sideways(tab)


@pytest.mark.parametrize("page", OPENED)
def test_what_opens_after_a_click_is_readable_and_asks_nobody_else(site, tab, page):
    _, url = site
    tab.goto(url + page)
    tab.wait_for_selector(OPENED[page])
    tab.add_style_tag(content="*, ::before, ::after { transition: none !important; }")
    for control in tab.locator("article :is(button, .tabbed-labels > label):visible").all()[:FOCUSED]:
        if control.is_visible():  # some go away with what they open
            control.click()
    tab.evaluate("document.querySelectorAll('article details').forEach((one) => { one.open = true; })")
    tab.wait_for_load_state("networkidle")
    for change in (lambda _: None, turn_dark):
        change(tab)
        assert violations(tab, {"type": "rule", "values": ["color-contrast"]}) == []
    assert foreign(tab, url) == []
    assert tab.errors == []


@pytest.mark.parametrize("page", [NOTEBOOK_PAGES[0], ""])
def test_a_page_opens_dark_for_who_prefers_that(site, tab, page):
    tab.emulate_media(color_scheme="dark")
    tab.goto(site[1] + page)
    assert scheme(tab) == "slate"


def test_what_is_wrong_with_a_page_is_found(site, tab):
    """A field, a button and a column without a name, a text that can hardly be told from its ground, a link whose focus is
    hidden, a script and a font of others."""
    tab.goto(site[1] + "proofs/")
    tab.evaluate(PLANT, "<button></button><table><tr><th></th></tr><tr><td>1</td></tr></table>")
    font = "@font-face { font-family: theirs; src: url('https://fonts.invalid/a.woff2') } p { font-family: theirs !important }"
    tab.add_style_tag(content=font)
    with contextlib.suppress(PlaywrightError):  # it is not to be had
        tab.add_script_tag(url="https://cdn.invalid/a.js")
    tab.wait_for_timeout(300)
    assert sorted(foreign(tab, site[1])) == ["https://cdn.invalid/a.js", "https://fonts.invalid/a.woff2"]
    tab.locator("article p").first.evaluate("text => { text.style.color = '#ddd'; text.style.background = '#fff'; }")
    tab.locator("article p").last.evaluate("text => text.after(document.createElement('input'))")
    tab.locator("article p a").first.evaluate("link => { link.id = 'hidden-focus'; link.style.outline = 'none'; }")
    assert {found.split(":")[0] for found in violations(tab, RULES)} == {
        "color-contrast", "label", "button-name", "empty-table-header"}  # fmt: skip
    assert any("hidden-focus" in html for html in unseen_focus(tab))


@pytest.mark.parametrize("page", NOTEBOOK_PAGES)
def test_a_notebook_page_is_light(site_folder, page):
    html = (site_folder / page / "index.html").read_text(encoding="utf-8")
    assert len(html.encode()) <= HEAVIEST_NOTEBOOK_PAGE
    assert "jp-Notebook" not in html
    assert "<style" not in html


@pytest.mark.parametrize("page", NOTEBOOK_PAGES)
def test_a_notebook_page_links_to_colab_and_its_proof(site_folder, guide, page):
    name = page.split("/")[1]
    html = BeautifulSoup((site_folder / page / "index.html").read_text(encoding="utf-8"), "html.parser")
    colab = html.find("a", string=lambda text: text and text.strip() == "Open in Colab")
    assert (colab is None) == (guide.in_colab(name).answer == "no")
    if colab:
        assert colab["href"].startswith("https://colab.research.google.com/github/")
        assert colab["href"].endswith(f"/blob/main/notebooks/{name}.ipynb")
    (proof,) = html.select(".proof")
    head = guide.scripts[name].head.guide
    state = proof["data-state"]
    assert state == guide.state(name)
    tables = html.select(".guide-output table")
    assert tables or head.only_faults or head.own_figures or state == "not proven yet", "the table of measures is shown"
    assert html.find(title="Edit this page")["href"].endswith(f"/edit/main/snippets/{name}.py")


def test_a_run_without_its_method_is_not_called_proven(guide):
    """Where a CPU cannot run a method, overview and box say what its notebook showed there, and the box is not green."""
    link = Links("x.md", {*guide.pages, *(f"notebooks/{name}.ipynb" for name in guide.scripts)}, "owner/name")
    instead = {}
    for name, method in guide.methods.items():
        said = proofs.summary(guide, method)
        if method.hardware.cpu.answer is Answer.NO:
            assert not re.search(r"proven on [^;]*\bCPU\b", said), (name, said)
        for notebook in method.notebooks:
            if best := guide.best(notebook):
                instead[notebook] = proofs.shown_instead(guide, notebook, best.proof)
                html = proofs.box(guide, notebook, link, with_measures=False)
                green = guide.state(notebook) is State.PROVEN and not instead[notebook]
                assert [text in html for text in ('class="success proof"', "Proven on")] == [green, green], notebook
    assert set(instead.values()) == {"", "faults", "fallback", "a part"}, "each kind is there"
    gpu = next(method for method in guide.methods.values() if "fallback" in map(instead.get, method.notebooks))
    assert re.fullmatch(r"proven on NVIDIA .+; fallback shown on CPU", proofs.summary(guide, gpu))


def test_a_package_that_a_method_does_without_is_called_optional(guide):
    link = Links("x.md", frozenset(f"methods/{name}.md" for name in guide.methods), "owner/name")
    versions = {row[0].text: row[-2] for row in methods.overview(guide, link).rows}
    marked = 0
    for method in guide.methods.values():
        for key in method.transformers.keys:
            for package, lowest in method.transformers.packages.items():
                optional = package in method.transformers.optional
                assert (f"{package} {lowest or 'any'} (optional)" in versions[key]) == optional, key
                marked += optional
    assert marked


def test_the_readers_choice_of_dark_holds_on_notebook_pages(site, desktop):
    """Chosen on one page, kept by a click to a notebook and by opening it anew."""
    _, url = site
    desktop.goto(url + "methods/bitsandbytes/")
    desktop.locator("label[title='Switch to dark mode']").click()
    desktop.get_by_role("link", name="notebook bitsandbytes").first.click()
    desktop.wait_for_selector("h1:has-text('8 and 4 bit while loading')")
    assert scheme(desktop) == "slate"
    dark = desktop.locator("pre code").first.evaluate("code => getComputedStyle(code).backgroundColor")
    desktop.reload()
    assert scheme(desktop) == "slate"
    assert desktop.locator("pre code").first.evaluate("code => getComputedStyle(code).backgroundColor") == dark


def test_light_or_dark_follows_the_system_until_a_reader_chooses_and_is_switched_by_keyboard(site, desktop):
    """The switch is the guide's own: the theme's script would style each page four times over."""
    _, url = site
    desktop.goto(url + "guide/")
    assert scheme(desktop) == "default"
    desktop.emulate_media(color_scheme="dark")
    desktop.wait_for_selector("body[data-md-color-scheme=slate]")
    shown = desktop.locator("label[for^=__palette]:visible")
    assert [one.get_attribute("title") for one in shown.all()] == ["Switch to light mode"]
    desktop.locator("[name=__palette]:checked").focus()
    desktop.keyboard.press("Enter")
    assert scheme(desktop) == "default" and shown.get_attribute("title") == "Switch to dark mode"
    desktop.reload()
    assert scheme(desktop) == "default"  # chosen, though the system is dark
    shown.click()
    assert scheme(desktop) == "slate"


def test_code_of_a_notebook_can_be_copied(site, desktop):
    _, url = site
    desktop.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    desktop.goto(url + "notebooks/bitsandbytes/")
    block = desktop.locator(".highlight", has_text="load_in_8bit=True").first
    block.locator("button[title='Copy to clipboard']").click()
    copied = desktop.evaluate("navigator.clipboard.readText()")
    assert "BitsAndBytesConfig(load_in_8bit=True)" in copied
    assert copied.strip() == block.locator("code").inner_text().strip()


def test_search_finds_a_page(site_folder, desktop):
    with serve(site_folder, searched=True) as url:
        desktop.goto(url)
        desktop.get_by_role("textbox", name="Search").first.click()
        desktop.keyboard.type("double quantization nf4")
        of_all_words = desktop.locator(".md-search-result__link[href*='/bitsandbytes/'][href*='nf4']")
        of_all_words.first.wait_for()
        assert desktop.errors == []
        desktop.goto("about:blank")  # before its server ends


def test_the_searchs_tree_of_words_is_told_apart(site_folder):
    """Without the mark a query fails by chance, as its site's words fall: guide/site/hooks.py, AMBIGUOUS."""
    (worker,) = (site_folder / "assets/javascripts/workers").glob("search.*.min.js")
    code = worker.read_text(encoding="utf-8")
    assert 'e=e+s+o.id+";"}return e' in code and "e=e+s+o.id}" not in code


def test_the_overview_is_filtered_and_sorted_by_keyboard(site, desktop):
    desktop.goto(site[1] + "overview/")
    rows, status = desktop.locator(".overview tbody tr"), desktop.get_by_role("status")
    total = rows.count()
    assert status.inner_text() == f"{total} of {total} keys shown"
    desktop.get_by_label("CPU").focus()
    desktop.keyboard.press("Space")
    desktop.get_by_label("“not verified” counts as fitting").uncheck()
    answers = desktop.locator(".overview tbody tr:not([hidden]) [data-fact=cpu]").all_inner_texts()
    assert answers and {answer.split()[-1] for answer in answers} == {"yes"}
    assert status.inner_text() == f"{len(answers)} of {total} keys shown"
    desktop.get_by_label("Text").fill("no such method")
    assert "No key fits" in status.inner_text()
    desktop.reload()
    desktop.get_by_role("button", name="bits").press("Enter")
    head = desktop.locator(".overview th", has_text="bits").first
    assert head.get_attribute("aria-sort") == "ascending"
    bits = [int(text.split(",")[0]) for text in desktop.locator(".overview tbody td[data-sort]").all_inner_texts()]
    assert bits == sorted(bits) and len(set(bits)) > 1


def test_the_overview_stands_without_javascript(site, still, guide):
    still.goto(site[1] + "overview/")
    keys = [key for method in guide.methods.values() for key in method.transformers.keys]
    assert still.locator(".overview tbody tr").count() == len(keys)
    assert not still.is_visible(".overview-filter")
    assert still.locator(".overview th button:enabled").count() == 0


@pytest.mark.parametrize("script", sorted(PROJECT.assets.glob("*.js")), ids=lambda path: path.name)
def test_a_line_of_a_script_is_as_short_as_one_of_python(script):
    lines = script.read_text(encoding="utf-8").splitlines()
    assert [f"{script.name}:{number}" for number, line in enumerate(lines, 1) if len(line) > LONGEST_LINE] == []
