"""What changed in a library's Python between two releases, read from the syntax trees of both.

A changed comment, docstring, annotation or layout is no change.
"""

import ast
import difflib
import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property, lru_cache

WARNINGS = {"warn", "warn_once", "warning", "warning_once", "warning_advice", "error", "info", "info_once", "exception"}
HOLE = "{}"  # what a message has where a value goes
SHORT = 70  # signs of a value or a message that is shown whole
BEFORE = 30  # signs shown of what two messages have in common
ALIKE = 0.6  # of two messages, of which the one became the other


class Kind(StrEnum):
    """What happened; the order is that of a report."""

    LOST = "lost"
    ARGUMENT = "argument"
    DEFAULT = "default"
    VALUE = "value"
    MESSAGE = "message"
    NEW = "new"
    BODY = "body"


@dataclass(frozen=True)
class Change:
    """One thing that changed."""

    kind: Kind
    file: str  # as it is installed: package/module.py
    name: str  # Class.method, function or CONSTANT; empty for the file as a whole
    what: str  # a clause that goes on after the name
    arguments: tuple[str, ...] = ()  # it is about
    texts: tuple[str, ...] = ()  # messages that are no longer said
    says: tuple[str, ...] = ()  # new ones
    bases: tuple[str, ...] = ()  # of the class that it is, or is in
    by: str = ""  # the decorator that still takes a lost argument

    @property
    def owner(self) -> str:
        """The class or function whose signature it is in: of ``Class.__init__`` the class."""
        return self.name.removesuffix(".__init__")


@dataclass
class _Thing:
    """A class, a function or a constant of a file, looked into where its text differs from the other release's."""

    kind: str
    bases: tuple[str, ...] = ()
    texts: list[str] = field(default_factory=list)  # as it is written
    nodes: list[ast.stmt] = field(default_factory=list)  # where it is defined: more than one behind an ``if``

    @cached_property
    def arguments(self) -> dict[str, str]:
        """Arguments of a function or fields of a class, with their defaults; "" where there is none."""
        found: dict[str, str] = {}
        for node in self.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found |= _arguments(node.args)
            elif isinstance(node, ast.ClassDef):
                fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
                found |= {ast.unparse(item.target): _default(item.value) for item in fields}
        return found

    @cached_property
    def decorators(self) -> list[str]:
        """Of a function or class, as they are written."""
        return [ast.unparse(one) for node in self.nodes for one in getattr(node, "decorator_list", [])]

    @cached_property
    def messages(self) -> dict[str, None]:
        """What a function raises, warns of or logs."""
        functions = [node for node in self.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        return dict.fromkeys(text for node in functions for text in _messages(node))

    @cached_property
    def body(self) -> list[str]:
        """Its code alone; of a class its bases and decorators, for its functions stand for themselves."""
        found: list[str] = []
        _ = self.arguments, self.messages  # read before the trees lose what is no code
        for node in self.nodes:
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    found += [ast.unparse(one) for part in (*node.decorator_list, *node.body) if (one := _Bare().visit(part))]
                case ast.ClassDef():
                    found += map(ast.unparse, (*node.bases, *node.decorator_list))
                case ast.Assign() | ast.AnnAssign() if node.value:
                    found.append(ast.unparse(node.value))
        return found


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[Change]:
    """Every change between two sets of files, {path: text}; what only moved to another file is named as moved."""
    found: list[Change] = []
    lost: dict[str, list[str]] = {}  # by name at a file's top, the files that lost it
    come: dict[str, list[str]] = {}
    collecting = gc.isenabled()
    gc.disable()  # no tree is garbage before its file is done, and looking for some takes most of the time
    try:
        for path in (path for path in sorted({*before, *after}) if before.get(path) != after.get(path)):
            old, new = _things(before.get(path, "")), _things(after.get(path, ""))
            if path not in after:
                found.append(Change(Kind.LOST, path, "", "the file is gone"))
            elif path not in before:
                found.append(Change(Kind.NEW, path, "", "the file is new"))
            found += _compared(path, old, new)
            for names, ones, others in ((lost, old, new), (come, new, old)):
                for name in (name for name, one in ones.items() if one.kind != "value" and "." not in name):
                    if name not in others:
                        names.setdefault(name, []).append(path)
        moves = {(files[0], name): come[name][0] for name, files in lost.items() if len(files) == len(come.get(name, ())) == 1}
        arrived = {(target, name) for (_, name), target in moves.items()}
        found = [one for one in found if (one.file, _top(one.name)) not in {*moves, *arrived}]
        named = {one.file for one in found if one.name}
        emptied = {path for path, _ in (*moves, *arrived)} - named  # a file that only moved is neither gone nor new
        found = [one for one in found if one.name or one.file not in emptied]
        for (path, name), target in moves.items():
            found.append(Change(Kind.LOST, path, name, f"moved to {target}"))
            found += _compared(target, _below(_things(before[path]), name), _below(_things(after[target]), name))
    finally:
        if collecting:
            gc.enable()
    said = {text for one in found for text in one.says}
    return [replace(one, texts=tuple(text for text in one.texts if text not in said)) if one.texts else one for one in found]


def _compared(path: str, old: Mapping[str, _Thing], new: Mapping[str, _Thing]) -> Iterator[Change]:
    for name, thing in old.items():
        if name not in new:
            if name.rpartition(".")[0] not in old or name.rpartition(".")[0] in new:  # else it went with its class
                yield Change(Kind.LOST, path, name, "is gone", texts=_messages_below(name, old), bases=thing.bases)
        else:
            yield from _within(path, name, thing, new[name])
    for name, thing in new.items():
        if name not in old and (name.rpartition(".")[0] not in new or name.rpartition(".")[0] in old):
            yield Change(Kind.NEW, path, name, "is new", says=_messages_below(name, new), bases=thing.bases)


def _messages_below(name: str, things: Mapping[str, _Thing]) -> tuple[str, ...]:
    """What a function says, or the functions of a class."""
    below = [thing for other, thing in things.items() if other == name or other.startswith(f"{name}.")]
    return tuple(text for thing in below for text in thing.messages)


def _within(path: str, name: str, old: _Thing, new: _Thing) -> Iterator[Change]:
    """What changed in a thing that both releases have."""
    if old.texts == new.texts:
        return
    if old.kind == "value" == new.kind:
        if old.body != new.body:
            yield Change(Kind.VALUE, path, name, _value_change(old.body[-1], new.body[-1]))
        return
    for argument, default in old.arguments.items():
        if argument not in new.arguments:
            by = next((one for one in new.decorators if repr(argument) in one), "")
            text = f"no longer takes `{argument}`{f', but for `{by}`' if by else ''}"
            yield Change(Kind.ARGUMENT, path, name, text, (argument,), bases=new.bases, by=by)
        elif new.arguments[argument] != default:
            text = f"`{argument}` was {_shown(default)}, is {_shown(new.arguments[argument])}"
            yield Change(Kind.DEFAULT, path, name, text, (argument,), bases=new.bases)
    for argument in new.arguments.keys() - old.arguments.keys():
        default = new.arguments[argument]
        text = f"takes `{argument}`, new, {_shown(default)}"
        yield Change(Kind.NEW if default or argument.startswith("*") else Kind.ARGUMENT, path, name, text, (argument,),
                     bases=new.bases)  # fmt: skip
    yield from _message_changes(path, name, old, new)
    if old.body != new.body:
        yield Change(Kind.BODY, path, name, "its code changed", bases=new.bases)


def _message_changes(path: str, name: str, old: _Thing, new: _Thing) -> Iterator[Change]:
    gone = [text for text in old.messages if text not in new.messages]
    come = [text for text in new.messages if text not in old.messages]
    for text in gone:
        near = difflib.get_close_matches(text, come, 1, ALIKE)
        if near:
            come.remove(near[0])
            yield Change(Kind.MESSAGE, path, name, _said(text, near[0]), (), (text,), (near[0],), new.bases)
        else:
            yield Change(Kind.MESSAGE, path, name, f"no longer says {_quoted(text)}", (), (text,), bases=new.bases)
    for text in come:
        yield Change(Kind.MESSAGE, path, name, f"says {_quoted(text)}, new", says=(text,), bases=new.bases)


def _top(name: str) -> str:
    return name.partition(".")[0]


def _below(things: Mapping[str, _Thing], top: str) -> dict[str, _Thing]:
    return {name: thing for name, thing in things.items() if _top(name) == top}


def _things(text: str) -> dict[str, _Thing]:
    """What a file defines, by dotted name; nothing where it is no Python of this version."""
    found: dict[str, _Thing] = {}
    try:
        _collect(ast.parse(text).body, "", (), text.splitlines(), found)
    except (SyntaxError, ValueError):
        return {}
    return found


def _collect(
    body: Iterable[ast.stmt], prefix: str, bases: tuple[str, ...], lines: Sequence[str], found: dict[str, _Thing]
) -> None:
    """What stands at one level, through ``if``, ``try`` and ``with``; a name defined twice holds both."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                _add(f"{prefix}{node.name}", _Thing("function", bases), node, lines, found)
            case ast.ClassDef():
                own = (node.name, *map(ast.unparse, node.bases))
                _add(f"{prefix}{node.name}", _Thing("class", own), node, lines, found)
                rest = [item for item in node.body if not isinstance(item, ast.AnnAssign)]
                _collect(rest, f"{prefix}{node.name}.", own, lines, found)
            case ast.Assign() | ast.AnnAssign() if node.value:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for name in (one.id for one in targets if isinstance(one, ast.Name) and one.id != "__all__"):
                    _add(f"{prefix}{name}", _Thing("value"), node, lines, found)
            case ast.If() | ast.Try() | ast.With():
                parts = [one for part in ("body", "handlers", "orelse", "finalbody") for one in getattr(node, part, [])]
                for one in parts:
                    _collect(one.body if isinstance(one, ast.ExceptHandler) else [one], prefix, bases, lines, found)


def _add(name: str, thing: _Thing, node: ast.stmt, lines: Sequence[str], found: dict[str, _Thing]) -> None:
    first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
    known = found.setdefault(name, thing)
    known.nodes.append(node)
    known.texts.append("\n".join(lines[first - 1 : node.end_lineno]))


def _arguments(given: ast.arguments) -> dict[str, str]:
    """A function's arguments with their defaults; ``*args`` and ``**kwargs`` with their stars."""
    plain = [*given.posonlyargs, *given.args]
    defaults = [*[None] * (len(plain) - len(given.defaults)), *given.defaults]
    found = {
        one.arg: _default(default) for one, default in zip(plain, defaults, strict=True) if one.arg not in ("self", "cls")
    }
    found |= {one.arg: _default(default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)}
    found |= {f"*{given.vararg.arg}": ""} if given.vararg else {}
    return found | ({f"**{given.kwarg.arg}": ""} if given.kwarg else {})


def _default(node: ast.expr | None) -> str:
    """A default as it is written; of a dataclass's ``field`` that alone, without its help."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2].lower() == "field":
        given = [one.value for one in node.keywords if one.arg in ("default", "default_factory")] or node.args
        return ast.unparse(given[0]) if given else ""
    return ast.unparse(node) if node else ""


def _shown(default: str) -> str:
    return f"`{_short(default)}`" if default else "without a default"


class _Bare(ast.NodeTransformer):
    """Takes away what is no code: docstrings, annotations, and the texts of messages, which are compared by themselves."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        return ast.Assign([node.target], node.value, lineno=node.lineno) if node.value else ast.Pass()

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
        if isinstance(getattr(node, "body", None), list) and not node.body:  # type: ignore[attr-defined]
            node.body = [ast.Pass()]  # type: ignore[attr-defined]
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return _blanked(self.generic_visit(node))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        return _blanked(node) if _warns(node) else node


def _blanked(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.JoinedStr):
                setattr(node, name, ast.Constant(HOLE))
            elif isinstance(value, list):
                value[:] = [ast.Constant(HOLE) if isinstance(one, ast.JoinedStr) else one for one in value]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = HOLE
    return tree


def _warns(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WARNINGS


def _messages(function: ast.AST) -> Iterator[str]:
    """The texts that a function raises, warns of or logs, a hole for each value; also where a variable holds the text."""
    nodes = list(ast.walk(function))
    held = {target.id: node.value for node in nodes if isinstance(node, ast.Assign)
            for target in node.targets if isinstance(target, ast.Name)}  # fmt: skip
    for node in nodes:
        given = node.exc if isinstance(node, ast.Raise) else node
        if isinstance(given, ast.Call) and (isinstance(node, ast.Raise) or _warns(node)):
            for argument in given.args[:2]:
                text = _text(held.get(argument.id, argument) if isinstance(argument, ast.Name) else argument)
                if " " in text:
                    yield text


@lru_cache(maxsize=64)
def messages_of(text: str) -> frozenset[str]:
    """All messages of a file."""
    return frozenset(message for thing in _things(text).values() for message in thing.messages)


def _text(node: ast.expr) -> str:
    """The text of an expression that makes one; empty where it makes none."""
    match node:
        case ast.Constant(value=str(text)):
            return " ".join(text.split())
        case ast.JoinedStr():
            parts = [str(one.value) if isinstance(one, ast.Constant) else HOLE for one in node.values]
            return " ".join("".join(parts).split())
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{_text(left)} {_text(right)}".strip()
        case ast.BinOp(left=left, op=ast.Mod()):
            return _text(left)
        case ast.Call(func=ast.Attribute(value=inner, attr="format")):
            return _text(inner)
    return ""


def _value_change(old: str, new: str) -> str:
    """How a constant changed: both values where they are short, else which texts and names in them came and went."""
    if max(len(old), len(new)) <= SHORT:
        return f"was `{old}`, is `{new}`"
    ones, others = (dict.fromkeys(_strings(text)) for text in (old, new))
    gone, come = [one for one in ones if one not in others], [one for one in others if one not in ones]
    parts = [f"{word} {', '.join(f'`{_short(one)}`' for one in found[:8])}{' and more' if len(found) > 8 else ''}"
             for word, found in (("has lost", gone), ("has got", come)) if found]  # fmt: skip
    return "; ".join(parts) or "changed"


def _strings(text: str) -> Iterator[str]:
    """Texts and names in an expression."""
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Constant(value=str(word)) | ast.Name(id=word) | ast.Attribute(attr=word):
                yield word


def _short(text: str) -> str:
    text = " ".join(text.split()).replace("`", "'")
    return text if len(text) <= SHORT else f"{text[:SHORT]}..."


def _said(old: str, new: str) -> str:
    """Both messages, from shortly before where they differ."""
    same = next((place for place, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), 0)
    start = old.rfind(" ", 0, same - BEFORE) + 1 if same > BEFORE else 0
    first, second = (_quoted("..." * bool(start) + text[start:]) for text in (old, new))
    return f"said {first}, says {second}"


def _quoted(text: str) -> str:
    return f'"{_short(text)}"'
