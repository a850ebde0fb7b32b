"""Running notebooks: what becomes of each kind of failure, the control, and when a proof still holds.

These run small notebooks of their own with nbmake, in this test's interpreter; the real ones are run by nox -s prove.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from guide import prove
from guide.arguments import unknown_arguments
from guide.failures import ADVICE, paragraph
from guide.project import GuideError, notebook_names
from guide.proof import Machine

CPU = Machine(name="test", kind="cpu", architecture="x86_64", capability=None, driver=None, memory_bytes=1, cores=1)
GPU = Machine(name="NVIDIA H200", kind="cuda", architecture="x86_64", capability="9.0", driver="580", memory_bytes=1, cores=1)


def run(tmp_path, *sources: str, limit: float = 60, tags: dict[int, list[str]] | None = None):
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    for i, names in (tags or {}).items():
        notebook.cells[i].metadata["tags"] = names
    return prove.execute(notebook, tmp_path / "run", Path(sys.executable), {}, limit, lambda cell: None)


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("raise MemoryError('no room')", "out of memory", "no room"),
        ("raise RuntimeError('CUDA out of memory. Tried to allocate')", "out of memory", "CUDA out of memory"),
        ("import no_such_package", "missing package", "no_such_package"),
        ("assert 1 == 2", "assertion", "assert 1 == 2"),
        ("class WrongHardware(Exception): ...\nraise WrongHardware('needs 8.9')", "wrong hardware", "needs 8.9"),
        ("raise OSError(\"We couldn't connect to 'https://huggingface.co'\")", "hub unreachable", "couldn't connect"),
        ("int('x')", "error", "ValueError: invalid literal"),
    ],
)
def test_an_exception_becomes_a_class_and_a_cell(tmp_path, source, kind, words):
    executed, failure = run(tmp_path, "a = 1", source, "print('never')")
    assert (failure.kind, failure.cell) == (kind, 2)
    assert words in failure.message
    assert executed.cells[1].outputs[0].output_type == "error"
    text = paragraph("example", failure)
    assert text.startswith(f"example: {kind}, cell 2. ")
    assert text.endswith(ADVICE[kind])
    assert "\n" not in text


def test_a_dead_kernel_is_told_with_its_cell(tmp_path):
    executed, failure = run(tmp_path, "a = 1", "import os\nos._exit(1)", "b = 2")
    assert executed is None
    assert (failure.kind, failure.cell) == ("dead kernel", 2)


@pytest.mark.parametrize(("failing", "dies"), [(1, False), (2, False), (9, True)])
def test_a_kernel_that_dies_before_its_first_cell_is_started_anew(tmp_path, failing, dies):
    """An interpreter that gives up the first times it is started, as one does whose port another kernel took."""
    starts = tmp_path / "starts"
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\necho start >> {starts}\n[ $(wc -l < {starts}) -gt {failing} ] && exec {sys.executable} "$@"\nexit 1\n'
    )
    python.chmod(0o755)
    notebook = new_notebook(cells=[new_code_cell("print(6 * 7)")])
    executed, failure = prove.execute(notebook, tmp_path / "run", python, {}, 60, lambda cell: None)
    assert starts.read_text().count("start") == (3 if dies else failing + 1)
    if dies:
        assert failure.kind == "dead kernel"
    else:
        assert failure is None and executed.cells[0].outputs[0].text == "42\n"


def test_a_hung_cell_is_told_with_its_cell(tmp_path):
    executed, failure = run(tmp_path, "a = 1", "import time\ntime.sleep(600)", limit=8)
    assert executed is None
    assert (failure.kind, failure.cell) == ("timeout", 2)


def test_a_good_run_keeps_its_outputs_and_no_path_of_the_machine(tmp_path):
    executed, failure = run(tmp_path, "import os\nprint(os.getcwd())", "1 + 1")
    assert failure is None
    source = new_notebook(cells=[new_code_cell("import os\nprint(os.getcwd())"), new_code_cell("1 + 1")])
    stored = prove.cleaned(executed, source, Path(sys.executable), tmp_path / "run")
    assert str(tmp_path) not in nbformat.writes(stored)
    assert stored.cells[1].outputs[0].data["text/plain"] == "2"
    assert "execution" not in stored.cells[1].metadata


def control(tmp_path, check: str):
    """The control of a notebook that loads with a configuration and then runs ``check``."""
    transformers = tmp_path / "transformers.py"
    transformers.write_text(
        "class PreTrainedModel:\n"
        "    @classmethod\n"
        "    def from_pretrained(cls, name, quantization_config=None):\n"
        "        model = cls()\n"
        "        model.bits = quantization_config or 16\n"
        "        return model\n"
    )
    load = "from transformers import PreTrainedModel\nmodel = PreTrainedModel.from_pretrained('x', quantization_config=4)"
    notebook = new_notebook(
        cells=[new_code_cell("%pip install x"), new_code_cell(load), new_code_cell(check), new_code_cell("1")]
    )
    notebook.cells[0].metadata["tags"] = ["skip-execution"]
    notebook.cells[2].metadata["tags"] = ["check"]
    copy, must_fail = prove.plain_copy(notebook, CPU)
    assert must_fail == [3]
    assert len(copy.cells) == 3
    variables = {"PYTHONSAFEPATH": "", "JUPYTER_PLATFORM_DIRS": "1"}
    copy.cells.insert(0, new_code_cell(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})"))
    ran, _ = prove.execute(copy, tmp_path / "run", Path(sys.executable), variables, 60, lambda cell: None)
    assert ran is not None
    ran.cells.pop(0)
    return prove.weak_check(ran, must_fail, "on plain bf16 weights")


def test_a_check_that_fails_without_quantization_is_good(tmp_path):
    assert control(tmp_path, "assert model.bits == 4") is None


def test_a_check_that_passes_without_quantization_fails_the_proof(tmp_path):
    failure = control(tmp_path, "assert model.bits <= 16")
    assert (failure.kind, failure.cell) == ("weak check", 3)
    assert "plain bf16" in failure.message


def test_a_check_that_breaks_for_another_reason_does_not_count(tmp_path):
    failure = control(tmp_path, "assert model.scale == 4")
    assert failure.kind == "weak check"
    assert "AttributeError" in failure.message


def test_a_check_for_other_hardware_is_not_expected_to_fail():
    notebook = new_notebook(cells=[new_code_cell("x"), new_code_cell("y")])
    notebook.cells[1].metadata["tags"] = ["check", "needs:cuda>=8.0"]
    assert prove.plain_copy(notebook, CPU)[1] == []
    assert prove.plain_copy(notebook, GPU)[1] == [2]


def test_the_other_control_swaps_bit_widths_but_not_in_checks():
    notebook = new_notebook(cells=[new_code_cell("load(bits=8)\nload(bits=4)"), new_code_cell("assert bits == 8  # bits=8")])
    notebook.cells[1].metadata["tags"] = ["check"]
    swapped, must_fail = prove.swapped_copy(notebook, CPU, {"bits=8": "bits=4", "bits=4": "bits=8"})
    assert [cell.source for cell in swapped.cells] == ["load(bits=4)\nload(bits=8)", "assert bits == 8  # bits=8"]
    assert must_fail == [2]
    with pytest.raises(GuideError, match="'bits=2', which is in no code cell but checks"):
        prove.swapped_copy(notebook, CPU, {"bits=2": "bits=4"})


@pytest.mark.parametrize(("needs", "cpu", "gpu"), [("cpu", True, True), ("cuda", False, True), ("cuda>=8.9", False, True),
                                                   ("cuda>=10.0", False, False)])  # fmt: skip
def test_hardware(needs, cpu, gpu):
    assert (CPU.satisfies(needs), GPU.satisfies(needs)) == (cpu, gpu)
    assert (CPU.slug, GPU.slug) == ("cpu-x86-64", "nvidia-h200")


def test_an_argument_that_would_be_swallowed_is_found(tmp_path, monkeypatch):
    (tmp_path / "fakelib.py").write_text("class FakeConfig:\n    def __init__(self, load_in_8bit=False, **kwargs): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    cells = [
        {"cell_type": "markdown", "source": "FakeConfig(not_code=1)"},
        {"cell_type": "code", "source": "%pip install x\nfrom fakelib import FakeConfig\nFakeConfig(load_in_8bit=True)"},
        {"cell_type": "code", "source": "load(config=FakeConfig(load_in_8bits=True))"},
    ]
    assert unknown_arguments(cells) == [(3, "FakeConfig has no argument 'load_in_8bits' in fakelib")]


def test_unknown_names_at_the_command_line(tree):
    done = tree.run("guide.prove", "bitsandbyte")
    assert done.returncode == 1
    assert done.stderr == f"There is no notebook 'bitsandbyte'. Known: {', '.join(notebook_names())}.\n"


def test_a_stale_notebook_is_not_proven(tree):
    tree.edit("snippets/torchao.py", "Everything below is compared", "All below is compared")
    done = tree.run("guide.prove", "torchao")
    assert done.returncode == 1
    assert "notebooks/torchao.ipynb is older than snippets/torchao.py" in done.stderr
