"""``python -m guide.notebooks``: build notebooks/ from snippets/, or check that they are what the scripts build."""

import argparse
import sys
from collections.abc import Sequence

from guide.facts.load import load_scripts
from guide.notebooks.build import rebuilt
from guide.project import Project, told


def main(arguments: Sequence[str] | None = None, project: Project | None = None) -> None:
    """The command; what is wrong ends it with a sentence each."""
    parser = argparse.ArgumentParser(prog="nox -s notebooks --", description="Build notebooks/ from snippets/.")
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="all if none is given")
    parser.add_argument("--check", action="store_true", help="change nothing, fail if one is stale or edited")
    given = parser.parse_args(arguments)
    with told():
        known = load_scripts(project or Project.here())
        if given.check:
            if faults := known.faults():
                sys.exit("\n".join(faults))
            print(f"{len(known.scripts)} notebooks are what their scripts build.")
            return
        chosen = {name: known.to_commit(name) for name in known.names(given.names)}
        for path in rebuilt(known.project.notebooks, chosen, known.committed):
            print(f"built {known.project.relative(path)}")


if __name__ == "__main__":
    main()
