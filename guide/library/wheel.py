"""What a script uses of a library, beside a wheel of that library, which is read and not installed."""

import ast
import zipfile

from guide.guest.arguments import keywords
from guide.guest.registry import names_in
from guide.library.check import parsed, said_once


def missing_names(archive: zipfile.ZipFile, path: str, text: str) -> list[str]:
    """What code imports that the wheel does not define, and the arguments it gives that the wheel's code does not take."""
    tree, present = parsed(path, text), dict[str, set[str]]()  # what is imported, dotted, with its arguments
    tops = {name.split("/")[0].removesuffix(".py") for name in archive.namelist() if ".dist-info/" not in name}
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in tops:
            for alias in node.names:
                if fault := _missing(archive, node.module, alias.name):
                    found.append((node.lineno, fault))
                else:
                    present[f"{node.module}.{alias.name}"] = _arguments(archive, alias.name)
    for one in keywords(tree):
        known = present.get(one.called)
        if known and one.argument not in known:
            found.append((one.line, f"gives {one.written} the argument '{one.argument}', which it no longer has"))
    return list(said_once(path, found))


def _missing(archive: zipfile.ZipFile, dotted: str, name: str) -> str | None:
    """What is wrong with ``from dotted import name``; a star import or a module's ``__getattr__`` may bring any name."""
    names = _names(archive, dotted)
    if names is None:
        return f"imports {dotted}, which is gone"
    if not names & {name, "*", "__getattr__"} and _names(archive, f"{dotted}.{name}") is None:
        return f"imports {name} from {dotted}, which no longer has it"
    return None


def _names(archive: zipfile.ZipFile, dotted: str) -> set[str] | None:
    base = dotted.replace(".", "/")
    for path in (f"{base}.py", f"{base}/__init__.py"):
        if path in archive.namelist():
            return set(names_in(ast.parse(archive.read(path))))
    return None


def _arguments(archive: zipfile.ZipFile, name: str) -> set[str]:
    """Arguments of a class or function of a wheel, bases included; empty if they cannot be told (``**kwargs``, none found)."""
    for path in archive.namelist():
        if path.endswith(".py") and name.encode() in (text := archive.read(path)):
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
                    return _arguments_of(archive, node)
    return set()


def _arguments_of(archive: zipfile.ZipFile, node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    if isinstance(node, ast.FunctionDef):
        named = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        return set() if node.args.kwarg else {argument.arg for argument in named}
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _arguments_of(archive, item)
    annotated = [item.target for item in node.body if isinstance(item, ast.AnnAssign)]  # of a dataclass
    fields = {target.id for target in annotated if isinstance(target, ast.Name)}
    bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id != node.name]
    return fields.union(*(_arguments(archive, base) for base in bases))
