"""Who searches finds: public reports in their own words, and what people type, through the site's own search."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from serving import answers, serve

FOUND_FIRST = 3  # of the pages, and of the sections of one
MOST_MISSED = 0.15  # of the short queries

# A public report, what its writer would type, and the pages or sections of which one answers it.
REPORTS = {
    "bitsandbytes-foundation/bitsandbytes/issues/1849": (
        "quant MoE models with fused expert weights transformers v5",
        ("experts/", "symptoms-running/#moe-experts-16-bit"),
    ),
    "ModelCloud/GPTQModel/issues/2694": (
        "Qwen3.5-MoE GPTQ garbled output experts MISSING UNEXPECTED load report",
        ("symptoms-garbage/#gptq-moe-garbled",),
    ),
    "artidoro/qlora/issues/71": ("Your setup doesn't support bf16/gpu T4", ("symptoms-training/#bf16-not-supported",)),
    "bitsandbytes-foundation/bitsandbytes/issues/490": (
        "load_in_8bit very slow and slower than load_in_4bit",
        ("symptoms-running/#int8-slower",),
    ),
    "pytorch/ao/issues/3300": ("torchao int4 weight only does not work for CPU/XPU", ("symptoms-loading/#torchao-mslk",)),
    "pytorch/ao/issues/1704": ("torchao int4 save_pretrained on CPU fails", ("symptoms-saving/#torchao-int4-cpu-save",)),
    "intel/torch-xpu-ops/issues/3124": ("ImportError: Requires mslk >= 1.0.0", ("symptoms-loading/#torchao-mslk",)),
    "huggingface/transformers/issues/42723": (
        "gpt-oss-20b will not load with MXFP4 quantization even though triton version satisfies",
        ("symptoms-running/#gpt-oss-bf16",),
    ),
    "black-forest-labs/flux2/issues/54": (
        "FP8 quantized models is only supported on GPUs with compute capability >= 8.9 RTX 3090",
        ("symptoms-running/#fp8-on-ampere",),
    ),
    "oobabooga/textgen/issues/7599": (
        "how to install GPTQ and AWQ model loaders on Windows",
        ("symptoms-installing/#awq-gptq-loaders", "install/#windows-arm-boards-and-servers-dgx-spark"),
    ),
    "lllyasviel/stable-diffusion-webui-forge/issues/1161": (
        "NF4 on AMD GPU ROCm",
        ("symptoms-loading/#none-of-the-devices", "install/#rocm-amd-instinct-and-radeon", "works-where/#amd-gpu"),
    ),
    "huggingface/transformers/issues/26153": (
        "Some modules are dispatched on the CPU or the disk. Make sure you have enough GPU RAM",
        ("symptoms-running/#dispatched-cpu-disk",),
    ),
    "vllm-project/vllm/issues/21932": (
        "vLLM fine-tuned model bnb-4bit does not load unknown quantization method",
        ("symptoms-serving/#vllm-unknown-bitsandbytes",),
    ),
    "vllm-project/llm-compressor/issues/3071": (
        "Qwen3-VL AWQ GPTQ calibration fails vision tower even with visual.* in ignore",
        ("symptoms-saving/#vlm-calibration", "unquantized/"),
    ),
    "huggingface/trl/pull/4262": (
        "TypeError: __init__() got an unexpected keyword argument 'load_in_4bit'",
        ("symptoms-settings/#load-in-4bit-typeerror",),
    ),
    "vllm-project/vllm/issues/5711": ("Running Llama 3 70B on one A100 80GB GPU", ("symptoms-running/#70b-one-gpu",)),
    "huggingface/transformers/issues/40070": (
        "GGUF takes more memory in transformers than the file",
        ("symptoms-running/#gguf-full-size",),
    ),
    "huggingface/transformers/issues/43032": (
        "BitsAndBytes 4-bit quantization OOM transformers v5",
        ("symptoms-running/#v5-load-oom",),
    ),
    "huggingface/transformers/issues/24037": (
        "BitsAndBytesConfig llm_int8_skip_modules does not work",
        ("symptoms-settings/#skip-modules-anchored", "symptoms-settings/#skip-modules-head", "unquantized/"),
    ),
    "unslothai/unsloth/issues/5027": (
        "classification head score quantized bnb-4bit num_labels error",
        ("unquantized/",),
    ),
    "huggingface/peft/issues/2105": (
        "merge_and_unload quantized base model",
        ("symptoms-garbage/#merge-4bit-worse", "symptoms-saving/#merged-file-small", "fine-tuning/#merge-or-not"),
    ),
    "huggingface/peft/issues/2833": (
        "QLORA FSDP doesn't work with 8bit",
        ("devices/#fsdp", "symptoms-training/#fsdp-uniform-dtype"),
    ),
    "huggingface/transformers/issues/33358": (
        "Can't save quantized model",
        ("symptoms-saving/#not-serializable", "works-where/"),
    ),
    "huggingface/accelerate/issues/1415": (
        "Integer parameters are unsupported FSDP load_in_8bit",
        ("devices/#fsdp", "symptoms-training/#fsdp-uniform-dtype"),
    ),
    "ggml-org/llama.cpp/issues/12923": (
        "convert_hf_to_gguf.py Quant method is not yet supported: 'bitsandbytes'",
        ("symptoms-saving/#gguf-quant-method-bnb",),
    ),
    "QwenLM/Qwen3/issues/381": (
        "output is only exclamation marks !!!!! GPTQ int4",
        ("symptoms-garbage/#exclamation-marks",),
    ),
}

# What people type, and the pages of which one must come first.
TYPED = {
    "4bit": ("methods/bitsandbytes/", "benchmarks/", "size-or-bits/"),
    "nf4 vs fp4": ("methods/bitsandbytes/",),
    "double quantization": ("methods/bitsandbytes/",),
    "int4 slow": ("symptoms-running/", "benchmarks/", "methods/torchao/"),
    "int8 slower": ("symptoms-running/", "methods/bitsandbytes/"),
    "out of memory": ("symptoms-running/", "memory/"),
    "T4": ("activations/", "install/", "fine-tuning/"),
    "perplexity": ("judge/",),
    "KL divergence": ("judge/",),
    "lm-eval": ("judge/",),
    "group size": ("size-or-bits/", "how/"),
    "compute capability": ("install/", "works-where/", "activations/"),
    "mac m3": ("works-where/", "engines/mlx/"),
    "which is fastest": ("benchmarks/",),
    "moe": ("experts/",),
    "deepseek": ("experts/",),
    "gibberish": ("symptoms-garbage/",),
    "Some modules are dispatched on the CPU or the disk": ("symptoms/",),
    "kv cache": ("cache/", "memory/"),
    "calibration": ("calibration/",),
    "lm_head": ("unquantized/",),
    "vision model": ("unquantized/",),
    "whisper": ("unquantized/",),
    "embedding model": ("unquantized/",),
    "qlora t4 float16": ("fine-tuning/",),
    "save quantized model": ("works-where/",),
    "push to hub": ("works-where/",),
    "windows": ("install/",),
    "rocm": ("install/", "works-where/"),
    "blackwell": ("activations/", "install/", "methods/nvfp4/"),
    "vllm": ("engines/vllm/",),
    "ollama": ("engines/llama-cpp/",),
    "gguf to transformers": ("methods/gguf/",),
    "fp8 rtx 3090": ("symptoms-running/", "methods/fp8/", "activations/"),
    "awq": ("methods/awq/",),
    "gptq": ("methods/gptq/",),
    "llama 70b one gpu": ("symptoms-running/",),
    "fine-tune 4bit": ("fine-tuning/",),
    "merge lora": ("fine-tuning/",),
    "how does quantization work": ("how/",),
    "offload to cpu": ("devices/",),
    "multi gpu": ("devices/",),
}


@contextmanager
def searching(folder, tab) -> Iterator:
    """What a query finds: the addresses within the site, without what marks the words in them."""
    with serve(folder, searched=True) as url:
        tab.goto(f"{url}proofs/")
        tab.locator(".md-search__input").click()

        def search(query: str) -> list[str]:
            found = (link.removeprefix(url).partition("#") for link in answers(tab, query, most=200))
            return [page.partition("?")[0] + mark + section for page, mark, section in found]

        yield search


def pages(found: list[str]) -> list[str]:
    """The pages that were found, the first at the head, each once."""
    return list(dict.fromkeys(link.partition("#")[0] for link in found))


def seen_first(found: list[str]) -> set[str]:
    """What a reader sees at the head: the first pages, and of each the sections that fit best."""
    first = pages(found)[:FOUND_FIRST]
    return {*first, *(link for page in first for link in [one for one in found if one.startswith(f"{page}#")][:FOUND_FIRST])}


def test_a_public_report_finds_its_answer(site_folder, desktop, record_property):
    with searching(site_folder, desktop) as search:
        found = {report: search(query) for report, (query, _) in REPORTS.items()}
    missed = {
        report: found[report][:9] for report, (_, wanted) in REPORTS.items() if seen_first(found[report]).isdisjoint(wanted)
    }
    record_property("figure", f"search: {len(REPORTS) - len(missed)} of {len(REPORTS)} public reports find their answer")
    assert not missed


def test_what_people_type_finds_the_page_first(site_folder, desktop, record_property):
    missed = []
    with searching(site_folder, desktop) as search:
        for query, wanted in TYPED.items():
            found = search(query)
            if not set(pages(found)[:1]) & set(wanted):
                missed.append((query, found[:FOUND_FIRST]))
    record_property("figure", f"search: {len(TYPED) - len(missed)} of {len(TYPED)} typed queries find their page first")
    assert len(missed) <= len(TYPED) * MOST_MISSED, missed


def test_every_answer_is_there(site_folder):
    """A page that is renamed is named here, not missed. Pages that do not exist yet are left to the test before."""
    wanted = {link.partition("#")[::2] for _, links in REPORTS.values() for link in links}
    for page, section in wanted:
        text = (site_folder / page / "index.html").read_text(encoding="utf-8")
        assert not section or f'id="{section}"' in text, (page, section)
