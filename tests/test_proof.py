"""What a proof says of a notebook, when it still holds, and what becomes of a damaged one."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import nbformat
import pytest

from guide import proof as proofs
from guide import render, standin
from guide.project import PROOFS, GuideError, notebook_names
from guide.proof import MEASURES_MIME, Proof, State, digest, output_data, read
from guide.script import read_script

NAMES = notebook_names()
COMMITTED = sorted(PROOFS.glob("*/*.ipynb"))


def link(path: str) -> str:
    return f"/{path}"


@pytest.mark.parametrize("name", NAMES)
def test_every_notebook_has_a_proof_of_todays_code(name):
    script = read_script(name)
    if script.head.guide.needs != "cpu" and not proofs.ranked(script):
        pytest.skip("no machine with that GPU has run it; its page says so")
    assert State.PROVEN in [proofs.state(found, script) for _, _, found in proofs.ranked(script)]


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_committed_proof_is_whole(path):
    notebook, proof = read(path)
    assert proof.notebook == path.stem
    assert proof.machine.slug == path.parent.name
    assert proof.status == "passed"
    if read_script(path.stem).head.guide.only_faults:
        assert not proof.measures and not proof.control
        return
    assert proof.measures
    assert proof.control, "its checks were never seen to fail"
    assert {row.bits for row in proof.measures} <= {8, 4, 3, 2, 1}
    text = nbformat.writes(notebook)
    assert "/home/" not in text
    assert "/root/" not in text
    for place in (Path.home(), PROOFS.parent):
        assert f'"{place}' not in text
    if proof.stand_in and proof.digest == digest(read_script(path.stem), stand_in=True):
        assert {source.sha256 for source in proof.models + proof.texts} == {standin.digest()}


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_8_bit_is_closer_to_bf16_than_4_bit_beyond_the_error(path):
    rows = read(path)[1].measures
    for low in (row for row in rows if row.bits == 4):
        for high in (row for row in rows if row.bits == 8):
            assert low.kl - high.kl > 2 * (low.kl_error**2 + high.kl_error**2) ** 0.5


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_table_that_is_read_holds_the_figures_that_are_recorded(path):
    notebook, proof = read(path)
    outputs = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if MEASURES_MIME in output.get("data", {})
    ]
    html = outputs[-1]["data"]["text/html"] if proof.measures else ""
    for row in proof.measures:
        cells = render.measure_cells(row)
        assert escape(row.variant) in html
        assert f"{row.perplexity:.3f}" in html
        assert f"{row.ratio:.2f}" in html
        assert cells[5] in html


@pytest.mark.parametrize("name", [name for name in NAMES if not read_script(name).head.guide.only_faults])
def test_prose_costs_no_run_and_code_does(tree, name):
    before = digest_in(tree, name)
    tree.edit(f"snippets/{name}.py", "Everything below is compared", "All below is compared")
    assert digest_in(tree, name) == before
    tree.edit(f"snippets/{name}.py", "\nassert ", "\nassert 1 and ")
    changed = digest_in(tree, name)
    assert changed != before
    tree.edit(f"snippets/{name}.py", "accelerate==1.15.0", "accelerate==1.15.1")
    assert digest_in(tree, name) not in (before, changed)


def digest_in(tree, name: str) -> str:
    code = f"from guide import proof, script; print(proof.digest(script.read_script('{name}'), True))"
    (tree.root / "print_digest.py").write_text(code)
    done = tree.run("print_digest")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_only_the_page_of_the_changed_notebook_says_so(tree):
    tree.edit("snippets/torchao.py", "print(tokenizer.decode(generated(baseline, prompt)[0]))", "print(prompt)")
    assert tree.run("guide.notebooks").returncode == 0
    done = tree.build_site()
    assert done.returncode == 0, done.stderr
    for page, changed in (("torchao", True), ("bitsandbytes", False)):
        for path in (f"site/methods/{page}/index.html", f"site/notebooks/{page}/index.html"):
            html = (tree.root / path).read_text()
            assert ("Code changed since this proof" in html) == changed, path
            assert (f'data-state="{State.PROVEN}"' in html) != changed, path


def damage(tree, change) -> str:
    """Damage the first committed proof, and what the page build then says."""
    path = sorted((tree.root / "proofs").glob("*/*.ipynb"))[0]
    notebook = json.loads(path.read_text())
    change(notebook)
    path.write_text(json.dumps(notebook))
    done = tree.build_site()
    assert done.returncode == 1
    assert path.relative_to(tree.root).as_posix() in done.stderr
    return done.stderr


def test_a_damaged_record_names_the_file_and_the_field(tree):
    assert "machine.cores" in damage(tree, lambda notebook: notebook["metadata"]["proof"]["machine"].pop("cores"))


def test_a_missing_record_names_the_file(tree):
    assert "no record in metadata.proof" in damage(tree, lambda notebook: notebook["metadata"].pop("proof"))


def test_a_number_typed_into_a_record_names_the_file(tree):
    def improve(notebook):
        notebook["metadata"]["proof"]["measures"][0]["perplexity"] = 1.0

    assert "differs from the table it shows" in damage(tree, improve)


def test_a_truncated_proof_names_the_file(tmp_path):
    path = tmp_path / "torchao.ipynb"
    path.write_text(COMMITTED[0].read_text()[:1000])
    with pytest.raises(GuideError, match="torchao.ipynb is damaged: it is not a readable notebook"):
        read(path)


def example(path: Path, **changes) -> Proof:
    record = read(path)[1].model_dump(by_alias=True)
    return Proof.model_validate(record | changes)


def test_a_stand_in_is_said_in_the_box_in_words(monkeypatch):
    script = read_script("bitsandbytes")
    (path, notebook, proof) = proofs.ranked(script)[0]
    monkeypatch.setattr(proofs, "ranked", lambda script: [(path, notebook, proof)])
    box = render.proof_box(script, link, with_measures=True)
    assert proof.stand_in == ("Run on a stand-in." in box) == ("with a stand-in model" in box)
    assert "no figure below is a figure of Qwen/Qwen3-0.6B" in box or not proof.stand_in


def test_a_failed_run_is_shown_as_one(monkeypatch):
    script = read_script("bitsandbytes")
    path = COMMITTED[0]
    error = {"class": "out of memory", "message": "CUDA out of memory", "cell": 7}
    failed = example(path, status="failed", error=error, digest=digest(script, stand_in=True), measures=[])
    monkeypatch.setattr(proofs, "ranked", lambda script: [(path, None, failed)])
    box = render.proof_box(script, link, with_measures=True)
    assert 'data-state="failed when it was last run"' in box
    assert "Out of memory in cell 7: CUDA out of memory" in box


def test_no_proof_is_shown_as_none(monkeypatch):
    monkeypatch.setattr(proofs, "ranked", lambda script: [])
    assert "Not proven yet" in render.proof_box(read_script("bitsandbytes"), link, with_measures=True)


def test_versions_that_differ_from_the_pins_are_said():
    proof = example(COMMITTED[0])
    assert proof.differing_versions() == {}
    older = example(COMMITTED[0], versions=proof.versions | {"transformers": "5.17.0"})
    assert older.differing_versions() == {"transformers": ("5.23.0", "5.17.0")}
    assert "transformers is pinned at 5.23.0" in render.machine_line(older)


def test_a_gpu_and_the_real_model_come_first(monkeypatch):
    script = read_script("bitsandbytes")
    here = example(COMMITTED[0], digest=digest(script, stand_in=True))
    gpu = here.model_dump()["machine"] | {"name": "NVIDIA H200", "kind": "cuda", "capability": "9.0", "driver": "580"}
    on_gpu = example(COMMITTED[0], digest=digest(script, stand_in=True), machine=gpu)
    old = example(COMMITTED[0], digest="0" * 64, machine=gpu | {"name": "NVIDIA A100"})
    monkeypatch.setattr(proofs, "committed", lambda name: [Path("a"), Path("b"), Path("c")])
    monkeypatch.setattr(proofs, "read", lambda path: (None, {"a": old, "b": here, "c": on_gpu}[str(path)]))
    order = [found.machine.name for _, _, found in proofs.ranked(script)]
    assert order == ["NVIDIA H200", here.machine.name, "NVIDIA A100"]


def test_outputs_are_found_by_their_type():
    assert output_data(nbformat.v4.new_notebook(), MEASURES_MIME) == []
