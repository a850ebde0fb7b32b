"""Weigh models that were quantized, tensor by tensor, and record it beside what the memory calculator predicts."""

import argparse
from dataclasses import replace

from guide.bench.recipe import Recipe, recipes
from guide.bench.records import latest_record, predicted_anew, store, with_cases
from guide.bench.weigh import weigh
from guide.facts.guide import Guide
from guide.facts.load import load
from guide.project import GuideError, Project, told
from guide.prove.machine import this_machine


def chosen(guide: Guide, methods: list[str]) -> list[Recipe]:
    """The recipes of the given methods, of all if none is given; raises GuideError naming what is not weighed."""
    known = recipes(guide)
    unknown = [name for name in methods if name not in known]
    if unknown:
        raise GuideError(f"Not weighed here: {', '.join(unknown)}. Known: {', '.join(known)}.")
    return [known[name] for name in methods or known]


def weigh_all(guide: Guide, given: argparse.Namespace) -> None:
    """Weigh what was asked for, storing after each shape; then predict anew all that was ever weighed."""
    machine = this_machine()
    for recipe in [] if given.predict else chosen(guide, given.methods):
        variants = [one for one in recipe.variants if not given.variant or one.id in given.variant]
        for name in [one for one in recipe.shapes if variants and (not given.shape or one in given.shape)]:
            cases, shape = weigh(guide, replace(recipe, variants=tuple(variants)), name, machine)
            for case in cases:
                print(case.line(), flush=True)
            # Read again, since another process may have weighed in the meantime.
            store(guide.project, with_cases(latest_record(guide, machine), cases, name, shape), given.keep)
    record = predicted_anew(guide, latest_record(guide, machine))
    store(guide.project, record, given.keep)
    print(record.summary())


def main() -> None:
    """The command ``nox -s weigh``."""
    parser = argparse.ArgumentParser(prog="nox -s weigh --", description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="all that run on a CPU if none is given")
    parser.add_argument("--shape", action="append", metavar="NAME", help="only this shape; may be given more than once")
    parser.add_argument("--variant", action="append", metavar="ID", help="only this variant; may be given more than once")
    parser.add_argument("--keep", action="store_true", help="store the record in proofs/storage/, to be committed")
    parser.add_argument("--predict", action="store_true", help="weigh nothing, predict anew what was weighed")
    with told():
        weigh_all(load(Project.here()), parser.parse_args())


if __name__ == "__main__":
    main()
