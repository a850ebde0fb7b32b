"""What is typed into pages and notebooks by hand: versions, figures and install lines, each of which must come from somewhere.

A version is a pin, a fact, Colab's or what a proof found. A figure is printed by a notebook that the page shows or links, or
follows from a sum beside it, which is worked out anew; an exact number of five digits or more may also be counted of a model
that the calculator knows, or stand in a record. Each may be cited instead: with a link, a date or a file of a library's
source. Pages of engines and of symptoms cite in each entry of their front matter.
"""

import ast
import json
import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from guide.calculator import shapes
from guide.facts.guide import Guide
from guide.facts.method import front_matter
from guide.facts.versions import stated

FENCE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"<!--.*?-->|<[^>\n]+>|\{[^}\n]*\}", re.DOTALL)
QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"")  # code, and what others say
MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
CITED = re.compile(rf"https?://|\bread \d{{4}}-|\d\s(?:{MONTHS})\s\d{{4}}|[\w/]\.(?:py|toml|json|cu|cpp|h)\b"
                   r"|README|[Mm]etadata|\bwheel\b|PyPI|[Ss]ource:|\b[Cc]omputed\b")  # fmt: skip
NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?"
FIGURE = re.compile(rf"(?<![\w.,/-])(?:\d+(?:,\d{{3}})*\.\d+|{NUMBER}(?= ?(?:%|ms\b|tokens/s|tokens per second)))"
                    r"(?![\w]*\.\d|\w)")  # fmt: skip
EXACT = re.compile(r"(?<![\w.,/-])\d{1,3}(?:,\d{3})+(?![\w,]|\.\d)")
SMALLEST = 10_000  # of exact numbers that must come from somewhere, if they are no thousands and no power of two
VERSION = re.compile(r"(?<![\w./-])([A-Za-z][\w.-]*[A-Za-z0-9]) v?(\d+\.\d+(?:\.\d+)*(?:\.?(?:post|dev|rc|a|b)\d+)*)"
                     r"(?![\w-]|\.\d)")  # fmt: skip
INSTALL = re.compile(r"pip install [^\n`]+")
PIN = re.compile(r"([A-Za-z][\w.-]*)(?:\[[^\]]*\])?==([\w.]+)")
SHOWN = re.compile(r"notebooks/(\w+)\.ipynb|snippets/(\w+)\.py:|guide: (?:figures|proof|symptoms) (\w+)")
SUM = re.compile(rf"(?:[\d.,()]|sqrt)(?:[\d.,\s()+*/×x÷−⁸²-]|sqrt)*= *(?P<value>{NUMBER})")
RECORD = re.compile(r"record ([\w.-]+) of")  # of a variant of the real model, in proofs/numbers/
SIGN = re.compile(r"[\d)]\s*[-+*/×x÷−⁸²]\s*[\d(s]")  # between numbers, or before sqrt
SIGNS = {"×": "*", " x ": "*", "÷": "/", "−": "-", ",": "", "⁸": "**8", "²": "**2"}
OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


# Fields of the front matter that say where something was read, are counted, or are no sentences.
NO_PROSE = ("source", "kernel_source", "storage_source", "storage", "packages", "packages_later", "library", "links",
            "capability", "not_from", "kernel_capability")  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What a typed version or figure may come from."""

    versions: Mapping[str, frozenset[str]]  # by package, squeezed
    every: frozenset[str]  # of any package, with those of which symptoms were reported
    capabilities: frozenset[str]
    recorded: Mapping[str, frozenset[str]]  # times of records in milliseconds, by variant
    counted: frozenset[str]  # whole numbers of configurations, of what the calculator counts of them, and of records


def faults(guide: Guide) -> Iterator[str]:
    """What is typed and comes from nowhere, a sentence each with its page."""
    known = _known(guide)
    printed = {name: _numbers(guide, name) for name in guide.scripts}
    for page, text in guide.pages.items():
        path = f"docs/{page}"
        body = text.partition("\n---\n")[2] if text.startswith("---\n") else text
        cited = page.startswith("symptoms") or page.startswith("engines/")
        method = guide.methods.get(page.removeprefix("methods/").removesuffix(".md")) if page.startswith("methods/") else None
        notebooks = _named(guide, body) + (method.notebooks if method else [])
        yield from _of_prose(path, body, known, _all(printed, notebooks), figures=not cited)
        yield from _installs(guide, path, body)
        yield from _rows(path, body)
        if not cited and text.startswith("---\n"):
            for field, value in _strings(front_matter(path, text)):
                yield from _of_block(f"{path}: {field}", value, value, known, _all(printed, notebooks), figures=True)
    for name, script in guide.scripts.items():
        cells = [cell.source for cell in script.cells() if cell.cell_type == "markdown"]
        yield from _of_prose(script.path, "\n\n".join(cells), known, printed[name], figures=True)


def squeezed(name: str) -> str:
    """A package's name as prose may write it: without signs and capitals."""
    return re.sub(r"[\W_]", "", name).lower()


def known_versions(guide: Guide) -> dict[str, frozenset[str]]:
    """The versions that pins, proofs and facts have, by package as ``squeezed`` writes it."""
    found: dict[str, set[str]] = {}

    def add(name: str, version: str | None) -> None:
        if version:
            found.setdefault(squeezed(name), set()).add(version.partition("+")[0])

    for name, version in stated(guide):
        add(name, version)
    for method in guide.methods.values():
        for name, least in (*method.transformers.packages.items(), *method.transformers.packages_later.items()):
            add(name, least)
    for engine in guide.engines.values():
        for version in re.findall(r"[\d.]+", engine.transformers or ""):
            add("Transformers", version)
    for name, version in guide.image.freeze.items():  # Colab's own, of what the guide speaks of
        if squeezed(name) in found:
            add(name, version)
    return {name: frozenset(each) for name, each in found.items()}


def _known(guide: Guide) -> Known:
    versions = known_versions(guide)
    places = [one.capability for one in guide.common.generations] + [
        capability for method in guide.methods.values() for capability in (method.hardware.nvidia.capability,
        method.hardware.nvidia.not_from, *(one.kernel_capability for one in method.variants))]  # fmt: skip
    reported = re.findall(r"\d+\.\d+\.\d+", guide.pages["symptoms.md"])
    recorded: dict[str, frozenset[str]] = {}
    for variant, number in (one for each in guide.numbers.values() for one in each.items()):
        seconds = re.findall(r"0\.\d+", number.model_dump_json())
        recorded[variant] = recorded.get(variant, frozenset()) | {f"{float(one) * 1000:.1f}" for one in seconds}
    return Known(versions, frozenset(reported).union(*versions.values()), frozenset(one for one in places if one),
                 recorded, frozenset(_counted(guide)))  # fmt: skip


def _counted(guide: Guide) -> Iterator[str]:
    """Whole numbers of public configurations and of records, and weights and bf16 bytes of the models that they describe."""
    for text in (json.dumps(dict(guide.configs)), *(record.model_dump_json() for record in guide.records.values())):
        yield from re.findall(r"\b\d{5,}\b", text)
    for preset in guide.architectures["presets"]:
        read = shapes.read_config(json.dumps(preset["config"]), guide.architectures["families"])
        found = shapes.tensors(read["family"], read["config"])
        one_each = [tensor["rows"] * tensor["columns"] for tensor in found]
        all_of = [size * tensor["count"] for size, tensor in zip(one_each, found, strict=True)]
        linears = sum(size for size, tensor in zip(one_each, found, strict=True) if tensor["part"] == "linear")
        for weights in (*one_each, *all_of, linears, shapes.parameter_count(found)):
            yield from (str(weights), str(2 * weights))


def _named(guide: Guide, text: str) -> list[str]:
    """The notebooks that a page links or shows."""
    return [name for found in SHOWN.findall(text) for name in found if name in guide.scripts]


def _numbers(guide: Guide, name: str) -> frozenset[str]:
    """The numbers in the code and in the written outputs of a notebook's recorded runs."""
    code = [cell for run in guide.proofs[name] for cell in run.notebook.cells if cell.cell_type == "code"]
    written = [text for cell in code for output in cell.outputs for text in _texts(output)]
    text = "\n".join([*(cell.source for cell in code), *written])
    return frozenset(re.findall(r"\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d{3})", "", text)))


def _texts(output: Mapping[str, Any]) -> Iterator[str]:
    """What an output says in words: not its pictures."""
    yield output.get("text", "")
    yield from (str(part) for kind, part in output.get("data", {}).items() if kind.startswith("text/"))


def _all(printed: Mapping[str, frozenset[str]], notebooks: list[str]) -> frozenset[str]:
    return frozenset().union(*(printed[name] for name in notebooks))


def _strings(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Each text of the front matter that has no source of its own, with its field."""
    if isinstance(value, dict):
        if re.fullmatch(r"proof|notebook \w+", str(value.get("source", "proof"))):
            for key, inner in value.items():
                if key not in NO_PROSE:
                    yield from _strings(inner, (*path, str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            name = inner.get("id", number) if isinstance(inner, dict) else number
            yield from _strings(inner, (*path, str(name)))
    elif isinstance(value, str):
        yield ".".join(path), value


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Each paragraph, list item or table outside fences, with what may cite it: itself, and for a table the two sentences
    that lead to it and the paragraph that follows."""
    parts = [part for part in re.split(r"\n\s*\n|\n(?=- )", FENCE.sub("", text)) if part.strip()]
    for before, part, after in zip(["", *parts], parts, [*parts[1:], ""], strict=False):
        table = part.lstrip().startswith("|")
        leading = " ".join(re.split(r"(?<=[.:]) |(?<=[.:])\n", before.strip())[-2:])
        yield part, f"{leading}\n{part}\n{after}" if table else part


def _of_prose(path: str, text: str, known: Known, printed: frozenset[str], *, figures: bool) -> Iterator[str]:
    """What is wrong with a page's own text; a figure that one paragraph cites or works out may be repeated in another."""
    blocks = list(_blocks(text))
    said = {one for block, near in blocks if CITED.search(near) for one in FIGURE.findall(COMMENT.sub("", block))}
    said |= {one.replace(",", "") for block, near in blocks if CITED.search(near) for one in EXACT.findall(block)}
    said |= {value for block, _ in blocks for _, value, _ in _sums(COMMENT.sub("", block))}
    for block, near in blocks:
        yield from _of_block(path, block, near, known, printed | said, figures=figures)


def _of_block(path: str, block: str, near: str, known: Known, printed: frozenset[str], *, figures: bool) -> Iterator[str]:
    """What is wrong with the versions, the sums and the figures of a paragraph."""
    plain = COMMENT.sub("", block)
    sums = list(_sums(plain))
    yield from (f"{path}: '{text}' is not so: it is {value:.4g}." for text, said, value in sums if not _rounds(value, said))
    if CITED.search(near):
        return
    for variant in RECORD.findall(near):
        printed = printed | known.recorded.get(variant, frozenset())
    for name, version in VERSION.findall(plain):
        own = known.versions.get(squeezed(name))
        if own is not None and not any(f"{one}.".startswith(f"{version}.") for one in own):
            yield f"{path}: '{name} {version}' is no pin, no fact and in no proof, which have {', '.join(sorted(own))}."
        elif own is None and version.count(".") > 1 and version not in known.every:
            yield f"{path}: the version '{name} {version}' is no pin, no fact and in no proof, and nothing cites it."
    if figures:
        written = {number for text, _, _ in sums for number in re.findall(NUMBER, text)}
        written |= {f"{100 * float(number):g}" for number in written if re.fullmatch(r"0\.\d+", number)}  # a share in per cent
        written |= set(_worth(plain))
        versions = {version for name, version in VERSION.findall(plain) if squeezed(name) in known.versions}
        for figure in dict.fromkeys(FIGURE.findall(QUOTED.sub("", plain))):
            if (
                figure not in {*written, *versions, *known.capabilities, *known.every}
                and figure.replace(",", "") not in printed
            ):
                yield (f"{path}: the figure {figure} comes from nowhere: no notebook of the page printed it, no sum beside it "
                       "gives it, and nothing cites it.")  # fmt: skip
        given = printed | known.counted | {number.replace(",", "") for number in written | printed}
        for number in dict.fromkeys(EXACT.findall(QUOTED.sub("", plain))):
            if _is_exact(int(number.replace(",", ""))) and number.replace(",", "") not in given:
                yield (f"{path}: the number {number} comes from nowhere: no notebook of the page printed it, no sum beside it "
                       "gives it, no model or record has it, and nothing cites it.")  # fmt: skip


def _is_exact(number: int) -> bool:
    """Whether a whole number was counted or measured: it is large, and neither round nor a power of two."""
    return number >= SMALLEST and number % 1000 > 0 and number & (number - 1) > 0


def _sums(text: str) -> Iterator[tuple[str, str, float]]:
    """Each ``a + b / c = d`` of a text, with d as it is written and what a + b / c is."""
    for found in SUM.finditer(text):
        left = found[0].rpartition("=")[0]
        if SIGN.search(left) and (value := _value(left)) is not None:
            yield " ".join(found[0].split()), found["value"], value


def _worth(text: str) -> Iterator[str]:
    """What the sums of a text come to, with as many decimals as it may give them, and bytes in billions."""
    for found in re.findall(r"(?<![\w.])[\d(][\d.,\s()+*/×x÷−-]*[\d)]", text):
        balanced = found.removeprefix("(" * (found.count("(") > found.count(")")))
        if SIGN.search(found) and (value := _value(balanced)) is not None:
            yield from (f"{value / unit:.{decimals}f}" for decimals in range(5) for unit in (1, 1e9))


def _value(text: str) -> float | None:
    """What a sum of numbers comes to; None where it is none."""
    for sign, python in SIGNS.items():
        text = text.replace(sign, python)
    with suppress(SyntaxError, ValueError, ZeroDivisionError):
        return _worked_out(ast.parse(" ".join(text.split()), mode="eval").body)
    return None


def _worked_out(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return float(value)
        case ast.Call(func=ast.Name(id="sqrt"), args=[inner]):
            return math.sqrt(_worked_out(inner))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in OPERATORS:
            return OPERATORS[type(sign)](_worked_out(left), _worked_out(right))
    raise ValueError("no sum of numbers")


def _rounds(value: float, said: str) -> bool:
    """Whether a number is written as a value rounds, to its decimals; bytes may be in billions, a share in per cent."""
    plain = said.replace(",", "")
    decimals = len(plain.partition(".")[2])
    return any(abs(value / unit - float(plain)) <= 0.51 * 10**-decimals for unit in (1, 1e9, 1e6, 0.01))


def _installs(guide: Guide, path: str, text: str) -> Iterator[str]:
    """Install lines whose pins no notebook has together."""
    for line in INSTALL.findall(text):
        pins = dict(PIN.findall(line))
        pinned = {package for script in guide.scripts.values() for package in script.pins}
        others = {name: version for name, version in pins.items() if name in pinned or f"{name} {version}" not in text}
        if not any(others.items() <= script.pins.items() for script in guide.scripts.values()):
            yield f"{path}: '{line.strip()}' is typed, and no notebook pins these together. Take <!-- guide: install ... -->."


def _rows(path: str, text: str) -> Iterator[str]:
    """Rows of a table that are typed beside a mark, or have no head."""
    for block, _ in _blocks(text):
        lines = block.strip().splitlines()
        rows = [line for line in lines if line.lstrip().startswith("|")]
        if rows and any("<!-- guide:" in line for line in lines if line not in rows):
            yield f"{path}: the row '{rows[0].strip()}' is typed beside a mark, whose table comes from records."
        elif rows and not re.fullmatch(r"[\s|:-]+", rows[min(1, len(rows) - 1)]):
            yield f"{path}: the row '{rows[0].strip()}' stands in no table."
