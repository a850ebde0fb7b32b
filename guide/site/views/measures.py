"""What notebooks found to be stored: a proof's variants on the reference model, and models of other shapes."""

from collections.abc import Callable

from guide.calculator.memory import gigabytes
from guide.facts.guide import Guide
from guide.facts.proof import Measure, Proof
from guide.facts.storage import Record
from guide.site.views.tables import Table

Column = tuple[str, Callable[[Measure], str]]
COLUMNS: tuple[Column, ...] = (
    ("variant", lambda row: row.variant),
    ("whole model, times smaller", lambda row: f"{row.ratio:.2f} ({row.quantized_bytes / 1e6:,.2f} MB)"),
    ("decoder linears, times smaller", lambda row: f"{row.linear_ratio:.2f}"),
    ("file, MB", lambda row: f"{row.saved_bytes / 1e6:,.2f}"),
    ("same tokens once reloaded", lambda row: "yes" if row.reload_equal else "no"),
)
SAVED = ("file, MB", "same tokens once reloaded")


def of_proof(proof: Proof, saves: bool = True) -> Table:
    """What one proof proves of each variant: what it stores and, of a method that ``saves``, that it reloads."""
    stand_in = ", stand-in model" if proof.stand_in else ""
    reloads = ", it reloads" if saves and all(row.reload_equal for row in proof.measures) else ""
    columns = COLUMNS if saves else tuple(one for one in COLUMNS if one[0] not in SAVED)
    caption = (
        f"Proven by the notebook {proof.notebook} on {proof.machine.name}{stand_in}: it runs, it stores this{reloads}. "
        f"The whole model in bf16: {proof.measures[0].baseline_bytes / 1e6:,.2f} MB."
    )
    lines = [[figure(row) for _, figure in columns] for row in proof.measures]
    return Table([title for title, _ in columns], lines, caption)


def _percent(error: float | None) -> str:
    return "" if error is None else f"{100 * error:+.2f} %"


def stored(guide: Guide, record: Record) -> Table:
    """The cases of one machine's record: predicted, measured, error, and accelerate's estimate."""
    rows = []
    for case in record.cases:
        label = guide.weighed(record, case).label
        note = "".join(f" ({text})" for text in (case.note, case.remark) if text)
        estimate = f" ({_percent(case.accelerate_error())})" if case.measured else ""
        rows.append([
            f"{guide.methods[case.method].title}: {label}",
            case.shape,
            f"{gigabytes(case.predicted.whole):.3f}",
            f"{gigabytes(case.measured.whole):.3f}" if case.measured else f"none: {case.failed}",
            _percent(case.error()) + note,
            _percent(case.error("linears")),
            _percent(case.error("experts")),
            f"{gigabytes(case.accelerate.bytes):.3f}{estimate}",
        ])  # fmt: skip
    head = ("method", "shape", "predicted, GB", "measured, GB", "error", "error of the decoder's linear layers",
            "error of the experts", "accelerate estimate-memory, GB")  # fmt: skip
    caption = (f"Weights predicted and measured, {len(rows)} cases; 1 GB is 10⁹ bytes. 'reference' is the guide's own small "
               "model. The last column is what accelerate estimate-memory predicts, and its error")  # fmt: skip
    return Table(head, rows, caption)
