"""What a proof says of a notebook, when it still holds, and what becomes of a damaged one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import escape
from pathlib import Path

import nbformat
import pytest

from guide.facts import checks
from guide.facts.load import load
from guide.facts.proof import (
    ENVIRONMENT_MIME,
    FIGURES_MIME,
    MEASURES_MIME,
    SERVED_MIME,
    Measure,
    Proof,
    State,
    Stored,
    output_data,
)
from guide.facts.shown import words as shown_as
from guide.project import GuideError, Project
from guide.site.urls import Links
from guide.site.views import proofs

GUIDE = load(Project.here())
COMMITTED = [stored for found in GUIDE.proofs.values() for stored in found]
PROVEN = next(name for name, found in GUIDE.proofs.items()  # an example that a change of another notebook leaves alone
              if len(found) == 1 and found[0].state is State.PROVEN and found[0].proof.control and name != "torchao"
              and GUIDE.scripts[name].head.guide.models == ["Qwen/Qwen3-0.6B"]
              and not GUIDE.scripts[name].head.guide.checkpoints)  # fmt: skip
PAGES = {f"notebooks/{name}.ipynb" for name in GUIDE.scripts}
LINK = Links("methods/x.md", {*PAGES, *GUIDE.pages}, "owner/name")


def on_cpu(name: str) -> Stored:
    """The proof of a notebook on a CPU, which runs with exactly what is pinned."""
    return next(stored for stored in GUIDE.proofs[name] if stored.proof.machine.kind == "cpu")


def named(stored: Stored) -> str:
    return stored.path.removeprefix("proofs/")


def test_every_notebook_has_a_proof_of_todays_code_and_every_proof_is_whole():
    assert checks.faults(GUIDE) == []
    assert len(COMMITTED) >= 24


@pytest.mark.parametrize("name", [name for name in GUIDE.scripts if not GUIDE.proofs[name]])
def test_a_notebook_that_no_machine_has_run_says_so(name):
    assert GUIDE.scripts[name].head.guide.needs != "cpu"
    assert "Not proven yet" in proofs.box(GUIDE, name, LINK, with_measures=False)


@pytest.mark.parametrize("stored", COMMITTED, ids=named)
def test_widths_are_those_that_there_are(stored):
    assert {row.bits for row in stored.proof.measures} <= {8, 4, 3, 2, 1}


@pytest.mark.parametrize("stored", COMMITTED, ids=named)
def test_8_bit_is_closer_to_bf16_than_4_bit_beyond_the_error(stored):
    rows = stored.proof.measures
    for low in (row for row in rows if row.bits == 4):
        for high in (row for row in rows if row.bits == 8):
            assert low.kl - high.kl > 2 * (low.kl_error**2 + high.kl_error**2) ** 0.5


@pytest.mark.parametrize("stored", COMMITTED, ids=named)
def test_the_table_that_is_read_holds_the_figures_that_are_recorded(stored):
    outputs = [
        output
        for cell in stored.notebook.cells
        for output in cell.get("outputs", [])
        if MEASURES_MIME in output.get("data", {})
    ]
    html = outputs[-1]["data"]["text/html"] if stored.proof.measures else ""
    for row in stored.proof.measures:
        assert escape(row.variant) in html
        assert f"{row.perplexity:.3f}" in html
        assert f"{row.ratio:.2f}" in html
        assert f"{100 * row.top1_agreement:.1f} ± {100 * row.top1_agreement_error:.1f}" in html


# When a proof holds


@pytest.mark.parametrize("name", [name for name in GUIDE.scripts if not GUIDE.scripts[name].head.guide.only_faults])
def test_prose_costs_no_run_and_code_does(planted, name):
    before = GUIDE.digest(name, stand_in=True)
    planted.edit(f"snippets/{name}.py", "\n# ## ", "\n# ## About ")
    assert planted.load().digest(name, stand_in=True) == before
    planted.edit(f"snippets/{name}.py", "assert ", "assert 1 and ")
    changed = planted.load()
    assert changed.digest(name, stand_in=True) != before
    assert changed.state(name) is (State.CHANGED if GUIDE.proofs[name] else State.MISSING)
    planted.edit(f"snippets/{name}.py", "accelerate==1.15.0", "accelerate==1.15.1")
    assert planted.load().digest(name, stand_in=True) not in (before, changed.digest(name, stand_in=True))


@pytest.mark.parametrize("path", ["models/reference/heldout.txt", "models/checkpoints/awq.py"])
def test_another_stand_in_is_another_proof(planted, path):
    planted.write(path, (planted.project.root / path).read_text(encoding="utf-8") + "\n")
    assert planted.load().state("awq") is State.CHANGED


def test_a_gpu_and_the_real_model_come_first():
    here = on_cpu(PROVEN)
    gpu = {"name": "NVIDIA H200", "kind": "cuda", "capability": "9.0", "driver": "580"}
    on_gpu = replace(here, proof=example(machine=here.proof.machine.model_dump() | gpu))
    old = replace(on_gpu, state=State.CHANGED)
    ranked = sorted([old, here, on_gpu], key=lambda stored: stored.worth)
    assert [(stored.proof.machine.name, stored.state) for stored in ranked] == [
        ("NVIDIA H200", State.PROVEN),
        (here.proof.machine.name, State.PROVEN),
        ("NVIDIA H200", State.CHANGED),
    ]


# Damage


def damage(planted, change) -> str:
    """Damage the first committed proof, and what loading then says."""
    path = COMMITTED[0].path
    notebook = json.loads((planted.project.root / path).read_text(encoding="utf-8"))
    change(notebook)
    planted.write(path, json.dumps(notebook))
    with pytest.raises(GuideError) as raised:
        planted.load()
    assert str(raised.value).startswith(f"The proof {path} is damaged: ")
    assert f"run 'nox -s prove -- {Path(path).stem} --force --keep'" in str(raised.value)
    left = load(planted.project, damaged_proofs=True)
    assert path not in [one.path for one in left.proofs[Path(path).stem]], "who makes it anew can load the rest"
    return str(raised.value)


def test_a_damaged_record_names_the_file_and_the_field(planted):
    assert "'machine.cores' is wrong: Field required" in damage(
        planted, lambda notebook: notebook["metadata"]["proof"]["machine"].pop("cores")
    )


def test_a_missing_record_names_the_file(planted):
    assert "no record in metadata.proof" in damage(planted, lambda notebook: notebook["metadata"].pop("proof"))


def test_a_number_typed_into_a_record_names_the_file(planted):
    def improve(notebook):
        notebook["metadata"]["proof"]["measures"][0]["perplexity"] = 1.0

    assert "differs from the table it shows" in damage(planted, improve)


@pytest.mark.parametrize(
    ("field", "value"),
    [("digest", "0"), ("date", "yesterday"), ("date", "2026-11-24T00:00:00"), ("seconds", float("inf")),
     ("kernels", {"a/b": "javascript:alert(1)"}), ("kernels", {"a/b": "https://x/\"><script>"})],
)  # fmt: skip
def test_what_no_run_writes_into_a_record_names_the_field(planted, field, value):
    assert f"'{field}" in damage(planted, lambda notebook: record_of(notebook).update({field: value}))


def test_a_truncated_proof_names_the_file(planted):
    path = COMMITTED[0].path
    planted.write(path, (planted.project.root / path).read_text(encoding="utf-8")[:1000])
    with pytest.raises(GuideError, match=f"The proof {path} is damaged: it is not a readable notebook"):
        planted.load()


def new_faults(planted) -> list[str]:
    """What is wrong with the planted project and not with the checkout."""
    return [fault for fault in checks.faults(planted.load()) if fault not in checks.faults(GUIDE)]


def record_of(notebook: dict) -> dict:
    return notebook["metadata"]["proof"]


def deny_stand_in(notebook: dict) -> None:
    for source in record_of(notebook)["models"] + record_of(notebook)["texts"]:
        source.update(stand_in=False, sha256=None, revision="1" * 40)


def code_cells(notebook: dict) -> list[dict]:
    """The cells that ran."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and cell["execution_count"]]


def outputs(notebook: dict, mime: str) -> list[dict]:
    return [output for cell in code_cells(notebook) for output in cell["outputs"] if mime in output.get("data", {})]


def shown(kind: str, text: str):
    """A stranger's output under the first cell that ran."""

    def change(notebook: dict) -> None:
        output = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "shown", kind: text}}
        code_cells(notebook)[0]["outputs"].append(output)

    return change


def measured(**factors: float):
    """The first row's figures times these factors, in the record, in the output's figures and in its text and table."""

    def change(notebook: dict) -> None:
        (output,) = outputs(notebook, MEASURES_MIME)
        row = record_of(notebook)["measures"][0]
        before = shown_as(Measure.model_validate(row))
        row |= {field: type(row[field])(row[field] * factor) for field, factor in factors.items()}
        output["data"][MEASURES_MIME][0] = row
        after = shown_as(Measure.model_validate(row))
        for kind in ("text/plain", "text/html"):
            for field, words in before.items():
                text = "".join(output["data"][kind])
                output["data"][kind] = text.replace(words, after[field])

    return change


def retold(mime: str, kind: str, old: str, new: str):
    """An output's text or table, not its figures."""

    def change(notebook: dict) -> None:
        output = outputs(notebook, mime)[-1]
        told = "".join(output["data"][kind])
        assert old in told
        output["data"][kind] = told.replace(old, new)

    return change


def rerecorded(**fields: object):
    """Fields of the first row, in the record and in the output's figures, not in its text and table."""

    def change(notebook: dict) -> None:
        (output,) = outputs(notebook, MEASURES_MIME)
        record_of(notebook)["measures"][0].update(fields)
        output["data"][MEASURES_MIME][0].update(fields)

    return change


def seen_with(package: str, version: str):
    """A known fault's line, with another version of one package."""

    def change(notebook: dict) -> None:
        told = [output for cell in code_cells(notebook) for output in cell["outputs"]
                if "Known fault, seen with" in "".join(output.get("text", ""))]  # fmt: skip
        assert told
        told[0]["text"] = re.sub(rf"\b{package} [\w.]+\w", f"{package} {version}", "".join(told[0]["text"]))

    return change


def refigured(mime: str, old: str, new: str):
    """The figures of outputs, which their tables do not follow."""

    def change(notebook: dict) -> None:
        for output in outputs(notebook, mime):
            output["data"][mime] = json.loads(json.dumps(output["data"][mime]).replace(json.dumps(old), json.dumps(new)))

    return change


def both(*changes):
    return lambda notebook: [change(notebook) for change in changes]


def edit_code(notebook: dict) -> None:
    code_cells(notebook)[-1]["source"] = "print('nothing')"


def edit_table(notebook: dict) -> None:
    (output,) = outputs(notebook, MEASURES_MIME)
    perplexity = f"{record_of(notebook)['measures'][0]['perplexity']:.3f}"
    output["data"]["text/html"] = "".join(output["data"]["text/html"]).replace(perplexity, "1.000")


def same_as_bf16(notebook: dict) -> None:
    (output,) = outputs(notebook, MEASURES_MIME)
    row = record_of(notebook)["measures"][0]
    row |= {"perplexity": row["baseline_perplexity"], "loss_difference": 0.0}
    output["data"][MEASURES_MIME][0] = row


def first_cell(**changes):
    return lambda notebook: code_cells(notebook)[0].update(changes)


ALTERED = {
    "an altered digest": (lambda notebook: record_of(notebook).update(digest="0" * 64), "no committed proof is of this code"),
    "a stand-in that is denied": (deny_stand_in, "no committed proof is of this code"),
    "another stand-in": (lambda notebook: record_of(notebook)["models"][0].update(sha256="2" * 64), "a sha256 under models"),
    "another notebook": (lambda notebook: record_of(notebook).update(notebook="torchao"), "of the notebook 'torchao'"),
    "another machine": (lambda notebook: record_of(notebook)["machine"].update(name="NVIDIA H200", kind="cuda",
                                                                                capability="9.0"),
                        "its machine.name is 'NVIDIA H200', whose folder is proofs/nvidia-h200/"),
    "no control": (lambda notebook: record_of(notebook).update(control=[]), "its control is empty"),
    "a failed run": (lambda notebook: record_of(notebook).update(
        status="failed", error={"class": "error", "message": "x", "cell": 1}), "its status is 'failed'"),
    "a path": (lambda notebook: notebook["cells"][0].update(source="/home/somebody/secret"), "names a path of the machine"),
    "a cell that never ran": (first_cell(execution_count=None), "it did not run in its turn"),
    "cells that ran out of order": (first_cell(execution_count=7), "execution_count 7, not 1"),
    "an error in an output": (lambda notebook: code_cells(notebook)[0]["outputs"].append(
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}), "shows an error"),
    "a traceback on a stream": (lambda notebook: code_cells(notebook)[0]["outputs"].append(
        {"output_type": "stream", "name": "stderr", "text": "Traceback (most recent call last):"}), "shows an error"),
    "code that is another": (edit_code, "is not that of the notebook whose digest it has"),
    "a cell left out": (lambda notebook: notebook["cells"].remove(code_cells(notebook)[-1]), "cells of code, and"),
    "other pins": (lambda notebook: record_of(notebook)["pins"].update(transformers="5.0.0"), "pins.transformers is 5.0.0"),
    "a check that no control tried": (lambda notebook: record_of(notebook)["control"].pop(), "and the checks that such a"),
    "a machine that it did not show": (lambda notebook: record_of(notebook)["machine"].update(cores=64), "its machine is not"),
    "versions that it did not show": (lambda notebook: record_of(notebook)["versions"].update(torch="9.9"), "its versions"),
    "a date to come": (lambda notebook: record_of(notebook).update(date="2999-01-01T00:00:00+00:00"), "is to come"),
    "a run shorter than its loading": (lambda notebook: record_of(notebook).update(seconds=0.0), "loading alone took longer"),
    "a table that says other than its text": (edit_table, "shows in its table what its plain text does not say: '1.000'"),
    "a better kl in the figures alone": (lambda notebook: (
        outputs(notebook, MEASURES_MIME)[0]["data"][MEASURES_MIME][0].update(kl=0.5),
        record_of(notebook)["measures"][0].update(kl=0.5)), "shows another kl of"),
    "fewer bytes": (measured(quantized_bytes=0.9), "ratio is"),
    "fewer bytes and their ratio": (measured(quantized_bytes=0.9, ratio=1 / 0.9), "follow from the model's shapes"),
    "another linear ratio": (measured(linear_ratio=1.1), "linear_ratio is"),
    "a better perplexity": (measured(perplexity=0.99), "loss_difference is"),
    "bf16's perplexity for both": (same_as_bf16, "its perplexity is bf16's to the last digit"),
    "another bf16": (measured(baseline_perplexity=0.9, perplexity=0.9), "for the same model and text"),
    "other bytes of bf16": (measured(baseline_bytes=2, quantized_bytes=2), "for the same model"),
    "another speed": (measured(tokens_per_second=10), "outside of speed_ratio_low and speed_ratio_high"),
    "a ratio of speeds outside its range": (measured(speed_ratio=10), "outside of its own lowest and highest"),
    "a share above 1": (measured(top1_agreement=2), "top1_agreement is a share"),
    "no spread at all": (measured(kl_error=0), "kl_error is 0"),
    "another speed of bf16 in its table": (
        both(retold(MEASURES_MIME, "text/html", "1 (", "1 (9"), retold(MEASURES_MIME, "text/plain", "1 (", "1 (9")),
        " in its table, in the row 'bf16', and its figures say '1 ("),
    "another model in its caption": (
        both(*(retold(MEASURES_MIME, kind, "3.7 million", "596.0 million") for kind in ("text/html", "text/plain"))),
        "has the caption 'A model of 596.0 million parameters on 32,768 tokens of text', and its figures say 'A model of 3"),
    "a reload that its table shows as equal": (
        rerecorded(reload_equal=False), "shows 'yes' in its table, in the row 'W4A16 by GPTQ', and its figures say 'no'"),
    "more parameters than the model has": (
        rerecorded(parameters=3672833), " say 3672833 parameters, and the reference model has 3672832"),
    "a file that is too small": (rerecorded(saved_bytes=268756), "cannot be: saved_bytes is 268756, quantized_bytes 2"),
    "bits that its code does not weigh": (rerecorded(bits=8), " say 8 bits, and its own code weighs it as 4"),
    "another Python": (lambda notebook: record_of(notebook).update(python="3.9.1"), "its python is 3.9.1, and its own output"),
    "another torch in its line": (
        retold(ENVIRONMENT_MIME, "text/plain", "torch 2.", "torch 3."), "shows other versions than its figures: 'torch "),
    "more cores in its line": (
        retold(ENVIRONMENT_MIME, "text/plain", "2 cores", "96 cores"), ", 96 cores, 24 GiB; Python 3.11.7', and its figures"),
    "a fault seen with another version": (
        seen_with("llmcompressor", "0.1.0"), "says 'seen with llmcompressor 0.1.0', and its record has llmcompressor 0."),
    "a script in an output": (shown("text/html", "<table></table><script>alert(1)</script>"), "an output with <script>"),
    "an attribute that runs": (shown("text/html", "<p onclick='alert(1)'>x</p>"), "an output with onclick of <p>"),
    "a style that fetches": (shown("text/html", "<p style='background:url(//x)'>x</p>"), "an output with style of <p>"),
    "a program as output": (shown("application/javascript", "alert(1)"), "of the type application/javascript"),
    "a drawing that runs": (shown("image/svg+xml", "<svg onload='alert(1)'/>"), "of the type image/svg+xml"),
    "a script in its Markdown": (lambda notebook: notebook["cells"][0].update(source="# T\n\n<script>alert(1)</script>"),
                                 "cell 1 holds HTML or a link that runs"),
    "a link that runs": (lambda notebook: notebook["cells"][0].update(source="# T\n\n[x](javascript:alert(1))"),
                         "cell 1 holds HTML or a link that runs"),
}  # fmt: skip


@pytest.mark.parametrize("what", ALTERED)
def test_an_altered_proof_names_the_file_and_the_command(planted, what):
    change, sentence = ALTERED[what]
    name = PROVEN
    path = GUIDE.best(name).path
    notebook = json.loads((planted.project.root / path).read_text(encoding="utf-8"))
    change(notebook)
    planted.write(path, json.dumps(notebook))
    fault = next(fault for fault in new_faults(planted) if sentence in fault)
    assert fault.startswith((path, f"snippets/{name}.py"))
    assert f"nox -s prove -- {name} " in fault and "--keep" in fault


ELSEWHERE = {  # in proofs of other kinds
    "a better kl in a notebook's own figures": (
        "proofs/cpu-x86-64/kv_cache.ipynb", refigured(FIGURES_MIME, "0.0133 ± 0.0020", "0.0033 ± 0.0020"),
        "shows '0.0133 ± 0.0020' in its table, in the row 'HQQ 4 bit, axis 1', and its figures say '0.0033 ± 0.0020'"),
    "tokens that an engine did not repeat": (
        "proofs/cpu-x86-64/serve_vllm.ipynb", lambda notebook: served_row(notebook, "ct-w8a8", same=16),
        "shows '1 of 16' in its table, in the row 'ct-w8a8', and its figures say '16 of 16'"),
    "a checkpoint that an engine refused": (
        "proofs/cpu-x86-64/serve_vllm.ipynb", lambda notebook: served_row(notebook, "gptq-8", loads=True, seconds=9.0),
        "shows 'no' in its table, in the row 'gptq-8', and its figures say 'yes'"),
    "a run before what it ran was released": (
        "proofs/nvidia-h100-80gb-hbm3/fp8.ipynb",
        lambda notebook: record_of(notebook).update(date="2024-01-01T00:00:00+00:00"),
        "its date is 2024-01-01, before kernels "),
}  # fmt: skip


def served_row(notebook: dict, format: str, **fields: object) -> None:
    for rows in (record_of(notebook)["served"], outputs(notebook, SERVED_MIME)[-1]["data"][SERVED_MIME]):
        next(row for row in rows if row["format"] == format).update(fields)


@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_table_that_its_figures_do_not_give_names_the_file(planted, what):
    path, change, sentence = ELSEWHERE[what]
    notebook = json.loads((planted.project.root / path).read_text(encoding="utf-8"))
    change(notebook)
    planted.write(path, json.dumps(notebook))
    assert any(fault.startswith(f"{path}: ") and sentence in fault for fault in new_faults(planted))


def test_bytes_that_nothing_predicts_name_the_record_and_the_case(planted):
    path = "proofs/storage/cpu-x86-64.json"
    record = json.loads((planted.project.root / path).read_text(encoding="utf-8"))
    case = next(one for one in record["cases"] if one["measured"] and not one["proof"] and not one["note"])
    case["measured"] = {part: round(1.05 * count) for part, count in case["measured"].items()}
    planted.write(path, json.dumps(record))
    fault, *_ = new_faults(planted)  # the record's own check says it too
    assert fault.startswith(f"{path}: {case['method']} {case['variant']} on {case['shape']} is predicted 4.8 % off what was")
    assert f"nox -s weigh -- --keep {case['method']}" in fault


def test_a_reference_model_that_is_damaged_is_named(planted):
    planted.write("models/reference/model.safetensors", "no weights")
    with pytest.raises(GuideError, match="models/reference/model.safetensors is no file of safetensors: restore it"):
        planted.load()


def test_changed_code_of_a_notebook_that_needs_a_gpu_is_said_on_its_page(planted):
    """Who changes it need not have such a GPU."""
    name = next(name for name, script in GUIDE.scripts.items() if script.head.guide.needs != "cpu" and GUIDE.best(name))
    planted.edit(f"snippets/{name}.py", "print(tokenizer.decode(generated(baseline, prompt)[0]))", "print(prompt)")
    assert new_faults(planted) == []
    assert "Code changed since this proof" in proofs.box(planted.load(), name, LINK, with_measures=False)


def test_a_kernel_that_was_not_the_hubs_is_named():
    """A node without network runs kernels from their source, and lacks the others."""
    name, stored = next((name, one) for name, found in GUIDE.proofs.items() for one in found if one.proof.kernels)
    ((kernel, source),) = stored.proof.kernels.items()
    assert f'{kernel} was built from <a href="{source}">its source</a>' in proofs.box(GUIDE, name, LINK, with_measures=False)


def test_changed_code_without_a_new_proof_names_the_script_and_the_command(planted):
    planted.edit("snippets/torchao.py", "print(tokenizer.decode(generated(baseline, prompt)[0]))", "print(prompt)")
    assert new_faults(planted) == [
        "snippets/torchao.py: no committed proof is of this code (its proof says: code changed since this proof). "
        "Run 'nox -s prove -- torchao --keep' and commit proofs/."
    ]


def test_a_proof_in_another_machines_folder_is_named(planted):
    path = Path(COMMITTED[0].path)
    (planted.project.proofs / "nvidia-h200").mkdir()
    (planted.project.root / path).rename(planted.project.proofs / "nvidia-h200" / path.name)
    (fault,) = new_faults(planted)
    assert fault.startswith(f"proofs/nvidia-h200/{path.name}: its machine.name is ")


def test_a_missing_proof_names_the_script_and_the_command(planted):
    for path in planted.project.proofs.glob("*/torchao.ipynb"):
        path.unlink()
    assert "snippets/torchao.py: no committed proof is of this code (it has none)" in new_faults(planted)[0]


# The box on a page


def example(**changes) -> Proof:
    record = on_cpu(PROVEN).proof.model_dump(by_alias=True)
    return Proof.model_validate(record | changes)


def box(**changes) -> str:
    """The box of a notebook whose best proof differs from the stored one."""
    best = on_cpu(PROVEN)
    state = State.FAILED if changes.get("status") == "failed" else State.PROVEN
    stored = replace(best, proof=example(**changes), state=state)
    return proofs.box(replace(GUIDE, proofs={**GUIDE.proofs, PROVEN: (stored,)}), PROVEN, LINK, with_measures=True)


def test_a_stand_in_is_said_in_the_box_in_words():
    proof = GUIDE.best(PROVEN).proof
    text = box()
    assert proof.stand_in == ("Run on a stand-in." in text) == ("with a stand-in model" in text)
    assert "Its figures are the stand-in's, not those of Qwen/Qwen3-0.6B" in text or not proof.stand_in


def test_a_real_model_that_is_not_the_published_checkpoint_is_said_in_the_box():
    """What ``nox -s model`` makes was rounded once; a checkpoint of the hub was not."""
    assert "as a public package contains it" in proofs.box(GUIDE, "kv_cache", LINK, with_measures=False)
    named = {"stand_in": False, "sha256": None, "maker": None, "revision": "5" * 40}
    assert "as a public package contains it" not in box(models=[{"id": "Qwen/Qwen3-0.6B", **named}], texts=[])


def test_a_failed_run_is_shown_as_one():
    text = box(
        status="failed", error={"class": "out of memory", "message": "CUDA <b>out</b> of memory", "cell": 7}, measures=[]
    )
    assert 'data-state="failed when it was last run"' in text
    assert "Out of memory in cell 7: CUDA &lt;b&gt;out&lt;/b&gt; of memory" in text


def test_no_proof_is_shown_as_none():
    bare = replace(GUIDE, proofs={**GUIDE.proofs, PROVEN: ()})
    assert "Not proven yet" in proofs.box(bare, PROVEN, LINK, with_measures=True)


def test_versions_that_differ_from_the_pins_are_said():
    proof = example()
    assert proof.differing_versions() == {}
    older, pinned = example(versions=proof.versions | {"transformers": "5.0.0"}), proof.pins["transformers"]
    assert older.differing_versions() == {"transformers": (pinned, "5.0.0")}
    assert f"(ran with transformers 5.0.0 instead of the pinned {pinned})" in proofs.machine_line(older)


def test_outputs_are_found_by_their_type():
    assert output_data(nbformat.v4.new_notebook(), MEASURES_MIME) == []
