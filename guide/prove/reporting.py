"""What a person sees at a terminal while notebooks run."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Doing = Callable[[str, float], None]  # takes what a run does, and for how many seconds it has been running


class Reporter:
    """Says which notebook runs, at which cell, for how long, and about how long is left."""

    def __init__(self) -> None:
        self.console = Console()
        self.expected: dict[str, float] = {}  # seconds that each notebook will take, in the order in which they run
        columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
        self.progress = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)
        self.task = self.progress.add_task("")
        self.shown = 0.0

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(escape(text), soft_wrap=True, highlight=False)

    def doing(self, name: str, what: str, seconds: float = 0) -> None:
        """Show what a notebook does; ``seconds``: how long it has been running."""
        names = list(self.expected)
        later = sum(self.expected[following] for following in names[names.index(name) + 1 :])
        left = max(0.0, self.expected[name] - seconds) + later
        text = f"{name}: {what}; " + (f"about {left / 60:.0f} min left in all" if left > 60 else "about a minute left")
        self.progress.update(self.task, description=text)
        if not self.console.is_terminal and time.monotonic() - self.shown > 20:  # seconds: each line stays
            self.say(text)
            self.shown = time.monotonic()
