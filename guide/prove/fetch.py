"""``python -m guide.prove.fetch [--newest] NOTEBOOK...``: download what notebooks load from the hub, before they run.

It goes into the cache that ``HF_HOME`` names. A download that fails is then told from a proof that fails, and its time is
no part of the run's. A repository that a committed proof loaded is taken as that proof had it, so that a figure which changes
has changed by the code; one without such a proof, and all with ``--newest``, as the hub has it today.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence

from guide.facts.guide import Guide
from guide.facts.load import load
from guide.notebooks.script import Script
from guide.project import GuideError, Project, last_line, told
from guide.prove.hub_cache import name_main, text_of

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


def pinned(guide: Guide) -> dict[str, str]:
    """The commit of each repository of the hub that the newest committed proof which loaded it had."""
    proofs = sorted((stored.proof for several in guide.proofs.values() for stored in several), key=lambda proof: proof.date)
    sources = [source for proof in proofs for source in (*proof.models, *proof.texts)]
    return {one.id: one.revision for one in sources if one.revision and one.revision not in guide.real.revisions}


def fetch(words: Sequence[str], revisions: Mapping[str, str]) -> None:
    """Download one repository's files, at its revision if there is one; raises GuideError with the hub's last line if that
    fails."""
    public_id, revision = words[0], revisions.get(words[0])
    at = ["--revision", revision] if revision else []
    command = [sys.executable, "-m", "huggingface_hub.cli.hf", "download", "--quiet", *words, *at]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        advice = (
            f"whether it still has {revision}, as its proof had (--newest takes today's)"
            if revision
            else "whether it is gated"
        )
        raise GuideError(f"{public_id} could not be downloaded ({last_line(done)[:200]}): check the network, and {advice}.")
    if revision:
        name_main("datasets" if "dataset" in words else "models", public_id, revision)


def main(words: Sequence[str], project: Project | None = None) -> None:
    """The command; without names, what all notebooks load. What cannot be had ends it with a sentence."""
    parser = argparse.ArgumentParser(prog="nox -s hub --", description=__doc__.partition(": ")[2])
    parser.add_argument("names", nargs="*", metavar="NOTEBOOK", help="all if none is given")
    parser.add_argument("--newest", action="store_true", help="as the hub has it today, not as the committed proofs had it")
    given = parser.parse_args(words)
    with told():
        guide = load(project or Project.here(), damaged_proofs=True)
        revisions = {} if given.newest else pinned(guide)
        wanted = {tuple(one): None for name in guide.names(given.names) for one in downloads(guide.scripts[name])}
        for number, one in enumerate(wanted, start=1):
            print(f"[{number}/{len(wanted)}] {one[0]} {revisions.get(one[0], '')}".rstrip(), flush=True)
            fetch(one, revisions)


if __name__ == "__main__":
    main(sys.argv[1:])
