"""Which notebooks to prove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from guide.facts.guide import Guide
from guide.facts.proof import Machine, State


@dataclass(frozen=True)
class Chosen:
    """A notebook to prove, and why."""

    name: str
    named: bool = False  # by a person, for whom it is a failure where this machine cannot run it
    again: bool = False  # though nothing changed


def chosen(guide: Guide, machine: Machine, names: Sequence[str], changed: bool, oldest: int) -> list[Chosen]:
    """What to prove, in order: the named notebooks; with ``changed`` those without a proof of their code as it is; then, again
    though they did not change, the ``oldest`` others with the oldest proofs; all notebooks if nothing of this is asked.

    But for those that a person named, and where all are asked for, only what this machine can run. Raises GuideError for an
    unknown name.
    """
    if not (names or changed or oldest):
        return [Chosen(name) for name in guide.scripts]
    result = [Chosen(name, named=True) for name in dict.fromkeys(guide.names(names) if names else ())]
    others = [name for name, script in guide.scripts.items()
              if machine.satisfies(script.head.guide.needs) and name not in names]  # fmt: skip
    if changed:
        unproven = [name for name in others if guide.state(name) in (State.CHANGED, State.MISSING)]
        result += [Chosen(name) for name in unproven]
        others = [name for name in others if name not in unproven]
    dates = {name: best.proof.date for name in others if (best := guide.best(name))}
    return result + [Chosen(name, again=True) for name in sorted(dates, key=dates.__getitem__)[:oldest]]
