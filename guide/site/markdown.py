"""Markdown that is not what it seems: a list that is none, a mark that is shown as it is, a tag that never ends.

MkDocs builds such a page without a word.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from guide.facts.guide import Guide
from guide.site.typed import FENCE

OPENS = re.compile(r"^ *```([^\s`]+)", re.MULTILINE)
LANGUAGES = {"bash", "console", "json", "python", "text", "toml", "yaml"}
INLINE = re.compile(r"`[^`\n]*`")
COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
GUIDE = re.compile(r" guide: \S|--8<-- ")  # how a comment begins that becomes something
ADDRESS = re.compile(r"\bhttps?:(?!//)[^\s,)]+|\bhttps?//[^\s,)]+")
WORDLESS = re.compile(r"(?<!!)\[\s*\]\([^)]*\)")
FOOTNOTE = re.compile(r"\[\^\w+\](?!:)")
OWN_ID = re.compile(r"\{[^}]*#([\w-]+)[^}]*\}\s*$")
ITEM = re.compile(r"(?:[-*+] |1[.)] )\S")
ANY_ITEM = re.compile(r"\s*(?:[-*+] |\d+[.)] )")
UNDERLINE = re.compile(r"={3,}|-{3,}")
TAG = re.compile(r"<(/?)([a-z][a-z0-9-]*)(?:\s[^<>]*)?>")
ENDLESS = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}  # tags that have no end
RUNS = re.compile(
    r"<(?:script|iframe|object|embed)\b|<[a-z]+\s[^<>]*\bon\w+\s*=|\]\(\s*(?:javascript|data|vbscript):", re.IGNORECASE
)


def faults(guide: Guide) -> Iterator[str]:
    """What of pages and of scripts' Markdown is not shown as it was meant, a sentence each with its file."""
    texts = {f"docs/{page}": text.partition("\n---\n")[2] if text.startswith("---\n") else text
             for page, text in guide.pages.items()}  # fmt: skip
    for script in guide.scripts.values():
        texts[script.path] = "\n\n".join(cell.source for cell in script.cells() if cell.cell_type == "markdown")
    for path, text in texts.items():
        yield from (f"{path}: {sentence}" for sentence in of_text(text))
    for page, text in guide.pages.items():
        if text.startswith("---\n"):
            yield from (f"docs/{page}: {sentence}" for sentence in _addresses(text.partition("\n---\n")[0]))


def of_text(text: str) -> Iterator[str]:
    """What is wrong with one text of Markdown, a sentence each."""
    for language in OPENS.findall(text):
        if language not in LANGUAGES:
            yield f"a block of code is of the language '{language}': write one of {', '.join(sorted(LANGUAGES))}."
    prose = FENCE.sub("", text)
    for comment in COMMENT.findall(prose):
        if not GUIDE.match(comment):
            yield f"the comment '<!-- {' '.join(comment.split())[:40]} -->' becomes nothing: a mark begins '<!-- guide: '."
    plain = COMMENT.sub("", prose)
    yield from _addresses(plain)
    yield from _lines(plain)
    yield from _rows(plain)
    bare = INLINE.sub("``", plain)
    ids = [found for line in bare.splitlines() if line.startswith("#") for found in OWN_ID.findall(line)]
    yield from (
        f"the id '{one}' is given to two headings: rename one." for one in sorted({one for one in ids if ids.count(one) > 1})
    )
    yield from _references(bare)
    yield from _tags(bare)


def _addresses(text: str) -> Iterator[str]:
    """Addresses that lack a slash or a colon."""
    yield from (f"'{found[0]}' is no address: it lacks '//' or ':'." for found in ADDRESS.finditer(text))


def _lines(text: str) -> Iterator[str]:
    """Lists and tables right under a line of prose, which take them for a part of it, and titles that are underlined."""
    for before, line in pairwise(text.splitlines()):
        if not before.strip() or before.lstrip().startswith(("#", "|", "<")):
            continue
        indented = before.startswith((" ", "\t"))
        if ITEM.match(line) and not ANY_ITEM.match(before) and not indented:
            yield f"the list '{line[:40]}' stands right under '{before[-40:]}': put an empty line between, or it is none."
        elif line.lstrip().startswith("|"):
            row = line.strip()[:40]
            yield f"the table '{row}' stands right under '{before[-40:]}': put an empty line between, or it is none."
        elif UNDERLINE.fullmatch(line.strip()):
            yield f"'{before.strip()[:40]}' is underlined, which makes a title of it: begin the title with '#' signs instead."


def _rows(text: str) -> Iterator[str]:
    """Rows of a table that have more or fewer cells than its head."""
    head = 0
    for line in text.splitlines():
        row = line.strip()
        cells = len(re.findall(r"(?<!\\)\|", INLINE.sub("", row))) - 1 if row.startswith("|") else 0
        head = (head or cells) if cells else 0
        if cells != head:
            yield f"the row '{row[:60]}' has {cells} for the {head} columns of its table: add or take out cells."


def _references(text: str) -> Iterator[str]:
    """Links without words, and footnotes, which nothing here renders."""
    yield from (f"the link '{found[0]}' has no words: a reader sees nothing to click." for found in WORDLESS.finditer(text))
    for found in dict.fromkeys(FOOTNOTE.findall(text)):
        yield f"the footnote '{found}' is not rendered: say it in the text."


def _tags(text: str) -> Iterator[str]:
    """Tags that run something, that do not end, or that end without a beginning."""
    if found := RUNS.search(text):
        yield f"'{found[0]}' would run in a reader's browser: take it out."
    opened: list[str] = []
    for end, name in TAG.findall(text):
        if name in ENDLESS:
            continue
        if not end:
            opened.append(name)
        elif name in opened:
            while (last := opened.pop()) != name:
                yield f"a <{last}> does not end before </{name}>: end it."
        else:
            yield f"a </{name}> ends what does not begin: take it out, or begin it."
    yield from (f"a <{name}> does not end: end it." for name in opened)
