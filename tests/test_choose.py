"""The selector: every combination of answers in a real browser, ten cases that an expert would answer so, and its form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from statistics import median

import pytest

HARDWARE = ["", "volta", "turing", "ampere", "ada", "hopper", "blackwell", "amd", "intel_gpu", "apple", "cpu"]
OWN_JAVASCRIPT = 40_000  # bytes that a page may load of the guide's own
SLOWEST = 50  # milliseconds from an answer to what it brings, on a phone
PHONE_SLOWDOWN = 4  # of the processor, as in Lighthouse's mobile profile

# Runs in the browser: each combination once. What the facts forbid is looked up in facts.json, not in what choose() reads.
ENUMERATE = """async ({ base, hardware }) => {
  const { choose, NVIDIA, PURPOSES } = await import(`${base}assets/choose.js`);
  const [{ methods }, { variants, models }] = await Promise.all(
    ["facts.json", "assets/choices.json"].map(async (name) => (await fetch(base + name)).json()));
  const [small, large] = [models[0], models.at(-1)];
  const middle = models[Math.floor(models.length / 2)];
  const formats = ["", "none", ...new Set(variants.flatMap(({ keys }) => keys))];
  const device = hardware in NVIDIA ? "nvidia" : hardware;
  const forbidden = new Set(variants.filter(({ id, method }) => {
    const facts = methods[method].facts;
    const variant = facts.variants.find((one) => `${method}/${one.id}` === id);
    const cell = device && (variant.hardware[device] ?? facts.hardware[device]);
    return device && (cell.answer === "no" || (hardware in NVIDIA && Number(cell.capability ?? 0) > NVIDIA[hardware][1]));
  }).map(({ id }) => id));
  const facts = new Set(), faults = new Set(), tops = new Set();
  let count = 0, empty = 0;
  for (const model of [null, small, middle, large])
    for (const memory of [null, 8, 24, 80])
      for (const purpose of ["", ...Object.keys(PURPOSES)])
        for (const calibration of ["", "yes", "no"])
          for (const checkpoint of formats)
            for (const compile of ["", "yes", "no"]) {
              const answers = { hardware, memory, purpose, calibration, checkpoint, compile };
              const told = JSON.stringify({ ...answers, model: model?.id });
              const { ranked, out, changes } = choose(variants, answers, model);
              count += 1;
              if (ranked.length + out.length !== variants.length) faults.add(`a variant is lost: ${told}`);
              if (!ranked.length && !changes.length) faults.add(`nothing, and no way out: ${told}`);
              if (!ranked.length) empty += 1;
              else tops.add(ranked[0].variant.id);
              for (const [i, { variant, needs, reasons, behind }] of ranked.entries()) {
                if (forbidden.has(variant.id)) faults.add(`${variant.id} is ruled out by its facts: ${told}`);
                if (needs && memory && needs > memory * 2 ** 30) faults.add(`${variant.id} does not fit: ${told}`);
                if (i && !behind?.text) faults.add(`${variant.id} comes later without a reason: ${told}`);
                for (const reason of behind ? [...reasons, behind] : reasons) {
                  if (!reason.facts.length) faults.add(`a reason without a fact: ${reason.text}`);
                  reason.facts.forEach((fact) => facts.add(fact));
                }
              }
              for (const { facts: some } of out) some.forEach((fact) => facts.add(fact));
            }
  return { count, empty, tops: [...tops], facts: [...facts], faults: [...faults].slice(0, 10) };
}"""


@pytest.fixture
def tab(site, chromium):
    """A tab on the selector's page that notes errors and requests."""
    _, url = site
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.errors, page.requests = [], []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(url)
    page.wait_for_selector(".choose .verdict")
    yield page
    context.close()


def field(tab, label: str):
    """A question's control; the navigation has words of its own, so the form alone is searched."""
    return tab.locator(".choose form").get_by_label(label, exact=True)


def resolve(facts: dict, path: str):
    """What a fact's path means in facts.json; raises KeyError, IndexError or StopIteration if there is no such fact."""
    if path.startswith("proof:"):
        notebooks = (notebook for method in facts["methods"].values() for notebook in method["notebooks"])
        return next(notebook for notebook in notebooks if notebook["name"] == path.removeprefix("proof:") and notebook["date"])
    found = facts["methods"]
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found


@pytest.mark.parametrize("hardware", HARDWARE)
def test_every_combination_of_answers(site, tab, hardware, record_property):
    folder, url = site
    found = tab.evaluate(ENUMERATE, {"base": url, "hardware": hardware})
    assert found["faults"] == []
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    assert found["facts"]
    for path in found["facts"]:
        resolve(facts, path)
    line = (
        f"selector, {hardware or 'any hardware'}: {found['count']} combinations, {found['empty']} of them say what to change, "
    )
    record_property("figure", line + f"{len(found['tops'])} different first answers, {len(found['facts'])} facts")


@dataclass(frozen=True)
class Case:
    """What an expert would answer, and who says so."""

    name: str
    answers: dict
    first: set[str]
    source: str


CASES = [
    Case(
        "RTX 4090, 8B, speed for one user",
        {"hardware": "ada", "memory": "24", "model": "llama-3.1-8b", "purpose": "single"},
        {"torchao/int8-weight-only"},
        "NVIDIA ModelOpt, best practices to choose, commit 7eecd11: weight-only up to batch 4",
    ),
    Case(
        "T4, fine-tuning 7B",
        {"hardware": "turing", "memory": "16", "model": "qwen2.5-7b", "purpose": "finetune"},
        {"bitsandbytes/nf4-double", "bitsandbytes/nf4"},
        "Dettmers et al. 2023, QLoRA: frozen nf4 under LoRA",
    ),
    Case(
        "H100, serving many",
        {"hardware": "hopper", "memory": "80", "model": "llama-3.1-8b", "purpose": "throughput"},
        {"fp8/blocks", "compressed-tensors/fp8-dynamic"},
        "llm-compressor, choosing a scheme, commit 3cd33c3: FP8 W8A8 from 8.9; ModelOpt: FP8 first",
    ),
    Case(
        "A100, serving many",
        {"hardware": "ampere", "memory": "80", "model": "llama-3.1-8b", "purpose": "throughput"},
        {"torchao/int8-dynamic"},
        "llm-compressor, choosing a scheme, commit 3cd33c3: INT8 W8A8 below 8.9; arXiv 2411.02355: W8A8 for batches",
    ),
    Case(
        "an AWQ checkpoint on an RTX 3090",
        {"hardware": "ampere", "memory": "24", "checkpoint": "awq"},
        {"awq/4-bit"},
        "Transformers 5.23.0: awq is loaded by its own quantizer, with GPTQModel",
    ),
    Case(
        "a server without a GPU",
        {"hardware": "cpu", "model": "llama-3.1-8b", "purpose": "single"},
        {"torchao/int8-weight-only"},
        "measured here: the proofs of torchao and others on a CPU",
    ),
    Case(
        "a MacBook",
        {"hardware": "apple", "memory": "16", "model": "llama-3.1-8b", "purpose": "single"},
        {"bitsandbytes/nf4-double", "bitsandbytes/nf4"},
        "bitsandbytes 0.50.2 names mps; nothing else in Transformers does at 4 bit",
    ),
    Case(
        "8 GB, 8B, calibration welcome",
        {"hardware": "ampere", "memory": "8", "model": "llama-3.1-8b", "calibration": "yes"},
        {"gptq/4-bit", "awq/4-bit", "autoround/4-bit"},
        "arXiv 2411.02355: W4A16 with calibration for one user at a time",
    ),
    Case(
        "70B on 24 GB",
        {"hardware": "ada", "memory": "24", "model": "count", "parameters": "70", "purpose": "smallest"},
        {"autoround/2-bit", "gptq/2-bit"},
        "measured here: at 2 bits the calibrated methods lead",
    ),
    Case(
        "an Intel GPU, fine-tuning",
        {"hardware": "intel_gpu", "purpose": "finetune"},
        {"bitsandbytes/nf4-double", "bitsandbytes/nf4"},
        "bitsandbytes 0.50.2 names xpu; Dettmers et al. 2023",
    ),
    Case(
        "no compiling, RTX 4090, 8B",
        {"hardware": "ada", "memory": "24", "model": "llama-3.1-8b", "compile": "no"},
        {"bitsandbytes/nf4-double", "bitsandbytes/nf4"},
        "torchao's documentation: int8 weight-only is made for torch.compile",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_case_of_an_expert(site, tab, case):
    _, url = site
    tab.goto(f"{url}?{'&'.join(f'{name}={value}' for name, value in case.answers.items())}")
    first = tab.locator(".ranked > li").first
    first.wait_for()
    assert first.get_attribute("data-variant") in case.first, case.source
    assert first.locator("ul li").count() >= 2, "the reasons are given"


def test_where_nothing_fits_the_page_says_what_would_have_to_change(site, tab):
    _, url = site
    tab.goto(f"{url}?hardware=ada&memory=8&model=count&parameters=671")
    tab.wait_for_selector(".changes")
    assert "Nothing fits" in tab.locator(".verdict").inner_text()
    assert "GiB of memory" in tab.locator(".changes").inner_text()


def test_answers_are_kept_in_the_address(site, tab):
    field(tab, "Hardware").select_option("turing")
    field(tab, "What for").select_option("finetune")
    field(tab, "Its memory in GiB").fill("16")
    verdict = tab.locator(".verdict").inner_text()
    tab.wait_for_url(lambda address: "hardware=turing" in address and "memory=16" in address)
    tab.reload()
    tab.wait_for_selector(".verdict")
    assert tab.locator(".verdict").inner_text() == verdict
    assert field(tab, "Its memory in GiB").input_value() == "16"


def test_without_its_facts_the_selector_says_so(site, chromium):
    _, url = site
    tab = chromium.new_page()
    tab.route("**/choices.json", lambda route: route.abort())
    tab.goto(url)
    sentence = tab.get_by_text("The selector could not load its facts; the table below answers the common cases.")
    sentence.wait_for(state="visible")
    assert tab.locator(".choose form").count() == 0
    tab.close()


def test_an_unknown_answer_in_a_link_counts_as_open(site, tab):
    _, url = site
    tab.goto(f"{url}?hardware=abacus&nonsense=1&memory=")
    tab.wait_for_selector(".verdict")
    assert field(tab, "Hardware").input_value() == ""
    assert tab.errors == []


@pytest.mark.parametrize("text", ["-3", "0", "much", "1e9", "NaN", "24 GB", "٣"])
def test_a_number_that_is_none_gets_a_sentence_and_the_last_answer_stays(tab, text):
    field(tab, "Hardware").select_option("ada")
    before = tab.locator(".answer").inner_text()
    memory = field(tab, "Its memory in GiB")
    memory.fill(text)
    assert memory.get_attribute("aria-invalid") == "true"
    problem = tab.locator(f"#{memory.get_attribute('aria-describedby')}")
    assert problem.inner_text() == "Give a number from 1 to 20000 (GiB), or nothing."
    assert tab.locator(".answer").inner_text() == before
    assert tab.errors == []


def test_the_selector_is_worked_by_keyboard(tab):
    hardware = field(tab, "Hardware")
    hardware.focus()
    tab.keyboard.press("ArrowDown")
    assert hardware.input_value() == "volta"
    for label in ("Its memory in GiB", "What for", "Model", "Calibration with texts of yours", "A ready quantized checkpoint"):
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.labels[0].textContent") == label
    summary = tab.locator("summary", has_text="The rules")
    summary.focus()
    tab.keyboard.press("Enter")
    assert tab.locator(".rules li").count() > 15
    assert tab.locator(".verdict").get_attribute("role") == "status"


def test_the_code_can_be_copied_and_stands_in_a_script(site, chromium):
    _, url = site
    context = chromium.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    tab = context.new_page()
    tab.goto(f"{url}?checkpoint=gptq")
    tab.get_by_role("button", name="Copy the code").first.click()
    tab.get_by_text("Copied.").first.wait_for()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert "from_pretrained" in copied and "-GPTQ" in copied
    context.close()


def test_the_selector_outlives_navigation_without_reload(site, chromium):
    _, url = site
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    tab = context.new_page()
    with tab.expect_response(lambda response: response.url.endswith("sitemap.xml")):
        tab.goto(f"{url}overview/")
    tab.wait_for_timeout(500)
    tab.evaluate("window.notReloaded = true")
    for _ in range(2):
        tab.locator(".md-nav--primary").get_by_role("link", name="Selecting a method").first.click()
        tab.wait_for_selector(".choose .verdict")
        assert tab.locator(".choose form").count() == 1
        tab.locator(".md-nav--primary").get_by_role("link", name="Overview").first.click()
        tab.wait_for_selector(".overview")
    assert tab.evaluate("window.notReloaded") is True
    context.close()


def test_without_javascript_the_table_of_common_cases_stands(site, chromium):
    _, url = site
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(url)
    assert not tab.locator("#selector").is_visible()
    assert tab.get_by_role("row").filter(has_text="QLoRA").first.is_visible()
    context.close()


def test_the_page_is_light_and_quick(site, tab, record_property):
    _, url = site
    scripts = sorted({request.split("?")[0] for request in tab.requests if request.endswith(".js")})
    own = [script for script in scripts if script.startswith(f"{url}assets/") and "/assets/javascripts/" not in script]
    sizes = {script.rsplit("/", 1)[-1]: len(tab.request.get(script).body()) for script in own}
    assert "choose.js" in sizes
    record_property("figure", f"selector's page: {sum(sizes.values())} bytes of own JavaScript in {len(sizes)} files")
    assert sum(sizes.values()) <= OWN_JAVASCRIPT
    tab.context.new_cdp_session(tab).send("Emulation.setCPUThrottlingRate", {"rate": PHONE_SLOWDOWN})
    times = tab.evaluate("""() => {
      const form = document.querySelector(".choose form");
      const model = form.elements.model, hardware = form.elements.hardware;
      return Array.from({ length: 50 }, (_, i) => {
        model.selectedIndex = 2 + (i % (model.options.length - 2));
        hardware.selectedIndex = i % hardware.options.length;
        const start = performance.now();
        form.dispatchEvent(new Event("input", { bubbles: true }));
        document.body.offsetHeight; // lay out what was changed
        return performance.now() - start;
      });
    }""")
    medians = [median(times[i : i + 10]) for i in range(0, len(times), 10)]  # what else the machine does only adds to a time
    record_property("figure", f"selector, recalculated on a phone: median {min(medians):.1f} ms in the best of {len(medians)} "
                              f"series of 10, {max(medians):.1f} ms in the worst")  # fmt: skip
    assert min(medians) < SLOWEST
    assert tab.errors == []


def test_the_selector_has_every_variant_of_the_facts(site):
    folder, _ = site
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    choices = json.loads((folder / "assets" / "choices.json").read_text(encoding="utf-8"))
    counted = {name: len(list(group)) for name, group in groupby(choices["variants"], key=lambda variant: variant["method"])}
    assert counted == {name: n for name, method in facts["methods"].items() if (n := len(method["facts"]["variants"]))}
    for name, method in facts["methods"].items():
        hardware = method["facts"]["hardware"].values()
        assert counted.get(name) or {cell["answer"] for cell in hardware} == {"no"}, (
            f"{name} runs somewhere, and has no variant"
        )
