"""The half of ``guide.weigh`` that needs torch: runs in the environment of a method's notebook, and needs no more than that.

``python -m guide.weigh_worker make CONFIG FOLDER`` builds the model of a configuration with random weights in bf16 and saves
it, ``run JOB`` runs the code of a job, and ``weigh JOB`` counts what the model that this code made stores. The answer is the
last line of standard output, in JSON.
"""

from __future__ import annotations

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
from unittest import mock

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from snippets.shared.measure import decoder_linears, stored_bytes

ESTIMATED = ("float16", "int8", "int4")  # the widths that accelerate's estimate-memory knows, float32 apart


def tensors_of(model: nn.Module) -> list[dict]:
    """The parameters of a bf16 model as ``guide.memory`` wants them, those that differ in the layer's number alone as one.

    The experts of a layer are slices of one 3-D parameter.
    """
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    counts: Counter[tuple] = Counter()
    for name, parameter in model.named_parameters():  # names a shared parameter once, as the embedding
        module = model.get_submodule(name.rpartition(".")[0])
        *slices, rows, columns = parameter.shape if parameter.ndim > 1 else (*parameter.shape, 1)
        if module is embedding:
            part = "embedding"
        elif module is head:
            part = "head"
        elif isinstance(module, nn.Linear) and name.endswith(".weight"):
            part = "linear"
        elif slices:
            part = "experts"
        elif parameter.ndim == 2:
            part = "router"
        else:
            part = "norm" if "norm" in name else "other"
        counts[part, re.sub(r"\.\d+\.", ".*.", name), rows, columns] += slices[0] if slices else 1
    return [
        dict(zip(("part", "name", "rows", "columns", "count"), (*key, count), strict=True)) for key, count in counts.items()
    ]


def estimated_by_accelerate(folder: str) -> dict[str, int]:
    """What ``accelerate estimate-memory FOLDER`` prints as total size, in bytes; its look at the hub alone is left out."""
    from accelerate.commands import estimate

    found = Namespace(library_name="transformers", config={})
    arguments = Namespace(model_name=folder, library_name="transformers", trust_remote_code=False, dtypes=list(ESTIMATED))
    with mock.patch.object(estimate, "verify_on_hub", lambda *_: found):
        return {name: round(total) for name, _, total, _ in estimate.gather_data(arguments)}


def make(config_path: str, folder: str) -> dict:
    """Save a random model; returns its tensors, the bytes it has in bf16, and accelerate's estimates."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(config_path)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    linears = decoder_linears(model)
    experts = [name for name, _ in model.named_modules() if name.endswith(".experts")]
    model.save_pretrained(folder)
    return {
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


def run(code: list[str]) -> dict:
    """Run pieces of a notebook one after the other; returns the names they leave."""
    names: dict = {"__name__": "__main__"}
    for piece in code:
        exec(compile(piece, "<notebook>", "exec"), names)
    return names


def model_of(names: dict, code: str) -> nn.Module:
    """The model that ``code`` made: the last of its names that stands for one."""
    mentioned = [node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)]
    return next(names[name] for name in reversed(mentioned) if isinstance(names.get(name), nn.Module))


def weighed(job: dict, code: list[str]) -> dict:
    """Stored bytes of the model that ``code`` makes, before its first forward pass and after it."""
    model = model_of(run(code), code[-1])
    answer = {"measured": counted(model, job["linears"], job["experts"]), "after_forward": None}
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
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def weigh(job: dict) -> dict:
    """The answers for each of a job's variants."""
    answers = {}
    for name, code in job["codes"].items():
        try:
            answers[name] = weighed(job, code)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            answers[name] = {"measured": None, "failed": sentence(error)}
        answers[name]["versions"] = {package: version(package) for package in job["packages"]}
        gc.collect()
    return answers


def make_only(job: dict) -> dict:
    for code in job["codes"].values():
        run(code)
    return {}


def main() -> None:
    task, *arguments = sys.argv[1:]
    if task == "make":
        answer = make(*arguments)
    else:
        job = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
        answer = weigh(job) if task == "weigh" else make_only(job)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
