"""Colab: its image, what pip would do there, what a trial finds, what pages say; the image and the notebooks are made up."""

from __future__ import annotations

import json
import re
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from nbformat.v4 import new_code_cell, new_notebook
from test_wheels import make_wheel

from guide.facts.colab import Image, Outcome, Tried, in_colab, parse_image, parse_tried
from guide.facts.proof import Failure
from guide.notebooks.__main__ import main as build_notebooks
from guide.notebooks.build import build, colab_lines, linked_repository, tags
from guide.notebooks.script import parse_script
from guide.offline.upgrades import Unresolvable, Upgrades, upgrades, why_not
from guide.project import GuideError, Project
from guide.prove import colab, image
from guide.site.views import colab as said
from guide.site.views import proofs

HEAD = """# /// script
# requires-python = ">=3.11"
# dependencies = ["torch==9.0", "made-up==1.0"]
#
# [tool.guide]
# needs = "cpu"
# minutes = 1
# models = []
# {more}
# ///

# %% [markdown]
# # Made up

# %%
print("ran")
"""


def made_up(more: str = "only_faults = true"):
    return parse_script("made_up", HEAD.format(more=more))


# The image


FREEZE = "# a comment\nnumpy==2.1.3\nTorch_AO==0.10.0\n"
CARDS = {"makers": [{"cards": [{"id": "small", "hardware": "old", "gib": 15}, {"id": "apple", "hardware": "m", "gib": 8}]}]}
COMMON = SimpleNamespace(generations=[SimpleNamespace(id="old", capability="7.5"), SimpleNamespace(id="m", capability=None)])
IMAGE = """
source = "https://example.org/image"
commit = "0123456789"
date = 2026-01-02
python = "3.13"
glibc = "2.35"
preloaded_source = "a kernel"
preloaded = {numpy = "numpy"}
gpus.S = {card = "small", free = true}
"""


def parsed(text: str = IMAGE, freeze: str = FREEZE) -> Image:
    return parse_image("models/colab/image.toml", text, freeze, CARDS, COMMON)  # type: ignore[arg-type]


def test_an_image_has_packages_and_gpus():
    found = parsed()
    assert dict(found.freeze) == {"numpy": "2.1.3", "torch-ao": "0.10.0"}
    assert (found.free.name, found.free.capability, found.free.gib, found.free.a_name) == ("S", "7.5", 15, "an S")
    assert found.free.emulates_bf16
    assert found.digest != parsed(freeze=FREEZE.replace("2.1.3", "2.1.4")).digest


WRONG = {
    "a line that is no package": ({"freeze": "numpy @ file:///x"}, "freeze.txt, line 1, is no package with its version"),
    "an import of what is not there": ({"freeze": "a==1"}, "is said to import numpy, which freeze.txt has not"),
    "a card that nobody knows": ({"text": IMAGE.replace("small", "large")}, "gpus.S.card is 'large', which is no NVIDIA card"),
    "a card of another maker": ({"text": IMAGE.replace("small", "apple")}, "gpus.S.card is 'apple', which is no NVIDIA card"),
    "nothing for free": ({"text": IMAGE.replace(", free = true", "")}, "say 'free = true' of one GPU"),
    "a field of another name": ({"text": IMAGE + 'colour = "x"'}, "'colour' is wrong"),
    "what is no TOML": ({"text": "="}, "models/colab/image.toml is not valid TOML"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_with_an_image_is_told_in_a_sentence(wrong):
    given, words = WRONG[wrong]
    with pytest.raises(GuideError, match=words):
        parsed(**given)


def test_a_damaged_record_names_its_file():
    with pytest.raises(GuideError, match="proofs/colab.json is damaged: .*nox -s colab -- --keep"):
        parse_tried("proofs/colab.json", "{")


def test_a_gpu_that_colab_has_not_or_that_is_too_small_is_told(planted):
    planted.edit("snippets/fp8.py", 'colab_gpu = "L4"', 'colab_gpu = "A100"')
    with pytest.raises(
        GuideError, match=r"snippets/fp8.py names Colab's GPU 'A100' for what needs cuda>=8.9: choose L4, H100, G4"
    ):
        planted.load()


# What the install cell says


def test_what_is_said_for_colab_alone_costs_no_proof_but_a_trial(guide):
    """A proof runs no install cell; a trial does."""
    name = next(name for name, script in guide.scripts.items() if script.head.guide.colab_unwanted)
    script = guide.scripts[name]
    table = script.head.guide.model_copy(update={"colab_unwanted": {}})
    plain = replace(script, head=script.head.model_copy(update={"guide": table}))
    other = replace(
        guide, scripts={**guide.scripts, name: plain}, notebooks={**guide.notebooks, name: build(plain, guide.shared)}
    )
    assert guide.notebooks[name].cells != other.notebooks[name].cells
    assert guide.digest(name, stand_in=True) == other.digest(name, stand_in=True)
    assert guide.colab_digest(name) != other.colab_digest(name)


def test_the_cell_takes_away_what_breaks_it_and_asks_for_a_restart():
    script = made_up('colab_unwanted = {old = "It breaks."}\n# colab_restart = ["numpy"]')
    lines = colab_lines(script)
    assert lines[:3] == ["# In Colab: It breaks.", "# Elsewhere leave the next line out.", "%pip uninstall -q -y old"]
    assert "Restart session" in lines[3] and "numpy" in lines[4]
    assert colab_lines(made_up()) == []


def test_what_the_cells_say_for_colab_is_what_pip_does_there(guide):
    """By the record: nothing is taken away that is replaced anyway, and a restart is asked for just where it must be."""
    for name, outcome in guide.tried.notebooks.items():
        table = guide.scripts[name].head.guide
        assert not {package for package in table.colab_unwanted if package in outcome.replaced}, f"{name} replaces it anyway"
        if outcome.failure is None:
            assert set(table.colab_restart) == set(outcome.replaced) & set(guide.image.file.preloaded), name


# The link to Colab in a notebook


def test_a_notebook_leads_to_colab_where_its_repository_is_known_and_a_fork_keeps_it(planted, capsys):
    path = planted.project.notebooks / "hqq.ipynb"
    build_notebooks(["hqq"], replace(planted.project, repository="OWNER/REPOSITORY"))
    assert linked_repository("hqq", path.read_text()) is None
    build_notebooks(["hqq"], planted.project)
    assert linked_repository("hqq", path.read_text()) == "owner/name"
    assert json.loads(path.read_text())["cells"][0]["id"] == "view-in-github"
    capsys.readouterr()
    fork = replace(planted.project, repository="another/fork")
    build_notebooks(["hqq"], fork)
    assert capsys.readouterr().out == "", "a fork changes no notebook"
    for project in (planted.project, fork, replace(planted.project, repository="OWNER/REPOSITORY")):
        build_notebooks(["--check"], project)
    text = path.read_text()
    planted.write("notebooks/hqq.ipynb", text.replace("%pip install -q", "%pip install"))
    with pytest.raises(SystemExit, match="notebooks/hqq.ipynb was edited by hand"):
        build_notebooks(["--check"], fork)


def test_no_link_leads_to_what_does_not_run_there(planted):
    planted.write("proofs/colab.json", Tried(notebooks={"hqq": outcome(failure=FAILURE)}).model_dump_json(by_alias=True))
    build_notebooks(["hqq"], planted.project)
    assert linked_repository("hqq", (planted.project.notebooks / "hqq.ipynb").read_text()) is None


# What pip would do


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An index of four made-up packages: the one that is asked for needs another, of which there are two versions."""
    releases = [("a", "2.0", ["b>=1"]), ("b", "1.0", []), ("b", "2.0", []), ("torch", "9.0", ["b<2"]), ("torch", "9.1", []),
                ("c", "1.0", ["torch", "b>=2"])]  # fmt: skip
    for name, version, requires in releases:
        (tmp_path / "simple").mkdir(exist_ok=True)
        wheel = make_wheel(tmp_path / "simple" / name, name, version, requires)
        page = wheel.parent / "index.html"
        page.write_text((page.read_text() if page.exists() else "") + f'<a href="{wheel.name}">{wheel.name}</a>\n')
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    return {"UV_DEFAULT_INDEX": (tmp_path / "simple").as_uri(), "UV_INDEX": "https://not.asked.invalid"}


HAVE = {"b": "1.0", "torch": "9.0+cu1", "unrelated": "3"}


@pytest.mark.parametrize(("asked", "wanted", "replaced"), [
    ("a==2.0", {"a": "2.0", "b": "1.0"}, {}),
    ("b==2.0", {"b": "2.0"}, {"b": ("1.0", "2.0")}),
    ("c==1.0", {"c": "1.0", "b": "2.0", "torch": "9.1"}, {"b": ("1.0", "2.0"), "torch": ("9.0+cu1", "9.1")}),
])  # fmt: skip
def test_what_is_there_is_kept_where_it_will_do_and_torch_is_told(index, tmp_path, asked, wanted, replaced):
    found = upgrades([asked], HAVE, "3.13", "2.35", tmp_path / "work", index)
    assert found == Upgrades(wanted, replaced)


def test_why_nothing_will_do_is_one_sentence(index, tmp_path):
    with pytest.raises(Unresolvable, match=r"^pip finds no versions that will do: .*a==3.0.*\.$") as raised:
        upgrades(["a==3.0"], HAVE, "3.13", "2.35", tmp_path / "work", index)
    assert "\n" not in str(raised.value)
    told = "error: No solution found when resolving\n  cause: Because x==1 has no wheels with a matching Python ABI tag\n"
    reason = why_not(f"{told} and you require x==1, we can conclude that.\n\nhint: no")
    assert str(reason) == "pip finds no versions that will do: x==1 has no wheels with a matching Python ABI tag."
    assert isinstance(reason, Unresolvable)
    for unknown in ("error: Failed to fetch: `https://x`", "error: no such file"):
        assert not isinstance(why_not(unknown), Unresolvable), "that says nothing of the notebook"


# The environment


@pytest.fixture
def base(tmp_path):
    """An environment with two packages, whose interpreter is this one."""
    environment = tmp_path / "image-0123"
    site = environment / "lib" / "python3.11" / "site-packages"
    for name, version in {"torch": "9.0+cpu", "numpy": "2.1.3"}.items():
        (site / f"{name}-{version}.dist-info").mkdir(parents=True)
        (site / f"{name}-{version}.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    (environment / "bin").mkdir()
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (environment / "bin" / "tool").write_text(f"#!{environment}/bin/python\n")
    return environment


def test_a_copy_shares_its_files_but_not_its_commands(base, tmp_path):
    python = image.copy(base, tmp_path / "copy")
    assert python == tmp_path / "copy" / "bin" / "python" and python.read_text() == (base / "bin" / "python").read_text()
    assert (tmp_path / "copy" / "bin" / "tool").read_text() == f"#!{tmp_path}/copy/bin/python\n"
    assert image.installed(tmp_path / "copy") == image.installed(base) == {"torch": "9.0+cpu", "numpy": "2.1.3"}
    shutil.rmtree(tmp_path / "copy" / "lib" / "python3.11" / "site-packages" / "numpy-2.1.3.dist-info")
    assert "numpy" in image.installed(base)


def test_an_environment_has_what_is_asked_for_and_imported_but_no_torch(guide):
    found = image.packages(guide.image, ["tokenizers", "torch", "triton", "torchvision", "not-in-the-image"])
    assert found["tokenizers"] == guide.image.freeze["tokenizers"] and found["pip"] == guide.image.freeze["pip"]
    assert set(guide.image.file.preloaded) <= set(found)
    assert not {"torch", "triton", "torchvision", "not-in-the-image"} & set(found)


# A trial


FAILURE = Failure.model_validate({"class": "install cell", "message": "pip finds none", "cell": None})


def outcome(**over) -> Outcome:
    fields = {
        "digest": "d",
        "date": "2026-11-27T20:00:00+00:00",
        "seconds": 60.0,
        "ran": True,
        "failure": None,
        "replaced": {},
    }
    return Outcome(**fields | {"versions": {"python": "3.11.7", "torch": "2.13.0"}} | over)


INSTALLS = """import pathlib
place = pathlib.Path("ENVIRONMENT") / "lib" / "python3.11" / "site-packages"
(place / "made_up-1.0.dist-info").mkdir(exist_ok=True)
(place / "made_up-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\\nName: made-up\\nVersion: 1.0\\n")
with open(pathlib.Path("ENVIRONMENT") / "cells.txt", "a") as file:
    file.write("installed\\n")"""


@pytest.fixture
def trial(base, tmp_path):
    """Makes the trial of a made-up notebook: its install cell, its other cell, what pip would do, and what its head says."""

    def made(install: str = INSTALLS, code: str = "1 + 1", replaced=(), more: str = "only_faults = true") -> colab.Trial:
        project, script = Project(tmp_path / "tree"), made_up(more)
        environment = project.build / "colab" / "run" / "made_up" / "environment"
        cells = [new_code_cell(text.replace("ENVIRONMENT", str(environment))) for text in (install, code)]
        cells[0].metadata["tags"] = ["skip-execution"]
        known = replace(parsed(freeze=FREEZE), file=parsed().file.model_copy(update={"preloaded": {"numpy": "json"}}))
        guide = SimpleNamespace(project=project, scripts={"made_up": script}, notebooks={"made_up": new_notebook(cells=cells)},
                                image=known, stand_in="0" * 64, colab_digest=lambda name: "d")  # fmt: skip
        resolve = lambda script: Upgrades({}, dict(replaced))  # noqa: E731
        return colab.Trial(guide, "made_up", resolve, lambda: base, lambda what, seconds: None)  # type: ignore[arg-type]

    return made


def test_a_notebook_runs_after_its_install_cell_in_a_kernel_that_has_imported_what_colabs_has(trial, base):
    seen = trial(
        code="import sys\nassert 'json' in sys.modules\nassert open('ENVIRONMENT/cells.txt').read() == 'installed\\n'"
    ).outcome()
    assert seen.failure is None and seen.ran
    assert seen.versions["torch"] == "9.0+cpu"
    assert "made-up" not in image.installed(base), "only its copy was changed, which is gone"


def test_where_the_cell_asks_for_a_restart_the_rest_runs_in_a_second_kernel(trial):
    code = "assert open('ENVIRONMENT/cells.txt').read() == 'installed\\n' * 2"
    seen = trial(code=code, replaced={"numpy": ("1", "2")}.items(), more='colab_restart = ["numpy"]').outcome()
    assert seen.failure is None and seen.replaced == {"numpy": ("1", "2")}


FAILING = {
    "torch is replaced": (
        {"replaced": [("torch", ("9.0", "9.1"))]},
        "install cell",
        "pip replaces Colab's torch 9.0 by 9.1",
        False,
    ),
    "what is imported is replaced": ({"replaced": [("numpy", ("1", "2"))]}, "stale import", "replaces numpy", False),
    "a restart for nothing": ({"more": 'colab_restart = ["numpy"]'}, "stale import", "asks for a restart for numpy", False),
    "pip fails": ({"install": "print('ERROR: no such release')"}, "install cell", "ERROR: no such release", True),
    "a cell fails": ({"code": "raise ImportError('too old')"}, "missing package", "ImportError: too old", True),
}


@pytest.mark.parametrize("case", FAILING)
def test_what_fails_is_told_by_its_class_and_its_words(trial, case):
    given, kind, words, ran = FAILING[case]
    seen = trial(**given).outcome()
    assert seen.failure and (seen.failure.kind, seen.ran) == (kind, ran)
    assert words in seen.failure.message


# The command


@pytest.fixture
def tried(planted, monkeypatch):
    """Runs the command in a project of its own, where a trial only notes its name: the exit code, and what was tried."""
    notes: list[str] = []

    def noted(self) -> Outcome:
        notes.append(self.script.name)
        failure = FAILURE if self.script.name == "vptq" else None
        return outcome(digest=self.guide.colab_digest(self.script.name), failure=failure)

    monkeypatch.setattr(colab.Trial, "outcome", noted)
    monkeypatch.setattr(colab, "run_pip", lambda command: "")

    def run(*arguments: str) -> tuple[int, list[str]]:
        notes.clear()
        with pytest.raises(SystemExit) as ended:
            colab.main(arguments, planted.project)
        return ended.value.code, list(notes)

    (planted.project.root / "proofs" / "colab.json").unlink(missing_ok=True)
    return run


def test_it_goes_on_where_it_was_stopped_and_ends_with_1_where_one_fails(tried, planted, capsys):
    assert tried("hqq") == (0, ["hqq"])
    assert tried("hqq", "vptq") == (1, ["vptq"])
    printed = capsys.readouterr().out
    assert "unchanged since it was tried: hqq: runs on Colab's packages, 60 s; replaced: nothing." in printed
    assert "vptq: install cell. pip finds none." in printed
    assert "1 tried now, 1 of 2 run or install, 1 failed." in printed
    assert tried("hqq", "--force") == (0, ["hqq"])
    planted.edit("models/colab/freeze.txt", "numpy==2.1.3", "numpy==2.1.4")
    assert tried("hqq") == (0, ["hqq"]), "another image"
    assert tried("no-such-notebook")[0].startswith("There is no notebook 'no-such-notebook'.")


def test_what_is_kept_stands_on_the_pages(tried, planted):
    assert tried("hqq", "vptq", "--keep") == (1, ["hqq", "vptq"])
    guide = planted.load()
    assert set(guide.tried.notebooks) == {"hqq", "vptq"}
    assert guide.in_colab("hqq").answer == "free" and guide.in_colab("vptq").answer == "no"
    ran = said.notes(guide, "hqq")
    assert any("On 27 November 2026 its install cell and its code ran" in sentence for sentence in ran)
    assert ran[-1] == "Not run on a T4."
    assert said.notes(guide, "vptq") == ["pip finds none."]
    planted.edit("snippets/hqq.py", "minutes = 20", 'minutes = 20\n# unwanted = ["made-up"]')
    build_notebooks(["hqq"], planted.project)
    assert planted.load().outcome("hqq") is None, "what was tried was other code"


# What pages say


@pytest.mark.parametrize(("name", "answer", "with_what", "why"), [
    ("bitsandbytes", "free", "free, with a T4", ""),
    ("fp8", "paid", "with an L4, which is not free", "It needs compute capability 8.9 or more: the free T4 has 7.5."),
    ("mxfp4", "paid", "with an H100, which is not free", "It needs more memory than the 15 GiB of the free T4."),
    ("fp8_fallback", "free", "free, with a T4", "The method needs compute capability 8.9"),
    ("torchao", "free", "free, with a T4", "too low for float8 dynamic (8.9), int4 weight-only, tile-packed (8.0)."),
    ("symptoms", "free", "free, without a GPU", ""),
])  # fmt: skip
def test_what_a_notebook_takes_in_colab_follows_from_its_head_and_page(guide, name, answer, with_what, why):
    script = guide.scripts[name]
    found = in_colab(guide.image, name, script.head.guide, guide.method_of(script), None)
    assert (found.answer, found.with_what) == (answer, with_what)
    assert found.why.endswith(why) or why in found.why


def test_what_cannot_run_there_says_why_and_names_no_gpu(guide):
    found = guide.in_colab("fbgemm_fp8")
    assert (found.answer, found.with_what) == ("no", "does not run there") and "CUDA 13" in found.why


def test_a_failure_is_said_with_its_cell(guide):
    failure = Failure.model_validate({"class": "error", "message": "ImportError: old", "cell": 9})
    table = guide.scripts["hqq"].head.guide
    found = in_colab(guide.image, "hqq", table, None, outcome(failure=failure))
    assert (found.answer, found.with_what, found.why) == ("no", "does not run there", "Cell 9: ImportError: old.")


def test_a_box_links_to_colab_with_what_it_takes_or_not_at_all(guide):
    class Anywhere:
        def __call__(self, path: str) -> str:
            return path

        source = colab = __call__

    failing = replace(guide, tried=Tried(notebooks={"vptq": outcome(digest=guide.colab_digest("vptq"), failure=FAILURE)}))
    for name in guide.scripts:
        box = proofs.box(failing, name, Anywhere(), with_measures=False)
        found = failing.in_colab(name)
        assert (f">Open in Colab</a> ({found.with_what})" in box) == (found.answer != "no"), name
    assert "Colab: it does not run there" in proofs.box(failing, "vptq", Anywhere(), with_measures=False)
    assert "take float16" in proofs.box(guide, "hqq", Anywhere(), with_measures=True)
    assert "take float16" not in proofs.box(guide, "fp8", Anywhere(), with_measures=True)


def test_a_notebook_in_bf16_that_offers_the_free_gpu_says_what_to_do_there(guide):
    """But for those that take float16 there by themselves."""
    assert guide.image.free.emulates_bf16
    for name, script in guide.scripts.items():
        table, (title, *cells) = script.head.guide, guide.notebooks[name].cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code" and "shared" not in tags(cell))
        if table.colab_gpu == guide.image.free.name and not table.only_faults and "bfloat16" in code:
            assert re.search(r"(?<!b)float16", code) or "(../docs/install.md#colab)" in title.source, name


def test_the_records_are_of_notebooks_that_there_are(guide):
    assert set(guide.tried.notebooks) <= set(guide.scripts)
    for name in guide.tried.notebooks:
        assert any("skip-execution" in tags(cell) for cell in guide.notebooks[name].cells)
