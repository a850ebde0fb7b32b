"""Serving: what an engine makes of a checkpoint, in a process of its own."""

from __future__ import annotations

import time
from html import escape
from pathlib import Path

from huggingface_hub import snapshot_download
from IPython.display import display

PROMPT = "The capital of France is"
TOKENS = 16


class Served(list):
    """Rows of what was tried; displays as a table, and keeps the rows for a proof's record."""

    HEAD = ("format", "checkpoint", "loads", "seconds", "files, MB", "in memory, MB", "same first tokens", "what it said")

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        lines = [self.HEAD, *map(_line, self)]
        cells = ["".join(f"<td>{escape(str(cell))}</td>" for cell in line) for line in lines[1:]]
        head = "".join(f"<th>{name}</th>" for name in self.HEAD)
        html = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in cells)}</tbody></table>"
        text = "\n".join(" | ".join(map(str, line)) for line in lines)
        return {"text/plain": text, "text/html": html, "application/vnd.quantization-guide.served+json": list(self)}


def _line(row: dict) -> tuple:
    """A row as it is shown."""
    sizes = [f"{row[name] / 1e6:.1f}" if row[name] else "" for name in ("stored_bytes", "resident_bytes")]
    same = "" if row["same"] is None else f"{row['same']} of {TOKENS}"
    seconds = f"{row['seconds']:.1f}" if row["loads"] else ""
    return row["format"], row["checkpoint"], "yes" if row["loads"] else "no", seconds, *sizes, same, row["said"]


def weight_bytes(checkpoint: str) -> int:
    """Bytes of a checkpoint's weights as they are stored; a repository is fetched where it is not there yet."""
    path = Path(checkpoint) if Path(checkpoint).exists() else Path(snapshot_download(checkpoint))
    files = (
        [path] if path.is_file() else [file for file in path.rglob("*") if file.suffix in (".safetensors", ".gguf", ".bin")]
    )
    return sum(file.stat().st_size for file in files)


def _attempt(engine, checkpoint: str) -> tuple[list[int], int] | str:
    """What the engine returns, or what it raises, as text: not every error can be handed to another process."""
    try:
        return engine(checkpoint)
    except Exception as error:  # whatever an engine refuses with
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def served(engine, checkpoint: str, format: str, expected: list[int] | None = None) -> dict:
    """Have ``engine``, a function of a checkpoint, load it and generate, in a process of its own.

    ``engine`` returns the ids of the tokens it generates greedily, and the bytes of the weights it holds. ``expected`` are
    Transformers' tokens for the same checkpoint, None where they are not compared. What is raised is a row, too.
    """
    import loky

    row = {
        "format": format,
        "checkpoint": checkpoint,
        "loads": False,
        "seconds": 0.0,
        "stored_bytes": weight_bytes(checkpoint),
    }
    row |= {"resident_bytes": 0, "same": None, "said": ""}
    started = time.perf_counter()
    executor = loky.ProcessPoolExecutor(1)
    try:
        answer = executor.submit(_attempt, engine, checkpoint).result()
    except loky.process_executor.TerminatedWorkerError:
        answer = "Its process was killed: out of memory, or a crash."
    finally:
        executor.shutdown(kill_workers=True)
    if isinstance(answer, str):
        return row | {"said": answer[:300]}
    tokens, held = answer
    row |= {"loads": True, "seconds": round(time.perf_counter() - started, 1), "resident_bytes": held}
    if expected is not None:
        pairs = zip(tokens, expected, strict=False)
        row["same"] = next((n for n, (one, other) in enumerate(pairs) if one != other), min(len(tokens), len(expected)))
    return row


def transformers_tokens(checkpoint: str) -> list[int]:
    """The ids of the tokens that Transformers generates greedily from the same checkpoint."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.bfloat16, device_map="auto")
    inputs = tokenizer(PROMPT, return_tensors="pt").to(model.device)
    output = model.generate(**inputs, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False)
    return output[0, inputs.input_ids.shape[1] :].tolist()


def show(rows: list[dict]) -> Served:
    """Display what was tried."""
    table = Served(rows)
    display(table)
    return table
