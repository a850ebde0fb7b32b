"""What nothing can be derived from, and the one boundary at which an error of Transformers or torch becomes that."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Given = TypeVar("Given")
Answer = TypeVar("Answer")


class Refused(Exception):
    """A config that can't be built, or shapes that can't be derived. The message says why."""


@contextmanager
def foreign() -> Iterator[None]:
    """A block that runs the code of Transformers or torch, and none of ours.

    Whatever a model raises at a config says only that it can't be built from it. An error of our own is a bug, and is shown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise Refused(" ".join(str(error).split())[:160] or type(error).__name__) from error


def maybe(observe: Callable[[Given], Answer], given: Given) -> Answer | None:
    """What is observed, None where that is refused."""
    try:
        return observe(given)
    except Refused:
        return None
