"""``python -m guide.derive``: the shapes of each architecture, by building it with Transformers; with ``--check``, compare.

No formula is written by hand. Small variants of each architecture are built on the meta device with other values of each
config field; from the shapes of their parameters follow, by finite differences, the polynomials that give each dimension, and
the simplest of a few general rules for which layers have a tensor. What the cache holds is measured on variants that run.
All must then be exactly so in random variants and in each preset and example, built in full on the meta device. A family for
which it isn't is left out with the reason; a preset for which it isn't is an error.
"""

import argparse
import functools
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

from guide.calculator.shapes import Config, language_part
from guide.derive import Refused, training
from guide.derive.family import family_or_reason
from guide.derive.fields import Variants, find_roles
from guide.derive.observe import VERSIONS, Built, language_models, language_parameters, shapes_of, work_alone
from guide.derive.verify import Preset, by_architecture, examples_of, lines, presets_of, vector
from guide.facts.load import load
from guide.project import GuideError, Project, told


def derive_all(examples: dict[str, list[Config]]) -> tuple[dict[str, Any], dict[str, str]]:
    """(families, why others were refused), by model_type."""
    families, refused = {}, {}
    with ProcessPoolExecutor(os.cpu_count(), initializer=work_alone) as pool:
        answers = pool.map(functools.partial(family_or_reason, Built), examples, examples.values())
        for model_type, answer in zip(examples, answers, strict=True):
            if isinstance(answer, str):
                refused[model_type] = answer
                print(f"{model_type}: refused, {answer}", flush=True)
            else:
                families[model_type] = answer
                print(f"{model_type}: {len(answer['tensors'])} tensors, {len(answer['cache'])} kinds of cache", flush=True)
    return families, refused


def build(preset: Preset, families: dict[str, Any]) -> dict[str, Any]:
    """The figures of a preset or an example, compared with its whole model."""
    raw = language_part(preset["config"])
    try:
        model = Built(raw["model_type"]).model(raw)
        tensors = shapes_of(model)
    except Refused as error:
        raise GuideError(f"Transformers does not build {preset['id']}: {error}.") from error
    figures = vector(preset, families, tensors, sum(parameter.numel() for _, parameter in language_parameters(model)))
    print(f"{preset['id']}: {figures['parameters']:,} parameters", flush=True)
    return figures


def derived(project: Project) -> dict[Path, str]:
    """What is written, by path."""
    presets = presets_of(load(project).configs)
    examples = json.loads(project.examples.read_text(encoding="utf-8"))
    families, refused = derive_all(by_architecture(presets, examples))
    known = [preset for preset in presets if language_part(preset["config"])["model_type"] in families]
    vectors = {preset["id"]: build(preset, families) for preset in known}
    measured = {name: family.pop("measured") for name, family in families.items() if "measured" in family}
    others = {example["id"]: build(example, families) for example in examples_of(examples, families)}
    counted = [{**preset, "parameters": vectors[preset["id"]]["parameters"]} for preset in known]
    shown = {language_part(preset["config"])["model_type"] for preset in known}
    first, rest = ({name: one for name, one in families.items() if (name in shown) == there} for there in (True, False))
    return {
        project.architectures: lines({**VERSIONS, "families": first, "presets": counted}, 4) + "\n",
        project.families: lines({"families": rest, "refused": refused, "inner": language_models(families)}, 4) + "\n",
        project.tests / "architecture_vectors.json": lines(vectors, 2) + "\n",
        project.tests / "peaks_measured.json": lines(measured, 2) + "\n",
        project.tests / "family_vectors.json": lines(others, 2) + "\n",
    }


def trained(project: Project, names: list[str]) -> Iterator[dict[Path, str]]:
    """What is written of training, by path, family after family: its file, what was measured, which are known."""
    from guide.derive.stepping import four_bit, measure_steps, trace_step  # they need PEFT

    examples = json.loads(project.examples.read_text(encoding="utf-8"))
    known = by_architecture(presets_of(load(project).configs), examples)
    files = [json.loads(path.read_text(encoding="utf-8")) for path in (project.architectures, project.families)]
    families = {name: family for file in files for name, family in file["families"].items()}
    path, index = project.tests / "training_measured.json", project.training / "index.json"
    versions = VERSIONS | {name: version(name) for name in four_bit()["LIBRARIES"]}
    for name in names or list(families):
        built = Built(name)
        variants = Variants(built, known[name])
        find_roles(variants)
        found = training.training_of(variants, families[name], functools.partial(trace_step, built))
        cases = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        cases[name] = training.measured(variants, families[name], found, functools.partial(measure_steps, built))
        print(f"{name}: {sum(map(len, found.values()))} ways to train, {len(cases[name])} measured", flush=True)
        cases = {other: cases[other] for other in sorted(cases) if cases[other]}
        own = {project.training / f"{name}.json": lines(found, 2) + "\n"} if cases.get(name) else {}
        yield own | {path: lines(cases, 2) + "\n", index: lines({**versions, "families": list(cases)}, 1) + "\n"}


def write(project: Project, written: dict[Path, str], check: bool) -> None:
    """Write what is not there so; with ``check`` end with a sentence instead."""
    stale = [path for path, text in written.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if check and stale:
        names = " and ".join(map(project.relative, stale))
        sys.exit(f"Not what would be written: {names}. Run nox -s with the same name without --check.")
    for path in stale:
        path.write_text(written[path], encoding="utf-8")
        print(f"{project.relative(path)}: written")
    print(f"{len(written)} files are what Transformers' models give.")


def main() -> None:
    """The commands ``nox -s architectures`` and ``nox -s training``."""
    parser = argparse.ArgumentParser(prog="nox -s architectures --", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; fail where a file is not what would be written")
    parser.add_argument("--training", nargs="*", metavar="FAMILY", help="what training holds, of these families or all")
    asked = parser.parse_args()
    project = Project.here()
    work_alone()
    with told():
        for written in [derived(project)] if asked.training is None else trained(project, asked.training):
            write(project, written, asked.check)


if __name__ == "__main__":
    main()
