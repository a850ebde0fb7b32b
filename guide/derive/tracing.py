"""Run a model's ``generate()`` on the CPU, and note each tensor's bytes, when it is made, and what else is held then.

Counted are the storages that PyTorch's operators return, as a dispatch mode sees them: the same on every machine, unlike what
an allocator reports. What a kernel takes inside one operator, and frees before it returns, is not seen.
"""

import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from transformers import GenerationConfig

from guide.derive import Passed, Refused, Site, Trace, foreign

FRAMES = 8  # of Transformers' code by which two runs' tensors are known to be the same


def fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: Any = None, **_: Any) -> torch.Tensor:
    """Make what attention holds in one kernel, as on a GPU: its result, a sum for each row, and a mask as it is added.

    A CPU's kernel refuses keys and values of different sizes, and PyTorch multiplies all queries by all keys instead.
    """
    sums = torch.zeros(query.shape[:-1], dtype=torch.float32)
    added = None if attn_mask is None else torch.zeros(attn_mask.shape, dtype=query.dtype)
    made = torch.zeros((*query.shape[:-1], value.shape[-1]), dtype=query.dtype)
    del sums, added
    return made


def linear(given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Add the bias in the kernel that multiplies, also where PyTorch would not, as it looks how ``given`` lies in memory."""
    if bias is None:
        return LINEAR(given, weight)
    return torch.addmm(bias, given.reshape(-1, given.shape[-1]), weight.t()).view(*given.shape[:-1], -1)


LINEAR = torch.nn.functional.linear
KERNELS: dict[str, Any] = {"scaled_dot_product_attention": fused, "linear": linear}


class Counted(TorchDispatchMode):  # type: ignore[misc]
    """The block in which storages are counted; ``trace`` has them after it."""

    def __init__(self, whole: bool):
        super().__init__()
        self.whole = whole
        self.call, self.layer, self.now = 0, -1, 0
        self.trace = Trace()
        self._live: dict[int, None] = {}  # numbers of the storages that are held, in order
        self._number: dict[int, int] = {}  # of each of them, by identity

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operator, and count what it made."""
        given = {id(one.untyped_storage()) for one in tree_iter((args, kwargs)) if isinstance(one, torch.Tensor)}
        made = func(*args, **(kwargs or {}))
        for one in tree_iter(made):
            if isinstance(one, torch.Tensor) and id(one.untyped_storage()) not in given:
                self._count(one.untyped_storage(), str(func))
        return made

    def number(self, tensor: torch.Tensor) -> int | None:
        """Of a tensor's storage; None for one that was there before."""
        return self._number.get(id(tensor.untyped_storage()))

    def _count(self, storage: torch.UntypedStorage, name: str) -> None:
        size, trace = storage.nbytes(), self.trace
        if not size or self._number.get(id(storage)) in self._live:
            return
        number = self._number[id(storage)] = len(trace.sizes)
        self._live[number] = None
        self.now += size
        trace.peak = max(trace.peak, self.now)
        trace.sizes.append(size)
        trace.sites.append(Site(self.call, self.layer, name, _lines()))
        trace.live.append(tuple(self._live) if self.whole else ())
        weakref.finalize(storage, self._drop, number)

    def _drop(self, number: int) -> None:
        if self._live.pop(number, 0) is None:
            self.now -= self.trace.sizes[number]


def _lines() -> tuple[tuple[str, int], ...]:
    """The lines of Transformers' code that called."""
    found: list[tuple[str, int]] = []
    frame: Any = sys._getframe(3)
    while frame and len(found) < FRAMES:
        code = frame.f_code
        if "transformers" in code.co_filename:
            found.append((code.co_filename, frame.f_lineno))
        frame = frame.f_back
    return tuple(found)


def trace(model: Any, passed: Passed, whole: bool = True, one_kernel: bool = True) -> Trace:
    """What ``generate()`` holds.

    ``whole``: also what is held at each moment; ``one_kernel``: attention is one, else what torch runs on this machine.
    """
    counted = Counted(whole)
    prompt = torch.randint(3, 100, (passed.batch, passed.prompt))
    model.generation_config = GenerationConfig(pad_token_id=0)
    chunks = {"prefill_chunk_size": passed.chunk} if passed.chunk else {}
    kernels = mock.patch.multiple(torch.nn.functional, **KERNELS) if one_kernel else nullcontext()
    with foreign(), torch.no_grad(), _noted(model, counted), kernels, counted:
        model.generate(prompt, max_new_tokens=passed.new, min_new_tokens=passed.new, do_sample=False, **chunks)
    return counted.trace


@contextmanager
def _noted(model: Any, counted: Counted) -> Iterator[None]:
    """Hooks by which it is known which call and which layer makes a tensor, and what the cache holds after each call."""

    def begin(*_: Any) -> None:
        counted.call += 1

    def end(module: Any, args: Any, kwargs: Any, made: Any) -> None:
        counted.trace.held.append({place: counted.number(one) for place, one in _cached(made.past_key_values)})

    handles = [model.register_forward_pre_hook(begin), model.register_forward_hook(end, with_kwargs=True)]
    with hooked([*handles, *note_layers(layers_of(model.get_decoder()), counted)]):
        yield


def note_layers(layers: Iterable[Any], counted: Counted) -> list[Any]:
    """Hooks by which it is known which layer makes a tensor."""
    handles = []
    for number, layer in enumerate(layers):

        def enter(*_: Any, number: int = number) -> None:
            counted.layer = number

        def leave(*_: Any) -> None:
            counted.layer = -1

        handles += [layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave)]
    return handles


@contextmanager
def hooked(handles: list[Any]) -> Iterator[None]:
    """The block in which these hooks are called; they are gone after it."""
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def layers_of(decoder: Any) -> torch.nn.ModuleList:
    """The layers of a decoder, whose list older models call ``h``; raises Refused where it has no list."""
    found = next((module for module in decoder.modules() if isinstance(module, torch.nn.ModuleList)), None)
    if found is None:
        raise Refused(f"{type(decoder).__name__} has no list of layers")
    return found


def _cached(cache: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a cache, each with its place in it."""
    for number, layer in enumerate(cache.layers):
        for name, attribute in vars(layer).items():
            inner = list(attribute.values()) if isinstance(attribute, dict) else attribute
            for place, one in enumerate(inner if isinstance(inner, list | tuple) else [inner]):
                if isinstance(one, torch.Tensor) and one.dim() > 1 and one.numel():
                    yield f"{number} {name} {place}", one
