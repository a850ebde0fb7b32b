"""What a visitor of the repository finds: forms that GitHub can show, files that name each other, nobody's address."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
import yaml
from planting import ROOT

FORMS = sorted(ROOT.glob(".github/ISSUE_TEMPLATE/[0-9]-*.yml"))
TEXTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md", "SECURITY.md",
                                  "CITATION.cff", ".github/PULL_REQUEST_TEMPLATE.md")]  # fmt: skip
ASKS = {"input", "textarea", "dropdown", "checkboxes"}


def anchors(path: Path) -> set[str]:
    """The headings of a file, as GitHub makes addresses of them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_can_be_shown_and_asks_for_something(path):
    form = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(form) == {"name", "description", "title", "labels", "body"}
    asked = [part for part in form["body"] if part["type"] in ASKS]
    assert len(asked) == len(form["body"]) - sum(part["type"] == "markdown" for part in form["body"])
    assert all(re.fullmatch(r"[a-z_-]+", part["id"]) and part["attributes"]["label"] for part in asked)
    assert len({part["id"] for part in asked}) == len(asked)
    assert any(part.get("validations", {}).get("required") for part in asked)


def test_there_is_a_form_for_each_kind_of_issue():
    assert len(FORMS) == 4


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_a_text_leads_to_what_is_there(path):
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, anchor = target.partition("#")
        there = path.parent / file if file else path
        assert there.is_file(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("path", [*TEXTS, *FORMS], ids=lambda path: path.stem)
def test_nobodys_address_is_in_a_text(path):
    """Whoever copies the repository has other maintainers, and another place on GitHub."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"[\w.]+@[\w-]+\.\w+", text)
    assert not re.search(r"github\.com/(?!huggingface/)[\w-]+/[\w-]+", text)


def test_the_citation_has_what_its_format_asks_for():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["authors"] == [{"name": "The contributors of the Quantization Field Guide"}]
    assert citation["license"] in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_changelog_goes_back_in_time():
    days = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    dates = [datetime.datetime.strptime(day, "%d %B %Y").replace(tzinfo=datetime.UTC).date() for day in days]
    assert dates and dates == sorted(set(dates), reverse=True)
    assert dates[0] <= datetime.datetime.now(datetime.UTC).date()
