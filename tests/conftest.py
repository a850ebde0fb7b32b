"""Fixtures: a copy of the project to plant faults in, the built site, and a real Chromium."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LINUX_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the figures that tests recorded with ``record_property("figure", ...)``, whichever process they ran in."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(value)


class Tree:
    """A copy of the project in which a test may break something."""

    def __init__(self, root: Path):
        self.root = root

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.root / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} does not hold {old!r}"
        file.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """Run ``python -m ARGUMENTS`` in the copy."""
        everything = {**os.environ, "PYTHONPATH": "", **variables}
        command = [sys.executable, "-m", *arguments]
        return subprocess.run(command, cwd=self.root, env=everything, capture_output=True, text=True, check=False)

    def build_site(self) -> subprocess.CompletedProcess:
        return self.run("mkdocs", "build", "--strict", "--site-dir", str(self.root / "site"))


@pytest.fixture
def tree(tmp_path) -> Tree:
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            target = tmp_path / "tree" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    return Tree(tmp_path / "tree")


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """(folder, URL) of the site, built as it is published and served on this machine."""
    folder = tmp_path_factory.mktemp("site")
    handler = functools.partial(_QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    url = f"http://127.0.0.1:{server.server_port}/"
    # Material navigates without reloading only where the sitemap's addresses are those of the server.
    variables = {**os.environ, "SITE_URL": url}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    with FileLock(tmp_path_factory.getbasetemp().parent / "site.lock"):  # the processes of pytest-xdist share build/pages
        done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder, url
    server.shutdown()


@pytest.fixture(scope="session")
def chromium():
    """The system's Chromium, else Playwright's own. Without either: a failure where CI is set, a skip elsewhere."""
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=system, args=LINUX_FLAGS)
        except PlaywrightError as error:
            advice = "No Chromium: install it with your system's packages, or run 'nox -s browser'."
            if os.environ.get("CI"):
                pytest.fail(f"{advice} {error}")
            pytest.skip(advice)
        yield browser
        browser.close()
