"""The drift check: what it says of each kind of disagreement, planted in a project of its own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from packaging.version import Version

from guide.guest.registry import Description
from guide.library import newest, releases
from guide.library.__main__ import main
from guide.library.check import check, installed
from guide.library.lost import missing_names
from guide.library.newest import registry_changes, report
from guide.project import GuideError
from guide.site import programs

KEYS = 27
AGREES = re.compile(
    rf"The guide agrees with Transformers [\d.]+: {KEYS} of {KEYS} keys, .+\nEngines' pages agree with the registries of .+\n"
)


@pytest.fixture(scope="session")
def library(guide) -> Description:
    """The installed Transformers."""
    return installed(guide)


def test_the_guide_agrees_with_the_pinned_library(guide, library):
    assert check(guide, library) == []


def test_the_command_says_so():
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-m", "guide.library"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert AGREES.fullmatch(done.stdout)


def test_the_command_ends_with_the_number_of_disagreements(planted, capsys):
    planted.edit("docs/methods/sinq.md", "keys: [sinq]", "keys: [sinc]")
    with pytest.raises(SystemExit, match=r"^2 disagreements with Transformers [\d.]+\.$"):
        main([], planted.project)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_command_says_where_there_is_no_library(monkeypatch):
    monkeypatch.setattr("guide.library.check.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="Transformers is not installed here. Run nox -s drift"):
        main([])


def test_every_key_has_one_page(guide, library):
    keys = [key for method in guide.methods.values() for key in method.transformers.keys]
    assert sorted(keys) == sorted(library.entries)
    assert len(keys) == KEYS


GPTQ = "docs/methods/gptq.md"
PLANTED = {
    "a key without a page": ("docs/methods/sinq.md", "keys: [sinq]", "keys: [sinc]", "docs/methods: no page has 'sinq'"),
    "a made-up key": ("docs/methods/sinq.md", "keys: [sinq]", "keys: [sinq, sinc]",
                      "docs/methods/sinq.md: transformers.keys has 'sinc', which Transformers"),
    "a key on two pages": ("docs/methods/sinq.md", "keys: [sinq]", "keys: [sinq, hqq]",
                           "docs/methods/hqq.md and docs/methods/sinq.md: both have 'hqq'"),
    "a lower version": (GPTQ, 'gptqmodel: "1.4.3"', 'gptqmodel: "1.4.2"',
                        "docs/methods/gptq.md: transformers.packages.gptqmodel is 1.4.2, but"),
    "a package too many": (GPTQ, 'gptqmodel: "1.4.3"', 'gptqmodel: "1.4.3", exllama: null',
                           "docs/methods/gptq.md: transformers.packages has 'exllama'"),
    "a package too few": (GPTQ, 'gptqmodel: "1.4.3", ', "",
                          "docs/methods/gptq.md: transformers.packages lacks 'gptqmodel'"),
    "a device rule": ("docs/methods/fp8.md", "raises_without: [cuda, xpu]", "raises_without: [cuda]",
                      "docs/methods/fp8.md: transformers.raises_without is ['cuda'], but"),
    "a compute capability": ("docs/methods/fp8.md", 'capability: "8.9"', 'capability: "8.0"',
                             "docs/methods/fp8.md: hardware.nvidia.capability is 8.0, but"),
    "an argument in a page's code": ("docs/methods/fp8.md", '--8<-- "snippets/fp8.py:load"',
                                     "FineGrainedFP8Config(weight_blocksize=(128, 128))",
                                     "docs/methods/fp8.md: FineGrainedFP8Config has no argument 'weight_blocksize'"),
    "an argument in prose": ("docs/methods/fp8.md", "FineGrainedFP8Config(dequantize=True)",
                             "FineGrainedFP8Config(unpack=True)",
                             "docs/methods/fp8.md: FineGrainedFP8Config has no argument 'unpack'"),
    "an argument where checkpoints are made": ("models/checkpoints/fp8.py", "FineGrainedFP8Config(weight_block_size=",
                                               "FineGrainedFP8Config(weight_blocksize=",
                                               "models/checkpoints/fp8.py:18: FineGrainedFP8Config has no argument 'weight_b"),
    "a name in prose": (GPTQ, "Use `backend`.", "Use `back_end`.", "docs/methods/gptq.md: `back_end` is not in Transformers"),
    "an explained difference that is none": (
        "docs/methods/bitsandbytes.md", "  generate_compiles:\n", "  generate_compiles:\n    differs: so it is\n",
        "docs/methods/bitsandbytes.md: features.generate_compiles.differs explains a difference, but"),
    "a difference that is not explained": (
        "docs/methods/sinq.md", "    differs: ", "    # ", "docs/methods/sinq.md: features.peft.answer is 'no', but"),
    "a calibration that is said not to be": (
        "docs/methods/vptq.md", "\ncalibration: made elsewhere", "\ncalibration: none",
        "docs/methods/vptq.md: calibration is 'none', but requires_calibration of VptqHfQuantizer is True"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTED)
def test_drift_is_named_with_its_file_and_field(planted, library, what):
    path, old, new, sentence = PLANTED[what]
    planted.edit(path, old, new)
    found = check(planted.load(), library)
    assert any(fault.startswith(sentence) for fault in found), found


def test_an_argument_in_a_script_is_named_once_with_all_its_lines(planted, library):
    path = "snippets/gptq.py"
    planted.edit(path, "GPTQConfig(bits=", "GPTQConfig(nbits=")
    lines = (planted.project.root / path).read_text(encoding="utf-8").splitlines()
    first, *others = [str(number) for number, line in enumerate(lines, 1) if "GPTQConfig(nbits=" in line]
    assert others, "the script has more calls than one"
    assert [fault for fault in check(planted.load(), library) if "nbits" in fault] == [
        f"{path}:{first}: GPTQConfig has no argument 'nbits' in {library.release} (again in line {', '.join(others)})."
    ]


def test_of_two_classes_with_one_name_the_imported_one_is_asked(planted, library):
    """fp_quant has an FPQuantConfig too, which the script imports before it imports that of Transformers."""
    path = "snippets/fp_quant_fallback.py"
    planted.edit(path, "pseudoquantization=True)", "pseudo=True)")
    text = (planted.project.root / path).read_text(encoding="utf-8")
    assert text.count("pseudo=True)") > 1
    found = [fault for fault in check(planted.load(), library) if fault.startswith(path)]
    line = text[: text.index('forward_dtype="mxfp4", pseudo=True')].count("\n") + 1
    assert found == [f"{path}:{line}: FPQuantConfig has no argument 'pseudo' in {library.release}."]


def test_a_file_that_is_no_python_is_named_with_its_line(planted, library):
    planted.edit("snippets/shared/measure.py", "from __future__ import", "from __future__ importing")
    with pytest.raises(GuideError, match=r"^snippets/shared/measure\.py, line 3, is no Python: invalid syntax\.$"):
        check(planted.load(), library)


def test_a_flipped_cell_is_named_on_every_page_whose_flag_is_sure(guide, planted, library):
    """Yes becomes no and no becomes yes in each page's ``save_and_reload``, whose flag rarely depends on anything."""
    flipped = []
    for name, method in guide.methods.items():
        answer = method.features.save_and_reload.answer
        flags = {library.entries[key].flags["is_serializable"] for key in method.transformers.keys[:1]}
        if not flags & {"yes", "no"} or answer == "not verified":
            continue
        other = "no" if answer == "yes" else "yes"
        cell = '  save_and_reload:\n    answer: "{}"'
        planted.edit(f"docs/methods/{name}.md", cell.format(answer), cell.format(other))
        flipped.append(f"docs/methods/{name}.md: features.save_and_reload")
    found = check(planted.load(), library)
    assert len(flipped) > 10
    assert [page for page in flipped if any(fault.startswith(page) for fault in found)] == flipped


def test_a_removed_page_leaves_its_keys_uncovered(planted, library):
    (planted.project.methods / "vptq.md").unlink()
    (planted.project.snippets / "vptq.py").unlink()
    assert any(fault.startswith("docs/methods: no page has 'vptq'") for fault in check(planted.load(), library))


def test_a_page_without_a_key_is_not_compared_with_the_registry(planted, library):
    planted.edit("docs/methods/sinq.md", "keys: [sinq]", "keys: []")
    found = check(planted.load(), library)
    assert [fault.partition("'sinq'")[0] for fault in found] == ["docs/methods: no page has "]


def test_a_description_of_another_interpreter_is_the_same(guide, library):
    """As the report asks the newest: here of this one, by way of JSON."""
    described = newest.describe_with(Path(sys.executable), guide)
    assert described == library


def test_a_description_holds_what_the_guide_calls(library):
    assert set(library.signatures) > {"transformers.GPTQConfig", "transformers.Qwen3Config"}
    assert {"bits", "group_size"} < set(library.signatures["transformers.GPTQConfig"])
    assert {"from_pretrained", "save_pretrained", "DynamicCache"} < library.names


def test_the_report_names_what_changed_in_the_registry():
    old = {"gone": {"config": "A"}, "kept": {"config": "B", "arguments": {"bits": "4", "group_size": "128"}, "packages": {}}}
    new = {"kept": {"config": "B", "arguments": {"bits": "8"}, "packages": {"b": "2.0"}}, "added": {"config": "C"}}
    assert list(registry_changes(old, new)) == [
        "`gone` is gone",
        "`added` is new: C",
        "`kept`: arguments, bits was 4, is 8",
        "`kept`: arguments, group_size was 128, is absent",
        "`kept`: packages, b was absent, is 2.0",
    ]


@pytest.fixture
def tomorrow(guide, library, monkeypatch):
    """A next release of Transformers without one of its keys, and of two libraries: one without files, one not found."""
    entries = {key: entry for key, entry in library.entries.items() if key != "gptq"}
    newer = {"transformers": Version("99.0"), "torchao": Version("98.0"), "hqq": None}
    pins = newest.pinned(guide)
    monkeypatch.setattr(newest, "newest_release", lambda package: newer.get(package, max(pins[package])))
    after = replace(library, release="Transformers 99.0", entries=entries)
    monkeypatch.setattr(newest, "describe_release", lambda guide, release: after)
    monkeypatch.setattr(releases, "release", lambda package, version=None: None)


def test_the_report_says_what_is_newer_what_changed_and_what_breaks(guide, tomorrow):
    text = report(guide)
    assert re.search(r"^- torchao: [\d.]+( and [\d.]+)* pinned, 98.0 released$", text, re.MULTILINE)
    assert re.search(r"^- torchao: the front matter says that [\d.]+ is the newest release, but 98.0 is$", text, re.MULTILINE)
    assert "No release could be looked up of: hqq." in text
    first = f"## What may make a page wrong\n\n- Transformers {guide.transformers} to 99.0, registry: `gptq` is gone\n"
    assert first in text
    assert "- docs/methods/gptq.md: transformers.keys has 'gptq', which Transformers 99.0 does not know." in text
    assert (
        f"- torchao: no index has both {max(newest.pinned(guide)['torchao'])} and 98.0 for this Python; what changed" in text
    )


@pytest.mark.parametrize("options, code", [(["--latest"], 0), (["--latest", "--fail"], 1)])
def test_the_command_reports_and_fails_if_asked_to(planted, tomorrow, capsys, options, code):
    with pytest.raises(SystemExit) as ended:
        main(options, planted.project)
    assert ended.value.code == code
    assert capsys.readouterr().out.startswith("# Drift since the pins\n")


@pytest.fixture
def files() -> dict[str, str]:
    """The Python of a torchao that lost most of what it had."""
    return {
        "torchao/quantization/__init__.py": "from .api import Int8WeightOnlyConfig\n",
        "torchao/quantization/api.py": "class Base:\n    step: int = 1\n\n"
                                       "class Int8WeightOnlyConfig(Base):\n    version: int = 2\n",
    }  # fmt: skip


def test_a_library_that_lost_a_name_is_told_with_the_line(guide, files):
    script = guide.scripts["torchao"]
    told = missing_names(files, script.path, script.text)
    lines = script.text.splitlines()
    numbers = [int(re.match(r"snippets/torchao\.py:(\d+): imports ", line)[1]) for line in told if ": imports " in line]
    assert numbers and all("from torchao" in lines[number - 1] for number in numbers)
    assert any("which no longer has it" in line for line in told)
    assert not any("Int8WeightOnlyConfig from" in line for line in told)


def test_a_library_that_lost_a_module_or_an_argument_is_told(files):
    code = ("from torchao.quantization import Int8WeightOnlyConfig as Config\nfrom torchao.gone import anything\n"
            "Config(version=2, step=3)\nConfig(group=4)\nConfig(group=5)\n")  # fmt: skip
    assert missing_names(files, "a.py", code) == [
        "a.py:2: imports torchao.gone, which is gone.",
        "a.py:4: gives Config the argument 'group', which it no longer has (again in line 5).",
    ]


def test_the_facts_for_programs_fit_their_schema(guide):
    files = programs.files(guide)
    data, schema = json.loads(files["facts.json"]), json.loads(files["facts.schema.json"])
    jsonschema.Draft202012Validator(schema).validate(data)
    assert set(data["methods"]) == set(guide.methods)
    proven = [n for m in data["methods"].values() for n in m["notebooks"] if n["state"] == "proven"]
    assert proven and all(n["date"] and n["machine"] for n in proven)
