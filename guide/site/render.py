"""Templates: they alone hold tags. HTML is escaped by itself, Markdown of the front matter is kept from making tags."""

import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).resolve().parent / "templates"
# Code between as many backticks before it as after it, or a sign that could begin a tag, or code that ends in another text.
CODE_OR_SIGN = re.compile(r"(?<![`\\])(`+)(?!`)(?P<code>.+?)(?<!`)\1(?!`)|[<`]", re.DOTALL)
ESCAPED = {"<": "&lt;", "`": "&#96;"}


def long_date(text: str) -> str:
    """An ISO date or time as '23 November 2026'."""
    day = date.fromisoformat(text[:10])
    return f"{day.day} {day:%B %Y}"


def prose(text: str) -> str:
    """Markdown of the front matter: code and links work, a tag is shown as it is written."""
    return CODE_OR_SIGN.sub(lambda found: found[0] if found["code"] else ESCAPED[found[0]], text)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=lambda name: bool(name and name.endswith(".html.jinja")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(long_date=long_date, prose=prose, first_large=lambda text: text[:1].upper() + text[1:])
    return environment


def render(template: str, **data: Any) -> str:
    """A template of ``templates/`` filled with data; HTML comes without blank lines, which would end it in Markdown."""
    text = _environment().get_template(template).render(**data).strip()
    return re.sub(r"\n\s*\n", "\n", text) if template.endswith(".html.jinja") else text
