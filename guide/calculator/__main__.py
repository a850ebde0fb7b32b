"""``python -m guide.calculator`` writes ``tests/memory_vectors.json``, which holds JavaScript to Python's answers."""

from __future__ import annotations

import sys

from guide.calculator.vectors import to_text, vectors
from guide.facts.load import load
from guide.project import GuideError, Project


def main(project: Project | None = None) -> None:
    """The command; what is wrong ends it with a sentence."""
    try:
        guide = load(project or Project.here())
    except GuideError as error:
        sys.exit(str(error))
    path = guide.project.tests / "memory_vectors.json"
    path.write_text(to_text(vectors(guide)), encoding="utf-8")
    print(f"wrote {guide.project.relative(path)}")


if __name__ == "__main__":
    main()
