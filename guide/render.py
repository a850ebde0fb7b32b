"""Facts and proofs as HTML and Markdown: plain functions, from data to text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from html import escape
from itertools import groupby

from guide import evidence
from guide import proof as proofs
from guide.evidence import Row
from guide.method import Answer, Cell, Group, Method, Trap, read_method
from guide.project import relative, repository
from guide.proof import Measure, Proof, State
from guide.script import Script, read_script
from guide.traps import all_traps, shown_traps

SiteLink = Callable[[str], str]  # from a page's path below docs/ or notebooks/ to a URL relative to the page at hand

ADMONITION = {State.PROVEN: "success", State.CHANGED: "warning", State.FAILED: "failure", State.MISSING: "warning"}
STAND_IN = (
    "<strong>Run on a stand-in.</strong> Under the name {models} this run loaded the guide's own "
    '<a href="{card}">reference model</a> of {parameters:.1f} million parameters, and under {texts} that model\'s held-out '
    "text. The code and the storage are proven; no figure below is a figure of {models}."
)
MEASURE_HEAD = (
    "variant",
    "whole model, times smaller",
    "decoder linears, times smaller",
    "perplexity",
    "loss minus bf16's, nats",
    "same top-1 as bf16, %",
    "KL from bf16, nats",
    "decode speed over bf16's",
)
MARKS = {Answer.YES: "✓", Answer.NO: "✗", Answer.UNVERIFIED: "?"}
STATES = {State.CHANGED: "changed since its proof", State.FAILED: "failed", State.MISSING: "not proven yet"}
FACT_LABELS = {
    "quantize_on_load": "quantizes on load",
    "activations": "quantizes activations",
    "cpu": "CPU",
    "nvidia": "NVIDIA GPU",
    "amd": "AMD GPU",
    "intel_gpu": "Intel GPU",
    "apple": "Apple GPU",
    "save_and_reload": "save and reload",
    "peft": "fine-tuning with PEFT",
    "torch_compile": "torch.compile",
}


def repository_url(path: str) -> str:
    return f"https://github.com/{repository()}/blob/main/{path}"


def colab_url(name: str) -> str:
    return f"https://colab.research.google.com/github/{repository()}/blob/main/notebooks/{name}.ipynb"


def long_date(text: str) -> str:
    """An ISO date or time as '23 November 2026'."""
    day = date.fromisoformat(text[:10])
    return f"{day.day} {day:%B %Y}"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]], caption: str) -> str:
    """An HTML table whose first column heads its rows. Cells are HTML already; the wrapper can be scrolled by keyboard."""
    columns = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    return (
        f'<div class="guide-table" tabindex="0" role="region" aria-label="{escape(caption)}"><table><caption>{escape(caption)}'
        f"</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def measure_cells(row: Measure) -> tuple[str, ...]:
    return (
        escape(row.variant),
        f"{row.ratio:.2f} ({row.quantized_bytes / 1e6:,.2f} MB)",
        f"{row.linear_ratio:.2f}",
        f"{row.perplexity:.3f}",
        f"{row.loss_difference:+.4f} ± {row.loss_difference_error:.4f}",
        f"{100 * row.top1_agreement:.1f} ± {100 * row.top1_agreement_error:.1f}",
        f"{row.kl:.5f} ± {row.kl_error:.5f}",
        f"{row.speed_ratio:.2f} ({row.speed_ratio_low:.2f} to {row.speed_ratio_high:.2f})",
    )


def measures_table(proof: Proof) -> str:
    first = proof.measures[0]
    caption = (
        f"Measured by the notebook {proof.notebook} on {proof.machine.name}{', stand-in model' if proof.stand_in else ''}. "
        f"bf16: {first.baseline_bytes / 1e6:,.2f} MB, perplexity {first.baseline_perplexity:.3f}. ± is one standard error."
    )
    return table(MEASURE_HEAD, [measure_cells(row) for row in proof.measures], caption)


def stand_in_note(proof: Proof) -> str:
    """The sentence that keeps a stand-in from being taken for the model whose name it ran under; empty for a real run."""
    if not proof.stand_in:
        return ""
    models = ", ".join(escape(source.id) for source in proof.models if not source.maker)
    made = "".join(
        f" Under {escape(source.id)} it loaded that model quantized by "
        f'<a href="{repository_url(source.maker)}">{escape(source.maker)}</a>.'
        for source in proof.models if source.maker
    )  # fmt: skip
    texts = ", ".join(escape(source.id) for source in proof.texts) or "the text"
    card = repository_url("models/reference/README.md")
    if not proof.measures:
        return f'<p>Under the name {models} this run loaded the guide\'s own <a href="{card}">reference model</a>.{made}</p>'
    parameters = proof.measures[0].parameters / 1e6
    return f"<p>{STAND_IN.format(models=models, texts=texts, parameters=parameters, card=card)}{made}</p>"


def machine_line(proof: Proof) -> str:
    machine = proof.machine
    chip = f"compute capability {machine.capability}" if machine.kind == "cuda" else f"{machine.cores} cores, no GPU"
    versions = ", ".join(f"{name} {found}" for name, found in proof.versions.items() if found)
    differing = proof.differing_versions()
    pinned = "; ".join(f"{name} is pinned at {pin}" for name, (pin, _) in differing.items())
    return (
        f"<p>{escape(machine.name)}, {chip}; {long_date(proof.date)}; {proof.seconds:.0f} s; Python {proof.python}; "
        f"{escape(versions)}{' (' + pinned + ')' if pinned else ''}.</p>"
    )


def proof_box(script: Script, link: SiteLink, with_measures: bool) -> str:
    """What is proven of a notebook, as one admonition: the state first, then how it was run, then what it measured."""
    found = proofs.ranked(script)
    path, _, proof = found[0] if found else (None, None, None)
    state = proofs.state(proof, script)
    notebook_page = f'<a href="{link(f"notebooks/{script.name}.ipynb")}">notebook {script.name}</a>'
    colab = f'<a href="{colab_url(script.name)}">Open in Colab</a>'
    if proof is None:
        needs = "" if script.head.guide.needs == "cpu" else f" It needs {escape(script.head.guide.needs)}."
        text = f"<p>No run of the {notebook_page} is recorded.{needs} {colab}.</p>"
        return admonition(state, "Not proven yet", text)
    file = f'<a href="{repository_url(relative(path))}">executed notebook</a>'
    outcome = "Faults shown" if script.head.guide.only_faults else "Proven"
    title = {
        State.PROVEN: f"{outcome} on {long_date(proof.date)}" + (", with a stand-in model" if proof.stand_in else ""),
        State.CHANGED: "Code changed since this proof",
        State.FAILED: f"Failed on {long_date(proof.date)}",
    }[state]
    text = ""
    if state is State.CHANGED:
        text += "<p>The code, its pins or the stand-in changed after this run. What follows is of the older code.</p>"
    if proof.error:
        place = f" in cell {proof.error.cell}" if proof.error.cell else ""
        text += f"<p>{escape(proof.error.kind.capitalize())}{place}: {escape(proof.error.message)}</p>"
    text += stand_in_note(proof)
    if script.head.guide.not_compared:
        text += f"<p><strong>Not to be compared.</strong> {escape(script.head.guide.not_compared)}</p>"
    text += machine_line(proof)
    if proof.control:
        widths = " and with other widths" if script.head.guide.swap else ""
        text += f"<p>Run again without quantization{widths}, all {len(proof.control)} checks failed, as they must.</p>"
    if with_measures and proof.measures:
        text += measures_table(proof)
    text += f"<p>{notebook_page} · {file} · {colab}</p>"
    others = [
        f"{escape(other.machine.name)} ({proofs.state(other, script)}, {long_date(other.date)})" for _, _, other in found[1:]
    ]
    if others:
        text += f"<p>Also run on: {'; '.join(others)}.</p>"
    return admonition(state, title, text)


def admonition(state: State, title: str, text: str) -> str:
    return (
        f'<div class="admonition {ADMONITION[state]} proof" data-state="{state}">'
        f'<p class="admonition-title">{escape(title)}</p>{text}</div>'
    )


def use_case_table(methods: dict[str, Method], groups: list[Group]) -> str:
    """Markdown: which method of some groups for what."""
    lines = ["| method | take it for | bits | calibration |", "| --- | --- | --- | --- |"]
    for name, method in methods.items():
        if method.group in groups:
            bits = ", ".join(map(str, method.bits))
            lines.append(f"| [{method.title}](methods/{name}.md) | {method.use_case} | {bits} | {method.calibration} |")
    return "\n".join(lines)


def pros_and_cons(method: Method) -> str:
    """Markdown: two lists."""
    pros = "\n".join(f"- {text}" for text in method.pros)
    cons = "\n".join(f"- {text}" for text in method.cons)
    return f"**For**\n\n{pros}\n\n**Against**\n\n{cons}"


def method_sections(methods: dict[str, Method], group: Group) -> str:
    """Markdown: each method of a group with what speaks for and against it."""
    return "\n\n".join(
        f"#### {method.title}\n\n{pros_and_cons(method)}\n\n[More on {method.title}](methods/{name}.md)"
        for name, method in methods.items()
        if method.group is group
    )


def fact_table(method: Method) -> str:
    """HTML: hardware and features, each with its answer in words, a note, and what it rests on."""

    rows = [(FACT_LABELS[name], *cell_texts(cell)) for name, cell in method.cells().items()]
    return table(("what", "works", "note", "source"), rows, f"What {method.title} needs and can do")


def cell_texts(cell: Cell) -> tuple[str, str, str]:
    """HTML: a cell's answer in words, its note, and what it rests on."""
    source = "the proof on the method's page" if cell.source == "proof" else escape(cell.source)
    capability = getattr(cell, "capability", None)
    notes = [f"from compute capability {capability}" if capability else "", cell.note, cell.differs]
    return f"<strong>{cell.answer}</strong>", escape("; ".join(filter(None, notes))), source


def cell_table(methods: dict[str, Method], name: str, link: SiteLink) -> str:
    """HTML: one cell of every method, the methods that can first; raises ValueError if no cell has that name."""
    if name not in FACT_LABELS:
        raise ValueError(f"no cell '{name}'; there are {', '.join(FACT_LABELS)}")
    order = [Answer.YES, Answer.UNVERIFIED, Answer.NO]
    found = sorted(methods.items(), key=lambda item: order.index(item[1].cells()[name].answer))
    rows = [
        (f'<a href="{link(f"methods/{method_name}.md")}">{escape(method.title)}</a>', *cell_texts(method.cells()[name]))
        for method_name, method in found
    ]
    return table(("method", "works", "note", "source"), rows, FACT_LABELS[name])


def overview_table(methods: dict[str, Method], link: SiteLink) -> str:
    """HTML: every key of Transformers' registry in a row, with its method's facts; ``overview.js`` sorts and filters it."""
    head = ["key", "method", "bits", "calibration", *FACT_LABELS.values(), "lowest versions", "proof"]
    rows = []
    for name, method in sorted(methods.items(), key=lambda item: item[1].title.lower()):
        cells = method.cells()
        packages = [f"{package} {lowest or 'any'}" for package, lowest in method.transformers.packages.items()]
        shared = [
            f'<td><a href="{link(f"methods/{name}.md")}">{escape(method.title)}</a></td>',
            f'<td data-sort="{max(method.bits)}">{", ".join(map(str, method.bits))}</td>',
            f"<td>{method.calibration}</td>",
            *(answer_cell(fact, cells[fact]) for fact in FACT_LABELS),
            f"<td>{', '.join(packages)}</td>",
            f"<td>{proof_summary(method)}</td>",
        ]
        rows += [f'<tr><th scope="row"><code>{key}</code></th>{"".join(shared)}</tr>' for key in method.transformers.keys]
    columns = "".join(f'<th scope="col">{label}</th>' for label in head)
    caption = f"The {len(rows)} keys of Transformers' registry. Notes and sources of the answers are on each method's page."
    return (
        '<div class="guide-table overview" tabindex="0" role="region" aria-label="All methods"><table>'
        f"<caption>{caption}</caption><thead><tr>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def differences_table(methods: dict[str, Method], link: SiteLink) -> str:
    """HTML: the cells that say other than the library's flag or check, each with its evidence."""
    rows = []
    for name, method in methods.items():
        page = f'<a href="{link(f"methods/{name}.md")}">{escape(method.title)}</a>'
        for cell_name, cell in method.cells().items():
            if not cell.differs:
                continue
            shown = escape(cell.source)
            if cell.source == "proof" or cell.source.startswith("notebook "):
                notebook = method.notebooks[0] if cell.source == "proof" else cell.source.removeprefix("notebook ")
                shown = f'<a href="{link(f"notebooks/{notebook}.ipynb")}">notebook {notebook}</a>'
            rows.append((page, FACT_LABELS[cell_name], f"<strong>{cell.answer}</strong>", escape(cell.differs), shown))
    head = ("method", "what", "our answer", "why not the library's", "evidence")
    return table(head, rows, "Answers that differ from the library's")


def answer_cell(name: str, cell: Cell) -> str:
    """HTML: an answer as a mark and in words; for NVIDIA with the lowest compute capability."""
    capability = getattr(cell, "capability", None)
    more = f", from {capability}" if capability else ""
    return (
        f'<td data-fact="{name}" data-answer="{cell.answer}"><span aria-hidden="true">{MARKS[cell.answer]}</span> '
        f"{cell.answer}{more}</td>"
    )


def proof_summary(method: Method) -> str:
    """What is proven of a method, in a few words: the best state of its notebooks, and on which machines."""
    found = [(script, proofs.ranked(script)) for script in map(read_script, method.notebooks)]
    best = [(ranked[0][2], script) for script, ranked in found if ranked]
    proven = [(proof, script) for proof, script in best if proofs.state(proof, script) is State.PROVEN]
    if not proven:
        return STATES[proofs.state(*best[0])] if best else STATES[State.MISSING]
    measured = [proof for proof, script in proven if not script.head.guide.only_faults]
    where = sorted({"CPU" if proof.machine.kind == "cpu" else proof.machine.name for proof in measured})
    return f"proven on {', '.join(map(escape, where))}" if where else "faults shown"


def install_block(method: Method) -> str:
    """Markdown: the packages of the method's main notebook, as pinned."""
    head = read_script(method.notebooks[0]).head
    lines = []
    for step in head.install_steps(cuda=False):
        variables = [f"{name}={value}" for name, value in step.variables.items()]
        lines.append(" ".join([*variables, "pip install", *step.options, *step.pins]))
    if head.guide.unwanted:
        lines.append(f"pip uninstall --yes {' '.join(head.guide.unwanted)}")
    return "```bash\n" + "\n".join(lines) + "\n```"


def link_list(method: Method) -> str:
    """Markdown: pages elsewhere, with the day each was read."""
    lines = []
    for link in method.links:
        day = f", read {long_date(link.read.isoformat())}" if link.read else ""
        lines.append(f"- [{link.title}]({link.url}){day}")
    return "\n".join(lines)


def trap_list(name: str, method: Method, link: SiteLink) -> str:
    """Markdown: what goes wrong silently with a method, each linked to its evidence."""
    texts = []
    for shown in shown_traps(name, method):
        more = f"{link('traps.md')}#{shown.trap.id}"
        evidence = f'- <a href="{more}">What a run printed, and a script</a>'
        texts.append(f"**{shown.trap.do}**\n\n{trap_texts(shown.trap)}\n{evidence}")
    return "\n\n".join(texts)


def trap_texts(trap: Trap) -> str:
    """Markdown: the four sentences below what you do."""
    return (
        f"- You expect: {trap.expect}\n- You get: {trap.get}\n- How to notice: {trap.notice}\n- How to avoid it: {trap.avoid}"
    )


def all_trap_sections(link: SiteLink) -> str:
    """Markdown: every trap of every method, with the code that shows it, what a run printed, and a script to send upstream."""
    texts = []
    for method, shown_of_method in groupby(all_traps(), key=lambda shown: shown.method):
        texts.append(f"## {read_method(method).title}")
        for shown in shown_of_method:
            title = shown.trap.do.rstrip(".")
            texts.append(f"### {title} {{ #{shown.trap.id} }}\n\n{trap_texts(shown.trap)}")
            texts.append(f"```python\n{shown.code}\n```")
            printed = shown.printed()
            texts.append(f"Printed:\n\n```text\n{printed}\n```" if printed else "No run of today's code is recorded.")
            notebook = f'<a href="{link(f"notebooks/{shown.script.name}.ipynb")}">Notebook {shown.script.name}</a>'
            script = f'<a href="{link("traps.md")}{shown.trap.id}.py">the script alone, with its pins</a>'
            texts.append(f"{notebook}; {script}.")
    return "\n\n".join(texts)


def evidence_table(bits: int, link: SiteLink) -> str:
    """HTML: what today's proofs measured on the reference model at one weight width, nearest to bf16 first."""
    found = evidence.rows(bits)
    if not found:
        return "<p>No proof of today's code measured this yet.</p>"
    lines = []
    for row in found:
        variant, *cells = measure_cells(row.measure)
        page = link(f"notebooks/{row.notebook}.ipynb")
        lines.append((f'<a href="{page}">{escape(row.notebook)}</a> {variant}', *cells))
    first = found[0].measure
    caption = (
        f"Measured at {bits} bits on the stand-in model, by KL. bf16: {first.baseline_bytes / 1e6:,.2f} MB, perplexity "
        f"{first.baseline_perplexity:.3f}. ± is one standard error."
    )
    pairs = [f"{escape(one.label)} and {escape(other.label)}" for one, other in evidence.not_told_apart(bits)]
    apart = f"<p>Not told apart by KL within two standard errors: {'; '.join(pairs)}.</p>" if pairs else ""
    return table(MEASURE_HEAD, lines, caption) + apart


def span(values: list[float], form: str) -> str:
    """Lowest to highest of ``values``, as one number where they look alike."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def claims_table() -> str:
    """HTML: what is commonly said of each width, and what today's proofs measured on the reference model."""
    by_width = {bits: evidence.rows(bits) for bits in evidence.widths()}

    def measured(rows: list[Row]) -> str:
        if not rows:
            return "not measured yet"
        figures = [row.measure for row in rows]
        return (
            f"decoder linears {span([m.linear_ratio for m in figures], '.2f')} times smaller, the whole model "
            f"{span([m.ratio for m in figures], '.2f')} times; KL {span([m.kl for m in figures], '.4f')} nats, same top-1 "
            f"{span([100 * m.top1_agreement for m in figures], '.1f')} %; {len(rows)} variants"
        )

    def nearest(group: Group) -> str:
        found = [row for row in by_width.get(4, []) if row.group is group]
        if not found:
            return "not measured yet"
        best = min(found, key=lambda row: row.measure.kl)
        return f"{escape(best.label)}, KL {best.measure.kl:.4f} ± {best.measure.kl_error:.4f}"

    made = {row.label: row.measure.load_seconds for row in by_width.get(4, []) if row.group is Group.ON_THE_FLY}
    calibrated = [row for row in by_width.get(4, []) if row.notebook == "gptq"]
    effort = "not measured yet"
    if made and calibrated:
        effort = (
            f"GPTQ at 4 bit took {calibrated[0].measure.load_seconds:.0f} s for its calibration, loading on the fly "
            f"{span(list(made.values()), '.1f')} s; the other calibrated notebooks print how long making took"
        )
    lines = [
        ("8 bit: about half the memory, very close to bf16", measured(by_width.get(8, []))),
        ("4 bit: about a quarter of the memory, relatively good", measured(by_width.get(4, []))),
        (
            "below 4 bit: less than a quarter, with a noticeable drop",
            measured([row for bits, rows in by_width.items() if bits < 4 for row in rows]),
        ),
        (
            "calibrated 4 bit is often ahead of 4 bit on the fly",
            f"nearest to bf16 with calibration: {nearest(Group.CALIBRATED)}; on the fly: {nearest(Group.ON_THE_FLY)}",
        ),
        ("calibrated methods take longer to make", effort),
    ]
    return table(("what is said", "what was measured on the stand-in model"), lines, "Claims beside measures")


def width_table() -> str:
    """HTML: by weight width, the range over all variants that were measured on the reference model."""
    lines = []
    for bits in evidence.widths():
        found = [row.measure for row in evidence.rows(bits)]
        lines.append((
            f"{bits} bit",
            str(len(found)),
            span([row.linear_ratio for row in found], ".2f"),
            span([row.ratio for row in found], ".2f"),
            span([row.loss_difference for row in found], "+.4f"),
            span([100 * row.top1_agreement for row in found], ".1f"),
            span([row.kl for row in found], ".4f"),
        ))  # fmt: skip
    head = ("width", "variants", "decoder linears, times smaller", "whole model, times smaller", "loss minus bf16's, nats",
            "same top-1 as bf16, %", "KL from bf16, nats")  # fmt: skip
    return table(head, lines, "Lowest to highest over the variants measured on the stand-in model")
