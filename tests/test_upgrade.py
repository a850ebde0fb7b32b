"""Moving the pins: what moves, what stays and why, what is written, and what is then to be proven, without a network."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from guide.facts.load import load, pyproject
from guide.library import upgrade
from guide.library.newest import pinned
from guide.library.upgrade import main, planned, to_do, with_pins, write
from guide.notebooks.build import fault
from guide.notebooks.script import parse_script
from guide.offline.wheels import Pin
from guide.project import GuideError

REPORT = "# Drift since the pins\n"


@pytest.fixture
def index(monkeypatch) -> dict[str, str]:
    """What goes with the rest, newest by package, which a test writes; of all others it is the pins. numba alone has a newer
    release, which goes with nothing."""
    newest: dict[str, str] = {}

    def resolve(demands, excluded, node, folder, settings):
        found = {}
        for one in demands:
            [specifier] = one.requirement.specifier
            version = newest.get(one.name, specifier.version) if specifier.operator == ">=" else specifier.version
            if version == "none":
                raise GuideError("No versions will do.")
            found[Pin(one.name, Version(version))] = True
        return found

    monkeypatch.setattr(upgrade, "resolve", resolve)
    monkeypatch.setattr(upgrade, "settings", dict)
    monkeypatch.setattr(upgrade, "newest_release", lambda package: Version("77.0") if package == "numba" else None)
    return newest


def everything(guide, **options):
    """The plan for all notebooks."""
    return planned(guide, [], **({"bench": True, "torch": False} | options))


def test_where_nothing_is_newer_nothing_moves(guide, index):
    plan = everything(guide)
    assert plan.moves == {} and plan.project == {}
    assert list(to_do(guide, plan)) == []


def test_a_newer_release_moves_every_head_that_does_not_hold_it(guide, index):
    index["transformers"] = "99.0"
    plan = everything(guide)
    held = {name for name, script in guide.scripts.items() if "transformers" in script.head.guide.held}
    pinning = {name for name, script in guide.scripts.items() if "transformers" in script.pins}
    assert held and set(plan.moves) == pinning - held
    assert plan.project == {f"transformers=={guide.transformers}": "transformers==99.0"} and plan.moves_described()
    for name in held:
        reason = guide.scripts[name].head.guide.held["transformers"]
        assert any(f"snippets/{name}.py holds transformers" in line and reason in line for line in plan.stays)


def test_what_stands_in_pyproject_too_moves_there_with_the_heads(planted, index):
    index["peft"], index["hqq"] = "99.0", "99.0"
    before = load(planted.project)
    old = f'"peft=={max(pinned(before)["peft"])}"'
    text = pyproject(planted.project)
    assert old in text and "hqq" not in text
    assert planned(before, ["qlora"], bench=False, torch=False).project == {}
    assert "pyproject.toml" in write(before, everything(before))
    assert pyproject(planted.project) == text.replace(old, '"peft==99.0"')


def test_torch_stays_unless_asked(guide, index):
    index["torch"] = "99.0"
    assert everything(guide).moves == {}
    moved = everything(guide, torch=True).moves
    assert moved["fp8_fallback"] == {f"torch=={guide.scripts['fp8_fallback'].pins['torch']}": "torch==99.0"}


def test_what_the_bench_measured_with_stays_unless_asked_and_its_records_are_named(guide, index):
    index["hqq"] = "99.0"
    plan = everything(guide, bench=False)
    assert "hqq" not in plan.moves
    [line] = [line for line in plan.stays if line.startswith("snippets/hqq.py could move")]
    variants = [variant for variant in guide.recipes["hqq"].table.variants if variant in guide.numbers["cpu-x86-64"]]
    assert variants and all(variant in line for variant in variants) and "hqq==99.0" in line and "--bench" in line
    plan = everything(guide)
    assert "hqq" in plan.moves
    assert any(line.startswith("`nox -s bench`") and variants[0] in line for line in to_do(guide, plan))


def test_heads_that_stay_behind_the_described_release_are_named(guide, index):
    index["transformers"] = "99.0"
    [line] = [line for line in to_do(guide, everything(guide, bench=False)) if "`nox -s lint`" in line]
    assert "snippets/hqq.py" in line and "snippets/fp8.py" not in line and "snippets/gemma.py" not in line
    assert not any("`nox -s lint`" in line for line in to_do(guide, everything(guide)))


def test_a_notebook_whose_pins_do_not_go_together_stays_with_the_reason(guide, index):
    index["gguf"] = "none"
    plan = everything(guide)
    assert "snippets/gguf.py stays as it is: No versions will do." in plan.stays


def test_a_newest_release_that_goes_with_no_other_pin_is_named_with_its_notebooks(guide, index):
    [name] = [name for name, script in guide.scripts.items() if "numba" in script.pins]
    kept = f"numba 77.0 does not go with the other pins, so {guide.scripts[name].pins['numba']} is the newest"
    assert f"{kept} (snippets/{name}.py)." in everything(guide).stays


def test_a_release_before_another_is_no_newest(guide, index):
    index["gguf"] = "99.0rc1"
    assert everything(guide).moves == {}


def test_pins_are_written_as_they_stood_with_extras_and_comments(guide):
    name, script = next((name, one) for name, one in guide.scripts.items() if any("[" in pin for pin in one.head.dependencies))
    pin = next(pin for pin in script.head.dependencies if "[" in pin)
    new = re.sub("==.*", "==99.0", pin)
    text = with_pins(script, {pin: new})
    assert text.replace(new, pin) == script.text
    assert parse_script(name, text).pins[Requirement(pin).name] == "99.0"


def test_the_heads_and_notebooks_that_are_asked_for_are_written_and_nothing_else(planted, index):
    index |= {"transformers": "99.0"}
    before = load(planted.project)
    plan = planned(before, ["fp8_fallback", "gemma"], bench=False, torch=False)
    assert sorted(write(before, plan)) == ["notebooks/fp8_fallback.ipynb", "notebooks/gemma.ipynb",
                                           "snippets/fp8_fallback.py", "snippets/gemma.py"]  # fmt: skip
    after = load(planted.project)
    assert all(fault(script, after.notebooks[name], after.committed[name]) is None for name, script in after.scripts.items())
    moved = {name for name in after.scripts if after.scripts[name].pins != before.scripts[name].pins}
    stale = {name for name in after.scripts if before.digest(name, True) != after.digest(name, True)}
    to_prove = {line.split()[4] for line in to_do(before, plan) if "prove" in line}
    assert moved == stale == to_prove == {"fp8_fallback", "gemma"}


def test_a_pin_that_is_no_text_of_its_own_is_said(guide):
    with pytest.raises(GuideError, match=r"^The head of snippets/gemma\.py does not have 'torch==1\.0' as a text of its own"):
        with_pins(guide.scripts["gemma"], {"torch==1.0": "torch==2.0"})


def test_a_dry_run_writes_no_pin_and_prints_plan_and_report(guide, planted, index, capsys):
    index["transformers"] = "99.0"
    texts = {path: path.read_bytes() for path in planted.project.root.rglob("*.*") if path.is_file()}
    main(["--dry-run"], planted.project, reported=lambda guide: REPORT)
    printed = capsys.readouterr().out
    assert printed.startswith("# Upgrade\n\n## Pins that move\n\n- snippets/") and printed.endswith(f"\n{REPORT}\n")
    assert f"- pyproject.toml: transformers {guide.transformers} to 99.0" in printed
    now = {path: path.read_bytes() for path in planted.project.root.rglob("*.*") if path.is_file()}
    assert {path for path in now if now[path] != texts.get(path)} == {planted.project.build / "drift" / "report.md"}


def test_the_report_is_of_the_pins_before_they_move(guide, planted, index, capsys):
    index["transformers"] = "99.0"
    seen = []
    main(["gemma"], planted.project, reported=lambda guide: seen.append(guide.transformers) or REPORT)
    assert seen == [guide.transformers] and load(planted.project).scripts["gemma"].pins["transformers"] == "99.0"
    assert "wrote snippets/gemma.py" in capsys.readouterr().err


def test_an_unknown_notebook_is_one_sentence(index):
    with pytest.raises(SystemExit, match=r"^There is no notebook 'gemmma'\. Known: "):
        main(["gemmma"], reported=lambda guide: REPORT)


def test_a_head_that_holds_what_it_does_not_pin_is_refused(planted):
    planted.edit("snippets/fp8.py", "[tool.guide.held]", '[tool.guide.held]\n# transfomers = "so it is"')
    with pytest.raises(GuideError, match=r"^In the head of snippets/fp8\.py, .*'held' names transfomers, which is not among"):
        planted.load()


def test_held_is_no_part_of_what_a_proof_proves(planted, guide):
    planted.edit("snippets/fp8.py", next(iter(guide.scripts["fp8"].head.guide.held.values())), "another reason")
    assert planted.load().digest("fp8", True) == guide.digest("fp8", True)


def test_a_pin_is_asked_for_as_it_is_or_newer(guide):
    script = guide.scripts["fbgemm_fp8"]
    asked = {canonicalize_name(Requirement(text).name): text for text in upgrade.demands(script, torch=False)}
    held, _ = script.head.guide.held
    assert asked["torch"] == f"torch=={script.pins['torch']}" and asked[held] == f"{held}=={script.pins[held]}"
    assert asked["accelerate"] == f"accelerate>={script.pins['accelerate']}"
