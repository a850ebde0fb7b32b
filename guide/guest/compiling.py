"""Time a compiled variant, once it is seen to say what it says as it is: a kernel that computes nothing is fast.

Runs in the environment of the method's notebook: ``python -m guide.guest.compiling JOB``. The answer is the last line of
standard output, in JSON: racing's, with the distances that were found.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, StaticCache

from guide.guest import racing
from guide.guest.making import given, recipe

TOKENS = 16  # that are decoded by each
MOST = (2, 0.01)  # times the distance as it is, and nats on top: what rounding in another order may add


@torch.no_grad()
def decoded(model: nn.Module, step: Any, batch: int, forced: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of ``TOKENS`` steps, (TOKENS, batch, vocabulary), and the tokens: ``forced``, or else the likeliest."""
    ids = torch.randint(100, 30000, (batch, racing.CONTEXT), generator=torch.Generator().manual_seed(0)).to(model.device)
    cache = StaticCache(config=model.config, max_cache_len=racing.CONTEXT + TOKENS)
    token = model.forward(input_ids=ids, past_key_values=cache, use_cache=True).logits[:, -1].argmax(-1, keepdim=True)
    logits, tokens = [], []
    for number in range(TOKENS):
        logits.append(step(input_ids=token, past_key_values=cache, use_cache=True).logits[:, -1].float())
        token = logits[-1].argmax(-1, keepdim=True) if forced is None else forced[number]
        tokens.append(token)
    return torch.stack(logits), torch.stack(tokens)


def divergence(base: torch.Tensor, other: torch.Tensor) -> float:
    """KL(base || other) in nats a token, of logits."""
    log_p, log_q = base.log_softmax(-1), other.log_softmax(-1)
    return float((log_p.exp() * (log_p - log_q)).sum(-1).mean())


def distances(job: dict[str, Any], shape: dict[str, Any], batch: int) -> tuple[float, float]:
    """KL from bf16 of the variant as it is, and compiled."""
    bf16: Any = AutoModelForCausalLM.from_pretrained(shape["model"], dtype=torch.bfloat16, device_map=job["device"])
    base, tokens = decoded(bf16.eval(), bf16.forward, batch, None)
    variant: Any = recipe(job)(given({**job, "model": shape["model"], "quick": True}))
    variant.eval()
    plain, _ = decoded(variant, variant.forward, batch, tokens)
    compiled, _ = decoded(variant, torch.compile(variant.forward), batch, tokens)
    return divergence(base, plain), divergence(base, compiled)


def main(job: dict[str, Any]) -> dict[str, Any]:
    """The figures of each shape on which compiling changes no answer; of the others, what it changes."""
    torch.set_num_threads(job["threads"])
    found, failed = {}, {}
    for shape in job["shapes"]:
        name = shape["name"]
        try:
            found[name] = max((distances(job, shape, batch) for batch in shape["batches"]), key=lambda pair: pair[1])
        except Exception as error:
            failed[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            continue
        plain, compiled = found[name]
        if compiled > MOST[0] * plain + MOST[1]:
            failed[name] = f"it says something else once compiled: KL {compiled:.2g} from bf16, as it is {plain:.2g}"
    answer = racing.main({**job, "shapes": [shape for shape in job["shapes"] if shape["name"] not in failed]})
    answer["shapes"] |= {name: {"failed": why} for name, why in failed.items()}
    for name, pair in found.items():
        answer["shapes"][name]["distances"] = racing.rounded(list(pair))
    return answer


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
