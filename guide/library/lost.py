"""What a script uses of a library, beside the Python of a release of it, which is read and not installed."""

import ast
from collections.abc import Mapping

from guide.guest.arguments import keywords
from guide.guest.registry import names_in
from guide.library.code import parsed, said_once


def missing_names(files: Mapping[str, str], path: str, text: str) -> list[str]:
    """What code imports that a library does not define, and the arguments it gives that the library's code does not take.

    ``files`` are the library's, {path as installed: text}.
    """
    tree, present = parsed(path, text), dict[str, set[str]]()  # what is imported, dotted, with its arguments
    tops = {name.split("/")[0].removesuffix(".py") for name in files}
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in tops:
            for alias in node.names:
                if fault := _missing(files, node.module, alias.name):
                    found.append((node.lineno, fault))
                else:
                    present[f"{node.module}.{alias.name}"] = _arguments(files, alias.name)
    for one in keywords(tree):
        known = present.get(one.called)
        if known and one.argument not in known:
            found.append((one.line, f"gives {one.written} the argument '{one.argument}', which it no longer has"))
    return list(said_once(path, found))


def _missing(files: Mapping[str, str], dotted: str, name: str) -> str | None:
    """What is wrong with ``from dotted import name``; a star import or a module's ``__getattr__`` may bring any name."""
    names = _names(files, dotted)
    if names is None:
        return f"imports {dotted}, which is gone"
    if not names & {name, "*", "__getattr__"} and _names(files, f"{dotted}.{name}") is None:
        return f"imports {name} from {dotted}, which no longer has it"
    return None


def _names(files: Mapping[str, str], dotted: str) -> set[str] | None:
    base = dotted.replace(".", "/")
    for path in (f"{base}.py", f"{base}/__init__.py"):
        if path in files:
            return set(names_in(ast.parse(files[path])))
    return None


def _arguments(files: Mapping[str, str], name: str) -> set[str]:
    """Arguments of a class or function, bases included; empty if they cannot be told (``**kwargs``, none found)."""
    for text in files.values():
        if name in text:
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                    return _arguments_of(files, node)
    return set()


def _arguments_of(files: Mapping[str, str], node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    if isinstance(node, ast.FunctionDef):
        named = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        return set() if node.args.kwarg else {argument.arg for argument in named}
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _arguments_of(files, item)
    annotated = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]  # of a dataclass
    fields = {target.id for target in annotated if isinstance(target, ast.Name)}
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id != node.name]
    return fields.union(*(_arguments(files, base) for base in bases))
