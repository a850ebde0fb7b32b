"""The way from a script to its notebook, and what is said of scripts and notebooks that are wrong."""

from __future__ import annotations

import json
import re

import pytest

from guide.notebooks import build
from guide.project import GuideError, check_names, notebook_names
from guide.script import read_script

NAMES = notebook_names()


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_stands_alone(name):
    notebook = build(read_script(name))
    sources = "\n".join(cell.source for cell in notebook.cells)
    assert "snippets.shared" not in sources
    assert "--8<--" not in sources
    read = re.findall(r"os\.getenv|os\.environ(?!\[\"\w+\"\] = )", sources)
    assert not read, "a notebook has no switches for tests"
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert notebook.metadata.get("colab", {}).get("gpuType") == read_script(name).head.guide.colab_gpu


@pytest.mark.parametrize("name", NAMES)
def test_the_install_cell_has_the_pins_but_torch(name):
    script = read_script(name)
    cell = next(cell for cell in build(script).cells if cell.cell_type == "code")
    assert cell.metadata.tags == ["skip-execution"]
    words = " ".join(line for line in cell.source.splitlines() if line.startswith("%pip install")).split()
    pins = script.head.pins(cuda=script.head.guide.colab_gpu is not None)
    from_source = script.head.guide.source_build
    asked = {pin for pin in pins if not pin.startswith("torch==")} | set(from_source.requires if from_source else [])
    assert {word for word in words if "==" in word} == asked
    assert ("--no-build-isolation" in words) == bool(from_source)


@pytest.mark.parametrize("name", [name for name in NAMES if not read_script(name).head.guide.only_faults])
def test_every_quantized_load_that_is_measured_is_checked(name):
    """Between a cell that loads with a configuration and the next such cell stands a check, up to the table."""
    unchecked = None
    for cell in build(read_script(name)).cells:
        tags = cell.metadata.get("tags", [])
        if "measures" in tags:
            break
        if "check" in tags:
            unchecked = None
        elif "quantization_config=" in cell.source and "shared" not in tags:
            assert unchecked is None, f"no check follows:\n{unchecked}"
            unchecked = cell.source
    assert unchecked is None


def test_unknown_names_list_the_known_ones():
    with pytest.raises(GuideError, match=f"no notebook 'bitsandbyte'. Known: {', '.join(NAMES)}"):
        check_names(["bitsandbyte"])


def test_the_committed_notebooks_pass(tree):
    done = tree.run("guide.notebooks", "--check")
    assert done.returncode == 0, done.stderr


def test_an_output_left_in_a_notebook_is_named(tree):
    path = tree.root / "notebooks" / "torchao.ipynb"
    notebook = json.loads(path.read_text())
    cell = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["left over\n"]}]
    path.write_text(json.dumps(notebook, indent=1) + "\n")
    done = tree.run("guide.notebooks", "--check")
    assert done.returncode == 1
    assert "notebooks/torchao.ipynb holds outputs" in done.stderr
    assert "bitsandbytes" not in done.stderr


def test_a_hand_edited_notebook_names_the_script(tree):
    tree.edit("notebooks/torchao.ipynb", "Everything below is compared", "All below is compared")
    done = tree.run("guide.notebooks", "--check")
    assert done.returncode == 1
    assert "notebooks/torchao.ipynb was edited by hand: make the change in snippets/torchao.py" in done.stderr


def test_a_stale_notebook_is_told_from_an_edited_one(tree):
    tree.edit("snippets/torchao.py", "Everything below is compared", "All below is compared")
    done = tree.run("guide.notebooks", "--check")
    assert "notebooks/torchao.ipynb is older than snippets/torchao.py" in done.stderr
    assert tree.run("guide.notebooks", "torchao").stdout == "built notebooks/torchao.ipynb\n"
    assert tree.run("guide.notebooks", "--check").returncode == 0


def test_a_stray_notebook_is_named(tree):
    (tree.root / "notebooks" / "extra.ipynb").write_text("{}")
    assert "notebooks/extra.ipynb has no script" in tree.run("guide.notebooks", "--check").stderr


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"torchao==0.18.0"', '"torchao>=0.18.0"', "'torchao>=0.18.0' is not pinned with =="),
        ('needs = "cpu"', 'needs = "gpu"', "'guide.needs' is wrong"),
        ('needs = "cpu"', "needs = cpu", "is not valid TOML"),
        ("# minutes = 20\n", "", "'guide.minutes' is wrong: Field required"),
        ("# /// script\n", "", "has no PEP 723 block"),
        ("from snippets.shared.measure import *", "from snippets.shared.measures import *", "measures.py is not there"),
    ],
)
def test_a_wrong_script_is_one_sentence(tree, old, new, sentence):
    tree.edit("snippets/torchao.py", old, new)
    done = tree.run("guide.notebooks", "--check")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "snippets/torchao.py" in done.stderr
    assert "Traceback" not in done.stderr
