"""A table of figures, which the guide's pages show as the run gave it."""

from __future__ import annotations

from html import escape

from IPython.display import display


def show_figures(name: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Display a table; a page finds it in the executed notebook by ``name``."""
    titles = "".join(f'<th scope="col">{escape(title)}</th>' for title in head)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
        for first, *cells in rows
    )
    html = f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"
    text = "\n".join("  ".join(row) for row in (head, *rows))
    figures = {"name": name, "head": head, "rows": rows}
    bundle = {"text/plain": text, "text/html": html, "application/vnd.quantization-guide.figures+json": figures}
    display(bundle, raw=True)
