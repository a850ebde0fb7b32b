"""torch.compile: what its record says becomes each method's answer, and a page cannot answer beside it."""

import dataclasses

import pytest

from guide.bench.compiled import compilable, stored
from guide.facts.compiled import Case, parse_compiled, with_runs
from guide.facts.method import Answer, parse_method
from guide.facts.proof import Machine
from guide.project import GuideError, Project
from guide.prove.machine import this_machine

GPU = Machine(name="NVIDIA H100 80GB HBM3", kind="cuda", architecture="x86_64", capability="9.0", driver=None,
              memory_bytes=1, cores=1)  # fmt: skip


def case(**own):
    """A case that works, changed by ``own``."""
    whole = {"method": "bitsandbytes", "variant": "nf4", "notebook": "bitsandbytes", "date": "2026-11-27", "plain": 0.07,
             "versions": {"torch": "2.13.0+cpu"}, "compiled": 0.07, "seconds": 4, "graphs": 2}  # fmt: skip
    return Case.model_validate(whole | own)


@pytest.mark.parametrize(("own", "works", "text"), [
    ({}, True, "says the same (KL 0.07 for 0.07), 2 graphs, 0 breaks"),
    ({"breaks": {"a reason": 55}}, True, "2 graphs, 55 breaks"),
    ({"compiled": None, "failed": "RuntimeError: no"}, False, "fails: RuntimeError: no"),
    ({"graphs": 0}, False, "nothing of it is compiled"),
    ({"compiled": 24.0}, False, "says something else (KL 24 for 0.07)"),
    ({"compiled": 2 * 0.07 + 0.0099}, True, "says the same"),
    ({"compiled": 2 * 0.07 + 0.0101}, False, "says something else"),
    ({"generate_compiles": False}, True, "generate does not compile it"),
])  # fmt: skip
def test_a_case_works_if_something_was_compiled_and_says_the_same(own, works, text):
    one = case(**own)
    assert (one.works, text in one.line()) == (works, True), one.line()


def test_a_gpu_that_refuses_makes_the_answer_no_and_says_where(guide):
    method, cpu = parse_method("bitsandbytes", guide.pages["methods/bitsandbytes.md"]), guide.compiled["cpu-x86-64"].machine
    records = {
        "cpu": parse_compiled("x", f'{{"machine": {cpu.model_dump_json()}, "cases": [{case().model_dump_json()}]}}'),
        "gpu": parse_compiled("x", f'{{"machine": {GPU.model_dump_json()}, "cases": '
                                   f'[{case(compiled=None, failed="TypeError: no").model_dump_json()}]}}'),
    }  # fmt: skip
    found = with_runs("bitsandbytes", method, records)
    [nf4] = [one for one in found.variants if one.id == "nf4"]
    assert nf4.features["torch_compile"].answer is Answer.NO is found.features.torch_compile.answer
    assert found.features.torch_compile.note == "says the same, without a graph break on a CPU, fails (TypeError) on H100"


def test_a_page_that_answers_what_was_run_is_named(planted):
    ours = '  torch_compile: {answer: "no", source: none}\n'
    planted.edit("docs/methods/bitsandbytes.md", "  generate_compiles:\n", f"{ours}  generate_compiles:\n")
    with pytest.raises(
        GuideError, match=r"docs/methods/bitsandbytes.md answers 'torch_compile', which was run: delete that cell"
    ):
        planted.load()


def test_a_method_without_a_run_is_not_verified(planted, guide):
    assert guide.methods["bitsandbytes"].features.torch_compile.answer is Answer.YES
    for path in planted.project.compiled.glob("*.json"):
        path.unlink()
    cell = planted.load().methods["bitsandbytes"].features.torch_compile
    assert (cell.answer, cell.note) == (Answer.UNVERIFIED, "not run here")


def test_runs_on_a_cpu_are_of_the_pins_as_they_are(guide):
    for one in guide.compiled["cpu-x86-64"].cases:
        script = guide.scripts[one.notebook]
        loader = script.head.guide.weigh and script.head.guide.weigh.loads_in
        pins = dict(pin.split("==") for pin in guide.scripts[loader or one.notebook].head.dependencies)
        assert {name: text.partition("+")[0] for name, text in one.versions.items()} == pins, one.key


def test_every_case_is_of_a_variant_that_a_page_has_and_its_machine_can_make(guide):
    for record in guide.compiled.values():
        made = {(name, one.id) for name, recipe in compilable(guide, record.machine).items() for one in recipe.variants}
        assert {one.key for one in record.cases} <= made


def test_what_generate_did_on_a_gpu_is_what_the_page_says(guide):
    seen = 0
    for record in guide.compiled.values():
        for one in record.cases:
            if one.generate_compiles is not None:
                said = guide.methods[one.method].features.generate_compiles
                assert (said.answer is Answer.YES) == one.generate_compiles, one.line()
                seen += 1
    assert seen


def test_a_method_run_anew_replaces_its_cases_alone(guide, tmp_path):
    copy = dataclasses.replace(guide, project=Project(tmp_path))
    machine = this_machine()
    stored(copy, machine, [case(), case(method="hqq", variant="4-bit")])
    record = stored(copy, machine, [case(variant="int8")])
    assert [one.key for one in record.cases] == [("bitsandbytes", "int8"), ("hqq", "4-bit")]
    text = (tmp_path / "proofs/compiled" / f"{machine.slug}.json").read_text()
    assert parse_compiled("x", text) == record


def test_a_damaged_record_is_named():
    with pytest.raises(GuideError, match="In proofs/compiled/x.json, "):
        parse_compiled("proofs/compiled/x.json", '{"machine": 1}')
