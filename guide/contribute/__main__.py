"""``python -m guide.contribute method NAME``: make the two files of a new method."""

import argparse
from collections.abc import Sequence

from guide.contribute.new import method_files
from guide.facts.load import load
from guide.project import Project, told, write_whole


def main(arguments: Sequence[str] | None = None, project: Project | None = None) -> None:
    """The command; what is wrong ends it with a sentence, and writes nothing."""
    parser = argparse.ArgumentParser(prog="nox -s new --", description="Make the two files of a new method from templates.")
    parser.add_argument("what", choices=["method"])
    parser.add_argument("name", metavar="NAME", help="of its page: docs/methods/NAME.md")
    given = parser.parse_args(arguments)
    project = project or Project.here()
    with told():
        made = method_files(load(project), given.name)
        for path, text in made.items():
            write_whole(project.root / path, text)
            print(f"wrote {path}")
    print("Fill in what is marked FILL in both, then run: nox -s notebooks && nox -s serve. Prove it with: nox -s prove -- "
          f"{given.name.replace('-', '_')} --keep")  # fmt: skip


if __name__ == "__main__":
    main()
