"""The front page: a case that many have leads to its code in one click, on a phone; and the matrix of what works where."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Route

from guide.facts.method import Answer
from guide.project import Project
from guide.site.views.methods import on

PROJECT = Project.here()

CASES = {  # what an engineer answers: its method, and a word of its verdict
    "8B, one RTX 4090": ("torchao/int8-weight-only", "fits in bf16"),
    "70B, one H100": ("autoround/4-bit", "In vLLM"),
    "3B, a T4": ("bitsandbytes/nf4", "fits in float16"),
    "32B, a MacBook": ("gguf-k/q4-k-m", "llama.cpp"),
    "An AWQ checkpoint": ("awq/4-bit", "Load your AWQ checkpoint"),
    "8B, no GPU": ("torchao/int8-weight-only", "fits in bf16"),
}


def test_every_case_asks_what_the_form_knows(site_folder):
    page = BeautifulSoup((site_folder / "index.html").read_text(encoding="utf-8"), "html.parser")
    links = page.select(".cases a")
    assert [link.b.get_text() for link in links] == list(CASES)
    for link in links:
        for name, value in parse_qsl(urlsplit(link["href"]).query):
            field = page.select_one(f"#selector [name={name}]")
            assert field.name == "input" or field.select(f"option[value='{value}']"), f"{name}={value}"


@pytest.mark.parametrize("case", CASES)
def test_a_case_leads_to_its_code_without_scrolling_on_a_phone(site, tab, case):
    tab.goto(site[1])
    tab.wait_for_selector(".answer .ranked")
    tab.get_by_role("link", name=case).click()
    variant, word = CASES[case]
    # Before the click the model is open and no card has bytes: the variant at the head may be the same.
    code = tab.locator(f".answer .ranked > li:first-child[data-variant='{variant}']:has([data-bytes]) pre")
    code.first.wait_for()
    assert word in tab.locator(".verdict").inner_text()
    top = code.first.bounding_box()["y"]
    assert 0 <= top < tab.viewport_size["height"], "the code is out of sight"
    assert tab.errors == []


def test_a_keyboard_reaches_an_answer_in_a_dozen_tabs(site, desktop):
    desktop.goto(site[1])
    desktop.wait_for_selector(".answer .ranked")
    before = desktop.locator(".verdict").inner_text()
    desktop.keyboard.press("Tab")
    desktop.keyboard.press("Enter")  # skip to the content
    tabs = 1
    while not desktop.evaluate("document.activeElement.closest('.cases')"):
        desktop.keyboard.press("Tab")
        tabs += 1
        assert tabs < 12, "the first case is further away"
    desktop.keyboard.press("Enter")
    desktop.wait_for_function("before => document.querySelector('.verdict').innerText !== before", arg=before)
    desktop.locator(".answer .ranked > li:first-child pre").wait_for()
    assert desktop.evaluate("document.activeElement.id") == "answer"
    desktop.keyboard.press("Tab")
    assert desktop.evaluate("Boolean(document.activeElement.closest('#answer'))")


def test_each_end_of_the_decision_chart_is_what_the_selectors_rules_answer(site_folder, site, tab):
    page = BeautifulSoup((site_folder / "guide/index.html").read_text(encoding="utf-8"), "html.parser")
    ends = [(" ".join(link.get_text().split()), link["href"]) for link in page.select(".flow a") if "#answer" in link["href"]]
    assert len(ends) >= 10
    wrong = []
    for text, address in ends:
        tab.goto(f"{site[1]}guide/{address}")
        tab.wait_for_selector(".answer .ranked")
        found = tab.locator(".answer .ranked h3").first.inner_text()
        if not found.startswith(text):
            wrong.append((text, found))
    assert not wrong


def test_a_case_can_be_opened_beside(site, tab):
    tab.goto(site[1])
    tab.goto(tab.locator(".cases a").nth(2).evaluate("link => link.href"))
    tab.locator(".ranked > li[data-variant='bitsandbytes/nf4']").wait_for()


def test_the_matrix_is_narrowed_to_the_hardware_of_a_reader(site, desktop, guide):
    """Also by who chooses before the script is there."""
    held: list[Route] = []
    desktop.route("**/works.js", lambda route: held.append(route))  # Playwright sets an attribute on it
    desktop.goto(site[1] + "works-where/")
    turing = next(one for one in guide.common.generations if one.id == "turing")
    desktop.get_by_label("Your hardware").select_option(label=f"{turing.name} ({turing.examples})")
    while not held:
        desktop.wait_for_timeout(10)
    held[0].continue_()
    desktop.unroute("**/works.js")
    desktop.locator(".matrix-choice [role=status]:not(:empty)").wait_for()
    shown = desktop.locator(".works tbody tr:not([hidden]) th").all_inner_texts()
    assert sorted(shown) == sorted(one.title for one in guide.methods.values() if on(one, turing) is not Answer.NO)
    assert desktop.locator(".works thead th:not([hidden])").count() < len(guide.common.generations)
    desktop.reload()
    desktop.locator(".matrix-choice [role=status]:not(:empty)").wait_for()
    assert desktop.locator(".works tbody tr:not([hidden])").count() == len(shown)


def test_the_matrix_stands_without_javascript(site, still, guide):
    still.goto(site[1] + "works-where/")
    assert still.locator(".works tbody tr").count() == len(guide.methods)


def test_a_generation_of_nvidia_is_answered_by_its_compute_capability(guide):
    by_id = {one.id: one for one in guide.common.generations}
    fp8 = guide.methods["fp8"]
    assert on(fp8, by_id["ampere"]) is Answer.NO
    assert on(fp8, by_id["ada"]) is Answer.YES
    assert on(fp8, by_id["apple"]) is fp8.hardware.apple.answer
    ends = [(method, place) for method in guide.methods.values() for place in by_id.values()
            if place.capability and method.hardware.nvidia.ends_before(place.capability)]  # fmt: skip
    assert all(on(method, place) is Answer.NO for method, place in ends)


def test_programs_find_every_page_and_its_markdown(site_folder):
    text = (site_folder / "llms.txt").read_text(encoding="utf-8")
    listed = re.findall(r"^- \[[^]]+\]\(([^)]+)\): \S", text, re.MULTILINE)
    pages = [path for path in listed if path.endswith(".md")]
    assert sorted(pages) == sorted(path.relative_to(PROJECT.docs).as_posix() for path in PROJECT.docs.rglob("*.md"))
    assert all((site_folder / path).read_text(encoding="utf-8").startswith("---\n") for path in pages)
    assert (site_folder / "facts.json").is_file()


def test_a_page_that_is_not_there_leads_on(site_folder):
    page = BeautifulSoup((site_folder / "404.html").read_text(encoding="utf-8"), "html.parser")
    assert [link["href"] for link in page.select("article p a")] == ["/.", "/symptoms/"]
