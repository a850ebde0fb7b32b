"""The guide's facts for programs: ``facts.json`` at the site's root, with its JSON Schema beside it."""

import json

from pydantic import BaseModel, ConfigDict, Field

from guide.facts.engine import Engine, Format, Generation
from guide.facts.guide import Guide
from guide.facts.method import Method
from guide.facts.number import Number
from guide.facts.proof import Machine, Measure, State
from guide.facts.symptoms import Symptom, parse_symptoms


class NotebookFacts(BaseModel):
    """One notebook and the best proof of it that is stored."""

    name: str
    needs: str = Field(description="the least hardware it runs on: cpu, cuda or cuda>=MAJOR.MINOR")
    pins: list[str] = Field(description="the packages it was written for, as pip requirements")
    state: State
    date: str | None = Field(description="when the proof was made, ISO 8601 in UTC; null without one")
    machine: Machine | None
    stand_in: bool | None = Field(description="whether the guide's small reference model ran under the public model's name")
    compared: bool = Field(description="whether its measures may be compared with those of other notebooks")
    measures: list[Measure]


class MethodFacts(BaseModel):
    """One method: its page, its facts, its notebooks."""

    page: str = Field(description="the method's page, relative to the site's root")
    facts: Method
    notebooks: list[NotebookFacts]


class Facts(BaseModel):
    """Every fact of the guide. A cell's ``answer`` is yes, no or not verified; ``source`` says what it rests on."""

    model_config = ConfigDict(title="Facts of the Quantization Field Guide", populate_by_name=True)

    schema_: str = Field(default="facts.schema.json", alias="$schema")
    transformers: str = Field(description="the release of Transformers that the facts were checked against")
    methods: dict[str, MethodFacts]
    formats: list[Format] = Field(description="what files hold, the rows of the matrix of engines")
    generations: list[Generation] = Field(description="generations of hardware")
    parts: list[Generation] = Field(description="hardware that is told apart within, or before, a generation")
    engines: dict[str, Engine] = Field(description="what each engine loads, by its page below engines/")
    symptoms: tuple[Symptom, ...] = Field(description="what people see when something fails, with cause, cure and report")
    numbers: dict[str, dict[str, Number]] = Field(description="what was measured of the real model, by machine and variant")


def notebook_facts(guide: Guide, name: str) -> NotebookFacts:
    """A notebook's facts, with its best proof's measures."""
    script, best = guide.scripts[name], guide.best(name)
    proof, table = best.proof if best else None, script.head.guide
    return NotebookFacts(
        name=name,
        needs=table.needs,
        pins=script.head.pins(cuda=True),
        state=guide.state(name),
        date=proof.date if proof else None,
        machine=proof.machine if proof else None,
        stand_in=proof.stand_in if proof else None,
        compared=not table.not_compared and not table.only_faults,
        measures=proof.measures if proof else [],
    )


def facts(guide: Guide) -> Facts:
    """All facts."""
    methods = {
        name: MethodFacts(
            page=f"methods/{name}/", facts=method, notebooks=[notebook_facts(guide, notebook) for notebook in method.notebooks]
        )
        for name, method in guide.methods.items()
    }
    records = {machine: dict(found) for machine, found in guide.numbers.items()}
    return Facts(
        transformers=guide.transformers,
        methods=methods,
        formats=guide.common.formats,
        generations=guide.common.generations,
        parts=guide.common.parts,
        engines=dict(guide.engines),
        symptoms=parse_symptoms(guide.pages["symptoms.md"]),
        numbers=records,
    )


def files(guide: Guide) -> dict[str, str]:
    """What stands at the site's root: the facts and their schema, by file name."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Facts.model_json_schema(mode="serialization")}
    return {
        "facts.json": facts(guide).model_dump_json(by_alias=True, indent=1) + "\n",
        "facts.schema.json": json.dumps(schema, indent=1) + "\n",
    }
