"""Train the reference model: the small trained network that stands in for a public model off line.

The corpus is the source of Python's own standard library, which every machine here has. Whole files are
kept out of training; their text is shipped beside the weights as ``heldout.txt``. ``plan.py`` has what needs no torch.

Run by ``nox -s train`` as ``python models/train.py``. Needs torch, transformers, tokenizers and rich; about an hour on two
CPU cores.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plan
import torch
import transformers
from plan import BATCH, LEARNING_RATE, SEED, STEPS, WINDOW
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

ROOT = Path(__file__).resolve().parent.parent
MODEL_FOLDER = ROOT / "models" / "reference"
WORK_FOLDER = ROOT / "build" / "train"
CHECKPOINT = WORK_FOLDER / "checkpoint.pt"
CHECKPOINT_EVERY = 100  # steps
EVALUATE_EVERY = 500  # steps


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of ``VOCABULARY`` entries, trained on the training files only."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=plan.VOCABULARY,
        special_tokens=[plan.END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=plan.END_OF_TEXT, pad_token=plan.END_OF_TEXT)


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
        torch.optim.Muon(matrices, lr=LEARNING_RATE, weight_decay=plan.WEIGHT_DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]


def resumed(model: Qwen3ForCausalLM, steppers: list[torch.optim.Optimizer], identity: list[Any]) -> tuple[int, float]:
    """Load the last checkpoint into model and optimizers, if there is one: the steps that are done, and their seconds."""
    if not CHECKPOINT.exists():
        return 0, 0.0
    checkpoint = torch.load(CHECKPOINT, weights_only=True)
    if checkpoint["identity"] != identity:
        sys.exit(f"{CHECKPOINT} belongs to another corpus or setting. Delete it to train from the start.")
    model.load_state_dict(checkpoint["model"])
    for stepper, state in zip(steppers, checkpoint["optimizers"], strict=True):
        stepper.load_state_dict(state)
    return checkpoint["step"], checkpoint["seconds"]


def save_checkpoint(model: Qwen3ForCausalLM, steppers: list[torch.optim.Optimizer], **known: Any) -> None:
    """Replace the checkpoint at once, so that one which was cut off is never read."""
    states = {"model": model.state_dict(), "optimizers": [stepper.state_dict() for stepper in steppers]}
    partial = CHECKPOINT.with_suffix(".part")
    torch.save(known | states, partial)
    partial.replace(CHECKPOINT)


def take_step(model: torch.nn.Module, steppers: list[torch.optim.Optimizer], ids: torch.Tensor, rate: float) -> float:
    """One step of all optimizers on a batch; returns its loss."""
    for stepper in steppers:
        for group in stepper.param_groups:
            group["lr"] = rate
    loss = next_token_loss(model, ids)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for stepper in steppers:
        stepper.step()
        stepper.zero_grad()
    return loss.item()


def train(model: Qwen3ForCausalLM, training: torch.Tensor, held_out: torch.Tensor, corpus_digest: str) -> float:
    """Train in place, from the last checkpoint if there is one; returns the seconds spent in all runs together."""
    steppers = optimizers(model)
    identity = [corpus_digest, plan.ARCHITECTURE, SEED, STEPS, BATCH, WINDOW, LEARNING_RATE]
    first, seconds = resumed(model, steppers, identity)
    # Compiling doubles the speed, but needs a C++ compiler, which not every machine has.
    runner = torch.compile(model) if shutil.which("g++") else model
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=True)) as progress:
        bar = progress.add_task("training", total=STEPS, completed=first)
        for step in range(first, STEPS):
            started = time.monotonic()
            loss = take_step(runner, steppers, batch_at(step, training), plan.learning_rate_at(step))
            seconds += time.monotonic() - started
            progress.update(bar, advance=1, description=f"training, loss {loss:.3f}")
            done = step + 1
            if done % EVALUATE_EVERY == 0 or done == STEPS:
                perplexity = math.exp(held_out_loss(model, held_out))
                progress.console.print(f"step {done}: loss {loss:.3f}, held-out perplexity {perplexity:.2f}")
            if done % CHECKPOINT_EVERY == 0 or done == STEPS:
                save_checkpoint(model, steppers, identity=identity, step=done, seconds=seconds)
    return seconds


def export(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, held_out: str, facts: dict[str, Any]) -> None:
    """Write weights, tokenizer, held-out text, the model card and its facts to ``models/reference``."""
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(MODEL_FOLDER)
    tokenizer.save_pretrained(MODEL_FOLDER)
    (MODEL_FOLDER / "heldout.txt").write_text(held_out, encoding="utf-8")
    (MODEL_FOLDER / "README.md").write_text(plan.card(facts), encoding="utf-8")
    (MODEL_FOLDER / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """The command ``nox -s train``."""
    parser = argparse.ArgumentParser(prog="nox -s train --", description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, help="CPU threads to use (all by default)")
    if threads := parser.parse_args().threads:
        torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    for folder in (WORK_FOLDER, MODEL_FOLDER):
        folder.mkdir(parents=True, exist_ok=True)

    training_files, held_out_files = plan.split(plan.library_files())
    tokenizer = train_tokenizer(list(training_files.values()))
    held_out_text = "".join(held_out_files.values())
    training, held_out = encode(tokenizer, list(training_files.values())), encode(tokenizer, [held_out_text])
    if len(held_out) < plan.HELD_OUT_MINIMUM_TOKENS:
        sys.exit(f"The held-out text has {len(held_out)} tokens, fewer than {plan.HELD_OUT_MINIMUM_TOKENS}.")
    print(f"{len(training_files)} training files, {len(training):,} tokens; held out {len(held_out):,} tokens")

    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    model = Qwen3ForCausalLM(Qwen3Config(**plan.ARCHITECTURE, **ids))
    seconds = train(model, training, held_out, plan.digest(training_files))
    model.to(torch.bfloat16)
    loss = held_out_loss(model, held_out)

    facts = {
        **plan.ARCHITECTURE,
        "parameters": sum(p.numel() for p in model.parameters()),
        "linear_parameters": sum(p.numel() for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n),
        **plan.facts(training_files, held_out_files, {"training": len(training), "held_out": len(held_out)}, loss),
        "date": datetime.now(UTC).date().isoformat(),
        "hours": seconds / 3600,
        "cores": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "seed": SEED,
    }
    export(model, tokenizer, held_out_text, facts)
    print(f"held-out perplexity {facts['perplexity']:.2f}; model in {MODEL_FOLDER.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
