"""The reference model's training: what needs no torch."""

from __future__ import annotations

import hashlib
import json
import re
import string
import sys

import pytest

from guide.project import Project

PROJECT = Project.here()


@pytest.fixture(scope="module")
def plan():
    """The module ``models/plan.py``, which stands alone."""
    sys.path.insert(0, str(PROJECT.root / "models"))
    try:
        import plan
    finally:
        sys.path.pop(0)
    return plan


@pytest.fixture
def files():
    """A library of ten packages, each with a test, a file that is too short and one that may be held out."""
    found = {}
    for number in range(10):
        found[f"package{number}/module.py"] = f"{number}" * 50_000
        found[f"package{number}/short.py"] = "x"
        found[f"package{number}/test/module.py"] = "t" * 50_000
        found[f"test_{number}.py"] = "t" * 50_000
    return found


@pytest.fixture
def known():
    """The facts of the training that made the committed model."""
    return json.loads((PROJECT.reference / "training.json").read_text(encoding="utf-8"))


def test_no_held_out_file_is_trained_on(plan, files):
    training, held_out = plan.split(files)
    assert held_out and not set(training) & set(held_out)
    assert training | held_out == files


def test_held_out_files_are_no_tests_and_of_a_middle_size(plan, files):
    _, held_out = plan.split(files)
    assert all("test" not in path and "short" not in path for path in held_out)
    size = sum(len(text) for text in held_out.values())
    assert plan.HELD_OUT_BYTES <= size < plan.HELD_OUT_BYTES + 60_000


def test_held_out_files_are_those_whose_paths_have_the_least_hashes(plan, files):
    modules = [path for path in files if re.fullmatch(r"package\d/module.py", path)]
    modules.sort(key=lambda path: hashlib.sha256(path.encode()).hexdigest())
    _, held_out = plan.split(files)
    assert list(held_out) == modules[: len(held_out)] != sorted(held_out)


def test_the_split_does_not_depend_on_the_order_of_the_files(plan, files):
    training, held_out = plan.split(dict(reversed(files.items())))
    assert (training, held_out) == plan.split(files)
    assert plan.digest(dict(sorted(training.items()))) == plan.digest(dict(sorted(plan.split(files)[0].items())))


def test_the_library_is_its_own_files_alone(plan, tmp_path):
    for path in ("b.py", "a/c.py", "site-packages/other.py", "encodings/table.py", "a/notes.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "latin.py").write_bytes(b"# \xe9")
    assert plan.library_files(tmp_path) == {"a/c.py": "a/c.py", "b.py": "b.py"}
    assert list(plan.library_files(tmp_path)) == ["a/c.py", "b.py"]


def test_the_learning_rate_rises_then_falls_to_zero(plan):
    rates = [plan.learning_rate_at(step) for step in range(plan.STEPS + 1)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(plan.LEARNING_RATE) and top == plan.WARMUP - 1
    assert rates[0] == pytest.approx(plan.LEARNING_RATE / plan.WARMUP) and rates[-1] == 0
    assert rates[:top] == sorted(rates[:top]) and rates[top + 1 :] == sorted(rates[top + 1 :], reverse=True)


def test_the_facts_count_files_bytes_and_tokens(plan, known):
    training, held_out = {"a.py": "é", "b.py": "xy"}, {"d.py": "cd", "c.py": "ab"}
    facts = plan.facts(training, held_out, {"training": plan.BATCH * plan.WINDOW, "held_out": 8}, loss=0.0)
    assert facts["files"] == 2 and facts["training_bytes"] == 4 and facts["held_out_bytes"] == 4
    assert facts["held_out_list"] == "`c.py`, `d.py`" and facts["epochs"] == plan.STEPS and facts["perplexity"] == 1
    assert plan.facts(training, held_out, {"training": 1, "held_out": 8}, loss=0.5)["bits_per_byte"] == pytest.approx(
        1.4427, abs=1e-4
    )
    assert set(facts) < set(known)


def test_the_card_is_what_the_stored_facts_make_of_it(plan, known):
    assert plan.card(known) == (PROJECT.reference / "README.md").read_text(encoding="utf-8")


def test_every_figure_of_the_card_comes_from_the_facts(plan, known):
    parts = list(string.Formatter().parse(plan.CARD))
    assert {field for _, field, _, _ in parts if field} <= set(known)
    written = re.sub(r"Qwen3|SHA-256|bfloat16|[Aa]pache-2\.0", "", "".join(text for text, *_ in parts))
    assert not re.search(r"\d", written)


def test_the_stored_facts_are_those_of_the_settings_and_of_the_committed_model(plan, known):
    config = json.loads((PROJECT.reference / "config.json").read_text(encoding="utf-8"))
    assert {name: config[name] for name in plan.ARCHITECTURE} == plan.ARCHITECTURE
    settings = {"steps": plan.STEPS, "batch": plan.BATCH, "window": plan.WINDOW, "seed": plan.SEED, **plan.ARCHITECTURE}
    assert {name: known[name] for name in settings} == settings
    assert len((PROJECT.reference / "heldout.txt").read_bytes()) == known["held_out_bytes"]
    assert known["held_out_list"].count("`") == 2 * known["held_out_files"]
    assert known["held_out_tokens"] >= plan.HELD_OUT_MINIMUM_TOKENS
