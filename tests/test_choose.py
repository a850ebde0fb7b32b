"""The selector: combinations of answers in a real browser, cases that an expert would answer so, and its form."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pytest

from guide.site.selector import file as choices_file
from guide.site.urls import Links

HARDWARE = ["", "volta", "turing", "ampere", "ada", "hopper", "blackwell", "blackwell_rtx", "amd", "intel_gpu", "apple", "cpu"]
MEMORY = [8, 24, 80]  # GiB
OWN_JAVASCRIPT = 40_000  # bytes that a page may load of the guide's own

# Runs in the browser: each combination once. What the facts forbid is looked up in facts.json, not in what choose() reads.
ENUMERATE = """async ({ base, hardware, models, checkpoints }) => {
  const { choose } = await import(`${base}assets/choose.js`);
  const { NVIDIA, PURPOSES } = await import(`${base}assets/rules.js`);
  const [{ methods }, choices] = await Promise.all(
    ["facts.json", "assets/choices.json"].map(async (name) => (await fetch(base + name)).json()));
  const { variants } = choices;
  const facts = new Set(), faults = new Set(), tops = new Set();
  let count = 0, empty = 0;

  const forbidden = (hardware) => {
    const device = hardware in NVIDIA ? "nvidia" : hardware;
    return new Set(variants.filter(({ id, method }) => {
      const facts = methods[method].facts;
      const variant = facts.variants.find((one) => `${method}/${one.id}` === id);
      const cell = device && (variant.hardware[device] ?? facts.hardware[device]);
      const at = hardware in NVIDIA ? NVIDIA[hardware][1] : null;
      return device && (cell.answer === "no"
        || (at && (at < Number(cell.capability ?? 0) || at >= Number(cell.not_from ?? Infinity))));
    }).map(({ id }) => id));
  };

  const check = (answers, model, never) => {
    const { ranked, out, changes } = choose(variants, answers, model);
    const fault = (what) => faults.add(`${what}: ${JSON.stringify({ ...answers, model: model?.id })}`);
    count += 1;
    if (ranked.length + out.length !== variants.length) fault("a variant is lost");
    if (!ranked.length && !changes.length) fault("nothing, and no way out");
    if (!ranked.length) empty += 1;
    else tops.add(ranked[0].variant.id);
    for (const [i, { variant, needs, reasons, behind }] of ranked.entries()) {
      if (never.has(variant.id)) fault(`${variant.id} is ruled out by its facts`);
      if (needs && answers.memory && needs > answers.memory * 2 ** 30) fault(`${variant.id} does not fit`);
      if (i && !behind?.text) fault(`${variant.id} comes later without a reason`);
      for (const reason of behind ? [...reasons, behind] : reasons) {
        if (!reason.facts.length) faults.add(`a reason without a fact: ${reason.text}`);
        reason.facts.forEach((fact) => facts.add(fact));
      }
    }
    for (const reason of out) {
      if (!reason.facts.length) faults.add(`a reason without a fact: ${reason.text}`);
      reason.facts.forEach((fact) => facts.add(fact));
    }
  };

  for (const one of hardware) {
    const never = forbidden(one);
    for (const [id, memory] of models) {
      const model = choices.models.find((known) => known.id === id) ?? null;
      for (const purpose of ["", ...Object.keys(PURPOSES)])
        for (const calibration of ["", "yes", "no"])
          for (const checkpoint of checkpoints)
            for (const compile of ["", "yes", "no"])
              check({ hardware: one, memory, purpose, calibration, checkpoint, compile }, model, never);
    }
  }
  return { count, empty, tops: [...tops], facts: [...facts], faults: [...faults].slice(0, 10) };
}"""

# Bytes that each variant of a model takes for each purpose, as choose() counts them.
NEEDS = """async ({ base, ids }) => {
  const { needs } = await import(`${base}assets/choose.js`);
  const { PURPOSES } = await import(`${base}assets/rules.js`);
  const { variants, models } = await (await fetch(`${base}assets/choices.json`)).json();
  const counted = (model) => Object.keys(PURPOSES).flatMap((purpose) => variants.map((v) => needs(v, { purpose }, model)));
  return Object.fromEntries(models.filter(({ id }) => ids.includes(id)).map((model) => [model.id, counted(model)]));
}"""


# What choose() makes of some variants: their order, what is said of each by its id, and why the others are ruled out.
ANSWER = """async ({ base, variants, answers }) => {
  const { choose } = await import(`${base}assets/choose.js`);
  const { ranked, out } = choose(variants, answers);
  return {
    order: ranked.map(({ variant }) => variant.id),
    said: Object.fromEntries(ranked.map(({ variant, behind, reasons }) =>
      [variant.id, (behind ? [...reasons, behind] : reasons).map(({ text }) => text)])),
    out: Object.fromEntries(out.map(({ variant, text }) => [variant.id, text])),
  };
}"""


@pytest.fixture(scope="module")
def facts(site_folder) -> dict:
    return json.loads((site_folder / "facts.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def choices(site_folder) -> dict:
    return json.loads((site_folder / "assets" / "choices.json").read_text(encoding="utf-8"))


@pytest.fixture
def selector(site, tab):
    """A tab on the selector's page."""
    tab.goto(site[1])
    tab.wait_for_selector(".choose .verdict")
    return tab


def field(tab, label: str):
    """A question's control; the navigation has words of its own, so the form alone is searched."""
    return tab.locator(".choose form").get_by_label(label, exact=True)


def resolve(facts: dict, path: str):
    """What a fact's path means in facts.json; raises KeyError, IndexError or StopIteration if there is no such fact."""
    if path.startswith("number:"):
        variant = path.removeprefix("number:")
        return next(found[variant] for found in facts["numbers"].values() if variant in found)
    if path.startswith("proof:"):
        notebooks = (notebook for method in facts["methods"].values() for notebook in method["notebooks"])
        return next(notebook for notebook in notebooks if notebook["name"] == path.removeprefix("proof:") and notebook["date"])
    found = facts["methods"]
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found


def one_of_each(values: Iterable, kind: Callable[[Any], Any]) -> list:
    """The first value of each kind."""
    first: dict = {}
    for value in values:
        first.setdefault(kind(value), value)
    return list(first.values())


def keys_of(choices: dict) -> list[str]:
    """Every key that a checkpoint may name, in the order of the variants."""
    return list(dict.fromkeys(key for variant in choices["variants"] for key in variant["keys"]))


def sizes_of(choices: dict) -> list[str]:
    """The smallest, a middle and the largest model."""
    ids = [model["id"] for model in choices["models"]]
    return [ids[0], ids[len(ids) // 2], ids[-1]]


def sweep(tab, url: str, facts: dict, record_property, name: str, **over: list) -> None:
    """Ask for all combinations; each reason must lead to a fact."""
    found = tab.evaluate(ENUMERATE, {"base": url, **over})
    assert found["faults"] == []
    assert found["facts"]
    for path in found["facts"]:
        resolve(facts, path)
    line = f"selector, {name}: {found['count']} combinations, {found['empty']} of them say what to change, "
    record_property("figure", line + f"{len(found['tops'])} different first answers, {len(found['facts'])} facts")


def test_one_combination_of_each_class_of_answers(site, selector, facts, choices, record_property):
    """Answers that no rule tells apart are one class: of hardware, of what fits into which memory, of checkpoints."""
    url = site[1]
    nvidia = selector.evaluate("async (base) => (await import(`${base}assets/rules.js`)).NVIDIA", url)

    def of_hardware(hardware: str):
        if not hardware:
            return None
        generation = nvidia.get(hardware, [None, None])[1]
        asked = [variant["cells"]["nvidia" if generation else hardware] for variant in choices["variants"]]
        kernels = [float(variant["kernel_capability"] or 0) for variant in choices["variants"]]
        return (
            bool(generation),
            hardware == "cpu",  # where measured speed counts
            bool(generation and generation < 8.0),  # has no bf16
            bool(generation and generation >= 8.9),  # has FP8
            tuple(cell["answer"] for cell in asked),
            tuple(bool(generation) and float(cell.get("capability") or 0) > generation for cell in asked),
            tuple(bool(generation) and float(cell.get("not_from") or "inf") <= generation for cell in asked),
            tuple(bool(generation) and kernel > generation for kernel in kernels),
        )

    needs = selector.evaluate(NEEDS, {"base": url, "ids": sizes_of(choices)})

    def of_model(asked: tuple):
        model, memory = asked
        return model is not None, model and memory and tuple(size <= memory * 2**30 for size in needs[model])

    def of_checkpoint(key: str):
        ready = [variant for variant in choices["variants"] if key in variant["keys"]]
        asked = ("calibration", "calibration_note", "runs", "product")
        return key == "none", frozenset(tuple(variant[name] for name in asked) for variant in ready)

    sweep(
        selector,
        url,
        facts,
        record_property,
        "a combination of each class",
        hardware=one_of_each(HARDWARE, of_hardware),
        models=one_of_each([(model, memory) for model in [None, *sizes_of(choices)] for memory in [None, *MEMORY]], of_model),
        checkpoints=one_of_each(["", "none", *keys_of(choices)], of_checkpoint),
    )


def test_every_answer_of_hardware_is_swept(site, selector):
    """The list that the sweeps take is the form's."""
    options = field(selector, "Hardware").locator("option").evaluate_all("options => options.map(({ value }) => value)")
    assert options == HARDWARE


@pytest.mark.full
@pytest.mark.parametrize("hardware", HARDWARE)
def test_every_combination_of_answers(site, selector, facts, choices, hardware, record_property):
    sweep(
        selector,
        site[1],
        facts,
        record_property,
        hardware or "any hardware",
        hardware=[hardware],
        models=[(model, memory) for model in [None, *sizes_of(choices)] for memory in [None, *MEMORY]],
        checkpoints=["", "none", *keys_of(choices)],
    )


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
        "measured here: the page Benchmarks, on a CPU",
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
    tab.goto(f"{site[1]}?{'&'.join(f'{name}={value}' for name, value in case.answers.items())}")
    first = tab.locator(".ranked > li").first
    first.wait_for()
    assert first.get_attribute("data-variant") in case.first, case.source
    assert first.locator("ul li").count() >= 2, "the reasons are given"


def answer(selector, url: str, variants: list[dict], **answers: str) -> dict:
    return selector.evaluate(ANSWER, {"base": url, "variants": variants, "answers": answers})


ENDS = [
    ("eetq/int8", "hopper", "does not run from compute capability 9.0 on; Hopper (H100, H200) begins at 9.0"),
    (
        "eetq/int8",
        "blackwell",
        "does not run from compute capability 9.0 on; Blackwell, data centre (B200, B300) begins at 10.0",
    ),
    (
        "fbgemm-fp8/e4m3",
        "blackwell_rtx",
        "does not run from compute capability 12.0 on; Blackwell, RTX (RTX 50, RTX PRO 6000) begins at 12.0",
    ),
]


def test_a_gpu_newer_than_the_kernel_rules_a_method_out(site, selector, planted):
    """The bound decides: without it the same page's method is offered on the same GPU."""

    def variants() -> list[dict]:
        return json.loads(choices_file(planted.load(), Links("", (), "owner/name")))["variants"]

    bounded = variants()
    planted.edit("docs/methods/eetq.md", '    not_from: "9.0"\n', "")
    planted.edit("docs/methods/fbgemm-fp8.md", '    not_from: "12.0"\n', "")
    unbounded = variants()
    for variant, hardware, why in ENDS:
        assert answer(selector, site[1], bounded, hardware=hardware)["out"][variant] == why
        assert variant in answer(selector, site[1], unbounded, hardware=hardware)["order"], hardware
    for variant, hardware in (("eetq/int8", "ada"), ("fbgemm-fp8/e4m3", "hopper"), ("fbgemm-fp8/e4m3", "blackwell")):
        assert variant in answer(selector, site[1], bounded, hardware=hardware)["order"], f"{variant} runs on {hardware}"


def test_without_texts_what_can_do_without_yours_comes_last_and_says_how(site, selector, choices):
    """The note decides: without it the method is ruled out, as every other that needs calibration."""
    asked = {"hardware": "hopper", "calibration": "no"}
    variants = {variant["id"]: variant for variant in choices["variants"]}
    needing = {name for name, variant in variants.items() if variant["calibration"] == "needed"}
    noted = {name for name in needing if variants[name]["calibration_note"]}
    found = answer(selector, site[1], choices["variants"], **asked)
    assert needing - noted == {name for name, why in found["out"].items() if why == "needs texts to calibrate with"}
    assert "autoround/4-bit" in noted & set(found["order"])
    place = found["order"].index("autoround/4-bit")
    assert {"torchao/int8-weight-only", "bitsandbytes/nf4", "hqq/4-bit"} <= set(found["order"][:place])
    why = f"is calibrated: {variants['autoround/4-bit']['calibration_note']}"
    assert found["said"]["autoround/4-bit"][-1] == why
    alone = answer(selector, site[1], [variants["autoround/4-bit"]], **asked)
    assert why in alone["said"]["autoround/4-bit"]
    assert not any("your texts" in text for text in alone["said"]["autoround/4-bit"])
    silent = [variant | {"calibration_note": ""} for variant in choices["variants"]]
    assert needing <= set(answer(selector, site[1], silent, **asked)["out"])


def test_code_for_a_gpu_without_bf16_takes_float16_and_says_why(site, tab):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site[1])
    for hardware, why in {
        "volta": "Volta (V100) has no bf16 arithmetic, so this code takes float16 instead.",
        "turing": "Turing (T4, RTX 20) has no bf16 arithmetic, so this code takes float16 instead.",
        "ampere": None,
    }.items():
        tab.goto(f"{site[1]}?hardware={hardware}&purpose=finetune")
        first = tab.locator(".ranked > li").first
        first.get_by_role("button", name="Copy the code").click()
        first.get_by_text("Copied.").wait_for()
        copied = tab.evaluate("navigator.clipboard.readText()")
        dtype = "torch.float16" if why else "torch.bfloat16"
        assert f"dtype={dtype}" in copied and f"bnb_4bit_compute_dtype={dtype}" in copied, hardware
        assert copied == first.locator("pre code").text_content()
        if why:
            assert "bfloat16" not in "".join(tab.locator(".ranked pre code").all_text_contents()), hardware
            assert first.get_by_text(why).is_visible()
        else:
            assert tab.get_by_text("has no bf16 arithmetic").count() == 0


def test_code_that_names_no_bf16_stays_and_needs_no_sentence(site, tab):
    tab.goto(f"{site[1]}?hardware=turing&checkpoint=eetq")
    first = tab.locator(".ranked > li").first
    first.wait_for()
    assert first.get_attribute("data-variant") == "eetq/int8"
    assert "torch.float16" in first.locator("pre code").text_content()
    assert first.get_by_text("has no bf16 arithmetic").count() == 0


def test_where_nothing_fits_the_page_says_what_would_have_to_change(site, tab):
    tab.goto(f"{site[1]}?hardware=ada&memory=8&model=count&parameters=671")
    tab.wait_for_selector(".changes")
    assert "Nothing fits" in tab.locator(".verdict").inner_text()
    assert "GiB of memory" in tab.locator(".changes").inner_text()


def test_answers_are_kept_in_the_address(selector):
    field(selector, "Hardware").select_option("turing")
    field(selector, "What for").select_option("finetune")
    field(selector, "Its memory in GiB").fill("16")
    verdict = selector.locator(".verdict").inner_text()
    selector.wait_for_url(lambda address: "hardware=turing" in address and "memory=16" in address)
    selector.reload()
    selector.wait_for_selector(".verdict")
    assert selector.locator(".verdict").inner_text() == verdict
    assert field(selector, "Its memory in GiB").input_value() == "16"


def test_without_its_facts_the_selector_says_so(site, tab):
    tab.route("**/choices.json", lambda route: route.abort())
    tab.goto(site[1])
    sentence = tab.get_by_text("The selector could not load its facts; the table below answers the common cases.")
    sentence.wait_for(state="visible")
    assert tab.locator(".choose form").count() == 0
    tab.unroute("**/choices.json")


def test_an_unknown_answer_in_a_link_counts_as_open(site, tab):
    tab.goto(f"{site[1]}?hardware=abacus&nonsense=1&memory=")
    tab.wait_for_selector(".verdict")
    assert field(tab, "Hardware").input_value() == ""
    assert tab.errors == []


def test_a_number_that_is_none_gets_a_sentence_and_the_last_answer_stays(selector):
    field(selector, "Hardware").select_option("ada")
    before = selector.locator(".answer").inner_text()
    memory = field(selector, "Its memory in GiB")
    problem = selector.locator(f"#{memory.get_attribute('aria-describedby')}")
    for text in ["-3", "0", "much", "1e9", "NaN", "24 GB", "٣"]:
        memory.fill(text)
        assert memory.get_attribute("aria-invalid") == "true", text
        assert problem.inner_text() == "Give a number from 1 to 20000 (GiB), or nothing.", text
        assert selector.locator(".answer").inner_text() == before, text
        memory.fill("")
        assert memory.get_attribute("aria-invalid") == "false" and problem.inner_text() == "", f"nothing, after {text}"
    assert selector.errors == []


def test_the_selector_is_worked_by_keyboard(selector):
    hardware = field(selector, "Hardware")
    hardware.focus()
    selector.keyboard.press("ArrowDown")
    assert hardware.input_value() == "volta"
    for label in ("Its memory in GiB", "What for", "Model", "Calibration with texts of yours", "A ready quantized checkpoint"):
        selector.keyboard.press("Tab")
        assert selector.evaluate("document.activeElement.labels[0].textContent") == label
    summary = selector.locator("summary", has_text="The rules")
    summary.focus()
    selector.keyboard.press("Enter")
    assert selector.locator(".rules li").count() > 15
    assert selector.locator(".verdict").get_attribute("role") == "status"


def test_the_code_can_be_copied_and_stands_in_a_script(site, tab):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site[1])
    tab.goto(f"{site[1]}?checkpoint=gptq")
    tab.get_by_role("button", name="Copy the code").first.click()
    tab.get_by_text("Copied.").first.wait_for()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert "from_pretrained" in copied and "-GPTQ" in copied


def test_the_selector_outlives_navigation_without_reload(site, desktop):
    with desktop.expect_response(lambda response: response.url.endswith("sitemap.xml")):
        desktop.goto(f"{site[1]}overview/")
    desktop.wait_for_timeout(500)
    desktop.evaluate("window.notReloaded = true")
    for _ in range(2):
        desktop.locator(".md-nav--primary").get_by_role("link", name="Selecting a method").first.click()
        desktop.wait_for_selector(".choose .verdict")
        assert desktop.locator(".choose form").count() == 1
        desktop.locator(".md-nav--primary").get_by_role("link", name="Overview").first.click()
        desktop.wait_for_selector(".overview")
    assert desktop.evaluate("window.notReloaded") is True


def test_without_javascript_the_table_of_common_cases_stands(site, still):
    still.goto(site[1])
    assert not still.locator("#selector").is_visible()
    assert still.get_by_role("row").filter(has_text="QLoRA").first.is_visible()


def test_the_page_loads_little_javascript_of_its_own(site, site_folder, selector, record_property):
    url = site[1]
    scripts = sorted({request.split("?")[0] for request in selector.requests if request.split("?")[0].endswith(".js")})
    own = [script for script in scripts if script.startswith(f"{url}assets/") and "/assets/javascripts/" not in script]
    sizes = {script.rsplit("/", 1)[-1]: (site_folder / script.removeprefix(url)).stat().st_size for script in own}
    assert {"choose.js", "rules.js", "selector.js"} <= set(sizes)
    record_property("figure", f"selector's page: {sum(sizes.values())} bytes of own JavaScript in {len(sizes)} files")
    assert sum(sizes.values()) <= OWN_JAVASCRIPT
    assert selector.errors == []


def test_the_selector_has_every_variant_of_the_facts(facts, choices):
    counted = {name: len(list(group)) for name, group in groupby(choices["variants"], key=lambda variant: variant["method"])}
    assert counted == {name: n for name, method in facts["methods"].items() if (n := len(method["facts"]["variants"]))}
    for name, method in facts["methods"].items():
        hardware = method["facts"]["hardware"].values()
        assert counted.get(name) or {cell["answer"] for cell in hardware} == {"no"}, (
            f"{name} runs somewhere, and has no variant"
        )
