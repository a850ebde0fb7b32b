"""What is stored of an executed notebook: its source's cells with outputs, without noise and paths of this machine."""

import copy
import re
import tempfile
from collections.abc import Mapping

from nbformat import NotebookNode


def cleaned(executed: NotebookNode, source: NotebookNode, places: Mapping[str, str]) -> NotebookNode:
    """The executed notebook as it is stored: cells and metadata of ``source``, with outputs, each path of ``places`` renamed.

    A path that lies in another must stand before it.
    """

    def clean(text: str) -> str:
        for place, name in places.items():
            text = text.replace(place, name)
        return without_noise(text)

    result = copy.deepcopy(source)
    for cell, run in zip(result.cells, executed.cells, strict=True):
        if cell.cell_type == "code":
            cell.execution_count, cell.outputs = run.execution_count, joined(run.outputs)
            for output in cell.outputs:
                if output.output_type == "stream":
                    output.text = clean(output.text)
                elif output.output_type == "error":
                    output.evalue, output.traceback = clean(output.evalue), [clean(line) for line in output.traceback]
                else:
                    output.data.update({mime: clean(value) for mime, value in output.data.items() if isinstance(value, str)})
            cell.outputs = [output for output in cell.outputs if not is_empty(output)]
    return result


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """A copy of a cell's outputs, with pieces of the same stream that follow each other as one."""
    result: list[NotebookNode] = []
    for output in copy.deepcopy(outputs):
        last = result[-1] if result else None
        if output.output_type == "stream" and last and last.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            result.append(output)
    return result


def without_noise(text: str) -> str:
    """Text without what differs from run to run and says nothing: names of cells, progress bars, repeated lines."""
    text = re.sub(rf"{re.escape(tempfile.gettempdir())}/ipykernel_\d+/\d+\.py", "<cell>", text)
    text = re.sub(r"[^\n]*\r(?!\n)", "", text)  # a progress bar leaves only its last state
    text = re.sub(r"^.*\d+%\|.*\| *\d+/\d+ \[.*\]\n?", "", text, flags=re.MULTILINE)  # and a full one says nothing

    def once(match: re.Match[str]) -> str:
        return f"{match['line']} [{match[0].count(chr(10))} such lines]\n"

    return re.sub(r"^(?P<line>.+)\n(?:(?P=line)\n){2,}", once, text, flags=re.MULTILINE)


def is_empty(output: NotebookNode) -> bool:
    """Whether an output has nothing to read: a stream without text, or a display that shows an empty string."""
    if output.output_type == "display_data" and "text/plain" in output.data:
        return not output.data["text/plain"].strip()
    return bool(output.output_type == "stream" and not output.text.strip())
