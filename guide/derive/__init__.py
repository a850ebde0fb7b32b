"""The shapes of each architecture, found by building small variants of it with Transformers: observe, fit rules, verify."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from guide.calculator.shapes import Config

Answer = TypeVar("Answer")

LAYERS = 8  # of a small variant: twice the period of the common hybrids
SHORT, LONG = 5, 75  # tokens in a cache below and above each window of the small variants

Key = tuple[int | None, str]  # the layer, None outside of all, and the name
Seen = dict[Key, tuple[str, tuple[int, ...]]]  # the part and its figures, see ``shapes`` and ``cache`` of ``observe.Built``


class Site(NamedTuple):
    """Where a tensor is made: in which of the model's calls, counted from 1; in which layer, -1 outside; by which code."""

    call: int
    layer: int
    operator: str
    lines: tuple[tuple[str, int], ...]


class Passed(NamedTuple):
    """How ``generate()`` is called: tokens of the prompt and of a chunk of it, 0 for the whole; sequences; new tokens."""

    prompt: int
    chunk: int = 0
    batch: int = 1
    new: int = 3


class Stepped(NamedTuple):
    """A step of training: tokens of a sequence, sequences, and the adapters' rank."""

    tokens: int
    batch: int = 1
    rank: int = 8


class Way(NamedTuple):
    """How adapters are trained, see ``guide.calculator.training``: above nf4, or bf16; what the adapters are in."""

    quantized: bool
    adapter: str  # "float32", "autocast": float32 with bf16 arithmetic, or "bfloat16"
    targets: str  # "all-linear" or "query-value"
    checkpointed: bool


@dataclass
class Trace:
    """The tensors that a run makes, in order: bytes, sites, and which were held when each was made."""

    sizes: list[int] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    live: list[tuple[int, ...]] = field(default_factory=list)
    held: list[dict[str, int | None]] = field(default_factory=list)  # by call: what the cache holds after it, by place
    peak: int = 0  # the most bytes held at a time


class Refused(Exception):
    """A config that can't be built, or shapes that can't be derived. The message says why."""


@contextmanager
def foreign() -> Iterator[None]:
    """A block of Transformers' or torch's code alone: each error in it is a refusal. One of our own is a bug, and is shown."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise Refused(" ".join(str(error).split())[:160] or type(error).__name__) from error


def maybe(observe: Callable[[Config], Answer], raw: Config) -> Answer | None:
    """What is observed, None where that is refused."""
    try:
        return observe(raw)
    except Refused:
        return None
