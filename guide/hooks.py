"""MkDocs' hooks, each a thin caller of the plain functions beside it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority, get_plugin_logger
from mkdocs.structure.files import File
from mkdocs.utils import get_relative_url

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # mkdocs loads a hook by its path

from guide import choices, facts, links, notebook_page, pages, render, traps
from guide.project import GuideError, described_transformers, notebook_names

log = get_plugin_logger("guide")


def _linker(page, files):
    """From a path below ``docs/`` or ``notebooks/`` to a URL relative to a page."""

    def link(path: str) -> str:
        file = files.get_file_from_path(path)
        if file is None:
            raise GuideError(f"{page.file.src_uri} refers to {path}, which is not a page of the site.")
        return get_relative_url(file.url, page.url)

    return link


def on_config(config):
    """The site's and the edit links' addresses come from the repository's, so that a fork gets its own.

    ``repo_url`` stays unset: with it every page would ask GitHub for a star count.
    """
    repository = render.repository()
    owner, _, name = repository.partition("/")
    config.edit_uri_template = f"https://github.com/{repository}/edit/main/docs/{{path}}"
    if not config.site_url and "GITHUB_REPOSITORY" in os.environ:
        config.site_url = f"https://{owner}.github.io/{name}/"
    return config


@event_priority(100)  # before mkdocs-jupyter looks for notebooks
def on_files(files, config):
    try:
        for path in notebook_page.stage(notebook_names()):
            files.append(File(path, str(notebook_page.STAGED), config.site_dir, config.use_directory_urls))
        transformers = described_transformers()
        made = facts.files(transformers) | {"assets/choices.json": choices.file(transformers)}
        for name, content in made.items():
            files.append(File.generated(config, name, content=content))
    except GuideError as error:
        raise PluginError(str(error)) from error
    return files


def on_page_markdown(markdown, page, config, files):
    if page.file.src_uri.endswith(".ipynb"):
        return None
    try:
        return pages.fill(markdown, f"docs/{page.file.src_uri}", _linker(page, files))
    except GuideError as error:
        raise PluginError(str(error)) from error


@event_priority(-100)  # after mkdocs-jupyter has rendered
def on_page_content(html, page, config, files):
    if not page.file.src_uri.endswith(".ipynb"):
        return None
    try:
        return notebook_page.lighten(html, Path(page.file.src_uri).stem, _linker(page, files))
    except GuideError as error:
        raise PluginError(str(error)) from error


def on_page_context(context, page, config, nav):
    source = page.file.src_uri
    if source.endswith(".ipynb"):
        name = Path(source).stem
        page.edit_url = f"https://github.com/{render.repository()}/edit/main/snippets/{name}.py"
    return context


def on_post_page(output, page, config):
    return notebook_page.without_indentation(output)


def on_post_build(config):
    traps.write_scripts(Path(config.site_dir) / "traps")
    for sentence in links.dead_links(Path(config.site_dir)):
        log.warning(sentence)  # counted by --strict
