"""The index of symptoms: group by group, each with its cause, its cure, and the cell that shows it."""

from guide.facts.guide import Guide
from guide.facts.method import front_matter
from guide.facts.symptoms import Group, shown_symptoms
from guide.facts.traps import all_traps
from guide.site.render import render
from guide.site.urls import Links


def index(guide: Guide, link: Links) -> str:
    """All of them, and the traps that say nothing, which the page of traps explains."""
    found = shown_symptoms(guide)
    groups = {group: [one for one in found if one.symptom.group == group] for group in Group}
    silent = [shown.trap for shown in all_traps(guide) if shown.trap.silent]
    pages = {page for one in found for page in (*one.symptom.pages, one.symptom.source) if page in guide.pages}
    titles = {page: front_matter(f"docs/{page}", guide.pages[page])["title"] for page in pages}
    return render("symptoms.md.jinja", groups=groups, silent=silent, titles=titles, link=link)
