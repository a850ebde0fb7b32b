"""Weighing: script heads joined with pages, what the guest does, and records predicted anew."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from argparse import Namespace
from types import ModuleType, SimpleNamespace

import pytest

from guide.bench import records, weigh
from guide.bench.__main__ import chosen, weigh_all
from guide.bench.recipe import recipes
from guide.bench.shapes import GROUPS, REFERENCE, SHAPES
from guide.facts.coherent import unlike_predicted
from guide.facts.load import load
from guide.facts.storage import Weights
from guide.notebooks.script import parse_script
from guide.project import GuideError, Project
from guide.site.views import measures

FEW_LAYERS = "Qwen3-0.6B, 1 layer"  # a shape that no proof counts


@pytest.fixture(scope="module")
def guide():
    """The guide as it is."""
    return load(Project.here())


@pytest.fixture
def record(guide):
    """A committed record."""
    return next(iter(guide.records.values()))


def with_head(guide, name, old, new):
    """The guide with one text of a script replaced."""
    text = guide.scripts[name].text
    assert text.count(old) == 1
    script = parse_script(name, text.replace(old, new))
    return dataclasses.replace(guide, scripts={**guide.scripts, name: script})


def all_pieces(guide, tmp_path):
    """(method, variant, code) of everything that weighing would run."""
    for method, recipe in recipes(guide).items():
        for _, _, codes in recipe.tasks(tmp_path / "heldout.txt"):
            for variant, pieces in codes.items():
                for piece in pieces:
                    yield method, variant, piece


def test_every_variant_that_is_weighed_has_code_that_compiles(guide, tmp_path):
    seen = set()
    for method, variant, piece in all_pieces(guide, tmp_path):
        compile(piece, f"{method} {variant}", "exec")
        seen.add((method, variant))
    assert {(case.method, case.variant) for record in guide.records.values() for case in record.cases} <= seen


def test_a_variants_code_is_its_section_with_the_edits_of_head_and_page(guide, tmp_path):
    for recipe in recipes(guide).values():
        _, script, makes = recipe.tasks(tmp_path)[0]
        assert script == recipe.script
        for variant in recipe.variants:
            code = "\n".join(makes[variant.id])
            assert code.count("def bf16_model") == 1 and repr(str(tmp_path)) in code
            edits = recipe.weighing.edits | variant.edits
            assert recipe.script.section(variant.section, edits) in code
            assert all(f"def {name}(" in code for name in recipe.weighing.cells)


def test_what_a_section_saves_is_loaded_by_other_code(guide, tmp_path):
    saving = [recipe for recipe in recipes(guide).values() if recipe.weighing.saves]
    assert saving
    for recipe in saving:
        (run, _, _), (task, script, loads) = recipe.tasks(tmp_path)
        assert (run, task) == ("run", "weigh") and script == recipe.loader
        for variant in recipe.variants:
            assert repr(recipe.weighing.saves[variant.id]) in loads[variant.id][0]


def test_groups_name_shapes_that_are_there():
    assert {name for names in GROUPS.values() for name in names} <= {REFERENCE, *SHAPES}


def test_an_edit_of_a_text_that_is_not_there_names_file_and_text(guide, tmp_path):
    name = next(recipe.script.name for recipe in recipes(guide).values() if recipe.weighing.edits)
    old = next(iter(guide.scripts[name].head.guide.weigh.edits))
    planted = with_head(guide, name, f'"{old}" =', '"iters=21" =')
    recipe = recipes(planted)[planted.scripts[name].head.guide.method]
    with pytest.raises(GuideError, match=rf"snippets/{name}\.py must hold 'iters=21' exactly once, .* nowhere"):
        recipe.tasks(tmp_path)


def test_head_and_page_may_not_replace_the_same_text(guide, tmp_path):
    recipe = next(one for one in recipes(guide).values() if any(variant.edits for variant in one.variants))
    variant = next(variant for variant in recipe.variants if variant.edits)
    old = next(iter(variant.edits))
    weighing = recipe.weighing.model_copy(update={"edits": {old: "something else"}})
    with pytest.raises(GuideError, match=rf"{recipe.script.path} replaces .* which the variant '{variant.id}'"):
        dataclasses.replace(recipe, weighing=weighing).tasks(tmp_path)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('shapes = ["nowhere"]', "'nowhere' in 'weigh.shapes'"),
        ('not_here = ["one"]', "'one' in 'weigh.not_here'"),
        ('loads_in = "nothing"', "'nothing' in 'weigh.loads_in'"),
        ('saves = {one = "folder"}', "'one' in 'weigh.saves'"),
        ('notes = {nowhere = {one = "why"}}', "'nowhere' in 'weigh.notes'"),
        ('remarks = {reference = {one = "what"}}', "'one' in 'weigh.remarks.reference'"),
    ],
)
def test_a_head_that_names_what_is_not_there_is_told_so(guide, line, complaint):
    name = next(
        one.script.name
        for one in recipes(guide).values()
        if one.weighing.model_dump(exclude_defaults=True) == {"proven": True}
    )
    planted = with_head(guide, name, "# proven = true\n", f"# {line}\n")
    with pytest.raises(GuideError, match=rf"The head of snippets/{name}\.py names {complaint}, which is not there\. Known: "):
        recipes(planted)


def test_a_variant_that_saves_says_where(guide):
    name = next(one.script.name for one in recipes(guide).values() if len(one.weighing.saves) > 1)
    variant, folder = next(iter(guide.scripts[name].head.guide.weigh.saves.items()))
    planted = with_head(guide, name, f'{variant} = "{folder}", ', "")
    with pytest.raises(GuideError, match=f"snippets/{name}.py has no '{variant}' in 'weigh.saves'"):
        recipes(planted)


def test_a_method_is_weighed_by_one_script(guide):
    recipe = next(one for one in recipes(guide).values() if one.loader != one.script)
    planted = with_head(guide, recipe.loader.name, "# [tool.guide]\n", "# [tool.guide.weigh]\n# [tool.guide]\n")
    with pytest.raises(GuideError, match=f"{recipe.loader.path} has a table 'weigh', as {recipe.script.path} has"):
        recipes(planted)


def test_a_cell_that_no_cell_defines_is_told_so(guide, tmp_path):
    name = next(one.script.name for one in recipes(guide).values() if one.weighing.cells)
    function = guide.scripts[name].head.guide.weigh.cells[0]
    planted = with_head(guide, name, f'cells = ["{function}"]', 'cells = ["nobody"]')
    recipe = recipes(planted)[planted.scripts[name].head.guide.method]
    with pytest.raises(GuideError, match=f"snippets/{name}.py names 'nobody' in 'weigh.cells'"):
        recipe.tasks(tmp_path)


def test_a_method_that_is_not_weighed_is_told_with_those_that_are(guide):
    with pytest.raises(GuideError, match=r"Not weighed here: nothing\. Known: \w+"):
        chosen(guide, ["nothing"])


# Records


def test_records_predicted_anew_are_those_that_are_stored(guide, tmp_path):
    assert guide.records
    copy = Project(tmp_path)
    for name, record in guide.records.items():
        records.store(copy, records.predicted_anew(guide, record), keep=True)
        text, stored = ((project.storage / f"{name}.json").read_text(encoding="utf-8") for project in (copy, guide.project))
        advice = f"proofs/storage/{name}.json does not follow from the pages: run 'nox -s weigh -- --predict --keep'"
        assert text == stored, advice


def test_notes_and_predictions_of_a_record_follow_the_guide(guide, record):
    noted = next(case for case in record.cases if case.note)
    nothing = Weights(whole=1, linears=1, experts=1)
    old = [case.model_copy(update={"note": "old", "remark": "old", "predicted": nothing}) for case in record.cases]
    gone = noted.model_copy(update={"variant": "gone"})
    assert records.predicted_anew(guide, record.model_copy(update={"cases": [*old, gone]})) == record


def test_a_variant_that_no_page_has_any_more_is_named_with_what_to_run(planted, record):
    case = next(case for case in record.cases if case.proof and not case.note)
    planted.edit(f"docs/methods/{case.method}.md", f"  - id: {case.variant}\n", "  - id: renamed\n")
    other = planted.load()
    said = rf"{record.machine.slug}.json has the variant '{case.variant}' of '{case.method}', .*--predict --keep"
    with pytest.raises(GuideError, match=said):
        measures.stored(other, record)
    with pytest.raises(GuideError, match=said):
        list(unlike_predicted(other))


def test_a_new_case_takes_the_place_of_the_one_before(guide, record):
    case = record.cases[0].model_copy(update={"measured": None, "failed": "it failed"})
    shape = record.shapes[case.shape]
    new = records.with_cases(record, [case], case.shape, shape)
    assert len(new.cases) == len(record.cases) and case in new.cases and new.shapes == record.shapes
    assert "not measured, it failed" in case.line()


def test_results_of_this_checkout_go_before_the_committed_record(guide, record, tmp_path):
    here = dataclasses.replace(guide, project=Project(tmp_path))
    assert records.latest_record(here, record.machine) == record
    less = record.model_copy(update={"cases": record.cases[:1]})
    records.store(here.project, less, keep=False)
    assert records.latest_record(here, record.machine) == less
    assert not here.project.storage.exists()
    records.store(here.project, less, keep=True)
    assert (here.project.storage / f"{record.machine.slug}.json").exists()


def test_predicting_alone_weighs_nothing_and_keeps_nothing(guide, record, tmp_path, monkeypatch, capsys):
    here = dataclasses.replace(guide, project=Project(tmp_path))
    monkeypatch.setattr("guide.bench.__main__.this_machine", lambda: record.machine)
    given = Namespace(predict=True, methods=[], variant=None, shape=None, keep=False)
    weigh_all(here, given)
    assert capsys.readouterr().out.strip() == record.summary()
    assert [path.name for path in tmp_path.rglob("*.json")] == [f"{record.machine.slug}.json"]


# One run, with a guest that answers at once


@pytest.fixture
def made(record):
    """A random model's description as the guest gives it."""
    shape = record.shapes[REFERENCE]
    widths = {"float16": 4, "int8": 2, "int4": 1}
    return weigh.Made(**dict(shape), linears=["layer"], experts=[], accelerate=widths)


@pytest.fixture
def bench(guide, made, tmp_path, monkeypatch):
    """A guide in a folder of its own, whose environments are there and whose random model is made."""
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors", "heldout.txt"):
        (model / name).write_text("{}")
    monkeypatch.setattr(weigh.environments, "prepare", lambda *_, **__: tmp_path / "python")
    monkeypatch.setattr(weigh, "random_model", lambda *_: (model, made))
    return dataclasses.replace(guide, project=Project(tmp_path))


def answer_of(recipe, **fields):
    return {variant.id: {"measured": None, "failed": "", "versions": {}, **fields} for variant in recipe.variants}


def test_a_model_that_is_left_in_memory_is_weighed_where_it_was_made(bench, record, monkeypatch):
    recipe = next(one for one in recipes(bench).values() if not one.weighing.saves and not one.weighing.proven)
    asked = []

    def ask(project, python, module, task, folder, variables):
        asked.append((task[0], json.loads((folder / f"{task[0]}.json").read_text())))
        assert (folder / "hub").exists() and variables == {"HF_HOME": str(folder / "hub")}
        return answer_of(recipe, measured={"whole": 3, "linears": 2, "experts": 0})

    monkeypatch.setattr(weigh, "ask", ask)
    cases, shape = weigh.weigh(bench, recipe, REFERENCE, record.machine)
    assert [task for task, _ in asked] == ["weigh"] and asked[0][1]["forward"] is True
    assert [case.key for case in cases] == [(recipe.method, variant.id, REFERENCE) for variant in recipe.variants]
    assert all(case.measured.whole == 3 for case in cases) and shape == record.shapes[REFERENCE]
    assert not list(bench.project.build.rglob("hub"))


def test_a_model_that_is_saved_is_weighed_in_a_second_process(bench, record, monkeypatch):
    recipe = next(one for one in recipes(bench).values() if one.loader != one.script)
    asked = {}

    def ask(project, python, module, task, folder, variables):
        asked[task[0]] = json.loads((folder / f"{task[0]}.json").read_text())
        return answer_of(recipe, failed="nothing")

    monkeypatch.setattr(weigh, "ask", ask)
    cases, _ = weigh.weigh(bench, recipe, FEW_LAYERS, record.machine)
    first = recipe.variants[0].id
    assert list(asked) == ["run", "weigh"] and not any(job["forward"] for job in asked.values())
    [loads] = asked["weigh"]["codes"][first]
    assert repr(recipe.weighing.saves[first]) in loads and loads not in asked["run"]["codes"][first]
    assert {case.failed for case in cases} == {"nothing"}
    assert set(asked["weigh"]["packages"]) <= set(recipe.loader.pins)


def test_checkpoints_are_made_where_the_head_says_so(bench, record, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(weigh.hub_cache, "make_checkpoint", lambda *arguments: calls.append(arguments))
    having = [one for one in recipes(bench).values() if one.script.head.guide.checkpoints]
    for makes in (False, True):
        recipe = next(one for one in having if one.weighing.makes_checkpoints == makes)
        weigh.filled_cache(bench, recipe, tmp_path / str(makes) / "hub", tmp_path / "model", record.machine)
        assert [call[-1] for call in calls] == (list(recipe.script.head.guide.checkpoints) if makes else [])
    links = sorted(path.name for path in tmp_path.rglob("*") if path.is_symlink())
    assert set(links) == {"config.json", "model.safetensors"}


def test_a_guest_that_dies_fails_each_case_with_one_sentence(bench, record, monkeypatch):
    recipe = next(one for one in recipes(bench).values() if len(one.variants) > 1)

    def ask(*_):
        raise GuideError("RuntimeError: no such kernel")

    monkeypatch.setattr(weigh, "ask", ask)
    cases, _ = weigh.weigh(bench, recipe, FEW_LAYERS, record.machine)
    assert {case.failed for case in cases} == {"RuntimeError: no such kernel"} and not any(case.measured for case in cases)


def test_the_reference_is_read_from_the_proof_where_that_counted_it(bench, record):
    recipe = next(one for one in recipes(bench).values() if one.weighing.proven)
    cases, _ = weigh.weigh(bench, recipe, REFERENCE, record.machine)
    stored = {case.key: case for case in record.cases}
    assert [case.measured for case in cases] == [stored[case.key].measured for case in cases]
    assert [case.predicted for case in cases] == [stored[case.key].predicted for case in cases]


def test_a_proof_without_the_variants_row_is_told_so(bench, record):
    recipe = next(one for one in recipes(bench).values() if one.weighing.proven)
    strange = recipe.variants[0].model_copy(update={"measured": "a row that is not there"})
    with pytest.raises(GuideError, match=r"proofs/.*ipynb has no measures of 'a row that is not there'"):
        weigh.weigh(bench, dataclasses.replace(recipe, variants=(strange,)), REFERENCE, record.machine)
    elsewhere = record.machine.model_copy(update={"architecture": "other"})
    with pytest.raises(GuideError, match=r"There is no proofs/cpu-other/"):
        weigh.weigh(bench, recipe, REFERENCE, elsewhere)


# The guest


def test_a_worker_that_dies_gives_the_last_line_it_wrote(guide, tmp_path):
    with pytest.raises(GuideError, match=r"^ModuleNotFoundError: No module named 'torch'$"):  # the tests have none
        weigh.ask(guide.project, sys.executable, "weigher", ["run", "job.json"], tmp_path, {})


def test_a_worker_that_dies_without_a_word_is_told_so(guide, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(GuideError, match="ended with 3 and no message"):
        weigh.ask(guide.project, python, "weigher", ["run", "job.json"], tmp_path, {})


def test_a_random_model_is_made_once_for_each_shape(guide, made, tmp_path, monkeypatch):
    here = dataclasses.replace(guide, project=Project(tmp_path))
    here.project.reference.mkdir(parents=True)
    for name in ("config.json", *weigh.BESIDE_WEIGHTS):
        (here.project.reference / name).write_text("{}")
    asked = []
    monkeypatch.setattr(weigh, "ask", lambda *given: asked.append(given[3][1]) or made.model_dump(mode="json"))
    shape = next(iter(SHAPES))
    for name in (REFERENCE, shape, shape):
        folder, found = weigh.random_model(here, name, tmp_path / "python")
        assert found == made and (folder / "tokenizer.json").exists()
    assert len(asked) == 2 and asked[0] == str(here.project.reference / "config.json")
    assert json.loads((folder / "config.json").read_text()) == SHAPES[shape] | {"dtype": "bfloat16"}
    retrained = dataclasses.replace(here, stand_in="another")
    weigh.random_model(retrained, shape, tmp_path / "python")
    assert len(asked) == 3


class Module:
    """As much of torch's module as the guest looks at."""

    def __init__(self, *parameters, **modules):
        self._parameters, self._modules = parameters, modules

    def parameters(self, recurse):
        assert recurse is False
        return self._parameters

    def get_submodule(self, path):
        return self._modules[path] if path else self

    def get_output_embeddings(self):
        return self._modules.get("head")


class Linear(Module): ...


class Embedding(Module): ...


class Convolution(Module): ...


class RMSNorm(Module): ...


def sized(*shape):
    """A parameter of this shape."""
    return SimpleNamespace(shape=shape, ndim=len(shape), dim=lambda: len(shape))


MIXTURE = Module(
    head=Linear(),
    words=Embedding(),
    query=Linear(),
    norm=RMSNorm(),
    convolution=Convolution(),
    experts=Module(sized(4, 3, 2)),
    router=Module(sized(4, 3)),
)


@pytest.fixture
def guest(monkeypatch):
    """Imports a module of the guest, on stand-ins for the libraries that the tests have not."""
    layers = {"Module": Module, "Linear": Linear, "Embedding": Embedding, "Parameter": object}
    stand_ins = {
        "torch": {},
        "torch.nn": layers,
        "torch.nn.modules": {},
        "torch.nn.modules.conv": {"_ConvNd": Convolution},
        "transformers": {"AutoConfig": None, "AutoModelForCausalLM": None},
        "snippets.shared.measure": {
            "decoder_linears": None,
            "stored_bytes": lambda model, names=None: len(names or "all of it"),
        },
    }
    for name, contents in stand_ins.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    sys.modules["torch"].nn = sys.modules["torch.nn"]
    ours = ("guide.guest.parts", "guide.guest.weigher")
    for name in ours:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield lambda name: importlib.import_module(f"guide.guest.{name}")
    for name in ours:
        sys.modules.pop(name, None)


def test_each_parameter_of_a_model_belongs_to_the_part_that_its_module_says(guest):
    wanted = {
        ("words.weight", 2): "embedding",
        ("head.weight", 2): "head",
        ("head.bias", 1): "other",
        ("query.weight", 2): "linear",
        ("query.bias", 1): "other",
        ("norm.weight", 1): "norm",
        ("convolution.weight", 3): "other",
        ("experts.down", 3): "experts",
        ("experts.down_bias", 2): "bias of experts",
        ("router.weight", 2): "other",
    }
    part_of = guest("parts").part_of
    assert {(name, size): part_of(MIXTURE, name, sized(*range(size))) for name, size in wanted} == wanted


def test_tensors_of_all_layers_are_one_and_experts_are_counted(guest):
    layers = {f"layers.{number}.{name}": module for number in range(2) for name, module in MIXTURE._modules.items()}
    model = Module(**layers)
    found = {"query.weight": (5, 6), "query.bias": (5,), "experts.down": (4, 3, 2), "router.weight": (4, 3)}
    model.named_parameters = lambda: [
        (f"layers.{number}.{name}", sized(*shape)) for number in range(2) for name, shape in found.items()
    ]
    assert [tuple(tensor.values()) for tensor in guest("weigher").tensors_of(model)] == [
        ("linear", "layers.*.query.weight", 5, 6, 2),
        ("other", "layers.*.query.bias", 5, 1, 2),
        ("experts", "layers.*.experts.down", 3, 2, 8),
        ("router", "layers.*.router.weight", 4, 3, 2),
    ]


def test_the_guest_weighs_the_model_that_a_variants_code_names_last(guest):
    makes = ["from torch.nn import Linear, Module", "first, model, number = Module(), Module(layer=Linear()), 1\nmodel"]
    job = {"linears": ["layer"], "experts": [], "forward": False, "packages": ["pytest"], "codes": {"one": makes}}
    job["codes"]["two"] = ["raise SystemExit('no\\nkernel')"]
    answers = guest("weigher").weigh(job)
    assert answers["one"] == {
        "measured": {"whole": len("all of it"), "linears": 1, "experts": 0},
        "after_forward": None,
        "layers": ["Linear"],
        "versions": {"pytest": pytest.__version__},
    }
    assert answers["two"]["measured"] is None and answers["two"]["failed"] == "SystemExit: no kernel"
