"""The selector: combinations of answers in a real browser, cases that an expert would answer so, and its form."""

from __future__ import annotations

import gzip
import json
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pytest

from guide.facts.engine import PLACES
from guide.project import Project
from guide.site.selector import file as choices_file
from guide.site.urls import Links

HARDWARE = ["", "volta", "turing", "ampere", "ada", "hopper", "blackwell", "blackwell_rtx"]
HARDWARE += ["cdna", "rdna", "intel_gpu", "apple", "cpu"]
MEMORY = [8, 24, 80]  # GiB
OWN_BYTES = 60_000  # compressed, that a page may load of the guide's own JavaScript and data

# Runs in the browser: each combination once. What the facts forbid is looked up in facts.json, not in what choose() reads.
ENUMERATE = """async ({ base, hardware, models, checkpoints, engines }) => {
  const { cards, choose } = await import(`${base}assets/choose.js`);
  const { verdict } = await import(`${base}assets/verdict.js`);
  const { modelOf } = await import(`${base}assets/models.js`);
  const { NVIDIA, device, room } = await import(`${base}assets/reader.js`);
  const [{ methods, engines: served, generations, parts }, choices] = await Promise.all(
    ["facts.json", "assets/choices.json"].map(async (name) => (await fetch(base + name)).json()));
  const { variants } = choices;
  const { weights } = await import(`${base}assets/memory.js`);
  const facts = new Set(), faults = new Set(), tops = new Set(), sizes = new Map();
  const stored = (variant, model) => {  // bytes of the weights alone: a cache is the same for all
    const key = `${variant?.id} ${model.id}`;
    const own = variant && { ...variant, ...variant.published?.[model.id] };
    if (!sizes.has(key)) sizes.set(key, weights(model.tensors, own).total);
    return sizes.get(key);
  };
  let count = 0, empty = 0, whole = 0, narrow = 0, doubted = 0;

  // What the facts say of a variant on the hardware, in Transformers: yes, no, or not verified; null where it is open.
  const onHardware = ({ id, method }, hardware) => {
    if (!hardware) return null;
    const facts = methods[method].facts;
    const variant = facts.variants.find((one) => `${method}/${one.id}` === id);
    const place = device({ hardware });
    const cell = variant.hardware[place] ?? facts.hardware[place];
    const at = hardware in NVIDIA ? NVIDIA[hardware][1] : null;
    const outside = at && (at < Number(cell.capability ?? 0) || at >= Number(cell.not_from ?? Infinity));
    return outside ? "no" : cell.answer;
  };
  // The same in another engine, by the best of the formats that a variant is saved in.
  const inEngine = ({ formats }, engine, hardware) => {
    const at = NVIDIA[hardware]?.[1];
    const answers = formats.map((format) => {
      const { answer, nvidia, minimum, excepts, elsewhere } = served[engine].formats[format];
      if (answer === "no") return "no";
      if (!hardware) return answer;
      const generation = [...generations, ...parts].find(({ id }) => id === hardware);
      const own = served[engine].hardware[hardware]?.answer;
      if ((own ?? served[engine].hardware[generation.of].answer) === "no") return "no";
      if (!generation.capability) return elsewhere[hardware] ?? "not verified";
      if (hardware in excepts || Number(minimum ?? 0) > at) return "no";
      return own ? (minimum ? (nvidia ?? "yes") : (nvidia ?? answer)) : "not verified";
    });
    return ["yes", "not verified", "no"].find((answer) => answers.includes(answer)) ?? "no";
  };

  const check = (answers, model, never) => {
    const found = choose(choices, answers, model);
    const { ranked, out, changes, bf16 } = found;
    const said = verdict(found, model);
    const fault = (what) => faults.add(`${what}: ${JSON.stringify({ ...answers, model: model?.id })}`);
    const engine = answers.engine && answers.purpose !== "finetune" ? answers.engine : null;
    count += 1;
    const unpacked = ({ bits, formats }) =>
      bits === 16 && formats.some((one) => choices.engines[engine].formats[one]?.how === "packed");
    const others = engine ? choices.offers.length - variants.filter(unpacked).length : 0;
    if (ranked.length + out.length !== variants.length + others) fault("a variant is lost");
    if (!ranked.length && !changes.length) fault("nothing, and no way out");
    if (!ranked.length) empty += 1;
    else tops.add(ranked[0].variant.id);
    const all = room(answers);
    const loads = (v) => v.formats.includes(answers.checkpoint) || (!v.formats.length && v.keys.includes(answers.checkpoint));
    if (bf16 && answers.memory && bf16 <= 0.9 * all) {
      whole += 1;
      if (!/fits in (bf16|float16)|does not run on|in float32, unquantized/.test(said)) fault("bf16 fits, and is not named");
    }
    if (ranked.length) {
      const { variant } = ranked[0];
      const here = engine ? inEngine(variant, engine, answers.hardware) : onHardware(variant, answers.hardware);
      if (answers.hardware && here !== "yes") {
        doubted += 1;
        if (!said.includes("not verified on this hardware")) fault("not verified, and nobody says so");
      }
      const asked = answers.purpose === "smallest" || loads(variant);
      if (variant.bits < 4 && !asked) {
        narrow += 1;
        if (ranked.some(({ variant: other }) => other.bits >= 4)) fault("below 4 bits first, and not alone");
        if (!said.includes("far from bf16")) fault("below 4 bits first, without its price");
      }
    }
    const methodsShown = cards(found).map(({ variant }) => variant.method);
    if (new Set(methodsShown).size !== methodsShown.length) fault("a method twice");
    for (const [i, { variant, needs, reasons, behind }] of ranked.entries()) {
      if (never(variant, engine)) fault(`${variant.id} is ruled out by its facts`);
      if (needs && answers.memory && needs > all) fault(`${variant.id} does not fit`);
      const saves = !needs || stored(variant, model) <= 0.9 * stored(null, model) || loads(variant);
      if (!saves) fault(`${variant.id} saves less than a tenth`);
      const only = methods[variant.method]?.facts.only_models ?? [];
      if (model && only.length && !only.some((part) => model.id.includes(part))) fault(`${variant.id} is not for this model`);
      const kept = variant.cells.save_and_reload.answer !== "no" || loads(variant);
      if ((engine || answers.saving) && !kept) fault(`${variant.id} cannot be saved`);
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
    const never = (variant, engine) =>
      (engine ? inEngine(variant, engine, one) : onHardware(variant, one)) === "no";
    for (const [id, memory] of models) {
      const model = id ? modelOf(id, await (await fetch(`${base}assets/models/${id}.json`)).json()) : null;
      for (const purpose of ["", "single", "throughput", "finetune", "smallest"])
        for (const calibration of ["", "yes", "no"])
          for (const checkpoint of checkpoints)
            for (const engine of engines)
              for (const compile of engine ? [""] : ["", "yes", "no"])
                for (const saving of compile ? [""] : ["", "yes"])
                  check({ hardware: one, memory, purpose, calibration, checkpoint, compile, engine, saving }, model, never);
    }
  }
  return { count, empty, whole, narrow, doubted, tops: [...tops], facts: [...facts], faults: [...faults].slice(0, 10) };
}"""

# What the page would show of an expert's question: the first variant, the verdict and what stands below it.
ASK = """async ({ base, answers }) => {
  const [{ cards, choose }, { remarks, verdict }, { modelLike, modelOf }] = await Promise.all(
    ["choose", "verdict", "models"].map((name) => import(`${base}assets/${name}.js`)));
  const [choices, architectures] = await Promise.all(
    ["choices", "architectures"].map(async (name) => (await fetch(`${base}assets/${name}.json`)).json()));
  const asked = ["memory", "gpus", "context", "sequences", "parameters"];
  const numbers = asked.map((name) => [name, Number(answers[name] ?? 0) || null]);
  const a = { ...answers, ...Object.fromEntries(numbers) };
  const own = async (id) => modelOf(id, await (await fetch(`${base}assets/models/${id}.json`)).json());
  const model = a.parameters ? modelLike(1e9 * a.parameters, architectures) : a.model ? await own(a.model) : null;
  const found = choose(choices, a, model);
  const shown = cards(found);
  return {
    first: shown[0]?.variant.id ?? null,
    shown: shown.slice(0, 3).map(({ variant }) => variant.id),
    fit: found.ranked.map(({ variant }) => variant.id),
    said: [verdict(found, model), ...remarks(found, model).map(({ text }) => text), ...found.changes].join(" "),
  };
}"""


# What choose() makes of some variants: their order, what is said of each by its id, and why the others are ruled out.
ANSWER = """async ({ base, variants, answers }) => {
  const { choose } = await import(`${base}assets/choose.js`);
  const { ranked, out } = choose({ variants }, answers);
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


@pytest.fixture(scope="module")
def architectures(site_folder) -> dict:
    return json.loads((site_folder / "assets" / "architectures.json").read_text(encoding="utf-8"))


@pytest.fixture
def selector(site, tab):
    """A tab on the selector's page."""
    tab.goto(site[1])
    tab.wait_for_selector(".choose .answer > *")
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
    table, _, path = path.rpartition(":")
    found = facts[{"": "methods", "engine": "engines", "format": "formats"}[table]]
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, list) else found[part]
    return found


def one_of_each(values: Iterable, kind: Callable[[Any], Any]) -> list:
    """The first value of each kind."""
    first: dict = {}
    for value in values:
        first.setdefault(kind(value), value)
    return list(first.values())


def checkpoints_of(tab) -> list[str]:
    """Every answer to what checkpoint there is."""
    return field(tab, "A ready quantized checkpoint").locator("option").evaluate_all("all => all.map(({ value }) => value)")


def engines_of(choices: dict) -> list[str]:
    """No other engine, and each that is kept."""
    return ["", *(name for name, engine in choices["engines"].items() if engine["kept"])]


def models_of(architectures: dict) -> list[tuple[str | None, int | None]]:
    """No model, and the smallest, a middle one and the largest in each memory, with one that few methods can load, and one
    that 4 bits do not bring into the smallest."""
    ids = [preset["id"] for preset in sorted(architectures["presets"], key=lambda preset: int(preset["parameters"]))]
    asked = [ids[0], ids[len(ids) // 2], ids[-1], "gpt-oss-20b", "gemma-2-9b"]
    return [(None, None), *((model, memory) for model in asked for memory in [None, *MEMORY])]


def sweep(tab, url: str, facts: dict, record_property, name: str, **over: list) -> None:
    """Ask for all combinations; each reason must lead to a fact."""
    found = tab.evaluate(ENUMERATE, {"base": url, **over})
    assert found["faults"] == []
    assert found["facts"]
    for path in found["facts"]:
        resolve(facts, path)
    line = f"selector, {name}: {found['count']} combinations, {found['empty']} of them say what to change, "
    line += (
        f"{found['whole']} that bf16 fits, {found['narrow']} that only less than 4 bits does, {found['doubted']} begin with "
    )
    line += f"what is not verified; {len(found['tops'])} different first answers, {len(found['facts'])} facts"
    record_property("figure", line)


def test_the_selector_asks_for_the_hardware_that_the_facts_know(site, tab, guide):
    tab.goto(site[1])
    reader = tab.evaluate("async (base) => ({ ...(await import(`${base}assets/reader.js`)) })", site[1])
    nvidia, devices = reader["NVIDIA"], reader["DEVICES"]
    places, columns = guide.common.places, guide.common.generations
    assert {name: at for name, (_, at) in nvidia.items()} == {p.id: float(p.capability) for p in places if p.capability}
    assert devices == {one.id: one.name for one in columns if not one.capability}
    assert list(PLACES) == list(devices)
    assert ["", *nvidia, *devices] == HARDWARE


def test_one_combination_of_each_class_of_answers(site, selector, facts, choices, architectures, record_property):
    """Answers that no rule tells apart are one class: of hardware and of checkpoints."""
    url = site[1]
    nvidia = selector.evaluate("async (base) => (await import(`${base}assets/reader.js`)).NVIDIA", url)

    def of_hardware(hardware: str):
        if not hardware:
            return None
        generation = nvidia.get(hardware, [None, None])[1]
        device = "nvidia" if generation else {"cdna": "amd", "rdna": "amd"}.get(hardware, hardware)
        asked = [variant["cells"][device] for variant in choices["variants"]]
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

    def of_checkpoint(key: str):
        ready = [one for one in choices["variants"] if key in (one["formats"] or one["keys"])]
        asked = ("bits", "calibration", "calibration_note", "runs", "product", "kernel", "kernel_rows", "unpacks")
        return (
            key == "none",
            any(variant["only_models"] for variant in ready),
            frozenset(tuple(variant[name] for name in asked) for variant in ready),
        )

    found = one_of_each(checkpoints_of(selector), of_checkpoint)
    of_engines = {"engines": engines_of(choices)[1:], "models": [(None, None), ("llama-3.1-8b", 24), ("gpt-oss-120b", 80)]}
    sweep(
        selector,
        url,
        facts,
        record_property,
        "a combination of each class",
        hardware=one_of_each(HARDWARE, of_hardware),
        models=models_of(architectures),
        checkpoints=found,
        engines=[""],
    )
    sweep(selector, url, facts, record_property, "in engines", hardware=HARDWARE, checkpoints=found[:4], **of_engines)


def test_every_answer_of_hardware_is_swept(site, selector):
    """The list that the sweeps take is the form's."""
    options = field(selector, "Hardware").locator("option").evaluate_all("options => options.map(({ value }) => value)")
    assert options == HARDWARE


@pytest.mark.full
@pytest.mark.parametrize("hardware", HARDWARE)
def test_every_combination_of_answers(site, selector, facts, choices, architectures, hardware, record_property):
    sweep(
        selector,
        site[1],
        facts,
        record_property,
        hardware or "any hardware",
        hardware=[hardware],
        models=models_of(architectures),
        checkpoints=checkpoints_of(selector),
        engines=engines_of(choices),
    )


@dataclass(frozen=True)
class Case:
    """What an expert answers: one of ``first``, or nothing; ``says`` is a pattern of the verdict and what is below."""

    asked: str
    first: set[str]
    source: str
    says: str = ""


NF4 = {"bitsandbytes/nf4", "bitsandbytes/nf4-double"}
CALIBRATED = {"gptq/4-bit", "awq/4-bit", "autoround/4-bit"}
FP8 = {"fp8/blocks", "torchao/float8-dynamic", "compressed-tensors/fp8-dynamic"}
INT8 = {"torchao/int8-weight-only"}
W8A8 = {"compressed-tensors/w8a8"}
W4A16 = {"compressed-tensors/w4a16", "autoround/4-bit", "gptq/4-bit"}
GGUF_K = {"gguf-k/q5-k-m", "gguf-k/q6-k", "gguf-0/q8-0"}
WHOLE = r"fits in bf16, with [\d.]+ GiB to spare: nothing must be quantized"
MLX = "mlx-lm 0.32.2, mlx_lm/convert.py: 2, 3, 4, 5, 6 or 8 bits"
SGLANG_MLX = "sglang 0.5.23, srt/layers/quantization/mlx.py: 4 and 8 bits"
SGLANG_INT8 = "sglang 0.5.23, BitsAndBytesMoEMethod._create_weights_8bit raises NotImplementedError"
TENSORRT = "TensorRT-LLM 09d4c79b, docs/source/features/quantization.md: ModelOpt is its tool; Llama has no blocks of FP8"
PUBLISHED = "the maker's own checkpoint: quantization_config of its repository"
UNPACKED = "Your FP8 blocks checkpoint is unpacked to bf16 on this hardware: 16.4 GiB of 24 GiB"
GGML = "llama.cpp, tools/quantize/README.md: bits a weight of each type; the widest that leaves room"
METAL = "Metal's recommendedMaxWorkingSetSize, as llama.cpp prints it"
MODELOPT = (
    "NVIDIA ModelOpt, best practices to choose, commit 7eecd11: up to batch 4 weight-only, from 16 activations too, FP8 first"
)
SCHEME = "llm-compressor, choosing a scheme, commit 3cd33c3: FP8 W8A8 from 8.9, INT8 W8A8 below, W4A16 where memory decides"
GIVE_ME_BF16 = "arXiv 2411.02355: W4A16 for one request at a time, W8A8 for batches"
TRITON = "torch.compile's kernels are Triton's, from 8.0 on"
QLORA = "Dettmers et al. 2023, QLoRA: frozen nf4 under LoRA; 65B on one 48 GB GPU"
BYTES = "weights times bits, cache and runtime: the memory calculator"
OWN = "the page Benchmarks: measured here"
MI200, MI300 = "hardware=cdna&series=cdna2&memory=64", "hardware=cdna&series=cdna3&memory=192"
GFX95 = "SGLang 0.5.23, layers/quantization/__init__.py: mxfp4 on gfx95 alone"
UNPACKS = "llama.cpp, conversion/base.py, ModelBase.dequant_model: FP8 becomes 16 bit"
AMX = "vLLM 0.32.0, scaled_mm/cpu.py: FP8 wants AMX-FP8; docs, cpu.md: INT8 on x86"
CUDA_75 = "vLLM 0.32.0, docs/getting_started/installation/gpu.cuda.inc.md: compute capability 7.5 or higher"
FLOAT32 = "vLLM 0.32.0, config/model.py, _FLOAT16_NOT_SUPPORTED_MODELS; config/vllm.py refuses float32 for quantized ones"
SPLIT = "llama.cpp: --n-gpu-layers; the calculator's own split"
CHUNKS = "vLLM 0.32.0, EngineArgs.get_batch_defaults; SGLang 0.5.23, handle_gpu_memory_settings: weights, cache, a chunk"
MEASURED_TO = "docs/assets/training: beyond its window nothing was measured of this way, and more tokens take more"
EXPERTS = "notebook experts_devices: torchao int8 with the experts named"
CPU_EXPERTS = "vLLM 0.32.0, inc_wna16_scheme.py and CPUExpertsFp8: no quantized experts on a CPU but of blocks"
OVERFLOWS = "transformers issue 39972, unslothai/unsloth issue 4014: activations of Gemma beyond float16"
XPU = "vLLM 0.32.0, scaled_mm/xpu.py, XPUW8A16FP8LinearKernel comes first"
GGML_KL = "llama.cpp 0c1e57098, tools/perplexity/README.md: KL 0.0363 of IQ4_XS, 0.0719 of Q4_0"
LOADS = "Transformers 5.23.0: the quantizer that its registry names for the checkpoint"

CASES = [
    # It fits in bf16
    Case("hardware=ampere&memory=80&model=llama-3.1-8b", INT8, BYTES, WHOLE),
    Case("hardware=ada&memory=24&model=llama-3.1-8b", INT8, BYTES, WHOLE),
    Case("hardware=hopper&memory=80&model=qwen2.5-32b", INT8, BYTES, "bf16 needs about|" + WHOLE),
    Case("hardware=cdna&memory=192&model=llama-3.1-70b", INT8, BYTES, WHOLE),
    Case("hardware=apple&memory=128&model=gpt-oss-20b", set(), BYTES, WHOLE),
    Case("hardware=cpu&memory=256&model=llama-3.1-8b&purpose=throughput", INT8, OWN, WHOLE),
    Case("hardware=turing&memory=16&model=llama-3.2-3b", NF4, BYTES, "fits in float16"),
    Case("hardware=ada&memory=24&model=llama-3.1-8b&purpose=finetune", NF4, QLORA, "4.9 GiB to spare, LoRA"),
    Case("hardware=ada&memory=24&model=count&parameters=8", INT8, BYTES, WHOLE),
    # One user, and it does not
    Case("hardware=ampere&memory=24&model=qwen3-32b", NF4, GIVE_ME_BF16, "bf16 needs about 63.5 GiB; you have 24 GiB"),
    Case("hardware=ampere&memory=24&model=qwen2.5-32b&calibration=yes", CALIBRATED, GIVE_ME_BF16),
    Case("hardware=ampere&memory=8&model=llama-3.1-8b&calibration=yes", CALIBRATED, GIVE_ME_BF16),
    Case("hardware=ampere&memory=8&model=llama-3.1-8b", NF4, BYTES),
    Case("hardware=turing&memory=16&model=llama-3.1-8b", NF4, TRITON, "float16 needs"),
    Case("hardware=turing&purpose=single", NF4 | CALIBRATED, TRITON),
    Case("hardware=volta&memory=16&model=llama-3.1-8b", NF4, "bitsandbytes 0.50.2, README: from compute capability 6.0 on"),
    Case("hardware=ada&memory=24&gpus=2&model=llama-3.1-70b", NF4, BYTES, r"of 2 × 24 GiB"),
    Case("hardware=ada&memory=24&model=llama-3.1-8b&compile=no&purpose=single", NF4, "torchao int8 asks for torch.compile"),
    Case("hardware=ada&memory=24&model=llama-3.1-8b&context=100000", INT8, BYTES, "bf16 needs about 27.8 GiB"),
    Case("hardware=cpu&model=llama-3.1-8b&purpose=single", INT8, OWN),
    Case("hardware=cpu&memory=8&model=llama-3.1-8b", NF4, OWN),
    Case("hardware=apple&memory=16&model=llama-3.1-8b&purpose=single", NF4, "bitsandbytes 0.50.2 names mps"),
    Case("hardware=intel_gpu&memory=16&model=llama-3.1-8b", INT8, "torchao 0.18.0 names Intel GPUs"),
    Case("hardware=hopper&memory=80&model=gpt-oss-120b", {"mxfp4/mxfp4"}, "OpenAI publishes gpt-oss in MXFP4"),
    Case("hardware=ampere&memory=24&model=gpt-oss-20b", {"mxfp4/mxfp4"}, "OpenAI publishes gpt-oss in MXFP4"),
    Case("hardware=ada&memory=24&model=qwen3-30b-a3b", {"autoround/4-bit"}, "the others leave the fused experts in bf16"),
    # Below 4 bits
    Case("hardware=ada&memory=24&model=llama-3.1-70b&purpose=smallest", set(), BYTES, "one sequence of at most .*smaller"),
    Case("hardware=ada&memory=24&model=count&parameters=70&purpose=smallest", set(), BYTES, "With a smaller model"),
    Case("hardware=ampere&memory=24&model=llama-3.1-70b", set(), BYTES, "With more than 42.3 GiB of memory"),
    Case("hardware=ada&memory=8&model=count&parameters=671", set(), BYTES, "Nothing fits"),
    Case("hardware=ampere&memory=8&model=gemma-2-9b", {"autoround/2-bit", "gptq/3-bit"}, OWN, "far from bf16.*Rather.*"),
    Case("purpose=smallest&calibration=no&model=llama-3.1-8b", NF4 | {"hqq/4-bit", "torchao/int4-weight-only"}, OWN),
    # Many users
    Case("hardware=ada&memory=24&model=llama-3.1-8b&purpose=throughput", FP8, SCHEME),
    Case("hardware=hopper&memory=80&model=llama-3.1-8b&purpose=throughput", FP8, MODELOPT, WHOLE),
    Case("hardware=ampere&memory=80&model=llama-3.1-8b&purpose=throughput", {"torchao/int8-dynamic"}, SCHEME),
    Case("hardware=ampere&memory=80&model=llama-3.1-70b&purpose=throughput", CALIBRATED, SCHEME + "; nf4's is for few rows"),
    Case("hardware=blackwell&memory=192&model=llama-3.1-70b&purpose=throughput", FP8, MODELOPT),
    Case("hardware=blackwell_rtx&memory=32&model=qwen3-32b&purpose=throughput", CALIBRATED, SCHEME),
    Case("hardware=hopper&memory=141&gpus=8&model=deepseek-v3&purpose=throughput", {"fp8/blocks"}, "published in FP8"),
    # Fine-tuning
    Case("hardware=turing&memory=16&model=llama-3.1-8b&purpose=finetune", NF4, QLORA, "float16 needs about 19.1"),
    Case("hardware=turing&memory=16&model=qwen2.5-7b&purpose=finetune", NF4, QLORA),
    Case("hardware=ampere&memory=48&model=llama-3.1-70b&purpose=finetune", NF4, QLORA),
    Case("hardware=intel_gpu&purpose=finetune", NF4, "bitsandbytes 0.50.2 names xpu; " + QLORA),
    Case("hardware=blackwell&memory=16&purpose=finetune&model=deepseek-v2-lite&calibration=no", set(), BYTES, "Nothing fits"),
    # Training is counted as far as it was measured, and a shorter sequence comes before weights below 4 bits
    Case("hardware=ampere&memory=12&model=gemma-2-9b&purpose=finetune", NF4, QLORA, r"12 GiB with 1,\d{3} tokens\).*Longer"),
    Case("hardware=ampere&memory=12&model=gemma-2-9b&purpose=finetune&context=8192", set(), MEASURED_TO,
         "^Training was not measured above 4,095 tokens, and takes more there.*Nothing fits with 4,095 .* of at most 1,"),
    Case("hardware=ada&memory=24&model=gemma-2-9b&purpose=finetune&context=8192", NF4, MEASURED_TO, "above 4,095 tokens, and"),
    Case("hardware=ada&memory=24&model=gemma-2-27b&purpose=finetune", NF4, QLORA, r"of 24 GiB with 1,\d{3} tokens\)"),
    Case("hardware=ampere&memory=24&gpus=2&model=llama-3.1-70b&purpose=finetune", NF4, QLORA, "with 1,085 tokens"),
    Case("hardware=ada&memory=24&model=qwen3-32b&purpose=finetune", NF4, QLORA, "with 1,479 .*Longer sequences than 1,479"),
    Case("hardware=ada&memory=24&model=qwen3-32b&purpose=finetune&context=2048", {"gptq/3-bit"}, QLORA,
         "^(?!.*cache in 8 bits).*4 bits fit with one sequence of at most 1,479 tokens.*LoRA on it was not verified"),
    Case("hardware=hopper&memory=80&model=gpt-oss-20b&purpose=finetune", set(),
         "Transformers 5.23.0, quantizers/auto.py; its page: MXFP4 is not trained", "38.9 GiB to spare.*with dequantize=True"),
    # Less of what was asked for, by as many sequences as were asked for, and no more tokens than the model was made for
    Case("hardware=ampere&memory=24&model=qwen3-32b&purpose=throughput&sequences=50", set(), BYTES,
         r"Nothing fits with 8,192 tokens × 50; .* does with 50 sequences of at most \d{3} tokens, or \d of 8,192\."),
    Case("hardware=ampere&memory=12&model=qwen2.5-7b&engine=vllm&purpose=throughput&sequences=50", set(), CHUNKS,
         r"Nothing fits with 8,192 tokens × 50; (?!GGUF).* 50 sequences of at most 1,\d{3} tokens, or 1\d of 8,192\."),
    Case("hardware=ada&memory=45&model=qwen2.5-7b&context=200000&sequences=9&engine=vllm", set(), BYTES,
         r"9 sequences of at most 1?\d\d,\d{3} tokens"),
    # A format that an engine loads by itself, with fewer sequences, before one that takes another package
    Case("hardware=turing&memory=15&model=llama-3.1-8b&engine=vllm&purpose=throughput", W8A8 | CALIBRATED,
         "vllm-gguf-plugin's page: highly experimental", "^(?!.*plugin).*with 8,192 tokens × 4"),
    Case("hardware=ada&memory=24&model=qwen3-32b&context=32768&engine=vllm", {"gguf-iq/iq4-xs"},
         "4 bits by a plugin before 2 without", "a cache of 8 bits.*which takes vllm-gguf-plugin"),
    # Another engine
    Case("hardware=ampere&memory=80&model=llama-3.1-70b&engine=vllm&purpose=throughput", CALIBRATED, SCHEME, "In vLLM take"),
    Case("hardware=hopper&memory=80&model=llama-3.1-8b&engine=vllm&purpose=throughput", FP8, SCHEME, WHOLE),
    Case("hardware=blackwell&memory=192&model=llama-3.1-70b&engine=vllm&purpose=throughput", FP8, MODELOPT,
         r"bf16 takes 175\.\d GiB of 192 GiB, which leaves less than a tenth"),  # 131.4 of weights, a cache of 40, a chunk
    Case("hardware=ampere&memory=24&model=llama-3.1-8b&engine=vllm&purpose=throughput", W8A8, SCHEME + "; INT8 before Ada"),
    Case("engine=vllm", FP8, SCHEME),
    Case("hardware=turing&memory=11&model=llama-3.1-8b&engine=vllm&purpose=single", CALIBRATED, OWN),
    Case("hardware=hopper&memory=80&model=gpt-oss-120b&engine=vllm&purpose=throughput", {"mxfp4/mxfp4"}, PUBLISHED),
    Case("hardware=hopper&memory=141&gpus=8&model=deepseek-v3&engine=sglang&purpose=throughput", {"fp8/blocks"}, PUBLISHED),
    Case("hardware=ada&memory=24&model=llama-3.1-8b&engine=llama-cpp", {"gguf-0/q8-0"}, GGML, WHOLE),
    Case("hardware=ada&memory=24&model=qwen3-32b&engine=llama-cpp", {"gguf-k/q4-k-m", "gguf-iq/iq4-xs"}, GGML, "GGUF"),
    Case("hardware=apple&memory=16&model=llama-3.1-8b&engine=llama-cpp", GGUF_K, GGML, "macOS lets the GPU take 10.7 GiB"),
    Case("hardware=apple&memory=64&model=qwen3-32b&engine=mlx", {"mlx/8-bit"}, "mlx-lm quantizes in 4 and 8 bit", "In MLX"),
    Case("hardware=intel_gpu&memory=16&model=llama-3.1-8b&engine=openvino", {"openvino/int8"}, "its own format", "OpenVINO"),
    Case("hardware=ada&memory=24&model=llama-3.1-8b&engine=vllm&checkpoint=bnb-nf4", NF4, "the plugin loads it", "Load your"),
    Case("hardware=ada&memory=24&engine=exllamav3&checkpoint=awq-4", {"exl3/8-bpw"}, "its page: no AWQ", "packed in vLLM"),
    Case("hardware=ada&memory=24&model=llama-3.1-8b&engine=vllm&purpose=finetune", NF4, QLORA, "merge the adapters in 16 bit"),
    Case("hardware=hopper&memory=141&gpus=4&model=kimi-k2.5&engine=vllm", {"gptq/3-bit"}, PUBLISHED,
         r"As published, in compressed-tensors, it needs 58\d\.\d GiB with 8,192 tokens, more than the 518\.9 GiB to use of "),
    Case("hardware=hopper&memory=141&gpus=8&model=kimi-k2.5", set(), PUBLISHED, "In vLLM: compressed-tensors W4A16"),
    Case("hardware=hopper&memory=141&gpus=8&model=kimi-k2.5&engine=vllm", {"compressed-tensors/w4a16"}, PUBLISHED, r" \(60\d"),
    Case("hardware=blackwell&memory=180&gpus=8&model=kimi-k2.5&engine=vllm", {"compressed-tensors/w4a16"}, PUBLISHED),
    Case("hardware=hopper&memory=80&model=qwen2.5-72b&engine=tensorrt-llm&purpose=throughput", {"modelopt-fp8/fp8"}, TENSORRT,
         "More than 1 at"),
    Case("hardware=cdna&memory=192&model=qwen3-32b&engine=vllm&purpose=throughput", FP8, "vLLM emulates fp4", "not on MI200"),
    # Kinds of hardware within a column: their own kernels
    Case(f"{MI200}&gpus=8&model=llama-3.1-70b&engine=vllm&purpose=throughput", W8A8, "FP8 on gfx942, INT8 by Triton", WHOLE),
    Case(f"{MI200}&gpus=4&model=llama-3.1-70b&engine=sglang", set(), "its page: gfx942, gfx950", "SGLang does .* MI200"),
    Case(f"{MI200}&model=qwen3-32b&purpose=throughput", {"torchao/int8-dynamic"}, "CDNA2 has no FP8", "bf16 needs"),
    Case(f"{MI300}&model=gpt-oss-120b&engine=sglang", FP8, GFX95, "it does not run .* MI300.*gfx95"),
    Case("hardware=cdna&series=cdna4&memory=288&model=gpt-oss-120b&engine=sglang", {"mxfp4/mxfp4"}, GFX95, WHOLE),
    Case("hardware=rdna&series=rdna4&memory=32&model=qwen3-8b&engine=vllm&purpose=throughput", FP8, "gfx12x", "In vLLM take"),
    Case("hardware=rdna&series=rdna3&memory=24&model=qwen3-8b&engine=vllm&purpose=throughput", W4A16, "gfx12x: not gfx11"),
    Case("hardware=cpu&memory=64&model=llama-3.1-8b&engine=vllm&purpose=throughput", W8A8, AMX, r"W8A8 for speed or more"),
    # What is older than an engine
    Case("hardware=volta&memory=32&model=qwen2.5-7b&engine=vllm", set(), CUDA_75, r"^vLLM does not run on Volta \(V100\)\."),
    Case("hardware=volta&memory=32&model=qwen2.5-7b&engine=tensorrt-llm", set(), "no Turing either", "^TensorRT-LLM does not"),
    Case("hardware=volta&memory=16&model=llama-3.1-8b&engine=vllm&checkpoint=awq-4", set(), CUDA_75, "AWQ .* does not run"),
    Case("hardware=volta&memory=16&model=llama-3.1-8b&engine=llama-cpp", {"gguf-0/q8-0"}, GGML, "^(?!.*PyTorch)float16 n"),
    Case("hardware=turing&memory=15&model=gemma-2-9b&engine=vllm", set(), FLOAT32, "^vLLM refuses Gemma-2-9B in float16, and"),
    Case("hardware=turing&memory=15&model=gemma-2-2b&engine=vllm", set(), FLOAT32, "^vLLM .*float32, unquantized.*With Trans"),
    Case("hardware=ampere&memory=24&model=gemma-2-9b&engine=vllm", FP8, "bf16 from 8.0", "In vLLM take"),
    Case("hardware=turing&memory=15&model=qwen2.5-7b&engine=vllm", FP8, "float16 is no matter for Qwen", "In vLLM take"),
    # An engine that splits a model over GPU and computer
    Case("hardware=blackwell_rtx&memory=32&model=gpt-oss-120b&engine=llama-cpp", set(), SPLIT, "MXFP4 .* with 16 of its 36 l"),
    Case("hardware=ada&memory=24&model=llama-3.1-70b&engine=llama-cpp", set(), SPLIT, "With 38 of .* GiB of .*: GGUF Q4_K_M"),
    Case("hardware=ampere&memory=12&model=qwen3-30b-a3b&engine=llama-cpp", {"gguf-iq/iq2-m"}, SPLIT, "Or GGUF Q4_K_M with 27"),
    Case("hardware=apple&memory=16&model=qwen3-32b&engine=llama-cpp", set(), SPLIT, r"^(?!.*layers on the GPU).*Nothing fits"),
    Case("hardware=ada&memory=24&model=llama-3.1-70b&engine=vllm", set(), "no layers elsewhere", "^(?!.*on the GPU).*Nothing"),
    # How a checkpoint is made, and what becomes of the published one
    Case("hardware=apple&memory=36&model=qwen3-32b&engine=mlx", {"mlx/4-bit"}, "mlx-lm: lazy", "not memory for all"),
    Case("hardware=ampere&memory=24&model=qwen3-32b&engine=vllm", W4A16, BYTES, "takes the 16-bit model in memory"),
    Case("hardware=hopper&memory=141&gpus=8&model=deepseek-v3&engine=llama-cpp", {"gguf-0/q8-0"}, UNPACKS, "it is unpacked"),
    # An engine reads prompts in chunks: of many sequences all caches are there, and not all activations
    Case(
        "hardware=hopper&memory=141&gpus=8&model=deepseek-v3&engine=vllm&purpose=throughput&sequences=64&context=8192",
        {"fp8/blocks"}, CHUNKS, r"\(9\d\d\.\d GiB of 8 × 141 GiB with 8,192 tokens × 64\)",
    ),
    Case("hardware=hopper&memory=80&model=gpt-oss-120b&engine=vllm&purpose=throughput&sequences=64&context=4096",
         {"mxfp4/mxfp4"}, CHUNKS, "GiB of 80 GiB with 4,096 tokens × 64"),
    Case("hardware=ada&memory=45&model=gpt-oss-20b&engine=vllm&purpose=throughput&sequences=64&context=4096",
         {"mxfp4/mxfp4"}, CHUNKS, r"\(2\d\.\d GiB of 45 GiB with 4,096 tokens × 64\)"),
    Case("hardware=ada&memory=22.5&model=qwen2.5-7b&engine=vllm&purpose=throughput&sequences=50&context=2048",
         FP8, CHUNKS, r"\(14\.\d GiB of 22.5 GiB with 2,048 tokens × 50\)"),
    Case("hardware=ada&memory=45&model=gpt-oss-20b&engine=sglang&purpose=throughput&sequences=64&context=4096",
         {"mxfp4/mxfp4"}, CHUNKS, r"\(2\d\.\d GiB of 45 GiB"),
    # A long context takes a cache of 8 bits before weights below 4
    Case("hardware=ada&memory=24&model=qwen3-8b&context=131072", FP8, OWN, "a cache of 8 bits.*made for 40,960 tokens"),
    Case("hardware=hopper&memory=80&model=llama-3.1-70b&context=131072&purpose=single", NF4, OWN, "a cache of 8 bits"),
    Case("hardware=ampere&memory=10&model=llama-2-7b&checkpoint=gptq-4", {"gptq/4-bit"}, LOADS, "with 4,096 tokens"),
    Case("hardware=ada&memory=24&model=phi-4&context=65536", NF4, BYTES, "a cache of 8 bits.*made for 16,384 tokens"),
    # Volta multiplies in 16 bit alone, and Triton has no kernels for it
    Case("hardware=volta&memory=32&model=mistral-7b-v0.3&purpose=throughput", INT8, "NVIDIA, tensor cores"),
    # It must be saved
    Case("purpose=smallest&calibration=no&model=llama-3.1-8b&saving=yes", NF4, "hqq and torchao int4 were not saved here"),
    # A Mac's memory
    Case("hardware=apple&memory=64&model=llama-3.1-70b", NF4, METAL, "macOS lets the GPU take 48 GiB of 64 GiB"),
    # A checkpoint
    Case("hardware=ampere&memory=24&checkpoint=awq-4", {"awq/4-bit"}, LOADS, "Load your AWQ checkpoint with AWQ"),
    Case("hardware=ampere&memory=24&model=llama-3.1-8b&checkpoint=bnb-int8", {"bitsandbytes/int8"}, LOADS, "Load"),
    Case("hardware=ampere&memory=24&model=llama-3.1-8b&checkpoint=bnb-nf4", NF4, LOADS, "Load your"),
    Case("checkpoint=gptq-4&purpose=smallest", {"gptq/4-bit"}, LOADS, "Load your GPTQ 4 bit checkpoint with GPTQ"),
    Case("checkpoint=gemma&model=llama-3.1-8b", INT8, "its page: for Gemma alone", "Your gemma checkpoint is no answer in"),
    Case("hardware=ampere&memory=12&model=llama-3.1-8b&checkpoint=gguf-k", INT8, "unpacked", "Your GGUF.* no .*llama.cpp"),
    Case("hardware=volta&memory=16&model=llama-3.1-8b&checkpoint=awq-4", NF4, "GPTQModel 7.6.0 asks for 7.5", "Your"),
    Case("hardware=ada&memory=16&model=qwen3-32b&engine=llama-cpp&checkpoint=gguf-k", {"gguf-k/q2-k"}, GGML,
         r"if it is Q2_K: of 16 GiB, with 8,192 tokens, Q2_K takes 14\.\d GiB, .*Q4_K_M 2[01]\.\d GiB, .*Q6_K 27\.\d GiB\."),
    Case("hardware=ada&memory=24&model=qwen3-32b&engine=llama-cpp&checkpoint=gguf-k", {"gguf-k/q4-k-m"}, GGML, "or smaller"),
    Case("hardware=ada&memory=24&model=qwen3-8b&engine=llama-cpp&checkpoint=gguf-k", {"gguf-k/q6-k"}, GGML, r"\): of 24 GiB"),
    Case("hardware=apple&memory=32&model=qwen3-32b&engine=mlx&checkpoint=mlx", {"mlx/3-bit"}, BYTES, "is 4 bit or smaller: "),
    Case("hardware=ada&memory=24&model=llama-3.1-70b&checkpoint=quanto", set(), BYTES, "checkpoint, if it is int2, needs"),
    Case("hardware=turing&memory=15&model=llama-3.1-70b&engine=vllm&checkpoint=awq-4", set(), BYTES,
         r"^(?!.*runs it)Your AWQ checkpoint needs 40\.\d GiB with 8,192 tokens, more than the 13\.8 GiB to use of 15 GiB\."),
    Case("hardware=apple&memory=16&model=llama-3.1-70b&engine=mlx&checkpoint=mlx", set(), BYTES,
         "^Your MLX checkpoint, if it is 2 bit, needs 24"),
    Case("hardware=ada&memory=24&model=llama-3.1-70b&checkpoint=bnb-nf4", set(), BYTES, "^Your bits.* needs 43.2 GiB with"),
    Case("hardware=ampere&memory=24&model=llama-3.1-8b&checkpoint=fp8-block", INT8, LOADS, UNPACKED),
    Case("hardware=hopper&memory=80&model=gpt-oss-120b&checkpoint=mxfp4", {"mxfp4/mxfp4"}, LOADS, "Load your MXFP4 gpt-oss"),
    Case("hardware=blackwell&memory=16&model=exaone-4.0-32b&checkpoint=gguf-k&calibration=no", set(), BYTES),
    # Where Transformers has none: first the engine that runs it as published, then those with a format of their own
    Case("hardware=apple&memory=24&model=gpt-oss-20b", set(), PUBLISHED, r"In llama.cpp [^:]+: MXFP4.* In MLX [^:]+: MXFP4"),
    Case("hardware=turing&memory=15&model=gpt-oss-20b", set(), PUBLISHED, r"^(?!.*In vLLM).* In llama.cpp [^:]+: MXFP4"),
    Case("hardware=blackwell_rtx&memory=8&model=qwen3-8b&context=32768", set(), GGML, "^(?!.*In vLLM).*In llama.cpp.*: GGUF"),
    Case("hardware=apple&memory=512&model=kimi-k2.5", set(), GGML, "In llama.cpp [^:]+, below 4 bits: GGUF IQ"),
    Case("hardware=apple&memory=48&model=llama-3.1-70b&engine=mlx", {"mlx/3-bit"}, MLX, "Only below 4 bits does it fit"),
    Case("hardware=apple&memory=36&model=gpt-oss-20b&engine=sglang", {"mlx/4-bit"}, SGLANG_MLX, "a build from source"),
    Case("hardware=ampere&memory=80&model=qwen3-30b-a3b&engine=sglang&checkpoint=bnb-int8", FP8, SGLANG_INT8,
         "^(?!.*vLLM).*refused by SGLang for a mixture of experts"),
    Case("hardware=ampere&memory=12&model=gemma-2-27b&purpose=smallest", {"aqlm/2-bit-2x7"}, "google/gemma-2-27b is bf16",
         "^(?!.*is how .* is published)"),
    Case("hardware=blackwell&memory=180&gpus=4&model=llama-3.1-405b&engine=tensorrt-llm&purpose=throughput",
         {"modelopt-fp8/fp8"}, TENSORRT),
    Case("hardware=hopper&memory=80&model=llama-3.1-8b&engine=tensorrt-llm&checkpoint=modelopt-nvfp4", {"modelopt-fp8/fp8"},
         TENSORRT, "does not run on Hopper .* in TensorRT-LLM"),
    # Experts: named, so that 8 bits hold them while loading; and where an engine has no kernel for them
    Case("hardware=ampere&memory=80&model=mixtral-8x7b&purpose=finetune", {"torchao/int8-experts"}, EXPERTS, "not verified"),
    Case("hardware=cpu&memory=64&model=qwen3-30b-a3b", {"torchao/int8-experts"}, EXPERTS, "30.4 GiB of 64 GiB"),
    Case("hardware=cpu&memory=48&model=qwen3-30b-a3b&engine=vllm&checkpoint=autoround-4", W8A8 | CALIBRATED, CPU_EXPERTS,
         "refused by vLLM for a mixture of experts. It runs packed in SGLang"),
    Case("hardware=cpu&memory=128&model=qwen3-30b-a3b&engine=vllm&purpose=single", FP8 - {"compressed-tensors/fp8-dynamic"},
         CPU_EXPERTS, WHOLE),
    # What is unpacked takes no less, and a file of any width is one of the widths where it stays packed
    Case("hardware=cpu&memory=32&model=qwen3-8b&checkpoint=gguf-k", {"gguf/unpacked"}, LOADS,
         "is unpacked and takes about as much; llama.cpp [^;]+ runs it packed"),
    Case("hardware=ampere&memory=24&model=qwen2.5-7b&checkpoint=gguf-k&engine=vllm", {"gguf-k/q2-k"}, BYTES, "takes less"),
    # Memory that GPU and computer share holds no further layers
    Case("hardware=blackwell_rtx&memory=119.6&model=glm-5&engine=llama-cpp&shared=yes", set(), BYTES,
         "^(?!.*of the computer).*Nothing fits"),
    # Trained in bf16, and beyond what float16 holds
    Case("hardware=turing&memory=15&model=gemma-2-9b", NF4, OVERFLOWS, "^bf16 needs .*keeps bfloat16, which this GPU em"),
    # In what a product runs: 8 sequences in FP4 before 16 in 16 bit; an Intel GPU unpacks FP8 weights
    Case("hardware=blackwell_rtx&memory=32&model=qwen3-30b-a3b&engine=vllm&purpose=throughput", {"ct-nvfp4/nvfp4"}, SCHEME),
    Case("hardware=intel_gpu&memory=24&model=qwen3-8b&engine=vllm&purpose=throughput", W8A8, XPU),
    # Of one width the type that its makers measured nearest
    Case("hardware=ada&memory=24&model=qwen3.5-35b-a3b&engine=llama-cpp&context=131072", {"gguf-iq/iq4-xs"}, GGML_KL),
    # What is published needs nobody to make it
    Case("hardware=ampere&memory=24&model=gpt-oss-120b&engine=vllm", set(), PUBLISHED,
         "^(?!.*: compressed).* 67.5 GiB .*: MXFP4"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.asked)
def test_a_case_of_an_expert(site, selector, case):
    answers = dict(pair.split("=") for pair in case.asked.split("&"))
    found = selector.evaluate(ASK, {"base": site[1], "answers": answers})
    assert (found["first"] in case.first) if case.first else found["first"] is None, (case.source, found)
    assert re.search(case.says, found["said"], re.DOTALL), (case.source, found["said"])


def test_no_case_is_asked_twice_and_each_has_a_source():
    assert len({case.asked for case in CASES}) == len(CASES) >= 40
    assert all(case.source for case in CASES)


def test_the_page_shows_what_the_functions_say(site, tab):
    tab.goto(f"{site[1]}?hardware=ampere&memory=12&model=llama-3.1-8b&checkpoint=gguf-k")
    first = tab.locator(".ranked > li").first
    first.wait_for()
    assert first.get_attribute("data-variant") in INT8 and first.locator("ul li").count() >= 2
    verdict, remark = tab.locator(".verdict").inner_text(), tab.locator(".remark").first.inner_text()
    llama = "llama.cpp (Ollama, LM Studio) runs it"
    assert llama in verdict and "bf16 needs about 16.4 GiB; you have 12 GiB. Take torchao int8" in verdict
    assert remark.startswith("GGUF any GGUF type, unpacked to bf16 needs about 16.")
    shown = tab.locator(".ranked > li").evaluate_all("cards => cards.map(({ dataset }) => dataset.variant.split('/')[0])")
    assert len(set(shown)) == len(shown) == 3


def test_what_is_not_verified_on_the_hardware_is_said_in_the_first_line_of_a_card(site, tab):
    tab.goto(f"{site[1]}?hardware=cdna&checkpoint=hqq-4")
    first = tab.locator(".ranked > li").first
    first.wait_for()
    assert first.get_attribute("data-variant").startswith("hqq/")
    assert first.locator("p").first.inner_text().startswith("Not verified on this hardware")
    assert "which is not verified on this hardware" in tab.locator(".verdict").inner_text()


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
        "does not run from compute capability 10.3 on; Blackwell, RTX (RTX 50, RTX PRO 6000) begins at 12.0",
    ),
]


def test_a_gpu_newer_than_the_kernel_rules_a_method_out(site, selector, planted):
    """The bound decides: without it the same page's method is offered on the same GPU."""

    def variants() -> list[dict]:
        return json.loads(choices_file(planted.load(), Links("", (), "owner/name")))["variants"]

    bounded = variants()
    planted.edit("docs/methods/eetq.md", '    not_from: "9.0"\n', "")
    planted.edit("docs/methods/fbgemm-fp8.md", '    not_from: "10.3"\n', "")
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
    noted = {name for name in needing if variants[name]["calibration_note"] and variants[name]["bits"] >= 4}
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
    tab.goto(f"{site[1]}?hardware=turing&checkpoint=ct-w8a8")
    first = tab.locator(".ranked > li").first
    first.wait_for()
    assert first.get_attribute("data-variant") == "compressed-tensors/w8a8"
    code = first.locator("pre code").text_content()
    assert "bfloat16" not in code and "float16" not in code
    assert first.get_by_text("has no bf16 arithmetic").count() == 0


def test_code_that_quantizes_is_not_shown_for_a_checkpoint(site, tab):
    """What has no code that loads one says so."""
    tab.goto(f"{site[1]}?hardware=ampere&checkpoint=hqq-4")
    first = tab.locator('.ranked > li[data-variant="hqq/4-bit"]')
    first.wait_for()
    first.get_by_text("No code of ours loads this variant").wait_for(state="visible")
    assert first.locator("pre code").count() == 0


def test_a_checkpoint_is_loaded_by_what_it_says_of_itself(site, tab):
    """Code that quantizes the notebooks' model anew would raise on it, or load another model."""
    for hardware, checkpoint in (("turing", "eetq"), ("hopper", "bnb-nf4"), ("hopper", "fp8-block"), ("apple", "quanto")):
        tab.goto(f"{site[1]}?hardware={hardware}&model=llama-3.1-8b&checkpoint={checkpoint}")
        tab.locator(".ranked > li").first.wait_for()
        code = tab.locator(".answer pre code").first.text_content()
        assert 'from_pretrained("THE-CHECKPOINT"' in code.replace("(\n    ", "("), checkpoint
        assert "Qwen" not in code and "quantization_config=" not in code, checkpoint
        assert tab.get_by_text("Not run as it stands").first.is_visible(), checkpoint


SERVED = """async ({ base, models }) => {
  const { choose } = await import(`${base}assets/choose.js`);
  const { serving } = await import(`${base}assets/shown.js`);
  const { modelOf } = await import(`${base}assets/models.js`);
  const data = async (name) => (await fetch(base + name)).json();
  const choices = await data("assets/choices.json");
  let count = 0;
  for (const id of models) {
    const model = modelOf(id, await data(`assets/models/${id}.json`));
    for (const engine of Object.keys(choices.engines)) {
      for (const gpus of ["", 1, 6]) {
        const found = choose(choices, { hardware: "hopper", memory: 80, gpus: gpus || null, engine, checkpoint: "" }, model);
        for (const { variant } of found.ranked) {
          serving(variant, found, choices, model);
          count += 1;
        }
      }
    }
  }
  return count;
}"""


def test_every_format_has_its_commands_for_every_model(site, tab):
    """Rows that no group divides must not keep the page looking for a number of GPUs."""
    tab.goto(site[1])
    models = [path.stem for path in sorted((site[0] / "assets" / "models").glob("*.json"))]
    assert "deepseek-v2-lite" in models and tab.evaluate(SERVED, {"base": site[1], "models": models}) > 1000


FITTED = """async ({ base, gpus, codes, variants }) => {
  const { fitted } = await import(`${base}assets/shown.js`);
  const a = { hardware: "hopper", memory: 80, gpus, checkpoint: "", engine: "", compile: "" };
  return Object.entries(codes).flatMap(([method, made]) => Object.entries(made).flatMap(([id, kinds]) =>
    ["code", "ready", "unpacked"].filter((kind) => kinds[kind]).map((kind) =>
      fitted(kinds[kind], variants.find((one) => one.id === `${method}/${id}`), a, null))));
}"""


def test_code_for_several_gpus_spreads_the_model_over_them(site, site_folder, selector, choices):
    """device_map="cuda" puts all of it on the first, however many there are."""
    files = (site_folder / "assets" / "code").glob("*.json")
    asked = {"base": site[1], "codes": {file.stem: json.loads(file.read_text("utf-8")) for file in files}}
    shown = {gpus: selector.evaluate(FITTED, asked | {"gpus": gpus, "variants": choices["variants"]}) for gpus in (None, 1, 2)}
    alone = re.compile(r'device_map="cuda')
    for gpus in (None, 1):
        assert len(list(filter(alone.search, shown[gpus]))) >= 6
    assert [code for code in shown[2] if alone.search(code)] == []
    assert [re.sub(r'device_map="cuda(:0)?"', 'device_map="auto"', code) for code in shown[1]] == shown[2]


def test_what_is_compiled_in_the_code_is_what_the_notebook_compiles():
    project = Project.here()
    script = (project.root / "snippets/torchao.py").read_text(encoding="utf-8")
    shown = (project.assets / "shown.js").read_text(encoding="utf-8")
    lines = re.search("COMPILE = `\n(.*?)`;", shown, re.DOTALL)[1].splitlines()
    assert lines and [line for line in lines if "\n" + re.sub(r"\bmodel\b", "int8", line) + "\n" not in script] == []


def test_where_nothing_fits_the_page_says_what_would_have_to_change(site, tab):
    tab.goto(f"{site[1]}?hardware=ada&memory=8&model=count&parameters=671")
    tab.wait_for_selector(".changes")
    assert "Nothing fits" in tab.locator(".verdict").inner_text()
    assert "GiB of memory" in tab.locator(".changes").inner_text()


def test_answers_are_kept_in_the_address(selector):
    field(selector, "Hardware").select_option("turing")
    field(selector, "What for").select_option("finetune")
    field(selector, "Memory, GiB").fill("16")
    verdict = selector.locator(".verdict").inner_text()
    selector.wait_for_url(lambda address: "hardware=turing" in address and "memory=16" in address)
    selector.reload()
    selector.wait_for_selector(".choose .answer > *")
    assert selector.locator(".verdict").inner_text() == verdict
    assert field(selector, "Memory, GiB").input_value() == "16"


def test_without_its_facts_the_selector_says_so(site, tab):
    tab.route("**/choices.json", lambda route: route.abort())
    tab.goto(site[1])
    sentence = tab.get_by_text(
        "The selector could not load its facts; the page “Selecting a method” answers the common cases."
    )
    sentence.wait_for(state="visible")
    assert tab.locator(".choose form").count() == 0
    tab.unroute("**/choices.json")


def test_a_model_that_cannot_be_had_is_said_and_asked_for_again(selector):
    """Another model's answer must not stay under this one's name."""
    lost = "**/assets/models/*.json"
    selector.route(lost, lambda route: route.fulfill(status=404, body="<html>not here</html>"))
    field(selector, "Model").select_option("qwen3-8b")
    selector.get_by_text("could not load that model: check your connection").wait_for(state="visible")
    assert selector.locator(".answer").inner_text() == ""
    selector.unroute(lost)
    field(selector, "Memory, GiB").fill("24")
    selector.wait_for_selector(".choose .answer > *")
    assert "could not load" not in selector.locator(".verdict").inner_text()


def test_an_unknown_answer_in_a_link_counts_as_open(site, tab):
    tab.goto(f"{site[1]}?hardware=abacus&nonsense=1&memory=")
    tab.wait_for_selector(".choose .answer > *")
    assert field(tab, "Hardware").input_value() == ""
    assert tab.errors == []


def test_a_number_that_is_none_gets_a_sentence_and_the_last_answer_stays(selector):
    field(selector, "Hardware").select_option("ada")
    selector.wait_for_selector(".ranked pre code")
    before = selector.locator(".answer").inner_text()
    memory = field(selector, "Memory, GiB")
    problem = selector.locator(f"#{memory.get_attribute('aria-describedby')}")
    for text in ["-3", "0", "much", "1e9", "NaN", "24 TB", "٣"]:
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
    for label in (
        "Memory, GiB",
        "Number of them",
        "Model",
        "What for",
        "Where it will run",
    ):
        selector.keyboard.press("Tab")
        assert selector.evaluate("document.activeElement.labels[0].textContent") == label
    selector.keyboard.press("Tab")
    selector.keyboard.press("Enter")
    for label in (
        "Context, tokens",
        "Sequences at once",
        "A ready quantized checkpoint",
        "or its name",
        "Must be saved or pushed to the Hub",
        "Calibration with texts of yours",
    ):
        selector.keyboard.press("Tab")
        assert selector.evaluate("document.activeElement.labels[0].textContent") == label
    summary = selector.locator("summary", has_text="The rules")
    summary.focus()
    selector.keyboard.press("Enter")
    assert selector.locator(".rules li").count() > 15
    assert selector.locator(".verdict").get_attribute("role") == "status"


def test_the_code_can_be_copied_and_stands_in_a_script(site, tab):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site[1])
    tab.goto(f"{site[1]}?checkpoint=gptq-4")
    tab.get_by_role("button", name="Copy the code").first.click()
    tab.get_by_text("Copied.").first.wait_for()
    copied = tab.evaluate("navigator.clipboard.readText()")
    assert "from_pretrained" in copied and "THE-CHECKPOINT" in copied


def test_the_selector_answers_whenever_a_reader_comes_back(site, desktop):
    desktop.goto(f"{site[1]}overview/")
    for _ in range(2):
        desktop.locator(".md-tabs").get_by_role("link", name="Home").click()
        desktop.wait_for_selector(".choose .answer > *")
        assert desktop.locator(".choose form").count() == 1
        desktop.locator(".md-tabs").get_by_role("link", name="Methods").click()
        desktop.wait_for_selector(".overview")


def test_without_javascript_the_table_of_common_cases_stands(site, still):
    still.goto(site[1])
    assert not still.locator("#selector").is_visible()
    still.get_by_role("link", name="the table of common cases").click()
    still.get_by_role("row").filter(has_text="QLoRA").first.wait_for()  # until the page is there


def test_the_page_loads_little_of_its_own(site, site_folder, selector, record_property):
    url = site[1]
    asked = sorted({request.split("?")[0] for request in selector.requests if request.startswith(f"{url}assets/")})
    own = [one for one in asked if one.endswith((".js", ".json")) and "/assets/javascripts/" not in one]
    sizes = {one.rsplit("/", 1)[-1]: len(gzip.compress((site_folder / one.removeprefix(url)).read_bytes())) for one in own}
    assert {
        "choose.js",
        "reader.js",
        "exclusions.js",
        "preferences.js",
        "selector.js",
        "choices.json",
    } <= set(sizes)
    record_property("figure", f"selector's page: {sum(sizes.values())} bytes of own JavaScript and data in {len(sizes)} files")
    assert sum(sizes.values()) <= OWN_BYTES
    assert selector.errors == []


def late(route) -> None:
    """Answer after the selector has written its address, which a link changes before the page."""
    time.sleep(0.5)
    route.continue_()


@pytest.mark.parametrize("query", [
    "hardware=ada&memory=24&model=llama-3.1-8b",
    "hardware=ampere&memory=24&gpus=2&model=llama-3.1-70b&context=4096&sequences=2",
])  # fmt: skip
def test_the_calculator_counts_what_the_selector_counted(site, tab, query):
    """By the link that stands below the answer, to the byte."""
    tab.goto(f"{site[1]}?{query}")
    first = tab.locator(".ranked > li").first
    first.wait_for()
    tab.route(re.compile(r"/memory/\?"), late)
    field(tab, "What for").select_option("single")  # so that the address is about to be written
    said = first.locator(".badges [data-bytes]").get_attribute("data-bytes")
    tab.locator(".answer").get_by_role("link", name="Memory calculator").click()
    tab.wait_for_selector("[data-part=answer][data-bytes]")
    assert tab.locator("[data-part=answer]").get_attribute("data-bytes") == said
    tab.unroute(re.compile(r"/memory/\?"))


def test_fine_tuning_counts_as_the_calculator_does(site, tab):
    """Adapters, optimizer and activations of the way that asks least; where the family was not measured, the weights alone."""
    tab.goto(f"{site[1]}?hardware=ada&memory=24&model=llama-3.1-8b&purpose=finetune&context=4096&sequences=2")
    first = tab.locator(".ranked > li").first
    first.wait_for()
    answer = tab.locator(".answer")
    assert "Counted: weights, LoRA of rank 16 in bf16 with 8-bit AdamW and gradient checkpointing" in answer.inner_text()
    said = first.locator(".badges [data-bytes]").get_attribute("data-bytes")
    answer.get_by_role("link", name="Memory calculator").click()
    tab.wait_for_selector("[data-part=answer][data-bytes]")
    tab.get_by_text("training adapters of rank 16, with 4,096 tokens × 2 sequences").wait_for()
    assert tab.locator("[data-part=answer]").get_attribute("data-bytes") == said
    tab.goto(f"{site[1]}?hardware=hopper&memory=80&model=qwen3-next-80b-a3b&purpose=finetune")
    tab.locator(".answer").get_by_text("training's gradients and optimizer are not").wait_for()


def test_a_card_says_what_it_is_and_how_much_memory_it_has(selector):
    field(selector, "GPU, board or Mac").select_option(label="GeForce RTX 4090")
    assert field(selector, "Hardware").input_value() == "ada" and field(selector, "Memory, GiB").input_value() == "24"
    selector.wait_for_url(lambda address: "card=geforce-rtx-4090" in address and "memory=24" in address)
    field(selector, "Memory, GiB").fill("48")
    assert field(selector, "GPU, board or Mac").input_value() == "", "it is another card now"


def test_the_verdict_is_in_sight_after_every_change(selector):
    """On a phone, where the form is longer than the screen."""
    height = selector.viewport_size["height"]
    for label, value in (("Hardware", "ada"), ("Model", "qwen3-32b"), ("What for", "single")):
        field(selector, label).select_option(value)
        box = selector.locator(".verdict").bounding_box()
        assert box["y"] >= 0 and box["y"] + box["height"] <= height, label


def test_the_form_starts_over_and_its_link_is_copied(site, tab):
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=site[1])
    tab.goto(f"{site[1]}?hardware=ada&memory=24")
    tab.get_by_role("button", name="Copy the link").click()
    tab.get_by_text("Copied.").first.wait_for()
    assert "hardware=ada&memory=24" in tab.evaluate("navigator.clipboard.readText()")
    before = tab.locator(".verdict").inner_text()
    field(tab, "What for").select_option("throughput")
    tab.get_by_role("button", name="Start over").click()
    tab.wait_for_url(lambda address: "throughput" not in address)
    assert field(tab, "What for").input_value() == field(tab, "Hardware").input_value() == ""
    assert tab.locator(".verdict").inner_text() != before


def test_the_code_is_for_the_model_that_was_chosen_and_says_what_to_install(site, tab):
    tab.goto(f"{site[1]}?hardware=ampere&memory=24&model=qwen3-32b")
    code = tab.locator(".ranked pre code").first
    code.wait_for()
    text = code.text_content()
    assert text.startswith("# pip install ") and "bitsandbytes==" in text
    assert '"Qwen/Qwen3-32B"' in text and "Qwen3-0.6B" not in text
    compile(text, "<copied>", "exec")


def test_a_field_that_is_left_open_says_what_is_counted(site, tab):
    served = "purpose=throughput&hardware=ada&memory=24&model=llama-3.1-8b"
    for query, context, sequences in (("purpose=finetune", "2048", "1"), (served, "8192", "8")):
        tab.goto(f"{site[1]}?{query}")
        tab.wait_for_selector(".choose .answer > *")
        assert field(tab, "Context, tokens").get_attribute("placeholder") == context
        assert field(tab, "Sequences at once").get_attribute("placeholder") == sequences


def test_the_name_of_a_checkpoint_tells_its_format_and_model(selector):
    selector.locator(".more summary").click()
    name = field(selector, "or its name")
    for text, checkpoint, model in (
        ("Qwen/Qwen3-32B-AWQ", "awq-4", "qwen3-32b"),
        ("someone/Llama-3.1-8B-Instruct-GPTQ-Int4", "gptq-4", "llama-3.1-8b"),
        ("Qwen3-8B-Q4_K_M.gguf", "gguf-k", "qwen3-8b"),
    ):
        field(selector, "Model").select_option("")
        name.fill(text)
        selector.wait_for_function(f"document.getElementById('choose-checkpoint').value === '{checkpoint}'")
        selector.wait_for_function(f"document.getElementById('choose-model').value === '{model}'")
        assert selector.locator("#choose-name-problem").inner_text().startswith("By its ending: ")
    name.fill("someone/a-model")
    selector.get_by_text("Its ending tells no format: choose it above").wait_for()
    assert field(selector, "A ready quantized checkpoint").input_value() == "gguf-k", "what was chosen stays"


def test_a_pasted_configuration_is_counted_and_its_format_chosen(selector):
    config = {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "vocab_size": 128256,
        "num_attention_heads": 32, "num_key_value_heads": 8, "tie_word_embeddings": False,
        "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False},
    }  # fmt: skip
    field(selector, "Hardware").select_option("ampere")
    field(selector, "Memory, GiB").fill("12 GB")
    field(selector, "Model").select_option("config")
    field(selector, "Its config.json").fill(json.dumps(config))
    selector.wait_for_function("document.getElementById('choose-checkpoint').value === 'gptq-4'")
    selector.locator(".verdict", has_text="Load your GPTQ 4 bit checkpoint with GPTQ").wait_for()
    selector.locator(".badges", has_text="GiB of 12 GiB").first.wait_for()  # the answer comes after the verdict
    field(selector, "Its config.json").fill('{"model_type": "llama"')
    selector.get_by_text("This is not JSON").wait_for()


def test_a_card_says_in_short_what_decides(site, tab):
    tab.goto(f"{site[1]}?hardware=hopper&memory=80&model=gpt-oss-120b&engine=vllm&purpose=throughput")
    first = tab.locator(".ranked > li").first
    first.wait_for()
    badges = first.locator(".badges li").all_inner_texts()
    assert badges[0] == "4 bit" and re.fullmatch(r"[\d.]+ GiB of 80 GiB", badges[1]) and badges[2] == "vLLM"
    assert len(badges) == 6
    code = first.locator("pre code").first
    code.wait_for()
    assert "pip install vllm==" in code.text_content() and "vllm serve MODEL" in code.text_content()


def test_an_fp8_checkpoint_without_fp8_is_loaded_unpacked(site, tab):
    tab.goto(f"{site[1]}?hardware=ampere&memory=24&model=llama-3.1-8b&checkpoint=fp8-block")
    folded = tab.locator(".answer > details", has_text="unpacked").first
    folded.locator("summary").click()
    code = folded.locator("pre code")
    code.wait_for()
    assert "dequantize=True" in code.text_content()


LONGER = """async ({ base, ids }) => {
  const { choose } = await import(`${base}assets/choose.js`);
  const { modelOf } = await import(`${base}assets/models.js`);
  const choices = await (await fetch(`${base}assets/choices.json`)).json();
  const faults = [];
  for (const id of ids) {
    const model = modelOf(id, await (await fetch(`${base}assets/models/${id}.json`)).json());
    let before = 0;
    for (const context of [512, 2048, 4095, 4096, 8192, 32768, 1000000]) {
      const { out, ranked, use } = choose(choices, { hardware: "ada", memory: 12, purpose: "finetune", context }, model);
      const { needs } = [...ranked, ...out].find(({ variant }) => variant.id === "bitsandbytes/nf4");
      if (needs < before || use.context > context) faults.push([id, context, needs, before]);
      before = needs;
    }
    const { shorter } = choose(choices, { hardware: "ada", memory: 12, purpose: "finetune", context: 1000000 }, model);
    if (shorter?.tokens > (model.limit ?? Infinity)) faults.push([id, shorter.tokens]);
  }
  return faults;
}"""


def test_a_longer_sequence_never_takes_less_to_train(site, selector, architectures):
    ids = [preset["id"] for preset in architectures["presets"]]
    assert {"gemma-2-9b", "gemma-3-1b", "qwen3-32b", "qwen3-30b-a3b"} <= set(ids)
    assert selector.evaluate(LONGER, {"base": site[1], "ids": ids}) == []


def test_what_a_maker_publishes_is_counted_as_it_is_published(choices):
    """Kimi-K2.5: experts alone in groups of 32, which its repository's 594 GB are."""
    scheme = next(one for one in choices["variants"] if one["id"] == "compressed-tensors/w4a16")
    own = scheme["published"]["kimi-k2.5"]
    assert own["quantizes"] == ["experts"] and scheme["quantizes"] != own["quantizes"]
    assert [one["tile"] for one in own["storage"] if one["what"] == "scales"] == [[1, 32]]
    assert [one for one in own["storage"] if one["what"] != "scales"] == [
        one for one in scheme["packed"] if one["what"] != "scales"
    ]


READS = [  # by what the engines' sources say of each
    ("vllm", "ampere", 24, 2048), ("vllm", "ampere", 80, 2048), ("vllm", "hopper", 80, 8192), ("vllm", "hopper", 141, 8192),
    ("vllm", "blackwell", 180, 16384), ("vllm", "cpu", 256, 2048), ("vllm", "", None, 2048), ("sglang", "turing", 15, 2048),
    ("sglang", "ada", 24, 4096), ("sglang", "hopper", 80, 8192), ("sglang", "cdna", 192, 16384), ("llama-cpp", "ada", 24, 512),
    ("", "hopper", 80, None), ("onnxruntime-genai", "cpu", 64, None),
]  # fmt: skip


def test_an_engine_reads_prompts_in_the_chunks_of_its_source(site, selector):
    ask = """async ({ base, engine, hardware, memory }) => {
      const { choose } = await import(`${base}assets/choose.js`);
      const choices = await (await fetch(`${base}assets/choices.json`)).json();
      return choose(choices, { engine, hardware, memory }).use.chunk ?? null;
    }"""
    for engine, hardware, memory, chunk in READS:
        asked = {"base": site[1], "engine": engine, "hardware": hardware, "memory": memory}
        assert selector.evaluate(ask, asked) == chunk, (engine, hardware, memory)
    selector.goto(f"{site[1]}?hardware=hopper&memory=80&engine=vllm&model=llama-3.1-70b&purpose=throughput")
    selector.get_by_text("the engine reads prompts in chunks of 8,192 tokens").wait_for()


def test_what_is_counted_for_a_model_is_of_this_hardware(site, selector):
    """A model's figures are kept: those of a card that reads longer chunks are not taken for another."""
    asked = {"memory": "80", "model": "llama-3.1-70b", "engine": "vllm", "purpose": "throughput"}
    ask = ASK.replace("first: shown", "needs: found.bf16, first: shown")
    both = (
        "async ({ base, answers }) => { const ask = "
        + ask
        + """;
      const of = async (hardware) => (await ask({ base, answers: { ...answers, hardware } })).needs;
      return [await of("hopper"), await of("ampere")]; }"""
    )
    hopper, ampere = selector.evaluate(both, {"base": site[1], "answers": asked})
    assert hopper > ampere


@pytest.mark.parametrize(
    ("page", "ready", "most"),
    [
        ("?hardware=ampere&memory=24&model=qwen3-32b", ".ranked pre code", 0),
        ("memory/", "#memory-calculator:not([hidden])", 0.02),
    ],
)
def test_nothing_moves_while_the_page_loads(site, desktop, page, ready, most):
    """The form is in the page; the answer has its place."""
    desktop.add_init_script(
        "window.moved = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) "
        "if (!one.hadRecentInput) window.moved += one.value; }).observe({ type: 'layout-shift', buffered: true });"
    )
    for width in (390, 1280):
        desktop.set_viewport_size({"width": width, "height": 800})
        desktop.goto(f"{site[1]}{page}")
        desktop.wait_for_selector(ready)
        desktop.wait_for_timeout(300)
        assert desktop.evaluate("window.moved") <= most, width


def test_a_card_in_a_link_is_enough(site, tab):
    tab.goto(f"{site[1]}?card=t4&purpose=finetune")
    tab.wait_for_selector(".choose .answer > *")
    assert field(tab, "Hardware").input_value() == "turing" and field(tab, "Memory, GiB").input_value() == "15"


SERVING = """async ({ base, answers, format }) => {
  const [{ choose }, { serving }, { modelOf }] = await Promise.all(
    ["choose", "shown", "models"].map((name) => import(`${base}assets/${name}.js`)));
  const read = async (name) => (await fetch(`${base}assets/${name}.json`)).json();
  const choices = await read("choices");
  const numbers = ["memory", "gpus", "context", "sequences"].map((name) => [name, Number(answers[name] ?? 0) || null]);
  const model = modelOf(answers.model, await read(`models/${answers.model}`));
  const found = choose(choices, { ...answers, ...Object.fromEntries(numbers) }, model);
  const { variant } = found.ranked.find(({ variant }) => !format || variant.loads.format === format);
  return { cache: found.use.cache, code: serving(variant, found, choices, model) };
}"""
TWO_3090, LONG = "hardware=ampere&memory=24&gpus=2&engine=vllm", "memory=24&model=qwen3-32b&context=32768"
TP, PP = "--tensor-parallel-size", "--pipeline-parallel-size"
COMMANDS = [
    # A cache that is counted in 8 bits is asked for
    (f"hardware=ada&{LONG}&engine=vllm", "", 8, "--max-model-len 32768 --kv-cache-dtype fp8$"),
    (f"hardware=ampere&{LONG}&engine=vllm", "", 8, "--kv-cache-dtype fp8$"),
    (f"hardware=ada&{LONG}&engine=sglang", "", 8, "--context-length 32768 --kv-cache-dtype fp8_e4m3$"),
    (f"hardware=ada&{LONG}&engine=llama-cpp", "", 8, "--n_ctx 32768 --flash_attn true --type_k 8 --type_v 8$"),
    (f"hardware=ada&{LONG}&engine=exllamav3", "", 8, "--cache-size 32768 --cache-mode 8,8$"),
    ("hardware=ada&memory=24&model=qwen3-8b&context=131072&engine=tensorrt-llm", "", 8, r"<\(echo .* {dtype: fp8}'\)$"),
    ("hardware=apple&memory=32&model=qwen3-32b&context=16384&engine=mlx", "", 8, "--kv-bits 8 --quantized-kv-start 0$"),
    ("hardware=turing&memory=16&model=llama-3.1-8b&context=90000&engine=vllm", "", 8, "--kv-cache-dtype int8_per_token_head$"),
    ("hardware=ada&memory=24&model=qwen3-8b&engine=vllm", "", 16, "--max-model-len 8192$"),
    # What a format needs to be read; the language model alone of a model that sees
    ("hardware=ampere&memory=80&model=qwen3-8b&engine=sglang&checkpoint=bnb-nf4", "", 16, "MODEL --load-format bitsandbytes"),
    ("hardware=ada&memory=24&model=qwen3.5-27b&engine=vllm&context=131072", "", 8, "MODEL --language-model-only --max-model"),
    ("hardware=ampere&memory=24&model=qwen2.5-7b&engine=vllm&checkpoint=gptq-3", "", 16, "MODEL --quantization humming --max"),
    ("hardware=ampere&memory=24&model=qwen2.5-7b&engine=sglang&checkpoint=gptq-2", "", 16, "MODEL --quantization humming "),
    ("hardware=ampere&memory=80&model=qwen3-30b-a3b&engine=sglang", "ct-w8a8", 16, "MODEL --quantization w8a8_int8 "),
    ("hardware=ampere&memory=80&model=qwen3-8b&engine=sglang", "ct-w8a8", 16, "MODEL --context-length "),
    # Another build than the one for NVIDIA's GPUs
    ("hardware=cdna&series=cdna3&memory=192&model=qwen3-8b&engine=vllm", "", 16, "\n# pip install vllm.* is for NVIDIA"),
    ("hardware=ada&memory=24&model=qwen3-8b&engine=sglang", "", 16, "\npip install sglang"),
    # GPUs divide each layer where heads and groups divide, else they take whole layers
    (f"{TWO_3090}&model=llama-3.1-70b", "", 16, f"{TP} 2$"),
    ("hardware=ampere&memory=24&gpus=3&engine=vllm&model=llama-3.1-70b", "", 16, f"8192 {PP} 3$"),
    (f"{TWO_3090}&model=qwen2.5-72b", "gptq-4", 16, f"8192 {PP} 2$"),
    (f"{TWO_3090}&model=qwen2.5-72b", "awq-4", 16, f"8192 {PP} 2$"),
    ("hardware=ampere&memory=80&gpus=8&engine=vllm&model=qwen2.5-72b", "ct-w4a16", 16, f"8192 {PP} 8$"),
    ("hardware=hopper&memory=80&gpus=4&engine=sglang&model=qwen2.5-72b", "ct-fp8", 16, "--tp-size 4$"),
    ("hardware=hopper&memory=141&gpus=8&engine=vllm&model=minimax-m2.5", "fp8-block", 16, f"{TP} 4 {PP} 2$"),
    ("hardware=hopper&memory=141&gpus=8&engine=sglang&model=qwen3-235b-a22b", "fp8-block", 16, "--tp-size 4 --pp-size 2$"),
    ("hardware=hopper&memory=141&gpus=8&engine=tensorrt-llm&model=deepseek-v3", "fp8-block", 16, "--tp_size 8$"),
    ("hardware=hopper&memory=80&gpus=8&engine=vllm&model=gpt-oss-120b", "mxfp4", 16, f"{TP} 8$"),
    (f"{TWO_3090}&model=llama-3.1-70b&checkpoint=bnb-nf4", "bnb-nf4", 16, f"8192 {PP} 2$"),
    # A server, and a conversion before it, where there is one
    ("hardware=turing&memory=11&model=llama-3.1-8b&engine=exllamav3", "", 16, "Its server does not run on this hardware"),
    ("hardware=rdna&series=rdna3&memory=24&model=qwen3-32b&engine=exllamav3", "", 16, "does not run on this hard"),
    ("hardware=ada&memory=24&model=llama-3.1-8b&engine=exllamav3", "", 16, "python main.py .* --cache-size 8192$"),
    ("hardware=ada&memory=24&model=llama-3.1-8b&engine=exllamav3&context=5000", "", 16, "--cache-size 5120$"),  # 20 x 256
    ("hardware=cpu&memory=32&model=qwen3-8b&engine=openvino", "openvino", 16, "^(?!.*optimum-cli)(.*\\n)*ovms --model_path"),
    ("hardware=ada&memory=24&model=gpt-oss-20b&engine=llama-cpp", "mxfp4", 16, "gpt-oss-20b\n(.*\n)*python convert_hf.*\n"),
    ("hardware=ada&memory=24&model=qwen3-32b&engine=llama-cpp", "gguf-k", 16, "^(?!.*convert_hf)"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "format", "cache", "says"), COMMANDS)
def test_the_command_asks_for_what_was_counted(site, selector, asked, format, cache, says):
    answers = dict(pair.split("=") for pair in asked.split("&"))
    found = selector.evaluate(SERVING, {"base": site[1], "answers": answers, "format": format})
    assert found["cache"] == cache and re.search(says, found["code"]), found


def test_where_an_engine_has_no_cache_of_8_bits_none_is_counted(site, selector):
    """FlashInfer takes no sinks on Ampere and Triton no FP8; others refuse latent attention, windows or small heads."""
    flag = (
        "async ({ base, engine, a, model }) => (await import(`${base}assets/reader.js`)).cacheFlag(engine, a, model) ?? null"
    )
    engines = selector.evaluate("async (base) => (await (await fetch(`${base}assets/choices.json`)).json()).engines", site[1])
    llama, sinks = {"config": {"head_dim": 128}, "model_type": "llama"}, {"config": {"head_dim": 64}, "model_type": "gpt_oss"}
    latent = {"config": {"kv_lora_rank": 512}, "model_type": "deepseek_v3"}
    small, windows = {"config": {"head_dim": 80}, "model_type": "x"}, {**llama, "bounded": True}
    for engine, hardware, model, found in (
        ("vllm", "ampere", llama, "--kv-cache-dtype fp8"),
        ("vllm", "ampere", sinks, "--kv-cache-dtype int8_per_token_head"),
        ("vllm", "ampere", small, "--kv-cache-dtype int8_per_token_head"),
        ("vllm", "ampere", latent, None),
        ("vllm", "ada", latent, "--kv-cache-dtype fp8"),
        ("vllm", "rdna", llama, None),
        ("sglang", "ampere", sinks, None),
        ("sglang", "turing", llama, None),
        ("tensorrt-llm", "ampere", llama, None),
        ("llama-cpp", "volta", llama, "--flash_attn true --type_k 8 --type_v 8"),
        ("llama-cpp", "ada", small, None),
        ("mlx", "apple", windows, None),
        ("openvino", "cpu", llama, ""),
        ("openvino", "intel_gpu", llama, None),
        ("onnxruntime-genai", "cpu", llama, None),
    ):
        asked = {"base": site[1], "engine": engines[engine], "a": {"hardware": hardware}, "model": model}
        assert selector.evaluate(flag, asked) == found, (engine, hardware, model)


def test_a_card_of_a_series_is_answered_for_that_series(site, tab):
    for card, answered in {"instinct-mi210": False, "instinct-mi300x": True}.items():
        tab.goto(f"{site[1]}?card={card}&model=llama-3.1-8b&engine=sglang")
        tab.wait_for_selector(".choose .answer > *")
        assert ("does not run on this hardware (AMD Instinct MI200)" in tab.locator(".verdict").inner_text()) is not answered


def test_every_card_is_of_hardware_that_is_asked_for_and_says_where_its_maker_states_it(site_folder):
    makers = json.loads((site_folder / "assets" / "cards.json").read_text(encoding="utf-8"))["makers"]
    cards = [card for maker in makers for card in maker["cards"]]
    assert len({card["id"] for card in cards}) == len({card["name"] for card in cards}) == len(cards) >= 60
    assert {card["hardware"] for card in cards} == set(HARDWARE) - {"", "cpu"}
    parts = {part["id"]: part["of"] for part in json.loads((site_folder / "facts.json").read_text("utf-8"))["parts"]}
    for card in cards:
        assert card["hardware"] == parts[card["series"]] if card["hardware"] in ("cdna", "rdna") else "series" not in card
    assert all(1 <= card["gib"] <= 512 for card in cards) and all(maker["stated_in"] for maker in makers)


def test_the_selector_has_every_variant_of_the_facts(facts, choices):
    counted = {name: len(list(group)) for name, group in groupby(choices["variants"], key=lambda variant: variant["method"])}
    assert counted == {name: n for name, method in facts["methods"].items() if (n := len(method["facts"]["variants"]))}
    for name, method in facts["methods"].items():
        hardware = method["facts"]["hardware"].values()
        assert counted.get(name) or {cell["answer"] for cell in hardware} == {"no"}, (
            f"{name} runs somewhere, and has no variant"
        )
