"""Commands that a reader copies and a workflow runs: each names a session, a module, options and markers that there are."""

from __future__ import annotations

import pytest
from commands import alone, by_default, faults, of_workflow
from planting import ROOT

WORKFLOWS = sorted((ROOT / ".github").rglob("*.yml"))
TEXTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md",
                                  ".github/PULL_REQUEST_TEMPLATE.md")]  # fmt: skip
PLANTED = {  # a file, what it says, what it becomes, and what is said of that
    "a session of a matrix": ("weekly.yml", "session: drift, options: --latest", "session: drfit, options: --latest",
                              "'nox -s drfit': there is no such session"),
    "an option of a matrix": ("weekly.yml", "options: --latest --fail", "options: --latest --fial",
                              "'nox -s drift' has no option --fial."),
    "a marker": ("nightly.yml", "-- -m full", "-- -m ful", "'nox -s tests -- -m ful': no test has that marker."),
    "an option of a workflow": ("check.yml", "prove -- --changed --oldest 2", "prove -- --changed --odlest 2",
                                "'nox -s prove' has no option --odlest."),
    "an option": ("CONTRIBUTING.md", "nox -s prove -- NAME --keep", "nox -s prove -- NAME --kepe",
                  "'nox -s prove' has no option --kepe."),
    "a session": ("README.md", "`nox -s prove` above all", "`nox -s porve` above all",
                  "'nox -s porve': there is no such session"),
    "a file of tests": ("CONTRIBUTING.md", "tests -- tests/test_proof.py", "tests -- tests/test_prof.py",
                        "'nox -s tests -- tests/test_prof.py': there is no such file."),
    "a module": ("CONTRIBUTING.md", "python -m guide.site`", "python -m guide.sites`",
                 "'python -m guide.sites': there is no such module."),
    "an option of a module": ("CONTRIBUTING.md", "guide.prove --no-install --keep", "guide.prove --no-instal --keep",
                              "'python -m guide.prove' has no option --no-instal."),
}  # fmt: skip


def look(path, text):
    return list(of_workflow(text) if path.parent.name == "workflows" else faults(text))


@pytest.mark.parametrize("path", [*WORKFLOWS, *TEXTS, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name)
def test_commands_name_what_there_is(path):
    assert look(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("what", PLANTED)
def test_a_command_that_cannot_run_is_named(what):
    name, old, new, said = PLANTED[what]
    path = next(one for one in (*WORKFLOWS, *TEXTS) if one.name == name)
    text = path.read_text(encoding="utf-8")
    assert old in text
    assert [one for one in look(path, text.replace(old, new, 1)) if said in one]


def test_nox_alone_runs_what_a_contributor_is_told():
    noxfile, said = ((ROOT / name).read_text(encoding="utf-8") for name in ("noxfile.py", "CONTRIBUTING.md"))
    assert by_default(noxfile) == alone(said) == {"lint", "drift", "tests", "check"}
    assert by_default(noxfile.replace('"drift", "tests"', '"tests"')) != alone(said)
