"""Does the guide still say what the library says? ``nox -s drift``; needs no GPU and none of the methods' own libraries.

``check`` compares every page with the installed Transformers and returns one sentence a fault, with the file and the
field. What is read from the library comes from ``guide.registry``; what the guide says, from the pages' front matter,
their code and their prose.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from guide import method as method_models
from guide import registry
from guide.arguments import unknown_arguments
from guide.method import METHODS, Answer, Cell, Method, read_methods
from guide.project import DOCS, PROOFS, SNIPPETS, GuideError, relative
from guide.registry import Entry, Flag

FLAGS = {"save_and_reload": "serializable", "peft": "trainable", "torch_compile": "compileable"}
DEVICE_CELLS = {"cpu": None, "intel_gpu": "xpu", "apple": "mps"}  # AMD's GPUs answer as cuda
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
ANY_FENCE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"[A-Za-z_][\w.]*")  # in code style: a name, perhaps dotted
CALL = re.compile(r"([A-Za-z_][\w.]*)\(.*\)")
ARGUMENT = re.compile(r"([A-Za-z_]\w*)=.+")
CORE = ("modeling_utils.py", "configuration_utils.py", "cache_utils.py", "core_model_loading.py", "generation", "integrations",
        "models/deepseek_v3", "models/qwen3", "quantizers", "utils/quantization_config.py",
        "utils/import_utils.py")  # fmt: skip


def check() -> list[str]:
    """Every disagreement between the guide and the installed Transformers; an empty list if there is none."""
    library = f"Transformers {version('transformers')}"
    methods, entries = read_methods(), registry.entries()
    faults = list(uncovered_keys(methods, entries, library))
    for name, method in methods.items():
        own = [entries[key] for key in method.transformers.keys if key in entries]
        if own:
            page = f"docs/methods/{name}.md"
            faults += [f"{page}: {text}" for text in (*wrong_checks(method, own, library), *wrong_cells(method, own, library))]
    return faults + list(wrong_arguments(entries, library)) + list(unknown_names(methods, library))


def uncovered_keys(methods: dict[str, Method], entries: dict[str, Entry], library: str) -> Iterator[str]:
    """Keys of the registry that no page has, that two have, or that are gone."""
    pages: dict[str, list[str]] = {}
    for name, method in methods.items():
        for key in method.transformers.keys:
            pages.setdefault(key, []).append(f"docs/methods/{name}.md")
    for key in entries:
        if key not in pages:
            yield f"docs/methods: no page has '{key}' of {library} under transformers.keys. Write its page."
    for key, where in pages.items():
        if key not in entries:
            yield f"{where[0]}: transformers.keys has '{key}', which {library} does not know. Correct it, or take it out."
        if len(where) > 1:
            yield f"{' and '.join(where)}: both have '{key}' under transformers.keys. Leave it to one of them."


def wrong_checks(method: Method, entries: list[Entry], library: str) -> Iterator[str]:
    """Packages, lowest versions and devices that the library's check of the environment asks for."""
    asked = {package: lowest for entry in entries for package, lowest in entry.packages.items()}
    said = method.transformers.packages
    for package in sorted(asked.keys() | said.keys()):
        if package not in asked:
            yield f"transformers.packages has '{package}', which {library} does not ask for. Take it out."
        elif package not in said:
            yield f"transformers.packages lacks '{package}', which {library} asks for ({asked[package] or 'any version'})."
        elif said[package] != asked[package]:
            yield (
                f"transformers.packages.{package} is {said[package] or 'null'}, but the lowest version that passes the check "
                f"of {library} is {asked[package] or 'not set (null)'}."
            )
    devices = sorted({device for entry in entries for device in entry.raises_without})
    if devices != sorted(method.transformers.raises_without):
        yield (
            f"transformers.raises_without is {sorted(method.transformers.raises_without)}, but {library} raises without "
            f"one of {devices}."
        )


def wrong_cells(method: Method, entries: list[Entry], library: str) -> Iterator[str]:
    """Cells that say other than the library's flags and device rules, or that explain a difference that is none."""
    features, hardware = dict(method.features), dict(method.hardware)
    for name, flag_name in FLAGS.items():
        flags = {getattr(entry, flag_name) for entry in entries}
        flag = flags.pop() if len(flags) == 1 else Flag("depends", "the key")
        yield from _compared(f"features.{name}", features[name], flag, f"is_{flag_name} of {entries[0].quantizer}, {library}")
    on_load = {entry.quantizes_on_load for entry in entries}
    yield from _compared(
        "features.quantize_on_load", features["quantize_on_load"], Flag("yes" if on_load == {True} else "no"),
        f"get_quantize_ops and requires_calibration of {entries[0].quantizer}, {library}",
    )  # fmt: skip
    calibrated = {entry.requires_calibration for entry in entries} == {True}
    if calibrated and method.calibration == "none":
        yield f"calibration is 'none', but requires_calibration of {entries[0].quantizer} is True in {library}."
    for name, device in DEVICE_CELLS.items():
        raises = bool(method.transformers.raises_without) and device not in method.transformers.raises_without
        flag = Flag("no") if raises else Flag("depends")
        yield from _compared(f"hardware.{name}", hardware[name], flag, f"the check of the environment, {library}", note=False)
    nvidia = method.hardware.nvidia
    named = sorted({capability for entry in entries for capability in entry.capabilities})
    agrees = not named or named == [nvidia.capability]
    if not agrees and not nvidia.differs:
        yield (
            f"hardware.nvidia.capability is {nvidia.capability or 'null'}, but {library} asks for {', '.join(named)}. "
            "Correct it, or say why under 'differs'."
        )


def _compared(field: str, cell: Cell, flag: Flag, source: str, note: bool = True) -> Iterator[str]:
    """A cell beside what the library says: ``depends`` asks for a note, a difference for a reason, no difference for none."""
    if flag.value == "depends":
        if note and not cell.note:
            yield f"{field} needs a note: {source}, depends on {flag.on}."
        return
    opposite = {Answer.YES: "no", Answer.NO: "yes", Answer.UNVERIFIED: None}[cell.answer]
    if flag.value == opposite and not cell.differs:
        yield f"{field}.answer is '{cell.answer}', but {source}, says '{flag.value}'. Correct it, or say why under 'differs'."
    if flag.value != opposite and cell.differs:
        yield f"{field}.differs explains a difference, but {source}, says '{flag.value}' too. Take it out."


def wrong_arguments(entries: dict[str, Entry], library: str) -> Iterator[str]:
    """Arguments of configuration classes, in scripts and pages, that are in no signature: most classes swallow them."""
    for path in sorted(SNIPPETS.rglob("*.py")):
        cell = {"cell_type": "code", "source": path.read_text(encoding="utf-8")}
        for _, sentence in unknown_arguments([cell]):
            yield f"{relative(path)}: {sentence}."
    signatures = {entry.config: entry.arguments for entry in entries.values()}
    for path in sorted(DOCS.rglob("*.md")):
        text = path.read_text(encoding="utf-8")
        for source in [*FENCE.findall(text), *CODE.findall(ANY_FENCE.sub("", text))]:
            for config, argument in _keywords(source):
                known = signatures.get(config)
                if known is not None and argument not in known and set(known) - {"kwargs"}:
                    yield f"{relative(path)}: {config} has no argument '{argument}' in {library}."


def _keywords(source: str) -> Iterator[tuple[str, str]]:
    """Each (called name, keyword) in a piece of Python; nothing if it is none."""
    lines = "\n".join("" if line.lstrip().startswith("--8<--") else line for line in source.splitlines())
    try:
        tree = ast.parse(lines)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rsplit(".", 1)[-1]
            yield from ((called, keyword.arg) for keyword in node.keywords if keyword.arg)


def unknown_names(methods: dict[str, Method], library: str) -> Iterator[str]:
    """Names in code style, in the pages' prose, that neither Transformers nor a script nor a recorded run has."""
    own = {name.rsplit(".", 1)[-1] for m in methods.values() for name in m.names}
    known = library_names() | script_names() | front_matter_names() | own
    for path in sorted(DOCS.rglob("*.md")):
        text = ANY_FENCE.sub("", path.read_text(encoding="utf-8"))
        shown = known | printed_names(methods[path.stem].notebooks if path.parent == METHODS and path.stem in methods else [])
        for code in dict.fromkeys(CODE.findall(text)):
            form = NAME.fullmatch(code) or CALL.fullmatch(code) or ARGUMENT.fullmatch(code)
            if not form:
                continue
            name = form[form.re.groups and 1].rsplit(".", 1)[-1] if form.re is not NAME else code.rsplit(".", 1)[-1]
            if name not in shown and not _in_python(code):
                yield (
                    f"{relative(path)}: `{code}` is not in {library}, in no script and in no recorded run. Correct it, or "
                    "list it under 'names' if the method's own library has it."
                )


def _in_python(code: str) -> bool:
    """Whether the standard library has a name such as ``sys.exit``."""
    module, _, name = code.partition("(")[0].rpartition(".")
    if not module:
        return name in sys.stdlib_module_names or hasattr(importlib.import_module("builtins"), name)
    return module in sys.stdlib_module_names and hasattr(importlib.import_module(module), name)


def _names_in(tree: ast.AST) -> Iterator[str]:
    """Every name that stands in a piece of Python, with keywords, and texts that read like names."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
            case ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name):
                yield from name.split(".")
            case ast.Constant(value=str(name)) if name.isidentifier():
                yield name


def library_names() -> set[str]:
    """Names in the parts of the installed Transformers that load, quantize, save and generate."""
    spec = importlib.util.find_spec("transformers")
    if spec is None or not spec.submodule_search_locations:
        raise GuideError("Transformers is not installed here. Run nox -s drift, which installs the pinned one.")
    root = Path(spec.submodule_search_locations[0])
    files = [file for part in CORE for file in ([root / part] if part.endswith(".py") else (root / part).rglob("*.py"))]
    return {name for file in files for name in _names_in(ast.parse(file.read_text(encoding="utf-8")))}


def script_names() -> set[str]:
    """Names in the code of the scripts, which ran wherever a notebook is proven."""
    return {name for path in SNIPPETS.rglob("*.py") for name in _names_in(ast.parse(path.read_text(encoding="utf-8")))}


def front_matter_names() -> set[str]:
    """The fields of a method's facts."""
    models = [thing for thing in vars(method_models).values() if isinstance(thing, type) and hasattr(thing, "model_fields")]
    return {field for model in models for field in model.model_fields}


def printed_names(notebooks: list[str]) -> set[str]:
    """Words that the recorded runs of some notebooks printed, such as a name in an error."""
    files = [path for name in notebooks for path in PROOFS.glob(f"*/{name}.ipynb")]
    return set(re.findall(r"[A-Za-z_]\w+", " ".join(file.read_text(encoding="utf-8") for file in files)))


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s drift --", description="Compare the guide with the library it describes.")
    parser.add_argument("--latest", action="store_true", help="report what changed in the newest releases since the pins")
    parser.add_argument("--fail", action="store_true", help="with --latest: exit with 1 if anything changed")
    parser.add_argument("--json", action="store_true", help="print the disagreements as a JSON list, and exit with 0")
    arguments = parser.parse_args()
    if arguments.latest:
        from guide import latest

        text = latest.report()
        print(text)
        sys.exit(1 if arguments.fail and "\n- " in text else 0)
    faults = check()
    if arguments.json:
        print(json.dumps(faults))
        return
    for fault in faults:
        print(fault)
    keys = len(registry.entries())
    library = f"Transformers {version('transformers')}"
    if faults:
        sys.exit(f"{len(faults)} disagreement{'s' if len(faults) > 1 else ''} with {library}.")
    print(f"The guide agrees with {library}: {keys} of {keys} keys, their checks, flags and arguments, and its prose's names.")


if __name__ == "__main__":
    try:
        main()
    except GuideError as error:
        sys.exit(str(error))
