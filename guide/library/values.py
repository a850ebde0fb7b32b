"""Values that code and pages give to the library's configuration classes, which the classes themselves are asked about."""

import ast
from collections.abc import Iterator

from guide.facts.guide import Guide
from guide.guest.arguments import calls
from guide.guest.registry import Description
from guide.library.code import code_files, page_code, said_once


def shown(guide: Guide) -> tuple[str, ...]:
    """The calls that are to be tried, each once."""
    return tuple(dict.fromkeys(call for _, _, call in _calls(guide)))


def refused(guide: Guide, library: Description) -> Iterator[str]:
    """Calls whose class refuses the values that they give it, a sentence each with its place."""
    found: dict[str, list[tuple[int, str]]] = {}
    for place, line, call in _calls(guide):
        if why := library.refused.get(call):
            plain = call.removeprefix("transformers.")
            found.setdefault(place, []).append((line, f"{library.release} refuses {plain}: '{why.rstrip('.')}'"))
    for place, sentences in found.items():
        if place.endswith(".py"):
            yield from said_once(place, sentences)
        else:
            yield from (f"{place}: {sentence}." for sentence in dict.fromkeys(sentence for _, sentence in sentences))


def _calls(guide: Guide) -> Iterator[tuple[str, int, str]]:
    """Place, line and text of each call of a configuration class, with those of its values that are written there.

    What stands in a ``try`` may be refused: that is what it shows.
    """
    for place, tree in (*code_files(guide).items(), *page_code(guide)):
        tried = {one for node in ast.walk(tree) if isinstance(node, ast.Try) for part in node.body for one in ast.walk(part)}
        for node, called in calls(tree):
            name = called.rpartition(".")[2]
            own = called == name and not place.endswith(".py")  # a page leaves out what it imports
            if node in tried or not name.endswith("Config") or not (own or called.startswith("transformers.")):
                continue
            given = [ast.unparse(one) for one in node.args]
            given += [f"{one.arg}={ast.unparse(one.value)}" for one in node.keywords if one.arg and _is_written(one.value)]
            if all(map(_is_written, node.args)):
                yield place, node.lineno, f"transformers.{name}({', '.join(given)})"


def _is_written(node: ast.expr) -> bool:
    """Whether an expression is a value, whatever runs before it."""
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True
