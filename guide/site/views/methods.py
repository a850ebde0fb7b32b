"""The facts of methods: one method's, one fact of all, all of all."""

from collections.abc import Sequence

from guide.facts.engine import PLACES, Generation
from guide.facts.guide import Guide
from guide.facts.method import Answer, Cell, Group, Method, NvidiaCell, OfKey, in_order
from guide.facts.traps import ShownTrap, all_traps, shown_traps
from guide.notebooks.build import install_lines
from guide.notebooks.script import Script
from guide.site.render import render
from guide.site.urls import Links
from guide.site.views import forms, proofs
from guide.site.views.tables import Item, Table

MARKS = {Answer.YES: "✓", Answer.NO: "✗", Answer.UNVERIFIED: "?"}
LABELS = {
    "quantize_on_load": "quantizes on load",
    "activations": "quantizes activations",
    "cpu": "CPU",
    "nvidia": "NVIDIA GPU",
    "amd": "AMD GPU",
    "intel_gpu": "Intel GPU",
    "apple": "Apple GPU",
    "save_and_reload": "save and reload",
    "peft": "fine-tuning with PEFT",
    "generate_compiles": "generate uses torch.compile by itself",
    "torch_compile": "torch.compile works on it",
}
FEATURES = ("quantize_on_load", "save_and_reload", "peft", "torch_compile")
NARROWED = ("cpu", "nvidia", "amd", "intel_gpu", "apple", *FEATURES)  # the facts that narrow the overview
COMMON = (Group.ON_THE_FLY, Group.CALIBRATED, Group.FORMAT)
READY = "only loads ready checkpoints"


def use_cases(guide: Guide, groups: Sequence[Group]) -> str:
    """Markdown: which method of some groups for what."""
    return render("use_cases.md.jinja", methods={n: m for n, m in guide.methods.items() if m.group in groups})


def pros_and_cons(method: Method) -> str:
    """Markdown: what speaks for a method and against it."""
    return render("pros_and_cons.md.jinja", method=method, page="")


def group(guide: Guide, group: Group) -> str:
    """Markdown: each method of a group with what speaks for and against it."""
    return render("group.md.jinja", methods={n: m for n, m in guide.methods.items() if m.group is group})


def badges(guide: Guide, method: Method) -> str:
    """HTML: what decides about a method, in a few words each, with the answer as a colour beside."""
    cells = method.cells()
    data = {"none": "no calibration data", "needed": "calibrated with texts", "made elsewhere": READY}
    nvidia = method.hardware.nvidia
    least = f" from {nvidia.capability}" if nvidia.answer is Answer.YES and nvidia.capability else ""
    runs = [f"NVIDIA{least}" if name == "nvidia" else LABELS[name].removesuffix(" GPU")
            for name in type(method.hardware).model_fields if cells[name].answer is Answer.YES]  # fmt: skip
    said = {"save_and_reload": ("saves and reloads", "does not save and reload", "save and reload not verified"),
            "peft": ("LoRA", "no LoRA", "LoRA not verified")}  # fmt: skip
    order = (Answer.YES, Answer.NO, Answer.UNVERIFIED)
    words = [(one[order.index(cells[name].answer)], cells[name].answer) for name, one in said.items()]
    mixed = method.calibration == "needed" and any(one.calibration == "none" for one in method.variants)
    texts = "with or without calibration data" if mixed else data[method.calibration]
    parts = [(f"{', '.join(map(str, method.bits))} bit", ""), (texts, ""), (", ".join(runs), "")]
    return render("badges.html.jinja", badges=[*parts, *words, (proofs.summary(guide, method), "")])


def install(script: Script) -> str:
    """Markdown: the packages of a notebook, as pinned."""
    return render("install.md.jinja", lines=install_lines(script, cuda=False))


def elsewhere(method: Method) -> str:
    """Markdown: pages elsewhere, with the day each was read."""
    return render("elsewhere.md.jinja", links=method.links)


def traps(guide: Guide, name: str, link: Links) -> str:
    """Markdown: what goes wrong with a method, silently first, each linked to its evidence."""
    found = sorted(shown_traps(guide, name), key=lambda shown: not shown.trap.silent)
    return render("traps_of_method.md.jinja", traps=found, pages={one.page: link(one.page) for one in found})


def traps_of_all(guide: Guide, link: Links) -> str:
    """Markdown: a page's traps of every method, with what a run printed and the script that shows it."""
    by_method: dict[str, list[ShownTrap]] = {}
    for shown in all_traps(guide):
        if shown.page == link.page:
            by_method.setdefault(guide.methods[shown.method].title, []).append(shown)
    return render("traps_of_all.md.jinja", by_method=by_method, link=link)


def facts(method: Method) -> str:
    """A method's calibration; under a line each, its hardware and features with answer, note and source, and its kernels."""
    cells = method.cells()
    rows: list[list[Item | str]] = [[LABELS[name], *_texts(cells[name])] for name in cells]
    tables = [Table(("what", "works", "note", "source"), rows, f"What {method.title} needs and can do")]
    heads = ("kernel", "runs on, compute capability", "system", "package", "dtype", "source")
    kernels: list[list[Item | str]] = [
        [one.name, one.runs_on, one.system, one.package, one.dtype, one.source] for one in method.kernels
    ]
    tables += [Table(heads, kernels, f"Kernels of {method.title}, by their source")] if kernels else []
    folded = (render("folded.html.jinja", title=table.caption, html=table.html()) for table in tables)
    return "\n\n".join([render("calibration.md.jinja", method=method), *folded])


def one_fact(guide: Guide, name: str, link: Links) -> Table:
    """One cell of every method, the methods that can first; raises ValueError if no cell has that name."""
    if name not in LABELS:
        raise ValueError(f"no cell '{name}'; there are {', '.join(LABELS)}")
    order = [Answer.YES, Answer.UNVERIFIED, Answer.NO]
    found = sorted(guide.methods.items(), key=lambda item: order.index(item[1].cells()[name].answer))
    rows: list[list[Item | str]] = []
    for page, method in found:
        answer, note, _ = _texts(method.cells()[name])  # its source stands on the method's page
        rows.append([Item(method.title, url=link(f"methods/{page}.md")), answer, note])
    return Table(("method", "works", "note"), rows, LABELS[name])


def works(guide: Guide, link: Links, short: bool = False) -> Table:
    """Methods by generations of hardware and by what else they can do, a sign a cell; ``short``: the methods most take, and
    hardware alone. ``works.js`` keeps only what runs on what a reader has."""
    places = [one for one in guide.common.generations if not short or one.id != "blackwell"]
    features = () if short else FEATURES
    rows: list[list[Item | str]] = []
    for name, method in sorted(guide.methods.items(), key=lambda item: list(Group).index(item[1].group)):
        if short and method.group not in COMMON:
            continue
        cells = method.cells()
        answers = [on(method, one) for one in places] + [cells[feature].answer for feature in features]
        rows.append([Item(method.title, url=link(f"methods/{name}.md")), *map(_sign, answers)])
    heads: list[Item | str] = ["method"]
    heads += [Item(one.name, more=f" ({one.examples})") if not short else one.name for one in places]
    heads += [LABELS[feature] for feature in features]
    caption = (
        "✓ it loads and generates there, ✗ it does not, ? not verified. Some dequantize the weights and save no memory: "
        "each method's page says so."
    )
    options = [] if short else [(one.id, f"{one.name} ({one.examples})") for one in places]
    form = forms.choice("works-hardware", "Your hardware", options) if options else ""
    return Table(heads, rows, caption, "What works where", "matrix works", form)


def on(method: Method, place: Generation) -> Answer:
    """Whether a method runs on a generation of hardware; where it names no compute capability, on all of NVIDIA's."""
    if not place.capability:
        return method.cells()[PLACES[place.id]].answer
    cell = method.hardware.nvidia
    if cell.answer is not Answer.YES:
        return cell.answer
    early = cell.capability is not None and in_order(place.capability) < in_order(cell.capability)
    return Answer.NO if early or cell.ends_before(place.capability) else Answer.YES


def _sign(answer: Answer) -> Item:
    return Item(answer, mark=MARKS[answer], sign=True, data={"answer": answer})


def overview(guide: Guide, link: Links) -> Table:
    """Every key of Transformers' registry in a row, with its method's facts; ``overview.js`` sorts and filters it."""
    head = ["key", "method", "bits", "calibration", *LABELS.values(), "lowest versions", "proof"]
    rows: list[list[Item | str]] = []
    for name, method in sorted(guide.methods.items(), key=lambda item: item[1].title.lower()):
        packages = method.transformers.packages | method.transformers.packages_later
        optional = method.transformers.optional
        lowest_versions = [
            f"{package} {lowest or 'any'}{' (optional)' if package in optional else ''}"
            for package, lowest in packages.items()
        ]
        for key in method.transformers.keys:
            own = method.transformers.own.get(key, OfKey(bits=method.bits))
            cells = method.cells() | own.cells
            rows.append(
                [
                    Item(key, form="code"),
                    Item(method.title, url=link(f"methods/{name}.md")),
                    Item(", ".join(map(str, own.bits)), data={"sort": str(max(own.bits))}),
                    READY if method.calibration == "made elsewhere" else method.calibration,
                    *(_answer(fact, cells[fact]) for fact in LABELS),
                    ", ".join(lowest_versions),
                    proofs.summary(guide, method) if own.tried else "not tried",
                ]
            )
    caption = f"The {len(rows)} keys of Transformers' registry. Notes and sources of the answers are on each method's page."
    form = forms.overview_filter({fact: LABELS[fact] for fact in NARROWED}, len(rows))
    return Table(head, rows, caption, "All methods", "overview", form, sorts=True)


def differences(guide: Guide, link: Links) -> Table:
    """The cells that say other than the library's flag or check, each with its evidence."""
    rows: list[list[Item | str]] = []
    for name, method in guide.methods.items():
        for cell_name, cell in method.cells().items():
            if not cell.differs:
                continue
            evidence: Item | str = cell.source
            if cell.source == "proof" or cell.source.startswith("notebook "):
                notebook = method.notebooks[0] if cell.source == "proof" else cell.source.removeprefix("notebook ")
                evidence = Item(f"notebook {notebook}", url=link(f"notebooks/{notebook}.ipynb"))
            page = Item(method.title, url=link(f"methods/{name}.md"))
            rows.append([page, LABELS[cell_name], Item(cell.answer, form="strong"), cell.differs, evidence])
    head = ("method", "what", "our answer", "why not the library's", "evidence")
    return Table(head, rows, "Answers that differ from the library's")


def _texts(cell: Cell) -> tuple[Item, str, str]:
    """A cell's answer in words, its note, and what it rests on."""
    source = "the proof on the method's page" if cell.source == "proof" else cell.source
    bounds = _bounds(cell).replace("from", "from compute capability", 1)
    notes = [bounds, cell.note, cell.differs]
    return Item(cell.answer, form="strong"), "; ".join(filter(None, notes)), source


def _answer(name: str, cell: Cell) -> Item:
    """An answer as a mark and in words; for NVIDIA with the compute capabilities between which it runs."""
    words = ", ".join(filter(None, [cell.answer, _bounds(cell)]))
    return Item(words, mark=MARKS[cell.answer], data={"fact": name, "answer": cell.answer})


def _bounds(cell: Cell) -> str:
    """Between which compute capabilities a method runs on NVIDIA GPUs; empty where neither end is known."""
    if not isinstance(cell, NvidiaCell):
        return ""
    ends = {"from": cell.capability, "not from": cell.not_from}
    return ", ".join(f"{word} {end}" for word, end in ends.items() if end)
