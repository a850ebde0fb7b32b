"""Symptoms: what people see or paste when something does not work, each with its cause, its cure and who reported it.

They are the front matter of ``docs/symptoms.md``, and a link to ``symptoms.md#<id>`` leads to the one of PAGES that shows it.
A cell tagged ``symptom:<id>`` of a notebook shows one happen.
"""

import ast
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from guide.facts.cells import printed, tagged
from guide.facts.guide import Guide
from guide.facts.method import front_matter
from guide.notebooks.script import Script
from guide.project import GuideError, Strict, first_fault

PAGE = "docs/symptoms.md"
TAG = "symptom:"


class Group(StrEnum):
    """Where a symptom is met; the pages follow this order."""

    LOADING = "loading"
    FIRST = "first answer"
    SETTINGS = "settings"
    INSTALLING = "installing"
    SAVING = "saving"
    CALIBRATING = "calibrating"
    CONVERTING = "converting"
    MEMORY = "out of memory"
    SLOW = "slow"
    GARBAGE = "gibberish and garbage output"
    TRAINING = "training"
    SERVING = "serving"

    @property
    def anchor(self) -> str:
        """The id of its heading."""
        return self.lower().replace(" ", "-")


# The pages that show them, as docs/symptoms.md lists them: one for all would be too heavy for a phone
PAGES = {
    "symptoms-loading.md": (Group.LOADING, Group.FIRST),
    "symptoms-settings.md": (Group.SETTINGS,),
    "symptoms-installing.md": (Group.INSTALLING,),
    "symptoms-saving.md": (Group.SAVING, Group.CALIBRATING, Group.CONVERTING),
    "symptoms-running.md": (Group.MEMORY, Group.SLOW),
    "symptoms-garbage.md": (Group.GARBAGE,),
    "symptoms-training.md": (Group.TRAINING,),
    "symptoms-serving.md": (Group.SERVING,),
}
SILENT = "symptoms-garbage.md"  # that lists the traps which say nothing, too


class Symptom(Strict):
    """One entry of the index."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    group: Group
    title: str = Field(description="the heading: the error's own words, or what is seen")
    message: str = Field(default="", description="the stable part of what is printed, as it is printed")
    see: str = Field(default="", description="what is seen, where nothing is printed")
    versions: str = Field(description="since when, until when, or where it was seen; as a sentence begins")
    cause: str
    cure: str
    code: str = Field(default="", description="of the cure")
    source: Annotated[
        str,
        Field(
            pattern=r"^(https://[^\s<>()]+|[\w/-]+\.md)$",
            description="the public report: its address, or a page of the guide that has it",
        ),
    ]
    said: str = Field(description="what the report says, in a line, with its date")
    pages: list[str] = Field(default=[], description="pages of docs/ that explain more")

    @property
    def language(self) -> str:
        """Of the cure's code: what is no Python is for a shell."""
        try:
            ast.parse(self.code)
        except SyntaxError:
            return "bash"
        return "python"

    @model_validator(mode="after")
    def _shows_something(self) -> Self:
        if "```" in self.message + self.code:
            raise ValueError(f"'{self.id}' has '```' in its message or its code, which ends the block they stand in")
        if not self.message and not self.see:
            raise ValueError(f"'{self.id}' says neither what is printed nor what is seen")
        return self


class Symptoms(Strict):
    """The front matter of the page."""

    title: str
    description: str
    search: dict[str, float] = Field(default={}, description="for the theme: how the search weighs the page")
    symptoms: list[Symptom]

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        ids = [one.id for one in self.symptoms]
        if twice := [one for one in ids if ids.count(one) > 1]:
            raise ValueError(f"'{twice[0]}' is the id of two symptoms")
        return self


@dataclass(frozen=True)
class ShownSymptom:
    """A symptom with the cell that shows it, if one does."""

    symptom: Symptom
    script: Script | None
    printed: str | None  # by the cell in the proof of today's code that the pages show; None where there is none


@lru_cache(maxsize=8)
def parse_symptoms(text: str) -> tuple[Symptom, ...]:
    """The symptoms of the page's text; raises GuideError with the field that is wrong."""
    try:
        return tuple(Symptoms.model_validate(front_matter(PAGE, text)).symptoms)
    except ValidationError as error:
        raise GuideError(f"In the front matter of {PAGE}, {first_fault(error)}.") from error


def pages_of_symptoms(guide: Guide) -> dict[str, str]:
    """The page that shows each symptom, by its id, and each group, by the id of its heading."""
    of_group = {group: page for page, groups in PAGES.items() for group in groups}
    pages = {one.id: of_group[one.group] for one in parse_symptoms(guide.pages["symptoms.md"])}
    return pages | {group.anchor: page for group, page in of_group.items()}


def shown_symptoms(guide: Guide) -> list[ShownSymptom]:
    """All symptoms in the order of the page; raises GuideError where a cell is tagged with one that it does not have."""
    shown: dict[str, Script] = {}
    for name, notebook in guide.notebooks.items():
        for one in tagged(notebook, TAG):
            if one in shown:
                raise GuideError(f"Two cells are tagged '{TAG}{one}', of {shown[one].path} and {guide.scripts[name].path}.")
            shown[one] = guide.scripts[name]
    found = parse_symptoms(guide.pages["symptoms.md"])
    if extra := set(shown) - {one.id for one in found}:
        raise GuideError(f"{shown[min(extra)].path} has a cell tagged '{TAG}{min(extra)}', which {PAGE} does not describe.")
    return [
        ShownSymptom(one, script, printed(guide, script, TAG, one.id) if script else None)
        for one in found
        for script in [shown.get(one.id)]
    ]
