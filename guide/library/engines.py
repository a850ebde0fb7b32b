"""Does an engine's page name what the engine's own registry names? The registry is read in the source of its wheel.

What was read is stored in ``proofs/engines/``, so that pages are checked without a network; ``nox -s drift -- --engines``
reads the wheels again.
"""

import ast
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from guide.facts.engine import Engine, Listed, Registry
from guide.facts.guide import Guide
from guide.offline.wheels import run_pip
from guide.project import GuideError


def faults(guide: Guide) -> Iterator[str]:
    """What engines' pages and the stored registries do not agree on, a sentence each with file and field."""
    for name, engine in guide.engines.items():
        if engine.registry:
            yield from compared(f"docs/engines/{name}.md", engine, engine.registry, guide.registries.get(name))


def compared(page: str, engine: Engine, registry: Registry, listed: Listed | None) -> Iterator[str]:
    """The same of one engine and what was read of its registry."""
    release = f"{registry.distribution} {registry.version}"
    if listed is None or (listed.distribution, listed.version, listed.file, listed.name) != registry.place:
        yield f"{page}: registry was not read at {release}: run 'nox -s drift -- --engines --keep'."
        return
    named = {key: format for format, cell in engine.formats.items() for key in cell.key}
    for key, format in named.items():
        if key not in listed.names:
            yield f"{page}: formats.{format}.key has '{key}', which {registry.name} of {release} does not."
    for key in registry.others:
        if key not in listed.names:
            yield f"{page}: registry.others has '{key}', which {registry.name} of {release} does not. Take it out."
    for key in listed.names:
        if key not in named and key not in registry.others:
            yield (
                f"{page}: no format has '{key}' of {registry.name}, {release}, as its key. Give it to its format, or list it "
                "under registry.others with what it is."
            )


def read_again(guide: Guide) -> Iterator[tuple[str, Listed]]:
    """Every engine's registry as its wheel has it now; raises GuideError naming what cannot be had or is not there."""
    known = {name: engine.registry for name, engine in guide.engines.items() if engine.registry}
    for number, (name, registry) in enumerate(known.items(), start=1):
        print(f"reading registries, {number} of {len(known)}: {registry.distribution} {registry.version}", flush=True)
        with TemporaryDirectory() as folder:
            pin = f"{registry.distribution}=={registry.version}"
            run_pip(["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder, pin])
            wheel = next(Path(folder).glob("*.whl"), None)
            if wheel is None:
                raise GuideError(f"docs/engines/{name}.md: pip brought no wheel of {pin}.")
            with zipfile.ZipFile(wheel) as archive:
                try:
                    source = archive.read(registry.file).decode()
                except KeyError as error:
                    raise GuideError(f"docs/engines/{name}.md: the wheel of {pin} has no {registry.file}.") from error
        names = listed_by(source, registry.name)
        if not names:
            raise GuideError(f"docs/engines/{name}.md: {registry.file} of {pin} names nothing by '{registry.name}'.")
        distribution, version, file, variable = registry.place
        yield name, Listed(distribution=distribution, version=version, file=file, name=variable, names=names)


def as_text(listed: Listed) -> str:
    """What was read of a registry, as it is stored."""
    return json.dumps(listed.model_dump(), indent=1) + "\n"


def listed_by(source: str, name: str) -> list[str]:
    """Names that a module lists by a variable or a class, sorted.

    Strings that are assigned to the variable (of a dict its keys), added by its ``update``, ``append`` or ``extend``, or that
    it is compared with; the members of a class.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(_is(target, name) for target in targets) and node.value:
                found |= _strings(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if _is(node.func.value, name) and node.func.attr in ("update", "append", "extend"):
                found |= set().union(*map(_strings, node.args))
        elif isinstance(node, ast.Compare) and _is(node.left, name):
            found |= set().union(*map(_strings, node.comparators))
        elif isinstance(node, ast.ClassDef) and node.name == name:
            members = [target for item in node.body if isinstance(item, ast.Assign) for target in item.targets]
            found |= {target.id for target in members if isinstance(target, ast.Name)}
    return sorted(found)


def _is(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _strings(node: ast.expr) -> set[str]:
    """Strings of a list or tuple, elements of a Literal, keys of a dict; not what is looked up by a string."""
    if isinstance(node, ast.Dict):
        return {key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    if isinstance(node, ast.Subscript) and not _is(node.value, "Literal"):
        return set()
    return {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
