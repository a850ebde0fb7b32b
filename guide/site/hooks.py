"""MkDocs' hooks: stage the site before each build, and what its theme and mkdocs-jupyter leave to do afterwards."""

import os
import re
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pygments.token
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
from guide.site import links, machines, stage
from guide.site.render import TEMPLATES

END_OF_NOTEBOOK = "<!-- end of the notebook -->"  # of our template; mkdocs-jupyter adds a style sheet after it
# How much a page counts in the search, by where its path begins; the first that fits. A page that explains comes before the
# notebook that shows; an error that is pasted finds its symptom, whose heading has most of its words, all the same.
BOOSTS = {"notebooks/": 0.1, "traps.md": 0.2, "symptoms.md": 1.8, "methods/": 1.7, "engines/": 1.7, "": 2.2}
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
    config.extra |= stage.told(guide)
    owner, _, name = project.repository.partition("/")
    if not config.site_url and "GITHUB_REPOSITORY" in os.environ:
        config.site_url = f"https://{owner}.github.io/{name}/"
    template = b"".join(path.read_bytes() for path in sorted(TEMPLATES.glob("mkdocs_*/*")))
    cache = (
        project.build / f"mkdocs-jupyter-{sha256(template).hexdigest()[:12]}"
    )  # what it rendered by another template is not ours
    config.plugins["mkdocs-jupyter"].config["cache_dir"] = str(cache)
    return config


def on_serve(server: LiveReloadServer, config: MkDocsConfig, builder: Any) -> LiveReloadServer:
    """What is staged is not watched: what it is made from is, in mkdocs.yml."""
    server.unwatch(config.docs_dir)
    return server


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """A notebook without the style sheet that mkdocs-jupyter adds to it; each page with its weight in the search."""
    page.meta.setdefault("search", {"boost": next(BOOSTS[part] for part in BOOSTS if page.file.src_uri.startswith(part))})
    return html.partition(END_OF_NOTEBOOK)[0]


def on_page_context(context: dict[str, Any], page: Page, config: MkDocsConfig, nav: Navigation) -> dict[str, Any]:
    """A notebook is edited in its script."""
    source = Path(page.file.src_uri)
    if source.suffix == ".ipynb" and config.edit_uri_template:
        page.edit_url = config.edit_uri_template.replace("docs/{path}", f"snippets/{source.stem}.py")
    return context


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """A page without the theme's own indentation, a fifth of a notebook page; the content is left as it is."""
    before, article, rest = output.partition("<article")
    content, end, after = rest.partition("</article")
    return "".join((INDENTED.sub("\n", before), article, content, end, INDENTED.sub("\n", after)))


def on_post_build(config: MkDocsConfig) -> None:
    """The Markdown beside the pages; a search that tells words apart. Dead links are warnings, which --strict counts."""
    machines.write(
        Path(config.docs_dir), Path(config.site_dir), config.site_name, config.site_description or "", config.nav or []
    )
    for sentence in links.dead_links(Path(config.site_dir)):
        log.warning(sentence)
    for worker in Path(config.site_dir).glob("assets/javascripts/workers/search.*.min.js"):
        code = worker.read_text(encoding="utf-8").replace(AMBIGUOUS, MARKED)
        if MARKED not in code:
            log.warning("The theme's search has another lunr: see AMBIGUOUS in guide/site/hooks.py.")
        worker.write_text(code, encoding="utf-8")
