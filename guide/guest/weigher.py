"""The half of ``guide.bench`` that needs torch: runs in the environment of a method's notebook.

``python -m guide.guest.weigher make CONFIG FOLDER`` builds the model of a configuration with random weights in bf16 and saves
it, ``run JOB`` runs the code of a job, and ``weigh JOB`` counts what the model that this code made stores. The answer is the
last line of standard output, in JSON.
"""

import ast
import gc
import json
import re
import sys
import traceback
from argparse import Namespace
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from guide.guest.parts import part_of
from snippets.shared.measure import decoder_linears, stored_bytes


def tensors_of(model: nn.Module) -> list[dict[str, Any]]:
    """The parameters of a bf16 model as the memory calculator wants them: one entry for all layers that have the same.

    A shared parameter counts once, as the embedding. A matrix that belongs to no layer of torch's is a router.
    """
    counts: Counter[tuple[str, str, int, int]] = Counter()
    for name, parameter in model.named_parameters():
        part = part_of(model, name, parameter)
        *slices, rows, columns = parameter.shape if parameter.ndim > 1 else (*parameter.shape, 1)
        if part == "other" and parameter.ndim == 2:
            part = "router"
        counts[part, re.sub(r"\.\d+\.", ".*.", name), rows, columns] += slices[0] if slices else 1
    fields = ("part", "name", "rows", "columns", "count")
    return [dict(zip(fields, (*key, count), strict=True)) for key, count in counts.items()]


def estimated_by_accelerate(folder: str) -> dict[str, int]:
    """What ``accelerate estimate-memory FOLDER`` prints as total size, in bytes; its look at the hub alone is left out."""
    from accelerate.commands import estimate

    found = Namespace(library_name="transformers", config={})
    widths = ["float16", "int8", "int4"]  # all that it knows, float32 apart
    arguments = Namespace(model_name=folder, library_name="transformers", trust_remote_code=False, dtypes=widths)
    with mock.patch.object(estimate, "verify_on_hub", lambda *_: found):
        return {name: round(total) for name, _, total, _ in estimate.gather_data(arguments)}


def make(config_path: str, folder: str) -> dict[str, Any]:
    """Save a random model; returns its configuration, its tensors, the bytes it has in bf16, and accelerate's estimates."""
    torch.manual_seed(0)
    config = json.loads(Path(config_path).read_text(encoding="utf-8"))  # first, as it may be in the folder that is saved to
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(config_path), dtype=torch.bfloat16)
    linears = decoder_linears(model)
    experts = [name for name, _ in model.named_modules() if name.endswith(".experts")]
    model.save_pretrained(folder)
    return {
        "config": config,
        "tensors": tensors_of(model),
        "linears": linears,
        "experts": experts,
        "bf16": counted(model, linears, experts),
        "accelerate": estimated_by_accelerate(folder),
    }


def counted(model: nn.Module, linears: list[str], experts: list[str]) -> dict[str, int]:
    """Stored bytes of the whole model, of its decoder linears and of its experts."""
    return {
        "whole": stored_bytes(model),
        "linears": stored_bytes(model, linears),
        "experts": stored_bytes(model, experts) if experts else 0,
    }


def run(code: list[str]) -> dict[str, Any]:
    """Run pieces of a notebook one after the other; returns the names they leave."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for piece in code:
        exec(compile(piece, "<notebook>", "exec"), names)
    return names


def model_of(code: list[str]) -> nn.Module:
    """The model that pieces of a notebook, which are run, name last."""
    names = run(code)
    mentioned = [node.id for node in ast.walk(ast.parse(code[-1])) if isinstance(node, ast.Name)]
    return next(names[name] for name in reversed(mentioned) if isinstance(names.get(name), nn.Module))


def weighed(job: dict[str, Any], code: list[str]) -> dict[str, Any]:
    """Stored bytes of the model that ``code`` names last, before its first forward pass and after it."""
    model = model_of(code)
    answer: dict[str, Any] = {"measured": counted(model, job["linears"], job["experts"]), "after_forward": None}
    answer["layers"] = sorted({type(model.get_submodule(name)).__name__ for name in job["linears"]})
    if job["forward"]:
        try:
            with torch.no_grad():
                model(input_ids=torch.arange(8)[None])
            answer["after_forward"] = stored_bytes(model)
        except Exception as error:  # a kernel that a CPU lacks, a compiler that is not there: the count before it stands
            answer["forward_failed"] = sentence(error)
    return answer


def sentence(error: BaseException) -> str:
    """An error on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def weigh(job: dict[str, Any]) -> dict[str, Any]:
    """The answers for each of a job's variants."""
    answers: dict[str, dict[str, Any]] = {}
    for name, code in job["codes"].items():
        try:
            answers[name] = weighed(job, code)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            answers[name] = {"measured": None, "failed": sentence(error)}
        answers[name]["versions"] = {package: version(package) for package in job["packages"]}
        gc.collect()
    return answers


def main(task: str, path: str, *folder: str) -> dict[str, Any]:
    """The answer to the task on the command line."""
    if task == "make":
        return make(path, *folder)
    job = json.loads(Path(path).read_text(encoding="utf-8"))
    if task == "weigh":
        return weigh(job)
    for code in job["codes"].values():  # for what it saves
        run(code)
    return {}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
