"""Stage the site: one folder with everything that a generator of sites needs, from which nothing has to be looked up again."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml

from guide.facts.guide import Guide
from guide.facts.method import Group, front_matter
from guide.facts.traps import all_traps
from guide.site import marks, notebook_pages, programs, selector, serving
from guide.site.leading import leading
from guide.site.render import long_date
from guide.site.urls import Links

COMMENTS = re.compile(r"^[ ]*(//.*|/\*\*[\s\S]*?\*/)\n| // [^\"'`\n]*$", re.MULTILINE)  # of a line, or behind code
INDENTS = re.compile(r"^[ ]+", re.MULTILINE)  # no text of a script has indented lines
DESCRIBING = ("title", "description", "hide", "search")  # what the theme reads of a front matter
END = "\n---\n"
METHODS = "methods/"  # stands in mkdocs.yml's navigation for the methods, group by group
ENGINES = "engines/"  # and this for the engines


def files(guide: Guide) -> dict[str, bytes]:
    """Every file of the site's ``docs`` by its path: pages, notebooks, data. Raises GuideError where the guide contradicts
    itself."""
    scripts = {f"traps/{shown.trap.id}.py": shown.standalone for shown in all_traps(guide)}
    made = programs.files(guide) | selector.files(guide, Links("", (), guide.project.repository))
    made["assets/serving.json"] = serving.file(guide)
    notebooks = [f"notebooks/{name}.ipynb" for name in guide.scripts]
    pictures = {path: content for name in guide.scripts for path, content in notebook_pages.pictures(guide, name).items()}
    known = {*guide.pages, *guide.assets, *scripts, *made, *notebooks, *pictures}

    def links(page: str) -> Links:
        return Links(page, known, guide.project.repository)

    lead = leading(guide)
    texts = scripts | made
    for page, text in guide.pages.items():
        texts[page] = lead(marks.fill(guide, _described(page, text), f"docs/{page}", links(page)))
    for name, page in zip(guide.scripts, notebooks, strict=True):
        shown = nbformat.writes(notebook_pages.shown(guide, name, links(page))) + "\n"
        texts[page] = lead(shown)
    assets = {path: _light(content) if path.endswith(".js") else content for path, content in guide.assets.items()}
    return {**assets, **pictures, **{path: text.encode() for path, text in texts.items()}}


def _described(page: str, text: str) -> str:
    """A page with no more in its front matter than what describes it: facts.json has its facts for programs."""
    kept = {field: value for field, value in front_matter(f"docs/{page}", text).items() if field in DESCRIBING}
    return f"---\n{yaml.safe_dump(kept, allow_unicode=True, sort_keys=False)}---\n{text[text.index(END, 4) + len(END) :]}"


def _light(script: bytes) -> bytes:
    """A script without indents and comments, but those behind code that quote: a reader loads a fifth less."""
    return INDENTS.sub("", COMMENTS.sub("", script.decode())).encode()


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make ``folder`` hold just these files; what has not changed is not written, so that its time tells."""
    for path, content in files.items():
        target = folder / path
        if not target.is_file() or target.read_bytes() != content:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    for old in [path for path in folder.rglob("*") if path.is_file()]:
        if old.relative_to(folder).as_posix() not in files:
            old.unlink()


def stage(guide: Guide, folder: Path) -> None:
    """Write the site's ``docs`` to ``folder``."""
    write(folder, files(guide))


def navigation(guide: Guide, given: list[Any]) -> list[Any]:
    """The navigation of mkdocs.yml with the methods, group by group, where it says ``methods/``, and so the engines."""
    found: list[Any] = []
    for entry in given:
        if entry == METHODS:
            found += _methods(guide)
        elif entry == ENGINES:
            found += [{engine.title: f"{ENGINES}{name}.md"} for name, engine in guide.engines.items()]
        elif isinstance(entry, dict):
            found.append({title: navigation(guide, part) if isinstance(part, list) else part for title, part in entry.items()})
        else:
            found.append(entry)
    return found


def _methods(guide: Guide) -> list[Any]:
    """The groups that have methods, each with its pages."""
    groups = {group: [{one.title: f"{METHODS}{name}.md"} for name, one in guide.methods.items() if one.group is group]
              for group in Group}  # fmt: skip
    return [{group.heading: members} for group, members in groups.items() if members]


def page_values(guide: Guide) -> dict[str, str]:
    """What each page says: the release that is described, the day of the last run of a notebook, where to open an issue."""
    last = max(stored.proof.date for found in guide.proofs.values() for stored in found)
    issue = f"https://github.com/{guide.project.repository}/issues/new?title="
    return {"transformers": guide.transformers, "last_run": long_date(last), "issue": issue}
