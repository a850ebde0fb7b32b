"""``python -m guide.prove.stale``: which notebooks have no proof of their code as it is on which GPU, as a workflow's matrix.

The GPUs are those of the variable GPU_RUNNERS: JSON, a runner's label by compute capability, {"7.5": "t4", "9.0": "h100"}.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from guide.facts.guide import Guide
from guide.facts.load import load
from guide.facts.proof import State, reaches
from guide.project import GuideError, Project, told

CAPABILITY = re.compile(r"\d+\.\d")
MOST = 256  # jobs of one matrix, by GitHub's limit
NO_RUNNER = 'No GPU runner: set the repository\'s variable GPU_RUNNERS, for example to {"7.5": "label of a runner"}.'


def runners(text: str) -> dict[str, str]:
    """The labels of runners by the compute capability of their GPU; raises GuideError where the text is not that."""
    try:
        found = json.loads(text or "{}")
    except ValueError as error:
        raise GuideError(f"GPU_RUNNERS is not JSON: {error}.") from error
    if not isinstance(found, dict) or not all(isinstance(label, str) and label for label in found.values()):
        raise GuideError('GPU_RUNNERS must be like {"7.5": "label of a runner"}.')
    for capability in found:
        if not CAPABILITY.fullmatch(capability):
            raise GuideError(f"GPU_RUNNERS: '{capability}' is not a compute capability such as 8.9.")
    return found


def stale(guide: Guide, labels: Mapping[str, str]) -> list[dict[str, str]]:
    """A job a pair, {notebook, capability, runner}: what can run there and was not proven there with its real models."""
    pairs = []
    for capability, runner in sorted(labels.items()):
        for name, script in guide.scripts.items():
            proven = any(one.state is State.PROVEN and one.proof.machine.capability == capability and not one.proof.stand_in
                         for one in guide.proofs[name])  # fmt: skip
            if reaches(capability, script.head.guide.needs) and not proven:
                pairs.append({"notebook": name, "capability": capability, "runner": runner})
    return pairs


def tell(**outputs: object) -> None:
    """Tell the jobs that follow, where this runs as a step on GitHub: lists as JSON, texts as one line each."""
    if path := os.environ.get("GITHUB_OUTPUT"):
        with Path(path).open("a", encoding="utf-8") as file:
            for name, value in outputs.items():
                file.write(f"{name}={' '.join(value.split()) if isinstance(value, str) else json.dumps(value)}\n")


def main(project: Project | None = None) -> None:
    """Print the pairs; on GitHub also tell the jobs that follow, with the GPUs that there are."""
    with told():
        labels = runners(os.environ.get("GPU_RUNNERS", ""))
        pairs = stale(load(project or Project.here(), damaged_proofs=True), labels)
    if not labels:
        print(NO_RUNNER)
    for pair in pairs:
        print(f"{pair['notebook']}: no proof with its real models on a GPU of {pair['capability']}.")
    if len(pairs) > MOST:
        print(f"{len(pairs) - MOST} of them wait for the next run: a matrix has {MOST} jobs at most.")
    gpus = [{"capability": capability, "runner": runner} for capability, runner in sorted(labels.items())]
    tell(pairs=pairs[:MOST], gpus=gpus)


if __name__ == "__main__":
    main()
