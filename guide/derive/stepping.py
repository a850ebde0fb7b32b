"""Train LoRA adapters with PEFT on the CPU, above bf16 weights or 4-bit ones, and note each tensor's bytes.

What is counted, and what is not, is as in ``guide.derive.tracing``. ``models/four_bit.py`` makes the 4-bit layers.
"""

import functools
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

from guide.calculator.shapes import Config
from guide.calculator.training import QUERY_VALUE
from guide.derive import Stepped, Trace, Way, foreign
from guide.derive.observe import Built
from guide.derive.tracing import Counted, hooked, note_layers
from guide.project import Project


@functools.cache
def four_bit() -> dict[str, Any]:
    """What ``models/four_bit.py`` has."""
    return runpy.run_path(str(Project.here().four_bit))


class Fused(torch.autograd.Function):  # type: ignore[misc]
    """What attention holds in one kernel, as on a GPU: keys and values as they are, the result, a sum a row, a mask to add."""

    @staticmethod
    def forward(ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any) -> torch.Tensor:
        """The result, of the right size."""
        sums = torch.zeros(query.shape[:-1], dtype=torch.float32)
        added = None if mask is None else torch.zeros(mask.shape, dtype=query.dtype)
        batch, heads, tokens, _ = query.shape
        made = torch.zeros((batch, tokens, heads, value.shape[-1]), dtype=query.dtype).transpose(1, 2)  # as kernels lay it out
        ctx.save_for_backward(query, key, value, made, sums, added)
        return made

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        """A gradient for each of query, key and value."""
        return (*(torch.zeros_like(one) for one in ctx.saved_tensors[:3]), None)


def fused(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: Any = None, **_: Any) -> Any:
    """In place of ``scaled_dot_product_attention``, autocast's types included."""
    if torch.is_autocast_enabled("cpu"):
        query, key, value = (one.to(torch.bfloat16) for one in (query, key, value))
    return Fused.apply(query, key, value, attn_mask)


class Stepping(Counted):
    """The block in which storages are counted, but not layers that are unpacked: the calculator counts these apart."""

    def _count(self, storage: torch.UntypedStorage, name: str) -> None:
        if not name.startswith(four_bit()["OPERATORS"]):
            super()._count(storage, name)


def prepared(model: Any, way: Way, stepped: Stepped) -> Any:
    """The model as it is trained, with adapters."""
    if way.quantized:
        four_bit()["quantize"](model)
    model.config.use_cache = False
    if way.quantized and way.adapter != "bfloat16":  # what is not quantized becomes float32
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if way.checkpointed:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    targets = way.targets if way.targets == "all-linear" else list(QUERY_VALUE)
    lora = LoraConfig(r=stepped.rank, target_modules=targets, task_type="CAUSAL_LM")
    return get_peft_model(model, lora, autocast_adapter_dtype=way.adapter != "bfloat16").train()


def trace_step(built: Built, raw: Config, way: Way, stepped: Stepped, whole: bool) -> Trace:
    """What a pass forward and backward holds beside weights, adapters, and their gradients, which are there before."""
    counted = Stepping(whole)
    with foreign(), _kernel():
        model = built.model(raw, "cpu")
        trained = prepared(model, way, stepped)
        for one in trained.parameters():
            if one.requires_grad:
                one.grad = torch.zeros_like(one)
        tokens = torch.randint(3, 100, (stepped.batch, stepped.tokens))
        with _noted(model, counted), counted:
            _pass(trained, way, tokens)
    return counted.trace


def measure_steps(built: Built, raw: Config, way: Way, stepped: Stepped) -> tuple[int, int]:
    """The most bytes beside the frozen weights while two steps of two passes each are made with ``AdamW``; and how many
    weights are trained."""
    counted = Stepping(whole=False)
    with foreign(), _kernel():
        tokens = torch.randint(3, 100, (stepped.batch, stepped.tokens))
        trained = prepared(built.model(raw, "cpu"), way, stepped)
        own = [one for one in trained.parameters() if one.requires_grad]
        there = sum(one.nbytes for one in own)
        optimizer = torch.optim.AdamW(own, fused=True)
        with counted:
            for _ in range(2):
                for _ in range(2):
                    _pass(trained, way, tokens)
                optimizer.step()
                optimizer.zero_grad()
    return there + counted.trace.peak, sum(one.numel() for one in own)


def _pass(trained: Any, way: Way, tokens: torch.Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=way.adapter == "autocast"):
        loss = trained(input_ids=tokens, labels=tokens).loss
    loss.backward()


@contextmanager
def _kernel() -> Iterator[None]:
    """Attention in one kernel, and adapters that are the same in each run."""
    torch.manual_seed(0)
    with mock.patch.object(torch.nn.functional, "scaled_dot_product_attention", fused):
        yield


@contextmanager
def _noted(model: Any, counted: Counted) -> Iterator[None]:
    """Hooks by which it is known which layer makes a tensor, and whether on the way forward (call 1) or back (call 2)."""
    counted.call = 1

    def end(*_: Any) -> None:
        counted.call, counted.layer = 2, -1

    with hooked([model.register_forward_hook(end), *note_layers(model.get_decoder().layers, counted)]):
        yield
