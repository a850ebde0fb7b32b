"""Where a link to an entry of a list leads: who writes ``symptoms.md#<id>`` or ``traps.md#<id>`` need not know which page of
several shows it."""

import re
from collections.abc import Callable

from guide.facts.guide import Guide
from guide.facts.symptoms import pages_of_symptoms
from guide.facts.traps import all_traps

LINK = re.compile(r"\b(?P<list>symptoms|traps)(?P<ending>\.md|/)#(?P<id>[\w-]+)")  # in Markdown, and as the site has it


def leading(guide: Guide) -> Callable[[str], str]:
    """Leads a text's links to symptoms and traps to the pages that show them."""
    pages = {"symptoms": pages_of_symptoms(guide), "traps": {one.trap.id: one.page for one in all_traps(guide)}}

    def shown(link: re.Match[str]) -> str:
        page = pages[link["list"]].get(link["id"], f"{link['list']}.md")
        return f"{page.removesuffix('.md')}{link['ending']}#{link['id']}"

    return lambda text: LINK.sub(shown, text)
