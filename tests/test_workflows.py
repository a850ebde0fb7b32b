"""The workflows: what each may do, what runs a stranger's code, what a comment asks for, what becomes of what was found."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from planting import ROOT

from guide.project import GuideError
from guide.prove import asked, fetch, hub_cache

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
SESSIONS = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE))
PINNED = re.compile(r"^[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\b")
BY_STRANGERS = {"pull_request", "issue_comment"}  # events that anybody can cause
SHELL = shutil.which("bash")


def test_there_are_workflows():
    assert len(WORKFLOWS) >= 7


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_can_do_no_more_than_it_needs(path):
    assert list(faults(path.read_text(encoding="utf-8"))) == []


def faults(text: str) -> Iterator[str]:
    """What is wrong with a workflow, a sentence each."""
    document = yaml.safe_load(text)
    events = document.get("on", document.get(True))  # YAML 1.1 reads "on" as yes
    events = set(events if isinstance(events, dict | list) else [events])
    if events & {"pull_request_target", "workflow_run"}:
        yield "it runs with the rights of the repository on what strangers send"
    if document.get("permissions") != {}:
        yield "its jobs have rights that they do not name"
    for line in re.findall(r"uses: (.+)", text):
        if not line.startswith("$/") and not PINNED.match(line):
            yield f"{line} is not pinned by its commit, with the version beside it"
    for name, job in document["jobs"].items():
        yield from (f"{name}: {fault}" for fault in faults_of_job(job, events))


def faults_of_job(job: dict[str, Any], events: set[str]) -> Iterator[str]:
    steps, said = job.get("steps", []), json.dumps(job)
    writes = "write" in job.get("permissions", {}).values()
    if "uses" not in job and "timeout-minutes" not in job:
        yield "it has no timeout"
    commands = "\n".join(step.get("run", "") for step in steps)
    for named in re.findall(r"nox -s ([\w ]+?)(?: --|$)", commands, re.MULTILINE):
        if unknown := set(named.split()) - SESSIONS:
            yield f"there is no nox session {unknown.pop()}"
    if "${{ github.event." in commands or "${{ inputs." in commands or "${{ matrix." in commands:
        yield "a text of others becomes a part of a command"
    checkouts = [step["with"] for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    if any(given.get("persist-credentials") is not False for given in checkouts):
        yield "what it checks out holds its token"
    if writes and re.search(r"\b(nox|pip|python3?)\b", commands):
        yield "it runs code of the project and may write"
    caches = [step for step in steps if "cache" in step.get("uses", "") or "cache" in step.get("with", {})]
    if writes and caches:
        yield "it writes, and takes what a cache holds"
    # A pull request's checkout is the stranger's by default; a comment's is main, unless it names another commit.
    strange = [given for given in checkouts if "pull_request" in events or ("issue_comment" in events and "ref" in given)]
    if strange and (writes or "id-token" in job.get("permissions", {})):
        yield "it runs a stranger's code and may write"
    if strange and ("secrets" in said or "github.token" in said):
        yield "it runs a stranger's code and holds a secret"
    if strange and "issue_comment" in events and any(step["uses"].startswith("actions/cache@") for step in caches):
        yield "it runs a stranger's code and saves a cache that main restores"
    if events & BY_STRANGERS and "env" in job and "secrets" in json.dumps(job["env"]):
        yield "its secret is in the environment of what strangers cause"


PLANTED = {  # a pattern, what it becomes, and what is said of it
    "another trigger": ("issue_comment:", "pull_request_target:", "rights of the repository"),
    "rights for all": ("permissions: {}", "permissions: write-all", "rights that they do not name"),
    "a tag": (r"(actions/cache/restore)@\w+ # v[\d.]+", r"\1@v5", "not pinned"),
    "a version that is not said": (r"(actions/cache/restore@\w+) # v[\d.]+", r"\1", "not pinned"),
    "no timeout": (r" +timeout-minutes: 120\n", "", "prove: it has no timeout"),
    "a session that is none": ("nox -s hub", "nox -s hob", "there is no nox session hob"),
    "a stranger's code that writes": (r"(timeout-minutes: 120\n +permissions:\n +contents:) read", r"\1 write",
                                      "prove: it runs a stranger's code and may write"),
    "a stranger's code with a token": (r"NOTEBOOK: .*(\n +run: nox -s hub)", r"HF_TOKEN: ${{ secrets.HF_TOKEN }}\1",
                                       "prove: it runs a stranger's code and holds a secret"),
    "a stranger's code that saves a cache": ("actions/cache/restore@", "actions/cache@", "saves a cache that main restores"),
    "a stranger's code beside a token": (r"(persist-credentials: false\n)", r"\1          ref: refs/pull/1/head\n",
                                         "asked: it runs a stranger's code and holds a secret"),
    "a token that writes beside code": ("(gh pr comment)", r"nox -s lint && \1",
                                        "answer: it runs code of the project and may write"),
    "a kept token": ("persist-credentials: false", "fetch-depth: 1", "holds its token"),
    "a comment in a command": ("run: nox -s asked", "run: nox -s asked -- ${{ github.event.comment.body }}", "of a command"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTED)
def test_a_workflow_that_can_do_more_is_found(what):
    pattern, becomes, sentence = PLANTED[what]
    text, times = re.subn(pattern, becomes, (FOLDER / "prove-asked.yml").read_text(encoding="utf-8"), count=1)
    assert times == 1
    assert [fault for fault in faults(text) if sentence in fault]


def test_what_is_proven_with_is_not_moved_by_a_robot(guide):
    """A pin that a notebook has moves with the notebooks; so do those that must fit it."""
    robot = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    (tools,) = [update for update in robot["updates"] if update["package-ecosystem"] == "pip"]
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    own = {Requirement(pin).name for group in groups.values() for pin in group if isinstance(pin, str)}
    proven = {package for script in guide.scripts.values() for package in script.pins}
    left = {ignored["dependency-name"] for ignored in tools["ignore"]}
    assert own & proven <= left <= own


# What a comment asks for

HEAD = "a" * 40
RUNNERS = {"7.5": "small", "9.0": "large"}


def read_of(guide):
    return lambda path: guide.scripts[Path(path).stem].text


def test_a_comment_asks_for_notebooks_on_the_gpus_that_can_run_them(guide):
    names = asked.read_comment(f"/prove hqq fp8 hqq {HEAD}\r\nThank you!", HEAD)
    assert names == ["hqq", "fp8"]
    pairs = asked.asked(names, RUNNERS, read_of(guide))
    assert [(pair["notebook"], pair["runner"]) for pair in pairs] == [("hqq", "small"), ("hqq", "large"), ("fp8", "large")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"/prove hqq {'b' * 40}", f"The pull request ends with {HEAD}, not with {'b' * 40}: read what came since"),
        (f"/prove hqq {HEAD[:7]}", "names no notebook or no commit. Write '/prove NOTEBOOK... COMMIT'"),
        (f"/prove {HEAD}", "names no notebook or no commit"),
        ("/prove", "names no notebook or no commit"),
        ("", "names no notebook or no commit"),
        (f"/proven hqq {HEAD}", "names no notebook or no commit"),
        (f"/prove ../hqq {HEAD}", "'../hqq' is no name of a notebook"),
        (f"/prove $(id) {HEAD}", "'$(id)' is no name of a notebook"),
    ],
)
def test_a_comment_that_asks_for_nothing_is_told(text, sentence):
    with pytest.raises(GuideError, match=re.escape(sentence)):
        asked.read_comment(text, HEAD)


def test_a_gpu_that_no_runner_has_is_told(guide):
    with pytest.raises(GuideError, match=r"nvfp4 needs cuda>=10.0, and GPU_RUNNERS has 7.5, 9.0 alone."):
        asked.asked(["nvfp4"], RUNNERS, read_of(guide))


def test_a_script_is_read_at_the_commit_and_not_run(guide, monkeypatch):
    commands = []

    def run(command, **_):
        commands.append(command)
        said = "gh: Not Found (HTTP 404)" if "nosuch" in command[-1] else "no network" if "later" in command[-1] else ""
        return SimpleNamespace(returncode=int(bool(said)), stdout="text", stderr=said)

    monkeypatch.setattr(asked.subprocess, "run", run)
    read = asked.at_commit("owner/name", HEAD)
    assert read("snippets/hqq.py") == "text"
    assert commands[0][-1] == f"repos/owner/name/contents/snippets/hqq.py?ref={HEAD}"
    with pytest.raises(GuideError, match=f"There is no snippets/nosuch.py at {HEAD}: name a notebook by its script"):
        read("snippets/nosuch.py")
    with pytest.raises(GuideError, match=rf"GitHub did not give snippets/later.py at {HEAD} \(no network\): ask again later."):
        read("snippets/later.py")


def answered(planted, monkeypatch, comment: str, gpu_runners: str) -> tuple[dict[str, str], str]:
    """What the jobs that follow are told, and the sentence that ended the command, if one did."""
    output = planted.project.root / "output"
    for name, value in {"COMMENT": comment, "HEAD": HEAD, "GPU_RUNNERS": gpu_runners, "GITHUB_OUTPUT": str(output)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(asked, "at_commit", lambda *_: lambda path: (planted.project.root / path).read_text(encoding="utf-8"))
    ended = ""
    try:
        asked.main(planted.project)
    except SystemExit as error:
        ended = str(error)
    return dict(line.split("=", 1) for line in output.read_text(encoding="utf-8").splitlines()), ended


def test_the_jobs_that_follow_are_told_what_to_prove(planted, monkeypatch):
    told, ended = answered(planted, monkeypatch, f"/prove hqq {HEAD}", '{"9.0": "h100"}')
    assert json.loads(told["pairs"]) == [{"notebook": "hqq", "capability": "9.0", "runner": "h100"}]
    assert told["said"] == f"Proving hqq on 9.0, at {HEAD}." and not ended


def test_without_runners_a_comment_is_answered_in_one_line_and_nothing_fails(planted, monkeypatch):
    told, ended = answered(planted, monkeypatch, f"/prove hqq {HEAD}", "")
    assert told["pairs"] == "[]" and told["said"].startswith("No GPU runner: set ") and not ended


def test_a_comment_that_asks_for_nothing_is_answered_with_the_sentence(planted, monkeypatch):
    told, ended = answered(planted, monkeypatch, "/prove", '{"9.0": "h100"}')
    assert told["pairs"] == "[]" and told["said"] == ended and "names no notebook" in ended


# What is downloaded before a run


def test_what_a_notebook_loads_is_asked_for_and_no_more(guide):
    """Of a repository with a file for each width only those that the code names."""
    found = {words[0]: words for words in fetch.downloads(guide.scripts["gguf"])}
    table = guide.scripts["gguf"].head.guide
    assert set(found) == {*table.models, *table.checkpoints, *table.texts}
    words = found["ggml-org/Qwen3-0.6B-GGUF"]
    assert {"Qwen3-0.6B-Q4_0.gguf", "Qwen3-0.6B-Q8_0.gguf", "*.json"} <= set(words) and "*.gguf" not in words
    assert found["ggml-org/ci"][1:] == ["wikitext-2-raw-v1.zip", "--repo-type", "dataset"]


def test_a_download_that_fails_is_one_sentence(planted, monkeypatch, capsys):
    failed = SimpleNamespace(returncode=1, stdout="", stderr="Traceback\nno network\n")
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit, match=r"^Qwen/Qwen3-0.6B could not be downloaded \(no network\): check the network"):
        fetch.main(["hqq"], planted.project)
    assert "[1/2] Qwen/Qwen3-0.6B" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--newest"]])
def test_what_a_proof_loaded_is_taken_as_it_had_it(planted, monkeypatch, tmp_path, options):
    """Else a figure may change because a repository did. The notebook, which asks for no revision, gets that one off line."""
    path, revision = planted.load().best("hqq").path, "5" * 40
    proof = json.loads((planted.project.root / path).read_text(encoding="utf-8"))
    for source in proof["metadata"]["proof"]["models"] + proof["metadata"]["proof"]["texts"]:
        source |= {"stand_in": False, "sha256": None, "revision": revision}
    planted.write(path, json.dumps(proof))
    asked: list[list[str]] = []
    done = SimpleNamespace(returncode=0, stdout="", stderr="")
    monkeypatch.setattr(fetch.subprocess, "run", lambda command, **_: asked.append(command) or done)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    fetch.main([*options, "hqq"], planted.project)
    assert [command[-2:] == ["--revision", revision] for command in asked] == 2 * [not options]
    found = [hub_cache.cached_revision(*one) for one in (("models", "Qwen/Qwen3-0.6B"), ("datasets", "ggml-org/ci"))]
    assert found == ([None, None] if options else [revision, revision])


# What becomes of what was found: the commands of the workflows, with a gh that notes what it is told

GH = """#!/usr/bin/env bash
printf '%s\\n' "$*" >> "$NOTES"
case "$1 $2" in
  "run download")
    mkdir -p "$5" && cp -r "$FOUND"/. "$5" ;; # gh run download RUN --dir FOLDER
  "issue list" | "pr list") echo "$OPEN" ;;
esac
"""


def commands_of(workflow: str, job: str) -> str:
    """The last command of a job."""
    steps = yaml.safe_load((FOLDER / f"{workflow}.yml").read_text(encoding="utf-8"))["jobs"][job]["steps"]
    return next(step["run"] for step in reversed(steps) if "run" in step)


def run_with_gh(folder: Path, commands: str, programs: dict[str, str] | None = None, **variables: str) -> str:
    """Run commands as GitHub does, and return what ``gh`` was told."""
    for name, text in {"gh": GH, **(programs or {})}.items():
        (folder / name).write_text(text, encoding="utf-8")
        (folder / name).chmod(0o755)
    notes = folder / "notes"
    notes.write_text("", encoding="utf-8")
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "NOTES": str(notes)} | variables
    done = subprocess.run(
        [SHELL, "-e", "-c", commands], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return notes.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("reports", "opened", "result", "done"),
    [
        (["# Newest releases"], "", "success", "issue create --title Upkeep: what changed without us --label upkeep"),
        (["# Newest releases"], "7", "success", "issue edit 7 --body-file body.md"),
        ([], "7", "success", "issue close 7 --comment Nothing is left"),
        ([], "7", "failure", "issue edit 7 --body-file body.md"),
        ([], "", "success", None),
    ],
)
def test_what_was_found_is_one_issue(tmp_path, reports, opened, result, done):
    found = tmp_path / "artifacts"
    found.mkdir()
    for number, text in enumerate(reports):
        (found / f"report-{number}").mkdir()
        (found / f"report-{number}" / "report.md").write_text(text, encoding="utf-8")
    variables = {"RUN": "1", "FOUND": str(found), "OPEN": opened, "RESULT": result, "ADDRESS": "https://run"}
    told = run_with_gh(tmp_path, commands_of("weekly", "report"), **variables)
    changes = [line for line in told.splitlines() if re.match(r"issue (create|edit|close)", line)]
    assert [line.startswith(done) for line in changes] == [True] * bool(done)
    body = (tmp_path / "body.md").read_text(encoding="utf-8")
    assert all(text in body for text in reports) and "https://run" in body


@pytest.mark.parametrize(
    ("nox", "says", "does_not_say"),
    [
        ("echo '- a change'; exit 1", ["# Newest releases", "- a change"], ["nox >"]),
        (
            "echo 'nox > Session failed' >&2; echo 'pip offers no release.' >&2; exit 1",
            ["    pip offers no release."],
            ["nox >"],
        ),
        ("echo '- nothing of note'", [], []),
    ],
)
def test_a_session_that_finds_something_has_a_report(tmp_path, nox, says, does_not_say):
    variables = {"WHAT": "Newest releases", "SESSION": "drift", "OPTIONS": "--latest --fail", "FILE": "1-drift"}
    program = {"nox": f'#!/usr/bin/env bash\n[ "$*" = "-s drift -- --latest --fail" ] || exit 3\n{nox}\n'}
    run_with_gh(tmp_path, commands_of("weekly", "look"), program, **variables)
    report = tmp_path / "build" / "reports" / "1-drift.md"
    assert report.exists() == bool(says)
    text = report.read_text(encoding="utf-8") if says else ""
    assert all(part in text for part in says) and not any(part in text for part in does_not_say)


GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]


@pytest.fixture
def repository(tmp_path):
    """A repository with a record of each of two GPUs."""
    here = tmp_path / "here"
    subprocess.run(["git", "init", "--quiet", str(here)], check=True)
    for gpu in ("t4", "h100"):
        (here / "proofs" / gpu).mkdir(parents=True)
        (here / "proofs" / gpu / "hqq.ipynb").write_text("old", encoding="utf-8")
    (here / ".gitignore").write_text("/build/\n", encoding="utf-8")
    subprocess.run([*GIT, "add", "."], cwd=here, check=True)
    subprocess.run([*GIT, "commit", "--quiet", "-m", "first"], cwd=here, check=True)
    return here


@pytest.mark.parametrize(("workflow", "job"), [("prove", "prove"), ("prove-asked", "prove"), ("bench", "measure")])
def test_a_gpu_sends_what_it_made_and_nothing_of_others(repository, workflow, job):
    (repository / "proofs" / "h100" / "hqq.ipynb").write_text("new", encoding="utf-8")
    (repository / "proofs" / "h100" / "fp8.ipynb").write_text("new", encoding="utf-8")
    run_with_gh(repository, commands_of(workflow, job))
    found = repository / "build" / "found"
    sent = {path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()}
    assert sent == {"proofs/h100/hqq.ipynb", "proofs/h100/fp8.ipynb"}


@pytest.mark.parametrize(("opened", "done"), [("", "pr create --title Proofs"), ("7", "pr comment 7 --body Made by run 1")])
def test_what_gpus_sent_becomes_one_pull_request(tmp_path, repository, opened, done):
    """Its branch is written anew, and an open one is told of it."""
    there, artifacts = tmp_path / "there.git", tmp_path / "artifacts"
    subprocess.run(["git", "init", "--quiet", "--bare", str(there)], check=True)
    for gpu in ("t4", "h100"):
        (artifacts / f"proof-{gpu}" / "proofs" / gpu).mkdir(parents=True)
        (artifacts / f"proof-{gpu}" / "proofs" / gpu / "hqq.ipynb").write_text("new", encoding="utf-8")
    commands, times = re.subn(r"https://x-access-token:\S+?\.git", str(there), commands_of("propose", "propose"))
    assert times == 1
    variables = {"RUN": "1", "FOUND": str(artifacts), "BRANCH": "gpu-proofs", "OPEN": opened, "TITLE": "Proofs",
                 "RUNNER_TEMP": str(tmp_path)}  # fmt: skip
    told = run_with_gh(repository, commands, **variables)
    assert [line for line in told.splitlines() if line.startswith(done)]
    changed = subprocess.run(
        ["git", "show", "--name-only", "--format=", "gpu-proofs"], cwd=there, capture_output=True, text=True
    )
    assert set(changed.stdout.split()) == {"proofs/t4/hqq.ipynb", "proofs/h100/hqq.ipynb"}, "nothing else is committed"
