"""``python -m guide.prove.paste``: paste each block of code, of a page or the selector, into an empty interpreter; run it all.

Each runs in the environment of its notebook, off line on the stand-in, in a process of its own; blocks of one notebook share a
folder, since one loads what another saved.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from guide.facts.guide import Guide
from guide.facts.load import load
from guide.facts.proof import Machine
from guide.notebooks.complete import INCLUDE, completed
from guide.project import GuideError, Project, told
from guide.prove import environments, hub_cache
from guide.prove.kernel import QUIET
from guide.prove.locks import alone
from guide.prove.machine import this_machine

MINUTES = 90  # after which a block counts as hung: it has the library's own numbers, which notebooks cut down


@dataclass(frozen=True)
class Block:
    """A block of code of a page, or of a variant that the selector answers with: a section of a script."""

    page: str
    script: str
    section: str
    edits: tuple[tuple[str, str], ...] = ()  # text of the section, and what it becomes

    def __str__(self) -> str:
        return f"{self.page}, {self.script}:{self.section}"


def blocks(guide: Guide) -> list[Block]:
    """The blocks of all pages, and those of the selector that no page has; of one script in the order in which it has them."""
    found = [Block(page, PurePosixPath(include["path"]).stem, include["section"]) for page, text in guide.pages.items()
             for include in INCLUDE.finditer(text)]  # fmt: skip
    shown = {(block.script, block.section) for block in found}
    for method, facts in guide.methods.items():
        for variant in facts.variants:
            place, edits = (variant.notebook, variant.section), tuple(variant.edits.items())
            if place[0] and place[1] and (edits or place not in shown):
                found.append(Block(f"selector, {method}/{variant.id}", place[0], place[1], edits))
    return sorted(found, key=lambda block: (block.script, guide.scripts[block.script].body.find(f"[start:{block.section}]")))


class Paster:
    """Runs blocks, notebook by notebook."""

    def __init__(self, guide: Guide, machine: Machine):
        self.guide, self.machine, self.cuda = guide, machine, machine.kind == "cuda"
        self.folder = guide.project.build / "paste"

    def left_out(self, block: Block) -> str:
        """Why a block is not run here; empty where it is."""
        table = self.guide.scripts[block.script].head.guide
        if not self.machine.satisfies(table.needs):
            return f"it needs {table.needs}"
        return table.not_pasted.get(block.section, "")

    def prepared(self, name: str) -> tuple[Path, dict[str, str]]:
        """The interpreter of a notebook, and the variables with which it finds the stand-in; its folder is made anew."""
        project, script = self.guide.project, self.guide.scripts[name]
        python = environments.prepare(project, script, self.cuda)
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "work").mkdir(parents=True)
        python_for = partial(environments.prepare_maker, project, self.guide.scripts, name, cuda=self.cuda)
        return python, hub_cache.fill(project, self.guide.stand_in, folder / "hub", python_for, script.head.guide)

    def run(self, block: Block, python: Path, variables: dict[str, str]) -> str:
        """Run a block: empty if it came to its end, else the last line of what it said."""
        script, work = self.guide.scripts[block.script], self.folder / block.script / "work"
        path = work / f"{block.section}.py"
        path.write_text(completed(script, self.guide.shared, block.section, dict(block.edits)), encoding="utf-8")
        environment = {**os.environ, **QUIET, **variables}
        try:
            done = subprocess.run([str(python), "-I", path.name], cwd=work, env=environment, capture_output=True, text=True,
                                  timeout=60 * MINUTES, check=False)  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"still running after {MINUTES} minutes"
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return lines[-1][:300] if done.returncode else ""


def paste(guide: Guide, machine: Machine, names: Sequence[str]) -> int:
    """Paste the blocks of the named notebooks, of all if none is named, and print what became of each; how many failed."""
    chosen = [block for block in blocks(guide) if not names or block.script in names]
    paster, began, ready = Paster(guide, machine), time.monotonic(), dict[str, tuple[Path, dict[str, str]]]()
    ran, failed, out = 0, 0, 0
    for number, block in enumerate(chosen, 1):
        left = (time.monotonic() - began) / number * (len(chosen) - number) / 60
        where = f"[{number}/{len(chosen)}, about {left:.0f} min left] {block}"
        if why := paster.left_out(block):
            out += 1
            print(f"{where}: left out, {why}.", flush=True)
            continue
        try:
            if block.script not in ready:
                ready[block.script] = paster.prepared(block.script)
            said = paster.run(block, *ready[block.script])
        except GuideError as error:
            said = str(error)
        ran, failed = ran + 1, failed + bool(said)
        print(f"{where}: {f'failed: {said}' if said else 'runs'}", flush=True)
    print(f"{len(chosen)} blocks: {ran - failed} run to their end, {failed} failed, {out} left out.")
    return failed


def main() -> None:
    """The command ``nox -s paste``."""
    parser = argparse.ArgumentParser(prog="nox -s paste --", description=(__doc__ or "").split(": ", 1)[1].splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="whose blocks to paste; all if none is given")
    given = parser.parse_args()
    with told():
        guide = load(Project.here())
        guide.names(given.names)
        with alone(guide.project.build / "prove.lock"):
            failed = paste(guide, this_machine(), given.names)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
