"""What can go wrong when a notebook runs: a class for each cause, and one sentence on what to do about it."""

import re

from nbformat import NotebookNode

from guide.facts.proof import Failure

ADVICE = {
    "out of memory": "Run it on a machine with more memory, or take a smaller model in the script.",
    "dead kernel": "The process died without a Python error: look for a crash in compiled code, or for the system's "
    "out-of-memory killer.",
    "full disk": "Free space: environments and saved models lie in build/, downloads in pip's cache.",
    "timeout": "Something hangs, or the machine is slow: raise 'minutes' in the script's head if it is real work.",
    "missing package": "Add it to the dependencies in the script's head; with --no-install, install it first (nox -s wheels).",
    "hub unreachable": "The model hub did not answer: check the network, or leave --hub out to use the stand-in.",
    "wrong hardware": "Run it on a machine that has what 'needs' in the script's head asks for.",
    "assertion": "The outcome is not what the notebook says: mend the script, or its claim.",
    "unknown argument": "The library would ignore it or refuse it: mend the script.",
    "weak check": "Without quantization this cell must fail: tighten its assertions.",
    "installation": "pip could not make the environment: check the pins in the script's head.",
    "install cell": "Change the pins in the script's head, or keep this result: the pages then say so.",
    "stale import": "Name in 'colab_restart' of the script's head what the cell replaces, or pin Colab's own version.",
    "error": "Mend the script, or report the fault to the library.",
}

BY_EXCEPTION = {
    "out of memory": "OutOfMemoryError MemoryError",
    "missing package": "ModuleNotFoundError ImportError PackageNotFoundError",
    "wrong hardware": "WrongHardware",
    "assertion": "AssertionError",
    "hub unreachable": "LocalEntryNotFoundError OfflineModeIsEnabled ConnectError ConnectionError ConnectTimeout",
}
BY_TEXT = {
    "out of memory": r"out of memory|DefaultCPUAllocator: can't allocate",
    "full disk": r"No space left on device|[Dd]isk quota exceeded",
    "hub unreachable": r"couldn't connect to|[Cc]annot find the requested files in the (local|disk) cache|HF_HUB_OFFLINE",
}
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Failed(Exception):
    """A step of a proof failed, and the steps after it have no meaning."""

    def __init__(self, kind: str, message: str, cell: int | None = None):
        self.failure = Failure(kind=kind, message=message, cell=cell)
        super().__init__(message)


def classify(exception: str, message: str) -> str:
    """The class of a Python exception, by its name, else by its text."""
    by_name = [kind for kind, names in BY_EXCEPTION.items() if exception in names.split()]
    by_text = [kind for kind, pattern in BY_TEXT.items() if re.search(pattern, message)]
    return [*by_name, *by_text, "error"][0]


def from_notebook(notebook: NotebookNode) -> Failure | None:
    """The first error that an executed notebook shows."""
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                text = ANSI.sub("", output.evalue).strip()
                if output.ename == "AssertionError" and not text:
                    text = f"assertion failed: {failing_line(output) or cell.source.splitlines()[0]}"
                first = f"{output.ename}: {text}" if output.ename not in ("AssertionError", "WrongHardware") else text
                return Failure(kind=classify(output.ename, text), message=first[:600], cell=number)
    return None


def failing_line(output: NotebookNode) -> str | None:
    """The line of the cell that a traceback points at."""
    found = re.search(r"^-+> ?\d+ (.*)", ANSI.sub("", "\n".join(output.traceback)), re.MULTILINE)
    return found[1].strip() if found else None


def paragraph(name: str, failure: Failure) -> str:
    """One readable paragraph for a person at a terminal."""
    place = f", cell {failure.cell}" if failure.cell else ""
    return f"{name}: {failure.kind}{place}. {failure.message.rstrip('.')}. {ADVICE[failure.kind]}"
