"""A newcomer adds a method: two files from a template, filled in, and everything else follows."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from planting import mkdocs_warnings

from guide.contribute.__main__ import main
from guide.facts.load import load_scripts
from guide.facts.proof import State
from guide.library.check import check, installed
from guide.notebooks.__main__ import main as build_notebooks
from guide.project import GuideError
from guide.site import stage

PAGE, SCRIPT = "docs/methods/made-up.md", "snippets/made_up.py"
FILLED = {
    "FILL-PACKAGE": "made-up", "FILL-VERSION": "1.2.3", "FILL-TITLE": "Made-up", "FILL-WHAT-IT-SHOWS": "4 bit while loading",
    "FILL-HOW-IT-ROUNDS": "Groups of 64.", "FILL_MODULE": "made_up_library", "FILL_CONFIG": "MadeUpConfig",
    "FILL_LAYER": "MadeUpLinear", "FILL-USE-CASE": "showing how a method is added", "FILL-DAY": "2026-11-25",
    "FILL-PRO": "Two files.", "FILL-CON": "It does not exist.", "FILL-NAME-IN-ITS-SOURCE": "kernel_of",
    "FILL-LICENCE": "Apache-2.0", "FILL-OWNER": "owner", "FILL-REPOSITORY": "made-up",
    'FILL-DECISION: "Take it when ...; take ... instead when ...".': "Take it to see how a method is added.",
}  # fmt: skip


@pytest.fixture
def added(planted):
    """A project with a made-up method whose two files are filled in."""
    main(["method", "made-up"], planted.project)
    for path in (PAGE, SCRIPT):
        text = (planted.project.root / path).read_text(encoding="utf-8")
        for mark in sorted(FILLED, key=len, reverse=True):
            text = text.replace(mark, FILLED[mark])
        planted.write(path, text)
    return planted


def test_what_is_left_to_fill_in_is_named_with_its_line(planted, capsys):
    main(["method", "made-up"], planted.project)
    said = capsys.readouterr().out
    assert f"wrote {PAGE}" in said and f"wrote {SCRIPT}" in said and "nox -s prove -- made_up --keep" in said
    with pytest.raises(GuideError, match=rf"^{SCRIPT}, line \d+: fill in FILL-PACKAGE\.$"):
        planted.load()


def test_two_files_are_all_that_a_new_method_needs(added):
    """No other file is edited: the notebook is built, and pages, tables, navigation, selector and facts have it."""
    build_notebooks(["made_up"], added.project)
    assert load_scripts(added.project).faults() == []
    guide = added.load()
    assert guide.state("made_up") is State.MISSING
    made = stage.files(guide)
    assert "Not proven yet" in made["methods/made-up.md"].decode()
    assert "MadeUpConfig(bits=4)" in made["methods/made-up.md"].decode()
    for page in ("works-where.md", "facts.json", "assets/choices.json"):
        assert "made-up" in made[page].decode(), page
    assert {"Made-up": "methods/made-up.md"} in [
        member for entry in stage.navigation(guide, [stage.METHODS]) for members in entry.values() for member in members
    ]


def test_the_new_page_agrees_with_the_library_and_is_built_without_a_warning(added, guide, tmp_path, caplog):
    made = added.load()
    assert check(made, installed(guide)) == []
    page = stage.files(made)["methods/made-up.md"].decode()
    assert mkdocs_warnings(tmp_path / "site", {"index.md": "# Home", "methods/made-up.md": page}, caplog) == []


def test_the_new_files_pass_lint(added):
    for task in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *task, "snippets/made_up.py"]
        done = subprocess.run(command, cwd=added.project.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["Made Up", "", "-x", "a--b", "ä", "../x"])
def test_a_name_that_is_none_is_told(planted, name):
    with pytest.raises(SystemExit, match=f"^'{re.escape(name)}' is no name for a method: use small letters"):
        main(["method", "--", name], planted.project)


def test_a_method_that_is_there_is_left_alone(planted):
    before = (planted.project.methods / "gptq.md").read_bytes()
    with pytest.raises(SystemExit, match="There is docs/methods/gptq.md or snippets/gptq.py already"):
        main(["method", "gptq"], planted.project)
    assert (planted.project.methods / "gptq.md").read_bytes() == before
