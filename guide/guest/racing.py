"""Time one variant of a model beside the bf16 model, and the bf16 model beside itself.

Runs in the environment of the method's notebook: ``python -m guide.guest.racing JOB``. Three models take turns, step by step:
bf16, bf16 loaded once more, and the variant. What the machine does beside hits all three alike, and the two bf16 models show
what difference no difference makes. The answer is the last line of standard output, in JSON.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, StaticCache

from guide.guest.making import given, recipe
from snippets.shared.measure import stored_bytes

BLOCKS = 5  # each figure is the median over so many blocks of steps, with the lowest and the highest
CONTEXT, PREFILL = 64, 512  # tokens before the first that is decoded; tokens of the prompt that is timed
MOST_SECONDS = 20  # after which a figure's blocks stop, if three are there: some variants are very slow
Step = Callable[[], object]


def bandwidth(device: str) -> float:
    """Bytes a second at which this machine reads its memory: the best of ten sums over a buffer no cache holds."""
    buffer = torch.ones((4 if device == "cuda" else 1) * 2**28, dtype=torch.float32, device=device)
    seconds = [timed(lambda: buffer.sum(), device) for _ in range(10)]
    return buffer.nbytes / min(seconds)


def timed(step: Step, device: str) -> float:
    """Seconds that a step takes."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def decoding(model: nn.Module, batch: int, steps: int, static: bool) -> Step:
    """A step that decodes one more token of ``batch`` sequences, which have ``CONTEXT`` tokens before the first step."""
    ids = torch.randint(100, 30000, (batch, CONTEXT), generator=torch.Generator().manual_seed(0)).to(model.device)
    cache: dict[str, Any] = {}
    if static:
        cache = {"past_key_values": StaticCache(config=model.config, max_cache_len=CONTEXT + steps)}
    out = getattr(model, "eager", model)(input_ids=ids, use_cache=True, logits_to_keep=1, **cache)
    state = {"cache": out.past_key_values, "ids": ids[:, -1:]}

    def step() -> None:
        out = model(input_ids=state["ids"], past_key_values=state["cache"], use_cache=True)
        state["ids"] = out.logits[:, -1].argmax(-1, keepdim=True)

    return step


def prefilling(model: nn.Module) -> Step:
    """A step that reads a prompt of ``PREFILL`` tokens."""
    ids = torch.randint(100, 30000, (1, PREFILL), generator=torch.Generator().manual_seed(0)).to(model.device)
    return lambda: model(input_ids=ids, use_cache=True, logits_to_keep=1)


def race(steps: list[Step], count: int, device: str) -> dict[str, Any]:
    """Time steps in turns, ``count`` of each in a block; each block starts with another one.

    ``seconds`` is the median step of bf16, of bf16 again and of the variant; ``ratio`` how many times faster than bf16 the
    variant is, ``control`` the same of bf16 again: the median, lowest and highest of the blocks.
    """
    for step in steps:
        step()
    blocks, began = [], time.monotonic()
    for number in range(BLOCKS):
        if number >= 3 and time.monotonic() - began > MOST_SECONDS:
            break
        taken: list[list[float]] = [[] for _ in steps]
        for turn in range(count):
            for place in range(len(steps)):
                which = (place + turn + number) % len(steps)
                taken[which].append(timed(steps[which], device))
        blocks.append([statistics.median(one) for one in taken])
    seconds = [statistics.median(block[which] for block in blocks) for which in range(len(steps))]
    ratios = [[(block[0] + block[1]) / 2 / block[2] for block in blocks], [block[0] / block[1] for block in blocks]]
    spans = [[statistics.median(one), min(one), max(one)] for one in ratios]
    return {"seconds": rounded(seconds), "ratio": rounded(spans[0]), "control": rounded(spans[1]), "blocks": len(blocks)}


def rounded(figures: list[float]) -> list[float]:
    """Figures to the digits that are stored."""
    return [float(f"{one:.5g}") for one in figures]


def read_bytes(model: nn.Module) -> int:
    """Bytes of weights that one step of decoding reads: all but an embedding that is not the head too."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = embedding.weight.data_ptr() == getattr(head, "weight", embedding.weight).data_ptr()
    names = [name for name, module in model.named_modules() if module is embedding]
    return stored_bytes(model) - (0 if tied else stored_bytes(model, names))


def cache_bytes(config: Any, batch: int) -> int:
    """Bytes of keys and values in bf16 that one step of decoding reads at the start, for ``batch`` sequences."""
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * 2 * config.num_hidden_layers * config.num_key_value_heads * head * CONTEXT * batch


@torch.no_grad()
def raced(job: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    """The figures of one shape: decoding at each batch and reading a prompt."""
    device, static = job["device"], job["compile"]

    def bf16() -> nn.Module:
        model: nn.Module = AutoModelForCausalLM.from_pretrained(shape["model"], dtype=torch.bfloat16, device_map=device)
        return model.eval()

    models = [bf16(), bf16()]
    if shape.get("made"):
        variant: Any = AutoModelForCausalLM.from_pretrained(shape["made"], dtype=torch.bfloat16, device_map=device)
    else:
        variant = recipe(job)(given({**job, "model": shape["model"], "quick": True}))
    models.append(variant.eval())
    compiling = 0.0
    if static:
        # Compiled is what decodes; the first pass, over the context, stays as it is.
        variant.eager = variant.forward
        variant.forward = torch.compile(variant.forward)
    answer: dict[str, Any] = {"decode": {}, "prefill": None}
    for batch in shape["batches"]:
        count = max(1, shape["steps"] // (1 if batch == 1 else 4))
        steps = [decoding(model, batch, BLOCKS * count + 8, static and model is variant) for model in models]
        if static:
            compiling += timed(steps[2], device)
        answer["decode"][str(batch)] = race(steps, count, device)
        answer["decode"][str(batch)]["read_bytes"] = read_bytes(variant) + cache_bytes(variant.config, batch)
        answer["decode"][str(batch)]["baseline_read_bytes"] = read_bytes(models[0]) + cache_bytes(variant.config, batch)
    if not static:
        answer["prefill"] = race([prefilling(model) for model in models], max(1, shape["steps"] // 4), device)
    return answer | {"compile_seconds": rounded([compiling])[0] if static else None}


def main(job: dict[str, Any]) -> dict[str, Any]:
    """The figures of each shape of the job; one that fails says so and spares the others."""
    torch.manual_seed(0)
    torch.set_num_threads(job["threads"])
    with suppress(AttributeError, OSError):  # macOS and Windows do not pin
        os.sched_setaffinity(0, set(range(job["threads"])))
    answer: dict[str, Any] = {"bandwidth": rounded([bandwidth(job["device"])])[0], "shapes": {}}
    for shape in job["shapes"]:
        try:
            answer["shapes"][shape["name"]] = raced(job, shape)
        except Exception as error:
            answer["shapes"][shape["name"]] = {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    return answer | {"versions": {name: version(name) for name in job["packages"]}}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
