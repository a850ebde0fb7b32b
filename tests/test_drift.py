"""The drift check: what it says of each kind of disagreement, planted in a copy of the project."""

from __future__ import annotations

import json
import time
import zipfile

import jsonschema
import pytest

from guide import facts, registry
from guide.latest import missing_names, registry_changes
from guide.method import read_methods
from guide.project import described_transformers

KEYS = 27


@pytest.fixture
def drift(tree):
    def run():
        done = tree.run("guide.drift")
        assert "Traceback" not in done.stderr
        return done

    return run


def test_the_guide_agrees_with_the_pinned_library_in_under_a_minute(drift):
    started = time.monotonic()
    done = drift()
    assert done.returncode == 0, done.stdout
    assert f"{KEYS} of {KEYS} keys" in done.stdout
    assert time.monotonic() - started < 60


def test_every_key_has_one_page():
    keys = [key for method in read_methods().values() for key in method.transformers.keys]
    assert sorted(keys) == sorted(registry.entries())
    assert len(keys) == KEYS


GPTQ = "docs/methods/gptq.md"
PLANTED = {
    "a key without a page": ("docs/methods/sinq.md", "keys: [sinq]", "keys: [sinc]", "no page has 'sinq'"),
    "a made-up key": ("docs/methods/sinq.md", "keys: [sinq]", "keys: [sinq, sinc]",
                      "docs/methods/sinq.md: transformers.keys has 'sinc', which Transformers"),
    "a key on two pages": ("docs/methods/sinq.md", "keys: [sinq]", "keys: [sinq, hqq]", "both have 'hqq'"),
    "a lower version": (GPTQ, 'gptqmodel: "1.4.3"', 'gptqmodel: "1.4.2"',
                        "docs/methods/gptq.md: transformers.packages.gptqmodel is 1.4.2, but"),
    "a package too many": (GPTQ, 'gptqmodel: "1.4.3"', 'gptqmodel: "1.4.3", exllama: null',
                           "docs/methods/gptq.md: transformers.packages has 'exllama'"),
    "a package too few": (GPTQ, 'gptqmodel: "1.4.3", ', "", "transformers.packages lacks 'gptqmodel'"),
    "a device rule": ("docs/methods/fp8.md", "raises_without: [cuda, xpu]", "raises_without: [cuda]",
                      "docs/methods/fp8.md: transformers.raises_without is ['cuda'], but"),
    "a compute capability": ("docs/methods/fp8.md", 'capability: "8.9"', 'capability: "8.0"',
                             "hardware.nvidia.capability is 8.0, but"),
    "an argument in a page's code": ("docs/methods/fp8.md", '--8<-- "snippets/fp8.py:load"',
                                     "FineGrainedFP8Config(weight_blocksize=(128, 128))",
                                     "docs/methods/fp8.md: FineGrainedFP8Config has no argument 'weight_blocksize'"),
    "an argument in prose": ("docs/methods/fp8.md", "FineGrainedFP8Config(dequantize=True)",
                             "FineGrainedFP8Config(unpack=True)", "FineGrainedFP8Config has no argument 'unpack'"),
    "an argument in a script": ("snippets/gptq.py", "GPTQConfig(bits=", "GPTQConfig(nbits=",
                                "snippets/gptq.py: GPTQConfig has no argument 'nbits'"),
    "a name in prose": (GPTQ, "Use `backend`.", "Use `back_end`.", "docs/methods/gptq.md: `back_end` is not in Transformers"),
    "an explained difference that is none": (
        "docs/methods/bitsandbytes.md", "  torch_compile:\n", "  torch_compile:\n    differs: it is compiled all the same\n",
        "docs/methods/bitsandbytes.md: features.torch_compile.differs explains a difference, but"),
    "a difference that is not explained": (
        "docs/methods/sinq.md", "    differs: ", "    # ", "docs/methods/sinq.md: features.peft.answer is 'no', but"),
}  # fmt: skip


@pytest.mark.parametrize("what", PLANTED)
def test_drift_is_named_with_its_file_and_field(tree, drift, what):
    path, old, new, sentence = PLANTED[what]
    tree.edit(path, old, new)
    done = drift()
    assert done.returncode == 1
    assert sentence in done.stdout


def test_a_flipped_cell_is_named_on_every_page_whose_flag_is_sure(tree, drift):
    """Yes becomes no and no becomes yes in each page's ``save_and_reload``, whose flag rarely depends on anything."""
    flags = {key: entry.serializable.value for key, entry in registry.entries().items()}
    flipped = []
    for name, method in read_methods().items():
        answer = method.features.save_and_reload.answer
        if flags[method.transformers.keys[0]] == "depends" or answer == "not verified":
            continue
        other = "no" if answer == "yes" else "yes"
        cell = '  save_and_reload:\n    answer: "{}"'
        tree.edit(f"docs/methods/{name}.md", cell.format(answer), cell.format(other))
        flipped.append(name)
    done = drift()
    named = [name for name in flipped if f"docs/methods/{name}.md: features.save_and_reload" in done.stdout]
    assert named == flipped, done.stdout + done.stderr


def test_a_removed_page_leaves_its_keys_uncovered(tree, drift):
    (tree.root / "docs/methods/vptq.md").unlink()
    (tree.root / "snippets/vptq.py").unlink()
    assert "no page has 'vptq'" in drift().stdout


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


def test_a_wheel_that_lost_a_name_or_an_argument_is_told(tmp_path):
    path = tmp_path / "torchao-9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("torchao/quantization/__init__.py", "from .api import Int8WeightOnlyConfig\n")
        wheel.writestr("torchao/quantization/api.py", "class Int8WeightOnlyConfig:\n    version: int = 2\n")
    with zipfile.ZipFile(path) as wheel:
        told = list(missing_names(wheel, {"torchao"}, "torchao"))
    assert any("which no longer has it" in line or "which is gone" in line for line in told)
    assert not any("Int8WeightOnlyConfig from" in line for line in told)


def test_the_facts_for_programs_fit_their_schema():
    files = facts.files(described_transformers())
    data, schema = json.loads(files["facts.json"]), json.loads(files["facts.schema.json"])
    jsonschema.Draft202012Validator(schema).validate(data)
    assert set(data["methods"]) == set(read_methods())
    proven = [n for m in data["methods"].values() for n in m["notebooks"] if n["state"] == "proven"]
    assert proven and all(n["date"] and n["machine"] for n in proven)
