"""Nothing that runs comes with a notebook: its outputs and its Markdown may be a stranger's, sent in with a proof."""

from collections import Counter

import nh3
from bs4 import BeautifulSoup

TAGS = {"a", "blockquote", "br", "button", "caption", "code", "details", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
        "img", "li", "ol", "p", "pre", "progress", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td", "th",
        "thead", "tr", "ul"}  # fmt: skip
ATTRIBUTES = {
    "*": {"class", "id", "role", "tabindex", "title"},
    "a": {"href", "rel"},
    "img": {"alt", "height", "loading", "src", "width"},
    "ol": {"start"},
    "progress": {"max", "value"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
LOOKS = {"border", "style"}  # what pandas writes for tables: the site has its own


def harmless(html: str) -> str:
    """The HTML of a notebook's page without tags, attributes and addresses that could run something or ask a third party."""
    return nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_own_picture,
        generic_attribute_prefixes={"aria-", "data-"},
        url_schemes={"http", "https", "mailto"},
        link_rel=None,
    )


def _own_picture(tag: str, name: str, value: str) -> str | None:
    """An attribute as it may stay: pictures are the site's own."""
    return None if tag == "img" and name == "src" and (":" in value or value.startswith("//")) else value


def harm(html: str) -> list[str]:
    """What ``harmless`` takes out of it, in words."""
    return [part for part in (_parts(html) - _parts(harmless(html))) if part.partition(" of ")[0] not in LOOKS]


def _parts(html: str) -> Counter[str]:
    tags = BeautifulSoup(html, "html.parser").find_all(True)
    return Counter([f"<{tag.name}>" for tag in tags] + [f"{name} of <{tag.name}>" for tag in tags for name in tag.attrs])
