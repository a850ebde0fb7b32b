"""The built site in a real Chromium: weight, requests, accessibility, errors, layout, the light and dark setting."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest

from guide.method import read_methods
from guide.project import DOCS, notebook_names
from guide.script import read_script

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
NOTEBOOK_PAGES = [f"notebooks/{name}/" for name in notebook_names()]
PAGES = NOTEBOOK_PAGES + [
    "" if path.stem == "index" else f"{path.relative_to(DOCS).with_suffix('').as_posix()}/"
    for path in sorted(DOCS.rglob("*.md"))
]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
HEAVIEST_NOTEBOOK_PAGE = 60_000  # bytes of HTML


@pytest.fixture(params=[PHONE, DESKTOP], ids=["phone", "desktop"])
def viewport(request):
    return request.param


@pytest.fixture(params=["light", "dark"])
def scheme(request):
    return request.param


@pytest.fixture
def tab(chromium, viewport, scheme):
    """A fresh tab that notes page errors, console errors and requests."""
    context = chromium.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.errors, page.requests = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.requests.append(request.url))
    yield page
    context.close()


def test_all_built_pages_are_tested(site):
    folder, _ = site
    built = {path.parent.relative_to(folder).as_posix() for path in folder.rglob("index.html")}
    assert built == {page.rstrip("/") or "." for page in PAGES}


@pytest.mark.parametrize("page", NOTEBOOK_PAGES)
def test_a_notebook_page_is_light(site, page):
    folder, _ = site
    html = (folder / page / "index.html").read_text(encoding="utf-8")
    assert len(html.encode()) <= HEAVIEST_NOTEBOOK_PAGE
    assert "jp-Notebook" not in html
    assert "<style" not in html


@pytest.mark.parametrize("page", PAGES)
def test_a_page_in_the_browser(site, tab, scheme, page):
    _, url = site
    tab.goto(url + page)
    tab.wait_for_load_state("networkidle")
    assert tab.locator("body").get_attribute("data-md-color-scheme") == {"light": "default", "dark": "slate"}[scheme]
    assert tab.evaluate("document.documentElement.scrollWidth") <= tab.viewport_size["width"], "scrolls sideways"
    tab.evaluate(AXE)
    found = tab.evaluate("tags => axe.run(document, {runOnly: tags})", RULES)
    violations = [f"{v['id']}: {node['target']} {node['failureSummary']}" for v in found["violations"] for node in v["nodes"]]
    assert violations == []
    assert found["passes"], "axe looked at nothing"
    assert [request for request in tab.requests if not request.startswith((url, "data:"))] == []
    assert tab.errors == []


@pytest.mark.parametrize("page", NOTEBOOK_PAGES)
def test_a_notebook_page_links_to_colab_and_its_proof(site, chromium, page):
    _, url = site
    tab = chromium.new_page()
    tab.goto(url + page)
    name = page.split("/")[1]
    colab = tab.get_by_role("link", name="Open in Colab").get_attribute("href")
    assert colab.startswith("https://colab.research.google.com/github/")
    assert colab.endswith(f"/blob/main/notebooks/{name}.ipynb")
    assert tab.locator(".proof").count() == 1
    head = read_script(name).head.guide
    state = tab.locator(".proof").get_attribute("data-state")
    assert state == "proven" or (state == "not proven yet" and head.needs != "cpu")
    tables = tab.locator(".guide-output table").count()
    assert tables or head.only_faults or state == "not proven yet", "the table of measures is shown"
    assert tab.get_by_title("Edit this page").get_attribute("href").endswith(f"/edit/main/snippets/{name}.py")
    tab.close()


def test_the_readers_choice_of_dark_holds_on_notebook_pages(site, chromium):
    """Chosen on one page, kept by a click to a notebook (without a reload) and by opening it anew."""
    _, url = site
    context = chromium.new_context(viewport=DESKTOP, color_scheme="light")
    tab = context.new_page()
    with tab.expect_response(lambda response: response.url.endswith("sitemap.xml")):
        tab.goto(url + "methods/bitsandbytes/")
    tab.wait_for_timeout(500)
    tab.locator("label[title='Switch to dark mode']").click()
    tab.evaluate("window.notReloaded = true")
    tab.get_by_role("link", name="notebook bitsandbytes").first.click()
    tab.wait_for_selector("h1:has-text('8 and 4 bit while loading')")
    assert tab.evaluate("window.notReloaded") is True
    body = tab.locator("body")
    assert body.get_attribute("data-md-color-scheme") == "slate"
    dark = tab.locator("pre code").first.evaluate("code => getComputedStyle(code).backgroundColor")
    tab.reload()
    assert body.get_attribute("data-md-color-scheme") == "slate"
    assert tab.locator("pre code").first.evaluate("code => getComputedStyle(code).backgroundColor") == dark
    context.close()


def test_code_of_a_notebook_can_be_copied(site, chromium):
    _, url = site
    context = chromium.new_context(viewport=DESKTOP)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    tab = context.new_page()
    tab.goto(url + "notebooks/bitsandbytes/")
    block = tab.locator(".highlight", has_text="load_in_8bit=True").first
    block.locator("button[title='Copy to clipboard']").click()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert "BitsAndBytesConfig(load_in_8bit=True)" in copied
    assert copied.strip() == block.locator("code").inner_text().strip()
    context.close()


def test_the_overview_is_filtered_and_sorted_by_keyboard(site, chromium):
    _, url = site
    context = chromium.new_context(viewport=DESKTOP)
    tab = context.new_page()
    tab.goto(url + "overview/")
    rows, status = tab.locator(".overview tbody tr"), tab.get_by_role("status")
    total = rows.count()
    assert status.inner_text() == f"{total} of {total} keys shown"
    tab.get_by_label("CPU").focus()
    tab.keyboard.press("Space")
    tab.get_by_label("“not verified” counts as fitting").uncheck()
    answers = tab.locator(".overview tbody tr:not([hidden]) [data-fact=cpu]").all_inner_texts()
    assert answers and {answer.split()[-1] for answer in answers} == {"yes"}
    assert status.inner_text() == f"{len(answers)} of {total} keys shown"
    tab.get_by_label("Text").fill("no such method")
    assert "No key fits" in status.inner_text()
    tab.reload()
    tab.get_by_role("button", name="bits").press("Enter")
    head = tab.locator(".overview th", has_text="bits").first
    assert head.get_attribute("aria-sort") == "ascending"
    bits = [int(text.split(",")[0]) for text in tab.locator(".overview tbody td[data-sort]").all_inner_texts()]
    assert bits == sorted(bits) and len(set(bits)) > 1
    context.close()


def test_the_overview_stands_without_javascript(site, chromium):
    _, url = site
    context = chromium.new_context(viewport=DESKTOP, java_script_enabled=False)
    tab = context.new_page()
    tab.goto(url + "overview/")
    keys = [key for method in read_methods().values() for key in method.transformers.keys]
    assert tab.locator(".overview tbody tr").count() == len(keys)
    assert tab.locator(".overview-filter").count() == 0
    context.close()
