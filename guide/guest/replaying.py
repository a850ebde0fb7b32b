"""Time one variant of a model beside the bf16 model on a GPU, each step recorded as a CUDA graph and replayed.

Runs in the environment of the method's notebook: ``python -m guide.guest.replaying JOB``. Called from Python, a model of 32
layers waits for the interpreter, whatever its weights are. Engines record what a step launches and replay it; so does this,
once it is seen that the replayed steps say what the model says. The answer is the last line of standard output, in JSON:
racing's, with the distances that were found.
"""

import json
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, StaticCache

from guide.guest import racing
from guide.guest.compiling import MOST, divergence
from guide.guest.making import given, recipe

WARM, CHECKED = 3, 16  # steps before one is recorded, in which kernels are chosen; steps whose logits are held against bf16's
Forward = Callable[..., Any]  # of a model, as it is or compiled


def recorded(step: racing.Step) -> torch.cuda.CUDAGraph:
    """What a step launches, to be replayed; the step runs ``WARM`` times, recording runs nothing."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph


class Decoding:
    """Decodes one more token of ``batch`` sequences a call, after ``racing.CONTEXT`` tokens; ``steps`` calls at most."""

    def __init__(self, model: Any, forward: Forward, batch: int, steps: int):
        self.model = model
        tokens = torch.randint(100, 30000, (batch, racing.CONTEXT), generator=torch.Generator().manual_seed(0))
        self.context = tokens.to(model.device)
        self.cache = StaticCache(config=model.config, max_cache_len=racing.CONTEXT + max(steps, CHECKED, WARM) + 1)
        self.ids = self.context[:, -1:].clone()
        self.begin()
        recording: list[torch.Tensor] = []
        self.graph = recorded(lambda: recording.append(self.step(forward)))
        self.logits = recording[-1]  # where each replay leaves its own
        self.begin()

    def begin(self) -> None:
        """Forget all but the context, in place: a recording knows where cache and token lie."""
        self.cache.reset()
        self.model.forward(input_ids=self.context, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.ids.copy_(self.context[:, -1:])

    def step(self, forward: Forward) -> torch.Tensor:
        """Read a token, find the next one, and return the logits, (batch, vocabulary)."""
        logits: torch.Tensor = forward(input_ids=self.ids, past_key_values=self.cache, use_cache=True).logits[:, -1]
        self.ids.copy_(logits.argmax(-1, keepdim=True))
        return logits

    def replayed(self) -> torch.Tensor:
        """The same from the recording."""
        self.graph.replay()
        return self.logits


def prefilling(model: Any) -> racing.Step:
    """A step that reads a prompt of ``racing.PREFILL`` tokens."""
    ids = torch.randint(100, 30000, (1, racing.PREFILL), generator=torch.Generator().manual_seed(0)).to(model.device)
    graph = recorded(lambda: model.forward(input_ids=ids, use_cache=True, logits_to_keep=1))
    return lambda: graph.replay()


def said(decode: Decoding, replayed: bool, forced: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of ``CHECKED`` steps, (``CHECKED``, batch, vocabulary), and the tokens read: ``forced``, or else its own."""
    logits, tokens = [], []
    decode.begin()
    for number in range(CHECKED):
        if forced is not None:
            decode.ids.copy_(forced[number])
        tokens.append(decode.ids.clone())
        logits.append((decode.replayed() if replayed else decode.step(decode.model.forward)).float().clone())
    decode.begin()
    return torch.stack(logits), torch.stack(tokens)


def distances(bf16: Decoding, variant: Decoding) -> tuple[float, float]:
    """KL from bf16 of the variant as it is, and replayed."""
    base, tokens = said(bf16, False, None)
    plain, _ = said(variant, False, tokens)
    replayed, _ = said(variant, True, tokens)
    return divergence(base, plain), divergence(base, replayed)


@torch.no_grad()
def raced(job: dict[str, Any], shape: dict[str, Any]) -> dict[str, Any]:
    """The figures of one shape: decoding at each batch and reading a prompt."""
    bf16: Any = AutoModelForCausalLM.from_pretrained(shape["model"], dtype=torch.bfloat16, device_map=job["device"]).eval()
    if shape.get("made"):
        variant: Any = AutoModelForCausalLM.from_pretrained(shape["made"], dtype=torch.bfloat16, device_map=job["device"])
    else:
        variant = recipe(job)(given({**job, "model": shape["model"], "quick": True}))
    variant.eval()
    forward = torch.compile(variant.forward) if job["compile"] else variant.forward
    answer: dict[str, Any] = {"decode": {}, "prefill": None, "compile_seconds": None, "distances": None}
    pairs: list[tuple[float, float]] = []
    for batch in shape["batches"]:
        most = racing.BLOCKS * shape["steps"] + 1
        plain = [Decoding(bf16, bf16.forward, batch, most) for _ in range(2)]
        made: list[Decoding] = []
        took = racing.timed(lambda: made.append(Decoding(variant, forward, batch, most)), job["device"])  # noqa: B023
        if job["compile"]:
            answer["compile_seconds"] = racing.rounded([(answer["compile_seconds"] or 0) + took])[0]
        as_it_is, replayed = distances(plain[0], made[0])
        if replayed > MOST[0] * as_it_is + MOST[1]:
            raise RuntimeError(f"replayed it says something else: KL {replayed:.2g} from bf16, as it is {as_it_is:.2g}")
        pairs.append((as_it_is, replayed))
        decode = racing.race([one.replayed for one in (*plain, *made)], shape["steps"], job["device"])
        reads = {"read_bytes": variant, "baseline_read_bytes": bf16}
        cached = racing.cache_bytes(variant.config, batch)
        answer["decode"][str(batch)] = decode | {name: racing.read_bytes(model) + cached for name, model in reads.items()}
    if not job["compile"]:
        steps = [prefilling(model) for model in (bf16, bf16, variant)]
        answer["prefill"] = racing.race(steps, shape["steps"], job["device"])
    worst: tuple[float, float] = max(pairs, key=itemgetter(1))
    return answer | {"distances": racing.rounded(list(worst))}


def main(job: dict[str, Any]) -> dict[str, Any]:
    """The figures of each shape of the job; one that fails says so and spares the others."""
    torch.manual_seed(0)
    answer: dict[str, Any] = {"bandwidth": racing.rounded([racing.bandwidth(job["device"])])[0], "shapes": {}}
    for shape in job["shapes"]:
        try:
            answer["shapes"][shape["name"]] = raced(job, shape)
        except Exception as error:
            traceback.print_exc()
            answer["shapes"][shape["name"]] = {"failed": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
    return answer | {"versions": {name: version(name) for name in job["packages"]}}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
