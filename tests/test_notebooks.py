"""The way from a script to its notebook, and what is said of scripts and notebooks that are wrong."""

from __future__ import annotations

import json
import re

import pytest

from guide.facts.load import load_scripts
from guide.notebooks.__main__ import main
from guide.notebooks.build import tags
from guide.notebooks.edits import edited, holds
from guide.project import GuideError, Project

SCRIPTS = load_scripts(Project.here())
NAMES = list(SCRIPTS.scripts)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_stands_alone(name):
    notebook = SCRIPTS.notebooks[name]
    sources = "\n".join(cell.source for cell in notebook.cells)
    assert "snippets.shared" not in sources
    assert "--8<--" not in sources
    # What is set for a library, or handed on to a process, is no switch; what is read would be.
    read = re.findall(r"os\.getenv|os\.environ(?!\[\"\w+\"\] = | \|=? )", sources)
    assert not read, "a notebook has no switches for tests"
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.get("colab", {}).get("gpuType") == SCRIPTS.scripts[name].head.guide.colab_gpu


@pytest.mark.parametrize("name", NAMES)
def test_the_install_cell_has_the_pins_but_torch(name):
    head = SCRIPTS.scripts[name].head
    cell = next(cell for cell in SCRIPTS.notebooks[name].cells if cell.cell_type == "code")
    assert cell.metadata.tags == ["skip-execution"]
    words = " ".join(line for line in cell.source.splitlines() if line.startswith("%pip install")).split()
    pins = head.pins(cuda=head.guide.colab_gpu is not None)
    from_source = head.guide.source_build
    asked = {pin for pin in pins if not pin.startswith("torch==")} | set(from_source.requires if from_source else [])
    assert {word for word in words if "==" in word} == asked
    assert ("--no-build-isolation" in words) == bool(from_source)


@pytest.mark.parametrize("name", [name for name in NAMES if not SCRIPTS.scripts[name].head.guide.only_faults])
def test_every_quantized_load_that_is_measured_is_checked(name):
    """Between a cell that loads with a configuration and the next such cell stands a check, up to the table."""
    unchecked = None
    for cell in SCRIPTS.notebooks[name].cells:
        if "measures" in tags(cell):
            break
        if "check" in tags(cell):
            unchecked = None
        elif "quantization_config=" in cell.source and "shared" not in tags(cell):
            assert unchecked is None, f"no check follows:\n{unchecked}"
            unchecked = cell.source
    assert unchecked is None


def test_unknown_names_list_the_known_ones():
    with pytest.raises(GuideError, match=f"no notebook 'bitsandbyte'. Known: {', '.join(NAMES)}"):
        SCRIPTS.names(["bitsandbyte"])


# Replaced text


def test_text_is_replaced_all_at_once_as_whole_words():
    code = "load(bits=4)\nquantize(nbits=4, group=64)\nload(bits=8)"
    assert edited(code, {"bits=4": "bits=8", "bits=8": "bits=4"}, "x") == code.replace("(bits=4", "(bits=X").replace(
        "(bits=8", "(bits=4").replace("(bits=X", "(bits=8")  # fmt: skip
    assert edited("f(a, b)", {", b": ""}, "x") == "f(a)"
    assert edited(code, {}, "x") == code
    assert holds(code, "bits=4") and not holds("nbits=4", "bits=4") and not holds("bits=43", "bits=4")


def test_a_text_within_a_longer_one_is_not_taken_for_replaced():
    with pytest.raises(GuideError, match="x must hold 'bits=4' exactly once, .* it is there nowhere"):
        edited("load(bits=4)", {"load(bits=4)": "load(bits=8)", "bits=4": "bits=8"}, "x")


@pytest.mark.parametrize(("code", "found"), [("bits=3", "nowhere"), ("nbits=4", "nowhere"), ("bits=4, bits=4", "2 times")])
def test_text_that_is_not_there_once_is_named(code, found):
    with pytest.raises(GuideError, match=f"^The section of x.py must hold 'bits=4' exactly once, .* it is there {found}."):
        edited(code, {"bits=4": "bits=8"}, "The section of x.py")


# Committed notebooks


def faults(planted) -> list[str]:
    return load_scripts(planted.project).faults()


def test_the_committed_notebooks_are_what_their_scripts_build():
    assert SCRIPTS.faults() == []


def test_an_output_left_in_a_notebook_is_named(planted):
    path = planted.project.notebooks / "torchao.ipynb"
    notebook = json.loads(path.read_text())
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["left over\n"]}]
    planted.write("notebooks/torchao.ipynb", json.dumps(notebook, indent=1) + "\n")
    (fault,) = faults(planted)
    assert fault.startswith("notebooks/torchao.ipynb holds outputs: run 'nox -s notebooks'")


def test_a_hand_edited_notebook_names_the_script(planted):
    planted.edit("notebooks/torchao.ipynb", "Everything below is compared", "All below is compared")
    (fault,) = faults(planted)
    assert fault.startswith("notebooks/torchao.ipynb was edited by hand: make the change in snippets/torchao.py")


def test_a_hand_edited_install_cell_names_the_script(planted):
    planted.edit("notebooks/torchao.ipynb", "torchao==0.18.0", "torchao==0.17.0")
    assert "notebooks/torchao.ipynb was edited by hand" in faults(planted)[0]


def test_a_stale_notebook_is_told_from_an_edited_one_and_built_anew(planted, capsys):
    planted.edit("snippets/torchao.py", "Everything below is compared", "All below is compared")
    with pytest.raises(SystemExit, match="notebooks/torchao.ipynb is older than snippets/torchao.py: run 'nox -s notebooks'"):
        main(["--check"], planted.project)
    main(["torchao"], planted.project)
    assert capsys.readouterr().out == "built notebooks/torchao.ipynb\n"
    main(["--check"], planted.project)
    assert "notebooks are what their scripts build" in capsys.readouterr().out


def test_missing_stray_and_unreadable_notebooks_are_named(planted):
    (planted.project.notebooks / "hqq.ipynb").unlink()
    planted.write("notebooks/extra.ipynb", "{}")
    planted.write("notebooks/vptq.ipynb", "{")
    assert [fault.partition(":")[0] for fault in faults(planted)] == [
        "notebooks/hqq.ipynb is missing",
        "notebooks/vptq.ipynb is not a readable notebook",
        "notebooks/extra.ipynb has no script in snippets/",
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"torchao==0.18.0"', '"torchao>=0.18.0"', "'torchao>=0.18.0' is not pinned with =="),
        ('needs = "cpu"', 'needs = "gpu"', "'guide.needs' is wrong"),
        ('needs = "cpu"', "needs = cpu", "is not valid TOML"),
        ("# minutes = 20\n", "", "'guide.minutes' is wrong: Field required"),
        ("# /// script\n", "", "has no PEP 723 block"),
        ("from snippets.shared.measure import *", "from snippets.shared.measures import *", "measures.py is not there"),
        (
            "from snippets.shared.measure import *",
            "from snippets.shared.measure import *\nx = 1",
            "must stand alone in its cell",
        ),
    ],
)
def test_a_wrong_script_is_one_sentence(planted, old, new, sentence):
    planted.edit("snippets/torchao.py", old, new)
    with pytest.raises(SystemExit) as raised:
        main(["--check"], planted.project)
    assert sentence in str(raised.value)
    assert "snippets/torchao.py" in str(raised.value)


def test_a_shared_module_without_a_docstring_is_named(planted):
    planted.edit("snippets/shared/known_fault.py", '"""Known faults', '"Known faults')
    with pytest.raises(GuideError, match="snippets/shared/known_fault.py must start with a docstring"):
        load_scripts(planted.project)
