"""Make one variant of a model, as a recipe of ``snippets/numbers/`` says, with texts that no evaluation sees.

Runs in the environment of the method's notebook: ``python -m guide.guest.making JOB`` makes what a recipe saves, and its
last line of output says in JSON how long that took. What a recipe makes while it loads, ``guide.guest.judging`` and
``guide.guest.racing`` make themselves.
"""

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

EVALUATED = (64, 512)  # windows × tokens of each text that is evaluated
CALIBRATION = (128, 512)  # sequences × tokens: the same for every method that calibrates
ARTICLE = re.compile(r"\n = [^=\n]+ = \n")  # the heading of an article in WikiText-2's raw text


@dataclass(frozen=True)
class Given:
    """What a recipe makes its variant of."""

    model: str  # the folder of the bf16 model
    calibration: torch.Tensor  # token ids, (sequences, tokens)
    folder: Path  # where to save what is made on the way
    device: str
    quick: bool  # only speed will be measured, which does not ask how well the weights were chosen

    @property
    def tokenizer(self) -> Any:
        """The model's own."""
        return AutoTokenizer.from_pretrained(self.model)

    def load(self, **how: Any) -> nn.Module:
        """The model in bf16, or quantized as ``how`` says: the keyword arguments of ``from_pretrained``."""
        model: nn.Module = AutoModelForCausalLM.from_pretrained(
            self.model, dtype=torch.bfloat16, device_map=self.device, **how
        )
        return model


def evaluated(tokenizer: Any, text: str) -> torch.Tensor:
    """The first windows of a text, token ids of shape ``EVALUATED``."""
    count, length = EVALUATED
    ids = tokenizer(text, return_tensors="pt", verbose=False).input_ids[0, : count * length]
    return torch.as_tensor(ids.view(count, length))


def calibration(tokenizer: Any, text: str) -> torch.Tensor:
    """Token ids of shape ``CALIBRATION`` from the first article that begins behind what ``evaluated`` takes of the text."""
    taken = EVALUATED[0] * EVALUATED[1]
    found = tokenizer(text, return_offsets_mapping=True, return_tensors="pt", verbose=False)
    behind = int(found.offset_mapping[0, taken, 0])
    heading = ARTICLE.search(text, behind)
    if heading is None:
        raise ValueError("No article of the text begins behind the windows that are evaluated.")
    count, length = CALIBRATION
    ids = tokenizer(text[heading.start() :], return_tensors="pt", verbose=False).input_ids[0, : count * length]
    return torch.as_tensor(ids.view(count, length))


def given(job: dict[str, Any]) -> Given:
    """What a job hands to a recipe; for speed alone, a few random tokens calibrate."""
    if job["quick"]:
        texts = torch.randint(100, 30000, (4, 128), generator=torch.Generator().manual_seed(0))
    else:
        tokenizer = AutoTokenizer.from_pretrained(job["model"])
        texts = calibration(tokenizer, Path(job["wikitext"]).read_text(encoding="utf-8"))
    return Given(job["model"], texts, Path(job["folder"]), job["device"], job["quick"])


def recipe(job: dict[str, Any]) -> Callable[[Given], nn.Module | str]:
    """The function that makes the job's variant: it returns the model, or the folder that it saved it in."""
    found: Callable[[Given], nn.Module | str] = import_module(job["module"]).VARIANTS[job["variant"]]
    return found


def used() -> float:
    """Processor seconds of this process and of those that it waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def peak() -> int:
    """The most memory that this process has held, in bytes."""
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else 1024 * highest


def make(job: dict[str, Any]) -> dict[str, Any]:
    """Make and save a variant; returns the folder, the time it took and the memory it held at most."""
    torch.manual_seed(0)
    torch.set_num_threads(job["threads"])
    inputs, started, before = given(job), time.monotonic(), used()
    folder = recipe(job)(inputs)
    taken = {"seconds": round(time.monotonic() - started, 1), "cpu_seconds": round(used() - before, 1)}
    return {"folder": str(folder), **taken, "peak_bytes": peak()}


if __name__ == "__main__":
    print(json.dumps(make(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
