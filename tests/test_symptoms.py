"""The index of symptoms: what it holds, and that who pastes an error finds its entry."""

from __future__ import annotations

import re

import pytest
from serving import answers, serve

from guide.facts.cells import tagged
from guide.facts.symptoms import PAGES, TAG, Group, parse_symptoms, shown_symptoms
from guide.facts.traps import ERRORS, SILENT, all_traps
from guide.project import GuideError
from guide.site.leading import leading
from guide.site.stage import files

LEAST, LEAST_SHOWN = 60, 25
FOUND_FIRST = 3  # of the search's answers


def test_every_symptom_has_a_version_a_cure_and_a_public_source(guide):
    found = parse_symptoms(guide.pages["symptoms.md"])
    assert len(found) >= LEAST and {one.group for one in found} == set(Group)
    for one in found:
        public = re.match(r"https://(github\.com|huggingface\.co|discuss\.huggingface\.co|arxiv\.org)/", one.source)
        assert public or one.source in guide.pages, one.id
        assert re.search(r"\d", one.versions) and one.cause and one.cure and one.said, one.id
        assert all(page in guide.pages for page in one.pages), one.id


def test_each_is_on_one_page_and_a_link_to_it_leads_there(guide):
    """Also from a page of another folder, from the site's HTML, and to the heading of a group."""
    lead = leading(guide)
    assert sorted(group for groups in PAGES.values() for group in groups) == sorted(Group)
    assert lead("[a](../symptoms.md#meta-tensor)") == "[a](../symptoms-loading.md#meta-tensor)"
    assert lead("[a](symptoms.md#70b-one-gpu), b") == "[a](symptoms-running.md#70b-one-gpu), b"
    assert lead('href="../../symptoms/#int8-slower"') == 'href="../../symptoms-running/#int8-slower"'
    assert lead("symptoms.md#out-of-memory") == "symptoms-running.md#out-of-memory"
    assert lead("[all](symptoms.md), notebooks/symptoms_training/#x") == "[all](symptoms.md), notebooks/symptoms_training/#x"


def test_a_link_to_a_trap_leads_to_the_page_that_shows_it(guide):
    silent, raising = (next(one for one in all_traps(guide) if one.trap.silent == silent) for silent in (True, False))
    assert leading(guide)(f"(../traps.md#{raising.trap.id})") == f"(../traps-errors.md#{raising.trap.id})"
    assert leading(guide)(f"(../traps.md#{silent.trap.id})") == f"(../traps.md#{silent.trap.id})"
    for page in (SILENT, ERRORS):
        shown = set(re.findall(r'<h3 id="([\w-]+)">', files(guide)[page].decode()))
        assert shown == {one.trap.id for one in all_traps(guide) if one.page == page}


def test_versions_begin_as_a_sentence_does(guide):
    """With a capital, a digit, code, or the name of a package as it is written."""
    packages = {re.split(r"[=\[]", pin)[0].lower() for script in guide.scripts.values() for pin in script.head.dependencies}
    for one in parse_symptoms(guide.pages["symptoms.md"]):
        first = re.split(r"[\s:,;]", one.versions)[0]
        assert not first[0].islower() or first.lower() in packages | {"vllm", "llm-compressor"}, (one.id, first)


def test_a_part_of_them_was_run_and_printed_what_the_entry_says(guide, record_property):
    shown = [one for one in shown_symptoms(guide) if one.printed]
    record_property("figure", f"symptoms: {len(parse_symptoms(guide.pages['symptoms.md']))}, {len(shown)} of them run here")
    assert len(shown) >= LEAST_SHOWN
    for one in shown:
        cell = tagged(guide.notebooks[one.script.name], TAG)[one.symptom.id]
        asked = re.findall(r'(?:shows\(\w+, |warns\()"([^"]+)"', cell.source)
        assert all(words in one.printed for words in asked), (one.symptom.id, one.printed)


def test_a_cell_that_the_page_does_not_describe_is_named(planted):
    planted.edit("docs/symptoms.md", "- id: unscale-fp16\n", "- id: unscale-fp17\n")
    with pytest.raises(
        GuideError, match=r"has a cell tagged 'symptom:unscale-fp16', which docs/symptoms.md does not describe"
    ):
        shown_symptoms(planted.load())


def test_an_id_that_stands_twice_is_named(planted):
    planted.edit("docs/symptoms.md", "- id: unscale-fp16\n", "- id: no-grad-fn\n")
    with pytest.raises(GuideError, match="'no-grad-fn' is the id of two symptoms"):
        parse_symptoms(planted.load().pages["symptoms.md"])


def test_a_pasted_message_finds_its_entry(site_folder, desktop, guide, record_property):
    """By the site's own search, among the first answers."""
    messages = [one for one in parse_symptoms(guide.pages["symptoms.md"]) if one.message]
    missed = []
    lead = leading(guide)
    with serve(site_folder, searched=True) as url:
        desktop.goto(f"{url}symptoms/")
        desktop.locator(".md-search__input").click()
        for one in messages:
            found = [link for link in answers(desktop, one.message.splitlines()[0][:90]) if "#" in link][:FOUND_FIRST]
            if not any(
                link.partition("?")[0] + "#" + link.partition("#")[2] == lead(f"{url}symptoms/#{one.id}") for link in found
            ):
                missed.append(one.id)
    record_property("figure", f"symptoms: {len(messages) - len(missed)} of {len(messages)} pasted messages find their entry")
    assert len(missed) <= len(messages) / 15, missed
