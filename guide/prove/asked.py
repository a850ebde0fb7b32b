"""``python -m guide.prove.asked``: what a maintainer's comment on a pull request asks to prove, as a workflow's matrix.

COMMENT is ``/prove NOTEBOOK... COMMIT``, HEAD the commit with which the pull request ends now, GPU_RUNNERS as in
``guide.prove.stale``. Scripts are read at that commit as text: nothing of a pull request is run here.
"""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping

from guide.facts.proof import reaches
from guide.notebooks.script import parse_script
from guide.project import GuideError, Project, last_line
from guide.prove.stale import NO_RUNNER, runners, tell

FORM = "Write '/prove NOTEBOOK... COMMIT', with the whole SHA of the commit that you have read."
NAME = re.compile(r"[a-z][a-z0-9_]*")
COMMIT = re.compile(r"[0-9a-f]{40}")


def read_comment(text: str, head: str) -> list[str]:
    """The notebooks that a comment names; raises GuideError if it is of another form, or of another commit than ``head``."""
    command, *names = text.strip().splitlines()[0].split() if text.strip() else [""]
    commit = names.pop() if names else ""
    if command != "/prove" or not names or not COMMIT.fullmatch(commit):
        raise GuideError(f"The comment names no notebook or no commit. {FORM}")
    if commit != head:
        raise GuideError(f"The pull request ends with {head}, not with {commit}: read what came since, then ask again.")
    for name in names:
        if not NAME.fullmatch(name):
            raise GuideError(f"'{name}' is no name of a notebook. {FORM}")
    return list(dict.fromkeys(names))


def at_commit(repository: str, commit: str) -> Callable[[str], str]:
    """Reads a file of the repository at a commit, as GitHub has it; raises GuideError if it cannot be had."""

    def read(path: str) -> str:
        place = f"repos/{repository}/contents/{path}?ref={commit}"
        command = ["gh", "api", "-H", "Accept: application/vnd.github.raw+json", place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and "HTTP 404" in done.stderr:
            raise GuideError(f"There is no {path} at {commit}: name a notebook by its script in snippets/, without '.py'.")
        if done.returncode:
            raise GuideError(f"GitHub did not give {path} at {commit} ({last_line(done)[:200]}): ask again later.")
        return done.stdout

    return read


def asked(names: list[str], labels: Mapping[str, str], read: Callable[[str], str]) -> list[dict[str, str]]:
    """A job a pair of a notebook and a GPU that has what it needs; raises GuideError where no GPU does."""
    pairs = []
    for name in names:
        needs = parse_script(name, read(f"snippets/{name}.py")).head.guide.needs
        fit = [capability for capability in sorted(labels) if reaches(capability, needs)]
        if not fit:
            raise GuideError(f"{name} needs {needs}, and GPU_RUNNERS has {', '.join(sorted(labels))} alone.")
        pairs += [{"notebook": name, "capability": capability, "runner": labels[capability]} for capability in fit]
    return pairs


def main(project: Project | None = None) -> None:
    """Print what is asked for; on GitHub also tell the jobs that follow, and what to answer under the comment."""
    head, repository = os.environ.get("HEAD", ""), (project or Project.here()).repository
    try:
        names = read_comment(os.environ.get("COMMENT", ""), head)
        labels = runners(os.environ.get("GPU_RUNNERS", ""))
        pairs = asked(names, labels, at_commit(repository, head)) if labels else []
    except GuideError as error:
        tell(pairs=[], said=str(error))
        sys.exit(str(error))
    places = ", ".join(f"{pair['notebook']} on {pair['capability']}" for pair in pairs)
    said = f"Proving {places}, at {head}." if pairs else NO_RUNNER
    print(said)
    tell(pairs=pairs, said=said)


if __name__ == "__main__":
    main()
