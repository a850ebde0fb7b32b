"""Pages: their facts, their marks, their links; and what the build says when one is wrong."""

from __future__ import annotations

import re

import pytest

from guide import links
from guide.method import read_methods
from guide.notebook_page import site_path
from guide.pages import fill
from guide.project import DOCS, GuideError
from guide.render import FACT_LABELS
from guide.traps import all_traps


def test_facts_are_read_for_every_method_page():
    methods = read_methods()
    assert list(methods) == sorted(path.stem for path in (DOCS / "methods").glob("*.md"))
    for method in methods.values():
        for name, cell in (dict(method.hardware) | dict(method.features)).items():
            assert cell.source, name


@pytest.mark.parametrize("path", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_pages_have_no_figure_typed_by_hand(path):
    """Perplexities, ratios and speeds come from proofs: none stands in a page's own text."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"perplexity (of |is )?\d|\d+(\.\d+)? tokens/s|\d\.\d+ ?x\b", text)


def test_an_unknown_mark_is_named():
    with pytest.raises(GuideError, match=r"docs/x.md: unknown mark '<!-- guide: prof bitsandbytes -->'"):
        fill("<!-- guide: prof bitsandbytes -->", "docs/x.md", str)


def test_a_mark_with_an_unknown_group_is_named():
    with pytest.raises(GuideError, match="docs/x.md: the mark .* cannot be filled"):
        fill("<!-- guide: use-cases on the moon -->", "docs/x.md", str)


@pytest.mark.parametrize("cell", ["cpu", "nvidia", "apple", "save_and_reload", "peft"])
def test_a_table_of_one_cell_names_every_method_that_can_first(cell):
    html = fill(f"<!-- guide: cells {cell} -->", "docs/x.md", str)
    answers = re.findall(r"<strong>(yes|no|not verified)</strong>", html)
    assert len(answers) == len(read_methods())
    assert answers == sorted(answers, key=["yes", "not verified", "no"].index)


def test_a_table_of_an_unknown_cell_is_named():
    known = ", ".join(FACT_LABELS)
    with pytest.raises(GuideError, match=f"docs/x.md: the mark .* cannot be filled: no cell 'tpu'; there are {known}."):
        fill("<!-- guide: cells tpu -->", "docs/x.md", str)


def test_links_of_a_notebook():
    assert site_path("torchao", "../docs/methods/torchao.md#load") == "methods/torchao.md"
    assert site_path("torchao", "bitsandbytes.ipynb") == "notebooks/bitsandbytes.ipynb"
    with pytest.raises(GuideError, match="links to '../docs/methods/torcha.md'"):
        site_path("torchao", "../docs/methods/torcha.md")


def fails(tree, *words: str) -> None:
    done = tree.build_site()
    assert done.returncode != 0
    for word in words:
        assert word in done.stdout + done.stderr


def test_a_section_that_no_snippet_has_fails_the_build(tree):
    tree.edit("docs/methods/torchao.md", "torchao.py:int8-dynamic", "torchao.py:int8-static")
    sentence = "docs/methods/torchao.md includes the section 'int8-static', which snippets/torchao.py does not have."
    fails(tree, sentence)


def test_a_broken_link_in_a_notebooks_markdown_fails_the_build(tree):
    for path in (tree.root / "proofs").glob("*/torchao.ipynb"):
        path.unlink()
    tree.edit("snippets/torchao.py", "](../docs/methods/torchao.md)", "](../docs/methods/torchoa.md)")
    assert tree.run("guide.notebooks").returncode == 0
    fails(tree, "The notebook torchao links to '../docs/methods/torchoa.md'", "snippets/torchao.py")


def test_a_broken_link_in_a_proof_fails_the_build(tree):
    """The page shows the executed notebook, so its links count, not only those of the notebook as it stands."""
    path = next((tree.root / "proofs").glob("*/torchao.ipynb"))
    tree.edit(path.relative_to(tree.root).as_posix(), "](../docs/methods/torchao.md)", "](../docs/methods/torchoa.md)")
    fails(tree, "The notebook torchao links to '../docs/methods/torchoa.md'")


def test_a_broken_link_and_a_broken_anchor_in_a_page_fail_the_build(tree):
    tree.edit("docs/index.md", "(proofs.md#the-stand-in)", "(proofs.md#the-standin)")
    fails(tree, "the-standin")


def test_a_wrong_fact_names_the_file_and_the_field(tree):
    tree.edit(
        "docs/methods/torchao.md",
        "    answer: not verified\n    note: float8 dynamic accepts it",
        "    answer: maybe\n    note: x",
    )
    fails(tree, "docs/methods/torchao.md", "hardware.intel_gpu.answer")


def test_an_unknown_notebook_in_the_facts_lists_the_known_ones(tree):
    tree.edit("docs/methods/torchao.md", "notebooks: [torchao]", "notebooks: [torcha]")
    fails(tree, "There is no notebook 'torcha'. Known:")


def test_a_trap_without_its_cell_is_named(tree):
    tree.edit("docs/methods/torchao.md", "  - id: intx-unpacked", "  - id: intx-packed")
    fails(tree, "docs/methods/torchao.md describes the trap 'intx-packed', but no cell is tagged 'trap:intx-packed'.")


def test_a_trap_that_no_page_describes_is_named(tree):
    tree.edit("snippets/torchao.py", '["trap:intx-unpacked"]', '["trap:intx-unpacked", "trap:another"]')
    assert tree.run("guide.notebooks").returncode == 0
    fails(tree, "snippets/torchao.py has a cell tagged 'trap:another', which the front matter of docs/methods/torchao.md")


def test_each_trap_says_that_its_fault_is_known():
    for shown in all_traps():
        assert "known_fault(" in shown.code, shown.trap.id


def test_every_trap_was_seen_where_its_notebook_is_proven():
    for shown in all_traps():
        printed = shown.printed()
        assert printed is None or printed, f"{shown.trap.id} printed nothing"


def test_the_link_check_sees_pages_anchors_and_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text('<a href="a/#here">1</a><a href="a/#gone">2</a><a href="b/">3</a><img src="x.png">')
    (tmp_path / "a" / "index.html").write_text('<h2 id="here">x</h2><a href="https://example.org/">out</a><a href="..">up</a>')
    assert links.dead_links(tmp_path) == [
        "index.html: 'a/#gone' leads to a page without that heading.",
        "index.html: 'b/' leads to no page.",
        "index.html: 'x.png' leads to no page.",
    ]
