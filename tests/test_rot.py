"""Rot in what is not run: faults of every kind, planted, and the check that names each with its file and field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from planting import Planted

from guide.facts.guide import Guide
from guide.guest.registry import Description
from guide.library.check import check, installed
from guide.notebooks.__main__ import main
from guide.notebooks.rules import faults
from guide.notebooks.script import parse_script
from guide.project import GuideError


class Fault(NamedTuple):
    """A fault, and what is said of it."""

    path: str
    old: str
    new: str
    said: str  # by the check, beside the name of the file


SCRIPTS = {  # of notebooks that need a GPU, before all of those that no proof covers
    "a quantization that is not passed": Fault(
        "snippets/eetq.py", '        quantization_config=EetqConfig("int8"),\n', "",
        ":66: 'model' is weighed as quantized, but Qwen/Qwen3-0.6B is loaded without a quantization_config."),
    "a quantization that is misspelled": Fault(
        "snippets/nvfp4.py", "quantization_config=NVFP4Config(), dtype", "quantisation_config=NVFP4Config(), dtype",
        "'model' is weighed as quantized, but Qwen/Qwen3-0.6B is loaded without a quantization_config."),
    "a quantization of None": Fault(
        "snippets/fp_quant.py", "quantization_config=config", "quantization_config=None",
        "'model' is weighed as quantized, but Qwen/Qwen3-0.6B is loaded without a quantization_config."),
    "a quantized load that unpacks": Fault(
        "snippets/fp8.py", "weight_block_size=(128, 128))", "weight_block_size=(128, 128), dequantize=True)",
        "'model' is weighed as quantized, but is loaded with dequantize=True."),
    "a checkpoint that is unpacked": Fault(
        "snippets/mxfp4.py", '"openai/gpt-oss-20b", dtype=torch.bfloat16',
        '"openai/gpt-oss-20b", quantization_config=Mxfp4Config(dequantize=True), dtype=torch.bfloat16',
        "'model' is weighed as quantized, but is loaded with dequantize=True."),
    "a bound that is a tenth": Fault(
        "snippets/eetq.py", '"linear_ratio"] > 1.9', '"linear_ratio"] > 0.19',
        "row['linear_ratio'] > 0.19: 8 bits give at most 16 / 8 = 2.00; bound it from 0.80 to that."),
    "a bound that is tenfold": Fault(
        "snippets/nvfp4.py", '"linear_ratio"] > 3', '"linear_ratio"] < 30',
        "row['linear_ratio'] < 30: 4 bits give at most 16 / 4 = 4.00, so this bounds nothing."),
    "a bound of the other side": Fault(
        "snippets/eetq.py", '"linear_ratio"] > 1.9', '"linear_ratio"] < 1.9',
        "row['linear_ratio'] < 1.9: nothing bounds it from below."),
    "a bound in a loop": Fault(
        "snippets/gptq.py", "(3, 4.4)", "(3, 0.44)",
        "rows[bits]['linear_ratio'] > 0.44: 3 bits give at most 16 / 3 = 5.33; bound it from 2.13 to that."),
    "a bound that is taken out": Fault(
        "snippets/nvfp4.py", 'assert row["linear_ratio"] > 3', 'print(row["linear_ratio"] > 3)',
        "no check bounds row['linear_ratio']."),
    "an inverted ratio": Fault(
        "snippets/mxfp4.py", 'row["baseline_bytes"] / row["quantized_bytes"]',
        'row["quantized_bytes"] / row["baseline_bytes"]', "a ratio is the baseline's bytes over the variant's."),
    "asserts that became print": Fault("snippets/nvfp4.py", "\nassert ", "\nprint() or ", ": the check asserts nothing."),
    "a layer that is not looked at": Fault(
        "snippets/fbgemm_fp8.py", "assert all(", "print(",
        ": the check bounds a size, but asserts nothing of the layers: of their class, or of a dtype."),
    "an assertion that cannot fail": Fault(
        "snippets/nvfp4.py", "assert all(isinstance(layer, NVFP4Linear) for layer in layers)", "assert all([True])",
        "'assert all([True])' says nothing of what the notebook made."),
    "an assertion of a tuple": Fault(
        "snippets/nvfp4.py", 'assert row["linear_ratio"] > 3', 'assert (row["linear_ratio"] > 3, "too large")',
        "says nothing of what the notebook made."),
    "an assertion that is swallowed": Fault(
        "snippets/nvfp4.py", 'assert row["linear_ratio"] > 3',
        'try:\n    assert row["linear_ratio"] > 3\nexcept AssertionError:\n    print("small")',
        "stands in a 'try', which may swallow it."),
    "a check that is no check": Fault("snippets/eetq.py", '# %% tags=["check"]', "# %%", ": no cell is tagged 'check'."),
    "an empty section": Fault(
        "snippets/fp8.py", "[start:load]\n", "[start:empty]\n    # --8<-- [end:empty]\n    # --8<-- [start:load]\n",
        ": the section 'empty' holds no code."),
    "a section that does not end": Fault(
        "snippets/fp8.py", "    # --8<-- [end:load]\n", "", "snippets/fp8.py has no section 'load'."),
    "a pin of another Transformers": Fault(
        "snippets/fbgemm_fp8.py", "transformers==5.23.0", "transformers==5.21.0",
        "it pins transformers 5.21.0, but the guide describes 5.23.0. Pin that, or say why under 'held'."),
    "a pin that is held back no more": Fault(
        "snippets/fp8.py", "transformers==5.22.0", "transformers==5.23.0",
        "'held' says why transformers is held back, but its pin is the guide's 5.23.0. Take it out."),
    "a code cell that is no Python": Fault(
        "snippets/nvfp4.py", "layers = [model.get_submodule(name) for name in linears]", "layers = [model.get_submodule(name",
        ":78: is no Python: '(' was never closed."),
}  # fmt: skip

LIBRARY = {  # what the guide says beside what the pinned library has
    "an argument through a module": Fault(
        "snippets/eetq.py", 'EetqConfig("int8")', 'transformers.EetqConfig(weights="int8", group_size=128)',
        ":68: EetqConfig has no argument 'group_size' in Transformers"),
    "an argument through a renamed module": Fault(
        "snippets/fp8.py", "from transformers import FineGrainedFP8Config",
        "import transformers as tf\nfrom transformers import FineGrainedFP8Config\ntf.FineGrainedFP8Config(bits=8)",
        "FineGrainedFP8Config has no argument 'bits' in Transformers"),
    "a class that is not there": Fault(
        "snippets/fp8.py", "import FP8Linear", "import FP8Liner", "FP8Liner is not in Transformers"),
    "a class in a notebook's prose": Fault(
        "snippets/nvfp4.py", "# Loads one model with", "# BitsAndBytesConfg loads one model with",
        ": 'BitsAndBytesConfg' is the name of nothing; is 'BitsAndBytesConfig' meant?"),
    "a name in code style in a notebook's prose": Fault(
        "snippets/eetq.py", "# Everything below is compared", "# With `from_pretraned` everything is compared",
        ": `from_pretraned` is not in Transformers"),
    "a class in a page's prose": Fault(
        "docs/methods/gptq.md", "\n## Install\n", "\n## Install\n\nPass a GPTQConfg to it.\n",
        ": 'GPTQConfg' is the name of nothing; is 'GPTQConfig' meant?"),
    "a class in the front matter": Fault(
        "docs/methods/bitsandbytes.md", "cons:\n", 'cons:\n  - "Its BitAndBytesConfig is long."\n',
        ": 'BitAndBytesConfig' is the name of nothing; is 'BitsAndBytesConfig' meant?"),
    "a class on an engine's page": Fault(
        "docs/engines/vllm.md", "\n## ", "\n\nLoad it with AutoModelForCasualLM.\n\n## ",
        ": 'AutoModelForCasualLM' is the name of nothing; is 'AutoModelForCausalLM' meant?"),
    "a class in a typed block": Fault(
        "docs/methods/torchao.md", "torch._inductor.config.coordinate_descent_tuning = False",
        "torch._inductor.config.coordinate_decent_tuning = False",
        ": coordinate_decent_tuning, in a block of Python, is not in Transformers"),
    "a typed block in a tab": Fault(
        "docs/methods/torchao.md", "    int8 weight-only:\n",
        "    ```python\n    model = AutoModelForCausalLM.from_pretraind(name)\n    ```\n",
        ": from_pretraind, in a block of Python, is not in Transformers"),
    "a typed block that is no Python": Fault(
        "docs/methods/quanto.md", "\n## Save", "\n```python\nmodel = = model\n```\n\n## Save",
        ": a block of Python is no Python, line 1 of it: invalid syntax."),
}  # fmt: skip

COUNTED = {"scripts": SCRIPTS, "library": LIBRARY}


def refusal(look: Callable[[], list[str]]) -> list[str]:
    """What a check says, or the one sentence with which loading ends."""
    try:
        return look()
    except GuideError as error:
        return [str(error)]


def is_named(fault: Fault, said: list[str]) -> None:
    """Whether one of the sentences is of that fault, and has its file."""
    assert any(fault.said in one and fault.path in one for one in said), said


@pytest.mark.parametrize("what", SCRIPTS)
def test_a_script_that_is_not_run_is_read(guide, what):
    fault = SCRIPTS[what]
    name = Path(fault.path).stem
    before = guide.scripts[name].text
    assert fault.old in before
    is_named(fault, refusal(lambda: faults(parse_script(name, before.replace(fault.old, fault.new)), guide.transformers)))


def test_the_command_says_so(planted):
    fault = next(iter(SCRIPTS.values()))
    planted.edit(fault.path, fault.old, fault.new)
    with pytest.raises(SystemExit) as ended:
        main(["--check"], planted.project)
    is_named(fault, str(ended.value).splitlines())


@pytest.fixture(scope="module")
def rotten(tmp_path_factory) -> Guide:
    """The guide with all faults against the library, each in a place of its own."""
    tree = Planted(tmp_path_factory.mktemp("rot") / "tree")
    for fault in LIBRARY.values():
        tree.edit(fault.path, fault.old, fault.new)
    return tree.load()


@pytest.fixture(scope="module")
def library(rotten) -> Description:
    """The installed Transformers, with the classes that the faults name."""
    return installed(rotten)


@pytest.fixture(scope="module")
def disagreements(rotten, library) -> list[str]:
    """What drift says of them."""
    return check(rotten, library)


@pytest.mark.parametrize("what", LIBRARY)
def test_what_the_library_has_not_is_named(disagreements, what):
    is_named(LIBRARY[what], disagreements)


def test_the_checkout_has_none_of_these_faults(guide, library):
    assert [*guide.faults(), *check(guide, library)] == []


def test_faults_are_counted(record_property):
    record_property("figure", f"rot: {sum(map(len, COUNTED.values()))} planted faults, each found with its file")
