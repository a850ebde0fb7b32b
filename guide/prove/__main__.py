"""``python -m guide.prove``: run notebooks and record what happened; every claim of the guide rests on what this writes."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from guide.facts.guide import Guide
from guide.facts.load import load
from guide.facts.proof import Machine, Proof, State
from guide.notebooks.build import fault
from guide.project import GuideError, Project, told
from guide.prove.failures import Failed, paragraph
from guide.prove.local import Local
from guide.prove.locks import alone
from guide.prove.machine import this_machine
from guide.prove.repeated import differences
from guide.prove.reporting import Reporter
from guide.prove.run import Run


def chosen(guide: Guide, machine: Machine, names: Sequence[str], changed: bool, oldest: int) -> tuple[list[str], list[str]]:
    """What to prove, in order, and what after that again, though it did not change; all if nothing of this is asked.

    First the named notebooks, then with ``changed`` those without a proof of their code as it is; again the ``oldest`` others
    with the oldest proofs. Of those that nobody named only what this machine can run. Raises GuideError for an unknown name.
    """
    if not (names or changed or oldest):
        return list(guide.scripts), []
    first = list(dict.fromkeys(guide.names(names) if names else ()))
    others = [name for name, script in guide.scripts.items()
              if machine.satisfies(script.head.guide.needs) and name not in names]  # fmt: skip
    if changed:
        first += [name for name in others if guide.state(name) in (State.CHANGED, State.MISSING)]
    dates = {name: best.proof.date for name in others if name not in first and (best := guide.best(name))}
    return first, sorted(dates, key=dates.__getitem__)[:oldest]


def ended(guide: Guide, machine: Machine, proof: Proof) -> list[str]:
    """How a run ended, and which packages ran in another version than pinned, a sentence each."""
    name, differing = proof.notebook, proof.differing_versions().items() if proof.versions else ()
    versions = [f"{name}: {package} is pinned at {pinned}, ran with {found}." for package, (pinned, found) in differing]
    if proof.error:
        return [paragraph(name, proof.error), *versions]
    if guide.scripts[name].head.guide.only_faults:
        checked = "it shows faults alone, and measures nothing."
    else:
        checked = f"without quantization or with other widths all {len(proof.control)} checks fail, as they must."
    weights = "the stand-in" if proof.stand_in else "the real model" if proof.models else "models of its own"
    return [f"{name}: proven on {machine.slug} with {weights} in {proof.seconds:.0f} s; {checked}", *versions]


def prove(guide: Guide, machine: Machine, given: argparse.Namespace) -> int:
    """Prove what was asked for; returns the number that failed."""
    first, again = chosen(guide, machine, given.names, given.changed, given.oldest)
    for name in first + again:
        if found := fault(guide.scripts[name], guide.notebooks[name], guide.committed.get(name)):
            raise GuideError(found)  # nobody would read what is proven
    reporter, local = Reporter(), Local(guide, machine)
    todo, failed = [], 0
    for name in first + again:
        needs = guide.scripts[name].head.guide.needs
        if not machine.satisfies(needs) and name in given.names:
            lacking = Failed("wrong hardware", f"It needs {needs}; this machine ({machine.slug}) does not have that")
            reporter.say(paragraph(name, lacking.failure))
            failed += 1
        elif not machine.satisfies(needs):
            reporter.say(f"{name}: left out, it needs {needs}.")
        elif not (given.force or name in again) and local.is_current(name, given.hub):
            reporter.say(f"{name}: unchanged since its proof of today's code on this machine, not run again.")
            if given.keep:
                local.keep(name)
        else:
            todo.append(name)
    reporter.expected = {name: local.expected_seconds(name) for name in todo}
    with reporter.progress:
        for name, following in zip(todo, [*todo[1:], None], strict=False):
            run = Run(guide, name, machine, partial(reporter.doing, name), install=not given.no_install, hub=given.hub)
            executed, proof = run.prove(following)
            local.write(name, executed)
            if given.keep:
                local.keep(name)
            unlike = list(differences(guide, proof)) if proof.status == "passed" else []
            failed += proof.status == "failed" or bool(unlike and not given.keep)
            for sentence in ended(guide, machine, proof):
                reporter.say(sentence)
            for sentence in unlike:
                done = (
                    "The new proof is kept in its place."
                    if given.keep
                    else f"'nox -s prove -- {name} --force --keep' keeps it."
                )
                reporter.say(f"{name}: not repeated. {sentence}. {done}")
    where = guide.project.relative(local.folder)
    reporter.say(f"{len(todo)} run, {len(first + again) - failed} in order, {failed} failed; proofs in {where}.")
    return failed


def count(text: str) -> int:
    """A number of notebooks."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of notebooks")
    return int(text)


def main(arguments: Sequence[str] | None = None, project: Project | None = None) -> None:
    """The command; what is wrong ends it with a sentence, a notebook that failed with exit code 1."""
    parser = argparse.ArgumentParser(prog="nox -s prove --", description="Run notebooks and record what happened.")
    add = parser.add_argument
    add("names", nargs="*", metavar="NOTEBOOK", help="all that can run on this machine if nothing is asked for")
    add("--changed", action="store_true", help="those that can run here and have no proof of their code as it is")
    add("--oldest", type=count, default=0, metavar="N", help="and again the N others with the oldest proofs")
    add("--keep", action="store_true", help="store the proofs in proofs/<machine>/, to be committed")
    add("--force", action="store_true", help="run notebooks again that have not changed since their proof")
    add("--no-install", action="store_true", help="use this interpreter and the packages it has")
    add("--hub", action="store_true", help="load the real models from the hub, not the stand-in")
    given = parser.parse_args(arguments)
    with told():
        guide = load(project or Project.here(), damaged_proofs=True)  # --force --keep makes a damaged one anew
        with alone(guide.project.build / "prove.lock"):
            failed = prove(guide, this_machine(), given)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
