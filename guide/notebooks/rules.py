"""What must hold of every script, seen by reading it: what no machine here can run is at least read.

A check asserts something of what the notebook made; a model that is weighed as quantized is quantized; a ratio is bounded by
what its bits allow; a section holds code; a pin of Transformers is the guide's, or its head says why not. What it
measures, and on which hardware, is read in ``measured``.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from guide.notebooks import measured
from guide.notebooks.code import Code, code_cells, made, numbers, prose, with_loops
from guide.notebooks.complete import SECTION, flat, statements, unbound
from guide.notebooks.script import Script
from guide.project import GuideError

WIDTH = 16  # bits of a weight of the model that others are compared with
LEAST = 0.4  # share of 16 / bits that a lower bound must reach: scales, zero points and padding take no more
EXPLAINED = re.compile(r'^# +"transformers==[^"]+",? +# \w', re.MULTILINE)  # what the pinned libraries themselves ask for
PAGES_ALONE = re.compile(r"^[ ]*(?:!!!|\?\?\?\+?|===) .*|^--8<--.*|<!-- guide: .*|\{ *[#.:][\w-]+.*\}", re.MULTILINE)
MARKUP = re.compile(r"<(?!https?:)[a-zA-Z!/?][^>\n]*>?|\]\(\s*(?:javascript|data|vbscript):[^)\s]*", re.IGNORECASE)
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.DOTALL | re.MULTILINE)
RATIOS = ("ratio", "linear_ratio")
SIGNS: dict[type[ast.cmpop], str] = {ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!="}
FLIPPED = SIGNS | {ast.Gt: "<", ast.GtE: "<=", ast.Lt: ">", ast.LtE: ">="}


def faults(script: Script, transformers: str) -> list[str]:
    """What is wrong with a script, a sentence each; ``transformers`` is the release that the guide describes."""
    try:
        code = code_cells(script)
        found = [*_pins(script, transformers), *_prose(script), *_sections(script), *_checks(script, code), *_weighed(code),
                 *_bounds(code), *measured.faults(script, code)]  # fmt: skip
    except GuideError as error:
        return [str(error)]
    return [f"{script.path}{sentence}" for sentence in found]


def _pins(script: Script, transformers: str) -> Iterator[str]:
    """A pin of another Transformers than the pages describe, of which the head does not say why."""
    pin, why = script.pins.get("transformers"), script.head.guide.held.get("transformers")
    if pin not in (None, transformers) and not why and not EXPLAINED.search(script.text):
        yield (f": it pins transformers {pin}, but the guide describes {transformers}. Pin that, or say why, in a comment "
               "behind it or under 'held'.")  # fmt: skip
    if pin == transformers and why:
        yield f": 'held' says why transformers is held back, but its pin is the guide's {transformers}. Take it out."


def _prose(script: Script) -> Iterator[str]:
    """Markdown that only the site's pages have, and titles other than the first."""
    texts = prose(script)
    for sign in (found for text in texts for found in PAGES_ALONE.findall(text)):
        yield f": '{sign.strip()}' in its Markdown is shown as it is written, in a notebook and in Colab."
    for markup in (found[0] for text in texts for found in MARKUP.finditer(CODE.sub("", text))):
        yield f": '{markup.strip()}' in its Markdown is HTML, or a link that runs: write Markdown, which is all that is shown."
    titles = [title for text in texts for title in re.findall(r"^# .*", text, re.MULTILINE)]
    if len(titles) != 1:
        yield f": it has {len(titles)} titles ('# ...'); give it one."


def _sections(script: Script) -> Iterator[str]:
    """Sections without code."""
    for name in dict.fromkeys(SECTION.findall(script.body)):
        code = [one.node for one in statements(script.section(name[1]))]
        if all(isinstance(node, ast.Pass) or _is_constant(node) for node in code):
            yield f": the section '{name[1]}' holds no code."


def _is_constant(node: ast.stmt) -> bool:
    """A text or an ellipsis that stands where a statement would."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _checks(script: Script, code: list[Code]) -> Iterator[str]:
    """Checks that assert nothing, or nothing of what the notebook made."""
    table = script.head.guide
    if not table.only_faults and not any(cell.check for cell in code):
        yield ": no cell is tagged 'check'."
    bound = made(code)
    for cell in (cell for cell in code if cell.check):
        found = list(cell.asserts())
        swallowed = {one for node in ast.walk(cell.tree) if isinstance(node, ast.Try) for one in ast.walk(node)}
        if not found:
            yield f"{cell.at(1)}: the check asserts nothing."
        for one in found:
            text = ast.unparse(one)
            if isinstance(one.test, ast.Tuple) or not unbound(one.test) & bound:
                yield f"{cell.at(one.lineno)}: '{text}' says nothing of what the notebook made."
            if one in swallowed:
                yield f"{cell.at(one.lineno)}: '{text}' stands in a 'try', which may swallow it."
        weighed = any(_is_weigh(node) for node in ast.walk(cell.tree))
        if found and weighed and all(any(ratio in ast.unparse(one) for ratio in RATIOS) for one in found):
            yield f"{cell.at(1)}: the check bounds a size, but asserts nothing of the layers: of their class, or of a dtype."


def _is_weigh(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether a node is ``weigh(label, bits, model, baseline, ...)`` of snippets/shared/measure.py."""
    return isinstance(node, ast.Call) and ast.unparse(node.func) == "weigh" and len(node.args) > 2


def _weighed(code: list[Code]) -> Iterator[str]:
    """Models that are weighed as quantized and are loaded without a quantization, or unpacked."""
    table = [(cell, node) for cell in code for node in flat(cell.tree.body)]
    public = set(code[0].script.head.guide.models) if code else set()
    values = {ast.unparse(node.targets[0]): node.value for _, node in table if isinstance(node, ast.Assign)}
    for place, (_, node) in enumerate(table):
        for call in (one for one in ast.walk(node) if _is_weigh(one)):
            name = ast.unparse(call.args[2])
            made = next((n for n in reversed(range(place)) if _assigns(table[n][1], name)), None)
            if made is None:
                continue
            cell, loading = table[made]
            between = {one.id for _, other in table[made + 1 : place] for one in ast.walk(other) if isinstance(one, ast.Name)}
            given = _given(loading, values)
            rows = [ast.unparse(target) for target in node.targets] if isinstance(node, ast.Assign) else []
            unpacked = any(one.values == [1.0] for other in code for one in _of_rows(other, rows, {}))  # and is said to be
            if "dequantize=True" in given and not unpacked:
                yield f"{cell.at(loading.lineno)}: '{name}' is weighed as quantized, but is loaded with dequantize=True."
            loaded = _loaded(loading, values)
            if loaded in public and not any(one.startswith("quantization_config=") for one in given) and name not in between:
                yield (f"{cell.at(loading.lineno)}: '{name}' is weighed as quantized, but {loaded} is loaded without a "
                       "quantization_config.")  # fmt: skip


def _assigns(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Assign) and any(ast.unparse(target) == name for target in node.targets)


def _loaded(node: ast.stmt, values: dict[str, ast.expr]) -> str | None:
    """What a statement ``x = ....from_pretrained(what, ...)`` loads, where that is a text."""
    value = node.value if isinstance(node, ast.Assign) else None
    if not isinstance(value, ast.Call) or not ast.unparse(value.func).endswith(".from_pretrained") or not value.args:
        return None
    what = values.get(ast.unparse(value.args[0]), value.args[0])
    return what.value if isinstance(what, ast.Constant) and isinstance(what.value, str) else None


def _given(node: ast.stmt, values: dict[str, ast.expr]) -> list[str]:
    """The keywords of all calls of a statement, as ``name=value``, and those of the values that it names."""
    named = [values[one.id] for one in ast.walk(node) if isinstance(one, ast.Name) and one.id in values]
    calls = [call for tree in (node, *named) for call in ast.walk(tree) if isinstance(call, ast.Call)]
    given = [f"{one.arg}={ast.unparse(one.value)}" for call in calls for one in call.keywords]
    return [one for one in given if one != "quantization_config=None"]


@dataclass(frozen=True)
class _Bound:
    """What an assertion sets beside a row's ratio."""

    place: str  # of the assertion
    sign: str  # of "ratio SIGN value"
    values: list[float]  # empty where it is no number that is written there


def _bounds(code: list[Code]) -> Iterator[str]:
    """Ratios that are no bf16 bytes over the variant's, and bounds of them that the bits of a weight do not allow."""
    for cell in code:
        for node, where in with_loops(cell.tree):
            if isinstance(node, ast.Assign) and any(map(_is_ratio, node.targets)) and not _is_over_baseline(node.value):
                yield f"{cell.at(node.lineno)}: '{ast.unparse(node)}': a ratio is the baseline's bytes over the variant's."
            if cell.check and isinstance(node, ast.Assign) and _is_weigh(node.value):
                rows = [ast.unparse(target) for target in node.targets]
                own = list(_of_rows(cell, rows, where))
                found = own or [bound for other in code if other.check for bound in _of_rows(other, rows, where)]
                for bits in numbers(node.value.args[1], where):
                    yield from _judged(bits, rows[-1], found)
                if not found and not any(tag.startswith("needs:") for tag in cell.tags):
                    yield f"{cell.at(node.lineno)}: no check bounds {rows[-1]}['linear_ratio']."


def _is_over_baseline(node: ast.expr) -> bool:
    """Whether an expression divides something of the baseline by something that is not."""
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Div):
        return False
    return "base" in ast.unparse(node.left) and "base" not in ast.unparse(node.right)


def _judged(bits: float, row: str, found: list[_Bound]) -> Iterator[str]:
    """What is wrong with the bounds of one weighed row."""
    most = WIDTH / bits
    low = [one for one in found if one.sign in (">", ">=")]
    for one in found:
        for value in one.values:
            said = f"{one.place}: {row}['linear_ratio'] {one.sign} {value:g}"
            allowed = f"{bits:g} bits give at most {WIDTH} / {bits:g} = {most:.2f}"
            if one in low and not LEAST * most <= value < most:
                yield f"{said}: {allowed}; bound it from {LEAST * most:.2f} to that."
            elif one.sign in ("<", "<=") and value > most:
                yield f"{said}: {allowed}, so this bounds nothing."
            elif one.sign in ("<", "<=") and value > 1 and not low:
                yield f"{said}: nothing bounds it from below."


def _is_ratio(node: ast.AST) -> bool:
    return isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value in RATIOS


def _of_rows(cell: Code, rows: list[str], where: dict[str, float]) -> Iterator[_Bound]:
    """What a check sets beside the ratio of a row, whichever of its names it takes."""
    for node in (one for check in cell.asserts() for one in ast.walk(check) if isinstance(one, ast.Compare)):
        sides = [node.left, *node.comparators]
        for left, sign, right in zip(sides, node.ops, sides[1:], strict=False):
            for ratio, value, signs in ((left, right, SIGNS), (right, left, FLIPPED)):
                if isinstance(ratio, ast.Subscript) and _is_ratio(ratio) and ast.unparse(ratio.value) in rows:
                    yield _Bound(cell.at(node.lineno), signs[type(sign)], numbers(value, where))
