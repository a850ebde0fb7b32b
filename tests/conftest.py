"""Fixtures: the built site, and a real Chromium; the guide and a project to plant faults in come from ``planting``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from filelock import FileLock
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from planting import guide, planted  # noqa: E402, F401 (fixtures)
from serving import DESKTOP, PHONE, serve  # noqa: E402

LINUX_FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync"]  # fmt: skip


def pytest_terminal_summary(terminalreporter) -> None:
    """Print the figures that tests recorded with ``record_property("figure", ...)``, whichever process they ran in."""
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name == "figure" and report.when == "call":
                terminalreporter.write_line(value)


def _build(folder: Path) -> str:
    """Build the site there as it is published; what went wrong, or nothing."""
    variables = {"SITE_URL": "http://127.0.0.1/", "NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


@pytest.fixture(scope="session")
def site_folder(tmp_path_factory) -> Path:
    """The site, built once for all processes of pytest-xdist."""
    if given := os.environ.get("GUIDE_SITE"):  # the folder of a site that is built already: tests what another job built
        return Path(given).resolve()
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # each process has a folder of its own in that of the run
    fault = shared / "site.txt"
    with FileLock(shared / "site.lock"):
        if not fault.exists():
            fault.write_text(_build(shared / "site"), encoding="utf-8")
    assert fault.read_text(encoding="utf-8") == ""
    return shared / "site"


@pytest.fixture(scope="session")
def site(site_folder):
    """(folder, URL) of the site, served on this machine."""
    with serve(site_folder) as url:
        yield site_folder, url


@pytest.fixture(scope="session")
def chromium():
    """The system's Chromium, else Playwright's own. Without either: a failure where CI is set, a skip elsewhere."""
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    advice = "No Chromium: install it with your system's packages, or run 'nox -s browser'."
    try:
        driver = sync_playwright().start()
    except Exception as error:  # its driver is a program of its own, which a small system may lack libraries for
        _without_browser(
            f"Playwright's driver does not start. {advice} Debian's package chromium brings what it lacks.", error
        )
    try:
        browser = driver.chromium.launch(executable_path=system, args=LINUX_FLAGS)
    except PlaywrightError as error:
        driver.stop()
        _without_browser(advice, error)
    yield browser
    browser.close()
    driver.stop()


def _without_browser(advice: str, error: Exception) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"{advice} {error}", pytrace=False)
    pytest.skip(advice)


def noting(page):
    """A page that notes its errors, all that reaches the console, and its requests."""
    page.errors, page.console, page.requests = [], [], []
    page.on("pageerror", lambda error: [notes.append(str(error)) for notes in (page.errors, page.console)])
    page.on("console", lambda message: page.console.append(message.text))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: page.requests.append(request.url))
    return page


@pytest.fixture(scope="session")
def _phone(chromium):
    context = chromium.new_context(viewport=PHONE, color_scheme="light")
    yield noting(context.new_page())
    context.close()


@pytest.fixture
def tab(_phone, site):
    """An empty tab as wide as a phone, in light, which notes errors, console and requests.

    It is one for all tests of a process, without what the test before left: a context of its own would cost a test three times
    what it costs to open a page.
    """
    yield _phone
    _phone.context.clear_permissions()
    _phone.goto("about:blank")  # after this, nothing of the page is at work
    session = _phone.context.new_cdp_session(_phone)
    session.send("Storage.clearDataForOrigin", {"origin": site[1].rstrip("/"), "storageTypes": "local_storage"})
    session.detach()
    _phone.set_viewport_size(PHONE)
    _phone.emulate_media(color_scheme="light", media="screen")
    for notes in (_phone.errors, _phone.console, _phone.requests):
        notes.clear()


@pytest.fixture
def desktop(tab):
    """The same tab as wide as a desktop's window."""
    tab.set_viewport_size(DESKTOP)
    return tab


@pytest.fixture
def still(chromium):
    """A tab of a browser that runs no JavaScript."""
    context = chromium.new_context(viewport=PHONE, java_script_enabled=False)
    yield context.new_page()
    context.close()
