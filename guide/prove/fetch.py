"""``python -m guide.prove.fetch NOTEBOOK...``: download what notebooks load from the hub, before they run.

It goes into the cache that ``HF_HOME`` names. A download that fails is then told from a proof that fails, and its time is
no part of the run's.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence

from guide.facts.load import load_scripts
from guide.notebooks.script import Script
from guide.project import GuideError, Project, told
from guide.prove.hub_cache import text_of

LOADED = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")  # what from_pretrained reads of a repository
DEEPER = "*/*"  # and what it does not: the same weights for other programs
NAMED = re.compile(r"""["']([\w.-]+\.[a-z]+)["']""")  # a repository may have a file for each width: those that the code names


def downloads(script: Script) -> Iterator[list[str]]:
    """What to ask of the hub's own command for each model, checkpoint and text of a head."""
    named = sorted(set(NAMED.findall(script.body)))
    includes = [word for pattern in (*LOADED, *named) for word in ("--include", pattern)]
    table = script.head.guide
    for public_id in dict.fromkeys([*table.models, *table.checkpoints]):
        yield [public_id, *includes, "--exclude", DEEPER]
    for public_id in table.texts:
        yield [public_id, text_of(public_id)[0], "--repo-type", "dataset"]


def fetch(words: Sequence[str]) -> None:
    """Download one repository's files; raises GuideError with the hub's last line if that fails."""
    command = [sys.executable, "-m", "huggingface_hub.cli.hf", "download", "--quiet", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise GuideError(f"{words[0]} could not be downloaded ({last[:200]}): check the network, and whether it is gated.")


def main(names: Sequence[str], project: Project | None = None) -> None:
    """The command; without names, what all notebooks load. What cannot be had ends it with a sentence."""
    with told():
        known = load_scripts(project or Project.here())
        wanted = {tuple(words): None for name in known.names(names) for words in downloads(known.scripts[name])}
        for number, words in enumerate(wanted, start=1):
            print(f"[{number}/{len(wanted)}] {words[0]}", flush=True)
            fetch(words)


if __name__ == "__main__":
    main(sys.argv[1:])
