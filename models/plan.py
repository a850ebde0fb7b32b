"""What the reference model is trained on and how, and the card that says so: all of it that needs no torch."""

from __future__ import annotations

import hashlib
import math
import platform
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SEED = 20261123
VOCABULARY = 2048
WINDOW = 512  # tokens a training example
BATCH = 16  # examples a step
STEPS = 4000
WARMUP = 100
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.1
HELD_OUT_BYTES = 240_000
HELD_OUT_MINIMUM_TOKENS = 50_000
END_OF_TEXT = "<|endoftext|>"

# Every linear size is a multiple of 128, so that any group size a method offers fits.
ARCHITECTURE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 4096,
    "tie_word_embeddings": True,  # as in Qwen3-0.6B
}


def library_files(library: Path | None = None) -> dict[str, str]:
    """The standard library's own Python files, as ``{path relative to the library: text}``, sorted by path.

    Left out: installed packages, and the character tables of ``encodings``, which are data, not prose or code.
    """
    library = library or Path(sysconfig.get_path("stdlib"))
    files = {}
    for path in sorted(library.rglob("*.py")):
        relative = path.relative_to(library)
        if {"site-packages", "dist-packages", "encodings"} & set(relative.parts):
            continue
        try:
            files[relative.as_posix()] = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a few test files are written in other encodings on purpose
    return files


def split(files: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Part the files into (training, held out): whole files, chosen by the hash of their path, no tests."""

    def order(path: str) -> str:
        return hashlib.sha256(path.encode()).hexdigest()

    held_out: dict[str, str] = {}
    size = 0
    for path in sorted(files, key=order):
        is_test = any("test" in part for part in Path(path).parts)
        if size < HELD_OUT_BYTES and not is_test and 2_000 < len(files[path]) < 60_000:
            held_out[path] = files[path]
            size += len(files[path].encode())
    training = {path: text for path, text in files.items() if path not in held_out}
    return training, held_out


def digest(files: Mapping[str, str]) -> str:
    """SHA-256 of the texts of a corpus."""
    return hashlib.sha256("\0".join(files.values()).encode()).hexdigest()


def learning_rate_at(step: int) -> float:
    """Linear warm-up, then linear decay to zero."""
    return LEARNING_RATE * min((step + 1) / WARMUP, (STEPS - step) / (STEPS - WARMUP))


CARD = """\
---
license: apache-2.0
language: code
---

# Reference model

A Qwen3-architecture causal language model of {parameters:,} parameters, trained from nothing for this guide, so that
every notebook can run without a network or a GPU. It stands in for a public model under that model's name. It is not
that model, and no figure measured on it is a figure of that model.

| | |
| --- | --- |
| architecture | Qwen3: hidden size {hidden_size}, {num_hidden_layers} layers, {num_attention_heads} query and \
{num_key_value_heads} key-value heads of {head_dim}, feed-forward {intermediate_size}, tied embeddings |
| parameters | {parameters:,}, of them {linear_parameters:,} in decoder linears; stored as bfloat16 |
| tokenizer | byte-level BPE, {vocab_size} entries, trained on the training files |
| training data | source of CPython {python}'s standard library: {files} files, {training_bytes:,} bytes, \
{training_tokens:,} tokens (SHA-256 `{corpus_digest}`) |
| held-out data | `heldout.txt`: {held_out_files} whole files of the same library, {held_out_bytes:,} bytes, \
{held_out_tokens:,} tokens, none of them in the training data |
| tokens seen | {tokens_seen:,} ({steps} steps of {batch} x {window}), {epochs:.1f} passes |
| held-out perplexity | **{perplexity:.2f}** a token in bfloat16 weights, windows of {window} tokens; \
{bits_per_byte:.3f} bits a byte |
| made | {date}, {hours:.2f} h on {cores} CPU threads, torch {torch}, transformers {transformers}, seed {seed} |

Reproduce it with `nox -s train`. The order of the data and the start are seeded, but the sums of a matrix product
depend on the processor and the corpus on the Python release, so another machine gets a model of the same quality, not
the same bits.

Licence: the weights and the tokenizer are under Apache-2.0, as the rest of this project. `heldout.txt` is source text
of CPython, under the licence in `LICENSE-PSF.txt`.

Held-out files: {held_out_list}.
"""


def facts(training: Mapping[str, str], held_out: Mapping[str, str], tokens: Mapping[str, int], loss: float) -> dict[str, Any]:
    """What the card says of the data and of the result, in the order of ``training.json``.

    ``training`` and ``held_out`` are files, ``tokens`` counts those of each, ``loss`` is the held-out loss in nats a token.
    """
    seen = STEPS * BATCH * WINDOW
    held_out_bytes = sum(len(text.encode()) for text in held_out.values())
    return {
        "python": platform.python_version(),
        "files": len(training),
        "training_bytes": sum(len(text.encode()) for text in training.values()),
        "training_tokens": tokens["training"],
        "corpus_digest": digest(training),
        "held_out_files": len(held_out),
        "held_out_bytes": held_out_bytes,
        "held_out_tokens": tokens["held_out"],
        "held_out_list": ", ".join(f"`{path}`" for path in sorted(held_out)),
        "tokens_seen": seen,
        "epochs": seen / tokens["training"],
        "steps": STEPS,
        "batch": BATCH,
        "window": WINDOW,
        "perplexity": math.exp(loss),
        "bits_per_byte": loss / math.log(2) * tokens["held_out"] / held_out_bytes,
    }


def card(known: Mapping[str, Any]) -> str:
    """The text of the model's README.md, all figures of it from ``known``, which ``training.json`` keeps."""
    return CARD.format(**known)
