"""The code for which a library is to answer: scripts, shared modules, makers of checkpoints, and what is typed into pages."""

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import lru_cache

from guide.facts.guide import Guide
from guide.facts.symptoms import PAGE, parse_symptoms
from guide.guest.arguments import keywords
from guide.notebooks.complete import statements
from guide.project import GuideError

INCLUDED = re.compile(r"^\s*--8<--.*", re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
ANY_FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
PYTHON = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


@lru_cache(maxsize=1024)
def parsed(path: str, text: str) -> ast.Module:
    """A file of code; raises GuideError naming the line that is no Python."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise GuideError(f"{path}, line {error.lineno}, is no Python: {error.msg}.") from error


def said_once(path: str, found: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Sentences about lines of a file, each once: with its first line at the head and the others at its end."""
    lines: dict[str, list[int]] = {}
    for line, sentence in sorted(found):
        lines.setdefault(sentence, []).append(line)
    for sentence, (first, *others) in lines.items():
        again = ", ".join(str(line) for line in dict.fromkeys(others) if line != first)
        yield f"{path}:{first}: {sentence}{f' (again in line {again})' if again else ''}."


def code_files(guide: Guide) -> dict[str, ast.Module]:
    """Every script, shared module and maker, by its path in the repository."""
    texts = {script.path: script.text for script in guide.scripts.values()}
    texts |= {f"snippets/shared/{name}.py": text for name, text in guide.shared.items()}
    texts |= {f"models/checkpoints/{name}.py": text for name, text in guide.makers.items()}
    return {path: parsed(path, text) for path, text in texts.items()}


def classes_used(guide: Guide) -> tuple[str, ...]:
    """The configuration classes of Transformers that code calls with keywords, by dotted name."""
    found = {keyword.called for tree in code_files(guide).values() for keyword in keywords(tree)}
    return tuple(sorted(name for name in found if name.startswith("transformers.") and name.endswith("Config")))


def page_code(guide: Guide) -> Iterator[tuple[str, ast.AST]]:
    """Each piece of Python that is typed into a page, by place: in a block or in code style, in what a variant makes of its
    section, and in a symptom's cure."""
    for name, text in guide.pages.items():
        blocks = [textwrap.dedent(one) for _, one in PYTHON.findall(text)]
        for source in [*blocks, *CODE.findall(ANY_FENCE.sub("", text))]:
            try:
                yield f"docs/{name}", ast.parse(INCLUDED.sub("", source))
            except SyntaxError:
                continue  # not Python: a name of a file, a command
    for method, variant in ((name, one) for name, each in guide.methods.items() for one in each.variants):
        if variant.notebook and variant.section and variant.edits:
            with suppress(GuideError):  # a section without the text to replace, which staging the site names
                code = guide.scripts[variant.notebook].section(variant.section, variant.edits)
                yield from ((f"docs/methods/{method}.md: variants.{variant.id}.edits", one.node) for one in statements(code))
    for one in parse_symptoms(guide.pages["symptoms.md"]):
        if one.language == "python":
            yield f"{PAGE}: symptoms.{one.id}.code", ast.parse(one.code)
