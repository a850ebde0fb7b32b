"""What an installed Transformers says of each quantization method, read from its registry and its source.

Needs no GPU, no torch and none of the methods' own libraries. It runs in another environment than the rest of the
guide's code (``python -m guide.registry``, the newest Transformers beside the pinned one), so it uses the standard
library and Transformers alone, and prints JSON.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import textwrap
from dataclasses import asdict, dataclass

DEVICES = {"torch.cuda.is_available()": "cuda", "is_torch_cuda_available()": "cuda", "torch.xpu.is_available()": "xpu",
           "is_torch_xpu_available()": "xpu", "torch.backends.mps.is_available()": "mps"}  # fmt: skip
CAPABILITIES = (  # how 5.x compares compute capabilities: each gives major, and minor where there is one
    re.compile(r"capability(?:\([^)]*\))? >= \((\d+), (\d+)\)"),
    re.compile(r"major < (?P<major>\d+) or \(major == (?P=major) and minor < (\d+)\)"),
    re.compile(r"major < (\d+)(?! or)"),
    re.compile(r"capability\([^)]*\)\[0\] < (\d+)"),
)
PARTS_OF_TORCH = {"torch"}  # asked for by all of them


@dataclass(frozen=True)
class Flag:
    """One of a quantizer's flags: ``yes``, ``no``, or ``depends`` with the expression that decides."""

    value: str
    on: str = ""


@dataclass(frozen=True)
class Entry:
    """One key of the registry. Versions and compute capabilities are texts such as ``0.46.1`` and ``8.9``."""

    key: str
    config: str
    quantizer: str
    arguments: dict[str, str]  # of the configuration class, with their defaults
    requires_calibration: bool
    quantizes_on_load: bool
    serializable: Flag
    trainable: Flag
    compileable: Flag
    packages: dict[str, str | None]  # asked for, with the lowest version that passes; None where any does
    raises_without: list[str]  # devices; without any of them loading a bf16 model raises
    capabilities: list[str]  # of CUDA, that the check of the environment names


def parsed(thing: object) -> ast.Module:
    return ast.parse(textwrap.dedent(inspect.getsource(thing)))


def flag(quantizer: type, name: str) -> Flag:
    """What ``name`` returns, read from its source: a method in most classes, a property in some."""
    found = inspect.getattr_static(quantizer, name)
    function = found.fget if isinstance(found, property) else found
    returned = {ast.unparse(node.value) for node in ast.walk(parsed(function)) if isinstance(node, ast.Return) and node.value}
    if returned == {"True"}:
        return Flag("yes")
    if returned == {"False"}:
        return Flag("no")
    assigned = [node for node in ast.walk(parsed(function)) if isinstance(node, ast.Assign)]
    meant = {ast.unparse(node.targets[0]): ast.unparse(node.value) for node in assigned}
    tests = {ast.unparse(node.test) for node in ast.walk(parsed(function)) if isinstance(node, ast.If)}
    deciding = sorted(returned - {"True", "False"}) or sorted(tests)
    return Flag("depends", " and ".join(meant.get(text, text) for text in deciding))


def version_text(node: ast.expr, names: dict) -> str | None:
    """A version written out or standing in a constant of ``names``."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name) and isinstance(names.get(node.id), str):
        return names[node.id]
    return None


def lowest_version(check: str, arguments: list[str]) -> tuple[str, str | None]:
    """The package an ``is_..._available`` function looks for, with the lowest version that passes."""
    module = importlib.import_module("transformers.utils.import_utils")
    function = inspect.unwrap(getattr(module, check))
    text = inspect.getsource(function)
    package = re.findall(r"_is_package_available\(\s*['\"]([\w.]+)['\"]", text)[-1]
    defaults = [p.default for p in inspect.signature(function).parameters.values() if isinstance(p.default, str)]
    written = re.findall(r"version\.parse\(['\"]([\d.]+)['\"]\)", text)
    version = (arguments + defaults + written + [None])[0]
    return re.sub(r"[._]", "-", package), version


def asked_packages(config: type, quantizer: type) -> dict[str, str | None]:
    """Packages that the check of the environment or the configuration asks for. Several versions: the lowest."""
    found: dict[str, set] = {}
    environment = inspect.getattr_static(quantizer, "validate_environment")
    names = vars(importlib.import_module(quantizer.__module__))
    for source in (environment, config):
        tree = parsed(source)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if re.fullmatch(r"is_\w+_available", name) and not name.startswith("is_torch_"):
                given = [version for argument in node.args if (version := version_text(argument, names))]
                package, version = lowest_version(name, given)
                found.setdefault(package, set()).add(version)
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Lt):
                package = re.search(r"metadata\.version\('([\w.-]+)'\)", ast.unparse(node.left))
                right = node.comparators[0]
                version = version_text(right.args[0], names) if isinstance(right, ast.Call) and right.args else None
                if package and version and package[1] in found:
                    found[package[1]] = {version}
    lowest = {name: min(filter(None, versions), key=numbers, default=None) for name, versions in found.items()}
    return {name: version for name, version in sorted(lowest.items()) if name not in PARTS_OF_TORCH}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


def devices_it_raises_without(quantizer: type) -> list[str]:
    """Devices named by an ``if not ...available()`` that leads to a ``raise``, where nothing else is asked in it."""
    for node in ast.walk(parsed(inspect.getattr_static(quantizer, "validate_environment"))):
        if not isinstance(node, ast.If):
            continue
        terms = node.test.values if isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And) else [node.test]
        devices = [
            DEVICES.get(ast.unparse(term.operand)) if isinstance(term, ast.UnaryOp) and isinstance(term.op, ast.Not) else None
            for term in terms
        ]
        if None not in devices and any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
            return sorted(devices)
    return []


def named_capabilities(quantizer: type) -> list[str]:
    text = ast.unparse(parsed(inspect.getattr_static(quantizer, "validate_environment")))
    found = set()
    for form in CAPABILITIES:
        for match in form.finditer(text):
            major, minor = (*match.groups(), "0")[:2]
            found.add(f"{major}.{minor}")
    return sorted(found, key=numbers)


def entries() -> dict[str, Entry]:
    """Every key of the registry of the installed Transformers."""
    auto = importlib.import_module("transformers.quantizers.auto")
    base = importlib.import_module("transformers.quantizers.base").HfQuantizer
    found = {}
    for key, quantizer in auto.AUTO_QUANTIZER_MAPPING.items():
        config = auto.AUTO_QUANTIZATION_CONFIG_MAPPING[key]
        found[key] = Entry(
            key=key,
            config=config.__name__,
            quantizer=quantizer.__name__,
            arguments={
                name: "required" if argument.default is argument.empty else repr(argument.default)
                for name, argument in inspect.signature(config).parameters.items()
            },
            requires_calibration=quantizer.requires_calibration,
            quantizes_on_load=quantizer.get_quantize_ops is not base.get_quantize_ops and not quantizer.requires_calibration,
            serializable=flag(quantizer, "is_serializable"),
            trainable=flag(quantizer, "is_trainable"),
            compileable=flag(quantizer, "is_compileable"),
            packages=asked_packages(config, quantizer),
            raises_without=devices_it_raises_without(quantizer),
            capabilities=named_capabilities(quantizer),
        )
    return found


if __name__ == "__main__":
    transformers = importlib.import_module("transformers")
    print(json.dumps({"transformers": transformers.__version__, "entries": {k: asdict(e) for k, e in entries().items()}}))
