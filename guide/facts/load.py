"""Read the project, once: nothing else does.

What a file's text means is found by pure functions that keep their answers, so that loading again costs the reading of what
changed.
"""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from packaging.dependency_groups import resolve_dependency_groups
from pydantic import ValidationError

from guide.facts.colab import Image, Tried, parse_image, parse_tried
from guide.facts.compiled import parse_compiled, with_runs
from guide.facts.engine import Common, parse_common, parse_engine, parse_listed, with_methods
from guide.facts.guide import Guide, Scripts
from guide.facts.method import Method, front_matter, parse_method
from guide.facts.number import Number, NumbersScript, RealModel, parse_number, parse_numbers_script
from guide.facts.proof import Stored, parse_proof, reaches, state_of
from guide.facts.storage import parse_record
from guide.notebooks.build import build, digest, shared_modules
from guide.notebooks.script import Script, parse_script
from guide.project import GuideError, Project, first_fault

STAND_IN = ("model.safetensors", "tokenizer.json", "heldout.txt")  # what a proof on the reference model rests on

FILL = re.compile(r"\bFILL[-_][A-Z-]+")


def load_scripts(project: Project) -> Scripts:
    """The scripts and their notebooks; raises GuideError naming the file and the field that is wrong."""
    texts = _texts(project, project.snippets, "*.py")
    for name, text in texts.items():
        _check_filled(f"snippets/{name}.py", text)
    shared = shared_modules(tuple(_texts(project, project.shared, "*.py").items()))
    scripts = {name: parse_script(name, text) for name, text in texts.items()}
    notebooks = {name: build(script, shared) for name, script in scripts.items()}
    tried = parse_tried(project.relative(project.tried), _text(project, project.tried)) if project.tried.exists() else Tried()
    committed = _texts(project, project.notebooks, "*.ipynb")
    return Scripts(project, scripts, shared, notebooks, committed, _described_transformers(project), tried)


def load(project: Project, damaged_proofs: bool = False) -> Guide:
    """Everything of a project; raises GuideError naming the file and the field that is wrong.

    ``damaged_proofs``: leave out proofs that cannot be read instead, as who makes them anew must.
    """
    known = load_scripts(project)
    recipes = {name: parse_numbers_script(name, text) for name, text in _texts(project, project.recipes, "*.py").items()}
    pages = {_below(project.docs, path): _text(project, path) for path in sorted(project.docs.rglob("*.md"))}
    for name, text in pages.items():
        _check_filled(f"docs/{name}", text)
        _check_described(f"docs/{name}", text)
    methods = {
        path.stem: parse_method(path.stem, pages[_below(project.docs, path)]) for path in _files(project.methods, "*.md")
    }
    compiled = {
        path.stem: parse_compiled(project.relative(path), _text(project, path)) for path in _files(project.compiled, "*.json")
    }
    methods = {name: with_runs(name, method, compiled) for name, method in methods.items()}
    engines = _texts(project, project.engines, "*.md")
    common = engines.pop("index", None)
    if common is None:
        raise GuideError("There is no docs/engines/index.md, which lists formats, generations of hardware and engines.")
    order = parse_common(common).engines
    if strays := sorted(set(engines) ^ set(order)):
        raise GuideError(
            f"docs/engines/{strays[0]}.md and the list 'engines' of docs/engines/index.md do not agree: write both."
        )
    makers = _texts(project, project.makers, "*.py")
    image = _colab(project, parse_common(common))
    _check_names(known, methods, makers, order, image)
    _check_recipes(known, methods, recipes)
    stand_in = _stand_in(project)
    parameters = _parameters(project)
    assets = [path for path in sorted(project.docs.rglob("*")) if path.is_file() and path.suffix != ".md"]
    return Guide(
        **vars(known),
        methods=methods,
        engines={
            name: with_methods(parse_engine(name, engines[name], common), parse_common(common), methods) for name in order
        },
        registries={
            path.stem: parse_listed(project.relative(path), _text(project, path))
            for path in _files(project.registries, "*.json")
        },
        common=parse_common(common),
        image=image,
        pages=pages,
        assets={_below(project.docs, path): path.read_bytes() for path in assets},
        proofs={
            name: _proofs(project, script, known, makers, stand_in, damaged_proofs) for name, script in known.scripts.items()
        },
        compiled=compiled,
        records={
            path.stem: parse_record(project.relative(path), _text(project, path)) for path in _files(project.storage, "*.json")
        },
        recipes=recipes,
        numbers=_numbers(project),
        real=_real_model(project),
        guests=_texts(project, project.guests, "*.py"),
        architectures=_json(project, project.architectures),
        configs={path.stem: _json(project, path) for path in _files(project.configs, "*.json")},
        makers=makers,
        stand_in=stand_in,
        parameters=parameters,
    )


def pyproject(project: Project) -> str:
    """The text of pyproject.toml."""
    return _text(project, project.root / "pyproject.toml")


def dependency_group(project: Project, name: str) -> list[str]:
    """The requirements of one dependency group of pyproject.toml, with those of the groups that it includes."""
    groups = tomllib.loads(_text(project, project.root / "pyproject.toml"))["dependency-groups"]
    return list(resolve_dependency_groups(groups, name))


def _proofs(
    project: Project, script: Script, known: Scripts, makers: Mapping[str, str], stand_in: str, skip_damaged: bool
) -> tuple[Stored, ...]:
    """The committed proofs of a notebook, the one to show first at the head."""
    found = []
    for path in _files(project.proofs, f"*/{script.name}.ipynb"):
        try:
            notebook, proof = parse_proof(project.relative(path), _text(project, path))
        except GuideError:
            if skip_damaged:
                continue
            raise
        current = digest(script, known.notebooks[script.name], makers, stand_in if proof.stand_in else None)
        found.append(Stored(project.relative(path), notebook, proof, state_of(proof, current)))
    return tuple(sorted(found, key=lambda stored: stored.worth))


def _numbers(project: Project) -> dict[str, dict[str, Number]]:
    """The records of the real model, by machine and variant."""
    found: dict[str, dict[str, Number]] = {}
    for path in _files(project.numbers, "*/*.json"):
        found.setdefault(path.parent.name, {})[path.stem] = parse_number(project.relative(path), _text(project, path))
    return found


def _real_model(project: Project) -> RealModel:
    try:
        return RealModel.model_validate(tomllib.loads(_text(project, project.real)))
    except tomllib.TOMLDecodeError as error:
        raise GuideError(f"{project.relative(project.real)} is not valid TOML: {error}.") from error
    except ValidationError as error:
        raise GuideError(f"In {project.relative(project.real)}, {first_fault(error)}.") from error


def _colab(project: Project, common: Common) -> Image:
    """Colab's image, whose GPUs are cards of the selector."""
    cards = _json(project, project.assets / "cards.json")
    path = project.colab / "image.toml"
    return parse_image(
        project.relative(path), _text(project, path), _text(project, project.colab / "freeze.txt"), cards, common
    )


def _check_names(
    known: Scripts, methods: Mapping[str, Method], makers: Mapping[str, str], engines: Sequence[str], image: Image
) -> None:
    """Raise where a page names a notebook, or a script a page, a maker or a GPU of Colab, that is not there or will not do."""
    for name, method in methods.items():
        own = [one for variant in method.variants for one in (variant.notebook, variant.ready, variant.unpacked) if one]
        _check_notebooks(f"docs/methods/{name}.md", known, [*method.notebooks, *(one.partition(":")[0] for one in own)])
    for script in known.scripts.values():
        table = script.head.guide
        if table.method and table.method not in methods:
            raise GuideError(f"The head of {script.path} names the method '{table.method}': there is no method page "
                             f"docs/methods/{table.method}.md.")  # fmt: skip
        if table.engine and table.engine not in engines:
            raise GuideError(f"The head of {script.path} names the engine '{table.engine}': there is no page "
                             f"docs/engines/{table.engine}.md.")  # fmt: skip
        gpu = image.gpus.get(table.colab_gpu or "")
        if table.colab_gpu and not (gpu and reaches(gpu.capability, table.needs)):
            able = ", ".join(one.name for one in image.gpus.values() if reaches(one.capability, table.needs))
            raise GuideError(f"The head of {script.path} names Colab's GPU '{table.colab_gpu}' for what needs {table.needs}: "
                             f"choose {able or 'none'}.")  # fmt: skip
        for other in table.made_with.values():
            if other not in known.scripts:
                raise GuideError(f"The head of {script.path} makes a checkpoint with '{other}', which is no notebook.")
        for maker in table.checkpoints.values():
            if maker not in makers:
                raise GuideError(f"The head of {script.path} names the maker '{maker}': there is no "
                                 f"models/checkpoints/{maker}.py to make a stand-in checkpoint with.")  # fmt: skip


def _check_recipes(known: Scripts, methods: Mapping[str, Method], recipes: Mapping[str, NumbersScript]) -> None:
    """Raise where a recipe's head names a notebook or a method that is not there."""
    for recipe in recipes.values():
        table = recipe.table
        _check_notebooks(recipe.path, known, [one for one in (table.notebook, table.loads_in) if one])
        if table.method and table.method not in methods:
            raise GuideError(f"The head of {recipe.path} names the method '{table.method}': there is no method page "
                             f"docs/methods/{table.method}.md.")  # fmt: skip


def _check_notebooks(path: str, known: Scripts, named: Iterable[str]) -> None:
    """Raise where a file names a notebook that is not there."""
    for notebook in named:
        if notebook not in known.scripts:
            raise GuideError(f"{path}: There is no notebook '{notebook}'. Known: {', '.join(known.scripts)}.")


@lru_cache(maxsize=512)
def _check_described(path: str, text: str) -> None:
    """Raise where a page does not say its title and what it is about, which lists of pages and search engines show."""
    facts = front_matter(path, text)
    if missing := [field for field in ("title", "description") if not isinstance(facts, dict) or not facts.get(field)]:
        raise GuideError(f"The front matter of {path} has no '{missing[0]}': write it.")


def _check_filled(path: str, text: str) -> None:
    """Raise where a file of ``nox -s new`` still has a mark of its template."""
    for number, line in enumerate(text.splitlines(), 1) if "FILL" in text else ():
        if found := FILL.search(line):
            raise GuideError(f"{path}, line {number}: fill in {found[0]}.")


def _stand_in(project: Project) -> str:
    """SHA-256 of the stand-in: weights, tokenizer and held-out text."""
    total = hashlib.sha256()
    for name in STAND_IN:
        path = project.reference / name
        if not path.exists():
            raise GuideError(f"The reference model has no {name}: check out models/reference, or run 'nox -s train'.")
        total.update(path.read_bytes())
    return total.hexdigest()


def _parameters(project: Project) -> int:
    """How many parameters the reference model's file holds, as its head says: a length in 8 bytes, then that much JSON."""
    path = project.reference / STAND_IN[0]
    content = path.read_bytes()
    try:
        head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return sum(math.prod(tensor["shape"]) for name, tensor in head.items() if name != "__metadata__")
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise GuideError(f"{project.relative(path)} is no file of safetensors: restore it, or run 'nox -s train'.") from error


def _described_transformers(project: Project) -> str:
    """The release of Transformers that the guide describes and ``nox -s drift`` checks: its pin in pyproject.toml."""
    group: list[Any] = tomllib.loads(_text(project, project.root / "pyproject.toml"))["dependency-groups"]["drift"]
    return next(pin.partition("==")[2] for pin in group if isinstance(pin, str) and pin.startswith("transformers=="))


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))


def _texts(project: Project, folder: Path, pattern: str) -> dict[str, str]:
    """{name without ending: text} of a folder's files, sorted."""
    return {path.stem: _text(project, path) for path in _files(folder, pattern)}


def _json(project: Project, path: Path) -> Any:
    """What a JSON file that people edit holds."""
    try:
        return json.loads(_text(project, path))
    except json.JSONDecodeError as error:
        raise GuideError(f"{project.relative(path)}, line {error.lineno}, is not valid JSON: {error.msg}.") from error


def _text(project: Project, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise GuideError(f"There is no {project.relative(path)}: restore it.") from error
    except UnicodeDecodeError as error:
        place = f"{error.reason} at byte {error.start}"
        raise GuideError(f"{project.relative(path)} is not UTF-8 text ({place}): save it as UTF-8.") from error


def _below(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
