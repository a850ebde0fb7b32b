"""The guide's facts for programs: ``facts.json`` at the site's root, with its JSON Schema beside it."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, Field

from guide import proof as proofs
from guide.method import Method, read_methods
from guide.proof import Machine, Measure, State
from guide.script import read_script


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
    page: str = Field(description="the method's page, relative to the site's root")
    facts: Method
    notebooks: list[NotebookFacts]


class Facts(BaseModel):
    """Every fact of the guide. A cell's ``answer`` is yes, no or not verified; ``source`` says what it rests on."""

    model_config = ConfigDict(title="Facts of the Quantization Field Guide")

    schema_: str = Field(default="facts.schema.json", alias="$schema")
    transformers: str = Field(description="the release of Transformers that the facts were checked against")
    methods: dict[str, MethodFacts]


def notebook_facts(name: str) -> NotebookFacts:
    """A notebook's facts, with its best proof's measures."""
    script = read_script(name)
    found = proofs.ranked(script)
    proof = found[0][2] if found else None
    table = script.head.guide
    return NotebookFacts(
        name=name,
        needs=table.needs,
        pins=script.head.pins(cuda=True),
        state=proofs.state(proof, script),
        date=proof.date if proof else None,
        machine=proof.machine if proof else None,
        stand_in=proof.stand_in if proof else None,
        compared=not table.not_compared and not table.only_faults,
        measures=proof.measures if proof else [],
    )


def facts(transformers: str) -> Facts:
    """All facts; ``transformers`` is the release that the drift check pins."""
    methods = {
        name: MethodFacts(page=f"methods/{name}/", facts=method, notebooks=[notebook_facts(n) for n in method.notebooks])
        for name, method in read_methods().items()
    }
    return Facts(transformers=transformers, methods=methods)


def files(transformers: str) -> dict[str, str]:
    """What stands at the site's root: the facts and their schema, by file name."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Facts.model_json_schema(mode="serialization")}
    return {
        "facts.json": facts(transformers).model_dump_json(by_alias=True, indent=1) + "\n",
        "facts.schema.json": json.dumps(schema, indent=1) + "\n",
    }
