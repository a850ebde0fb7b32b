"""Train the reference model: the small trained network that stands in for a public model off line.

The corpus is the source of Python's own standard library, which every machine here has. Whole files are
kept out of training; their text is shipped beside the weights as ``heldout.txt``.

Run by ``nox -s train``. Needs torch, transformers, tokenizers and rich; about an hour on two CPU cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import platform
import shutil
import sys
import sysconfig
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

ROOT = Path(__file__).resolve().parent.parent
MODEL_FOLDER = ROOT / "models" / "reference"
WORK_FOLDER = ROOT / "build" / "train"

SEED = 20261123
VOCABULARY = 2048
WINDOW = 512  # tokens a training example
BATCH = 16  # examples a step
STEPS = 4000
WARMUP = 100
LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.1
CHECKPOINT_EVERY = 100  # steps
EVALUATE_EVERY = 500  # steps
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


def library_files() -> dict[str, str]:
    """The standard library's own Python files, as ``{path relative to the library: text}``, sorted by path.

    Left out: installed packages, and the character tables of ``encodings``, which are data, not prose or code.
    """
    library = Path(sysconfig.get_path("stdlib"))
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


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of ``VOCABULARY`` entries, trained on the training files only."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT, pad_token=END_OF_TEXT)


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> torch.Tensor:
    """All texts as one row of token ids, int64, each text followed by the end-of-text token."""
    ids: list[int] = []
    for encoding in tokenizer.backend_tokenizer.encode_batch(texts):
        ids.extend(encoding.ids)
        ids.append(tokenizer.eos_token_id)
    return torch.tensor(ids)


def batch_at(step: int, tokens: torch.Tensor) -> torch.Tensor:
    """The training batch of a step, ``(BATCH, WINDOW + 1)``: a pure function of the step, so a run can resume."""
    generator = torch.Generator().manual_seed(SEED + step)
    starts = torch.randint(0, len(tokens) - WINDOW - 1, (BATCH,), generator=generator)
    return torch.stack([tokens[start : start + WINDOW + 1] for start in starts])


def learning_rate_at(step: int) -> float:
    """Linear warm-up, then linear decay to zero."""
    return LEARNING_RATE * min((step + 1) / WARMUP, (STEPS - step) / (STEPS - WARMUP))


def next_token_loss(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy in nats a token over ``ids`` of shape (examples, tokens)."""
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    return functional.cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten())


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, tokens: torch.Tensor) -> float:
    """Mean loss in nats a token over all whole windows of the held-out tokens."""
    windows = tokens[: len(tokens) // WINDOW * WINDOW].view(-1, WINDOW)
    losses = [next_token_loss(model, part).item() * len(part) for part in windows.split(BATCH)]
    return sum(losses) / len(windows)


def optimizers(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the weight matrices of the decoder, AdamW for the embeddings and the norms."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(matrices, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def train(model: Qwen3ForCausalLM, training: torch.Tensor, held_out: torch.Tensor, corpus_digest: str) -> float:
    """Train in place, from the last checkpoint if there is one; returns the seconds spent in all runs together."""
    checkpoint_path = WORK_FOLDER / "checkpoint.pt"
    steppers = optimizers(model)
    first, seconds = 0, 0.0
    identity = [corpus_digest, ARCHITECTURE, SEED, STEPS, BATCH, WINDOW, LEARNING_RATE]
    if checkpoint_path.exists():
        checkpoint = torch.load(checkpoint_path, weights_only=True)
        if checkpoint["identity"] != identity:
            sys.exit(f"{checkpoint_path} belongs to another corpus or setting. Delete it to train from the start.")
        model.load_state_dict(checkpoint["model"])
        for stepper, state in zip(steppers, checkpoint["optimizers"], strict=True):
            stepper.load_state_dict(state)
        first, seconds = checkpoint["step"], checkpoint["seconds"]

    # Compiling doubles the speed, but needs a C++ compiler, which not every machine has.
    runner = torch.compile(model) if shutil.which("g++") else model
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    progress = Progress(*columns, TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=True))
    with progress:
        bar = progress.add_task("training", total=STEPS, completed=first)
        for step in range(first, STEPS):
            started = time.monotonic()
            for stepper in steppers:
                for group in stepper.param_groups:
                    group["lr"] = learning_rate_at(step)
            loss = next_token_loss(runner, batch_at(step, training))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for stepper in steppers:
                stepper.step()
                stepper.zero_grad()
            seconds += time.monotonic() - started
            progress.update(bar, advance=1, description=f"training, loss {loss.item():.3f}")
            done = step + 1
            if done % EVALUATE_EVERY == 0 or done == STEPS:
                perplexity = math.exp(held_out_loss(model, held_out))
                progress.console.print(f"step {done}: loss {loss.item():.3f}, held-out perplexity {perplexity:.2f}")
            if done % CHECKPOINT_EVERY == 0 or done == STEPS:
                state = {
                    "identity": identity,
                    "step": done,
                    "seconds": seconds,
                    "model": model.state_dict(),
                    "optimizers": [stepper.state_dict() for stepper in steppers],
                }
                partial = checkpoint_path.with_suffix(".part")
                torch.save(state, partial)
                partial.replace(checkpoint_path)
    return seconds


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


def export(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, facts: dict) -> None:
    """Write weights, tokenizer, held-out text's facts and the model card to ``models/reference``."""
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(MODEL_FOLDER)
    tokenizer.save_pretrained(MODEL_FOLDER)
    (MODEL_FOLDER / "README.md").write_text(CARD.format(**facts), encoding="utf-8")
    (MODEL_FOLDER / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s train --", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, help="CPU threads to use (all by default)")
    threads = parser.parse_args().threads
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    WORK_FOLDER.mkdir(parents=True, exist_ok=True)
    MODEL_FOLDER.mkdir(parents=True, exist_ok=True)

    training_files, held_out_files = split(library_files())
    corpus_digest = hashlib.sha256("\0".join(training_files.values()).encode()).hexdigest()
    tokenizer = train_tokenizer(list(training_files.values()))
    training = encode(tokenizer, list(training_files.values()))
    held_out_text = "".join(held_out_files.values())
    held_out = encode(tokenizer, [held_out_text])
    if len(held_out) < HELD_OUT_MINIMUM_TOKENS:
        sys.exit(f"The held-out text has {len(held_out)} tokens, fewer than {HELD_OUT_MINIMUM_TOKENS}.")
    print(f"{len(training_files)} training files, {len(training):,} tokens; held out {len(held_out):,} tokens")

    config = Qwen3Config(**ARCHITECTURE, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model = Qwen3ForCausalLM(config)
    seconds = train(model, training, held_out, corpus_digest)
    model.to(torch.bfloat16)
    loss = held_out_loss(model, held_out)

    import transformers

    (MODEL_FOLDER / "heldout.txt").write_text(held_out_text, encoding="utf-8")
    tokens_seen = STEPS * BATCH * WINDOW
    held_out_bytes = len(held_out_text.encode())
    facts = {
        **ARCHITECTURE,
        "parameters": sum(p.numel() for p in model.parameters()),
        "linear_parameters": sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n),
        "python": platform.python_version(),
        "files": len(training_files),
        "training_bytes": sum(len(text.encode()) for text in training_files.values()),
        "training_tokens": len(training),
        "corpus_digest": corpus_digest,
        "held_out_files": len(held_out_files),
        "held_out_bytes": held_out_bytes,
        "held_out_tokens": len(held_out),
        "held_out_list": ", ".join(f"`{path}`" for path in sorted(held_out_files)),
        "tokens_seen": tokens_seen,
        "epochs": tokens_seen / len(training),
        "steps": STEPS,
        "batch": BATCH,
        "window": WINDOW,
        "perplexity": math.exp(loss),
        "bits_per_byte": loss / math.log(2) * len(held_out) / held_out_bytes,
        "date": datetime.now(UTC).date().isoformat(),
        "hours": seconds / 3600,
        "cores": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "seed": SEED,
    }
    export(model, tokenizer, facts)
    print(f"held-out perplexity {facts['perplexity']:.2f}; model in {MODEL_FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
