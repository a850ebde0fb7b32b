"""What a checkout holds of the proofs of one machine, before ``--keep`` copies them to where they are committed from."""

from nbformat import NotebookNode

from guide.facts.guide import Guide
from guide.facts.proof import Machine, Proof, State, parse_proof, state_of
from guide.notebooks.build import to_text
from guide.project import GuideError, write_whole


class Local:
    """The proofs of one machine in this checkout."""

    def __init__(self, guide: Guide, machine: Machine):
        self.guide, self.folder = guide, guide.project.build / "proofs" / machine.slug

    def read(self, name: str) -> Proof | None:
        """The record of a notebook's proof, None where there is none that can be read."""
        path = self.folder / f"{name}.ipynb"
        try:
            return parse_proof(self.guide.project.relative(path), path.read_text(encoding="utf-8"))[1]
        except (FileNotFoundError, GuideError, UnicodeDecodeError):
            return None

    def write(self, name: str, executed: NotebookNode) -> None:
        """Store an executed notebook that carries its record."""
        write_whole(self.folder / f"{name}.ipynb", to_text(executed))

    def keep(self, name: str) -> None:
        """Copy a proof to where it is committed from."""
        target = self.guide.project.proofs / self.folder.name / f"{name}.ipynb"
        write_whole(target, (self.folder / target.name).read_text(encoding="utf-8"))

    def is_current(self, name: str, hub: bool) -> bool:
        """Whether there is a passed proof of exactly this notebook."""
        proof = self.read(name)
        return proof is not None and state_of(proof, self.guide.digest(name, stand_in=not hub)) is State.PROVEN

    def expected_seconds(self, name: str) -> float:
        """How long a notebook and its controls will take: by the last proof here, else by the one to show, else its limit."""
        best = self.guide.best(name)
        proof = self.read(name) or (best.proof if best else None)
        return 1.5 * proof.seconds + 60 if proof else 60.0 * self.guide.scripts[name].head.guide.minutes
