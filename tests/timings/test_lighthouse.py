"""Lighthouse's mobile profile on every type of page, the median of five runs, and on the page that mkdocs-jupyter makes of the
same notebook by itself. Other work on the machine slows it, so this runs alone: ``nox -s timings``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import nbformat
import pytest
from conftest import LINUX_FLAGS
from serving import serve

pytestmark = pytest.mark.timing

LIGHTHOUSE = "lighthouse@12.2.3"  # of npm
RUNS = 5
SLOWEST = 95  # of 100 points for performance
MOST_SHIFT = 0.02  # cumulative layout shift
NOTEBOOK = "torchao"
PAGES = {
    "home": "",
    "home with an answer": "?card=geforce-rtx-4090&model=llama-3.1-8b&purpose=single",
    "guide": "guide/",
    "method": "methods/bitsandbytes/",
    "notebook": f"notebooks/{NOTEBOOK}/",
    "matrix": "works-where/",
    "overview": "overview/",
    "calculator": "memory/",
    "benchmarks": "benchmarks/",
    "symptoms": "symptoms/",
    "symptoms of loading": "symptoms-loading/",
    "symptoms of running": "symptoms-running/",
    "traps": "traps/",
    "engine": "engines/vllm/",
    "engines": "engines/",
    "diagrams": "how/",
}
STOCK = """
site_name: the same notebook, as mkdocs-jupyter shows it by itself
docs_dir: docs
theme: {name: material, font: false}
plugins: [mkdocs-jupyter]
"""


@pytest.fixture(scope="session")
def npx(chromium) -> str:
    """npm's runner of tools, which fetches Lighthouse."""
    del chromium  # without a browser there is nothing to run
    if found := shutil.which("npx"):
        return found
    advice = "No npx, which fetches Lighthouse: install Node.js."
    pytest.fail(advice) if os.environ.get("CI") else pytest.skip(advice)


@pytest.fixture(scope="session")
def stock(tmp_path_factory, guide) -> Path:
    """A site of one notebook, as MkDocs, its theme and mkdocs-jupyter make it with nothing set."""
    folder = tmp_path_factory.mktemp("stock")
    (folder / "docs").mkdir()
    (folder / "mkdocs.yml").write_text(STOCK, encoding="utf-8")
    nbformat.write(guide.best(NOTEBOOK).notebook, folder / "docs/index.ipynb")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder / "site")]
    subprocess.run(command, cwd=folder, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, check=True)
    return folder / "site"


def scores(npx: str, url: str, folder: Path) -> dict[str, float]:
    """The median over RUNS of each category's points (0 to 100), of the layout shift, and of the bytes that were loaded."""
    chrome = {"CHROME_PATH": found} if (found := shutil.which("chromium")) else {}
    found: dict[str, list[float]] = {}
    for run in range(RUNS):
        report = folder / f"{run}.json"
        command = [npx, "--yes", LIGHTHOUSE, url, "--quiet", "--output=json", f"--output-path={report}",
                   f"--chrome-flags={' '.join(LINUX_FLAGS)}"]  # fmt: skip
        subprocess.run(command, env=os.environ | chrome, check=True)
        read = json.loads(report.read_text(encoding="utf-8"))
        figures = {name: 100 * one["score"] for name, one in read["categories"].items()}
        figures["shift"] = read["audits"]["cumulative-layout-shift"]["numericValue"]
        figures["kB"] = read["audits"]["total-byte-weight"]["numericValue"] / 1000
        for name, value in figures.items():
            found.setdefault(name, []).append(value)
    return {name: median(values) for name, values in found.items()}


def said(page: str, found: dict[str, float]) -> str:
    """A line for the summary."""
    points = ", ".join(f"{name} {value:.0f}" for name, value in found.items() if name not in ("shift", "kB"))
    return f"Lighthouse, {page}: {points}, layout shift {found['shift']:.3f}, {found['kB']:.0f} kB"


@pytest.fixture(scope="session")
def took() -> list[float]:
    """Seconds of each page so far."""
    return []


@pytest.fixture
def tell(capsys, record_property, took):
    """Says a page's figures now, with how long the rest will take, and again at the end."""
    began = time.monotonic()

    def tell(line: str) -> None:
        took.append(time.monotonic() - began)
        left = max(0, len(PAGES) - len(took)) * sum(took) / len(took) / 60
        with capsys.disabled():
            print(f"\n[{len(took)}] {line} (about {left:.0f} min left)", flush=True)
        record_property("figure", line)

    return tell


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_fast_on_a_phone(site_folder, npx, tmp_path, tell, page):
    with serve(site_folder, searched=True, packed=True) as url:
        found = scores(npx, url + PAGES[page], tmp_path)
    tell(said(page, found))
    shift, performance = found.pop("shift"), found.pop("performance")
    del found["kB"]
    assert performance >= SLOWEST
    assert shift <= MOST_SHIFT
    assert set(found.values()) == {100}, found


def test_the_same_notebook_without_the_guides_theme_for_comparison(stock, npx, tmp_path, tell):
    with serve(stock, searched=True, packed=True) as url:
        found = scores(npx, url, tmp_path)
    tell(said("stock mkdocs-jupyter", found))
    assert found["kB"] > 0
