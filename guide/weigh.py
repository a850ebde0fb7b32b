"""Weigh models that were quantized, tensor by tensor, and record it beside what the memory calculator predicts.

Each method runs in the environment of its notebook, by that notebook's own code, on models of real shapes with random weights:
what is stored depends on shapes alone. ``guide.weigh_worker`` is the half that runs there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from packaging.requirements import Requirement
from rich.console import Console

from guide import environments
from guide.machine import this_machine
from guide.method import Variant, read_method, read_methods
from guide.project import BUILD, PROOFS, REFERENCE_MODEL, ROOT, GuideError, relative
from guide.proof import Machine
from guide.proof import read as read_proof
from guide.script import Script, read_script
from guide.storage_table import Case, Record, Shape, Weights, predicted, read_record, record_path

WORK = BUILD / "weigh"
PUBLIC_ID = "Qwen/Qwen3-0.6B"  # what the notebooks load; the random model stands in its place
MINUTES = 60  # after which a case counts as hung


def _qwen3(hidden: int, inner: int, layers: int, heads: int, groups: int, **more: object) -> dict:
    shape = {"hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads}
    own = {"model_type": "qwen3", "num_key_value_heads": groups, "head_dim": 128, "vocab_size": 151936}
    return own | shape | {"tie_word_embeddings": True, "max_position_embeddings": 4096, **more}


_LLAMA = {"model_type": "llama", "vocab_size": 32000, "tie_word_embeddings": False, "max_position_embeddings": 4096}
_TINYLLAMA = {"hidden_size": 2048, "intermediate_size": 5632, "num_attention_heads": 32, "num_key_value_heads": 4}
_SMOLLM2 = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
_QWEN25 = {"hidden_size": 1536, "intermediate_size": 8960, "num_attention_heads": 12, "num_key_value_heads": 2}

# Configurations of published models. What is stored depends on the shapes of layers, so methods that are slow on a CPU are
# weighed on the first layers alone.
WHOLE = {
    "reference": json.loads((REFERENCE_MODEL / "config.json").read_text(encoding="utf-8")),
    "Qwen3-0.6B": _qwen3(1024, 3072, 28, 16, 8),
    "TinyLlama-1.1B": _LLAMA | _TINYLLAMA | {"num_hidden_layers": 22},
    "Qwen2.5-1.5B": _QWEN25
    | {"model_type": "qwen2", "num_hidden_layers": 28, "vocab_size": 151936, "tie_word_embeddings": True},
    "Qwen3-4B": _qwen3(2560, 9728, 36, 32, 8),
}
FEW = {
    "SmolLM2-135M, 2 layers": _LLAMA | _SMOLLM2 | {"num_hidden_layers": 2, "vocab_size": 49152, "tie_word_embeddings": True},
    "Qwen3-0.6B, 1 layer": _qwen3(1024, 3072, 1, 16, 8),
}
_EXPERTS = {"model_type": "qwen3_moe", "tie_word_embeddings": False, "norm_topk_prob": True, "num_experts_per_tok": 2}
MIXTURES = {
    "Qwen3-30B-A3B, 2 layers, 8 experts": _qwen3(2048, 6144, 2, 32, 4, vocab_size=32000)
    | _EXPERTS
    | {"num_experts": 8, "moe_intermediate_size": 768},
    "small mixture, 4 experts": _qwen3(512, 1536, 1, 8, 2, vocab_size=8192, head_dim=64)
    | _EXPERTS
    | {"num_experts": 4, "moe_intermediate_size": 256},
}
SHAPES = WHOLE | FEW | MIXTURES
FORWARD = ("reference",)  # shapes that are also weighed after a forward pass; it takes long on a CPU


@dataclass(frozen=True)
class Recipe:
    """How a method's section is run here; what a notebook does before and after it on text of its own."""

    before: str = ""  # code that makes the names which the section uses
    cells: tuple[str, ...] = ()  # functions of the notebook that the section uses; their cells run before it
    after: str = ""  # code that loads what the section made
    loads_in: str = ""  # the notebook in whose environment that code runs, in a process of its own
    edits: dict[str, str] = field(default_factory=dict)  # changes that make calibration short
    shapes: tuple[str, ...] = ("reference", *FEW, "small mixture, 4 experts")
    proven: bool = False  # the reference is not weighed again: the notebook's proof has done that, by the same function


_FAST = (*WHOLE, "SmolLM2-135M, 2 layers", *MIXTURES)
_LOADS = 'model = AutoModelForCausalLM.from_pretrained("{}", dtype=torch.bfloat16, device_map="auto")'
_FINDS = "from pathlib import Path\nfolder = next(Path('qwen3-auto-round').glob('*w{}g128'))\n"
_QUIET = "import os, torch\nos.environ['GPTQMODEL_CPU_WORKERS'] = '2'\ntorch._dynamo.config.disable = True\n"

RECIPES = {
    "autoround": Recipe(
        before="texts = ids.view(4, 256)",
        loads_in="autoround",
        edits={"iters=20": "iters=1", "nsamples=64": "nsamples=4"},
        proven=True,
    ),
    "awq": Recipe(
        before=_QUIET + "calibration = ids.view(4, 256)",
        after=_LOADS.format("qwen3-awq"),
        loads_in="awq",
        proven=True,
    ),
    "bitsandbytes": Recipe(shapes=_FAST),
    "compressed-tensors": Recipe(before="calibration = ids.view(4, 256)", loads_in="compressed_tensors_load", proven=True),
    "gemma": Recipe(
        before="baseline = bf16_model()\nlinears = decoder_linears(baseline)",
        cells=("write_rounded",),
        proven=True,
    ),
    "gptq": Recipe(before=_QUIET + "texts = tokenizer.batch_decode(ids.view(4, 256))", proven=True),
    "hqq": Recipe(proven=True),
    "quanto": Recipe(shapes=_FAST),
    "sinq": Recipe(proven=True),
    "torchao": Recipe(shapes=_FAST),
    "vptq": Recipe(
        before="torch.manual_seed(0)\nmodel = bf16_model()\nlinears = decoder_linears(model)",
        cells=("k_means",),
        after="for name in linears:\n    model.set_submodule(name, filled_layer(model.get_submodule(name), bits=8))",
        shapes=("reference", "Qwen3-0.6B, 1 layer"),
        proven=True,
    ),
    "aqlm": Recipe(shapes=("reference", "Qwen3-0.6B, 1 layer"), proven=True),
    "gguf": Recipe(shapes=("reference", "Qwen3-0.6B, 1 layer"), proven=True),
}

# What loads the result, where it differs by variant.
VARIANT_LOADS = {
    ("autoround", "4-bit"): _FINDS.format("4") + _LOADS.format("folder").replace('"folder"', "folder"),
    ("autoround", "2-bit"): _FINDS.format("2") + _LOADS.format("folder").replace('"folder"', "folder"),
    ("compressed-tensors", "w4a16"): _LOADS.format("qwen3-w4a16-gptq"),
    ("compressed-tensors", "w8a8"): _LOADS.format("qwen3-w8a8"),
    ("compressed-tensors", "fp8-dynamic"): _LOADS.format("qwen3-fp8"),
}
NOT_HERE = {("torchao", "int4-weight-only"), ("fp8", "blocks")}  # they need a GPU

# The width that accelerate's estimate-memory is asked for.
ESTIMATE = {16: "float16", 8: "int8"}

# Why a prediction is off by more than 1 %, by method, variant and shape; None stands for all.
_GROUPS_OF_96 = "576 inputs are no multiple of 128; quanto takes groups of 96"
REASONS: dict[tuple[str, str | None, str | None], str] = {("quanto", "int2", "SmolLM2-135M, 2 layers"): _GROUPS_OF_96}

# What a reader should know of a case that is predicted well.
_UNPACKED = "the checkpoint holds the experts quantized, and Transformers unpacks them to bf16 while it loads"
REMARKS: dict[tuple[str, str | None, str | None], str] = {
    ("awq", None, "small mixture, 4 experts"): (
        "GPTQModel quantized the experts too; loaded by Transformers in a process of its own they are reported as missing and "
        "newly initialized in bf16, so the model is of no use"
    ),
    ("compressed-tensors", "w4a16", "small mixture, 4 experts"): _UNPACKED,
    ("compressed-tensors", "fp8-dynamic", "small mixture, 4 experts"): _UNPACKED,
}

PRELUDE_OF_LOADS = "import torch\nfrom transformers import AutoModelForCausalLM"
PRELUDE = """
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from snippets.shared.measure import decoder_linears

MODEL = "Qwen/Qwen3-0.6B"
device = torch.device("cpu")
tokenizer = AutoTokenizer.from_pretrained(MODEL)
ids = tokenizer(open(HELD_OUT).read(), return_tensors="pt", verbose=False).input_ids[0, : 4 * 256]


def bf16_model():
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
"""


def imports(script: Script, before: str) -> str:
    """What the notebook has imported when it comes to the section ``before``, the guide's own modules apart."""
    head = script.body[: script.body.index(f"[start:{before}]")]
    lines = re.findall(r"^(?:import|from) [^(\n]+$", head, re.M)
    return "\n".join(line for line in lines if not line.startswith("from snippets."))


def defining_cells(script: Script, functions: tuple[str, ...]) -> list[str]:
    """The code cells of a notebook that define ``functions``."""
    sources = [cell.source for cell in script.cells() if cell.cell_type == "code"]
    return [source for source in sources if any(f"def {name}(" in source for name in functions)]


def code_of(method: str, variant: Variant, script: Script) -> list[str]:
    """The pieces of code that make a variant: imports and inputs, the notebook's section, what loads the result."""
    recipe, key = RECIPES[method], (method, variant.id)
    own = script.section(variant.section, recipe.edits | variant.edits)
    first = f"HELD_OUT = {str(REFERENCE_MODEL / 'heldout.txt')!r}\n" + PRELUDE + imports(script, variant.section)
    pieces = [first, recipe.before, *defining_cells(script, recipe.cells), own, VARIANT_LOADS.get(key, recipe.after)]
    return [piece for piece in pieces if piece]


def worker(python: Path, arguments: list[str], folder: Path, variables: dict[str, str]) -> dict:
    """Run ``guide.weigh_worker`` in ``folder``; its answer, or a GuideError with the last line of what it wrote."""
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(ROOT)}
    command = [str(python), "-m", "guide.weigh_worker", *arguments]
    (folder / "log.txt").parent.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        try:
            done = subprocess.run(command, cwd=folder, env={**os.environ, **quiet, **variables}, stdout=subprocess.PIPE,
                                  stderr=log, text=True, timeout=60 * MINUTES, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            raise GuideError(f"not done in {MINUTES} minutes") from None
    if done.returncode:
        lines = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"]
        raise GuideError(lines[-1][:300])
    return json.loads(done.stdout.strip().splitlines()[-1])


def random_model(name: str, python: Path) -> tuple[Path, dict]:
    """The folder of a shape's random model, made by ``python`` if it is not there, and what is known of it."""
    folder = WORK / "models" / re.sub(r"\W+", "-", name.lower())
    facts = folder / "facts.json"
    config = SHAPES[name] | {"dtype": "bfloat16"}
    if facts.exists() and (known := json.loads(facts.read_text(encoding="utf-8")))["config"] == config:
        return folder, known
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    answer = worker(python, ["make", str(folder / "config.json"), str(folder)], folder, {})
    for file in ("tokenizer.json", "tokenizer_config.json", "heldout.txt", "generation_config.json"):
        shutil.copyfile(REFERENCE_MODEL / file, folder / file)
    known = answer | {"config": config}
    facts.write_text(json.dumps(known), encoding="utf-8")
    return folder, known


def described(known: dict) -> Shape:
    return Shape(config=known["config"], bf16=Weights(**known["bf16"]), tensors=known["tensors"])


def hub_cache(cache: Path, model: Path, script: Script, python: Path) -> dict[str, str]:
    """A Hugging Face cache with the random model under the id that notebooks load, and what they load ready-made of it."""
    shutil.rmtree(cache, ignore_errors=True)

    def snapshot(public_id: str) -> Path:
        repository = cache / "hub" / f"models--{public_id.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        folder = repository / "snapshots" / ("0" * 40)
        folder.mkdir(parents=True)
        return folder

    for public_id in {PUBLIC_ID, *script.head.guide.models}:
        folder = snapshot(public_id)
        for file in model.iterdir():
            if file.suffix in (".json", ".safetensors") and file.name != "facts.json":
                (folder / file.name).symlink_to(file)
    if script.head.guide.method in ("aqlm", "gguf"):
        for public_id, maker in script.head.guide.checkpoints.items():
            command = [str(python), str(ROOT / "guide" / "checkpoints" / f"{maker}.py"), str(model), str(snapshot(public_id))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise GuideError((done.stderr.strip().splitlines() or ["no message"])[-1][:300])
    return {"HF_HOME": str(cache)}


def looked_up(table: dict[tuple, str], method: str, variant: str, shape: str) -> str:
    """The entry of REASONS or REMARKS for a case, the narrowest first."""
    keys = [(method, variant, shape), (method, variant, None), (method, None, shape), (method, None, None)]
    return next((table[key] for key in keys if key in table), "")


def weigh(method: str, variants: list[Variant], shape: str, cuda: bool) -> tuple[list[Case], Shape]:
    """Quantize one shape by several variants of a method, in one process, and weigh each; a case that fails says why."""
    recipe, script = RECIPES[method], read_script(variants[0].notebook)
    python = environments.prepare(script, cuda)
    model, known = random_model(shape, python)
    folder = WORK / "run" / f"{method}-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    codes = {variant.id: code_of(method, variant, script) for variant in variants}
    job = {"linears": known["linears"], "experts": known["experts"], "forward": shape in FORWARD}
    try:
        variables = hub_cache(folder / "hub", model, script, python)
        loader = script
        if recipe.loads_in:  # made in one process, loaded in another as by a reader
            made = {"codes": {name: code[:-1] for name, code in codes.items()}}
            (folder / "made.json").write_text(json.dumps(made), encoding="utf-8")
            worker(python, ["run", str(folder / "made.json")], folder, variables)
            loader = read_script(recipe.loads_in)
            codes = {name: [PRELUDE_OF_LOADS, code[-1]] for name, code in codes.items()}
        packages = [Requirement(pin).name for pin in loader.head.dependencies]
        (folder / "job.json").write_text(json.dumps(job | {"codes": codes, "packages": packages}), encoding="utf-8")
        answers = worker(environments.prepare(loader, cuda), ["weigh", str(folder / "job.json")], folder, variables)
    except GuideError as error:
        answers = {variant.id: {"measured": None, "failed": str(error)} for variant in variants}
    finally:
        for entry in folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
    return cases_of(method, variants, shape, known, answers)


def cases_of(method: str, variants: list[Variant], shape: str, known: dict, answers: dict) -> tuple[list[Case], Shape]:
    """What was found for each variant beside what is predicted of it."""
    facts, cases = described(known), []
    for variant in variants:
        width = ESTIMATE.get(variant.bits, "int4")
        cases.append(
            Case(
                method=method,
                variant=variant.id,
                shape=shape,
                predicted=predicted(facts, variant.model_dump(mode="json")),
                accelerate={"dtype": width, "bytes": known["accelerate"][width]},
                note=looked_up(REASONS, method, variant.id, shape),
                remark=looked_up(REMARKS, method, variant.id, shape),
                **answers[variant.id],
            )
        )
    return cases, facts


def from_proof(method: str, variants: list[Variant], shape: str, machine: Machine) -> tuple[list[Case], Shape]:
    """The same from the committed proof of the notebook, whose measures count the reference model with the same function."""
    script = read_script(variants[0].notebook)
    _, known = random_model(shape, environments.prepare(script, machine.kind == "cuda"))
    answers = {}
    for variant in variants:
        path = PROOFS / machine.slug / f"{variant.notebook}.ipynb"
        proof = read_proof(path)[1]
        row = next((row for row in proof.measures if row.variant == variant.measured), None)
        if row is None:
            raise GuideError(f"{relative(path)} has no measures of '{variant.measured}'.")
        measured = {"whole": row.quantized_bytes, "linears": round(known["bf16"]["linears"] / row.linear_ratio), "experts": 0}
        answers[variant.id] = {"measured": measured, "versions": proof.versions, "proof": variant.notebook}
    return cases_of(method, variants, shape, known, answers)


def new_record(machine: Machine) -> Record:
    return Record(machine=machine, date=datetime.now(UTC).date(), shapes={}, cases=[])


def predict_anew(record: Record) -> None:
    """Bring what is predicted, and the reasons, up to the pages and the formula as they are; what was measured stands."""
    variants = {(name, variant.id): variant for name, method in read_methods().items() for variant in method.variants}
    record.cases = [case for case in record.cases if (case.method, case.variant) in variants]
    for case in record.cases:
        facts = variants[case.method, case.variant].model_dump(mode="json")
        case.predicted = predicted(record.shapes[case.shape], facts)
        case.note = looked_up(REASONS, case.method, case.variant, case.shape)
        case.remark = looked_up(REMARKS, case.method, case.variant, case.shape)


def store(record: Record, machine: Machine, keep: bool) -> None:
    """Write the record where local results go, and with ``keep`` where it is committed from."""
    for path in [WORK / f"{machine.slug}.json", *([record_path(machine.slug)] if keep else [])]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s weigh --", description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="all that run on a CPU if none is given")
    parser.add_argument("--shape", action="append", metavar="NAME", help="only this shape; may be given more than once")
    parser.add_argument("--variant", action="append", metavar="ID", help="only this variant; may be given more than once")
    parser.add_argument("--keep", action="store_true", help="store the record in proofs/storage/, to be committed")
    parser.add_argument("--predict", action="store_true", help="weigh nothing, predict anew what was weighed")
    arguments = parser.parse_args()
    console, machine = Console(highlight=False), this_machine()
    try:
        unknown = [name for name in arguments.methods if name not in RECIPES]
        if unknown:
            raise GuideError(f"Not weighed here: {', '.join(unknown)}. Known: {', '.join(RECIPES)}.")
        results = WORK / f"{machine.slug}.json"
        record = read_record(results) or read_record(record_path(machine.slug)) or new_record(machine)
        for method in [] if arguments.predict else arguments.methods or RECIPES:
            variants = [variant for variant in read_method(method).variants if (method, variant.id) not in NOT_HERE]
            variants = [variant for variant in variants if not arguments.variant or variant.id in arguments.variant]
            for shape in RECIPES[method].shapes:
                if not variants or (arguments.shape and shape not in arguments.shape):
                    continue
                if RECIPES[method].proven and shape == "reference":
                    cases, facts = from_proof(method, variants, shape, machine)
                else:
                    cases, facts = weigh(method, variants, shape, machine.kind == "cuda")
                record = read_record(results) or read_record(record_path(machine.slug)) or new_record(machine)
                for case in cases:
                    console.print(case.line(), soft_wrap=True)
                    record.put(case)
                record.shapes[shape], record.date = facts, datetime.now(UTC).date()
                store(record, machine, arguments.keep)
        predict_anew(record)
        store(record, machine, arguments.keep)
        console.print(record.summary(), soft_wrap=True)
    except GuideError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
