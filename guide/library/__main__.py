"""``python -m guide.library``: compare the guide with the installed Transformers, or report what changed in the newest."""

import argparse
import sys
from collections.abc import Sequence

from guide.facts.guide import Guide
from guide.facts.load import load
from guide.library import engines
from guide.library.check import check, installed
from guide.library.newest import report, written
from guide.project import Project, told


def main(arguments: Sequence[str] | None = None, project: Project | None = None) -> None:
    """The command; each disagreement is a line, and any ends it with 1."""
    parser = argparse.ArgumentParser(prog="nox -s drift --", description="Compare the guide with the library it describes.")
    parser.add_argument("--latest", action="store_true", help="report what changed in the newest releases since the pins")
    parser.add_argument("--engines", action="store_true", help="read engines' registries in their wheels again")
    parser.add_argument("--keep", action="store_true", help="with --engines: store what was read")
    parser.add_argument("--fail", action="store_true", help="with --latest: exit with 1 if anything changed")
    given = parser.parse_args(arguments)
    with told():
        guide = load(project or Project.here())
        if given.latest:
            text = report(guide)
            print(text)
            print(f"kept in {guide.project.relative(written(guide, text))}", file=sys.stderr)
            sys.exit(1 if given.fail and "\n- " in text else 0)
        if given.engines:
            sys.exit(registries(guide, given.keep) or None)
        library = installed(guide)
        faults = [*check(guide, library), *engines.faults(guide)]
    for fault in faults:
        print(fault)
    if faults:
        sys.exit(f"{len(faults)} disagreement{'s' if len(faults) > 1 else ''} with {library.release}.")
    keys = f"{len(library.entries)} of {len(library.entries)} keys"
    print(f"The guide agrees with {library.release}: {keys}, their checks, flags and arguments, and its prose's names.")
    read = [f"{listed.distribution} {listed.version}" for listed in guide.registries.values()]
    print(f"Engines' pages agree with the registries of {', '.join(read)}.")


def registries(guide: Guide, keep: bool) -> str:
    """What changed in engines' registries since they were read, a line each; with ``keep`` that is stored."""
    changed = []
    for name, listed in engines.read_again(guide):
        path = guide.project.registries / f"{name}.json"
        if listed == guide.registries.get(name):
            continue
        if keep:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(engines.as_text(listed), encoding="utf-8")
            print(f"{guide.project.relative(path)}: {len(listed.names)} names.")
        else:
            changed.append(
                f"{guide.project.relative(path)} differs from {listed.distribution} {listed.version}: --keep stores it."
            )
    return "\n".join(changed)


if __name__ == "__main__":
    main()
