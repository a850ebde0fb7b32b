"""Staging: facts, marks, links and notebooks become a folder of pages; what is said when one of them is wrong."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from mkdocs.config import load_config
from planting import ROOT, mkdocs_warnings

from guide.facts.cells import tagged
from guide.facts.method import Group
from guide.facts.proof import FIGURES_MIME, State, output_data
from guide.facts.traps import ERRORS, SILENT, TAG, all_traps
from guide.notebooks.complete import completed, free, statements
from guide.project import GuideError
from guide.site import hooks, links, selector, stage
from guide.site.marks import fill
from guide.site.notebook_pages import shown, site_path
from guide.site.urls import Links, url_of
from guide.site.views.methods import LABELS

PAGES = sorted((Path(__file__).resolve().parent.parent / "docs").rglob("*.md"))


class Anywhere:
    """Every path is a page."""

    def __contains__(self, path: str) -> bool:
        return True


LINK = Links("x.md", Anywhere(), "owner/name")


def filled(guide, text: str) -> str:
    return fill(guide, text, "docs/x.md", LINK)


def refused(planted) -> str:
    """The sentence with which the planted project is refused, by loading or by staging."""
    with pytest.raises(GuideError) as raised:
        stage.files(planted.load())
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


def test_facts_are_read_for_every_method_page(guide):
    assert list(guide.methods) == [path.stem for path in PAGES if path.parent.name == "methods"]
    for method in guide.methods.values():
        for name, cell in method.cells().items():
            assert cell.source, name


def test_a_table_that_a_run_showed_stands_on_a_page(guide):
    best = guide.best("kv_cache")
    shown = next(one for one in output_data(best.notebook, FIGURES_MIME) if one["name"] == "bits")
    html = filled(guide, "<!-- guide: figures kv_cache bits -->")
    assert all(cell in html for row in shown["rows"] for cell in row)
    assert best.proof.machine.name in html and ("a stand-in model" in html) == best.proof.stand_in
    wrong = {"kv_cache bit": "shows no table 'bit'; it shows bits, again", "kv_cach bits": "no notebook 'kv_cach'"}
    for words, said in wrong.items():
        with pytest.raises(GuideError, match=said):
            filled(guide, f"<!-- guide: figures {words} -->")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_pages_have_no_figure_typed_by_hand(path):
    """Perplexities, ratios and speeds come from proofs: none stands in a page's own text."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"perplexity (of |is )?\d|\d+(\.\d+)? tokens/s|\d\.\d+ ?x\b", text)


# Marks and includes


def test_an_unknown_mark_is_named(guide):
    with pytest.raises(GuideError, match=r"docs/x.md: unknown mark '<!-- guide: prof bitsandbytes -->'"):
        filled(guide, "<!-- guide: prof bitsandbytes -->")


@pytest.mark.parametrize(
    "mark", ["use-cases on the moon", "ladder four", "facts torcha", "proof torcha", "facts", "links a b"]
)
def test_a_mark_that_cannot_be_filled_is_named(guide, mark):
    with pytest.raises(GuideError, match=f"docs/x.md: the mark '<!-- guide: {mark} -->' cannot be filled: "):
        filled(guide, f"<!-- guide: {mark} -->")


@pytest.mark.parametrize("cell", ["cpu", "nvidia", "apple", "save_and_reload", "peft"])
def test_a_table_of_one_cell_names_every_method_that_can_first(guide, cell):
    html = filled(guide, f"<!-- guide: cells {cell} -->")
    answers = re.findall(r"<strong>(yes|no|not verified)</strong>", html)
    assert len(answers) == len(guide.methods)
    assert answers == sorted(answers, key=["yes", "not verified", "no"].index)


def test_capabilities_between_which_a_method_runs_stand_in_its_tables(guide):
    works, every = filled(guide, "<!-- guide: cells nvidia -->"), filled(guide, "<!-- guide: overview -->")
    for page, long, short in (
        ("eetq", "from compute capability 7.0, not from 9.0; the kernel", "yes, from 7.0, not from 9.0<"),
        ("fp8", "from compute capability 8.9; ", "yes, from 8.9<"),
    ):
        assert long in filled(guide, f"<!-- guide: facts {page} -->")
        assert long in works and short in every, page


def test_what_a_reader_should_know_of_calibration_stands_with_it(guide):
    note = guide.methods["autoround"].calibration_note
    assert note
    assert f"Calibration: needed; {note}.\n" in filled(guide, "<!-- guide: facts autoround -->")
    assert f"| needed; {note} |" in filled(guide, "<!-- guide: use-cases calibrated -->")
    assert "Calibration: none.\n" in filled(guide, "<!-- guide: facts eetq -->")


def test_a_table_of_an_unknown_cell_is_named(guide):
    known = ", ".join(LABELS)
    with pytest.raises(GuideError, match=f"docs/x.md: the mark .* cannot be filled: no cell 'tpu'; there are {known}."):
        filled(guide, "<!-- guide: cells tpu -->")


def test_an_include_becomes_the_code_of_its_section_with_its_imports(guide):
    code = completed(guide.scripts["bitsandbytes"], guide.shared, "int8")
    assert code.splitlines()[:3] == ["import torch", "from transformers import AutoModelForCausalLM, BitsAndBytesConfig", ""]
    assert code.endswith(guide.scripts["bitsandbytes"].section("int8"))
    assert filled(guide, '```python\n--8<-- "snippets/bitsandbytes.py:int8"\n```') == f"```python\n{code}\n```"
    indented = filled(guide, '    --8<-- "snippets/bitsandbytes.py:int8"')
    assert indented.splitlines()[0] == "    import torch"


def test_what_a_section_uses_comes_with_all_that_its_own_section_does(guide):
    """Saving needs the model, and what quantized the model in place."""
    code = completed(guide.scripts["hqq"], guide.shared, "save-reload")
    assert code.index("AutoHQQHFModel.quantize_model(") < code.index("AutoHQQHFModel.save_quantized(")


def test_what_a_section_uses_of_shared_code_comes_with_it(guide):
    code = completed(guide.scripts["gptq"], guide.shared, "quantize")
    assert "\n\n\ndef calibration_texts(" in code and "stopwatch" not in code and "snippets" not in code


CUT_DOWN = {  # what a notebook cuts down for time, and a reader must not copy
    ("gptq", "quantize"): ["calibration_texts(16, "],
    ("awq", "make"): ["calibration_texts(32, "],
    ("awq", "make-autoround"): ["iters", "nsamples", "seqlen", "enable_torch_compile", "calibration_texts(32, "],
    ("autoround", "quantize"): ["iters", "nsamples", "seqlen", "enable_torch_compile", "calibration_texts(64, "],
    ("compressed_tensors", "gptq"): ["calibration_texts(32, "],
}


@pytest.mark.parametrize(("name", "section"), CUT_DOWN)
def test_what_a_notebook_cuts_down_for_time_is_in_it_and_not_in_what_a_reader_copies(guide, name, section):
    script = guide.scripts[name]
    assert "dataset" in (code := completed(script, guide.shared, section)) or "quantize(texts" in code
    for text in CUT_DOWN[name, section]:
        assert text in script.section(section) and text not in code


def test_no_page_and_no_answer_shows_what_is_cut_down(guide):
    marked = "cut down for the proof"
    assert not [path for path, text in guide.pages.items() if marked in filled(guide, text)]
    assert not [path for path, text in selector.files(guide, LINK).items() if marked in text]
    lines = [line for script in guide.scripts.values() for line in script.body.splitlines() if marked in line]
    assert lines and all(line.endswith(f"  # {marked}") for line in lines)


def test_every_block_of_code_has_its_names(guide):
    """What a reader pastes into an empty interpreter is whole: nothing in it is defined elsewhere on the page."""
    blocks = [(path, completed(guide.scripts[name], guide.shared, section)) for path, text in guide.pages.items()
              for name, section in re.findall(r'--8<-- "snippets/(\w+)\.py:([\w-]+)"', text)]  # fmt: skip
    assert len(blocks) > 60
    assert [(path, found, code[:60]) for path, code in blocks if (found := free(statements(code)))] == []
    for method in guide.methods:
        for variant, codes in selector.codes(guide, method).items():
            for code in filter(None, (codes["code"], codes["ready"], codes["unpacked"])):
                assert not free(statements(code)), f"{method}/{variant}"


def test_a_section_that_no_snippet_has_is_named(planted):
    planted.edit("docs/methods/torchao.md", "torchao.py:int8-dynamic", "torchao.py:int8-static")
    assert refused(planted) == (
        "docs/methods/torchao.md includes the section 'int8-static', which snippets/torchao.py does not have."
    )


def test_a_snippet_that_is_not_there_is_named(planted):
    planted.edit("docs/fine-tuning.md", "snippets/qlora.py:load", "snippets/qlorra.py:load")
    assert refused(planted) == "docs/fine-tuning.md includes snippets/qlorra.py, which is not there."


def test_markup_in_the_facts_is_shown_and_not_run(planted):
    page = "docs/methods/sinq.md"
    text = (planted.project.root / page).read_text(encoding="utf-8")
    hostile = "<script>alert(1)</script> `a < b`"
    planted.write(page, text.replace("pros:\n", f'pros:\n  - "{hostile}"\n').replace("title: SINQ", "title: SINQ <script>"))
    made = stage.files(planted.load())
    for name in ("methods/sinq.md", "index.md", "overview.md"):
        body = made[name].decode().split("\n---\n", 1)[1]
        assert "<script>" not in body, name
    assert "&lt;script>alert(1)&lt;/script> `a < b`" in made["methods/sinq.md"].decode()


# Wrong facts


def test_a_wrong_fact_names_the_file_and_the_field(planted):
    planted.edit("docs/methods/torchao.md", '  amd:\n    answer: "yes"', "  amd:\n    answer: maybe")
    sentence = refused(planted)
    assert "docs/methods/torchao.md" in sentence and "'hardware.amd.answer' is wrong" in sentence


def test_an_unknown_notebook_in_the_facts_lists_the_known_ones(planted):
    planted.edit("docs/methods/torchao.md", "notebooks: [torchao, ", "notebooks: [torcha, ")
    assert "docs/methods/torchao.md: There is no notebook 'torcha'. Known: aqlm," in refused(planted)


def test_an_unknown_notebook_of_a_variant_is_named_too(planted):
    planted.edit("docs/methods/sinq.md", "    notebook: sinq\n", "    notebook: sinqq\n")
    assert "docs/methods/sinq.md: There is no notebook 'sinqq'." in refused(planted)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('# notebook = "hqq"', '# notebook = "hqqq"', "snippets/numbers/hqq.py: There is no notebook 'hqqq'. Known: aqlm,"),
        ('# method = "hqq"', '# method = "hqqq"', "The head of snippets/numbers/hqq.py names the method 'hqqq': there is no"),
    ],
)
def test_what_the_head_of_a_recipe_names_must_be_there(planted, old, new, said):
    planted.edit("snippets/numbers/hqq.py", old, new)
    assert refused(planted).startswith(said)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("---\n", "", "docs/how.md has no front matter (the facts between two lines of '---')."),
        ("description: ", "descriptions: ", "The front matter of docs/how.md has no 'description': write it."),
    ],
)
def test_a_page_without_a_title_or_what_it_is_about_is_named(planted, old, new, said):
    planted.edit("docs/how.md", old, new)
    assert refused(planted) == said


def test_a_fact_that_stands_twice_is_named_with_its_line(planted):
    planted.edit("docs/methods/sinq.md", "features:\n", "features:\n  peft: {answer: not verified, source: not tried}\n")
    sentence = refused(planted)
    assert "docs/methods/sinq.md is not valid YAML: 'peft' stands twice" in sentence and "line" in sentence


@pytest.mark.parametrize("path", ["docs/assets/cards.json", "models/configs/qwen3-8b.json"])
def test_json_that_is_none_names_the_file_and_the_line(planted, path):
    planted.edit(path, "{", "{,")
    assert re.match(rf"{path}, line \d+, is not valid JSON: ", refused(planted))


def test_a_missing_list_of_engines_is_a_sentence(planted):
    (planted.project.root / "docs/engines/index.md").unlink()
    assert refused(planted).startswith("There is no docs/engines/index.md")


@pytest.mark.parametrize("path", ["models/colab/image.toml", "models/real.toml"])
def test_a_missing_file_is_a_sentence(planted, path):
    (planted.project.root / path).unlink()
    assert refused(planted) == f"There is no {path}: restore it."


def test_a_missing_page_names_the_script_that_wants_it(planted):
    (planted.project.root / "docs/methods/vptq.md").unlink()
    assert (
        refused(planted)
        == "The head of snippets/vptq.py names the method 'vptq': there is no method page docs/methods/vptq.md."
    )


def test_a_missing_maker_names_the_script_that_wants_it(planted):
    (planted.project.makers / "awq.py").unlink()
    assert "snippets/awq.py names the maker 'awq': there is no models/checkpoints/awq.py" in refused(planted)


def test_a_page_that_is_no_text_is_named(planted):
    path = planted.project.docs / "proofs.md"
    path.unlink()
    path.write_bytes(b"\xff\xfe\x00")
    assert refused(planted).startswith("docs/proofs.md is not UTF-8 text")


def test_a_trap_without_its_cell_is_named(planted):
    planted.edit("docs/methods/torchao.md", "  - id: intx-unpacked", "  - id: intx-packed")
    assert refused(planted) == (
        "docs/methods/torchao.md describes the trap 'intx-packed', but no cell is tagged 'trap:intx-packed'."
    )


def test_a_trap_that_no_page_describes_is_named(planted):
    planted.edit("snippets/torchao.py", '["trap:intx-unpacked"]', '["trap:intx-unpacked", "trap:another"]')
    sentence = "snippets/torchao.py has a cell tagged 'trap:another', which the front matter of docs/methods/torchao.md"
    assert sentence in refused(planted)


def test_a_text_that_a_variant_replaces_must_be_there_once(planted):
    planted.edit("docs/methods/sinq.md", 'edits: {"nbits=4": "nbits=8"}', 'edits: {"bits=4": "bits=8"}')
    sentence = refused(planted)
    assert "of snippets/sinq.py must hold 'bits=4' exactly once" in sentence and "nowhere" in sentence


def test_a_row_of_measures_that_no_proof_has_is_named(planted):
    planted.edit("docs/methods/bitsandbytes.md", "measured: nf4, double quantization", "measured: nf5")
    assert "docs/methods/bitsandbytes.md: variants.nf4-double.measured is 'nf5'; the proof has int8, nf4" in refused(planted)


def test_each_trap_says_that_its_fault_is_known(guide):
    for trap in all_traps(guide):
        cell = tagged(guide.notebooks[trap.script.name], TAG)[trap.trap.id]
        assert "known_fault(" in cell.source, trap.trap.id


def test_every_trap_was_seen_where_its_notebook_is_proven(guide):
    for trap in all_traps(guide):
        assert trap.printed is None or trap.printed, f"{trap.trap.id} printed nothing"


def test_what_is_not_verified_names_the_texts_that_were_read(guide):
    """README, documentation or source: so that nobody takes what was not looked up for what no text answers."""
    texts = re.compile(
        r"README|documentation|source|support table|notebook \w+|/|\.py|\.md|[A-Z]\w+\.\w+|names no such device"
    )
    for name, method in guide.methods.items():
        for place, cell in dict(method.hardware).items():
            if cell.answer == "not verified":
                assert texts.search(cell.source), f"{name}.{place}: {cell.source}"


def test_what_raises_stands_under_errors_and_nothing_else(guide):
    """A trap under "errors" names what is raised; none under "silent" begins with it."""
    for found in all_traps(guide):
        text = found.trap.get
        if found.trap.silent:
            assert not re.match(r"(An? )?(\w+Error\b|error\b)", text), found.trap.id
        else:
            assert re.search(r"Error\b|error\b|sys\.exit|segmentation fault|fails|refuses", text), found.trap.id


def test_a_trap_that_did_not_happen_in_the_recorded_run_says_so(guide):
    made = stage.files(guide)
    page = "".join(made[name].decode() for name in (SILENT, ERRORS))
    entries = dict(re.findall(r'<h3 id="([\w-]+)">(.*?)(?=\n#|\n<h3|\Z)', page, re.DOTALL))
    for found in all_traps(guide):
        if found.printed:
            said = "In the recorded run it did not happen:" in entries[found.trap.id]
            assert said != ("Known fault, seen with" in found.printed), found.trap.id
    assert any(not one.happened for one in all_traps(guide)) == ("it did not happen" in page)


# Notebooks


def test_links_of_a_notebook(guide):
    assert site_path(guide, "torchao", "../docs/methods/torchao.md") == "methods/torchao.md"
    assert site_path(guide, "torchao", "bitsandbytes.ipynb") == "notebooks/bitsandbytes.ipynb"
    with pytest.raises(GuideError, match="links to '../docs/methods/torcha.md'"):
        site_path(guide, "torchao", "../docs/methods/torcha.md")


def test_a_broken_link_in_a_notebooks_markdown_is_named(planted):
    for path in planted.project.proofs.glob("*/torchao.ipynb"):
        path.unlink()
    planted.edit("snippets/torchao.py", "](../docs/methods/torchao.md)", "](../docs/methods/torchoa.md)")
    sentence = refused(planted)
    assert "The notebook torchao links to '../docs/methods/torchoa.md'" in sentence and "snippets/torchao.py" in sentence


def test_a_broken_link_in_a_proof_of_older_code_is_named(planted):
    """The page then shows what ran, so its links count, not only those of the notebook as it stands."""
    path = next(planted.project.proofs.glob("*/torchao.ipynb"))
    planted.edit(planted.project.relative(path), "](../docs/methods/torchao.md)", "](../docs/methods/torchoa.md)")
    planted.edit("snippets/torchao.py", "print(tokenizer.decode(generated(baseline, prompt)[0]))", "print(prompt)")
    assert "The notebook torchao links to '../docs/methods/torchoa.md'" in refused(planted)


def test_prose_that_was_mended_after_a_proof_is_shown_with_what_the_proof_printed(planted):
    planted.edit("snippets/torchao.py", "Everything below is compared", "All of the rest is compared")
    notebook = shown(planted.load(), "torchao", Links("notebooks/torchao.ipynb", Anywhere(), "owner/name"))
    assert any("All of the rest is compared" in cell.source for cell in notebook.cells)
    assert sum(len(cell.get("outputs", [])) for cell in notebook.cells) > 5


def test_a_notebook_is_staged_as_it_is_to_be_shown(guide):
    notebook = shown(guide, "torchao", Links("notebooks/torchao.ipynb", Anywhere(), "owner/name"))
    nbformat.validate(notebook)
    title, box, *rest = notebook.cells
    assert title.source.startswith("# ") and "\n" not in title.source
    assert 'data-state="proven"' in box.source and "Open in Colab" in box.source
    assert not any("# @title" in cell.source for cell in rest), "shared code is one line"
    assert any("the same in each" in cell.source for cell in rest)
    assert "](../../methods/torchao/)" in "".join(cell.source for cell in rest)
    assert all(len(output.get("data", {"": 0})) == 1 for cell in rest for output in cell.get("outputs", []))


def test_only_the_pages_of_a_changed_notebook_say_so(planted, guide):
    planted.edit("snippets/torchao.py", "print(tokenizer.decode(generated(baseline, prompt)[0]))", "print(prompt)")
    made = stage.files(planted.load())
    proven = next(name for name in guide.methods if name != "torchao" and name in guide.scripts
                  and guide.state(name) is State.PROVEN)  # fmt: skip
    for name, changed in (("torchao", True), (proven, False)):
        for page in (f"methods/{name}.md", f"notebooks/{name}.ipynb"):
            text = made[page].decode().replace('\\"', '"')
            assert ("Code changed since this proof" in text) == changed, page
            assert (f'data-state="{State.PROVEN}"' in text) != changed, page


# The folder


def test_addresses_are_those_of_the_site():
    assert [url_of(path) for path in ("index.md", "methods/x.md", "notebooks/x.ipynb", "facts.json")] == [
        "", "methods/x/", "notebooks/x/", "facts.json"]  # fmt: skip
    there = Links("methods/x.md", {"index.md", "notebooks/y.ipynb", "traps/z.py", "methods/x.md"}, "owner/name")
    assert there("index.md") == "../../" and there("notebooks/y.ipynb") == "../../notebooks/y/"
    assert there("traps/z.py") == "../../traps/z.py" and there("methods/x.md") == "./"
    with pytest.raises(GuideError, match=r"methods/x.md refers to gone.md, which is not a page of the site"):
        there("gone.md")


def test_staging_again_writes_only_what_changed(planted, tmp_path):
    folder = tmp_path / "staged"
    stage.stage(planted.load(), folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    (folder / "left.md").write_text("over")
    planted.edit("docs/proofs.md", "# How the guide is proven", "# How this guide is proven")
    stage.stage(planted.load(), folder)
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after.keys() == before.keys()
    assert [path.name for path in after if after[path] != before[path]] == ["proofs.md"]


def test_the_navigation_follows_the_groups(guide):
    nav = stage.navigation(guide, [{"Home": "index.md"}, stage.METHODS, {"End": "proofs.md"}])
    assert nav[0] == {"Home": "index.md"} and nav[-1] == {"End": "proofs.md"}
    assert stage.navigation(guide, [{"Within": [stage.METHODS]}]) == [{"Within": nav[1:-1]}]
    engines = stage.navigation(guide, [stage.ENGINES])
    assert [path for entry in engines for path in entry.values()] == [f"engines/{name}.md" for name in guide.engines]
    assert [next(iter(entry)) for entry in nav[1:-1]] == [group.heading for group in Group]
    pages = [path for entry in nav[1:-1] for members in entry.values() for one in members for path in one.values()]
    assert sorted(pages) == [f"methods/{name}.md" for name in guide.methods]


def test_a_copy_in_a_folder_with_spaces_and_other_letters_is_staged(planted, tmp_path):
    there = tmp_path / "ein Ordner für Ÿ"
    shutil.move(planted.project.root, there)
    planted.project = type(planted.project)(there)
    stage.stage(planted.load(), there / "build" / "site")
    assert json.loads((there / "build" / "site" / "facts.json").read_text(encoding="utf-8"))["methods"]


@pytest.mark.parametrize(("name", "address"), [("", ""), ("owner/name", "https://owner.github.io/name/")])
def test_a_site_has_an_address_where_its_repository_is_known(monkeypatch, name, address):
    monkeypatch.delenv("SITE_URL", raising=False)
    monkeypatch.setenv("GITHUB_REPOSITORY", name)
    monkeypatch.setattr(stage, "stage", lambda guide, folder: None)
    assert hooks.on_config(load_config(str(ROOT / "mkdocs.yml"), hooks=[])).site_url == address


def test_the_link_check_sees_pages_anchors_and_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text('<a href="a/#here">1</a><a href="a/#gone">2</a><a href="b/">3</a><img src="x.png">')
    (tmp_path / "a" / "index.html").write_text('<h2 id="here">x</h2><a href="https://example.org/">out</a><a href="..">up</a>')
    assert links.dead_links(tmp_path) == [
        "index.html: 'a/#gone' leads to a page without that heading.",
        "index.html: 'b/' leads to no page.",
        "index.html: 'x.png' leads to no page.",
    ]


# What MkDocs and its --strict see of staged pages


def test_a_broken_link_and_a_broken_anchor_of_a_page_are_named(tmp_path, caplog):
    warnings = mkdocs_warnings(
        tmp_path, {"index.md": "# A\n[x](b.md) [y](c.md#gone) [z](c.md#here)", "c.md": "# C\n## Here"}, caplog
    )
    assert len(warnings) == 2
    assert "index.md" in warnings[0] and "b.md" in warnings[0]
    assert "index.md" in warnings[1] and "#gone" in warnings[1]


def test_a_picture_of_a_notebook_is_a_file_with_words(guide):
    files = stage.files(guide)
    assert files["notebooks/benchmark-1.png"].startswith(b"\x89PNG")
    page = files["notebooks/benchmark.ipynb"].decode()
    assert re.search(r'<img src=\\"\.\./benchmark-1\.png\\" alt=\\"KL, and decode speed, of \d+ variants', page)
    assert '"image/png": "' not in page, "no picture within the page"


def test_a_picture_without_words_is_refused(planted):
    planted.edit("proofs/cpu-x86-64/benchmark.ipynb", '"alt": "KL', '"title": "KL')
    with pytest.raises(GuideError, match=r"The notebook benchmark draws a picture without words: give display\(\) metadata"):
        stage.files(planted.load())
