"""Addresses: from a page of the site to another, and to the repository it is made from."""

import posixpath
from collections.abc import Container
from dataclasses import dataclass

from guide.notebooks.build import colab_url
from guide.project import GuideError


def url_of(path: str) -> str:
    """Where the site has a file of docs/ or notebooks/: ``methods/x.md`` at ``methods/x/``, ``index.md`` at the root."""
    stem, ending = posixpath.splitext(path)
    if ending not in (".md", ".ipynb"):
        return path
    return "" if stem == "index" else f"{stem.removesuffix('/index')}/"


@dataclass(frozen=True)
class Links:
    """Addresses as one page needs them."""

    page: str  # its path below docs/ or notebooks/
    known: Container[str]  # every path that the site has
    repository: str  # owner/name

    def __call__(self, path: str) -> str:
        """The address of a file of the site, relative to the page; raises GuideError if the site has no such file."""
        if path not in self.known:
            raise GuideError(f"{self.page} refers to {path}, which is not a page of the site.")
        here, there = url_of(self.page), url_of(path)
        relative = posixpath.relpath(there or ".", here or ".")
        return f"{relative}/" if there.endswith("/") or not there else relative

    def source(self, path: str) -> str:
        """A file of the repository, on GitHub."""
        return f"https://github.com/{self.repository}/blob/main/{path}"

    def colab(self, notebook: str) -> str:
        """A notebook, opened in Colab."""
        return colab_url(self.repository, notebook)
