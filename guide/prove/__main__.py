"""``python -m guide.prove``: run notebooks and record what happened; every claim of the guide rests on what this writes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from guide.facts.guide import Guide
from guide.facts.load import load
from guide.facts.proof import Machine, Proof
from guide.notebooks.build import fault
from guide.project import GuideError, Project
from guide.prove import local
from guide.prove.choice import Chosen, chosen
from guide.prove.failures import Failed, paragraph
from guide.prove.lock import alone
from guide.prove.machine import this_machine
from guide.prove.progress import Reporter
from guide.prove.run import Options, Run


def check_built(guide: Guide, choice: list[Chosen]) -> None:
    """Raise GuideError where a notebook is not what its script builds: nobody would read what is proven."""
    for one in choice:
        if found := fault(guide.scripts[one.name], guide.notebooks[one.name], guide.committed.get(one.name)):
            raise GuideError(found)


def verdict(guide: Guide, machine: Machine, proof: Proof) -> str:
    """One paragraph on how a run ended."""
    if proof.error:
        return paragraph(proof.notebook, proof.error)
    checked = (
        "it shows faults alone, and measures nothing."
        if guide.scripts[proof.notebook].head.guide.only_faults
        else f"without quantization or with other widths all {len(proof.control)} checks fail, as they must."
    )
    weights = "the stand-in" if proof.stand_in else "the real model"
    return f"{proof.notebook}: proven on {machine.slug} with {weights} in {proof.seconds:.0f} s; {checked}"


def sorted_out(guide: Guide, machine: Machine, choice: list[Chosen], given: argparse.Namespace,
               reporter: Reporter) -> tuple[list[str], int]:  # fmt: skip
    """The notebooks that are left to run, having said why the others are not, and how many of those are failures."""
    todo, failed = [], 0
    for one in choice:
        needs = guide.scripts[one.name].head.guide.needs
        if not machine.satisfies(needs) and one.named:
            lacking = Failed("wrong hardware", f"It needs {needs}; this machine ({machine.slug}) does not have that")
            reporter.say(paragraph(one.name, lacking.failure))
            failed += 1
        elif not machine.satisfies(needs):
            reporter.say(f"{one.name}: left out, it needs {needs}.")
        elif not (given.force or one.again) and local.is_current(guide, machine, one.name, given.hub):
            reporter.say(f"{one.name}: unchanged since its proof of today's code on this machine, not run again.")
            if given.keep:
                local.keep(guide.project, machine, one.name)
        else:
            todo.append(one.name)
    return todo, failed


def prove(guide: Guide, machine: Machine, given: argparse.Namespace) -> int:
    """Prove what was asked for; returns the number that failed."""
    choice = chosen(guide, machine, given.names, given.changed, given.oldest)
    check_built(guide, choice)
    reporter = Reporter({})
    todo, failed = sorted_out(guide, machine, choice, given, reporter)
    reporter.expected = {name: local.expected_seconds(guide, machine, name) for name in todo}
    options = Options(install=not given.no_install, hub=given.hub)
    with reporter.progress:
        for name, following in zip(todo, [*todo[1:], None], strict=False):
            run = Run(guide, name, machine, options, partial(reporter.doing, name))
            executed, proof = run.prove(following)
            local.write(guide.project, machine, name, executed)
            if given.keep:
                local.keep(guide.project, machine, name)
            failed += proof.status == "failed"
            reporter.say(verdict(guide, machine, proof))
            for package, (pinned, found) in proof.differing_versions().items() if proof.versions else ():
                reporter.say(f"{name}: {package} is pinned at {pinned}, ran with {found}.")
    where = guide.project.relative(local.folder(guide.project, machine))
    reporter.say(f"{len(todo)} run, {len(choice) - failed} in order, {failed} failed; proofs in {where}.")
    return failed


def count(text: str) -> int:
    """A number of notebooks."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of notebooks")
    return int(text)


def main(arguments: Sequence[str] | None = None, project: Project | None = None) -> None:
    """The command; what is wrong ends it with a sentence, a notebook that failed with exit code 1."""
    parser = argparse.ArgumentParser(prog="nox -s prove --", description="Run notebooks and record what happened.")
    parser.add_argument(
        "names", nargs="*", metavar="NOTEBOOK", help="all that can run on this machine if nothing is asked for"
    )
    parser.add_argument(
        "--changed", action="store_true", help="those that can run here and have no proof of their code as it is"
    )
    parser.add_argument("--oldest", type=count, default=0, metavar="N", help="and again the N others with the oldest proofs")
    parser.add_argument("--keep", action="store_true", help="store the proofs in proofs/<machine>/, to be committed")
    parser.add_argument("--force", action="store_true", help="run notebooks again that have not changed since their proof")
    parser.add_argument("--no-install", action="store_true", help="use this interpreter and the packages it has")
    parser.add_argument("--hub", action="store_true", help="load the real models from the hub, not the stand-in")
    given = parser.parse_args(arguments)
    try:
        guide = load(project or Project.here(), damaged_proofs=True)  # --force --keep makes a damaged one anew
        with alone(guide.project.build / "prove.lock"):
            failed = prove(guide, this_machine(), given)
    except GuideError as error:
        sys.exit(str(error))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
