"""The shapes of each architecture, found by building small variants of it with Transformers: observe, fit rules, verify."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from guide.calculator.shapes import Config

Answer = TypeVar("Answer")

LAYERS = 8  # of a small variant: twice the period of the common hybrids
SHORT, LONG = 5, 75  # tokens in a cache below and above each window of the small variants

Key = tuple[int | None, str]  # the layer, None outside of all, and the name
Seen = dict[Key, tuple[str, tuple[int, ...]]]  # the part and its figures, see ``shapes`` and ``cache`` of ``observe.Built``


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
