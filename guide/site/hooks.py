"""MkDocs' hooks: stage the site before each build, and what its theme and mkdocs-jupyter leave to do afterwards."""

import json
import os
import re
import sys
from hashlib import sha256
from pathlib import Path
from textwrap import shorten
from typing import Any

import pygments.token
from bs4 import BeautifulSoup
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.livereload import LiveReloadServer
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page
from mkdocs_jupyter.config import settings

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # mkdocs loads a hook by its path

from guide.facts.load import load
from guide.project import GuideError, Project
from guide.site import links, machines, searching, social, stage
from guide.site.built import LONGEST
from guide.site.harmless import harm, harmless
from guide.site.render import TEMPLATES

END_OF_NOTEBOOK = "<!-- end of the notebook -->"  # of our template; mkdocs-jupyter adds a style sheet after it
# How much a page counts in the search, by where its path begins; the first that fits. A page that explains comes before the
# notebook that shows; an error that is pasted finds its symptom, whose heading has most of its words, all the same.
BOOSTS = {"notebooks/": 0.1, "traps": 0.2, "symptoms": 1.8, "methods/": 1.7, "engines/": 1.7, "": 2.2}
INDENTED = re.compile(r"\s*\n\s*")
# lunr 2.3.9, in the theme's search, takes two parts of its tree of words for one if letters and numbers of nodes read alike,
# such as 3 and 77 as 37 and 7: then a word that is nowhere is looked up, and the whole query fails. A mark ends each number.
AMBIGUOUS, MARKED = "e=e+s+o.id}return e", 'e=e+s+o.id+";"}return e'
log = get_plugin_logger("guide")

# mkdocs-jupyter's setting of where its templates are: ours make a notebook plain content of the theme, without 574 kB of CSS.
settings.templates_dir = str(TEMPLATES)
for plain in (pygments.token.Name, pygments.token.Operator, pygments.token.Punctuation, pygments.token.Whitespace):
    pygments.token.STANDARD_TYPES[plain] = ""  # the theme's colours do not tell them from plain text: a third less to load


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Stage the site, and build from there. Addresses come from the repository's, so that a fork gets its own.

    ``repo_url`` stays unset: with it every page would ask GitHub for a star count.
    """
    project = Project.here()
    staged = project.build / "site"
    try:
        guide = load(project)
        stage.stage(guide, staged)
    except GuideError as error:
        raise PluginError(str(error)) from error
    config.docs_dir = str(staged)
    config.nav = stage.navigation(guide, config.nav or [])
    config.edit_uri_template = f"https://github.com/{project.repository}/edit/main/docs/{{path}}"
    config.extra |= stage.page_values(guide)
    owner, _, name = project.repository.partition("/")
    if not config.site_url and os.environ.get("GITHUB_REPOSITORY"):
        config.site_url = f"https://{owner}.github.io/{name}/"
    template = b"".join(path.read_bytes() for path in sorted(TEMPLATES.glob("mkdocs_*/*")))
    # What it rendered by another template is not ours
    cache = project.build / f"mkdocs-jupyter-{sha256(template).hexdigest()[:12]}"
    config.plugins["mkdocs-jupyter"].config["cache_dir"] = str(cache)
    return config


def on_serve(server: LiveReloadServer, config: MkDocsConfig, builder: Any) -> LiveReloadServer:
    """What is staged is not watched: what it is made from is, in mkdocs.yml."""
    server.unwatch(config.docs_dir)
    return server


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """A notebook without the style sheet that mkdocs-jupyter adds to it and without what could run, titled and described by
    its first lines; each page's weight in the search."""
    page.meta.setdefault("search", {"boost": next(BOOSTS[part] for part in BOOSTS if page.file.src_uri.startswith(part))})
    if page.file.src_uri.endswith(".ipynb"):
        html = html.partition(END_OF_NOTEBOOK)[0]
        if found := harm(html):
            log.warning(f"{page.file.src_uri} holds {', '.join(found)}, which no page may: prove the notebook again.")
        html = harmless(html)
        page.title, page.meta["description"] = _first_lines(html)
    page.meta["card"] = f"assets/cards/{page.file.url.strip('/').replace('/', '-').strip('.') or 'home'}.png"
    return html


def _first_lines(html: str) -> tuple[str, str]:
    """The heading of a page, and its first paragraph outside the box of the proof, as long as a search engine shows."""
    shown = BeautifulSoup(html, "html.parser")
    for beside in shown.select(".headerlink, .proof"):
        beside.decompose()
    heading, paragraph = (" ".join(tag.get_text().split()) if tag else "" for tag in (shown.h1, shown.p))
    return heading, shorten(paragraph, LONGEST, placeholder=" …")


def on_page_context(context: dict[str, Any], page: Page, config: MkDocsConfig, nav: Navigation) -> dict[str, Any]:
    """A notebook is edited in its script."""
    source = Path(page.file.src_uri)
    if source.suffix == ".ipynb" and config.edit_uri_template:
        page.edit_url = config.edit_uri_template.replace("docs/{path}", f"snippets/{source.stem}.py")
    return context


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """A page without the theme's own indentation, a fifth of a notebook page; the content is left as it is. Its picture for
    those who share a link."""
    before, article, rest = output.partition("<article")
    content, end, after = rest.partition("</article")
    if config.site_url:  # which the picture's address needs
        picture = Path(config.site_dir, page.meta["card"])
        picture.parent.mkdir(parents=True, exist_ok=True)
        social.card(picture, config.site_name, str(page.title), page.meta.get("description", ""))
    return "".join((INDENTED.sub("\n", before), article, content, end, INDENTED.sub("\n", after)))


def on_post_build(config: MkDocsConfig) -> None:
    """The Markdown beside the pages; a light search that tells words apart. Dead links are warnings, which --strict counts."""
    machines.write(
        Path(config.docs_dir), Path(config.site_dir), config.site_name, config.site_description or "", config.nav or []
    )
    site = Path(config.site_dir)
    for sentence in (*links.dead_links(site), *links.lost_sources(site, Project.here())):
        log.warning(sentence)
    index = Path(config.site_dir, "search/search_index.json")
    thin = searching.thinned(json.loads(index.read_text(encoding="utf-8")))
    index.write_text(json.dumps(thin, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    for worker in Path(config.site_dir).glob("assets/javascripts/workers/search.*.min.js"):
        code = worker.read_text(encoding="utf-8").replace(AMBIGUOUS, MARKED)
        if MARKED not in code:
            log.warning("The theme's search has another lunr: see AMBIGUOUS in guide/site/hooks.py.")
        worker.write_text(code, encoding="utf-8")
