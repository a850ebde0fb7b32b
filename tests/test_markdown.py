"""Markdown that MkDocs builds without a word, and that is not shown as it was meant."""

from __future__ import annotations

import pytest

from guide.site import markdown

TABLE = "| a | b |\n| --- | --- |\n"
FAULTS = {  # a text, and what is said of it
    "See [kernels](https:/github.com/x).": "'https:/github.com/x' is no address: it lacks '//' or ':'.",
    "See https//github.com/x.": "'https//github.com/x.' is no address",
    "The first of these:\n- one\n- two": "the list '- one' stands right under 'The first of these:': put an empty",
    "The first of these:\n1. one\n2. two": "the list '1. one' stands right under 'The first of these:'",
    f"The first of these:\n{TABLE}| 1 | 2 |": "the table '| a | b |' stands right under 'The first of these:': put",
    "<!-- guid: plot speed -->": "the comment '<!-- guid: plot speed -->' becomes nothing: a mark begins '<!-- guide: '.",
    "```pyhton\nx\n```": "a block of code is of the language 'pyhton': write one of bash, ",
    f"{TABLE}| 1 | 2 |\n| 1 |": "the row '| 1 |' has 1 for the 2 columns of its table: add or take out cells.",
    f"{TABLE}| 1 | 2 | 3 |": "the row '| 1 | 2 | 3 |' has 3 for the 2 columns",
    "See [](methods/x.md).": "the link '[](methods/x.md)' has no words",
    "As is known[^1].\n\n[^1]: by whom.": "the footnote '[^1]' is not rendered: say it in the text.",
    "<details markdown>\n\nWords.\n": "a <details> does not end: end it.",
    "<details>\n<div>\n</details>": "a <div> does not end before </details>: end it.",
    "Words.</div>": "a </div> ends what does not begin",
    "<div><script>alert(1)</script></div>": "'<script' would run in a reader's browser: take it out.",
    "<img src=x onerror=alert(1)>": "'<img src=x onerror=' would run in a reader's browser",
    "[x](javascript:alert(1))": "'](javascript:' would run in a reader's browser",
    "## One {#load}\n\nWords.\n\n## Two {#load}": "the id 'load' is given to two headings: rename one.",
    "More\n====": "'More' is underlined, which makes a title of it",
}
FINE = [
    "One:\n\n- one\n  goes on\n- two\n\n1. one\n2. two",
    f"{TABLE}| `a | b` | 2 |\n| a \\| b | 2 |\n\n{TABLE}",
    "<!-- guide: plot speed -->\n\n```python\n# - one\n| x |\n```",
    "`<div>`, `[](x)` and `[^1]` are code; <br> and <img alt=x> do not end.",
    "<details markdown>\n<summary>Words</summary>\n\n- one\n\n</details>",
]


@pytest.mark.parametrize("text", FAULTS)
def test_what_is_not_shown_as_it_was_meant_is_named(text):
    assert [one for one in markdown.of_text(f"# Title\n\n{text}\n") if FAULTS[text] in one]


@pytest.mark.parametrize("text", FINE)
def test_what_is_shown_as_it_was_meant_is_not(text):
    assert list(markdown.of_text(f"# Title\n\n{text}\n")) == []


def test_pages_heads_and_notebooks_are_looked_through(planted):
    planted.edit("docs/judge.md", "\n## ", "\nSee [](how.md).\n\n## ")
    planted.edit("docs/methods/eetq.md", "url: https://github.com/", "url: https:/github.com/")
    planted.edit("snippets/eetq.py", "# Everything below is compared with this one.", "# Everything below. <script>x</script>")
    said = list(markdown.faults(planted.load()))
    for path in ("docs/judge.md", "docs/methods/eetq.md", "snippets/eetq.py"):
        assert [one for one in said if one.startswith(f"{path}: ")], path


def test_nothing_of_this_checkout_is_shown_otherwise(guide):
    assert list(markdown.faults(guide)) == []
