"""The record of ``nox -s compile``: whether torch.compile works on what each method makes, and changes nothing."""

from datetime import date

from pydantic import Field, ValidationError

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
