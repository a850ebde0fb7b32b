"""What was measured: tables of proofs, of all methods at one width, and of what models store."""

from collections.abc import Callable

from guide.calculator.memory import gigabytes
from guide.facts import evidence
from guide.facts.evidence import Row
from guide.facts.guide import Guide
from guide.facts.method import Answer, Group
from guide.facts.proof import Measure, Proof
from guide.facts.storage import Record
from guide.site.urls import Links
from guide.site.views.tables import Item, Table

NOT_YET = "not measured yet"
Column = tuple[str, Callable[[Measure], str]]
COLUMNS: tuple[Column, ...] = (
    ("variant", lambda row: row.variant),
    ("whole model, times smaller", lambda row: f"{row.ratio:.2f} ({row.quantized_bytes / 1e6:,.2f} MB)"),
    ("decoder linears, times smaller", lambda row: f"{row.linear_ratio:.2f}"),
    ("perplexity", lambda row: f"{row.perplexity:.3f}"),
    ("loss minus bf16's, nats", lambda row: f"{row.loss_difference:+.4f} ± {row.loss_difference_error:.4f}"),
    ("same top-1 as bf16, %", lambda row: f"{100 * row.top1_agreement:.1f} ± {100 * row.top1_agreement_error:.1f}"),
    ("KL from bf16, nats", lambda row: f"{row.kl:.5f} ± {row.kl_error:.5f}"),
    (
        "decode speed over bf16's",
        lambda row: f"{row.speed_ratio:.2f} ({row.speed_ratio_low:.2f} to {row.speed_ratio_high:.2f})",
    ),
)
HEAD = tuple(title for title, _ in COLUMNS)


def measure_cells(row: Measure) -> list[str]:
    """The figures of one variant, a column each."""
    return [figure(row) for _, figure in COLUMNS]


def span(values: list[float], form: str) -> str:
    """Lowest to highest of ``values``, as one number where they look alike."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def _bf16(row: Measure) -> str:
    return f"bf16: {row.baseline_bytes / 1e6:,.2f} MB, perplexity {row.baseline_perplexity:.3f}. ± is one standard error."


def of_proof(proof: Proof) -> Table:
    """Every variant that one proof measured."""
    stand_in = ", stand-in model" if proof.stand_in else ""
    caption = f"Measured by the notebook {proof.notebook} on {proof.machine.name}{stand_in}. {_bf16(proof.measures[0])}"
    return Table(HEAD, [measure_cells(row) for row in proof.measures], caption)


def at_width(guide: Guide, bits: int, link: Links) -> tuple[Table | None, list[str]]:
    """What today's proofs measured on the reference model at one weight width, nearest to bf16 first, and the pairs of
    variants that are not told apart; no table where nothing was measured."""
    found = evidence.rows(guide, bits)
    if not found:
        return None, []
    lines: list[list[Item | str]] = []
    for row in found:
        variant, *cells = measure_cells(row.measure)
        page = link(f"notebooks/{row.notebook}.ipynb")
        lines.append([Item(row.notebook, url=page, more=f" {variant}"), *cells])
    caption = f"Measured at {bits} bits on the stand-in model, by KL. {_bf16(found[0].measure)}"
    pairs = [f"{one.label} and {other.label}" for one, other in evidence.not_told_apart(found)]
    return Table(HEAD, lines, caption), pairs


def widths(guide: Guide) -> Table:
    """By weight width, the range over all variants that were measured on the reference model."""
    lines = []
    for bits in evidence.widths(guide):
        found = [row.measure for row in evidence.rows(guide, bits)]
        lines.append([
            f"{bits} bit",
            str(len(found)),
            span([row.linear_ratio for row in found], ".2f"),
            span([row.ratio for row in found], ".2f"),
            span([row.loss_difference for row in found], "+.4f"),
            span([100 * row.top1_agreement for row in found], ".1f"),
            span([row.kl for row in found], ".4f"),
        ])  # fmt: skip
    head = ("width", "variants", "decoder linears, times smaller", "whole model, times smaller", "loss minus bf16's, nats",
            "same top-1 as bf16, %", "KL from bf16, nats")  # fmt: skip
    return Table(head, lines, "Lowest to highest over the variants measured on the stand-in model")


def claims(guide: Guide) -> Table:
    """What is commonly said of each width, and what today's proofs measured on the reference model."""
    by_width = {bits: evidence.rows(guide, bits) for bits in evidence.widths(guide)}
    four = by_width.get(4, [])
    below = [row for bits, rows in by_width.items() if bits < 4 for row in rows]
    lines = [
        ("8 bit: about half the memory, very close to bf16", _ranges(by_width.get(8, []))),
        ("4 bit: about a quarter of the memory, relatively good", _ranges(four)),
        ("below 4 bit: less than a quarter, with a noticeable drop", _ranges(below)),
        (
            "calibrated 4 bit is often ahead of 4 bit on the fly",
            f"nearest to bf16 with calibration: {_nearest(four, Group.CALIBRATED)}; "
            f"on the fly: {_nearest(four, Group.ON_THE_FLY)}",
        ),
        ("calibrated methods take longer to make", _effort(four)),
    ]
    return Table(("what is said", "what was measured on the stand-in model"), lines, "Claims beside measures")


def _ranges(rows: list[Row]) -> str:
    if not rows:
        return NOT_YET
    figures = [row.measure for row in rows]
    return (
        f"decoder linears {span([m.linear_ratio for m in figures], '.2f')} times smaller, the whole model "
        f"{span([m.ratio for m in figures], '.2f')} times; KL {span([m.kl for m in figures], '.4f')} nats, same top-1 "
        f"{span([100 * m.top1_agreement for m in figures], '.1f')} %; {len(rows)} variants"
    )


def _nearest(rows: list[Row], group: Group) -> str:
    found = [row for row in rows if row.method.group is group]
    if not found:
        return NOT_YET
    best = min(found, key=lambda row: row.measure.kl)
    return f"{best.label}, KL {best.measure.kl:.4f} ± {best.measure.kl_error:.4f}"


def _effort(rows: list[Row]) -> str:
    """How long making took: of the calibrated methods by those that make on load, for loading what is ready says nothing."""
    calibrated = [
        row
        for row in rows
        if row.method.group is Group.CALIBRATED and row.method.features.quantize_on_load.answer is Answer.YES
    ]
    plain = [row.measure.load_seconds for row in rows if row.method.group is Group.ON_THE_FLY]
    if not calibrated or not plain:
        return NOT_YET
    one = calibrated[0]
    return (
        f"{one.method.title} at 4 bit took {one.measure.load_seconds:.0f} s for its calibration, loading on the fly "
        f"{span(plain, '.1f')} s; the other calibrated notebooks print how long making took"
    )


def _percent(error: float | None) -> str:
    return "" if error is None else f"{100 * error:+.2f} %"


def stored(guide: Guide, record: Record) -> Table:
    """The cases of one machine's record: predicted, measured, error, and accelerate's estimate."""
    rows = []
    for case in record.cases:
        method = guide.methods[case.method]
        label = next(variant.label for variant in method.variants if variant.id == case.variant)
        note = "".join(f" ({text})" for text in (case.note, case.remark) if text)
        estimate = f" ({_percent(case.accelerate_error())})" if case.measured else ""
        rows.append([
            f"{method.title}: {label}",
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
    caption = f"Weights predicted and measured, {len(rows)} cases; 1 GB is 10⁹ bytes. {record.summary().capitalize()}."
    return Table(head, rows, caption)
