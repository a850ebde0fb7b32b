"""Does a run find again what a committed proof says? What that proof was sent in with need not be so."""

from collections.abc import Iterator

from guide.facts.guide import Guide
from guide.facts.proof import Measure, Proof, State

TOLERANCE = 0.05  # of a KL: processors round differently; the largest difference seen between a CPU and a GPU was 0.018
ERRORS = 2  # standard errors of a KL, where that is more


def differences(guide: Guide, proof: Proof) -> Iterator[str]:
    """What a passed run measured that the committed proof of the same code, model and kind of machine does not say, a
    sentence each. Speed is left out: it is another machine's."""
    for stored in guide.proofs[proof.notebook]:
        before = stored.proof
        if stored.state is not State.PROVEN or before.machine.slug != proof.machine.slug or before.digest != proof.digest:
            continue
        rows = {row.variant: row for row in before.measures}
        if set(rows) != {row.variant for row in proof.measures}:
            yield f"{stored.path} has other variants: {', '.join(rows)}"
            continue
        for row in proof.measures:
            yield from (f"{stored.path} says of '{row.variant}': {said}" for said in _of_row(row, rows[row.variant]))


def _of_row(now: Measure, before: Measure) -> Iterator[str]:
    for field in ("baseline_bytes", "quantized_bytes", "saved_bytes", "tokens", "reload_equal"):
        if getattr(now, field) != getattr(before, field):
            yield f"{field} {getattr(before, field)}, and this run found {getattr(now, field)}"
    if abs(now.kl - before.kl) > max(TOLERANCE * before.kl, ERRORS * before.kl_error):
        yield f"kl {before.kl:.5f}, and this run found {now.kl:.5f}"
