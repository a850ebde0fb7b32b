"""The rules of the house: which room may know which, who reads the project, where tags and methods' names stand."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import guide as house
from guide.facts.load import load
from guide.project import Project
from guide.site.stage import files

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "guide").rglob("*.py"))
NAMES = ("a b br button caption code div em fieldset form h1 h2 h3 h4 head html img input label legend li link ol option p "
         "pre script section select span strong style summary sup svg table tbody td th thead tr ul")  # fmt: skip
TAG = re.compile(rf"</?({'|'.join(NAMES.split())})(\s[^<>]*)?/?>")


def room(path: Path) -> str:
    """The room of a module: its folder, or its own name."""
    below = path.relative_to(ROOT / "guide")
    return below.parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """The modules of ``guide`` that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "guide":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "guide")


def test_every_room_is_on_the_list_and_says_what_belongs_in_it():
    rooms = {room(path) for path in MODULES} - {"__init__"}
    assert rooms == set(house.ROOMS)
    for path in MODULES:
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path.name} does not say what it is"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path):
    for name in imported(path):
        other = name.split(".")[1]
        assert "__main__" not in name, f"{name} is a command"
        if room(path) == other or path.name == "__main__.py":
            continue
        assert room(path) != "guest", f"{name}: a guest's interpreter has nothing of the house"
        if path.name != "__init__.py":
            assert house.ROOMS.index(other) > house.ROOMS.index(room(path)), f"{path.name} imports {name}, which is above it"


def test_modules_import_each_other_in_no_circle():
    sources = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in MODULES}
    edges = {name: {one for found in imported(path) for one in (found, found.rpartition(".")[0]) if one in sources}
             for name, path in sources.items()}  # fmt: skip
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way, name])
        if name not in done:
            for other in edges[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in sources:
        visit(name, ())


def test_only_templates_hold_tags():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found = TAG.search(re.sub(r"\(\?P<\w+>", "", node.value))  # a group of a pattern is no tag
                assert not found, f"{path.relative_to(ROOT)}, line {node.lineno}: {found[0]}"


def test_no_method_is_named_in_the_guide(guide):
    """Its pages and scripts name it, so that a new one needs two files. A type of number, fp8, is not a method's name."""
    names = {*guide.methods, *(key for method in guide.methods.values() for key in method.transformers.keys)}
    names |= {method.title.lower() for method in guide.methods.values()} | {name.replace("-", "_") for name in names}
    words = sorted(names - {"fp8", "fp4"}, key=len, reverse=True)
    named = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, words))})(?![\w-])", re.IGNORECASE)
    for path in [*MODULES, *sorted((ROOT / "guide").rglob("*.jinja")), *sorted((ROOT / "guide").rglob("*.j2"))]:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            found = named.search(line)
            assert not found, f"{path.relative_to(ROOT)}, line {number}, names {found[0]}: say it in its script or page"


def test_after_loading_nothing_reads_the_project():
    """Seen from below: every file that is opened while the site is staged from a loaded guide."""
    loaded = load(Project.here())
    opened: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple) -> None:
        if watching and event == "open" and isinstance(arguments[0], str | Path):
            opened.append(str(arguments[0]))

    sys.addaudithook(watch)
    assert files(loaded)
    watching = False
    own = [path for path in opened if path.startswith(str(ROOT)) and "/.nox/" not in path and "/.venv/" not in path]
    assert [path for path in own if not path.startswith(str(ROOT / "guide"))] == []


def test_no_path_is_a_constant_of_a_module():
    """But where a room's own templates are, which are a part of it."""
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if (
                not isinstance(node, ast.Assign | ast.AnnAssign)
                or node.value is None
                or "templates" in ast.unparse(node.value)
            ):
                continue
            called = {ast.unparse(call.func) for call in ast.walk(node) if isinstance(call, ast.Call)}
            assert not called & {"Path", "Project", "Project.here"}, f"{path.relative_to(ROOT)}, line {node.lineno}"
