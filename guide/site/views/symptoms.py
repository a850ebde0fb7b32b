"""The symptoms: which page has what is seen, and on each page the entries, with cause, cure and the cell that shows it."""

from guide.facts.guide import Guide
from guide.facts.method import front_matter
from guide.facts.symptoms import PAGES, SILENT, Group, shown_symptoms
from guide.facts.traps import ShownTrap, all_traps
from guide.site.render import render
from guide.site.urls import Links

# What the reader sees, whose entries a group has
SEEN = {
    Group.LOADING: "an error while a model is loaded",
    Group.FIRST: "an error at its first answer",
    Group.SETTINGS: "an argument is refused or does nothing",
    Group.INSTALLING: "an error of pip or of `import`",
    Group.SAVING: "an error while a model is saved or merged",
    Group.CALIBRATING: "an error while a model is calibrated",
    Group.CONVERTING: "an error while a checkpoint is converted",
    Group.MEMORY: "CUDA out of memory, or more memory than expected",
    Group.SLOW: "slower than in 16 bit, or slow to load",
    Group.GARBAGE: "gibberish, exclamation marks, NaN; or another model than you think",
    Group.TRAINING: "an error in QLoRA, SFTTrainer, FSDP or DeepSpeed",
    Group.SERVING: "an error in an engine",
}


def index(guide: Guide, link: Links) -> str:
    """A page's entries, and on one the silent traps; on the page that holds all in its front matter, where each group is."""
    if link.page not in PAGES:
        seen = [
            (SEEN[group], _title(guide, page), f"symptoms.md#{group.anchor}")
            for page, groups in PAGES.items()
            for group in groups
        ]
        return render("symptom_pages.md.jinja", seen=seen)
    own = PAGES[link.page]
    found = [one for one in shown_symptoms(guide) if one.symptom.group in own]
    groups = {group: [one for one in found if one.symptom.group == group] for group in own}
    silent: dict[str, list[ShownTrap]] = {}
    for shown in all_traps(guide):
        if shown.trap.silent and link.page == SILENT:
            silent.setdefault(guide.methods[shown.method].title, []).append(shown)
    pages = {page for one in found for page in (*one.symptom.pages, one.symptom.source) if page in guide.pages}
    titles = {page: _title(guide, page) for page in pages}
    text = render("symptoms.md.jinja", groups=groups, silent=silent, titles=titles, link=link)
    return text.replace("](#", "](symptoms.md#")  # an entry names another by its id alone, wherever that is shown


def _title(guide: Guide, page: str) -> str:
    title: str = front_matter(f"docs/{page}", guide.pages[page])["title"]
    return title
