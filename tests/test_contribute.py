"""A newcomer follows CONTRIBUTING.md: corrects a page, adds a method, a proof, a number. What is wrong is told in a sentence.

The commands that need a GPU or the real model are rehearsed with what another machine recorded.
"""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from planting import ROOT, mkdocs_warnings

from guide.bench.numbers import faults as faults_of_numbers
from guide.contribute.__main__ import main
from guide.facts.checks import faults as faults_of_proofs
from guide.facts.load import load_scripts
from guide.facts.proof import State
from guide.library.check import check, installed
from guide.notebooks.__main__ import main as build_notebooks
from guide.project import GuideError
from guide.site import stage
from guide.site.__main__ import main as stage_site

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


@pytest.mark.parametrize("command", [lambda project: main(["method", "made-up"], project), stage_site], ids=["new", "stage"])
def test_a_full_disk_is_told(planted, monkeypatch, command):
    def full(path: Path, *rest: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(SystemExit, match=r"^No space left on device at .*Free space on that disk"):
        command(planted.project)


def test_a_method_that_is_there_is_left_alone(planted):
    before = (planted.project.methods / "gptq.md").read_bytes()
    with pytest.raises(SystemExit, match="There is docs/methods/gptq.md or snippets/gptq.py already"):
        main(["method", "gptq"], planted.project)
    assert (planted.project.methods / "gptq.md").read_bytes() == before


def test_contributing_begins_with_the_three_ways_and_names_sessions_that_there_are():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    ways = re.findall(r"^\d\. \[(.+?)\]\(#(.+?)\)", text, re.MULTILINE)
    assert len(ways) == 3
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[:3] == [title for title, _ in ways]
    assert [anchor for _, anchor in ways] == [title.lower().replace(" ", "-") for title, _ in ways]
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE))
    sessions |= set(
        re.findall(r"^@nox.session\(name=\"(\w+)\"", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert set(re.findall(r"nox -s (\w+)", text)) <= sessions
    named = set(re.findall(r"`((?:guide|docs|tests|snippets|models|\.github)/[\w./-]+\.\w+)`", text))
    missing = [path for path in sorted(named) if not (ROOT / path).is_file() and "NAME" not in path]
    assert named and missing == []


# Correcting a page

CORRECTIONS = {  # of a method's page: what is written instead, and what is said of it
    "a field that is none": ("use_case:", "use_cases:", "docs/methods/hqq.md"),
    "an answer that is none": ('    answer: "yes"\n', "    answer: perhaps\n", "docs/methods/hqq.md, 'hardware.cpu.answer'"),
    "a source that is left out": ("    source: proof\n", "    sources: proof\n", "docs/methods/hqq.md"),
    "a trap that raises and is called silent": (
        "silent: false", "silent: true", "is silent, but its 'get' begins with 'NotImplementedError': write 'silent: false'"),
    "a notebook that is none": ("notebooks: [hqq]", "notebooks: [hqqq]", "There is no notebook 'hqqq'"),
    "a mark that is none": ("<!-- guide: proof hqq -->", "<!-- guide: proofs hqq -->", "methods/hqq.md"),
    "a section that is none": ("hqq.py:load", "hqq.py:loaded", "docs/methods/hqq.md includes the section 'loaded'"),
}  # fmt: skip


def test_a_corrected_sentence_is_on_the_page(planted):
    path = "docs/methods/hqq.md"
    lead = (planted.project.root / path).read_text(encoding="utf-8").split("\n# ")[1].split("\n\n")[1]
    planted.edit(path, lead, "A sentence that was corrected.")
    assert "A sentence that was corrected." in stage.files(planted.load())["methods/hqq.md"].decode()


@pytest.mark.parametrize("what", CORRECTIONS)
def test_a_correction_that_is_wrong_is_told_with_its_place(planted, what):
    old, new, said = CORRECTIONS[what]
    planted.edit("docs/methods/hqq.md", old, new)
    with pytest.raises(GuideError, match=re.escape(said)):
        stage.files(planted.load())


def test_a_notebook_that_is_edited_by_hand_is_told(planted):
    planted.edit("notebooks/hqq.ipynb", "# HQQ", "# Half-quadratic quantization")
    (fault,) = load_scripts(planted.project).faults()
    assert fault.startswith("notebooks/hqq.ipynb was edited by hand: make the change in snippets/hqq.py")


# A proof from another machine

PROVEN, MAC = "hqq", "proofs/cpu-arm64/hqq.ipynb"


def on_a_mac(planted, change=lambda record: None, path: str = MAC) -> None:
    """What ``nox -s prove -- hqq --keep`` would have written on a Mac, changed."""
    text = (planted.project.proofs / "cpu-x86-64" / f"{PROVEN}.ipynb").read_text(encoding="utf-8")
    machine = json.loads(text)["metadata"]["proof"]["machine"]
    text = text.replace(machine["name"], "Apple M3").replace('"architecture": "x86_64"', '"architecture": "arm64"')
    notebook = json.loads(text)
    change(notebook["metadata"]["proof"])
    planted.write(path, json.dumps(notebook, indent=1))


def refused(planted) -> str:
    """What is said of the project and was not said of the checkout."""
    try:
        guide = planted.load()
    except GuideError as error:
        return str(error)
    return "\n".join(
        [*faults_of_proofs(guide), *(faults_of_numbers(guide, "nvidia-l4") if "nvidia-l4" in guide.numbers else ())]
    )


def test_a_proof_from_a_mac_is_accepted_and_the_page_names_it(planted):
    on_a_mac(planted)
    assert refused(planted) == ""
    assert "Apple M3" in stage.files(planted.load())["methods/hqq.md"].decode()


def a_failure(record: dict) -> None:
    record.update(status="failed", error={"class": "error", "message": "x", "cell": 1})


PROOFS = {
    "of a failed run": (a_failure, "its status is 'failed': a failed run is not committed"),
    "whose controls did not fail": (lambda record: record.update(control=[]), "its control is empty"),
    "of another notebook": (lambda record: record.update(notebook="quanto"), "its record is of the notebook 'quanto'"),
    "of another machine": (lambda record: record["machine"].update(architecture="riscv64"), "its machine.name is 'Apple M3'"),
    "with a better figure": (
        lambda record: record["measures"][0].update(kl=0.0),
        "its record differs from the table it shows",
    ),
    "with a field too many": (lambda record: record.update(remark="fast"), "'remark' is wrong"),
    "without its versions": (lambda record: record.pop("versions"), "'versions' is wrong: Field required"),
    "of another stand-in": (lambda record: record["models"][0].update(sha256="2" * 64), "a sha256 under models or texts"),
}


@pytest.mark.parametrize("what", PROOFS)
def test_a_proof_that_is_wrong_is_refused_with_its_file(planted, what):
    change, said = PROOFS[what]
    on_a_mac(planted, change)
    assert said in refused(planted) and MAC in refused(planted)
    assert "nox -s prove -- hqq --force --keep" in refused(planted)


def test_a_proof_of_older_code_is_shown_as_one(planted):
    """It is no fault: who changes the code has not every machine. Its box says so."""
    on_a_mac(planted, lambda record: record.update(digest="0" * 64))
    assert refused(planted) == ""
    assert "Apple M3 (code changed since this proof" in stage.files(planted.load())["methods/hqq.md"].decode()


# A number from another GPU

OTHER, VARIANT = "proofs/numbers/nvidia-l4", "bitsandbytes-nf4"


def on_an_l4(planted, change=lambda record: None) -> None:
    """What ``nox -s bench -- bf16 VARIANT`` would have written on an L4, the variant's record changed."""
    for name in ("bf16", VARIANT):
        text = (planted.project.numbers / "nvidia-h100-80gb-hbm3" / f"{name}.json").read_text(encoding="utf-8")
        record = json.loads(
            text.replace("NVIDIA H100 80GB HBM3", "NVIDIA L4").replace('"capability": "9.0"', '"capability": "8.9"')
        )
        if name == VARIANT:
            change(record)
        planted.write(f"{OTHER}/{name}.json", json.dumps(record, indent=1))


def on_a_cpu(planted, change) -> None:
    """The same of a variant's quality, which a CPU measures."""
    text = (planted.project.numbers / "cpu-x86-64" / f"{VARIANT}.json").read_text(encoding="utf-8")
    record = json.loads(text.replace('"architecture": "x86_64"', '"architecture": "arm64"'))
    change(record)
    planted.write(f"proofs/numbers/cpu-arm64/{VARIANT}.json", json.dumps(record, indent=1))


def step(record: dict) -> dict:
    return record["runs"][0]["graph"]["shapes"]["Llama-3.1-8B"]["decode"]["1"]


def judged(record: dict) -> dict:
    return record["runs"][0]["quality"]["texts"]["wikitext"]


def test_a_number_from_an_l4_is_accepted_and_the_page_names_it(planted):
    on_an_l4(planted)
    assert refused(planted) == ""
    assert "NVIDIA L4" in stage.files(planted.load())["benchmarks.md"].decode()


def test_speeds_of_a_mac_are_shown_beside_those_of_the_first_cpu(planted):
    """Its quality is not shown again: it is that of the same model on the same text."""
    for name in ("bf16", VARIANT):
        text = (planted.project.numbers / "cpu-x86-64" / f"{name}.json").read_text(encoding="utf-8")
        record = json.loads(text.replace('"architecture": "x86_64"', '"architecture": "arm64"'))
        record["runs"][0]["speed"]["on"] = record["machine"]["name"] = "Apple M3"
        planted.write(f"proofs/numbers/cpu-arm64/{name}.json", json.dumps(record))
    page = unescape(stage.files(planted.load())["benchmarks.md"].decode())
    for shape in ("SmolLM2-135M", "Qwen3-0.6B"):
        assert f"{shape}'s shape on Apple M3: speed divided by" in page
        assert f"Speed on {shape}'s shape, Apple M3" in page


def timed(record: dict) -> dict:
    return record["runs"][0]["graph"]


SPEEDS = {
    "of another GPU": (lambda record: record["machine"].update(name="NVIDIA H200"),
                       f"whose file is proofs/numbers/nvidia-h200/{VARIANT}.json: move it there"),
    "of another variant": (lambda record: record.update(variant="hqq-4"), "'variant' is 'hqq-4'"),
    "of another recipe": (lambda record: record.update(recipe="snippets/numbers/hqq.py"), "its recipe is snippets/numbers/"),
    "of other code": (lambda record: timed(record).update(digest="0" * 64), "its graph was measured with other code"),
    "timed on another GPU": (lambda record: timed(record).update(on="NVIDIA H200"),
                                       "its graph was measured on NVIDIA H200, but the record is of NVIDIA L4"),
    "from tomorrow": (lambda record: timed(record).update(date="2999-01-01"), "2999-01-01 is in the future"),
    "of a day that is none": (lambda record: timed(record).update(date="soon"), "'runs.0.graph.date' is wrong"),
    "without time": (lambda record: step(record).update(seconds=[0, 0, 0]), "decode.1.seconds.0' is wrong"),
    "not repeated": (lambda record: step(record).update(blocks=1), "decode.1.blocks' is wrong"),
    "whose median is not between": (lambda record: step(record).update(ratio=[9, 1, 2]), "its median 9.0 is not between"),
    "that read nothing": (lambda record: step(record).update(read_bytes=0), "decode.1.read_bytes' is wrong"),
    "without runs": (lambda record: record.update(runs=[]), "'runs' is empty: nothing was measured"),
    "with nothing measured": (lambda record: record.update(runs=[{}]), "'runs' is empty: nothing was measured"),
    "with a field that is none": (lambda record: record.update(remark="fast"), "'remark' is wrong"),
}  # fmt: skip


@pytest.mark.parametrize("what", SPEEDS)
def test_a_speed_that_is_wrong_is_refused_with_file_and_field(planted, what):
    change, said = SPEEDS[what]
    on_an_l4(planted, change)
    assert said in refused(planted) and f"{OTHER}/{VARIANT}.json" in refused(planted)


QUALITIES = {  # of the text, or of the record: what is changed, and what is said
    "no perplexity": (lambda text: text.update(perplexity=0), "wikitext.perplexity' is wrong"),
    "another perplexity": (lambda text: text.update(perplexity=text["baseline_perplexity"]), "by its perplexity and baseline"),
    "a loss beyond all bounds": (lambda text: text["loss_difference"].update(mean=1e6), "loss_difference.mean is 1e+06, but"),
    "a perplexity that is no number": (lambda text: text.update(perplexity=float("nan")), "perplexity' is wrong"),
    "a negative divergence": (lambda text: text["kl"].update(mean=-0.1), "wikitext.kl.mean' is wrong"),
    "a smaller divergence": (lambda text: text["kl"].update(mean=text["kl"]["mean"] / 2), "by its kl_by_window"),
    "a smaller error": (lambda text: text["kl"].update(error=text["kl"]["error"] / 2), "its kl.error is "),
    "an agreement above 1": (lambda text: text["top1_agreement"].update(mean=1.01), "top1_agreement.mean' is wrong"),
    "an agreement without error": (lambda text: text["top1_agreement"].update(error=0), "and this one's is 0"),
    "a negative error": (lambda text: text["loss_difference"].update(error=-1), "loss_difference.error' is wrong"),
    "no tokens": (lambda text: text.update(tokens=0), "wikitext.tokens' is wrong"),
    "one window": (lambda text: text.update(kl_by_window=[0.1]), "wikitext.kl_by_window' is wrong"),
}
SIZES = {
    "more in the layers than in all": (lambda quality: quality["stored"].update(whole=1), "more than the 1 of"),
    "made in no time": (lambda quality: quality["load"].update(seconds=0), "load.seconds' is wrong"),
    "held by nothing": (lambda quality: quality["load"].update(peak_bytes=0), "load.peak_bytes' is wrong"),
}


@pytest.mark.parametrize("what", [*QUALITIES, *SIZES])
def test_a_quality_that_is_wrong_is_refused_with_file_and_field(planted, what):
    change, said = (QUALITIES | SIZES)[what]
    on_a_cpu(planted, lambda record: change(judged(record) if what in QUALITIES else record["runs"][0]["quality"]))
    assert said in refused(planted) and f"proofs/numbers/cpu-arm64/{VARIANT}.json" in refused(planted)
