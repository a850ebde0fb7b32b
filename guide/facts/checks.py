"""What is wrong with proofs, facts and records, a sentence each: which file, what, and the command that mends it."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import nbformat
from nbformat import NotebookNode

from guide.facts import coherent, days, engine_pages, evidence, method_pages, recorded, reports, served
from guide.facts.guide import Guide
from guide.facts.proof import State, Stored
from guide.notebooks.build import CHECK_TAG, SHARED_TAG, tags


def faults(guide: Guide) -> list[str]:
    """Notebooks without a proof of their code as it is, proofs that are not whole, facts that no proof bears out, and what is
    said in two places and not alike."""
    stored = [one for found in guide.proofs.values() for one in found]
    unlike = [_sentence(*found) for found in (*coherent.unlike_others(stored), *coherent.unlike_predicted(guide))]
    return [
        *unproven(guide),
        *(sentence for one in stored for sentence in not_whole(guide, one)),
        *unlike,
        *coherent.unlike_measured(guide),
        *evidence.faults(guide),
        *served.faults(guide),
        *method_pages.faults(guide),
        *engine_pages.faults(guide),
        *days.faults(guide),
        *reports.faults(guide),
        *recorded.faults(guide),
    ]


def unproven(guide: Guide) -> Iterator[str]:
    """Notebooks that a CPU can run and of whose code no committed proof is. Of those that need a GPU, which who changes their
    code may not have, the page says in what state they are."""
    for name, script in guide.scripts.items():
        states = [stored.state for stored in guide.proofs[name]]
        if State.PROVEN in states:
            continue
        if State.FAILED not in states and script.head.guide.needs != "cpu":
            yield from unseen_checks(guide, name)
            continue
        said = f"its proof says: {states[0]}" if states else "it has none"
        command = f"nox -s prove -- {name} --keep"
        yield f"{script.path}: no committed proof is of this code ({said}). Run '{command}' and commit proofs/."


def unseen_checks(guide: Guide, name: str) -> Iterator[str]:
    """Checks that differ from those that ran: other code may wait for a GPU, but a check that nobody saw fail is none."""
    ran = {stored.path: _checks_of(stored.notebook) for stored in guide.proofs[name]}
    if ran and _checks_of(guide.notebooks[name]) not in ran.values():
        command = f"nox -s prove -- {name} --keep"
        yield (f"{guide.scripts[name].path}: its checks are not those that ran ({min(ran)}). Restore them, or run '{command}' "
               "on such a machine and commit proofs/.")  # fmt: skip


def _checks_of(notebook: NotebookNode) -> list[str]:
    """The code of the checks, and the assertions of the other cells that are the notebook's own."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and SHARED_TAG not in tags(cell)]
    asserted = [line for cell in code for line in cell.source.splitlines() if line.lstrip().startswith("assert ")]
    return [cell.source for cell in code if CHECK_TAG in tags(cell)] + asserted


def not_whole(guide: Guide, stored: Stored) -> Iterator[str]:
    """What a committed proof lacks, says of another machine, notebook or stand-in than it should, or says in two ways."""
    proof, path = stored.proof, PurePosixPath(stored.path)
    head = guide.scripts[path.stem].head.guide
    found = []
    if proof.notebook != path.stem:
        found.append(f"its record is of the notebook '{proof.notebook}'")
    if proof.machine.slug != path.parent.name:
        found.append(f"its machine.name is '{proof.machine.name}', whose folder is proofs/{proof.machine.slug}/")
    if proof.status != "passed":
        found.append("its status is 'failed': a failed run is not committed")
    if not head.only_faults and not head.own_figures and not proof.measures:
        found.append("it has no measures")
    if not head.only_faults and not proof.control:
        found.append("its control is empty: its checks were never seen to fail")
    if head.only_faults and (proof.measures or proof.control):
        found.append("it has measures or a control, though its script shows faults alone")
    digests = {source.sha256 for source in proof.models + proof.texts if source.stand_in}
    if stored.state is State.PROVEN and digests - {guide.stand_in}:
        found.append("a sha256 under models or texts is not that of the reference model")
    text = nbformat.writes(stored.notebook)
    places = [place for place in ("/home/", "/root/", f'"{Path.home()}', f'"{guide.project.root}') if place in text]
    if places:
        found.append("an output names a path of the machine it ran on")
    yield from (_sentence(stored, fault) for fault in [*found, *coherent.incoherent(guide, stored)])


def _sentence(stored: Stored, fault: str) -> str:
    name = PurePosixPath(stored.path).stem
    return f"{stored.path}: {fault}. Run 'nox -s prove -- {name} --force --keep' on such a machine again."
