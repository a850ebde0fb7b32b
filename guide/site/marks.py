"""Fill a page: ``<!-- guide: WORD ARGUMENTS -->`` becomes what facts and proofs say, an include the code of a script."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from guide.facts.engine import Engine
from guide.facts.guide import Guide
from guide.facts.method import Group, Method
from guide.notebooks.complete import INCLUDE, completed
from guide.project import GuideError
from guide.site.render import render
from guide.site.urls import Links
from guide.site.views import (
    colab,
    diagrams,
    engines,
    fits,
    forms,
    ladders,
    measures,
    methods,
    numbers,
    proofs,
    speeds,
    symptoms,
)
from guide.site.views.tables import Table

MARK = re.compile(r"<!-- guide: (?P<word>[\w-]+)(?P<arguments>[^>]*?) -->")


@dataclass(frozen=True)
class Place:
    """Where a mark stands, and what it may ask for."""

    guide: Guide
    link: Links
    arguments: list[str]

    @property
    def one(self) -> str:
        """The only argument; raises ValueError if there are none or several."""
        (argument,) = self.arguments
        return argument

    @property
    def method_name(self) -> str:
        """The only argument, a method's page; raises ValueError if there is none of that name."""
        if self.one not in self.guide.methods:
            raise ValueError(f"no method page '{self.one}'; there are {', '.join(self.guide.methods)}")
        return self.one

    @property
    def method(self) -> Method:
        """The facts of that method."""
        return self.guide.methods[self.method_name]

    @property
    def engine_name(self) -> str:
        """The only argument, an engine's page; raises ValueError if there is none of that name."""
        if self.one not in self.guide.engines:
            raise ValueError(f"no engine's page '{self.one}'; there are {', '.join(self.guide.engines)}")
        return self.one

    @property
    def engine(self) -> Engine:
        """The facts of that engine."""
        return self.guide.engines[self.engine_name]

    @property
    def groups(self) -> list[Group]:
        """The groups that the arguments name, separated by commas."""
        return [Group(name) for name in " ".join(self.arguments).split(", ")]


def _ladder(place: Place) -> str:
    table, pairs = ladders.ladder(place.guide, int(place.one), place.link)
    return _table(table) + (render("pairs.html.jinja", pairs=pairs) if pairs else "")


def _table(table: Table | None) -> str:
    return table.html() if table else render("nothing_measured.html.jinja")


def _proof(place: Place) -> str:
    if place.one not in place.guide.scripts:
        raise ValueError(f"no notebook '{place.one}'; there are {', '.join(place.guide.scripts)}")
    return proofs.box(place.guide, place.one, place.link, with_measures=True)


def _figures(place: Place) -> str:
    name, table = place.arguments
    if name not in place.guide.scripts:
        raise ValueError(f"no notebook '{name}'; there are {', '.join(place.guide.scripts)}")
    return _table(proofs.figures(place.guide, name, table))


def _install(place: Place) -> str:
    notebook = place.guide.methods[place.one].notebooks[0] if place.one in place.guide.methods else place.one
    if notebook not in place.guide.scripts:
        raise ValueError(f"no method page and no notebook '{place.one}'")
    return methods.install(place.guide.scripts[notebook])


def _speeds(place: Place) -> str:
    shape = " ".join(place.arguments)
    others = speeds.on_other_cpus(place.guide, shape, place.link)
    return "\n\n".join([_table(speeds.on_cpu(place.guide, shape, place.link)), *(table.html() for table in others)])


def _traps(place: Place) -> str:
    if not place.arguments:
        return methods.traps_of_all(place.guide, place.link)
    return methods.traps(place.guide, place.method_name, place.link)


def _stored(place: Place) -> str:
    parts = []
    for record in place.guide.records.values():
        table = measures.stored(place.guide, record)
        folded = render("folded.html.jinja", title=f"All {len(table.rows)} cases", html=table.html())
        parts += [f"{record.summary().capitalize()}.", folded]
    return "\n\n".join(parts)


MARKS: dict[str, Callable[[Place], str]] = {
    "badges": lambda place: methods.badges(place.guide, place.method),
    "cells": lambda place: methods.one_fact(place.guide, place.one, place.link).html(),
    "activations": lambda place: _table(ladders.activations(place.guide, place.link)),
    "colab": lambda place: colab.by_answer(place.guide, place.link),
    "claims": lambda place: numbers.claims(place.guide).html(),
    "diagram": lambda place: diagrams.svg(place.one),
    "differences": lambda place: methods.differences(place.guide, place.link).html(),
    "engine": lambda place: engines.facts(place.guide, place.engine_name, place.link),
    "engine-head": lambda place: engines.head(place.engine),
    "engine-traps": lambda place: engines.traps(place.engine),
    "facts": lambda place: methods.facts(place.method),
    "figures": _figures,
    "fits": lambda place: fits.fits(place.guide, place.arguments).html(),
    "gpu-numbers": lambda place: speeds.on_gpus(place.guide, place.link),
    "group": lambda place: "\n\n".join(methods.group(place.guide, group) for group in place.groups),
    "install": _install,
    "links": lambda place: methods.elsewhere(place.method),
    "kl-scale": lambda place: f"{ladders.scale(place.guide)}.",
    "ladder": _ladder,
    "matrix": lambda place: engines.matrix(place.guide, place.link).html(),
    "misled": lambda place: _table(ladders.misled(place.guide, place.link)),
    "names": lambda place: engines.names(place.guide, place.link).html(),
    "needs": lambda place: fits.needs(place.guide, place.arguments).html(),
    "not-measured": lambda place: ladders.not_measured(place.guide),
    "numbers": lambda place: numbers.of_method(place.guide, place.method_name, place.link),
    "overview": lambda place: methods.overview(place.guide, place.link).html(),
    "origin": lambda place: ladders.origin(place.guide) or "Nothing was measured yet.",
    "own-text": lambda place: ladders.own_text(place.guide),
    "plot": lambda place: numbers.plot(place.guide, place.one),
    "proof": _proof,
    "pros-cons": lambda place: methods.pros_and_cons(place.method),
    "selector": lambda place: forms.selector(place.guide),
    "source": lambda place: place.link.source(place.one),
    "speeds": _speeds,
    "storage": _stored,
    "symptoms": lambda place: symptoms.index(place.guide, place.link),
    "traps": _traps,
    "use-cases": lambda place: methods.use_cases(place.guide, place.groups),
    "works": lambda place: methods.works(place.guide, place.link, short=place.arguments == ["short"]).html(),
    "widths": lambda place: ladders.widths(place.guide).html(),
}


def _told(code: str, why_not_pasted: str) -> str:
    """Code that says of a name what a reader puts in the place of what the notebook made."""
    if not (found := re.fullmatch(r"(\w+) stands for (.+)", why_not_pasted)):
        return code
    return re.sub(rf"^({found[1]} = .+)$", rf"\1  # put {found[2]} here", code, flags=re.MULTILINE)


def fill(guide: Guide, markdown: str, page: str, link: Links) -> str:
    """A page's Markdown with its marks and includes replaced; raises GuideError naming the page and the mark or section."""

    def marked(mark: re.Match[str]) -> str:
        if mark["word"] not in MARKS:
            raise GuideError(f"{page}: unknown mark '{mark[0]}'; known are {', '.join(MARKS)}.")
        try:
            return MARKS[mark["word"]](Place(guide, link, mark["arguments"].split()))
        except ValueError as error:
            raise GuideError(f"{page}: the mark '{mark[0]}' cannot be filled: {error}.") from error

    def included(include: re.Match[str]) -> str:
        folder, _, name = include["path"].removesuffix(".py").rpartition("/")
        if folder != "snippets" or name not in guide.scripts:
            raise GuideError(f"{page} includes {include['path']}, which is not there.")
        try:
            code = completed(guide.scripts[name], guide.shared, include["section"])
            code = _told(code, guide.scripts[name].head.guide.not_pasted.get(include["section"], ""))
        except GuideError as error:
            section = include["section"]
            raise GuideError(f"{page} includes the section '{section}', which {include['path']} does not have.") from error
        return "\n".join(f"{include['indent']}{line}" if line else "" for line in code.splitlines())

    return INCLUDE.sub(included, MARK.sub(marked, markdown))
