"""The site for programs that read: ``llms.txt``, as llmstxt.org has it, and the Markdown of each page beside the page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guide.facts.method import front_matter


def write(staged: Path, site: Path, name: str, says: str, nav: list[Any]) -> None:
    """Copy the pages' Markdown to the built site, and list them by the navigation."""
    for page in staged.rglob("*.md"):
        copy = site / page.relative_to(staged)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(page.read_bytes())
    lines = [f"# {name}", "", f"> {says}"]
    for heading, pages in sections(nav):
        lines += ["", f"## {heading}", "", *(entry(staged, path) for path in pages if (staged / path).is_file())]
    lines += [
        "",
        "## Data",
        "",
        "- [facts.json](facts.json): every fact of methods, engines and symptoms, by [its schema](facts.schema.json)",
    ]
    (site / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def sections(nav: list[Any]) -> Iterator[tuple[str, list[str]]]:
    """The parts of the navigation with all of their pages; a page that stands alone is a part of its own."""
    for entry in nav:
        for title, part in entry.items():
            yield title, list(_pages(part))


def entry(staged: Path, path: str) -> str:
    """A page's line: its title and what its front matter says of it."""
    facts = front_matter(f"docs/{path}", (staged / path).read_text(encoding="utf-8"))
    return f"- [{facts['title']}]({path}): {facts['description']}"


def _pages(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for inner in part.values():
            yield from _pages(inner)
    else:
        for inner in part:
            yield from _pages(inner)
