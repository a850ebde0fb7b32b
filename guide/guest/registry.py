"""What an installed Transformers says of each quantization method, read from its registry and source, without torch.

``python -m guide.guest.registry`` reads a JSON list of the arguments of ``describe`` from standard input and prints the
``Description`` as JSON.
"""

import ast
import importlib
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from guide.guest.arguments import arguments_of

CORE = ("modeling_utils.py", "configuration_utils.py", "cache_utils.py", "core_model_loading.py", "generation", "integrations",
        "models/deepseek_v3", "models/qwen3", "quantizers", "utils/quantization_config.py",
        "utils/import_utils.py")  # fmt: skip
DEVICES = {"not torch.cuda.is_available()": "cuda", "not is_torch_cuda_available()": "cuda",
           "not torch.xpu.is_available()": "xpu", "not is_torch_xpu_available()": "xpu",
           "not torch.backends.mps.is_available()": "mps"}  # fmt: skip
CAPABILITIES = (  # how 5.x compares compute capabilities: each gives major, and minor where there is one
    re.compile(r"capability(?:\([^)]*\))? >= \((\d+), (\d+)\)"),
    re.compile(r"major < (?P<major>\d+) or \(major == (?P=major) and minor < (\d+)\)"),
    re.compile(r"major < (\d+)(?! or)"),
    re.compile(r"capability\([^)]*\)\[0\] < (\d+)"),
)


@dataclass(frozen=True)
class Entry:
    """A key of the registry. Versions and compute capabilities are texts such as ``0.46.1`` and ``8.9``."""

    config: str
    quantizer: str
    arguments: dict[str, str]  # of the configuration class, with their defaults
    requires_calibration: bool
    quantizes_on_load: bool
    flags: dict[str, str]  # "yes", "no", or the expression that decides
    packages: dict[str, str | None]  # asked for, with the lowest version that passes; None where any does
    raises_without: list[str]  # devices; without any of them loading a bf16 model raises
    capabilities: list[str]  # of CUDA, that the check of the environment names


@dataclass(frozen=True)
class Description:
    """An installed Transformers, as data."""

    release: str  # as a sentence names it: Transformers 5.0.0
    entries: dict[str, Entry]  # by key of the registry
    names: frozenset[str]  # in its source, of its files there, and of what it exports
    signatures: dict[str, list[str]]  # arguments of the classes that were asked for, by dotted name
    refused: dict[str, str]  # calls that were asked for, each with what its class raised
    model_types: frozenset[str]  # of models that it implements


@cache
def describe(classes: tuple[str, ...], shown: tuple[str, ...] = ()) -> Description:
    """The Transformers of this interpreter, with the signatures of some of its classes and what they say to the calls that are
    shown, such as ``transformers.GPTQConfig(bits=4)``; raises ImportError without it."""
    library = importlib.import_module("transformers")
    auto = importlib.import_module("transformers.quantizers.auto")
    configs = auto.AUTO_QUANTIZATION_CONFIG_MAPPING
    entries = {key: _entry(configs[key], quantizer) for key, quantizer in auto.AUTO_QUANTIZER_MAPPING.items()}
    names = library_names(Path(inspect.getfile(library)).parent) | set(dir(library))
    signatures = {dotted: known for dotted in classes if (known := arguments_of(dotted)) is not None}
    logs, before = library.logging, library.logging.get_verbosity()
    logs.set_verbosity_error()  # what a class remarks of a small model is nobody's concern
    refused = {call: why for call in shown if (why := refusal(call))}
    logs.set_verbosity(before)
    models = importlib.import_module("transformers.models.auto.configuration_auto").CONFIG_MAPPING_NAMES
    return Description(f"Transformers {library.__version__}", entries, names, signatures, refused, frozenset(models))


def refusal(call: str) -> str:
    """Why a class refuses the values that a call gives it; nothing where it takes them, or lacks what it needs to tell."""
    node = ast.parse(call, mode="eval").body
    try:
        if isinstance(node, ast.Call):
            named = {one.arg: ast.literal_eval(one.value) for one in node.keywords if one.arg}
            resolve_name(ast.unparse(node.func))(*map(ast.literal_eval, node.args), **named)
    except ValueError as error:
        return "" if "install" in str(error) else " ".join(str(error).split())  # some classes ask for their own library
    except Exception:  # without torch, or another library, whatever a class raises for that
        return ""
    return ""


def library_names(root: Path) -> frozenset[str]:
    """Names in the source of what loads, quantizes, saves and generates, and of its files; a part that a release no longer
    has, has none."""
    found = [file for part in CORE for file in ([root / part] if part.endswith(".py") else (root / part).rglob("*.py"))]
    files = [file for file in found if file.exists()]
    names = {name for file in files for name in names_in(ast.parse(file.read_text(encoding="utf-8")))}
    return frozenset(names.union(*((file.name, file.stem) for file in files)))


def names_in(tree: ast.AST) -> Iterator[str]:
    """Every name that stands in a piece of Python, with keywords, and texts that read like names."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
            case ast.arg(arg=name) | ast.keyword(arg=str(name)):
                yield name
            case ast.alias(name=name, asname=renamed):
                yield from (*name.split("."), *filter(None, [renamed]))
            case ast.Constant(value=str(name)) if name.isidentifier():
                yield name


def _entry(config: type, quantizer: Any) -> Entry:
    base = importlib.import_module("transformers.quantizers.base").HfQuantizer
    environment = _parsed(inspect.getattr_static(quantizer, "validate_environment"))
    arguments = inspect.signature(config).parameters.items()
    return Entry(
        config=config.__name__,
        quantizer=quantizer.__name__,
        arguments={name: "required" if one.default is one.empty else repr(one.default) for name, one in arguments},
        requires_calibration=quantizer.requires_calibration,
        quantizes_on_load=quantizer.get_quantize_ops is not base.get_quantize_ops and not quantizer.requires_calibration,
        flags={name: _flag(quantizer, name) for name in ("is_serializable", "is_trainable", "is_compileable")},
        packages=_asked_packages([environment, _parsed(config)], vars(importlib.import_module(quantizer.__module__))),
        raises_without=_devices_it_raises_without(environment),
        capabilities=_named_capabilities(environment),
    )


def _parsed(thing: Any) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(thing)))


def _flag(quantizer: type, name: str) -> str:
    """What ``name`` returns, read from its source: a method in most classes, a property in some."""
    found = inspect.getattr_static(quantizer, name)
    nodes = list(ast.walk(_parsed(found.fget if isinstance(found, property) else found)))
    returned = {ast.unparse(node.value) for node in nodes if isinstance(node, ast.Return) and node.value}
    if len(returned) == 1 and returned <= {"True", "False"}:
        return "yes" if "True" in returned else "no"
    meant = {ast.unparse(node.targets[0]): ast.unparse(node.value) for node in nodes if isinstance(node, ast.Assign)}
    tests = {ast.unparse(node.test) for node in nodes if isinstance(node, ast.If)}
    deciding = sorted(returned - {"True", "False"}) or sorted(tests)
    return " and ".join(meant.get(text, text) for text in deciding)


def _asked_packages(sources: list[ast.Module], names: Mapping[str, Any]) -> dict[str, str | None]:
    """Packages that the check of the environment or the configuration asks for, with the lowest version that passes."""
    asked: dict[str, set[str]] = {}
    compared: dict[str, str] = {}  # by hand, which counts for more than what ``is_..._available`` asks
    for node in (node for source in sources for node in ast.walk(source)):
        match node:
            case ast.Call(func=ast.Name(id=check), args=given) if re.fullmatch(r"is_(?!torch_)\w+_available", check):
                package, lowest = _lowest_version(check, [_version(one, names) for one in given])
                asked.setdefault(package, set()).update(filter(None, [lowest]))
            case ast.Compare(left=left, ops=[ast.Lt()], comparators=[ast.Call(args=[right, *_])]):
                found = re.search(r"metadata\.version\('([\w.-]+)'\)", ast.unparse(left))
                if found and (version := _version(right, names)):
                    compared[found[1]] = version
    lowest_of = {name: min(versions, key=_numbers, default=None) for name, versions in sorted(asked.items())}
    return {name: compared.get(name, lowest) for name, lowest in lowest_of.items() if name != "torch"}  # all ask for torch


def _version(node: ast.expr, names: Mapping[str, Any]) -> str | None:
    """A version written out or standing in a constant of ``names``."""
    found = node.value if isinstance(node, ast.Constant) else names.get(ast.unparse(node))
    return found if isinstance(found, str) else None


def _lowest_version(check: str, given: list[str | None]) -> tuple[str, str | None]:
    """The package an ``is_..._available`` function looks for: the version it is given, or its default, or the one it has."""
    function = inspect.unwrap(getattr(importlib.import_module("transformers.utils.import_utils"), check))
    text = inspect.getsource(function)
    package = re.findall(r"_is_package_available\(\s*['\"]([\w.]+)['\"]", text)[-1]
    defaults = [p.default for p in inspect.signature(function).parameters.values() if isinstance(p.default, str)]
    written = re.findall(r"version\.parse\(['\"]([\d.]+)['\"]\)", text)
    return re.sub(r"[._]", "-", package), next(filter(None, [*given, *defaults, *written]), None)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def _devices_it_raises_without(environment: ast.Module) -> list[str]:
    """Devices named by an ``if not ...available()`` that leads to a ``raise``, where nothing else is asked in it."""
    for node in ast.walk(environment):
        if not isinstance(node, ast.If) or not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            continue
        values = node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) else [node.test]
        terms = [ast.unparse(value) for value in values]
        if all(term in DEVICES for term in terms):
            return sorted(DEVICES[term] for term in terms)
    return []


def _named_capabilities(environment: ast.Module) -> list[str]:
    found = [match.groups() for form in CAPABILITIES for match in form.finditer(ast.unparse(environment))]
    return sorted({".".join((*groups, "0")[:2]) for groups in found}, key=_numbers)


if __name__ == "__main__":
    print(json.dumps(asdict(describe(*map(tuple, json.load(sys.stdin)))), default=sorted))
