"""The record of ``nox -s compile``: whether torch.compile works on what each method makes, and changes nothing."""

from collections.abc import Mapping
from datetime import date

from pydantic import Field, ValidationError

from guide.facts.method import Answer, Cell, Method
from guide.facts.proof import Machine
from guide.project import GuideError, Strict, first_fault

MOST = (2, 0.01)  # times the distance from bf16 as it is, and nats on top: what rounding in another order may add


class Case(Strict):
    """One variant of a method, made of the reference model."""

    method: str
    variant: str
    notebook: str
    versions: dict[str, str]
    date: date
    plain: float | None = Field(default=None, description="KL from bf16 in nats a token, as it is")
    compiled: float | None = Field(default=None, description="the same once compiled; null where compiling failed")
    seconds: float | None = Field(default=None, description="compiling, and the 32 steps that were compared")
    graphs: int = Field(default=0, description="graphs that were compiled")
    breaks: dict[str, int] = Field(default={}, description="why a graph ended, and how often")
    failed: str = ""
    generate_compiles: bool | None = Field(default=None, description="whether generate compiles by itself; a GPU alone tells")
    same_tokens: bool | None = Field(default=None, description="whether it then gives the tokens that it gives uncompiled")
    generate_failed: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What no other case of a record has."""
        return self.method, self.variant

    @property
    def works(self) -> bool:
        """Whether something was compiled and says what it says as it is."""
        if self.plain is None or self.compiled is None or not self.graphs:
            return False
        return self.compiled <= MOST[0] * self.plain + MOST[1]

    def line(self) -> str:
        """The case in one line for a terminal."""
        if self.compiled is None:
            text = f"fails: {self.failed}"
        elif not self.graphs:
            text = "nothing of it is compiled"
        else:
            same = "the same" if self.works else "something else"
            broken = sum(self.breaks.values())
            text = f"says {same} (KL {self.compiled:.3g} for {self.plain:.3g}), {self.graphs} graphs, {broken} breaks"
        alone = {None: "", True: "; generate compiles it by itself", False: "; generate does not compile it"}
        return f"{self.method} {self.variant}: {text}{alone[self.generate_compiles]}"


class Record(Strict):
    """All cases of one machine."""

    machine: Machine
    cases: list[Case]


def parse_compiled(path: str, text: str) -> Record:
    """The record of this text; raises GuideError naming ``path`` and the field that is wrong."""
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        raise GuideError(f"In {path}, {first_fault(error)}.") from error


def outcome(case: Case) -> str:
    """What compiling a variant came to, in a few words."""
    if case.compiled is None:
        return f"fails ({case.failed.partition(':')[0]})"
    if not case.graphs:
        return "nothing of it is compiled"
    if not case.works:
        return f"says something else (KL {case.compiled:.2g} from bf16, as it is {case.plain:.2g})"
    return "says the same, with graph breaks" if case.breaks else "says the same, without a graph break"


def with_runs(name: str, method: Method, records: Mapping[str, Record]) -> Method:
    """The method with what the records found of its variants; raises GuideError where the page answers by hand as well.

    Where a GPU ran a variant, its answer is the variant's: compiling is for GPUs first.
    """
    labels = {variant.id: variant.label for variant in method.variants}
    found: dict[str, dict[str, Case]] = {}
    for record in sorted(records.values(), key=lambda one: one.machine.kind):  # a CPU before a GPU
        for case in record.cases:
            if case.method == name and case.variant in labels:
                found.setdefault(case.variant, {})[short(record.machine)] = case
    if not found:
        return method
    if "torch_compile" in method.features.model_fields_set:
        raise GuideError(f"docs/methods/{name}.md answers 'torch_compile', which was run: delete that cell; proofs/compiled/ "
                         "has the answer.")  # fmt: skip
    runs = sorted({f"run {case.date} with torch {case.versions['torch'].partition('+')[0]} on {machine}"
                   for cases in found.values() for machine, case in cases.items()})  # fmt: skip
    cells, notes = dict[str, Cell](), dict[str, list[str]]()
    for variant, cases in found.items():
        outcomes = {machine: outcome(case) for machine, case in cases.items()}
        same = len(set(outcomes.values())) == 1
        said = next(iter(outcomes.values())) if same else ", ".join(f"{text} on {on}" for on, text in outcomes.items())
        answer = Answer.YES if list(cases.values())[-1].works else Answer.NO
        cells[variant] = Cell(answer=answer, note=said, source="; ".join(runs))
        notes.setdefault(said, []).append(labels[variant])
    answer = Answer.YES if any(cell.answer is Answer.YES for cell in cells.values()) else Answer.NO
    note = (
        "; ".join(f"{', '.join(variants)}: {said}" for said, variants in notes.items())
        if len(notes) > 1
        else next(iter(notes))
    )
    whole = Cell(answer=answer, note=note, source="; ".join(runs))
    variants = [
        one.model_copy(update={"features": {**one.features, "torch_compile": cells[one.id]}}) if one.id in cells else one
        for one in method.variants
    ]
    features = method.features.model_copy(update={"torch_compile": whole})
    return method.model_copy(update={"features": features, "variants": variants})


def short(machine: Machine) -> str:
    """A machine in a word or two, for a note: 'a CPU', 'H100'."""
    return "a CPU" if machine.kind == "cpu" else machine.name.removeprefix("NVIDIA ").partition(" ")[0]
