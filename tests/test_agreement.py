"""What pages, records and texts say more than once: each fault is planted, and named with its file, its field and the cure."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from planting import ROOT, Planted

from guide.facts import days, engine_pages, method_pages, recorded, reports
from guide.facts.colab import parse_tried
from guide.facts.engine import parse_engine
from guide.facts.method import parse_method
from guide.facts.number import parse_number
from guide.project import GuideError


class Fault(NamedTuple):
    """A text, what it becomes, and what is said of it behind the name of its file."""

    path: str
    old: str
    new: str
    said: str


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def planted_text(fault: Fault) -> str:
    """The file with its fault."""
    text = read(fault.path)
    assert fault.old in text, f"{fault.path} does not hold {fault.old!r}"
    return text.replace(fault.old, fault.new, 1)


# Within one front matter: loading refuses it

EETQ, GPTQ, VLLM = "docs/methods/eetq.md", "docs/methods/gptq.md", "docs/engines/vllm.md"
FRONT_MATTER = {
    "a width that a variant has": Fault(
        GPTQ, "bits: [8, 4, 3, 2]", "bits: [8, 4, 2]",
        "'variants' is wrong: '3-bit' has 3 bits, which 'bits' lacks: add it there, or correct it here."),
    "a width in the use case": Fault(
        EETQ, "use_case: int8 weights", "use_case: int4 weights",
        "'bits' is wrong: it lacks 4, which 'use_case' names: add it here, or correct 'use_case'."),
    "a width in the description": Fault(
        GPTQ, "When to take GPTQ at 8 to 2 bit", "When to take GPTQ at 8 to 1 bit",
        "'bits' is wrong: it lacks 1, which 'description' names: add it here, or correct 'description'."),
    "a key of another width": Fault(
        "docs/methods/bitsandbytes.md", "      bits: [4]", "      bits: [8]",
        "'transformers' is wrong: own.bitsandbytes_4bit.bits is [8], and the key's name says 4: write [4]."),
    "a key of a width that there is not": Fault(
        "docs/methods/fp8.md", "      bits: [8]", "      bits: [4]",
        "'transformers' is wrong: own.mxfp8.bits has 4, which 'bits' lacks: correct one of them."),
    "a calibrated method that does not calibrate": Fault(
        GPTQ, "calibration: needed", "calibration: none",
        "'calibration' is wrong: 'group' is 'calibrated', and this is 'none': write 'needed', or correct 'group'."),
    "a library that was read before its release": Fault(
        GPTQ, "released: 2026-10-24", "released: 2026-12-24",
        "'library.read' is wrong: it was read on 2026-11-24, before 'released', 2026-12-24: correct one of them."),
    "a trap that raises and is called silent": Fault(
        "docs/methods/hqq.md", "silent: false", "silent: true",
        "the trap 'hqq-config' is silent, but its 'get' begins with 'NotImplementedError': write 'silent: false'."),
    "an engine of another version": Fault(
        VLLM, '\nversion: "0.32.0"', '\nversion: "0.33.0"',
        "'tag' is wrong: it is of 0.32.0, and 'version' is 0.33.0: write the same."),
    "a tag of another version": Fault(
        VLLM, 'tag: "v0.32.0"', 'tag: "v0.31.0"', "'tag' is wrong: it is of 0.31.0, and 'version' is 0.32.0: write the same."),
    "an install of another version": Fault(
        "docs/engines/mlx.md", 'install: "pip install mlx-lm==0.32.2', 'install: "pip install mlx-lm==0.32.1',
        "'install' is wrong: it does not install mlx-lm 0.32.2, which is 'version': write the same."),
    "an image of another version": Fault(
        "docs/engines/tgi.md", 'install: "docker pull ghcr.io/huggingface/text-generation-inference:3.3.7',
        'install: "docker pull ghcr.io/huggingface/text-generation-inference:3.3.70',
        "'install' is wrong: it does not install 3.3.7, which is 'version': write the same."),
    "a description of another version": Fault(
        VLLM, "formats vLLM 0.32.0 loads", "formats vLLM 0.23.0 loads",
        "'description' says 0.23.0, and 'version' is 0.32.0: write the same."),
    "an engine that was read before its release": Fault(
        VLLM, "released: 2026-10-18", "released: 2026-12-18",
        "'read' is wrong: it was read on 2026-11-26, before 'released', 2026-12-18: correct one of them."),
    "a plugin of another version": Fault(
        VLLM, 'plugin: "vllm-bnb-plugin 0.0.3"', 'plugin: "vllm-bnb-plugin 0.3.0"',
        "its plugin is vllm-bnb-plugin 0.3.0, and its source names vllm-bnb-plugin of another version: write the same."),
}  # fmt: skip


@pytest.mark.parametrize("what", FRONT_MATTER)
def test_front_matter_that_contradicts_itself_is_refused_in_one_sentence(what):
    fault = FRONT_MATTER[what]
    name = fault.path.rpartition("/")[2].removesuffix(".md")
    with pytest.raises(GuideError) as refused:
        if "/methods/" in fault.path:
            parse_method(name, planted_text(fault))
        else:
            parse_engine(name, planted_text(fault), read("docs/engines/index.md"))
    assert str(refused.value).startswith(f"In the front matter of {fault.path}, ") and fault.said in str(refused.value)


# Between a head, its prose, its notes and other pages; between a day and today

SYMPTOMS = "docs/symptoms.md"
ACTIVATIONS = "docs/activations.md"
NVFP4, FP8 = "docs/methods/nvfp4.md", "docs/methods/fp8.md"
PAGES = {
    "an end of the capabilities": Fault(
        EETQ, 'not_from: "9.0"', 'not_from: "10.0"',
        ": hardware.nvidia.not_from is 10.0, which nothing else on the page says: correct it, or say it where the page"),
    "a capability in prose": Fault(
        NVFP4, "NVFP4 needs compute capability 10.0 or 12.0 and", "NVFP4 needs compute capability 9.0 or 12.0 and",
        ": its text says 'needs compute capability 9.0', hardware.nvidia.capability 10.0: correct one."),
    "the end of a range in prose": Fault(
        "docs/methods/fbgemm-fp8.md", "FBGEMM FP8 needs compute capability 9.0 or 10",
        "FBGEMM FP8 needs compute capability 9.0 to 12.0 or 10",
        ": its text says 'compute capability 9.0 to 12.0', hardware.nvidia.not_from 10.3: correct one."),
    "a kernel of another capability": Fault(
        GPTQ, 'runs_on: "CUDA, 7.5 or newer; not ROCm"', 'runs_on: "CUDA, 8.0 or newer; not ROCm"',
        ": variants.4-bit.kernel_capability is 7.5, but MarlinLinear runs on 'CUDA, 8.0 or newer; not ROCm'"),
    "the bytes of a scale": Fault(
        EETQ, "{what: scales, tile: [1, null], bytes: 2}", "{what: scales, tile: [1, null], bytes: 4}",
        ": variants.int8.storage has scales of 4 bytes, and the prose says 'fp16': correct one."),
    "a calibration that nothing does": Fault(
        FP8, "calibration: none", "calibration: needed",
        ": calibration is 'needed', but no cell of its notebooks calibrates: correct it, or show how."),
    "another method's page of the library": Fault(
        "docs/methods/hqq.md", "docs/transformers/quantization/hqq\n", "docs/transformers/quantization/gptq\n",
        ": links.1.url leads to the documentation's page 'gptq', not to this method's: correct it."),
    "a count of keys": Fault(
        "docs/guide.md", "lists all 27 keys", "lists all 28 keys",
        ": 'all 28 keys', and the pages of methods have 27: correct one."),
    "another paper": Fault(
        "docs/methods/awq.md", "abs/2306.00978", "abs/2305.14314",
        "docs/methods/bitsandbytes.md: links.2.url leads to arXiv 2305.14314 as 'Paper on nf4 and double quantization: QLoRA, "
        "Dettmers et al., 2023', which is another paper in docs/methods/awq.md"),
    "a paper with two numbers": Fault(
        "docs/methods/compressed-tensors.md", "abs/2210.17323", "abs/2210.17332",
        "docs/methods/gptq.md: links.1.url leads to arXiv 2210.17323 for GPTQ, and docs/methods/compressed-tensors.md: "
        "links.2.url to 2210.17332: correct one."),
    "a paper of another year": Fault(
        "docs/methods/sinq.md", "abs/2509.22944", "abs/2209.52944",
        ": links.1.url says 'Paper: SINQ, Sinkhorn-Normalized Quantization for Calibration-Free Low-Precision LLM Weights, "
        "Müller et al., 2025' and leads to arXiv 2209.52944, which is of 2022: correct one."),
    "a number of no paper": Fault(
        "docs/methods/spqr.md", "abs/2306.03078", "abs/2360.03078", "leads to arXiv 2360.03078, which is no number"),
    "a link that says another number": Fault(
        ACTIVATIONS, "https://arxiv.org/abs/2411.02355", "https://arxiv.org/abs/2411.02535",
        ": '[arXiv:2411.02355]' says arXiv 2411.02355 and leads to 2411.02535: correct one."),
    "hardware that its note denies": Fault(
        VLLM, '  apple:\n    answer: "no"', '  apple:\n    answer: "yes"',
        ": hardware.apple is 'yes', but its note says 'On a Mac vLLM runs on the CPU alone, experimental and built from "
        "source.' Mend one of them."),
    "hardware that its note allows": Fault(
        "docs/engines/mlx.md", '  apple:\n    answer: "yes"', '  apple:\n    answer: "no"',
        ": hardware.apple is 'no', but its note says 'Use Apple silicon with macOS 14 or newer.' Mend one of them."),
    "a maker's hardware that a note allows": Fault(
        VLLM, 'elsewhere: {cdna: "yes", rdna: "not verified", intel_gpu: "no", apple: "no", cpu: "no"}\n    note: "Only symm',
        'elsewhere: {cdna: "no", rdna: "not verified", intel_gpu: "no", apple: "no", cpu: "no"}\n    note: "Only symm',
        ": formats.gptq-8.elsewhere.cdna is 'no', but its note says 'AMD uses ...': mend one of them."),
    "another method's name in the registry": Fault(
        VLLM, 'how: packed\n    key: ["auto_gptq"]', 'how: packed\n    key: ["auto_awq"]',
        ": formats.gptq-4.key has 'auto_awq', another method's name: write what the registry has."),
    "a day to come in a source": Fault(
        "docs/methods/aqlm.md", "read 2026-11-2", "read 2036-11-2",
        "' is to come: write the day on which it was read or done."),
    "a day to come in prose": Fault(
        "docs/methods/mxfp4.md", "\n## ", "\nOn 27 November 2036 it changed.\n\n## ",
        ": '27 November 2036' is to come: write"),
    "a day that there is not": Fault(
        "docs/methods/quanto.md", "\n## ", "\nSee the index, read 2026-02-30.\n\n## ",
        ": '2026-02-30' is no day: correct it."),
    "a release that is not out": Fault(
        SYMPTOMS, "Since transformers 5.0.0; in 4.x the argument", "Since transformers 6.0.0; in 4.x the argument",
        ": load-in-4bit-typeerror.versions says 'transformers 6.0.0', and the newest that the guide knows is 5.24.0: correct"),
    "a number in another order": Fault(
        SYMPTOMS, "transformers/pull/41567", "transformers/pull/41576",
        ": gptq-use-exllama.source leads to 41576, and the entry says 41567: correct one."),
    "a number with another digit": Fault(
        SYMPTOMS, "accelerate PR 3976", "accelerate PR 1901", ".source leads to 1900, and the entry says 1901: correct one."),
    "a link to no entry": Fault(
        SYMPTOMS, "[a TypeError](#load-in-4bit-typeerror)", "[a TypeError](#load-in-4bit-type-error)",
        ": load-in-4bit-and-config.versions leads to '#load-in-4bit-type-error', which is no entry: write the id of one."),
    "a message that was not printed": Fault(
        SYMPTOMS, 'message: "ValueError: Attempting to unscale FP16', 'message: "ValueError: Attempting to unscale FP32',
        ": unscale-fp16.message is 'ValueError: Attempting to unscale FP32 gradients.', which its cell of snippets/"),
    "a measurement from before its library": Fault(
        "proofs/numbers/cpu-x86-64/quanto-int4.json", '"date": "2026-', '"date": "2020-',
        ": run 0 is of 2020-11-2"),
    "a run of torch.compile from before its library": Fault(
        "proofs/compiled/nvidia-h100-80gb-hbm3.json", '"date": "2026-', '"date": "2016-', ": aqlm 2-bit-2x7 is of 2016-11-27, "
        "before aqlm 1.1.7 was released"),
}  # fmt: skip


@pytest.fixture(scope="module")
def disagreements(tmp_path_factory) -> list[str]:
    """What is said of a guide with all of these faults, each in a place of its own."""
    tree = Planted(tmp_path_factory.mktemp("agreement") / "tree")
    for fault in PAGES.values():
        text = (tree.project.root / fault.path).read_text(encoding="utf-8")
        assert fault.old in text, f"{fault.path} does not hold {fault.old!r}"
        tree.write(fault.path, text.replace(fault.old, fault.new, 1))
    planted = tree.load()
    return [*method_pages.faults(planted), *engine_pages.faults(planted), *days.faults(planted), *reports.faults(planted)]


@pytest.mark.parametrize("what", PAGES)
def test_what_two_places_say_otherwise_is_named(disagreements, what):
    fault = PAGES[what]
    assert any(fault.said in one and (fault.path in one or fault.said.startswith("docs/")) for one in disagreements)


def test_a_day_ahead_of_utc_is_no_day_to_come(guide):
    """Somebody in the far east writes the day after UTC's; nobody writes the one after that."""
    day = datetime.date(2026, 11, 23)
    ahead = replace(guide, pages={"x.md": "read 2026-11-23, and on 24 November 2026"}, scripts={}, numbers={}, compiled={},
                    records={}, tried=guide.tried.model_copy(update={"notebooks": {}}))  # fmt: skip
    assert list(days.faults(ahead, day)) == [
        "docs/x.md: '24 November 2026' is to come: write the day on which it was read or done."
    ]


# Records

CPU, GPU, TRIED, CARDS = "numbers/cpu-x86-64", "compiled/nvidia-h100-80gb-hbm3", "proofs/colab.json", "docs/assets/cards.json"
FOUROVERSIX = "fouroversix"


def changed(path: str, change: Callable[[Any], object]) -> str:
    """A record with a change."""
    data = json.loads(read(path))
    change(data)
    return json.dumps(data)


def fewer_bytes(record: dict[str, Any]) -> None:
    for quality in (run["quality"] for run in record["runs"] if run["quality"]):
        for part in ("stored", "after_forward"):
            quality[part] = {name: size - 20_000_000 for name, size in quality[part].items()}


def of_nf4(record: dict[str, Any]) -> dict[str, Any]:
    return next(case for case in record["cases"] if (case["method"], case["variant"]) == ("bitsandbytes", "nf4"))


def weighed_larger(record: dict[str, Any]) -> None:
    case = next(one for one in record["cases"] if one["measured"] and not one["note"] and one["method"] == "gptq")
    case["measured"] = {part: int(size * 1.05) for part, size in case["measured"].items()}


def smaller_card(cards: dict[str, Any]) -> None:
    next(card for maker in cards["makers"] for card in maker["cards"] if card["name"].endswith("5060 Ti, 16 GB"))["gib"] = 8


RAN = {"ran": True, "seconds": 100.0, "versions": {"python": "3.13", "torch": "2.11.0"}, "failure": None}
RECORDS: dict[str, tuple[str, Callable[[Any], object], str]] = {
    "stored bytes": (
        f"proofs/{CPU}/quanto-int4.json", fewer_bytes,
        "for the rest of the model, and bf16's record 58168192. Restore it, or run 'nox -s bench -- quanto-int4'."),
    "versions that are no pins": (
        f"proofs/{CPU}/quanto-int8.json", lambda record: record["runs"][0]["quality"]["versions"].update(torch="2.11.0+cpu"),
        ": runs.0.quality ran with torch 2.11.0+cpu, and its notebook pins 2.13.0. Restore it, or run 'nox"),
    "runs that differ": (
        f"proofs/{CPU}/hqq-4.json",
        lambda record: record["runs"][0]["quality"]["texts"]["wikitext"]["top1_agreement"].update(mean=0.551),
        "of wikitext's top1_agreement, apart by more than"),
    "compiling that changes what a model says": (
        f"proofs/{GPU}.json", lambda record: of_nf4(record).update(compiled=0.7743),
        ": bitsandbytes nf4 has a KL of 0.7743 compiled and 0.0762 as it is, and no trap of docs/methods/bitsandbytes.md"),
    "a model that was weighed": (
        "proofs/storage/cpu-x86-64.json", weighed_larger,
        " follow from 'storage' of docs/methods/gptq.md: correct that, or run"),
    "another image of Colab": (
        TRIED, lambda record: (record.update(source=record["source"].replace("a724079", "b724079")),
                               record["notebooks"]["eetq"].update(RAN)),
        ": source is 'https://github.com/googlecolab/backend-info at b724079', and its outcomes are of "),
    "a run that needs a GPU": (TRIED, lambda record: None, ": notebooks.eetq.ran is true, and it needs cuda"),
    "a card's memory": (CARDS, smaller_card, ": 'GeForce RTX 5060 Ti, 16 GB' has a gib of 8: write what its name says."),
    "parameters of the real model": ("models/real.toml", lambda record: None, ": parameters is 135515008, and the bf16 model"),
}  # fmt: skip


@pytest.fixture(scope="module")
def contradicted(tmp_path_factory) -> list[str]:
    """What is said of a guide with all faults of records."""
    tree = Planted(tmp_path_factory.mktemp("records") / "tree")
    for path, change, _ in RECORDS.values():
        if path.endswith(".json"):
            data = json.loads((tree.project.root / path).read_text(encoding="utf-8"))
            change(data)
            tree.write(path, json.dumps(data, ensure_ascii=False))
    tree.edit("models/real.toml", "parameters = 134515008", "parameters = 135515008")
    return list(recorded.faults(tree.load()))


@pytest.mark.parametrize("what", RECORDS)
def test_a_record_that_contradicts_another_is_named(contradicted, what):
    path, _, said = RECORDS[what]
    assert [one for one in contradicted if one.startswith(path) and said in one], contradicted


def test_the_records_of_this_checkout_agree(guide):
    assert list(recorded.faults(guide)) == []


def test_a_speed_that_its_seconds_do_not_give_is_refused():
    path = f"proofs/{CPU}/quanto-int4.json"

    def faster(record):
        decode = record["runs"][0]["speed"]["shapes"]["Qwen3-0.6B"]["decode"]["1"]
        decode["ratio"] = [ratio + 1 for ratio in decode["ratio"]]

    with pytest.raises(GuideError) as refused:
        parse_number(path, changed(path, faster))
    assert "decode.1' is wrong: its ratio is 2.9" in str(refused.value) and "but its seconds give 1.9" in str(refused.value)


COLAB = {
    "a run with nothing": ("eetq", {"ran": True},
                         "it ran, but its versions lack python."),
    "a run in no time": ("hqq", {"seconds": 0.0}, "it ran, but took 0 seconds"),
    "markup": (FOUROVERSIX, {"failure": {"class": "x", "cell": None, "message": "pip <img src=x onerror=alert(1)>"}},
               "' is wrong: its failure.message holds '<img src=x onerror=alert(1)>', which is markup and no word of pip or"),
    "a link that runs": (FOUROVERSIX, {"failure": {"class": "x", "cell": None, "message": "see [x](javascript:alert(1))"}},
                         "its failure.message holds '](javascript:', which is markup"),
}  # fmt: skip


@pytest.mark.parametrize("what", COLAB)
def test_an_outcome_on_colabs_packages_that_cannot_be_is_refused(what):
    name, change, said = COLAB[what]
    with pytest.raises(GuideError) as refused:
        parse_tried(TRIED, changed(TRIED, lambda record: record["notebooks"][name].update(change)))
    assert str(refused.value).startswith(f"{TRIED} is damaged: 'notebooks.{name}") and said in str(refused.value)
