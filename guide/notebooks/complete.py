"""A section of a script with what it needs to run when it is pasted: its imports, and what it uses of the code before it."""

import ast
import builtins
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from guide.notebooks.script import Script

# On a page, the line that stands for a section of a script.
INCLUDE = re.compile(r'^(?P<indent>[ \t]*)--8<-- "(?P<path>[^":]+):(?P<section>[^"]+)"$', re.MULTILINE)
# In a script, where such a section begins and ends.
SECTION = re.compile(r"# --8<-- \[(start|end):([\w-]+)\]")
# A line that only shortens the run of a notebook, which says so; a page leaves it out.
CUT = re.compile(r"^.*# cut down for the proof$\n?", re.MULTILINE)
# In place of what asks for more than a reader needs.
IN_PLACE = {"device": 'device = torch.device("cuda" if torch.cuda.is_available() else "cpu")'}


@dataclass(frozen=True)
class Statement:
    """One statement of a script: the names it needs from before it, and those it binds."""

    node: ast.stmt
    source: str
    needs: frozenset[str]
    binds: frozenset[str]


def completed(script: Script, shared: Mapping[str, str], section: str, edits: Mapping[str, str] | None = None) -> str:
    """A section, its imports first, then the statements before it that define what it uses, then itself.

    What an earlier section defines comes with the whole of that section, which may change it in place. What shortens the
    notebook's own run is left out. ``shared``: the text of the modules of ``snippets/shared/``. Raises GuideError as
    ``Script.section`` does.
    """
    own = CUT.sub("", script.section(section, edits)).rstrip()
    block = statements(own)
    earlier = CUT.sub("", script.body).partition(f"[start:{section}]\n")[0].rpartition("\n")[0] + "\n"
    helpers = [one for text in shared.values() for one in statements(text)]
    before = helpers + [one for one in statements(earlier) if not is_shared(one.node)]
    together: dict[int, list[int]] = {}  # a statement's place: those of its section
    for section_range in section_lines(earlier):
        places = [n for n, one in enumerate(before) if n >= len(helpers) and one.node.lineno in section_range]
        together |= dict.fromkeys(places, places)
    imports: dict[str, set[str]] = {}
    chosen: set[int] = set()
    lines = list[str]()
    needed = [(name, len(before)) for name in free(block)]
    while needed:
        name, end = needed.pop()
        place = next((n for n in reversed(range(end)) if name in before[n].binds), None)
        if name in IN_PLACE:
            needed.append(("torch", end))
            lines = [IN_PLACE[name]]
        elif place is not None and isinstance(before[place].node, ast.Import | ast.ImportFrom):
            add_import(imports, before[place].node, {name})
        elif place is not None and place not in chosen:
            for n in together.get(place, [place]):
                if isinstance(before[n].node, ast.Import | ast.ImportFrom):
                    add_import(imports, before[n].node, set(before[n].binds))
                else:
                    chosen.add(n)
                    needed += [(one, n) for one in before[n].needs]
    leading = 0
    while leading < len(block) and isinstance(block[leading].node, ast.Import | ast.ImportFrom):
        add_import(imports, block[leading].node, set(block[leading].binds))
        leading += 1
    rest = own if not leading else "\n".join(own.splitlines()[block[leading - 1].node.end_lineno or 0 :]).strip("\n")
    return spaced([written(imports), *lines, *(before[n].source for n in sorted(chosen)), rest])


def is_shared(node: ast.stmt) -> bool:
    """Whether a statement imports one of the guide's own modules, whose code a reader gets instead."""
    return isinstance(node, ast.ImportFrom) and (node.module or "").startswith("snippets.")


def section_lines(text: str) -> Iterator[range]:
    """The numbers of the lines of each section that ends in a text."""
    begun: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if mark := SECTION.search(line):
            if mark[1] == "start":
                begun[mark[2]] = number
            elif mark[2] in begun:
                yield range(begun.pop(mark[2]), number + 1)


def spaced(parts: list[str]) -> str:
    """Pieces of code below each other: imports and what a page includes apart, two empty lines around what is defined."""
    parts = [part for part in parts if part]
    text = parts[0]
    for number, part in enumerate(parts[1:], 1):
        defined = any(re.match(r"def |class |@", one) for one in (part, parts[number - 1]))
        apart = number == len(parts) - 1 or bool(re.match(r"from |import ", parts[number - 1]))
        text += ("\n\n\n" if defined else "\n\n" if apart else "\n") + part
    return text


@lru_cache(maxsize=512)
def statements(text: str) -> list[Statement]:
    """The statements of a module; of a ``with`` that only measures time, those within it. An unfinished last one is left out,
    since a section may begin within it."""
    lines = text.splitlines()
    while True:
        try:
            tree = ast.parse("\n".join(lines))
            break
        except SyntaxError:
            lines.pop()
    return [statement(node, lines) for node in flat(tree.body)]


def flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements, with those inside a ``with stopwatch()`` as if it were not there."""
    for node in body:
        if isinstance(node, ast.With) and "stopwatch" in ast.unparse(node.items[0]):
            yield from flat(node.body)
        else:
            yield node


def statement(node: ast.stmt, lines: list[str]) -> Statement:
    """What a statement of a text, which is given by its lines, needs and binds."""
    own = lines[node.lineno - 1 : node.end_lineno]
    own[-1] = own[-1].encode()[: node.end_col_offset].decode()  # without a comment behind it; Python counts bytes
    source = "\n".join(line[node.col_offset :] for line in own)
    if decorators := getattr(node, "decorator_list", None):
        source = "\n".join([*(f"@{ast.unparse(one)}" for one in decorators), source])
    bound = {one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            bound = {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            bound = {(alias.asname or alias.name).partition(".")[0] for alias in names}
    return Statement(node, source, frozenset(unbound(node)), frozenset(bound))


def unbound(node: ast.AST) -> set[str]:
    """The names that a statement reads and does not bind itself, builtins left out."""
    inner = [one for one in ast.walk(node) if isinstance(one, ast.Name)]
    # ``model = wrapped(model)`` needs a model; a comprehension in it needs no name of its own
    assigned = node.value if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) else None
    within = ast.walk(assigned or node)
    stored = {one.id for one in within if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}
    arguments = {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
    imported = {(alias.asname or alias.name).partition(".")[0] for one in ast.walk(node)
                if isinstance(one, ast.Import | ast.ImportFrom) for alias in one.names}  # fmt: skip
    defined = {one.name for one in ast.walk(node) if isinstance(one, ast.FunctionDef | ast.ClassDef)}
    caught = {one.name for one in ast.walk(node) if isinstance(one, ast.ExceptHandler) and one.name}
    known = stored | arguments | imported | defined | caught | set(dir(builtins))
    return {one.id for one in inner if isinstance(one.ctx, ast.Load)} - known


def free(block: list[Statement]) -> set[str]:
    """The names that statements, one after the other, need from before them."""
    bound: set[str] = set()
    found: set[str] = set()
    for one in block:
        found |= one.needs - bound
        bound |= one.binds
    return found


def add_import(imports: dict[str, set[str]], node: ast.stmt, names: set[str]) -> None:
    """Add those names of an import statement; a plain import is kept as a key without names."""
    match node:
        case ast.Import(names=aliases):
            for alias in aliases:
                if (alias.asname or alias.name).partition(".")[0] in names:
                    imports.setdefault(f"import {alias.name}" + (f" as {alias.asname}" if alias.asname else ""), set())
        case ast.ImportFrom(module=module, names=aliases):
            for alias in aliases:
                if (alias.asname or alias.name) in names:
                    own = alias.name + (f" as {alias.asname}" if alias.asname else "")
                    imports.setdefault(f"from {module}", set()).add(own)


def written(imports: dict[str, set[str]]) -> str:
    """Import statements, the standard library's first."""

    def module(key: str) -> str:
        return key.split()[1].partition(".")[0]

    groups = [[key for key in imports if (module(key) in sys.stdlib_module_names) is standard] for standard in (True, False)]
    lines = []
    for group in groups:
        ordered = sorted(group, key=lambda key: (key.startswith("from"), key))
        lines.append("\n".join(f"{key} import {', '.join(sorted(imports[key]))}" if imports[key] else key for key in ordered))
    return "\n\n".join(line for line in lines if line)
