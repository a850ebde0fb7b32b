"""Gather, on a connected machine, the wheels that a GPU node without a network lacks to prove notebooks.

What the node has already (``--have``, its ``pip freeze``) is left out. torch is left out too: a node has one that is built for
its CUDA, and the index's costs gigabytes.
"""

import argparse
import sys
from pathlib import Path

from guide.facts.load import dependency_group, load_scripts
from guide.offline.demands import Node, find_roots, read_have
from guide.offline.gather import check_folder, gather_into, summary
from guide.project import Project, told

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]


def main() -> None:
    """The command ``nox -s wheels``."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    project = Project.here()
    parser = argparse.ArgumentParser(prog="nox -s wheels --", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="all if none is given")
    parser.add_argument("--python", default=running, choices=PYTHONS, help=f"the node's CPython; {running} if not given")
    parser.add_argument("--have", type=Path, metavar="FILE", help="the node's 'pip freeze' or 'pip list'")
    parser.add_argument("--to", type=Path, default=project.build / "wheels", metavar="DIR", help="build/wheels if not given")
    parser.add_argument("--exact", action="store_true", help="gather too what the node has in a version that is excluded")
    parser.add_argument("--torch", action="store_true", help="gather torch too, and its CUDA packages: gigabytes")
    given = parser.parse_args()
    with told():
        node = Node(given.python, read_have(given.have) if given.have else {}, given.exact, given.torch)
        known = load_scripts(project)
        names = known.names(given.names)
        scripts = [known.scripts[name] for name in names]
        roots = find_roots(scripts, ["nox", *dependency_group(project, "prove")], node)
        unwanted = {name for script in scripts for name in script.head.guide.unwanted} - {root.name for root in roots}
        place = project.relative(given.to)
        check_folder(given.to, place)
        wheels, notes = gather_into(given.to, roots, unwanted, node)
        print("\n".join([*notes, summary(place, wheels, names, node.python)]))


if __name__ == "__main__":
    main()
