"""Whether torch.compile works on what a method makes, and says the same; on a GPU, too, whether ``generate`` compiles it.

Runs in the environment of the method's notebook: ``python -m guide.guest.compiles JOB``. The answer is the last line of
standard output, in JSON.
"""

import gc
import json
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import counters
from transformers import AutoModelForCausalLM, AutoTokenizer, StaticCache

from guide.guest.compiling import divergence
from guide.guest.weigher import model_of, sentence

PROMPT, TOKENS = 16, 48  # of the text: read at once, and in all; what follows the prompt is read token by token


@torch.no_grad()
def said(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Logits at each token behind the prompt, (``TOKENS`` - ``PROMPT``, vocabulary), with a cache of fixed size."""
    ids = ids.to(model.device)
    cache = StaticCache(config=model.config, max_cache_len=TOKENS)
    found = [model(input_ids=ids[None, :PROMPT], past_key_values=cache, use_cache=True).logits[0, -1]]
    for place in range(PROMPT, TOKENS - 1):
        found.append(model(input_ids=ids[None, place, None], past_key_values=cache, use_cache=True).logits[0, -1])
    return torch.stack(found).float().cpu()


def generated(model: Any, ids: torch.Tensor) -> dict[str, Any]:
    """Whether ``generate`` compiles by itself, given a cache of fixed size, and then gives the tokens that it gives plain."""
    torch._dynamo.reset()
    how = {"do_sample": False, "max_new_tokens": 16, "cache_implementation": "static"}
    prompt = ids[None, :PROMPT].to(model.device)
    plain = model.generate(prompt, **how, disable_compile=True)
    counters.clear()
    tokens = model.generate(prompt, **how)
    compiles = counters["stats"]["unique_graphs"] > 0
    return {"generate_compiles": compiles, "same_tokens": torch.equal(tokens, plain) if compiles else None}


def compiled(job: dict[str, Any], model: Any, base: torch.Tensor, ids: torch.Tensor) -> dict[str, Any]:
    """What compiling a model comes to."""
    plain = divergence(base, said(model, ids))
    torch._dynamo.reset()
    torch._dynamo.config.disable = False  # some notebooks turn it off, so that a library does not compile what it likes
    counters.clear()
    started = time.monotonic()
    answer: dict[str, Any] = {"plain": float(f"{plain:.3g}")}
    as_it_is = model.forward
    model.forward = torch.compile(as_it_is)  # as the pages do it, so that what hangs on a call of the model goes on
    try:
        answer["compiled"] = float(f"{divergence(base, said(model, ids)):.3g}")
    except Exception as error:
        traceback.print_exc()
        answer["failed"] = sentence(error)
    model.forward = as_it_is
    answer["seconds"] = round(time.monotonic() - started, 1)
    answer["graphs"] = counters["stats"]["unique_graphs"]
    answer["breaks"] = {" ".join(why.split())[:200]: count for why, count in counters["graph_break"].items()}
    if job["device"] == "cuda":
        try:
            answer |= generated(model, ids)
        except Exception as error:
            traceback.print_exc()
            answer["generate_failed"] = sentence(error)
    return answer


def main(job: dict[str, Any]) -> dict[str, Any]:
    """The answers for each of a job's variants."""
    baseline: Any = AutoModelForCausalLM.from_pretrained(job["model"], dtype=torch.bfloat16, device_map=job["device"])
    text = Path(job["text"]).read_text(encoding="utf-8")
    ids = AutoTokenizer.from_pretrained(job["model"])(text, return_tensors="pt", verbose=False).input_ids[0, :TOKENS]
    base = said(baseline, ids)
    answers: dict[str, dict[str, Any]] = {}
    for name, code in job["codes"].items():
        try:
            answers[name] = compiled(job, model_of(code).eval(), base, ids)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            answers[name] = {"not_made": sentence(error)}
            continue
        answers[name]["versions"] = {package: version(package) for package in job["packages"]}
        gc.collect()
    return answers


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
