"""Fill a page's marks: ``<!-- guide: WORD ARGUMENTS -->`` becomes what the facts and the proofs say."""

from __future__ import annotations

import re

from guide import render, storage_table
from guide.method import Group, read_method, read_methods
from guide.project import ROOT, GuideError
from guide.render import SiteLink
from guide.script import read_script

INCLUDE = re.compile(r'^\s*--8<-- "(?P<path>[^":]+):(?P<section>[^"]+)"', re.MULTILINE)
MARK = re.compile(r"<!-- guide: (?P<word>[\w-]+)(?P<arguments>[^>]*?) -->")


def check_includes(markdown: str, page: str) -> None:
    """Raise GuideError naming the page and the section if it includes one that no snippet has."""
    for found in INCLUDE.finditer(markdown):
        path = ROOT / found["path"]
        if not path.exists():
            raise GuideError(f"{page} includes {found['path']}, which is not there.")
        if f"--8<-- [start:{found['section']}]" not in path.read_text(encoding="utf-8"):
            raise GuideError(f"{page} includes the section '{found['section']}', which {found['path']} does not have.")


def fill(markdown: str, page: str, link: SiteLink) -> str:
    """A page's Markdown with its marks replaced; an unknown mark raises GuideError naming it and the page."""
    check_includes(markdown, page)

    def replace(mark: re.Match) -> str:
        word, arguments = mark["word"], mark["arguments"].split()
        try:
            match word, arguments:
                case "use-cases", groups:
                    return render.use_case_table(read_methods(), [Group(name) for name in " ".join(groups).split(", ")])
                case "group", group:
                    return render.method_sections(read_methods(), Group(" ".join(group)))
                case "overview", []:
                    return render.overview_table(read_methods(), link)
                case "differences", []:
                    return render.differences_table(read_methods(), link)
                case "cells", [name]:
                    return render.cell_table(read_methods(), name, link)
                case "pros-cons", [name]:
                    return render.pros_and_cons(read_method(name))
                case "facts", [name]:
                    return render.fact_table(read_method(name))
                case "install", [name]:
                    return render.install_block(read_method(name))
                case "links", [name]:
                    return render.link_list(read_method(name))
                case "traps", []:
                    return render.all_trap_sections(link)
                case "traps", [name]:
                    return render.trap_list(name, read_method(name), link)
                case "proof", [name]:
                    return render.proof_box(read_script(name), link, with_measures=True)
                case "measured", [bits]:
                    return render.evidence_table(int(bits), link)
                case "claims", []:
                    return render.claims_table()
                case "storage", []:
                    return "\n\n".join(map(storage_table.storage_table, storage_table.read_records().values()))
                case "widths", []:
                    return render.width_table()
        except ValueError as error:
            raise GuideError(f"{page}: the mark '{mark[0]}' cannot be filled: {error}.") from error
        raise GuideError(f"{page}: unknown mark '{mark[0]}'; guide/pages.py lists the known ones.")

    return MARK.sub(replace, markdown)
