"""The symptoms: group by group, each with its cause, its cure, and the cell that shows it."""

from guide.facts.guide import Guide
from guide.facts.method import front_matter
from guide.facts.symptoms import PAGES, SILENT, Group, shown_symptoms
from guide.facts.traps import all_traps
from guide.site.render import render
from guide.site.urls import Links


def index(guide: Guide, link: Links) -> str:
    """Those of a page, and on one the traps that say nothing, which another page explains."""
    own = PAGES.get(link.page, tuple(Group))
    found = [one for one in shown_symptoms(guide) if one.symptom.group in own]
    groups = {group: [one for one in found if one.symptom.group == group] for group in own}
    silent = [shown.trap for shown in all_traps(guide) if shown.trap.silent] if link.page == SILENT else []
    pages = {page for one in found for page in (*one.symptom.pages, one.symptom.source) if page in guide.pages}
    titles = {page: front_matter(f"docs/{page}", guide.pages[page])["title"] for page in pages}
    text = render("symptoms.md.jinja", groups=groups, silent=silent, titles=titles, link=link)
    return text.replace("](#", "](symptoms.md#")  # an entry names another by its id alone, wherever that is shown
