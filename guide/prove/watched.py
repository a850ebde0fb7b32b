"""nbmake, watched: ``python watched.py EVENTS ARGUMENTS...`` runs pytest and keeps in a file what becomes of the notebook.

EVENTS is in JSON: ``cell``, the number of the one that started last, and ``died``, true once the kernel is found dead. This is
a script, started by its path, since the notebook's kernel, which is its child, must see nothing of ``guide``.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from nbclient.client import NotebookClient
from nbclient.exceptions import DeadKernelError
from nbmake import nb_run


class WatchedClient(NotebookClient):  # type: ignore[misc]  # nbclient comes without types
    """The client that runs a notebook's cells, telling which one starts and how it ends if it ends badly."""

    def execute(self, **arguments: Any) -> Any:
        """Run all cells, as nbmake asks for it."""
        events: dict[str, int] = {}

        def note(**event: int) -> None:
            events.update(event)
            path = Path(sys.argv[1])
            path.with_suffix(".new").write_text(json.dumps(events), encoding="utf-8")
            path.with_suffix(".new").replace(path)  # whole, for who reads it meanwhile

        self.on_cell_execute = lambda cell, cell_index: note(cell=cell_index + 1)
        try:
            return super().execute(**arguments)
        except RuntimeError as error:  # a kernel that does not come up, or, with a name of its own, one that dies later
            if isinstance(error, DeadKernelError) or not events:
                note(died=True)
            raise


if __name__ == "__main__":
    nb_run.NotebookClient = WatchedClient
    sys.exit(pytest.main(sys.argv[2:]))
