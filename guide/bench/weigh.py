"""Quantize models of real shapes with random weights by the notebooks' own code, and count what each stores.

Each method runs in its notebook's environment, where ``guide.guest.weigher`` answers. What is stored depends on shapes alone.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from guide.bench.asking import ask
from guide.bench.recipe import PUBLIC_ID, Recipe, expected
from guide.bench.shapes import REFERENCE, SHAPES, Config
from guide.facts.guide import Guide
from guide.facts.proof import Machine
from guide.facts.storage import Case, Estimate, Shape
from guide.project import GuideError
from guide.prove import environments, hub_cache

BESIDE_WEIGHTS = ("tokenizer.json", "tokenizer_config.json", "heldout.txt", "generation_config.json")  # the reference's own
ESTIMATED = {16: "float16", 8: "int8"}  # the width that accelerate's estimate-memory is asked for, by bits; int4 for less
REVISION = "0" * 40  # of the random model in the hub's cache
Answers = dict[str, dict[str, Any]]  # by variant, fields of its ``Case``


class Made(Shape):
    """What is known of a random model: see ``make`` of the guest."""

    linears: list[str]
    experts: list[str]
    accelerate: dict[str, int]


def weigh(guide: Guide, recipe: Recipe, name: str, machine: Machine) -> tuple[list[Case], Shape]:
    """Weigh a recipe's variants on the shape ``name``, beside what is predicted; a case that fails says why."""
    model, made = random_model(guide, name, environments.prepare(guide.project, recipe.script, machine.kind == "cuda"))
    if recipe.weighing.proven and name == REFERENCE:
        answers = from_proof(guide, recipe, machine, made)
    else:
        answers = quantized(guide, recipe, name, machine, model, made)
    shape, cases = Shape(config=made.config, bf16=made.bf16, tensors=made.tensors), []
    for variant in recipe.variants:
        width = ESTIMATED.get(variant.bits, "int4")
        estimate = Estimate(dtype=width, bytes=made.accelerate[width])
        own = {"method": recipe.method, "variant": variant.id, "shape": name, "accelerate": estimate}
        cases.append(Case.model_validate({**own, **expected(recipe.weighing, variant, name, shape), **answers[variant.id]}))
    return cases, shape


def quantized(guide: Guide, recipe: Recipe, name: str, machine: Machine, model: Path, made: Made) -> Answers:
    """What the guest counts of each variant, made of the random model in the folder ``model``, all in one process."""
    folder = guide.project.build / "weigh" / "run" / f"{recipe.method}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    # A forward pass takes long on a CPU, so one shape must do.
    job = {"linears": made.linears, "experts": made.experts, "forward": name == REFERENCE}
    answers: Answers = {}
    try:
        variables = filled_cache(guide, recipe, folder / "hub", model, machine)
        for task, script, codes in recipe.tasks(guide.project.reference / "heldout.txt"):
            packages = [Requirement(pin).name for pin in script.head.dependencies]
            path = folder / f"{task}.json"
            path.write_text(json.dumps({**job, "codes": codes, "packages": packages}), encoding="utf-8")
            python = environments.prepare(guide.project, script, machine.kind == "cuda")
            answers = ask(guide.project, python, "weigher", [task, str(path)], folder, variables)
    except GuideError as error:
        answers = {variant.id: {"measured": None, "failed": str(error)} for variant in recipe.variants}
    finally:
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
    return answers


def filled_cache(
    guide: Guide, recipe: Recipe, cache: Path, model: Path, machine: Machine, install: bool = True
) -> dict[str, str]:
    """A hub cache with the random model under the ids that the notebook loads, and what it loads ready-made of it.

    ``install``: that is made in the notebook's environment, else by this interpreter. Returns the environment variables that
    select it; raises GuideError if a checkpoint cannot be made.
    """
    table = recipe.script.head.guide
    for public_id in {PUBLIC_ID, *table.models}:
        snapshot = hub_cache.snapshot(cache, "models", public_id, REVISION)
        for file in model.iterdir():
            if file.suffix in (".json", ".safetensors"):
                (snapshot / file.name).symlink_to(file)
    for public_id, maker in table.checkpoints.items() if recipe.weighing.makes_checkpoints else ():
        cuda = machine.kind == "cuda"
        python = environments.prepare(guide.project, recipe.script, cuda) if install else Path(sys.executable)
        snapshot = hub_cache.snapshot(cache, "models", public_id, REVISION)
        hub_cache.make_checkpoint(guide.project.makers / f"{maker}.py", python, model, snapshot, public_id)
    return {"HF_HOME": str(cache)}


def from_proof(guide: Guide, recipe: Recipe, machine: Machine, made: Made) -> Answers:
    """The same from the committed proof of the notebook, whose measures count the reference model with the same function."""
    name = recipe.script.name
    path = f"proofs/{machine.slug}/{name}.ipynb"
    proof = next((stored.proof for stored in guide.proofs[name] if stored.path == path), None)
    if proof is None:
        raise GuideError(f"There is no {path} to read from: run 'nox -s prove -- {name} --keep'.")
    rows, answers = {row.variant: row for row in proof.measures}, {}
    for variant in recipe.variants:
        if not (row := rows.get(str(variant.measured))):
            raise GuideError(f"{path} has no measures of '{variant.measured}': mend 'measured' of the variant "
                             f"'{variant.id}' in docs/methods/{recipe.method}.md.")  # fmt: skip
        measured = {"whole": row.quantized_bytes, "linears": round(made.bf16.linears / row.linear_ratio), "experts": 0}
        answers[variant.id] = {"measured": measured, "versions": proof.versions, "proof": name}
    return answers


def random_model(guide: Guide, name: str, python: Path, given: Config | None = None) -> tuple[Path, Made]:
    """The folder of a shape's random model, made by ``python`` if it is not there, and what is known of it.

    Its configuration is the one that is given, or that of the shape ``name``.
    """
    project, config = guide.project, given or SHAPES.get(name)
    key = hashlib.sha256(f"{json.dumps(config)} {guide.stand_in}".encode()).hexdigest()[:12]
    slug = re.sub(r"\W+", "-", name.lower())
    folder = project.build / "weigh" / "models" / f"{slug}-{key}"
    facts = folder.with_name(f"{folder.name}.json")
    if facts.exists():
        return folder, Made.model_validate_json(facts.read_text(encoding="utf-8"))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in BESIDE_WEIGHTS:
        shutil.copyfile(project.reference / file, folder / file)
    asked = project.reference / "config.json"
    if config:
        asked = folder / "config.json"
        asked.write_text(json.dumps(config | {"dtype": "bfloat16"}), encoding="utf-8")
    made = Made.model_validate(ask(project, python, "weigher", ["make", str(asked), str(folder)], folder))
    facts.write_text(made.model_dump_json(), encoding="utf-8")
    return folder, made
