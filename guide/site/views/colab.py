"""What is said of a notebook in Colab: with which GPU it runs there, and what that rests on."""

from guide.facts.colab import InColab
from guide.facts.guide import Guide
from guide.site.render import long_date, render
from guide.site.urls import Links


def notes(guide: Guide, name: str) -> list[str]:
    """What a reader should know before opening a notebook there, as sentences: what it lacks, what was run, what not."""
    found, outcome, image = guide.in_colab(name), guide.outcome(name), guide.image
    said = [found.why] if found.why else []
    if found.answer == "no":
        return said
    packages = f"the packages of Colab's image of {long_date(image.file.date.isoformat())}"
    if outcome and outcome.ran:
        torch = outcome.versions["torch"]
        said.append(
            f"On {long_date(outcome.date)} its install cell and its code ran on {packages}, on a CPU with torch {torch}."
        )
    elif outcome:
        said.append(f"pip can install its pins beside {packages}, as resolved on {long_date(outcome.date)}.")
    if found.gpu and not any(one.proof.machine.capability == found.gpu.capability for one in guide.proofs[name]):
        said.append(f"Not run on {found.gpu.a_name}.")
    return said


def by_answer(guide: Guide, link: Links) -> str:
    """HTML: all notebooks by what they take in Colab, those that do not run there with the reason."""
    groups: dict[str, list[tuple[str, str, InColab]]] = {}
    for name in guide.scripts:
        found = guide.in_colab(name)
        groups.setdefault(found.with_what, []).append((name, link(f"notebooks/{name}.ipynb"), found))
    rank = ["free", "paid", "no"]
    ordered = sorted(groups.items(), key=lambda group: (rank.index(group[1][0][2].answer), -len(group[1])))
    outcomes = [outcome for name in guide.scripts if (outcome := guide.outcome(name))]
    ran = [one.versions for one in outcomes if one.ran and not one.failure]
    pythons, torches = (sorted({versions[name] for versions in ran}) for name in ("python", "torch"))
    return render("colab.html.jinja", groups=ordered, image=guide.image, ran=ran, pythons=pythons, torches=torches)
