"""Measuring: stored bytes, quality and speed of a quantized model beside its bf16 original."""

from __future__ import annotations

import statistics
import time
import zipfile
from html import escape
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download
from IPython.display import display
from torch import nn


def evaluation_windows(tokenizer, count: int = 64, length: int = 512) -> torch.Tensor:
    """The first ``count`` windows of WikiText-2's raw test text, token ids of shape (count, length).

    The archive is the one that llama.cpp's perplexity tool is documented with.
    """
    archive = hf_hub_download("ggml-org/ci", "wikitext-2-raw-v1.zip", repo_type="dataset")
    with zipfile.ZipFile(archive) as files:
        text = files.read("wikitext-2-raw/wiki.test.raw").decode("utf-8")
    ids = tokenizer(text[: 8 * count * length], return_tensors="pt", verbose=False).input_ids[0]
    return ids[: count * length].view(count, length)


def decoder_linears(model: nn.Module) -> list[str]:
    """The names of the linear layers that methods quantize: all but the output head."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head]


def stored_bytes(model: nn.Module, names: list[str] | None = None) -> int:
    """Bytes of every distinct tensor storage reachable from a model, or from its modules ``names`` alone.

    Goes into tensor subclasses (torchao keeps data and scales as inner tensors) and into the state objects that hang
    on a weight (bitsandbytes keeps its scales there), which ``get_memory_footprint`` does not. A storage that several
    tensors share, such as tied embeddings, counts once.
    """
    storages: dict[tuple, int] = {}
    seen: dict[int, object] = {}  # holds what it has seen, so that no id is used twice

    def visit(thing) -> None:
        if id(thing) in seen or isinstance(thing, (nn.Module, type)):
            return
        seen[id(thing)] = thing
        if isinstance(thing, torch.Tensor):
            inner = thing.__tensor_flatten__()[0] if hasattr(thing, "__tensor_flatten__") else []
            for name in inner:
                visit(getattr(thing, name))
            if not inner:
                storage = thing.untyped_storage()
                storages[thing.device, storage.data_ptr()] = storage.nbytes()
        elif isinstance(thing, dict):
            for value in thing.values():
                visit(value)
        elif isinstance(thing, (list, tuple)):
            for value in thing:
                visit(value)
        if isinstance(thing, torch.Tensor) or type(thing).__module__.startswith("bitsandbytes"):
            visit(getattr(thing, "__dict__", {}))

    for part in [model] if names is None else map(model.get_submodule, names):
        for module in part.modules():
            visit({name: value for name, value in vars(module).items() if name != "_modules"})
    return sum(storages.values())


def weight_files_bytes(folder: str) -> int:
    """Bytes of the saved weight files in ``folder``."""
    return sum(path.stat().st_size for path in Path(folder).glob("*.safetensors"))


class stopwatch:  # noqa: N801, a context manager reads as a word
    """``with stopwatch() as load: ...`` leaves the seconds in ``load.seconds``."""

    def __enter__(self):
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self._start


def weigh(variant: str, bits: int, model: nn.Module, baseline: nn.Module, load: stopwatch) -> dict:
    """Start a row of the table: what the variant stores, to be called before the first forward pass changes that.

    ``ratio`` is bf16's bytes over the variant's for the whole model, ``linear_ratio`` for the decoder linears alone.
    """
    linears = decoder_linears(baseline)
    row = {
        "variant": variant,
        "bits": bits,
        "parameters": sum(p.numel() for p in baseline.parameters()),
        "baseline_bytes": stored_bytes(baseline),
        "quantized_bytes": stored_bytes(model),
        "linear_ratio": stored_bytes(baseline, linears) / stored_bytes(model, linears),
        "load_seconds": load.seconds,
    }
    return row | {"ratio": row["baseline_bytes"] / row["quantized_bytes"]}


@torch.no_grad()
def quality(model: nn.Module, baseline: nn.Module, windows: torch.Tensor) -> dict:
    """Perplexity of both models; loss difference (nats), top-1 agreement and KL(bf16 || quantized), paired by token.

    ``_error`` is the standard error of the mean over windows, since tokens of one window are not independent.
    """
    per_window = []
    for ids in windows:
        ids = ids[None].to(baseline.device)
        log_p = baseline(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
        log_q = model(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
        loss_p, loss_q = (-log.gather(1, ids[0, 1:, None]).mean() for log in (log_p, log_q))
        agreement = (log_p.argmax(-1) == log_q.argmax(-1)).float().mean()
        kl = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
        per_window.append(torch.stack([loss_p, loss_q, loss_q - loss_p, agreement, kl]).cpu())
    values = torch.stack(per_window).double()
    mean, error = values.mean(0).tolist(), (values.std(0) / len(values) ** 0.5).tolist()
    figures = {"tokens": windows.numel()}
    figures["baseline_perplexity"], figures["perplexity"] = values.mean(0)[:2].exp().tolist()
    for i, name in enumerate(("loss_difference", "top1_agreement", "kl"), start=2):
        figures[name], figures[f"{name}_error"] = mean[i], error[i]
    return figures


def decode_seconds(model: nn.Module, ids: torch.Tensor, new_tokens: int) -> float:
    """Seconds to generate ``new_tokens`` greedily from ``ids`` of shape (1, tokens)."""
    ids = ids.to(model.device)
    with stopwatch() as run:
        mask = torch.ones_like(ids)
        model.generate(ids, attention_mask=mask, max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False)
        if ids.is_cuda:
            torch.cuda.synchronize()
    return run.seconds


def speed(model: nn.Module, baseline: nn.Module, ids: torch.Tensor, new_tokens: int = 48, repeats: int = 5) -> dict:
    """Decode speed of both models, in turns, so that what else the machine does hits both alike.

    Medians in tokens a second, and the median, lowest and highest ratio of a pair; the first pair only warms up.
    """
    pairs = [(decode_seconds(baseline, ids, new_tokens), decode_seconds(model, ids, new_tokens)) for _ in range(repeats + 1)]
    ratios = [base / quantized for base, quantized in pairs[1:]]
    return {
        "baseline_tokens_per_second": new_tokens / statistics.median(base for base, _ in pairs[1:]),
        "tokens_per_second": new_tokens / statistics.median(quantized for _, quantized in pairs[1:]),
        "speed_ratio": statistics.median(ratios),
        "speed_ratio_low": min(ratios),
        "speed_ratio_high": max(ratios),
    }


def generated(model: nn.Module, ids: torch.Tensor, new_tokens: int = 24) -> torch.Tensor:
    """The prompt ``ids`` (1, tokens) with its greedy continuation, on the CPU."""
    ids = ids.to(model.device)
    return model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=new_tokens, do_sample=False).cpu()


class MeasureTable:
    """Displays rows of measures as a table. The output keeps the figures themselves too; a proof records those."""

    head = ("variant", "whole model", "decoder linears", "perplexity", "loss minus bf16's", "same top-1 as bf16",
            "KL from bf16", "decode speed over bf16's", "reload equal")  # fmt: skip

    def __init__(self, rows: list[dict]):
        self.rows = rows

    def cells(self) -> list[tuple[str, ...]]:
        first = self.rows[0]
        speed = f"1 ({first['baseline_tokens_per_second']:.0f} tokens/s)"
        megabytes = f"{first['baseline_bytes'] / 1e6:.2f} MB"
        lines = [("bf16", megabytes, "", f"{first['baseline_perplexity']:.3f}", "0", "100 %", "0", speed, "")]
        for row in self.rows:
            lines.append((
                row["variant"],
                f"{row['quantized_bytes'] / 1e6:.2f} MB, {row['ratio']:.2f} x smaller",
                f"{row['linear_ratio']:.2f} x smaller",
                f"{row['perplexity']:.3f}",
                f"{row['loss_difference']:+.4f} ± {row['loss_difference_error']:.4f}",
                f"{100 * row['top1_agreement']:.1f} ± {100 * row['top1_agreement_error']:.1f} %",
                f"{row['kl']:.5f} ± {row['kl_error']:.5f}",
                f"{row['speed_ratio']:.2f} ({row['speed_ratio_low']:.2f} to {row['speed_ratio_high']:.2f})",
                "yes" if row["reload_equal"] else "no",
            ))  # fmt: skip
        return lines

    def caption(self) -> str:
        first = self.rows[0]
        return (
            f"A model of {first['parameters'] / 1e6:,.1f} million parameters on {first['tokens']:,} tokens of text. "
            "± is one standard error, paired with bf16. Speed: batch 1, greedy; median, lowest and highest ratio."
        )

    def __repr__(self) -> str:
        lines = [self.head, *self.cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ("  ".join(map(str.ljust, line, widths)) for line in lines)
        return "\n".join([*text, self.caption()])

    def _repr_html_(self) -> str:
        columns = "".join(f'<th scope="col">{cell}</th>' for cell in self.head)
        body = ""
        for name, *cells in self.cells():
            body += f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
        return f"<table><caption>{self.caption()}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>"

    def show(self) -> None:
        """Display the table; the figures travel in the same output."""
        figures = {"application/vnd.quantization-guide.measures+json": self.rows}
        display({"text/plain": repr(self), "text/html": self._repr_html_(), **figures}, raw=True)
