"""Running notebooks: what becomes of each kind of failure, controls, which notebooks to prove, when a proof still holds.

These run small notebooks of their own with nbmake, in this test's interpreter; the real ones are run by nox -s prove.
"""

from __future__ import annotations

import copy
import errno
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from types import ModuleType, SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from tokenizers import Tokenizer

from guide.facts.load import load_scripts
from guide.facts.proof import MEASURES_MIME, Failure, Machine, State, parse_proof
from guide.guest.arguments import unknown_arguments
from guide.notebooks.build import build
from guide.notebooks.script import parse_script
from guide.project import GuideError, Project
from guide.prove import environments, hub_cache, kernel
from guide.prove.__main__ import chosen, main
from guide.prove.cleaning import cleaned, without_noise
from guide.prove.controls import check_weakness, plain_copy, swapped_copy
from guide.prove.failures import ADVICE, Failed, from_notebook, paragraph
from guide.prove.kernel import execute
from guide.prove.locks import alone
from guide.prove.paste import Paster, blocks, paste
from guide.prove.repeated import differences
from guide.prove.reporting import Reporter
from guide.prove.run import Run

HERE = Path(sys.executable)
CPU = Machine(name="test", kind="cpu", architecture="x86_64", capability=None, driver=None, memory_bytes=1, cores=1)
GPU = Machine(name="NVIDIA H200", kind="cuda", architecture="x86_64", capability="9.0", driver="580", memory_bytes=1, cores=1)


def notebook_of(*sources: str, tags: dict[int, list[str]] | None = None):
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    for i, names in (tags or {}).items():
        notebook.cells[i].metadata["tags"] = names
    return notebook


def run(folder: Path, notebook, python: Path = HERE, limit: float = 60, tick=lambda cell: None):
    return execute(notebook, folder / "run", python, {}, limit, tick)


def failed_run(folder: Path, notebook, **how) -> Failure:
    with pytest.raises(Failed) as ended:
        run(folder, notebook, **how)
    return ended.value.failure


# What becomes of a run


FAILING = {
    "raise MemoryError('no room')": ("out of memory", "no room"),
    "raise RuntimeError('CUDA out of memory. Tried to allocate')": ("out of memory", "CUDA out of memory"),
    "import no_such_package": ("missing package", "no_such_package"),
    "a = 1\nassert a == 2": ("assertion", "assertion failed: assert a == 2"),
    "class WrongHardware(Exception): ...\nraise WrongHardware('needs 8.9')": ("wrong hardware", "needs 8.9"),
    "raise OSError(\"We couldn't connect to 'https://huggingface.co'\")": ("hub unreachable", "couldn't connect"),
    "import errno, os\nraise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))": ("full disk", "No space left on device"),
    "int('x')": ("error", "ValueError: invalid literal"),
}


def test_an_exception_becomes_a_class_and_a_cell(tmp_path):
    notebook = notebook_of("a = 1", *FAILING)
    notebook.metadata["execution"] = {"allow_errors": True}  # so that one run shows them all
    first, *others = run(tmp_path, notebook).cells
    for cell, (kind, words) in zip(others, FAILING.values(), strict=True):
        assert cell.outputs[0].output_type == "error"
        failure = from_notebook(new_notebook(cells=[first, cell]))
        assert (failure.kind, failure.cell) == (kind, 2)
        assert words in failure.message
        text = paragraph("example", failure)
        assert text.startswith(f"example: {kind}, cell 2. ")
        assert text.endswith(ADVICE[kind])
        assert "\n" not in text


def test_a_dead_kernel_is_told_with_its_cell(tmp_path):
    seen = []
    notebook = notebook_of("%pip install x", "a = 1", "import os\nos._exit(1)", "b = 2", tags={0: ["skip-execution"]})
    failure = failed_run(tmp_path, notebook, tick=seen.append)
    assert (failure.kind, failure.cell) == ("dead kernel", 3)
    assert seen[0] is None, "before the first cell starts"
    assert 3 in seen and 1 not in seen, "the cell that runs is told, and one that is skipped does not run"


def test_what_a_run_shows_up_to_its_first_error_is_stored_without_paths_of_the_machine(tmp_path):
    """With an interpreter that gives up the first time it is started, as one does whose port another kernel took."""
    starts, python = tmp_path / "starts", tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho start >> {starts}\n[ $(wc -l < {starts}) -gt 1 ] && exec {sys.executable} "$@"\nexit 1\n'
    )
    python.chmod(0o755)
    show = "import os\nprint(os.getcwd())"
    notebook = notebook_of(show, "1 + 1", "import sys\nprint('a', flush=True)\nprint('b')", "int('x')", "print('never')")
    executed = run(tmp_path, notebook, python)
    assert starts.read_text() == "start\n" * 2, "a kernel that dies before its first cell is started anew"
    assert from_notebook(executed).cell == 4
    stored = cleaned(executed, notebook, {str(tmp_path / "run"): ".", str(tmp_path): "~"})
    assert str(tmp_path) not in nbformat.writes(stored)
    assert [len(cell.outputs) for cell in stored.cells] == [1, 1, 1, 1, 0]
    assert stored.cells[0].outputs[0].text == "./work\n"
    assert stored.cells[1].outputs[0].data["text/plain"] == "2"
    assert stored.cells[2].outputs[0].text == "a\nb\n"
    assert "execution" not in stored.cells[1].metadata
    executed.cells[3].outputs = []
    assert from_notebook(executed) is None


@pytest.mark.parametrize(("failing", "cell", "starts"), [(1, None, 2), (2, None, 3), (9, None, 3), (9, 1, 1)])
def test_a_kernel_is_started_three_times_at_most_and_once_if_a_cell_ran(tmp_path, monkeypatch, failing, cell, starts):
    tried = []

    def attempt(*arguments):
        tried.append(arguments)
        return (1, {"died": True} | ({"cell": cell} if cell else {})) if len(tried) <= failing else (0, {"cell": 1})

    monkeypatch.setattr(kernel, "_attempt", attempt)
    if failing < 3:
        assert run(tmp_path, notebook_of("1")).cells[0].source == "1"
    else:
        failure = failed_run(tmp_path, notebook_of("1"))
        assert (failure.kind, failure.cell) == ("dead kernel", cell)
    assert len(tried) == starts


def test_a_hung_cell_is_told_with_its_cell(tmp_path, monkeypatch):
    """The clock jumps an hour ahead when the cell is seen to run."""
    ahead = [0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + ahead[0])
    monkeypatch.setattr(kernel, "time", clock)

    def tick(cell):
        ahead[0] = 3600 if cell == 2 else 0

    failure = failed_run(tmp_path, notebook_of("a = 1", "import time\ntime.sleep(600)"), limit=120, tick=tick)
    assert (failure.kind, failure.cell, failure.message) == ("timeout", 2, "Still running after 2 minutes")


def test_what_ends_nbmake_itself_is_told_with_its_last_lines(tmp_path):
    failure = failed_run(tmp_path, notebook_of("1"), python=tmp_path / "no_such_python")
    assert failure.kind == "error"
    assert "no_such_python" in failure.message or "FAILED" in failure.message


def test_an_interruption_ends_the_process(tmp_path):
    def tick(cell):
        if cell:
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, notebook_of("import time\ntime.sleep(600)"), tick=tick)
    assert time.monotonic() - started < 30


def test_progress_bars_and_repeated_lines_are_not_stored():
    text = "start\n  10%|#  | 1/10 [00:01]\r 100%|###| 10/10 [00:02]\nwarned\nwarned\nwarned\nend\n"
    assert without_noise(text) == "start\nwarned [3 such lines]\nend\n"


# Controls


FAKE_TRANSFORMERS = dedent("""
    class FakeConfig:
        def __init__(self, bits=4, **kwargs):
            self.bits = bits


    class PreTrainedModel:
        @classmethod
        def from_pretrained(cls, name, quantization_config=None):
            model = cls()
            model.bits = getattr(quantization_config, "bits", quantization_config) or 16
            return model
    """)


@pytest.fixture
def plain_run(monkeypatch):
    """A control on plain weights with three checks: one that notices, one that does not, one that breaks; run right here."""
    transformers = ModuleType("transformers")
    exec(FAKE_TRANSFORMERS, transformers.__dict__)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    load = "from transformers import PreTrainedModel\nmodel = PreTrainedModel.from_pretrained('x', quantization_config=4)"
    checks = ("assert model.bits == 4", "assert model.bits <= 16", "assert model.scale == 4")
    tags = {0: ["skip-execution"], 2: ["check"], 3: ["check"], 4: ["check"]}
    control = plain_copy(notebook_of("%pip install x", load, *checks, "1", tags=tags), CPU)
    assert control.must_fail == [3, 4, 5]
    assert len(control.notebook.cells) == 5
    ran, names = copy.deepcopy(control.notebook), {}
    for cell in ran.cells:
        try:
            exec(cell.source, names)
        except Exception as error:
            cell.outputs = [new_output("error", ename=type(error).__name__, evalue="", traceback=[])]
    return control, ran


def test_a_check_that_fails_without_quantization_is_good(plain_run):
    control, ran = plain_run
    assert not {"skip-execution"} & set(ran.cells[0].metadata.get("tags", ())), "what takes quantization away runs"
    check_weakness(ran, replace(control, must_fail=[3]))


@pytest.mark.parametrize(("cell", "words"), [
    (4, "This check also passes on plain bf16 weights"),
    (5, "On plain bf16 weights this check ends in AttributeError, not in a failed assertion"),
])  # fmt: skip
def test_a_check_that_passes_without_quantization_or_breaks_for_another_reason_fails_the_proof(plain_run, cell, words):
    control, ran = plain_run
    with pytest.raises(Failed) as weak:
        check_weakness(ran, replace(control, must_fail=[3, cell]))
    assert weak.value.failure == Failure(kind="weak check", message=words, cell=cell)


def test_a_notebook_without_a_check_proves_nothing():
    with pytest.raises(Failed, match="No cell is tagged 'check'"):
        check_weakness(notebook_of(), plain_copy(notebook_of("x"), CPU))


def test_a_check_for_other_hardware_is_not_expected_to_fail():
    notebook = notebook_of("x", "y", tags={1: ["check", "needs:cuda>=8.0"]})
    assert plain_copy(notebook, CPU).must_fail == []
    assert plain_copy(notebook, GPU).must_fail == [2]


def test_the_other_control_swaps_bit_widths_but_not_in_checks():
    sources = ("load(bits=8, nbits=8)\nload(bits=4)\nload(bits=8)", "assert bits == 8  # bits=8")
    notebook = notebook_of(*sources, tags={1: ["check"]})
    control = swapped_copy(notebook, CPU, {"bits=8": "bits=4", "bits=4": "bits=8"})
    swapped = [cell.source for cell in control.notebook.cells]
    assert swapped == ["load(bits=4, nbits=8)\nload(bits=8)\nload(bits=4)", "assert bits == 8  # bits=8"]
    assert control.must_fail == [2]
    assert notebook.cells[0].source == sources[0]
    with pytest.raises(GuideError, match="'bits=2', which is in no code cell but checks"):
        swapped_copy(notebook, CPU, {"bits=2": "bits=4"})
    with pytest.raises(GuideError, match="must hold 'bits=8' exactly once, to be replaced; it is there 2 times"):
        swapped_copy(notebook_of("load(bits=8) == load(bits=8)"), CPU, {"bits=8": "bits=4"})


def test_each_script_s_other_control_can_be_made(guide):
    swapping = {name: script.head.guide.swap for name, script in guide.scripts.items() if script.head.guide.swap}
    assert swapping
    for name, swap in swapping.items():
        control = swapped_copy(guide.notebooks[name], GPU, swap)
        assert control.must_fail, name
        changed = zip(control.notebook.cells, guide.notebooks[name].cells, strict=False)
        assert any(cell.source != as_written.source for cell, as_written in changed), (
            f"{name}: no check comes after what is swapped"
        )


# A whole proof


SCRIPT = """\
# /// script
# requires-python = ">=3.11"
# dependencies = ["nbformat==5.11.1"]
#
# [tool.guide]
# method = "METHOD"
# needs = "cpu"
# minutes = 1
# models = ["ORG/NAME"]
# texts = ["ggml-org/ci"]
#
# [tool.guide.swap]
# "bits=4" = "bits=8"
# ///

# %%
from transformers import FakeConfig, PreTrainedModel

model = PreTrainedModel.from_pretrained("ORG/NAME", quantization_config=FakeConfig(bits=4))

# %% tags=["check"]
assert model.bits == 4

# %%
import os
from pathlib import Path

config = next(Path(os.environ["HF_HOME"], "hub", "models--ORG--NAME", "snapshots").glob("*/config.json"))
print(config.stat().st_size)

# %%
from IPython.display import display

display({"MIME": []}, raw=True)
"""


def made_up(guide, tmp_path, text: str = SCRIPT):
    """The guide with one small script more, named example, in a project of its own."""
    method = next(iter(guide.methods))
    script = parse_script("example", text.replace("METHOD", method).replace("MIME", MEASURES_MIME))
    project = Project(tmp_path / "tree", repository="owner/name")
    shutil.copytree(guide.project.reference, project.reference)
    notebooks = {**guide.notebooks, "example": build(script, guide.shared)}
    return replace(guide, project=project, scripts={**guide.scripts, "example": script}, notebooks=notebooks,
                   proofs={**guide.proofs, "example": ()})  # fmt: skip


@pytest.fixture
def environment(tmp_path, monkeypatch) -> Path:
    """An interpreter that has a small package in the place of Transformers, given to every notebook."""
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "transformers.py").write_text(FAKE_TRANSFORMERS)
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path / "packages"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(environments, "prepare", lambda project, script, cuda, background=False: python)
    return python


def proven(guide, hub: bool = False):
    said: list[str] = []
    stored, proof = Run(guide, "example", CPU, lambda what, seconds: said.append(what), hub=hub).prove()
    assert stored.metadata["proof"] == json.loads(proof.model_dump_json(by_alias=True))
    return stored, proof, said


def test_a_notebook_and_its_controls_run_and_are_recorded(guide, tmp_path, environment):
    known = made_up(guide, tmp_path)
    stored, proof, said = proven(known)
    assert (proof.error, proof.status, proof.control) == (None, "passed", [3])
    assert proof.digest == known.digest("example", stand_in=True)
    assert proof.pins == {"nbformat": "5.11.1"}
    assert [source.sha256 for source in proof.models + proof.texts] == [known.stand_in] * 2
    size = (guide.project.reference / "config.json").stat().st_size
    assert stored.cells[3].outputs[0].text == f"{size}\n", "the notebook found the stand-in under the public id"
    assert parse_proof("proofs/test/example.ipynb", nbformat.writes(stored))[1] == proof
    assert said[:2] == ["making its environment", "running its kernel starts"]
    assert {"control 1, its kernel starts", "control 2, its kernel starts"} <= set(said)
    assert list((known.project.build / "run" / "example").glob("*/work")) == []


def fake_execute(monkeypatch, failing_checks: bool = True, measures=()):
    """Instead of nbmake: outputs as the cells would show them, and in controls an error of each check."""

    def executed(notebook, folder, python, variables, limit, tick):
        tick(1)
        ran = copy.deepcopy(notebook)
        for cell in ran.cells:
            if "display(" in cell.source:
                cell.outputs = [new_output("display_data", data={MEASURES_MIME: list(measures)})]
            if folder.name.startswith("control") and failing_checks and cell.source.startswith("assert"):
                cell.outputs = [new_output("error", ename="AssertionError", evalue="", traceback=[])]
        return ran

    monkeypatch.setattr("guide.prove.run.execute", executed)


def test_what_a_control_does_not_notice_fails_the_proof_and_keeps_the_run(guide, tmp_path, environment, monkeypatch):
    fake_execute(monkeypatch, failing_checks=False)
    stored, proof, _ = proven(made_up(guide, tmp_path))
    assert (proof.error.kind, proof.error.cell, proof.control) == ("weak check", 3, [])
    assert stored.cells[-1].outputs, "what was shown is stored all the same"


def test_figures_that_cannot_be_fail_the_proof(guide, tmp_path, environment, monkeypatch):
    """Whatever a notebook measures with: bf16's perplexity for both, a model that answers with no number."""
    row = next(one.proof.measures[0] for found in guide.proofs.values() for one in found if one.proof.measures)
    good = row.model_dump()
    same = good | {"perplexity": row.baseline_perplexity, "loss_difference": 0.0}
    broken = good | {"perplexity": float("nan")}
    for shown, words in ((good, None), (same, "bf16's to the last digit"), (broken, "'perplexity' is wrong")):
        fake_execute(monkeypatch, measures=[shown])
        _, proof, _ = proven(made_up(guide, tmp_path / str(words)))
        assert (proof.error is None) if words is None else (words in proof.error.message and proof.measures == [])


def test_a_run_that_does_not_find_a_committed_figure_again_says_so(guide):
    stored = next(one for found in guide.proofs.values() for one in found
                  if one.state is State.PROVEN and one.proof.measures and one.proof.machine.kind == "cpu")  # fmt: skip
    assert list(differences(guide, stored.proof)) == []
    row = stored.proof.measures[0]

    def found(**changes):
        rows = [row.model_copy(update=changes), *stored.proof.measures[1:]]
        return list(differences(guide, stored.proof.model_copy(update={"measures": rows})))

    assert found(kl=row.kl * 1.01, tokens_per_second=1.0) == [], "processors round differently, and are not equally fast"
    (sentence,) = found(kl=row.kl * 1.1)
    assert sentence.startswith(f"{stored.path} says of '{row.variant}': kl {row.kl:.5f}, and this run found")
    (sentence,) = found(quantized_bytes=row.quantized_bytes + 1)
    assert f"quantized_bytes {row.quantized_bytes}, and this run found" in sentence
    (sentence,) = found(variant="another")
    assert "has other variants" in sentence


def test_a_swap_that_is_nowhere_fails_the_proof(guide, tmp_path, environment, monkeypatch):
    fake_execute(monkeypatch)
    _, proof, _ = proven(made_up(guide, tmp_path, SCRIPT.replace('"bits=4" = ', '"bits=3" = ')))
    assert proof.error.kind == "weak check"
    assert "'bits=3'" in proof.error.message


def test_a_notebook_must_show_its_measures(guide, tmp_path, environment, monkeypatch):
    fake_execute(monkeypatch)
    _, proof, said = proven(made_up(guide, tmp_path, SCRIPT.replace("display(", "print(")))
    assert (proof.error.kind, proof.control) == ("assertion", [3])
    assert "no table of measures" in proof.error.message
    cells = ["running cell 1 of 5", "control 1, cell 1 of 5", "control 2, cell 1 of 5"]
    assert said[0] == "making its environment" and said[1] == cells[0] and set(said[1:]) == set(cells)


def test_one_that_shows_faults_alone_needs_neither_controls_nor_measures(guide, tmp_path, environment, monkeypatch):
    fake_execute(monkeypatch, failing_checks=False)
    faults = SCRIPT.replace("# minutes = 1", "# minutes = 1\n# only_faults = true").replace("display(", "print(")
    _, proof, said = proven(made_up(guide, tmp_path, faults))
    assert proof.status == "passed"
    assert not any(text.startswith("control") for text in said)


def test_an_unknown_argument_ends_a_proof_before_the_run(guide, tmp_path, environment):
    text = SCRIPT.replace("FakeConfig(bits=4)", "FakeConfig(bits=4, bit=4)")
    stored, proof, said = proven(made_up(guide, tmp_path, text))
    assert (proof.error.kind, proof.error.cell) == ("unknown argument", 2)
    assert "FakeConfig has no argument 'bit' in transformers" in proof.error.message
    assert said == ["making its environment"]
    assert not any(cell.get("outputs") for cell in stored.cells)


def test_an_environment_that_cannot_be_made_ends_a_proof(guide, tmp_path, monkeypatch):
    def fails(*arguments, **named):
        raise GuideError("ERROR: No matching distribution found for no-such-package==1")

    monkeypatch.setattr(environments, "prepare", fails)
    _, proof, _ = proven(made_up(guide, tmp_path))
    assert proof.error == Failure(kind="installation", message=str(proof.error.message), cell=None)
    assert "no-such-package" in proof.error.message


def test_what_calibrates_lies_behind_what_is_evaluated(guide, tmp_path):
    """In the stand-in's archive, whose two texts are parts of one."""
    evaluated = 64 * 512
    table = guide.scripts["gptq"].head.guide.model_copy(update={"checkpoints": {}})
    hub_cache.fill(guide.project, "f" * 64, tmp_path, lambda _: HERE, table)
    [archive] = tmp_path.rglob("wikitext-2-raw-v1.zip")
    with zipfile.ZipFile(archive) as files:
        test, train = (files.read(f"wikitext-2-raw/wiki.{split}.raw").decode("utf-8") for split in ("test", "train"))
    tokens = Tokenizer.from_file(str(guide.project.reference / "tokenizer.json")).encode(test)
    assert test.index(train) > tokens.offsets[evaluated][0] and len(train) > 10 * 12_000


def test_real_models_are_recorded_with_the_revision_of_the_cache(guide, tmp_path, environment, monkeypatch):
    fake_execute(monkeypatch)
    hub_cache.snapshot(tmp_path / "home", "models", "ORG/NAME", "f" * 40)
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    known = made_up(guide, tmp_path)
    _, proof, _ = proven(known, hub=True)
    assert not proof.stand_in
    assert [source.revision for source in proof.models + proof.texts] == ["f" * 40, None]
    assert proof.digest == known.digest("example", stand_in=False)


def test_an_interruption_ends_controls_that_run_side_by_side(guide, tmp_path, environment, monkeypatch):
    def for_ever(notebook, folder, python, variables, limit, tick):
        while True:
            tick(1)
            time.sleep(0.01)

    def interrupted(jobs):
        raise KeyboardInterrupt

    monkeypatch.setattr("guide.prove.run.execute", for_ever)
    monkeypatch.setattr("guide.prove.run.wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Run(made_up(guide, tmp_path), "example", CPU, lambda what, seconds: None).run_controls()


# What runs in


@pytest.mark.parametrize(("needs", "cpu", "gpu"), [("cpu", True, True), ("cuda", False, True), ("cuda>=8.9", False, True),
                                                   ("cuda>=10.0", False, False)])  # fmt: skip
def test_hardware(needs, cpu, gpu):
    assert (CPU.satisfies(needs), GPU.satisfies(needs)) == (cpu, gpu)
    assert (CPU.slug, GPU.slug) == ("cpu-x86-64", "nvidia-h200")


def test_an_environment_is_made_once_and_an_older_one_of_the_same_notebook_goes(tmp_path, monkeypatch):
    commands = []
    project, script = Project(tmp_path), parse_script("example", SCRIPT)
    older, other = (
        tmp_path / "build" / "environments" / name for name in ("example-000000000000", "example-two-000000000000")
    )
    older.mkdir(parents=True)
    other.mkdir()

    def make_folder(command, variables=None):
        commands.append(command)
        if "venv" in command:
            python = environments.python_of(Path(command[-1]))
            python.parent.mkdir(parents=True)
            python.touch()

    monkeypatch.setattr(environments, "run_quietly", make_folder)
    python = environments.prepare(project, script, cuda=False)
    assert python == environments.python_of(python.parent.parent)
    assert not older.exists() and other.exists()
    assert "nbformat==5.11.1" in commands[-1] and environments.KERNEL in commands[-1]
    made = len(commands)
    assert environments.prepare(project, script, cuda=False) == python
    assert len(commands) == made
    python.unlink()  # as where the Python that it was made of is gone
    assert environments.prepare(project, script, cuda=False) == python
    assert len(commands) == 2 * made


def test_an_environment_is_made_by_one_command_at_a_time(tmp_path, monkeypatch):
    held = []

    def look(command, variables=None):
        with pytest.raises(GuideError, match="is under way"), alone(tmp_path / "build" / "environments" / "example.lock"):
            pass
        held.append(command)
        if "venv" in command:
            Path(command[-1]).mkdir()

    monkeypatch.setattr(environments, "run_quietly", look)
    environments.prepare(Project(tmp_path), parse_script("example", SCRIPT), cuda=False)
    assert held
    with alone(tmp_path / "build" / "environments" / "example.lock"):
        pass


CACHES: list[dict[str, str]] = [
    {},
    {"XDG_CACHE_HOME": "~/x"},
    {"XDG_CACHE_HOME": "/x", "HF_HOME": "~/h"},
    {"XDG_CACHE_HOME": "/x", "HF_HOME": "$XDG_CACHE_HOME/h"},
    {"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "~/c"},
    {"HUGGINGFACE_HUB_CACHE": "/c", "HF_HUB_CACHE": "~/d"},
]


@pytest.mark.parametrize("variables", CACHES, ids=lambda variables: " ".join(variables) or "none")
def test_the_hubs_cache_is_where_its_own_library_finds_it(monkeypatch, variables):
    for name in ("XDG_CACHE_HOME", "HF_HOME", "HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    command = [str(HERE), "-c", "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"]
    assert str(hub_cache.own_cache()) == subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_checkpoint_that_cannot_be_made_is_told_with_its_last_line(tmp_path):
    maker = tmp_path / "maker.py"
    maker.write_text("import sys\nsys.exit('The reference has no layer 3.')\n")
    with pytest.raises(GuideError) as error:
        hub_cache.make_checkpoint(maker, HERE, tmp_path, tmp_path / "target", "ORG/NAME")
    assert str(error.value) == (
        "models/checkpoints/maker.py could not make the stand-in for ORG/NAME: The reference has no layer 3."
    )


def test_an_argument_that_would_be_swallowed_is_found(tmp_path, monkeypatch):
    (tmp_path / "fakelib.py").write_text("class FakeConfig:\n    def __init__(self, load_in_8bit=False, **kwargs): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    cells = [
        {"cell_type": "markdown", "source": "FakeConfig(not_code=1)"},
        {"cell_type": "code", "source": "%pip install x\nfrom fakelib import FakeConfig\nFakeConfig(load_in_8bit=True)"},
        {"cell_type": "code", "source": "load(config=FakeConfig(load_in_8bits=True))"},
    ]
    assert unknown_arguments(cells) == [(3, "FakeConfig has no argument 'load_in_8bits' in fakelib")]


# Which notebooks


@pytest.fixture
def five(guide):
    """A guide of five notebooks: two proven, one whose code changed, one never proven, one for a GPU."""
    base = next(script for script in guide.scripts.values() if guide.best(script.name))
    stored = guide.best(base.name)
    needs = {"changed": "cpu", "for_gpu": "cuda", "missing": "cpu", "newer": "cpu", "older": "cpu"}
    scripts, proofs = {}, {}
    for name, least in needs.items():
        head = base.head.model_copy(update={"guide": base.head.guide.model_copy(update={"needs": least})})
        scripts[name] = replace(base, name=name, head=head)
        date = "2026-01-01T00:00:00+00:00" if name == "older" else "2026-02-02T00:00:00+00:00"
        state = State.CHANGED if name == "changed" else State.PROVEN
        proofs[name] = (replace(stored, proof=stored.proof.model_copy(update={"date": date}), state=state),)
    proofs |= {"missing": (), "for_gpu": ()}
    return replace(guide, scripts=scripts, proofs=proofs)


@pytest.mark.parametrize(("names", "changed", "oldest", "expected"), [
    ([], False, 0, ["changed", "for_gpu", "missing", "newer", "older"]),
    (["older", "for_gpu"], False, 0, ["older", "for_gpu"]),
    ([], True, 0, ["changed", "missing"]),
    ([], True, 1, ["changed", "missing", "older again"]),
    ([], True, 9, ["changed", "missing", "older again", "newer again"]),
    ([], False, 1, ["older again"]),
    (["older"], True, 1, ["older", "changed", "missing", "newer again"]),
])  # fmt: skip
def test_the_notebooks_to_prove(five, names, changed, oldest, expected):
    first, again = chosen(five, CPU, names, changed, oldest)
    assert first + [f"{name} again" for name in again] == expected


def test_a_notebook_without_any_proof_is_chosen_where_it_can_run(five):
    assert chosen(five, GPU, [], changed=True, oldest=0) == (["changed", "for_gpu", "missing"], [])


def test_what_is_left_is_told(capsys):
    reporter = Reporter()
    reporter.expected = {"one": 600, "two": 120}
    reporter.doing("one", "running cell 3 of 9", 300)
    reporter.doing("two", "not shown", 0)
    reporter.shown -= 100
    reporter.doing("two", "running cell 1 of 9", 119)
    assert capsys.readouterr().out.splitlines() == [
        "one: running cell 3 of 9; about 7 min left in all",
        "two: running cell 1 of 9; about a minute left",
    ]


# The command


@pytest.fixture
def on_cpu(monkeypatch):
    """The command believes to be on a machine without a GPU, and no notebook runs but in a test's own way."""
    monkeypatch.setattr("guide.prove.__main__.this_machine", lambda: CPU)

    def runs(self, following=None):
        raise AssertionError(f"{self.script.name} ran")

    monkeypatch.setattr(Run, "prove", runs)


def ended(planted, *arguments: str) -> str | int:
    """What the command ends with: a sentence, or an exit code."""
    with pytest.raises(SystemExit) as end:
        main(arguments, planted.project)
    return end.value.code


def test_unknown_names_at_the_command_line(planted, on_cpu):
    known = ", ".join(load_scripts(planted.project).scripts)
    assert ended(planted, "bitsandbyte") == f"There is no notebook 'bitsandbyte'. Known: {known}."


def test_a_stale_notebook_is_not_proven(planted, on_cpu):
    planted.edit("snippets/torchao.py", "Everything below is compared", "All below is compared")
    assert "notebooks/torchao.ipynb is older than snippets/torchao.py" in ended(planted, "torchao")


def test_a_second_run_says_in_a_sentence_that_one_is_under_way(planted, on_cpu):
    with alone(planted.project.build / "prove.lock"):
        sentence = f"A run is under way in this checkout, process {os.getpid()}: wait for it, or stop it."
        assert ended(planted, "spqr") == sentence
    with alone(planted.project.build / "prove.lock"):
        pass  # the first let go of it, and the second did not take it


def test_hardware_that_a_named_notebook_lacks_is_a_failure(planted, on_cpu, capsys):
    assert ended(planted, "nvfp4") == 1
    assert (
        "nvfp4: wrong hardware. It needs cuda>=10.0; this machine (cpu-x86-64) does not have that." in capsys.readouterr().out
    )


def test_an_unchanged_notebook_is_not_run_again_but_kept(planted, on_cpu, capsys):
    committed = planted.project.proofs / CPU.slug / "spqr.ipynb"
    text = committed.read_text()
    planted.write(f"build/proofs/{CPU.slug}/spqr.ipynb", text)
    committed.unlink()
    assert ended(planted, "spqr", "--keep") == 0
    assert "spqr: unchanged since its proof of today's code on this machine, not run again." in capsys.readouterr().out
    assert committed.read_text() == text
    with pytest.raises(AssertionError, match="spqr ran"):
        main(["spqr", "--force"], planted.project)
    with pytest.raises(AssertionError, match="spqr ran"):
        main(["spqr", "--hub"], planted.project)


def test_a_damaged_proof_is_made_anew_by_the_command_that_its_message_advises(planted, on_cpu, monkeypatch, capsys):
    path = f"proofs/{CPU.slug}/spqr.ipynb"
    text = (planted.project.root / path).read_text()
    planted.write(path, text[:-100])
    with pytest.raises(GuideError, match="run 'nox -s prove -- spqr --force --keep'"):
        planted.load()
    monkeypatch.setattr(Run, "prove", lambda self, following: parse_proof(path, text))
    assert ended(planted, "spqr", "--force", "--keep") == 0
    assert planted.load().state("spqr") is State.PROVEN
    assert "1 run, 1 in order, 0 failed; proofs in build/proofs/cpu-x86-64." in capsys.readouterr().out


def test_a_run_that_is_not_repeated_is_a_failure_unless_it_is_kept(planted, on_cpu, monkeypatch, capsys):
    every = [one for found in planted.load().proofs.values() for one in found if one.proof.machine.slug == CPU.slug]
    stored = next(one for one in every if one.state is State.PROVEN and one.proof.measures)
    name = stored.proof.notebook
    notebook = copy.deepcopy(stored.notebook)
    row = stored.proof.measures[0].model_copy(update={"quantized_bytes": 1})
    proof = stored.proof.model_copy(update={"measures": [row, *stored.proof.measures[1:]]})
    monkeypatch.setattr(Run, "prove", lambda self, following: (notebook, proof))
    assert ended(planted, name, "--force") == 1
    assert f"{name}: not repeated. {stored.path} says of '{row.variant}': quantized_bytes" in capsys.readouterr().out
    assert ended(planted, name, "--force", "--keep") == 0
    assert "The new proof is kept in its place." in capsys.readouterr().out


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_no_more_ends_a_run_in_a_sentence_and_keeps_the_older_proof(planted, on_cpu, monkeypatch, number):
    path = f"proofs/{CPU.slug}/spqr.ipynb"
    text = (planted.project.root / path).read_text()
    monkeypatch.setattr(Run, "prove", lambda self, following: parse_proof(path, text))

    def full(self, *_, **__):
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "write_text", full)
    sentence = ended(planted, "spqr", "--force", "--keep")
    assert (
        os.strerror(number) in sentence and "spqr.ipynb.new" in sentence and "what was finished before is stored" in sentence
    )
    assert (planted.project.root / path).read_text() == text
    assert list(planted.project.root.rglob("*.new")) == []


def test_what_is_no_number_of_notebooks_is_told(planted, capsys):
    assert ended(planted, "--oldest", "two") == 2
    assert "argument --oldest: 'two' is not a number of notebooks" in capsys.readouterr().err


def test_paths_of_an_interpreter_at_hand_are_not_stored(guide, monkeypatch, tmp_path):
    """A node's packages may lie in any folder of its path."""
    name = next(iter(guide.scripts))
    run = Run(guide, name, CPU, lambda what, seconds: None, install=False)
    run.executed = copy.deepcopy(guide.notebooks[name])
    cell = next(cell for cell in run.executed.cells if cell.cell_type == "code")
    cell.outputs = [new_output("stream", text=f"{tmp_path}/site/peft/bnb.py:377: a warning. {guide.project.root}/x\n")]
    monkeypatch.setattr(sys, "path", ["", str(guide.project.root), str(tmp_path), f"{tmp_path}/site"])
    stored = next(cell for cell in run.stored().cells if cell.cell_type == "code")
    assert stored.outputs[0].text == "ENVIRONMENT/peft/bnb.py:377: a warning. ./x\n"


# Pasting


def test_every_block_of_a_page_is_pasted_or_says_why_not(guide):
    found = blocks(guide)
    assert len(found) > 60
    for name, script in guide.scripts.items():
        sections = {block.section for block in found if block.script == name}
        assert set(script.head.guide.not_pasted) <= sections, script.path
    needing = next(block for block in found if guide.scripts[block.script].head.guide.needs.startswith("cuda"))
    assert Paster(guide, CPU).left_out(needing).startswith("it needs cuda")


def test_a_block_that_fails_is_counted_and_says_what_it_said(guide, monkeypatch, tmp_path, capsys):
    name = next(name for name, script in guide.scripts.items() if script.head.guide.needs == "cpu"
                and len([block for block in blocks(guide) if block.script == name]) > 1)  # fmt: skip
    monkeypatch.setattr(Paster, "prepared", lambda self, name: (Path(sys.executable), {}))
    monkeypatch.setattr("guide.prove.paste.completed", lambda *_: "import no_such_package")
    elsewhere = replace(guide, project=Project(tmp_path, repository="owner/name"))
    (elsewhere.project.build / "paste" / name / "work").mkdir(parents=True)
    failed = paste(elsewhere, CPU, [name])
    printed = capsys.readouterr().out
    assert failed == printed.count("failed: ModuleNotFoundError: No module named 'no_such_package'") > 0
    assert f"{failed} failed" in printed.splitlines()[-1]
