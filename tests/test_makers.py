"""The scripts that make quantized checkpoints of the reference model, without the libraries that they need."""

from __future__ import annotations

import ast
import re
import sys

import pytest

from guide.facts.load import load
from guide.project import Project

GUIDE = load(Project.here())
BROUGHT = {"safetensors"}  # a dependency of transformers


def imported(tree):
    """Top-level names of the modules that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield node.module.partition(".")[0]


def arguments_used(tree):
    """Which entries of ``sys.argv`` a file takes: numbers, or ``1:`` for all that follow its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "sys.argv":
            yield ast.unparse(node.slice)


@pytest.fixture(params=GUIDE.makers)
def maker(request):
    """(name, syntax tree) of a maker."""
    return request.param, ast.parse(GUIDE.makers[request.param])


def test_a_maker_says_what_it_makes(maker):
    name, tree = maker
    docstring = ast.get_docstring(tree)
    assert docstring and re.search(r"REFERENCE_MODEL TARGET", docstring), name


def test_a_maker_takes_the_model_and_the_target_from_the_command_line(maker):
    assert sorted(arguments_used(maker[1])) in (["1:"], ["1", "2"])


def test_a_maker_needs_nothing_of_the_guide(maker):
    assert not {"guide", "snippets"} & set(imported(maker[1]))


def test_a_maker_imports_what_the_notebooks_that_load_its_checkpoint_pin(maker):
    name, tree = maker
    users = [script for script in GUIDE.scripts.values() if name in script.head.guide.checkpoints.values()]
    assert users, f"no notebook loads what models/checkpoints/{name}.py makes"
    packages = set(imported(tree)) - set(sys.stdlib_module_names) - BROUGHT - set(GUIDE.makers)
    for script in users:
        runs_in = GUIDE.scripts[script.head.guide.made_with.get(name, script.name)]
        assert packages <= {pin.replace("-", "_") for pin in runs_in.pins}
