"""How long an answer takes on a phone. Other work on the machine slows it, so these run alone: ``nox -s timings``."""

from __future__ import annotations

from statistics import median

import pytest

pytestmark = pytest.mark.timing

SLOWEST = 50  # milliseconds from an answer to what it brings, laid out
SLOWDOWN = 4  # of the processor, as in Lighthouse's mobile profile
ROUNDS = 5  # the best of them counts: what else the machine does only adds to a time

SELECTOR = """() => {
  const form = document.querySelector(".choose form");
  const { model, hardware } = form.elements;
  return Array.from({ length: 20 }, (_, turn) => {
    model.selectedIndex = 2 + (turn % (model.options.length - 2));
    hardware.selectedIndex = turn % hardware.options.length;
    const start = performance.now();
    form.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.offsetHeight; // lay out what was changed
    return performance.now() - start;
  });
}"""
CALCULATOR = """() => {
  const field = document.getElementById("calculator-context");
  return Array.from({ length: 20 }, (_, turn) => {
    field.value = String(5000 + 1000 * turn);
    const start = performance.now();
    field.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.offsetHeight;
    return performance.now() - start;
  });
}"""


PAGES = {"selector": ("", ".choose form", SELECTOR), "calculator": ("memory/", "#memory-calculator form", CALCULATOR)}


@pytest.mark.parametrize("name", PAGES)
def test_an_answer_comes_at_once_on_a_phone(site, tab, record_property, name):
    page, form, measure = PAGES[name]
    tab.goto(site[1] + page)
    answer = tab.get_by_role("status").first
    tab.wait_for_selector(form)
    session = tab.context.new_cdp_session(tab)
    session.send("Emulation.setCPUThrottlingRate", {"rate": SLOWDOWN})
    before = answer.inner_text()
    medians = sorted(median(tab.evaluate(measure)) for _ in range(ROUNDS))
    session.detach()  # which ends the slowing
    figure = f"{name}, recalculated on a phone: median {medians[0]:.1f} ms, {medians[-1]:.1f} ms in the worst round"
    record_property("figure", figure)
    assert answer.inner_text() != before, "something was answered"
    assert medians[0] < SLOWEST
    assert tab.errors == []
