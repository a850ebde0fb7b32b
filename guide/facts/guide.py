"""The guide as a whole: everything that ``load`` read of a project, frozen, with the questions that all rooms ask of it."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nbformat import NotebookNode

from guide.facts import compiled, number
from guide.facts.colab import Image, InColab, Outcome, Tried, in_colab
from guide.facts.engine import Common, Engine, Listed
from guide.facts.method import Cell, Method, Variant
from guide.facts.number import Number, NumbersScript, Part, RealModel
from guide.facts.proof import State, Stored
from guide.facts.storage import Case, Record
from guide.notebooks import build as notebooks
from guide.notebooks import rules
from guide.notebooks.build import Shared
from guide.notebooks.script import Script
from guide.project import GuideError, Project


@dataclass(frozen=True)
class Scripts:
    """What ``snippets/`` and ``notebooks/`` hold: enough to build notebooks, before there is a page or a proof of them."""

    project: Project
    scripts: Mapping[str, Script]  # by name, sorted
    shared: Shared
    notebooks: Mapping[str, NotebookNode]  # as the scripts build them; copy one before you change it
    committed: Mapping[str, str]  # the text of notebooks/<name>.ipynb
    transformers: str  # the release that the guide describes and ``nox -s drift`` checks
    tried: Tried  # what came of the notebooks on the packages of Colab's image

    def names(self, given: Iterable[str]) -> list[str]:
        """The given notebook names, or all of them if none is given; an unknown one raises with the known ones."""
        given = list(given)
        for name in given:
            if name not in self.scripts:
                raise GuideError(f"There is no notebook '{name}'. Known: {', '.join(self.scripts)}.")
        return given or list(self.scripts)

    def to_commit(self, name: str) -> str:
        """The text of a notebook as it is committed: with a link to Colab, where the repository is known and Colab can run it;
        a fork keeps the link that it has."""
        linked = notebooks.linked_repository(name, self.committed.get(name))
        repository = None if self.tried.failed(name) else linked or self.project.published
        return notebooks.to_text(self.notebooks[name], name, repository)

    def faults(self) -> list[str]:
        """What is wrong with the scripts and the committed notebooks, a sentence each."""
        found = [notebooks.fault(self.scripts[name], self.notebooks[name], self.committed.get(name)) for name in self.scripts]
        strays = sorted(set(self.committed) - set(self.scripts))
        found += [f"notebooks/{name}.ipynb has no script in snippets/: delete it, or write the script." for name in strays]
        read = [sentence for script in self.scripts.values() for sentence in rules.faults(script, self.transformers)]
        return [*read, *(fault for fault in found if fault)]


@dataclass(frozen=True)
class Guide(Scripts):
    """Everything that the site, the checks and the commands know."""

    methods: Mapping[str, Method]  # by page name, sorted
    engines: Mapping[str, Engine]  # by page name, in the order of the matrix
    image: Image  # what Colab runs a notebook in
    registries: Mapping[str, Listed]  # what an engine's own registry was found to list, by page name
    common: Common  # the formats and the generations of hardware that engines are asked about
    pages: Mapping[str, str]  # the text of every Markdown page, by its path below docs/
    assets: Mapping[str, bytes]  # every other file of docs/, by its path there
    proofs: Mapping[str, tuple[Stored, ...]]  # by notebook, the one to show first at the head
    compiled: Mapping[str, compiled.Record]  # what compiling came to, by machine; each method's facts have its answers
    records: Mapping[str, Record]  # what models were found to store, by machine
    recipes: Mapping[str, NumbersScript]  # what makes the variants of the real model, by file
    numbers: Mapping[str, Mapping[str, Number]]  # what was measured of them, by machine and variant
    real: RealModel
    guests: Mapping[str, str]  # the text of guide/guest/<name>.py, on which measured figures depend
    architectures: Mapping[str, Any]  # docs/assets/architectures.json
    configs: Mapping[str, Any]  # models/configs/, by name
    makers: Mapping[str, str]  # the text of models/checkpoints/, by name
    stand_in: str  # SHA-256 of the reference model, its tokenizer and its held-out text
    parameters: int  # of the reference model

    def digest(self, name: str, stand_in: bool) -> str:
        """The digest of a notebook's code as it is, for a proof on the stand-in or on real models; it may load neither."""
        table = self.scripts[name].head.guide
        digest = self.stand_in if stand_in and (table.models or table.texts) else None
        return notebooks.digest(self.scripts[name], self.notebooks[name], self.makers, digest)

    def digest_of(self, script: NumbersScript, variant: str, part: Part | Literal["made"]) -> str:
        """The digest of everything on which a part of a variant's record depends: code, pins and the real model."""
        timed = ["making", "racing", "stretching"]
        graph = [*timed, "compiling", "replaying"]
        own = {"made": ["making"], "quality": ["making", "judging"], "compiled": [*timed, "compiling"]}
        modules = {**own, "graph": graph, "compiled_graph": graph}.get(part, timed)
        counts = number.meaning(self.shared["measure"], ("decoder_linears", "stored_bytes", "weight_files_bytes"))
        sources = [script.text, counts, *(self.guests[name] for name in modules)]
        notebooks = {script.table.notebook, script.table.loads_in or script.table.notebook}
        pins = [pin for name in sorted(notebooks) for pin in self.scripts[name].head.pins(cuda=False)]
        return number.digest(tuple(sources), tuple(pins), variant, part, self.real.sha256)

    def colab_digest(self, name: str) -> str:
        """The digest of everything on which the outcome of a notebook on Colab's packages depends."""
        lines = notebooks.colab_lines(self.scripts[name])
        return hashlib.sha256("\n".join([self.digest(name, stand_in=True), *lines, self.image.digest]).encode()).hexdigest()

    def outcome(self, name: str) -> Outcome | None:
        """What came of a notebook's code as it is on Colab's packages, if that was tried."""
        found = self.tried.notebooks.get(name)
        return found if found and found.digest == self.colab_digest(name) else None

    def in_colab(self, name: str) -> InColab:
        """With which of Colab's GPUs a notebook runs."""
        script = self.scripts[name]
        return in_colab(self.image, name, script.head.guide, self.method_of(script), self.outcome(name))

    def best(self, name: str) -> Stored | None:
        """The proof to show of a notebook, if there is any."""
        return next(iter(self.proofs[name]), None)

    def state(self, name: str) -> State:
        """What may be said of a notebook."""
        best = self.best(name)
        return best.state if best else State.MISSING

    def method_of(self, script: Script) -> Method | None:
        """The method that a script's notebook proves; None of one that is about several."""
        return self.methods[script.head.guide.method] if script.head.guide.method else None

    def weighed(self, record: Record, case: Case) -> Variant:
        """The variant that a case of a record is of; raises GuideError where no page has it any more."""
        method = self.methods.get(case.method)
        if found := method.variant(case.variant) if method else None:
            return found
        path = self.project.relative(self.project.storage / f"{record.machine.slug}.json")
        raise GuideError(f"{path} has the variant '{case.variant}' of '{case.method}', which no page has: call it so "
                         "on its page, or run 'nox -s weigh -- --predict --keep', which leaves it out.")  # fmt: skip

    def cell(self, method: str, variant: Variant, label: str) -> Cell:
        """A fact of one variant: its own where it differs from its method's."""
        return variant.own_cell(label) or self.methods[method].cells()[label]
