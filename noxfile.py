"""Every task of the project, one session each. ``nox -l`` lists them, ``nox`` alone runs what a pull request must pass."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import sys
import time

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["lint", "drift", "tests", "check"]

GROUPS = nox.project.load_toml("pyproject.toml")
QUIET = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}  # banners of MkDocs plugins, not warnings
STARTED = time.monotonic()
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: what a browser leaves behind is counted here


@atexit.register
def print_time() -> None:
    """What all sessions took together: minutes on the clock, and of processors."""
    with contextlib.suppress(ChildProcessError, AttributeError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    used = os.times()
    processors = used.children_user + used.children_system + used.user + used.system
    print(f"nox > {(time.monotonic() - STARTED) / 60:.1f} minutes, {processors / 60:.1f} CPU minutes.", file=sys.stderr)


def install(session: nox.Session, group: str) -> None:
    """Install one dependency group of pyproject.toml."""
    session.install("--quiet", *nox.project.dependency_groups(GROUPS, group))


def run_here_or_installed(session: nox.Session, module: str) -> None:
    """Run a module with the group prove; with --no-install, on a node without network, in the interpreter at hand as it is."""
    if "--no-install" in session.posargs:
        session.run(sys.executable, "-m", module, *session.posargs, external=True)
        return
    install(session, "prove")
    session.run("python", "-m", module, *session.posargs)


@nox.session
def serve(session: nox.Session) -> None:
    """Read the guide at http://127.0.0.1:8000/; what you edit is shown as you save."""
    install(session, "docs")
    session.run("mkdocs", "serve", "--dirty", *session.posargs, env=QUIET)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into site/; a warning is an error."""
    install(session, "docs")
    session.run("mkdocs", "build", "--strict", *session.posargs, env=QUIET)


@nox.session
def check(session: nox.Session) -> None:
    """Build the site into site/ and look through its HTML: headings, titles, ids, links, what was not rendered, weight."""
    docs(session)
    session.run("python", "-m", "guide.site.built", "site")


@nox.session
def notebooks(session: nox.Session) -> None:
    """Build notebooks/ from snippets/; with --check, change nothing and fail if one is stale or edited."""
    install(session, "notebooks")
    session.run("python", "-m", "guide.notebooks", *session.posargs)


@nox.session
def new(session: nox.Session) -> None:
    """Make the two files of a new method: nox -s new -- method NAME."""
    install(session, "docs")
    session.run("python", "-m", "guide.contribute", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types, holes in workflows, is each notebook what its script builds; -- --fix mends style."""
    install(session, "lint")
    check = [] if "--fix" in session.posargs else ["--check"]
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", *check, ".")
    session.run("mypy")
    session.run("oxlint", "--deny-warnings", "docs/assets")
    session.run("oxfmt", *check, "docs/assets/*.js")
    session.run("zizmor", "--offline", "--quiet", ".github")
    session.run("actionlint")  # with shellcheck, for the commands of the workflows
    session.run("python", "-m", "guide.notebooks", "--check")
    session.run("python", "-m", "guide.site")
    # A trap's script stands alone: a name from another cell would not be there for who gets it.
    session.run("ruff", "check", "--isolated", "--no-respect-gitignore", "--select", "F", "build/site/traps")


@nox.session
def tests(session: nox.Session) -> None:
    """Unit tests, and browser tests of the built site in a real Chromium; -- -m full for the whole sweep of the selector."""
    install(session, "tests")
    session.run("pytest", *session.posargs, env=QUIET)


@nox.session
def timings(session: nox.Session) -> None:
    """How long selector and calculator take on a slow phone; alone on the machine, or the figures are noise."""
    install(session, "tests")
    session.run("pytest", "-n0", "-m", "timing", "tests/timings", *session.posargs, env=QUIET)


@nox.session
def drift(session: nox.Session) -> None:
    """Does the guide still say what Transformers says; -- --latest reports what changed since the pins."""
    install(session, "drift")
    session.run("python", "-m", "guide.library", *session.posargs, env={"TRANSFORMERS_VERBOSITY": "error"})


@nox.session
def links(session: nox.Session) -> None:
    """Ask every address outside the site whether it still answers, one request at a time a host: .github/lychee.toml."""
    install(session, "links")
    session.run("pytest", "--noconftest", "-o", "addopts=", "--quiet", "tests/links", silent=True)  # do the settings hold?
    # Facts make addresses
    session.run("python", "-m", "guide.site", env={"GITHUB_REPOSITORY": "OWNER/REPOSITORY"}, silent=True)
    texts = ["docs", "snippets", "build/site/engines", "README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    session.run("lychee", "--config", ".github/lychee.toml", *session.posargs, *texts)


@nox.session
def upgrade(session: nox.Session) -> None:
    """Move the pins to the newest releases that work together, and say what to prove again; see nox -s upgrade -- --help."""
    install(session, "drift")
    session.run("python", "-m", "guide.library.upgrade", *session.posargs, env={"TRANSFORMERS_VERBOSITY": "error"})


@nox.session
def browser(session: nox.Session) -> None:
    """Fetch Playwright's own Chromium for the browser tests, where the system has none."""
    install(session, "tests")
    session.run("playwright", "install", *session.posargs, "chromium")


@nox.session
def prove(session: nox.Session) -> None:
    """Run the notebooks and record what happened; see nox -s prove -- --help."""
    run_here_or_installed(session, "guide.prove")


@nox.session
def stale(session: nox.Session) -> None:
    """Which notebooks have no proof on which GPU; the matrix of the workflow that proves them."""
    install(session, "prove")
    session.run("python", "-m", "guide.prove.stale")


@nox.session
def asked(session: nox.Session) -> None:
    """What a comment on a pull request asks to prove; the matrix of the workflow that does it."""
    install(session, "prove")
    session.run("python", "-m", "guide.prove.asked")


@nox.session
def hub(session: nox.Session) -> None:
    """Download what notebooks load from the hub, before they run; names of notebooks choose theirs."""
    install(session, "hub")
    session.run("python", "-m", "guide.prove.fetch", *session.posargs)


@nox.session
def paste(session: nox.Session) -> None:
    """Paste each block of code of the pages into an empty interpreter and run it; names of notebooks choose theirs."""
    install(session, "prove")
    session.run("python", "-m", "guide.prove.paste", *session.posargs)


@nox.session
def colab(session: nox.Session) -> None:
    """Run each notebook's install cell and the notebook on the packages of Colab's image; see nox -s colab -- --help."""
    install(session, "wheels")
    session.run("python", "-m", "guide.prove.colab", *session.posargs)


@nox.session
def wheels(session: nox.Session) -> None:
    """Gather the wheels that a machine without network lacks to prove notebooks; see nox -s wheels -- --help."""
    install(session, "wheels")
    session.run("python", "-m", "guide.offline", *session.posargs)


@nox.session
def architectures(session: nox.Session) -> None:
    """Derive the calculator's architectures from Transformers' own models; with --check, fail if the stored ones differ."""
    install(session, "architectures")
    session.run("python", "-m", "guide.derive", *session.posargs)


@nox.session
def training(session: nox.Session) -> None:
    """Derive what training of adapters holds by running steps; -- NAMES for some families alone, --check to compare."""
    install(session, "training")
    names = [one for one in session.posargs if one != "--check"]
    session.run("python", "-m", "guide.derive", *(["--check"] if "--check" in session.posargs else []), "--training", *names)


@nox.session
def weigh(session: nox.Session) -> None:
    """Measure what each method stores of models with random weights, beside the calculator's prediction; see -- --help."""
    install(session, "prove")
    session.run("python", "-m", "guide.bench", *session.posargs)


@nox.session
def model(session: nox.Session) -> None:
    """Fetch the real model that figures are measured on, check it, unpack it to bf16; -- --text FILE names its text."""
    install(session, "prove")
    session.run("python", "-m", "guide.bench.real_model", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure quality, size and speed of every variant on the real model; goes on where it was stopped; see -- --help."""
    run_here_or_installed(session, "guide.bench.numbers")


@nox.session(name="compile")
def compile_all(session: nox.Session) -> None:
    """Find out whether torch.compile works on what each method makes, and changes nothing; see -- --help."""
    run_here_or_installed(session, "guide.bench.compiled")


@nox.session
def train(session: nox.Session) -> None:
    """Train the reference model anew into models/reference/; resumes where it was stopped."""
    install(session, "train")
    session.run("python", "models/train.py", *session.posargs)
