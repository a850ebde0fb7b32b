"""Which notebooks are to be proven on which GPU: three made-up sets of runners and proofs, and what is not valid."""

from __future__ import annotations

import dataclasses
import json

import pytest

from guide.facts.proof import State
from guide.project import GuideError
from guide.prove import stale


def test_without_runners_nothing_is_to_be_proven(guide):
    assert stale.stale(guide, stale.runners("")) == []


def test_a_gpu_is_asked_for_what_it_can_run_alone(guide):
    pairs = stale.stale(guide, {"7.5": "small"})
    names = {pair["notebook"] for pair in pairs}
    needs = {name: script.head.guide.needs for name, script in guide.scripts.items()}
    assert {needs[name] for name in names} == {"cpu", "cuda", "cuda>=7.5"}
    assert all(pair["capability"] == "7.5" and pair["runner"] == "small" for pair in pairs)
    newest = {pair["notebook"] for pair in stale.stale(guide, {"12.0": "large"})}
    assert newest == set(guide.scripts), "that no GPU of 12.0 has proven anything yet"


def test_what_was_proven_there_with_real_models_is_left_out(guide):
    """One proof of today's code counts, one of older code, one with the stand-in, and one of another GPU do not."""
    name, stored = next((name, one) for name, found in guide.proofs.items() for one in found
                        if one.proof.machine.kind == "cuda" and one.proof.stand_in)  # fmt: skip
    capability = stored.proof.machine.capability
    sources = [source.model_copy(update={"stand_in": False}) for source in stored.proof.models]
    texts = [source.model_copy(update={"stand_in": False}) for source in stored.proof.texts]
    real = stored.proof.model_copy(update={"models": sources, "texts": texts})

    def asked(**over) -> bool:
        proofs = {**guide.proofs, name: (dataclasses.replace(stored, **{"proof": real, "state": State.PROVEN, **over}),)}
        return name in {pair["notebook"] for pair in stale.stale(dataclasses.replace(guide, proofs=proofs), {capability: "x"})}

    assert not asked()
    assert asked(state=State.CHANGED)
    assert asked(proof=stored.proof)
    elsewhere = real.machine.model_copy(update={"capability": "7.5"})
    assert asked(proof=real.model_copy(update={"machine": elsewhere}))


@pytest.mark.parametrize("text", ["[]", '{"7.5": ""}', '{"T4": "label"}', "7.5", "{"])
def test_runners_that_are_none_get_a_sentence(text):
    with pytest.raises(GuideError, match="GPU_RUNNERS"):
        stale.runners(text)


def test_the_workflow_is_told(guide, planted, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("GPU_RUNNERS", '{"9.0": "h100"}')
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    stale.main(planted.project)
    told = dict(line.split("=", 1) for line in (tmp_path / "output").read_text(encoding="utf-8").splitlines())
    assert json.loads(told["pairs"]) == stale.stale(guide, {"9.0": "h100"})
    assert json.loads(told["gpus"]) == [{"capability": "9.0", "runner": "h100"}]
    monkeypatch.setenv("GPU_RUNNERS", "")
    stale.main(planted.project)
    assert "No GPU runner" in capsys.readouterr().out
