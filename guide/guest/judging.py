"""Judge one variant of a model against the bf16 model: what it stores, what it holds, and how far its predictions are.

Runs in the environment of the method's notebook. ``python -m guide.guest.judging bf16 JOB`` runs the bf16 model once over both
texts and keeps its logits on disk, so that ``python -m guide.guest.judging variant JOB`` pays for its variant alone. The
answer is the last line of standard output, in JSON.
"""

import ctypes
import gc
import hashlib
import json
import math
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from guide.guest.making import calibration, evaluated, given, peak, recipe, used
from snippets.shared.measure import decoder_linears, stored_bytes, weight_files_bytes

PROMPTS, PROMPT, CONTINUATION = 16, 64, 200  # of each text; tokens of each; tokens that bf16 generates after each
DIGITS = 6  # of a figure that is stored
ROWS = 32  # of logits that are compared at once: as many as a cache holds


def windows_of(job: dict[str, Any], tokenizer: Any) -> dict[str, torch.Tensor]:
    """The windows of each text that is evaluated."""
    return {name: evaluated(tokenizer, Path(path).read_text(encoding="utf-8")) for name, path in job["texts"].items()}


@torch.no_grad()
def run_bf16(job: dict[str, Any]) -> dict[str, Any]:
    """Keep the logits and the greedy continuations of the bf16 model in the job's folder; returns what is known of it."""
    torch.set_num_threads(job["threads"])
    folder, tokenizer = Path(job["base"]), AutoTokenizer.from_pretrained(job["model"])
    folder.mkdir(parents=True, exist_ok=True)
    model = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16, device_map=job["device"])
    windows = windows_of(job, tokenizer)
    continued = {}
    for name, ids in windows.items():
        stored = numpy.memmap(folder / f"{name}.logits", numpy.int16, "w+", shape=(*ids.shape, model.config.vocab_size))
        for row, window in enumerate(ids):
            logits = model(input_ids=window[None].to(model.device), use_cache=False).logits[0]
            stored[row] = logits.cpu().view(torch.int16).numpy()
        stored.flush()
        prompts = ids[:: len(ids) // PROMPTS][:, :PROMPT].to(model.device)
        continued[name] = model.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=False,
                                         max_new_tokens=CONTINUATION, min_new_tokens=CONTINUATION).cpu()  # fmt: skip
    torch.save({"windows": windows, "continued": continued, "eos": model.generation_config.eos_token_id}, folder / "inputs.pt")
    texts = calibration(tokenizer, Path(job["wikitext"]).read_text(encoding="utf-8"))
    used_ids = b"".join(ids.to(torch.int32).numpy().tobytes() for ids in (*windows.values(), texts))
    return {"linears": decoder_linears(model), "windows_sha256": hashlib.sha256(used_ids).hexdigest()}


def settle() -> None:
    """Give back what is no longer used, so that the memory that is held from here on is the model's."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def memory(field: str) -> int:
    """Bytes that this process holds (``VmRSS``) or has held at most since ``forget_peak`` (``VmHWM``); 0 if nobody says."""
    if sys.platform != "linux":
        return 0
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def forget_peak() -> None:
    """Make ``VmHWM`` start again from what is held now."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


@torch.no_grad()
def running_peak(model: nn.Module, ids: torch.Tensor, before: int) -> int:
    """Bytes that running the model holds at most, weights included: a prompt of 512 tokens, then 8 more one by one.

    ``before`` is what the process held when it had imported all and loaded nothing.
    """
    cuda = model.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    settle()
    forget_peak()
    ids = ids[None].to(model.device)
    out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
    for _ in range(8):
        following = out.logits[:, -1].argmax(-1, keepdim=True)
        out = model(input_ids=following, past_key_values=out.past_key_values, use_cache=True)
    return torch.cuda.max_memory_allocated() if cuda else max(memory("VmHWM") - before, 0)


@torch.no_grad()
def compared(model: nn.Module, base: Path, name: str, windows: torch.Tensor) -> dict[str, Any]:
    """A variant's figures on one text, each the mean over windows with its standard error; nats a token where it has a unit.

    All are paired with bf16 token by token; tokens of one window are not independent, so windows are what is averaged.
    """
    shape = (*windows.shape, model.config.vocab_size)
    stored = numpy.memmap(base / f"{name}.logits", numpy.int16, "r", shape=shape)
    losses: list[tuple[float, float]] = []
    agreements, kls = [], []
    for row, ids in enumerate(windows):
        bf16 = torch.from_numpy(stored[row]).view(torch.bfloat16)[:-1]
        own = model(input_ids=ids[None].to(model.device), use_cache=False).logits[0, :-1]
        found = []
        for start in range(0, len(own), ROWS):
            part = slice(start, start + ROWS)
            log_p, log_q = (one[part].to(model.device).float().log_softmax(-1) for one in (bf16, own))
            following = ids[1:][part, None].to(model.device)
            same = log_p.argmax(-1) == log_q.argmax(-1)
            kl = nn.functional.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)
            found.append(
                torch.stack([-log_p.gather(1, following)[:, 0], -log_q.gather(1, following)[:, 0], same, kl]).double()
            )
        loss_p, loss_q, same, kl = torch.cat(found, 1).mean(1).tolist()
        losses.append((loss_p, loss_q))
        agreements.append(same)
        kls.append(kl)
    before, after = ([pair[which] for pair in losses] for which in (0, 1))
    return {
        "tokens": windows.numel(),
        "baseline_perplexity": rounded(math.exp(statistics.fmean(before))),
        "perplexity": rounded(math.exp(min(statistics.fmean(after), 700))),
        "loss_difference": mean([own - bf16 for own, bf16 in zip(after, before, strict=True)]),
        "top1_agreement": mean(agreements),
        "kl": mean(kls),
        "kl_by_window": [rounded(one) for one in kls],
    }


def rounded(figure: float) -> float:
    """A figure to the digits that are stored."""
    return float(f"{figure:.{DIGITS}g}")


def mean(figures: list[float]) -> dict[str, float]:
    """Their mean and its standard error."""
    return {"mean": rounded(statistics.fmean(figures)), "error": rounded(statistics.stdev(figures) / len(figures) ** 0.5)}


@torch.no_grad()
def same_text(model: nn.Module, continued: dict[str, torch.Tensor], eos: int) -> dict[str, Any]:
    """The share of bf16's greedy continuation that this model would generate too, until the first token that differs.

    A greedy continuation is the same up to the first place where the likeliest token, after the text so far, is another one.
    So one pass over what bf16 generated says where that is. The end of the text was not allowed there, and is not here.
    The bf16 model itself does not reach 100 %: it generated token by token, and one pass adds the same numbers up in another
    order, which decides between two tokens that are all but equally likely. Its own share is what the others compare with.
    """
    shares = []
    for rows in continued.values():
        for row in rows:
            logits = model(input_ids=row[None].to(model.device), use_cache=False).logits[0, PROMPT - 1 : -1].float().cpu()
            logits[:, eos] = -math.inf
            same = (logits.argmax(-1) == row[PROMPT:]).int().cumprod(0).sum().item()
            shares.append(same / CONTINUATION)
    return {**mean(shares), "prompts": len(shares), "tokens": CONTINUATION}


def judge(job: dict[str, Any]) -> dict[str, Any]:
    """Everything of one variant; what the recipe saved before is loaded from the folder ``made``."""
    torch.manual_seed(0)
    torch.set_num_threads(job["threads"])
    base = Path(job["base"])
    inputs = torch.load(base / "inputs.pt")
    # A recipe is imported only to make something: what it imports need not be there where its checkpoint is loaded.
    make = None if job.get("made") else recipe(job)
    setting = given(job)
    settle()
    held, started, before = memory("VmRSS"), time.monotonic(), used()
    made = job.get("made")
    model: nn.Module = (
        make(setting) if make else AutoModelForCausalLM.from_pretrained(made, dtype=torch.bfloat16, device_map=job["device"])
    )
    taken = {"seconds": rounded(time.monotonic() - started), "cpu_seconds": rounded(used() - before), "peak_bytes": peak()}
    model.eval()
    linears = job["linears"]
    stored = {"whole": stored_bytes(model), "linears": stored_bytes(model, linears)}
    running = running_peak(model, next(iter(inputs["windows"].values()))[0], held)
    answer = {
        "load": taken,
        "stored": stored,
        "after_forward": {"whole": stored_bytes(model), "linears": stored_bytes(model, linears)},
        "file_bytes": weight_files_bytes(made) if made else getattr(model, "file_bytes", None),
        "layers": sorted({type(model.get_submodule(name)).__name__ for name in linears}),
        "running_peak_bytes": running,
        "texts": {name: compared(model, base, name, inputs["windows"][name]) for name in job["judged"]},
        "same_text": None if job["again"] else same_text(model, inputs["continued"], inputs["eos"]),
        "versions": {name: version(name) for name in job["packages"]},
    }
    return answer


if __name__ == "__main__":
    task, path = sys.argv[1:]
    asked = json.loads(Path(path).read_text(encoding="utf-8"))
    print(json.dumps({"bf16": run_bf16, "variant": judge}[task](asked)))
