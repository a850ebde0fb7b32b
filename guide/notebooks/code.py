"""A script's cells of code, parsed, with what the rules of reading them ask for."""

import ast
from collections.abc import Iterator

from guide.notebooks.build import CHECK_TAG, tags
from guide.notebooks.complete import SECTION
from guide.notebooks.script import Script
from guide.project import GuideError


class Code:
    """A code cell, parsed; raises GuideError where it is no Python."""

    def __init__(self, script: Script, source: str, tags: list[str]):
        self.script, self.source, self.tags, self.check = script, source, tags, CHECK_TAG in tags
        try:
            self.tree = ast.parse(without_magics(source))
        except SyntaxError as error:
            raise GuideError(f"{script.path}{self.at(error.lineno or 1)}: is no Python: {error.msg}.") from error

    def at(self, line: int) -> str:
        """``:NUMBER`` of a line of the cell in the script, or nothing where it is not told."""
        own = [(number, text) for number, text in enumerate(self.script.text.splitlines(), 1) if not SECTION.search(text)]
        before, found, _ = "\n".join(text for _, text in own).partition(self.source)
        return f":{own[before.count(chr(10)) + line - 1][0]}" if found else ""

    def asserts(self) -> Iterator[ast.Assert]:
        """Its assertions."""
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Assert))

    def calls(self, *names: str) -> Iterator[ast.Call]:
        """Its calls of functions of these names."""
        found = (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))
        return (node for node in found if ast.unparse(node.func) in names)


def without_magics(source: str) -> str:
    """A cell's code with an empty line in place of each that is for the notebook alone, such as ``%pip``."""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def code_cells(script: Script) -> list[Code]:
    """The cells of code of a script; raises GuideError where one is no Python."""
    return [Code(script, cell.source, tags(cell)) for cell in script.cells() if cell.cell_type == "code"]


def prose(script: Script) -> list[str]:
    """The texts of a script's cells of Markdown."""
    return [cell.source for cell in script.cells() if cell.cell_type == "markdown"]


def values(code: list[Code]) -> dict[str, ast.expr]:
    """What each name is last assigned, one of a tuple too; what a loop or a function binds is not told."""
    found: dict[str, ast.expr] = {}
    for node in (one for cell in code for one in ast.walk(cell.tree) if isinstance(one, ast.Assign)):
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            found |= {ast.unparse(name): value for name, value in pairs}
    return found


def argument(call: ast.Call, place: int, name: str) -> ast.expr | None:
    """What a call gives for an argument, by place or by name; None where it leaves it out."""
    named = next((one.value for one in call.keywords if one.arg == name), None)
    return call.args[place] if place < len(call.args) else named


def made(code: list[Code]) -> set[str]:
    """The names that the cells bind."""
    names = (node for cell in code for node in ast.walk(cell.tree) if isinstance(node, ast.Name))
    return {node.id for node in names if isinstance(node.ctx, ast.Store)}


def with_loops(tree: ast.AST, where: dict[str, float] | None = None) -> Iterator[tuple[ast.AST, dict[str, float]]]:
    """Each node, with what the names of the loops around it stand for, once for each turn of a loop over written numbers."""
    where = where or {}
    for node in ast.iter_child_nodes(tree):
        yield node, where
        turns = [where]
        if isinstance(node, ast.For) and isinstance(node.target, ast.Tuple):
            names = [ast.unparse(name) for name in node.target.elts]
            try:
                turns = [where | dict(zip(names, values, strict=True)) for values in ast.literal_eval(node.iter)]
            except ValueError:
                pass
        for turn in turns:
            yield from with_loops(node, turn)


def numbers(node: ast.expr, where: dict[str, float]) -> list[float]:
    """The numbers that an expression may stand for: one, the two of a condition, or none where it is not written."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return [float(value)]
        case ast.Name(id=name) if name in where:
            return [float(where[name])]
        case ast.IfExp(body=one, orelse=other):
            return numbers(one, where) + numbers(other, where)
    return []


def label(node: ast.expr, where: dict[str, float]) -> str:
    """The text that an expression is, with what its names stand for written in; as it is written where it is none."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(label(part, where) for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name)) if name in where:
            return f"{where[name]:g}"
    return ast.unparse(node)
