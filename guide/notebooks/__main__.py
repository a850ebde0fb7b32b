"""``python -m guide.notebooks``: build notebooks/ from snippets/, or check that they are what the scripts build."""

import argparse
import sys
from collections.abc import Sequence

from guide.facts.load import load_scripts
from guide.notebooks.build import linked_repository, to_text
from guide.project import Project, told, write_whole


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
        known.project.notebooks.mkdir(exist_ok=True)
        for name in known.names(given.names):
            linked = linked_repository(name, known.committed.get(name))
            repository = None if known.tried.failed(name) else linked or known.project.published
            text = to_text(known.notebooks[name], name, repository)
            if known.committed.get(name) != text:
                path = known.project.notebooks / f"{name}.ipynb"
                write_whole(path, text)
                print(f"built {known.project.relative(path)}")


if __name__ == "__main__":
    main()
