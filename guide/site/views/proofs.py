"""The box that says what is proven of a notebook: its state first, then how it was run, then what it measured."""

from dataclasses import dataclass

from guide.facts.guide import Guide
from guide.facts.method import Answer, Method
from guide.facts.proof import FIGURES_MIME, Proof, Source, State, Stored, output_data
from guide.site.render import long_date, render
from guide.site.urls import Links
from guide.site.views import colab, measures
from guide.site.views.tables import Table

ADMONITION = {State.PROVEN: "success", State.CHANGED: "warning", State.FAILED: "failure", State.MISSING: "warning"}
SUMMARY = {State.CHANGED: "changed since its proof", State.FAILED: "failed", State.MISSING: "not proven yet"}


@dataclass(frozen=True)
class Loaded:
    """What stood in for the public models and texts of a run."""

    models: str
    texts: str  # empty where the run read none
    parameters: float | None  # millions; None where nothing was measured
    made: list[tuple[str, str]]  # (public id, the maker's path) of checkpoints that were made of the reference model


def maker_path(source: Source) -> str:
    """Where the maker of a stand-in checkpoint stands today; an older record may name its older place."""
    return f"models/checkpoints/{(source.maker or '').rpartition('/')[2]}"


def loaded(proof: Proof) -> Loaded | None:
    """What ran under public names, so that a stand-in is not taken for the model whose name it had; None for a real run."""
    if not proof.stand_in:
        return None
    return Loaded(
        models=", ".join(source.id for source in proof.models if not source.maker),
        texts=", ".join(source.id for source in proof.texts),
        parameters=proof.measures[0].parameters / 1e6 if proof.measures else None,
        made=[(source.id, maker_path(source)) for source in proof.models if source.maker],
    )


def unpacked(guide: Guide, proof: Proof) -> str:
    """The public id under which a run loaded what ``nox -s model`` makes; empty where it loaded none of that."""
    return next((source.id for source in proof.models if source.revision in guide.real.revisions), "")


def shown_instead(guide: Guide, name: str, proof: Proof) -> str:
    """What a run showed in place of its method: faults, what a CPU gets instead, or a part; empty where the method ran."""
    table = guide.scripts[name].head.guide
    if table.only_faults:
        return "faults"
    method = guide.methods.get(table.method or "")
    if method is None or proof.machine.kind != "cpu" or method.hardware.cpu.answer is not Answer.NO:
        return ""
    return "a part" if name == method.notebooks[0] else "fallback"


def title(best: Stored, instead: str) -> str:
    """The heading of a box that has a proof to show."""
    day = long_date(best.proof.date)
    if best.state is State.CHANGED:
        return "Code changed since this proof"
    if best.state is State.FAILED:
        return f"Failed on {day}"
    outcome = f"{instead.capitalize()} shown" if instead else "Proven"
    return f"{outcome} on {day}" + (", with a stand-in model" if best.proof.stand_in else "")


def machine_line(proof: Proof) -> str:
    """Where and with what a notebook ran, as one sentence; versions that differ from the pins are named."""
    machine = proof.machine
    chip = f"compute capability {machine.capability}" if machine.kind == "cuda" else f"{machine.cores} cores, no GPU"
    versions = ", ".join(f"{name} {found}" for name, found in proof.versions.items() if found)
    differing = proof.differing_versions().items()
    pinned = "; ".join(f"{f'no {name}' if found == 'none' else f'{name} {found}'} instead of the pinned {pin}"
                       for name, (pin, found) in differing)  # fmt: skip
    return (
        f"{machine.name}, {chip}; {long_date(proof.date)}; {proof.seconds:.0f} s; Python {proof.python}; "
        f"{versions}{f' (ran with {pinned})' if pinned else ''}."
    )


def measured(guide: Guide, name: str, proof: Proof) -> str:
    """The table of a proof; what a method that cannot save was saved as says nothing of it."""
    method = guide.methods.get(guide.scripts[name].head.guide.method or "")
    return measures.of_proof(proof, saves=not method or method.features.save_and_reload.answer is not Answer.NO).html()


def box(guide: Guide, name: str, link: Links, with_measures: bool) -> str:
    """What is proven of a notebook, as an admonition in HTML that unfolds under its title, and links to the notebook."""
    script, found = guide.scripts[name], guide.proofs[name]
    best = guide.best(name)
    state = guide.state(name)
    instead = shown_instead(guide, name, best.proof) if best else ""
    return render(
        "proof.html.jinja",
        script=script,
        table=script.head.guide,
        state=state,
        admonition="info" if instead and state is State.PROVEN else ADMONITION[state],
        title=title(best, instead) if best else "Not proven yet",
        best=best,
        proof=best.proof if best else None,
        loaded=loaded(best.proof) if best else None,
        unpacked=unpacked(guide, best.proof) if best else "",
        machine=machine_line(best.proof) if best else "",
        measures=measured(guide, name, best.proof) if best and with_measures and best.proof.measures else "",
        others=[f"{one.proof.machine.name} ({one.state}, {long_date(one.proof.date)})" for one in found[1:]],
        in_colab=guide.in_colab(name),
        on_method=with_measures,
        colab_notes=colab.notes(guide, name),
        page=link(f"notebooks/{name}.ipynb"),
        link=link,
    )


def figures(guide: Guide, name: str, table: str) -> Table | None:
    """A table that a notebook showed in the run that is stored; None where there is no run.

    Raises ValueError if it showed none of that name.
    """
    best = guide.best(name)
    if not best:
        return None
    shown = {one["name"]: one for one in output_data(best.notebook, FIGURES_MIME)}
    if table not in shown:
        raise ValueError(f"the proof {best.path} shows no table '{table}'; it shows {', '.join(shown) or 'none'}")
    proof = best.proof
    models = "a stand-in model" if proof.stand_in else " and ".join(source.id for source in proof.models) or "random tensors"
    caption = f"Notebook {name}, {models}, {proof.machine.name}, {long_date(proof.date)}"
    older = "" if best.state is State.PROVEN else f": {best.state}"
    return Table(shown[table]["head"], shown[table]["rows"], f"{caption}{older}.", table)


def summary(guide: Guide, method: Method) -> str:
    """What is proven of a method, in a few words: the best state of its notebooks, what they showed, and on which machines."""
    found = [(name, stored) for name in method.notebooks for stored in guide.proofs[name]]
    where: dict[str, set[str]] = {}  # machines, by what ran there: the method itself first
    for name, stored in found:
        if stored.state is State.PROVEN:
            machine = "CPU" if stored.proof.machine.kind == "cpu" else stored.proof.machine.name
            where.setdefault(shown_instead(guide, name, stored.proof), set()).add(machine)
    if not where:
        return SUMMARY[found[0][1].state if found else State.MISSING]
    return "; ".join(
        f"{f'{instead} shown' if instead else 'proven'} on {', '.join(sorted(where[instead]))}" for instead in sorted(where)
    )
