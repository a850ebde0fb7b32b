"""Does the guide still say what the library says? Its front matter, code and prose beside a description of Transformers.

Of values that code gives to classes see ``values``; of versions and types of models in front matter, ``cited``.
"""

import ast
import builtins
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from importlib.util import find_spec
from keyword import iskeyword

from guide.facts import method as models
from guide.facts.guide import Guide
from guide.facts.method import Answer, Cell, Method
from guide.guest.arguments import is_there, keywords
from guide.guest.registry import Description, Entry, describe, names_in
from guide.library import cited, values
from guide.library.code import ANY_FENCE, CODE, INCLUDED, PYTHON, classes_used, code_files, page_code, said_once
from guide.project import GuideError

FLAGS = {"save_and_reload": "is_serializable", "peft": "is_trainable", "generate_compiles": "is_compileable"}
DEVICE_CELLS = {"cpu": None, "intel_gpu": "xpu", "apple": "mps"}  # AMD's GPUs answer as cuda
# In code style: a name, perhaps dotted, but not a file of Python; a call of one; an argument with its value.
NAMED = re.compile(r"(?!\w+\.py$)(?P<name>[A-Za-z_][\w.]*)(\(.*\))?|(?P<argument>[A-Za-z_]\w*)=.+")
# GPTQConfig, not Config.
CLASS = re.compile(r"(?<![\w/.-])(?:[A-Z]+[a-z0-9]+(?:[A-Z]+[a-z0-9]*)+|[A-Z]{2,}[a-z]{2,})(?![\w/])")
ADDRESS = re.compile(r"\]\([^)]*\)|https?://\S+|<[^>\n]+>")
FLAG = re.compile(r"\b(is_serializable|is_trainable|is_compileable|requires_calibration) is (True|False)\b")
SOURCE = re.compile(r"Transformers (?P<version>\d[\w.]*), (?P<names>.+)")
# A file, or a name that is no word of prose; pages of the documentation are in no wheel.
CITED = re.compile(r"[\w/]+\.py|\b(?!\w+\.md)[A-Za-z]\w*(?:[._]\w+|[a-z][A-Z]\w*)(?:\.\w+)*")
LIKE = 0.88  # of two names, from which on the one is taken for the other misspelled


def installed(guide: Guide) -> Description:
    """The Transformers of this interpreter, as far as the guide speaks of it; raises GuideError where there is none."""
    if find_spec("transformers") is None:
        raise GuideError("Transformers is not installed here. Run nox -s drift, which installs the pinned one.")
    return describe(classes_used(guide), values.shown(guide))


def check(guide: Guide, library: Description) -> list[str]:
    """Every disagreement between the guide and a Transformers, a sentence with file and field; empty if there is none."""
    faults = list(uncovered_keys(guide, library))
    for name, method in guide.methods.items():
        own = [library.entries[key] for key in method.transformers.keys if key in library.entries]
        if own:
            found = (*wrong_checks(method, own, library.release), *wrong_cells(method, own, library.release),
                     *wrong_flags(method, own, library.release))  # fmt: skip
            faults += [f"docs/methods/{name}.md: {text}" for text in found]
        faults += [f"docs/methods/{name}.md: {text}" for text in wrong_sources(method, guide.transformers, library)]
    found = (*wrong_arguments(guide, library), *values.refused(guide, library), *unknown_imports(guide, library),
             *unknown_names(guide, library), *cited.wrong_versions(guide), *cited.unknown_models(guide, library))  # fmt: skip
    return list(dict.fromkeys([*faults, *found]))


def uncovered_keys(guide: Guide, library: Description) -> Iterator[str]:
    """Keys of the registry that no page has, that two have, or that are gone."""
    pages: dict[str, list[str]] = {}
    for name, method in guide.methods.items():
        for key in method.transformers.keys:
            pages.setdefault(key, []).append(f"docs/methods/{name}.md")
    for key in library.entries:
        if key not in pages:
            yield f"docs/methods: no page has '{key}' of {library.release} under transformers.keys. Write its page."
    for key, named in pages.items():
        if key not in library.entries:
            text = f"transformers.keys has '{key}', which {library.release} does not know"
            yield f"{named[0]}: {text}. Correct it, or take it out."
        if len(named) > 1:
            yield f"{' and '.join(named)}: both have '{key}' under transformers.keys. Leave it to one of them."


def wrong_checks(method: Method, entries: list[Entry], release: str) -> Iterator[str]:
    """Packages, lowest versions and devices that the library's check of the environment asks for."""
    asked = {package: lowest for entry in entries for package, lowest in entry.packages.items()}
    said = method.transformers.packages
    for package in sorted(asked.keys() | said.keys()):
        if package not in asked:
            yield f"transformers.packages has '{package}', which {release} does not ask for. Take it out."
        elif package not in said:
            yield f"transformers.packages lacks '{package}', which {release} asks for ({asked[package] or 'any version'})."
        elif said[package] != asked[package]:
            yield (
                f"transformers.packages.{package} is {said[package] or 'null'}, but the lowest version that passes the check "
                f"of {release} is {asked[package] or 'not set (null)'}."
            )
    devices = sorted({device for entry in entries for device in entry.raises_without})
    named = sorted(method.transformers.raises_without)
    if devices != named:
        yield f"transformers.raises_without is {named}, but {release} raises without one of {devices}."


def wrong_cells(method: Method, entries: list[Entry], release: str) -> Iterator[str]:
    """Cells that say other than the library's flags and device rules, or that explain a difference that is none."""
    features, hardware, quantizer = dict(method.features), dict(method.hardware), entries[0].quantizer
    for name, flag_name in FLAGS.items():
        flags = {entry.flags[flag_name] for entry in entries}
        flag = flags.pop() if len(flags) == 1 else "the key"
        yield from _compared(f"features.{name}", features[name], flag, f"{flag_name} of {quantizer}, {release}")
    flag = "yes" if all(entry.quantizes_on_load for entry in entries) else "no"
    source = f"get_quantize_ops and requires_calibration of {quantizer}, {release}"
    yield from _compared("features.quantize_on_load", features["quantize_on_load"], flag, source)
    if features["generate_compiles"].answer is Answer.UNVERIFIED:
        yield f"features.generate_compiles.answer is '{Answer.UNVERIFIED}', but the flag of {quantizer}, {release}, says it."
    if method.calibration == "none" and all(entry.requires_calibration for entry in entries):
        yield f"calibration is 'none', but requires_calibration of {quantizer} is True in {release}."
    needed = method.transformers.raises_without
    for name, device in DEVICE_CELLS.items():
        if needed and device not in needed:
            yield from _compared(f"hardware.{name}", hardware[name], "no", f"the check of the environment, {release}")
    nvidia = method.hardware.nvidia
    named = sorted({capability for entry in entries for capability in entry.capabilities})
    if named and named != [nvidia.capability] and not nvidia.differs:
        yield (
            f"hardware.nvidia.capability is {nvidia.capability or 'null'}, but {release} asks for {', '.join(named)}. "
            "Correct it, or say why under 'differs'."
        )


def wrong_flags(method: Method, entries: list[Entry], release: str) -> Iterator[str]:
    """Cells whose note or source says of a flag what the library does not."""
    for name, cell in method.cells().items():
        for flag, said in FLAG.findall(f"{cell.note} {cell.source}"):
            sure = {entry.flags.get(flag, "yes" if entry.requires_calibration else "no") for entry in entries}
            if sure <= {"yes", "no"} and {"True": "yes", "False": "no"}[said] not in sure:
                yield f"{name} says that {flag} is {said}, which it is not in {release}."


def wrong_sources(method: Method, described: str, library: Description) -> Iterator[str]:
    """Sources in Transformers that cannot be looked up: of another version than the guide describes, or with a name that is
    not there."""
    cells = method.cells() | {f"variants.{one.id}.{name}": cell for one in method.variants
                              for name, cell in (*one.hardware.items(), *one.features.items())}  # fmt: skip
    sources = {name: cell.source for name, cell in cells.items()}
    sources |= {f"variants.{one.id}.kernel_source": one.kernel_source for one in method.variants}
    sources |= {f"variants.{one.id}.storage_source": one.storage_source for one in method.variants}
    for name, source in sources.items():
        for part in source.split("; "):
            if found := SOURCE.fullmatch(part):
                if found["version"] != described:
                    yield f"{name} cites Transformers {found['version']}; the guide describes {described}. Read it there."
                words = [word for dotted in CITED.findall(found["names"]) for word in _parts(dotted)]
                for word in (word for word in words if word not in library.names):
                    yield f"{name} cites '{word}', which is not in {library.release}."


def _parts(dotted: str) -> list[str]:
    """The names of a dotted one, or the name of a file."""
    return [dotted.rpartition("/")[2]] if dotted.endswith(".py") else dotted.split(".")


def _compared(field: str, cell: Cell, flag: str, source: str) -> Iterator[str]:
    """A cell beside a flag: one that depends asks for a note, a difference for a reason, no difference for none."""
    opposite = {Answer.YES: "no", Answer.NO: "yes", Answer.UNVERIFIED: "no"}[cell.answer]
    if flag not in ("yes", "no"):
        if not cell.note:
            yield f"{field} needs a note: {source}, depends on {flag}."
    elif flag == opposite and not cell.differs:
        yield f"{field}.answer is '{cell.answer}', but {source}, says '{flag}'. Correct it, or say why under 'differs'."
    elif flag != opposite and cell.differs:
        yield f"{field}.differs explains a difference, but {source}, says '{flag}' too. Take it out."


def wrong_arguments(guide: Guide, library: Description) -> Iterator[str]:
    """Arguments of configuration classes, in code and pages, that are in no signature: most classes swallow them."""
    for path, tree in code_files(guide).items():
        used = [one for one in keywords(tree) if one.called in library.signatures]
        found = [one for one in used if one.argument not in library.signatures[one.called]]
        yield from said_once(path, [(one.line, f"{one.fault} in {library.release}") for one in found])
    signatures = {entry.config: set(entry.arguments) for entry in library.entries.values()}
    for place, piece in page_code(guide):
        for one in keywords(piece):
            known = signatures.get(one.called.rpartition(".")[2], set())
            if known - {"kwargs"} and one.argument not in known:
                yield f"{place}: {one.fault} in {library.release}."


def unknown_imports(guide: Guide, library: Description) -> Iterator[str]:
    """What code imports from Transformers that is not there; a model's own modules are not read."""
    for path, tree in code_files(guide).items():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        read = [node for node in nodes if re.fullmatch(r"transformers(\.(?!models\.).*)?", node.module or "")]
        gone = [(node.lineno, alias.name) for node in read for alias in node.names if alias.name not in library.names]
        yield from said_once(path, [(line, f"{name} is not in {library.release}") for line, name in gone])


def unknown_names(guide: Guide, library: Description) -> Iterator[str]:
    """Names in the prose of pages and notebooks that neither Transformers nor code of the guide nor a recorded run has: all in
    code style, and outside it the classes that are misspelled."""
    facts = [thing for thing in vars(models).values() if isinstance(thing, type) and hasattr(thing, "model_fields")]
    known = library.names.union(
        *(names_in(tree) for tree in code_files(guide).values()),
        *(model.model_fields for model in facts),  # the front matter's names
        (name.rpartition(".")[2] for method in guide.methods.values() for name in method.names),
    )
    classes = tuple(sorted(name for name in known if CLASS.fullmatch(name)))
    for page, text in guide.pages.items():
        method = guide.methods.get(page.removeprefix("methods/").removesuffix(".md")) if page.startswith("methods/") else None
        shown = known | recorded_names(guide, method.notebooks if method else [])
        if page.startswith("engines/"):  # names of engines, which their own registries answer for
            yield from misspelled(f"docs/{page}", text.partition("\n---\n")[2], shown, classes)
        else:
            yield from unknown_in_code_style(f"docs/{page}", text, shown, library.release)
            yield from unknown_in_blocks(f"docs/{page}", text, shown, library.release)
            yield from misspelled(f"docs/{page}", text, shown, classes)
    for name, script in guide.scripts.items():
        shown = known | recorded_names(guide, [name])
        prose = "\n\n".join(cell.source for cell in script.cells() if cell.cell_type == "markdown")
        yield from unknown_in_code_style(script.path, prose, shown, library.release)
        yield from misspelled(script.path, prose, shown, classes)


def unknown_in_code_style(path: str, text: str, known: frozenset[str], release: str) -> Iterator[str]:
    """Names in code style that nothing knows, a sentence each."""
    for code in dict.fromkeys(CODE.findall(ANY_FENCE.sub("", text))):
        form = NAMED.fullmatch(code)
        if form and (form["name"] or form["argument"]).rpartition(".")[2] not in known and not _in_python(code):
            yield (
                f"{path}: `{code}` is not in {release}, in no script and in no recorded run. Correct it, or "
                "list it under 'names' if the method's own library has it."
            )


def unknown_in_blocks(path: str, text: str, known: frozenset[str], release: str) -> Iterator[str]:
    """Names in typed blocks of Python that nothing knows, a sentence each; what a page includes is code of a script."""
    for _, block in PYTHON.findall(text):
        try:
            tree = ast.parse(INCLUDED.sub("", textwrap.dedent(block)))
        except SyntaxError as error:
            yield f"{path}: a block of Python is no Python, line {error.lineno} of it: {error.msg}."
            continue
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute | ast.keyword | ast.alias)]
        for name in dict.fromkeys(name for node in names for name in names_in(node)):
            if name not in known and not _in_python(name):
                yield f"{path}: {name}, in a block of Python, is not in {release}, in no script and in no recorded run."


def misspelled(path: str, text: str, known: frozenset[str], classes: tuple[str, ...]) -> Iterator[str]:
    """Words outside code style that are nearly the name of a class, a sentence each."""
    for word in dict.fromkeys(CLASS.findall(ADDRESS.sub("", CODE.sub("", ANY_FENCE.sub("", text))))):
        if word not in known and (meant := _meant(word, classes)):
            yield f"{path}: '{word}' is the name of nothing; is '{meant}' meant?"


@lru_cache(maxsize=4096)
def _meant(word: str, classes: tuple[str, ...]) -> str | None:
    """The class whose name is nearly a word; not one that differs in capitals or numbers alone, as libraries' classes do."""

    def plain(name: str) -> str:
        return re.sub(r"\d", "", name).lower()

    near = get_close_matches(word, [name for name in classes if abs(len(name) - len(word)) < 3], 1, LIKE)
    return near[0] if near and plain(near[0]) != plain(word) else None


def recorded_names(guide: Guide, notebooks: list[str]) -> set[str]:
    """Words in the code of the recorded runs of some notebooks, and in what it printed."""
    runs = [run.notebook for name in notebooks for run in guide.proofs[name]]
    texts = json.dumps([[cell.source, cell.outputs] for run in runs for cell in run.cells if cell.cell_type == "code"])
    return set(re.findall(r"[A-Za-z_]\w+", texts.replace("\\n", " ")))  # JSON's sign for the end of a line


def _in_python(code: str) -> bool:
    """Whether the standard library has a name such as ``sys.exit``."""
    name = code.partition("(")[0]
    top, dot, _ = name.partition(".")
    return hasattr(builtins, name) or iskeyword(name) or (top in sys.stdlib_module_names and (not dot or is_there(name)))
