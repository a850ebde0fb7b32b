"""What must hold of what a script measures, seen by reading it: every layer, enough text, two models, the head's hardware.

A measure of one layer, of two windows or of bf16 beside itself prints a table like any other, and its checks hold.
"""

import ast
import math
import re
from collections.abc import Iterator
from itertools import pairwise

from guide.notebooks.code import Code, argument, made, numbers, prose, values, with_loops
from guide.notebooks.complete import unbound
from guide.notebooks.script import Script

WINDOWS = 64  # of evaluation text, on which standard errors are small enough to tell variants apart
# Nats by which weights of so many bits may raise the loss: several times what a working method shows on the stand-in, and far
# less than broken weights do. Fewer than 2 bits may what 2 bits may.
LOSSES = {8: 0.2, 4: 1.0, 3: 1.5, 2: 3.0}
MODELS = {"quality": 0, "speed": 0, "weigh": 2}  # at which place each takes the quantized model, before the baseline
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
LESS = {"filter": 1, "islice": 0, "itertools.islice": 0}  # at which place what leaves some out takes what it takes them from
EQUAL = ("equal", "allclose", "isclose", "array_equal", "assert_close")  # how functions that compare two things end
NEEDED = re.compile(r"needs an? [\w ]*GPU of compute capability (\d+\.\d+)")


def faults(script: Script, code: list[Code]) -> Iterator[str]:
    """What is wrong with a script's measures, a sentence each that goes on after its path."""
    assigned = values(code)
    for cell in code:
        yield from _layers(cell, _all_layers(assigned))
        yield from _models(cell, assigned)
        yield from _itself(cell)
        yield from _known(cell, made(code))
        yield from _windows(cell, assigned, prose(script))
    yield from _losses(code)
    yield from _hardware(script, code)


def _all_layers(assigned: dict[str, ast.expr]) -> set[str]:
    """Names that stand for every linear layer of the decoder: ``decoder_linears`` gave them, or one for each of those."""
    found: set[str] = set()
    for name, value in assigned.items():
        nodes = list(ast.walk(value))
        each = [node.generators[0].iter for node in nodes if isinstance(node, COMPREHENSIONS)]
        called = any(isinstance(node, ast.Call) and ast.unparse(node.func) == "decoder_linears" for node in nodes)
        if called or any(isinstance(one, ast.Name) and one.id in found for one in each):
            found.add(name)
    return found


def _layers(cell: Code, names: set[str]) -> Iterator[str]:
    """Where some of the layers are left out: of what is measured, or of what a check looks at. A print may show a few."""
    printed = {node for call in cell.calls("print") for node in ast.walk(call)}
    for node in (one for one in ast.walk(cell.tree) if one not in printed):
        left: ast.expr | None = None
        match node:
            case ast.Subscript(value=ast.Call(func=ast.Name(id="decoder_linears"))):
                left = node
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Slice()) if name in names:
                left = node
            case ast.Call(func=function, args=[_, *_]) if ast.unparse(function) in LESS:
                taken = argument(node, LESS[ast.unparse(function)], "iterable")
                left = node if taken is not None and _is_all(taken, names) else None
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                short = any(one.ifs and _is_all(one.iter, names) for one in node.generators)
                left = node if short else None
        if left is not None:
            yield f"{cell.at(left.lineno)}: '{ast.unparse(left)}' leaves layers out of what is measured: take them all."


def _is_all(node: ast.expr, names: set[str]) -> bool:
    return ast.unparse(node) in names or ast.unparse(node).startswith("decoder_linears(")


def _models(cell: Code, assigned: dict[str, ast.expr]) -> Iterator[str]:
    """Comparisons of a model with itself, or of bf16 with the variant."""
    for call in cell.calls(*MODELS):
        place = MODELS[ast.unparse(call.func)]
        given = argument(call, place, "model"), argument(call, place + 1, "baseline")
        if None in given or any(isinstance(one, ast.Call) for one in given):
            continue  # what stands for a model, made on the spot
        model, baseline = (_meant(one, assigned) for one in given if one is not None)
        if model == baseline or "base" in model or "base" not in baseline:
            yield (f"{cell.at(call.lineno)}: '{ast.unparse(call)}' compares {model} with {baseline}: give the quantized "
                   "model, then the baseline.")  # fmt: skip


def _meant(node: ast.expr, assigned: dict[str, ast.expr]) -> str:
    """What an expression is another name of, or its own text."""
    other = assigned.get(ast.unparse(node))
    return ast.unparse(other if isinstance(other, ast.Name) else node)


def _itself(cell: Code) -> Iterator[str]:
    """Comparisons whose sides are one and the same, and a reload that is said to be equal and was not compared."""
    for node in ast.walk(cell.tree):
        sides: list[ast.expr] = []
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
            case ast.BinOp(op=ast.Sub() | ast.Div()):
                sides = [node.left, node.right]
            case ast.Call(func=function, args=[first, second, *_]) if ast.unparse(function).rpartition(".")[2] in EQUAL:
                sides = [first, second]
            case ast.Dict():
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "reload_equal" and ast.unparse(value) == "True":
                        yield f"{cell.at(value.lineno)}: 'reload_equal' is typed: compare what was reloaded."
        texts = [ast.unparse(side) for side in sides]
        if isinstance(node, ast.expr) and any(one == other for one, other in pairwise(texts)):
            yield f"{cell.at(node.lineno)}: '{ast.unparse(node)}' compares a thing with itself, which says nothing."


def _known(cell: Code, bound: set[str]) -> Iterator[str]:
    """Faults that are said to happen whatever the cell does."""
    for call in cell.calls("known_fault"):
        happened = argument(call, 0, "happened")
        if happened is not None and not unbound(happened) & bound:
            yield (f"{cell.at(call.lineno)}: '{ast.unparse(call)}' says nothing of what the notebook made: give it what shows "
                   "that the fault happened.")  # fmt: skip


def _windows(cell: Code, assigned: dict[str, ast.expr], texts: list[str]) -> Iterator[str]:
    """Measures on less text than others, of which the prose does not say so."""
    measured = [(call, argument(call, 2, "windows")) for call in cell.calls("quality")]
    for call, taken in [*measured, *((call, call) for call in cell.calls("evaluation_windows"))]:
        count = _count(taken, assigned) if taken is not None else None
        if count is not None and count < WINDOWS and not any(re.search(rf"\b{count} windows\b", text) for text in texts):
            yield (f"{cell.at(call.lineno)}: '{ast.unparse(call)}' measures on {count} windows of text: take {WINDOWS}, or "
                   f"say in its Markdown why '{count} windows' are enough.")  # fmt: skip


def _count(node: ast.expr, assigned: dict[str, ast.expr]) -> int | None:
    """How many windows of text an expression holds; None where that is not written."""
    match node:
        case ast.Name(id=name) if name in assigned:
            others = {other: value for other, value in assigned.items() if other != name}  # windows = windows[:64]
            return _count(assigned[name], others)
        case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper)):
            count = _count(value, assigned)
            ends = [None if end is None else _number(end, assigned) for end in (lower, upper)]
            return None if count is None else len(range(count)[slice(*ends)])
        case ast.Call(func=ast.Name(id="evaluation_windows")):
            count_given = argument(node, 1, "count")
            return WINDOWS if count_given is None else _number(count_given, assigned)
        case ast.Call(func=ast.Attribute(value=value)):  # windows.to(device)
            return _count(value, assigned)
    return None


def _number(node: ast.expr, assigned: dict[str, ast.expr]) -> int | None:
    """The whole number that an expression is, or that its name stands for; None where it is not written."""
    try:
        found = ast.literal_eval(assigned.get(ast.unparse(node), node))
    except ValueError:
        return None
    return found if isinstance(found, int) else None


def _losses(code: list[Code]) -> Iterator[str]:
    """Bounds of the loss that let broken weights pass: of all rows together, since an assertion may be about several."""
    weighed = [(argument(node, 1, "bits"), where) for cell in code for node, where in with_loops(cell.tree)
               if isinstance(node, ast.Call) and ast.unparse(node.func) == "weigh"]  # fmt: skip
    bits = [number for one, where in weighed if one is not None for number in numbers(one, where)]
    bounds = [(cell, node, value) for cell in code for one in cell.asserts() for node in ast.walk(one)
              if isinstance(node, ast.Compare) and (value := _most(node)) is not None]  # fmt: skip
    if not bits or not bounds:
        return
    fewest, most = _allowed(min(bits)), _allowed(max(bits))
    for cell, node, value in bounds:
        if value > fewest:
            yield (f"{cell.at(node.lineno)}: '{ast.unparse(node)}' lets the loss of {min(bits):g} bits rise by {value:g} "
                   f"nats, as broken weights do: bound it by at most {fewest:g}.")  # fmt: skip
    cell, node, value = min(bounds, key=lambda bound: bound[2])
    if most < value <= fewest:
        yield (f"{cell.at(node.lineno)}: no check bounds the loss of {max(bits):g} bits by at most {most:g} nats; the closest "
               f"is '{ast.unparse(node)}'.")  # fmt: skip


def _allowed(bits: float) -> float:
    """The most that a check may let weights of so many bits raise the loss, in nats a token."""
    return min((loss for width, loss in LOSSES.items() if width <= bits), default=max(LOSSES.values()))


def _most(node: ast.Compare) -> float | None:
    """The number below which a comparison keeps a loss; None where it is about something else."""
    sides = [node.left, *node.comparators]
    for left, sign, right in zip(sides, node.ops, sides[1:], strict=False):
        loss, most = (left, right) if isinstance(sign, ast.Lt | ast.LtE) else (right, left)
        if not isinstance(sign, ast.Eq | ast.NotEq) and "loss_difference" in ast.unparse(loss):
            try:
                value = ast.literal_eval(most)
            except ValueError:
                continue
            return float(value) if isinstance(value, int | float) else math.inf
    return None


def _hardware(script: Script, code: list[Code]) -> Iterator[str]:
    """Hardware of which head, code and prose say different things."""
    needs = script.head.guide.needs
    for cell in code:
        for call in cell.calls("show_environment"):
            given = next((one.value for one in call.keywords if one.arg == "needs"), ast.Constant("cpu"))
            if not isinstance(given, ast.Constant) or given.value != needs:
                yield (f"{cell.at(call.lineno)}: show_environment asks for {ast.unparse(given)}, but the head's 'needs' is "
                       f"'{needs}': write the same.")  # fmt: skip
    for text in prose(script):
        for capability in NEEDED.findall(" ".join(text.split())):
            if needs != f"cuda>={capability}":
                yield (f": its Markdown says that it needs compute capability {capability}, but the head's 'needs' is "
                       f"'{needs}': write the same.")  # fmt: skip
