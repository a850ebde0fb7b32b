"""What engines were seen to do with checkpoints: rows of proofs, beside what engines' pages say."""

from collections.abc import Iterator
from dataclasses import dataclass

from guide.facts.guide import Guide
from guide.facts.method import Answer
from guide.facts.proof import Served, State, Stored


@dataclass(frozen=True)
class Ran:
    """One checkpoint in one engine, as it was run."""

    engine: str  # its page
    notebook: str
    stored: Stored
    row: Served

    @property
    def place(self) -> str | None:
        """The generation of hardware that it ran on; None where that is not told from the machine."""
        return "cpu" if self.stored.proof.machine.kind == "cpu" else None


def runs(guide: Guide, engine: str) -> list[Ran]:
    """What today's code was seen to do in an engine, on every machine that has a proof."""
    found = []
    for name, script in guide.scripts.items():
        if script.head.guide.engine == engine:
            proven = [stored for stored in guide.proofs[name] if stored.state is State.PROVEN]
            found += [Ran(engine, name, stored, row) for stored in proven for row in stored.proof.served]
    return found


def faults(guide: Guide) -> Iterator[str]:
    """Cells of engines' pages that say other than a run showed, and runs of formats that no page has, a sentence each."""
    for name, engine in guide.engines.items():
        for ran in runs(guide, name):
            row, page = ran.row, f"docs/engines/{name}.md"
            if row.format not in engine.formats:
                yield f"snippets/{ran.notebook}.py serves '{row.format}', which docs/engines/index.md does not know."
                continue
            here = next((one for one in guide.common.generations if one.id == ran.place), None)
            cell = engine.formats[row.format]
            said = engine.on(row.format, here) if here else cell.answer
            refused_model = bool(cell.only) and not row.loads  # one that the cell does not name
            if row.loads != (said is Answer.YES) and not refused_model:
                seen = f"{ran.stored.path} shows that it {'loads' if row.loads else 'is refused'}"
                yield f"{page}: formats.{row.format} says '{said}' for {ran.place}, but {seen}."
