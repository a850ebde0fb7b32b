"""nbmake, watched: ``python watched.py EVENTS ARGUMENTS...`` runs pytest and writes to a file what becomes of the notebook.

Each line of EVENTS is an event in JSON: ``{"cell": 3}`` when the third cell starts, ``{"died": true}`` when nbclient, which
nbmake drives, raises its error for a dead kernel. It is a script, started by its path, since the notebook's kernel, which is
its child, must see nothing of ``guide``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from nbclient.client import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbmake import nb_run


def note(path: Path, **event: int) -> None:
    """Add a line to the events, whole, for who reads them meanwhile."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")


class WatchedClient(NotebookClient):  # type: ignore[misc]  # nbclient comes without types
    """The client that runs a notebook's cells, telling which one starts and how it ends if it ends badly."""

    events: Path

    def execute(self, **arguments: Any) -> Any:
        """Run all cells, as nbmake asks for it."""
        begun: list[int] = []

        def starts(cell: Any, cell_index: int) -> None:
            begun.append(cell_index + 1)
            note(self.events, cell=cell_index + 1)

        self.on_cell_execute = starts
        try:
            return super().execute(**arguments)
        except RuntimeError as error:  # a kernel that does not come up, or, with a name of its own, one that dies later
            if isinstance(error, DeadKernelError) or not begun:
                note(self.events, died=True)
            raise


if __name__ == "__main__":
    WatchedClient.events = Path(sys.argv[1])
    nb_run.NotebookClient = WatchedClient
    sys.exit(pytest.main(sys.argv[2:]))
