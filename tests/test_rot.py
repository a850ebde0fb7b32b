"""Rot in what is not run: faults of every kind, planted, and the check that names each with its file and field."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import markdown
import pytest
import yaml
from bs4 import BeautifulSoup
from planting import ROOT, Planted
from pydantic import BaseModel, ValidationError

from guide.facts import checks, evidence
from guide.facts.engine import Engine
from guide.facts.guide import Guide
from guide.facts.method import Answer, Method, front_matter
from guide.facts.symptoms import Symptoms
from guide.guest.registry import Description
from guide.library.check import check, installed, wrong_cells
from guide.notebooks.__main__ import main
from guide.notebooks.rules import faults
from guide.notebooks.script import parse_script
from guide.project import GuideError, Project
from guide.site import built, links, misspelt, stage, typed


class Fault(NamedTuple):
    """A fault, and what is said of it."""

    path: str
    old: str
    new: str
    said: str  # by the check, beside the name of the file


SCRIPTS = {  # of notebooks that need a GPU, before all of those that no proof covers
    "a quantization that is not passed": Fault(
        "snippets/eetq.py", '        quantization_config=EetqConfig("int8"),\n', "",
        "'model' is weighed as quantized, but Qwen/Qwen3-0.6B is loaded without a quantization_config."),
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
        "it pins transformers 5.21.0, but the guide describes 5.23.0. Pin that, or say why,"),
    "a pin that is held back no more": Fault(
        "snippets/fp8.py", "transformers==5.22.0", "transformers==5.23.0",
        "'held' says why transformers is held back, but its pin is the guide's 5.23.0. Take it out."),
    "a note that only pages have": Fault(
        "snippets/nvfp4.py", "# # NVFP4: 4-bit floats on one Blackwell GPU\n",
        "# # NVFP4: 4-bit floats on one Blackwell GPU\n#\n# !!! note\n#     It rounds.\n",
        ": '!!! note' in its Markdown is shown as it is written, in a notebook and in Colab."),
    "a script in its Markdown": Fault(
        "snippets/eetq.py", "is compared with this one.", "is compared with this one. <script>alert(1)</script>",
        ": '<script>' in its Markdown is HTML, or a link that runs: write Markdown, which is all that is shown."),
    "a link that runs": Fault(
        "snippets/nvfp4.py", "# Loads one model with", "# [Loads](javascript:alert(1)) one model with",
        ": '](javascript:alert(1' in its Markdown is HTML, or a link that runs"),
    "a second title": Fault(
        "snippets/nvfp4.py", "# ## NVFP4 while loading", "# # NVFP4 while loading",
        ": it has 2 titles ('# ...'); give it one."),
    "one layer of all": Fault(
        "snippets/eetq.py", "linears = decoder_linears(baseline)\n", "linears = decoder_linears(baseline)[:1]\n",
        "'decoder_linears(baseline)[:1]' leaves layers out of what is measured: take them all."),
    "a few layers of all": Fault(
        "snippets/fp8.py", "for name in linears]", "for name in linears[:2]]",
        "'linears[:2]' leaves layers out of what is measured: take them all."),
    "a check of no layer": Fault(
        "snippets/nvfp4.py", "layers = [model.get_submodule(name) for name in linears]",
        'layers = [model.get_submodule(name) for name in linears if "lm" in name]',
        """'[model.get_submodule(name) for name in linears if 'lm' in name]' leaves layers out"""),
    "a check of some layers": Fault(
        "snippets/fp8.py", "== (128, 128) for layer in layers)", "== (128, 128) for layer in layers if hasattr(layer, 'x'))",
        "for layer in layers if hasattr(layer, 'x'))' leaves layers out of what is measured"),
    "bf16 raced against itself": Fault(
        "snippets/eetq.py", "speed(model, baseline, prompt)", "speed(baseline, baseline, prompt)",
        "'speed(baseline, baseline, prompt)' compares baseline with baseline: give the quantized model, then the baseline."),
    "bf16 under another name": Fault(
        "snippets/fp8.py", "row |= quality(model,", "same = baseline\nrow |= quality(same,",
        "'quality(same, baseline, windows)' compares baseline with baseline"),
    "bf16 weighed as the variant": Fault(
        "snippets/eetq.py", "8, model, baseline, load)", "8, baseline, baseline, load)", " compares baseline with baseline"),
    "a variant judged by another": Fault(
        "snippets/quanto.py", "quality(model, baseline, windows)", "quality(model, int8, windows)",
        "'quality(model, int8, windows)' compares model with int8"),
    "too little text": Fault(
        "snippets/nvfp4.py", "evaluation_windows(tokenizer)", "evaluation_windows(tokenizer, 2)",
        "'evaluation_windows(tokenizer, 2)' measures on 2 windows of text: take 64, or say in its Markdown why '2 windows'"),
    "less text than the prose says": Fault(
        "snippets/fouroversix.py", "evaluation_windows(tokenizer, count=8)", "evaluation_windows(tokenizer, count=4)",
        " measures on 4 windows of text: take 64"),
    "a part of the text": Fault(
        "snippets/gptq.py", "windows = all_windows[:64]", "windows = all_windows[:4]",
        " measures on 4 windows of text: take 64"),
    "a loss a hundredfold": Fault(
        "snippets/eetq.py", 'abs(row["loss_difference"]) < 0.05', 'abs(row["loss_difference"]) < 5',
        "< 5' lets the loss of 8 bits rise by 5 nats, as broken weights do: bound it by at most 0.2."),
    "a loss of 4 bits": Fault(
        "snippets/nvfp4.py", 'row["loss_difference"] < 0.5', '2 > row["loss_difference"]',
        " lets the loss of 4 bits rise by 2 nats, as broken weights do: bound it by at most 1."),
    "a loss of the most bits": Fault(
        "snippets/gptq.py", 'abs(rows[0]["loss_difference"]) < 0.05', 'abs(rows[0]["loss_difference"]) < 0.5',
        ": no check bounds the loss of 8 bits by at most 0.2 nats; the closest is 'rows[1]['loss_difference'] < 0.33'."),
    "a reload compared with itself": Fault(
        "snippets/eetq.py", "torch.equal(tokens, generated(reloaded, prompt))", "torch.equal(tokens, tokens)",
        "'torch.equal(tokens, tokens)' compares a thing with itself, which says nothing."),
    "groups compared with themselves": Fault(
        "snippets/fp_quant.py", "groups[:, 1:] != groups[:, :-1]", "groups[:, 1:] != groups[:, 1:]",
        "'groups[:, 1:] != groups[:, 1:]' compares a thing with itself, which says nothing."),
    "a reload that is typed": Fault(
        "snippets/eetq.py", "torch.equal(tokens, generated(reloaded, prompt))", "True",
        "'reload_equal' is typed: compare what was reloaded."),
    "hardware that the head lowers": Fault(
        "snippets/nvfp4.py", '# needs = "cuda>=10.0"', '# needs = "cuda>=8.9"',
        ": show_environment asks for 'cuda>=10.0', but the head's 'needs' is 'cuda>=8.9': write the same."),
    "hardware that the prose lowers": Fault(
        "snippets/fbgemm_fp8.py", "GPU of compute capability 9.0 or more", "GPU of compute capability 8.0 or more",
        ": its Markdown says that it needs compute capability 8.0, but the head's 'needs' is 'cuda>=9.0': write the same."),
    "a fault that happens whatever it does": Fault(
        "snippets/nvfp4.py", 'known_fault(raised is not None, "transformers")', 'known_fault(True, "transformers")',
        "'known_fault(True, 'transformers')' says nothing of what the notebook made"),
    "a code cell that is no Python": Fault(
        "snippets/nvfp4.py", "layers = [model.get_submodule(name) for name in linears]", "layers = [model.get_submodule(name",
        ": is no Python: '(' was never closed."),
}  # fmt: skip

LIBRARY = {  # what the guide says beside what the pinned library has
    "an argument through a module": Fault(
        "snippets/eetq.py", 'EetqConfig("int8")', 'transformers.EetqConfig(weights="int8", group_size=128)',
        ": EetqConfig has no argument 'group_size' in Transformers"),
    "an argument through a renamed module": Fault(
        "snippets/fp8.py", "from transformers import FineGrainedFP8Config",
        "import transformers as tf\nfrom transformers import FineGrainedFP8Config\ntf.FineGrainedFP8Config(bits=8)",
        "FineGrainedFP8Config has no argument 'bits' in Transformers"),
    "a class that is not there": Fault(
        "snippets/fp8.py", "import FP8Linear", "import FP8Liner", "FP8Liner is not in Transformers"),
    "a class that a maker of checkpoints imports": Fault(
        "models/checkpoints/fp8.py", "import Fp8Quantize", "import FP8Quantize", "FP8Quantize is not in Transformers"),
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
    "a source of another version": Fault(
        "docs/methods/eetq.md", "Transformers 5.23.0, EetqHfQuantizer.is_compileable",
        "Transformers 5.21.0, EetqHfQuantizer.is_compileable",
        ": generate_compiles cites Transformers 5.21.0; the guide describes 5.23.0. Read it there."),
    "a source with a name that is not there": Fault(
        "docs/methods/higgs.md", "Transformers 5.23.0, HiggsHfQuantizer.is_trainable",
        "Transformers 5.23.0, HiggsQuantizer.is_trainable", ": peft cites 'HiggsQuantizer', which is not in Transformers"),
    "a value that its class refuses": Fault(
        "snippets/fp_quant_fallback.py", "from transformers import", "from transformers import EetqConfig\n"
        "EetqConfig('int4')\nfrom transformers import",
        " refuses EetqConfig('int4'): 'Only support weights in ['int8'] but found int4'."),
    "a value on a page": Fault(
        "docs/methods/quanto.md", '`QuantoConfig(weights="int8", activations="int8")`',
        '`QuantoConfig(weights="int8", activations="int7")`', " refuses QuantoConfig(weights='int8', activations='int7'): "),
    "a value that a variant writes": Fault(
        "docs/methods/gptq.md", '"bits=4": "bits=3"', '"bits=4": "bits=5"',
        ".edits: Transformers 5.23.0 refuses GPTQConfig(bits=5, "),
    "an argument in the code of a cure": Fault(
        "docs/symptoms.md", 'BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),',
        'BitsAndBytesConfig(load_in_4bit=True, bnb_4bits_quant_type="nf4"),',
        ": symptoms.load-in-4bit-typeerror.code: BitsAndBytesConfig has no argument 'bnb_4bits_quant_type' in Transformers"),
    "a source at a version that nobody read": Fault(
        "docs/methods/gptq.md", "source: gptqmodel 7.6.0, README, Platform", "source: gptqmodel 7.9.0, README, Platform",
        " cites gptqmodel 7.9.0, which is no pin, no fact and in no proof; known are 7.6.0, 7.7.0. Read it there, or"),
    "an engine's source at another version": Fault(
        "docs/engines/sglang.md", "0.5.23, srt/arg_groups/fields/model.py, kv_cache_dtype",
        "0.5.32, srt/arg_groups/fields/model.py, kv_cache_dtype",
        " cites sglang 0.5.32, which is no pin, no fact and in no proof; known are 0.5.23. Read it there, or"),
    "another package of an engine at two versions": Fault(
        "docs/engines/vllm.md", "humming-kernels 0.1.17, schema/bitnet.py", "humming-kernels 0.1.71, schema/bitnet.py",
        " cites humming-kernels 0.1.71, but another one humming-kernels 0.1.17. Read both at one version."),
    "a type of model that there is not": Fault(
        "docs/engines/vllm.md", "models: [gemma2, gemma3,", "models: [gema2, gemma3,",
        ": needs_bf16.models names 'gema2', no model type of Transformers 5.23.0. Correct it."),
    "a type of model that a cache does not take": Fault(
        "docs/engines/sglang.md", "without: [gpt_oss]", "without: [gpt-oss]",
        "without names 'gpt-oss', no model type of Transformers 5.23.0. Correct it."),
    "a flag in a note": Fault(
        "docs/methods/eetq.md", "note: is_serializable is True", "note: is_serializable is False",
        ": save_and_reload says that is_serializable is False, which it is not in Transformers"),
}  # fmt: skip

FACTS = {  # cells and variants beside what they rest on
    "a reload that nothing asserts": Fault(
        "docs/methods/torchao.md", "source: notebook experts_devices}\n      peft",
        "source: notebook symptoms_torchao}\n      peft",
        ": variants.int8-experts.features.save_and_reload is 'yes' by a proof, but no row of its measures was reloaded"),
    "a refusal that became a yes": Fault(
        "docs/methods/sinq.md", '  save_and_reload:\n    answer: "no"', '  save_and_reload:\n    answer: "yes"',
        ": features.save_and_reload is 'yes', but its note says 'from_pretrained does not reload what was saved'."),
    "a run on a CPU that is denied": Fault(
        "docs/methods/bitsandbytes.md", '  cpu:\n    answer: "yes"', '  cpu:\n    answer: "no"',
        ": hardware.cpu is 'no' by a run, but its note does not say what is raised or not done"),
    "another run on a CPU that is denied": Fault(
        "docs/methods/quark.md", '  cpu:\n    answer: "yes"', '  cpu:\n    answer: "no"',
        ": hardware.cpu is 'no' by a run, but its note does not say what is raised or not done"),
    "a run on a CPU that was none": Fault(
        "docs/methods/mxfp4.md", '  cpu:\n    answer: not verified', '  cpu:\n    answer: "yes"',
        ": hardware.cpu is 'yes' as if it had been run, but no proof that it rests on ran there."),
    "a run on a CPU that is not verified": Fault(
        "docs/methods/gguf.md", '  cpu:\n    answer: "yes"', "  cpu:\n    answer: not verified",
        ": hardware.cpu is 'not verified', but names a proof as its source."),
    "hardware that nobody tried": Fault(
        "docs/methods/hqq.md", "  amd:\n    answer: not verified", '  amd:\n    answer: "yes"',
        ": hardware.amd is 'yes', and its note says neither 'proven here on ...' nor 'not proven here'."),
    "hardware that is denied": Fault(
        "docs/methods/gptq.md", '  apple:\n    answer: "yes"', '  apple:\n    answer: "no"',
        ": hardware.apple is 'no', but its note says 'not proven here', which goes with a yes."),
    "a GPU that did not run it": Fault(
        "docs/methods/sinq.md", "one GPU only; not proven here yet", "one GPU only; proven here on an H100",
        ": hardware.nvidia is 'yes' as if it had been run, but no proof that it rests on ran there."),
    "a GPU that ran it": Fault(
        "docs/methods/quanto.md", "; proven here on an H100", "; not proven here",
        ": hardware.nvidia has a proof on NVIDIA H100 80GB HBM3, but its note says 'not proven here'."),
    "activations that no variant quantizes": Fault(
        "docs/methods/gptq.md", '  activations:\n    answer: "no"', '  activations:\n    answer: "yes"',
        ": features.activations is 'yes', but the product of every variant is '16-bit'"),
    "activations that a variant quantizes": Fault(
        "docs/methods/fp8.md", '  activations:\n    answer: "yes"', '  activations:\n    answer: "no"',
        ": features.activations is 'no', but the product of the variant 'blocks' is not '16-bit'."),
    "training that is denied": Fault(
        "docs/methods/aqlm.md", '  peft:\n    answer: "yes"', '  peft:\n    answer: "no"',
        ": features.peft is 'no' by a run, but its note does not say what is raised or not done"),
    "an error that was not raised": Fault(
        "docs/methods/autoround.md", "raises ValueError for its layers", "raises KeyError for its layers",
        ": features.peft names KeyError, which no run that it rests on shows."),
    "a notebook that is not there": Fault(
        "docs/methods/torchao.md", "source: notebook qlora", "source: notebook qlorra",
        ": features.peft rests on the notebook 'qlorra', which is not there."),
    "a variant of another section": Fault(
        "docs/methods/bitsandbytes.md", "    section: int8\n", "    section: nf4\n",
        ": variants.int8 has 8 bits, but its section 'nf4' makes 4."),
    "a variant of a section of the same width": Fault(
        "docs/methods/bitsandbytes.md", "    section: nf4-double\n", "    section: nf4\n",
        ": variants.nf4-double has the row 'nf4, double quantization', but its section 'nf4' makes 'nf4'."),
    "a variant with another's row": Fault(
        "docs/methods/quanto.md", "    measured: int2\n", "    measured: int8\n",
        ": variants.int2 has 2 bits, but the row 'int8' that is its 'measured' has 8."),
    "a variant that is edited into another": Fault(
        "docs/methods/sinq.md", '"nbits=4": "nbits=8"', '"nbits=4": "nbits=3"',
        ": variants.8-bit has 8 bits, but its 'edits' of the section 'load' do not say so."),
    "a variant of another method's notebook": Fault(
        "docs/methods/awq.md", "    notebook: awq\n    section: make\n", "    notebook: gptq\n    section: quantize\n",
        ": variants.4-bit opens the notebook 'gptq', which the page does not list."),
    "a page of another method's notebook": Fault(
        "docs/methods/eetq.md", "notebooks: [eetq]", "notebooks: [eetq, hqq]",
        ": notebooks has 'hqq', whose head says that it proves 'hqq'."),
    "a yes without a run": Fault(
        "docs/methods/metal.md", "  save_and_reload:\n    answer: not verified", '  save_and_reload:\n    answer: "yes"',
        ": features.save_and_reload is 'yes', but rests on no run"),
    "a doubt that became a no": Fault(
        "docs/methods/gemma.md", "  amd:\n    answer: not verified", '  amd:\n    answer: "no"',
        ": hardware.amd is 'no', but its note says 'neither named nor refused', which goes with 'not verified'."),
    "a run that became a doubt": Fault(
        "docs/methods/compressed-tensors.md", '  activations:\n    answer: "yes"', "  activations:\n    answer: not verified",
        ": features.activations is 'not verified', but rests on a run first"),
    "a bound of a check that only a GPU runs": Fault(
        "snippets/fp_quant.py", "<= 15", "<= 150", ": its checks are not those that ran (proofs/nvidia-h100-80gb-hbm3/"),
    "an assertion that only a GPU runs": Fault(
        "snippets/fp8.py", 'assert row["reload_equal"]', 'print(row["reload_equal"])',
        ": its checks are not those that ran (proofs/nvidia-h100-80gb-hbm3/"),
}  # fmt: skip

TYPED = {  # versions and figures that come from nowhere
    "a version in a note": Fault(
        "docs/methods/bitsandbytes.md", "PEFT 0.21.2 trains LoRA", "PEFT 0.99.0 trains LoRA",
        ": features.peft.note: 'PEFT 0.99.0' is no pin, no fact and in no proof, which have 0."),
    "a lowest version in prose": Fault(
        "docs/methods/torchao.md", "requires torchao 0.15.0 or newer", "requires torchao 0.14.0 or newer",
        ": 'torchao 0.14.0' is no pin, no fact and in no proof, which have 0."),
    "a version without a name": Fault(
        "docs/methods/hqq.md", "\n## Install\n", "\n## Install\n\nThe first that works is 0.9.14.\n",
        ": the version 'is 0.9.14' is no pin, no fact and in no proof, and nothing cites it."),
    "a version in a notebook's prose": Fault(
        "snippets/nvfp4.py", "# # NVFP4: 4-bit floats on one Blackwell GPU\n",
        "# # NVFP4: 4-bit floats on one Blackwell GPU\n#\n# With torch 2.99.0.\n",
        ": 'torch 2.99.0' is no pin, no fact and in no proof, which have "),
    "a figure in a con": Fault(
        "docs/methods/hqq.md", "\ncons:\n", '\ncons:\n  - "It decodes at 17.83 % of the speed of bf16."\n',
        ": cons.0: the figure 17.83 comes from nowhere"),
    "a speed in prose": Fault(
        "docs/methods/gptq.md", "\n## Install\n", "\n## Install\n\nIt decodes 4,312 tokens/s.\n",
        ": the figure 4,312 comes from nowhere"),
    "a sum that is not so": Fault(
        "docs/guide.md", "= 2.21 times smaller", "= 3.21 times smaller", "= 3.21' is not so: it is 2.21"),
    "a width that no sum gives": Fault(
        "docs/guide.md", "(4.127 bits per weight)", "(3.127 bits per weight)", ": the figure 3.127 comes from nowhere"),
    "a width in a table": Fault(
        "docs/how.md", "32/(64 × 256) = 4.127", "32/(64 × 256) = 3.127", "= 3.127' is not so: it is 4.127"),
    "a width in brackets": Fault(
        "docs/methods/bitsandbytes.md", "in 0.127 instead", "in 0.217 instead", ": the figure 0.217 comes from nowhere"),
    "a figure that a notebook printed": Fault(
        "docs/activations.md", "| 1.1 % | 40.5 % |", "| 1.1 % | 14.55 % |", ": the figure 14.55 comes from nowhere"),
    "a figure that was recorded": Fault(
        "docs/activations.md", "| 10.9 ms |", "| 71.9 ms |", ": the figure 71.9 comes from nowhere"),
    "a number of weights": Fault(
        "docs/guide.md", "596,049,920 weights", "596,094,920 weights", ": the number 596,094,920 comes from nowhere"),
    "a row in a measured table": Fault(
        "docs/benchmarks.md", "<!-- guide: ladder 4 -->\n", "<!-- guide: ladder 4 -->\n| mine | 4 | 0.01 |\n",
        ": the row '| mine | 4 | 0.01 |' is typed beside a mark, whose table comes from records."),
    "a row in no table": Fault(
        "docs/benchmarks.md", "<!-- guide: speeds SmolLM2-135M -->\n",
        "<!-- guide: speeds SmolLM2-135M -->\n\n| mine | 4 | 0.01 |\n", ": the row '| mine | 4 | 0.01 |' stands in no table."),
    "a typed install line": Fault(
        "docs/methods/metal.md", "accelerate==1.15.0 kernels==0.17.2", "accelerate==1.15.0 kernels==0.18.2",
        "kernels==0.18.2' is typed, and no notebook pins these together."),
}  # fmt: skip

MISSPELT = {  # names that are nearly those of something
    "a package of an install line": Fault(
        "docs/symptoms.md", "autoawq && pip install gptqmodel==7.6.0", "autoawq && pip install gptqmodle==7.6.0",
        ": 'pip install gptqmodle': there is no such package here; is gptqmodel meant?"),
    "a flag in prose": Fault(
        "docs/cache.md", "then `--kv-cache-dtype fp8`; if", "then `--kv-cache-dtyp fp8`; if",
        ": the flag --kv-cache-dtyp stands nowhere else; is --kv-cache-dtype meant?"),
    "a flag of an engine": Fault(
        "docs/engines/vllm.md", 'context: "--max-model-len"', 'context: "--max-model-length"',
        ": the flag --max-model-length stands nowhere else; is --max-model-len meant?"),
    "an engine's version beside a link": Fault(
        "docs/activations.md", "SGLang 0.5.23 has no kernel either", "SGLang 0.5.32 has no kernel either",
        ": 'SGLang 0.5.32' is not the version of docs/engines/sglang.md, 0.5.23: correct it; of an older one say 'since',"),
    "a class in a source": Fault(
        "docs/engines/transformers.md", "FineGrainedFP8HfQuantizer.validate_environment; integrations/",
        "FineGrainedFP8HfQuantizr.validate_environment; integrations/",
        ": the name FineGrainedFP8HfQuantizr stands nowhere else; is FineGrainedFP8HfQuantizer meant?"),
}  # fmt: skip

OWN = "https://github.com/owner/name/blob/main"
COLAB = "https://colab.research.google.com/github"
PAGES = {  # what stands on a built page, and what is said of it
    f"<a href='{COLAB}/owner/name/blob/main/notebooks/torcha.ipynb'>": "notebooks/torcha.ipynb' leads to no file",
    f"<a href='{COLAB}/another/name/blob/main/notebooks/torchao.ipynb'>": "torchao.ipynb' leads to another repository",
    f"<a href='{OWN}/snippets/torcha.py'>": "snippets/torcha.py' leads to no file of the repository",
    "<a href='https://github.com/another/name/blob/main/snippets/torchao.py'>": "torchao.py' leads to another repository",
    "<a href='javascript:alert(1)'>": "'javascript:alert(1)' is no address of a page",
    "<a href='../methods/torcha/'>": "'../methods/torcha/' leads to no page",
    "<a href='#nowhere'>": "'#nowhere' leads to a page without that heading",
    "<h1>Another</h1>": "2 headings of the first order",
    "<p>!!! note</p>": "Markdown that was not rendered: '!!! '",
}
HOSTILE = "<img src=x onerror=alert(1)>"
DISGUISED = "``<img src=x onerror=alert(1)>`"  # to Markdown no code, since its backticks do not agree
DATA = {  # fields whose texts are names of other things
    "id", "notebook", "section", "ready", "unpacked", "edits", "measured", "names", "notebooks", "keys", "packages", "pages",
    "only_models", "storage", "code", "engines", "places", "not_on", "experts_not_on", "flag_for"}  # fmt: skip
FRONT: dict[str, type[BaseModel]] = {
    "docs/methods/sinq.md": Method, "docs/methods/bitsandbytes.md": Method, "docs/engines/vllm.md": Engine,
    "docs/engines/llama-cpp.md": Engine, "docs/symptoms.md": Symptoms}  # fmt: skip

COUNTED = {"scripts": SCRIPTS, "library": LIBRARY, "facts": FACTS, "typed": TYPED, "misspelt": MISSPELT, "pages": PAGES}


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


def test_the_command_says_so_with_the_line(planted):
    fault = SCRIPTS["a quantization that is not passed"]
    planted.edit(fault.path, fault.old, fault.new)
    with pytest.raises(SystemExit) as ended:
        main(["--check"], planted.project)
    is_named(fault, said := str(ended.value).splitlines())
    line = int(re.match(rf"{fault.path}:(\d+): ", said[0])[1])
    assert "model = AutoModelForCausalLM.from_pretrained(" in planted.load().scripts["eetq"].text.splitlines()[line - 1]


def with_all(tmp_path_factory, planted: Mapping[str, Fault]) -> Guide:
    """The guide with several faults, each in a place of its own."""
    tree = Planted(tmp_path_factory.mktemp("rot") / "tree")
    for fault in planted.values():
        tree.edit(fault.path, fault.old, fault.new)
    return tree.load()


@pytest.fixture(scope="module")
def rotten(tmp_path_factory) -> Guide:
    """The guide with all faults against the library."""
    return with_all(tmp_path_factory, LIBRARY)


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


@pytest.fixture(scope="module")
def contradictions(tmp_path_factory) -> list[str]:
    """What is said of facts that do not follow from what they rest on."""
    return checks.faults(with_all(tmp_path_factory, FACTS))


@pytest.mark.parametrize("what", FACTS)
def test_a_fact_that_does_not_follow_is_named(contradictions, what):
    is_named(FACTS[what], contradictions)


def test_an_answer_that_is_turned_round_is_named(guide, library, record_property):
    """Each answer of each page, changed alone into each other; which of them a flag of the library or a note bears out."""
    named, missed = 0, []
    for name, method in guide.methods.items():
        entries = [library.entries[key] for key in method.transformers.keys]
        for group in ("hardware", "features"):
            facts = getattr(method, group)
            for field, cell in facts:
                for answer in set(Answer) - {cell.answer} if field != evidence.COMPILED else ():
                    turned = facts.model_copy(update={field: cell.model_copy(update={"answer": answer})})
                    changed = method.model_copy(update={group: turned})
                    said = evidence.faults(replace(guide, methods={name: changed}))
                    if any(said) or any(wrong_cells(changed, entries, library.release)):
                        named += 1
                    else:
                        missed.append((name, field, cell.answer, answer))
    count = named + len(missed)
    record_property(
        "figure", f"answers of cells: {count} changed one at a time, {named} named, no yes for a no among the rest"
    )
    assert [one for one in missed if Answer.UNVERIFIED not in one] == []
    assert named > 0.95 * count, missed


@pytest.fixture(scope="module")
def from_nowhere(tmp_path_factory) -> list[str]:
    """What is said of versions and figures that nothing bears out."""
    return list(typed.faults(with_all(tmp_path_factory, TYPED)))


@pytest.mark.parametrize("what", TYPED)
def test_what_is_typed_and_comes_from_nowhere_is_named(from_nowhere, what):
    is_named(TYPED[what], from_nowhere)


@pytest.fixture(scope="module")
def nearly(tmp_path_factory) -> list[str]:
    """What is said of names that are nearly those of something."""
    return list(misspelt.faults(with_all(tmp_path_factory, MISSPELT)))


@pytest.mark.parametrize("what", MISSPELT)
def test_what_is_misspelt_is_named(nearly, what):
    is_named(MISSPELT[what], nearly)


def test_a_version_of_the_past_is_told_as_one(planted):
    planted.edit(
        "docs/judge.md", "\n## ", "\nSince vLLM 0.30.0 it does. It did not before vLLM 0.31.1. vLLM 0.29.0 has it.\n\n## "
    )
    (said,) = {one for one in misspelt.faults(planted.load()) if one.startswith("docs/judge.md: ")}
    assert said.startswith("docs/judge.md: 'vLLM 0.29.0' is not the version of docs/engines/vllm.md, 0.32.0: correct it;")


@pytest.mark.parametrize("text", PAGES, ids=lambda text: text[:60])
def test_what_is_wrong_on_a_built_page_is_named(tmp_path, text):
    page = "<!doctype html><title>Page</title><meta name=description content=Words><article><h1>One</h1>{}</article>"
    (tmp_path / "search").mkdir()
    (tmp_path / "search/search_index.json").write_text("{}")
    said = {}
    for what in ("", text):
        (tmp_path / "index.html").write_text(page.format(what))
        said[what] = [*built.faults(tmp_path), *links.lost_sources(tmp_path, Project(ROOT, "owner/name"))]
    assert said[""] == [] and any(PAGES[text] in one for one in said[text]), said


# Hostile text


def texts_of(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of each text of the front matter that is no name of another thing."""
    if isinstance(value, dict):
        for key in value.keys() - DATA:
            yield from texts_of(value[key], (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from texts_of(inner, (*path, number))
    elif isinstance(value, str):
        yield path


def poisoned(data: dict[str, Any], model: type[BaseModel], hostile: str) -> int:
    """Add markup to every text that the model lets have it; how many these are."""
    taken = 0
    for *way, last in texts_of(data):
        place: Any = data
        for key in way:
            place = place[key]
        before, place[last] = place[last], f"{place[last]} {hostile}"
        try:
            model.model_validate(data)
            taken += 1
        except ValidationError:
            place[last] = before
    return taken


def test_markup_in_the_front_matter_is_nowhere_a_tag(planted):
    for path, model in FRONT.items():
        text = (planted.project.root / path).read_text(encoding="utf-8")
        data, body = front_matter(path, text), text.split("\n---\n", 1)[1]
        assert poisoned(data, model, f"{HOSTILE} {DISGUISED}") > 60, path
        planted.write(path, f"---\n{yaml.safe_dump(data, allow_unicode=True)}\n---\n{body}")
    assert len(shown_as_text(planted.load())) > 10


def test_markup_in_a_record_is_nowhere_a_tag(planted):
    planted.edit("snippets/numbers/hqq.py", 'label = "4 bit"', f'label = "4 bit {HOSTILE}"')
    compiled = "proofs/compiled/nvidia-h100-80gb-hbm3.json"
    planted.edit(compiled, '"failed": "TorchRuntimeError', f'"failed": "{HOSTILE}TorchRuntimeError')
    assert shown_as_text(planted.load()) >= {"benchmarks.md", "works-where.md"}


def shown_as_text(guide: Guide) -> set[str]:
    """The pages that show the planted markup, each of which shows it as text."""
    made = {name: content.decode() for name, content in stage.files(guide).items() if name.endswith(".md")}
    hostile = {name: text.split("\n---\n", 1)[1] for name, text in made.items() if "onerror" in text}
    for name, text in hostile.items():
        html = markdown.markdown(text, extensions=["attr_list", "md_in_html", "tables", "pymdownx.superfences"])
        assert not BeautifulSoup(html, "html.parser").select("img[onerror]"), name
    return set(hostile)


BAD = ['{"toString": 1}', "[]", "5", '"constructor"', f'"{HOSTILE}"', '{"__proto__": {"bad": 1}}']
CONFIGS = [  # what somebody may paste
    *(f'{{"model_type": "llama", "quantization_config": {{"quant_method": "{method}", "bits": 4, "{key}": {bad}}}}}'
      for method in ("gptq", "fp8", "compressed-tensors", "constructor") for bad in BAD
      for key in ("bits", "weight_block_size", "config_groups", "checkpoint_format")),
    *(f'{{"{key}": {bad}}}' for bad in BAD for key in ("model_type", "quant_method", "quantization_config", "text_config")),
    f'{{"__proto__": {{"bad": 1}}, "model_type": "{HOSTILE}"}}',
]  # fmt: skip
QUERIES = ["?__proto__[bad]=1&constructor=1&item=1", f"?model={HOSTILE}&hardware={HOSTILE}&memory={HOSTILE}", "?on=__proto__"]
LEFT = "[...document.querySelectorAll('img[onerror]')].length + Number(({}).bad ?? 0)"


def test_what_is_pasted_is_shown_and_harms_nothing(site, tab):
    tab.goto(f"{site[1]}checkpoints/")
    tab.wait_for_selector("#checkpoint-text")
    for text in CONFIGS:
        tab.fill("#checkpoint-text", text)
    assert tab.evaluate(LEFT) == 0 and tab.errors == []
    tab.goto(f"{site[1]}memory/?model=config")
    tab.wait_for_selector("#memory-calculator:not([hidden]) [name=config]")
    for text in CONFIGS:
        tab.fill("#memory-calculator [name=config]", text)
    assert tab.evaluate(LEFT) == 0 and tab.errors == []


@pytest.mark.parametrize("page", ["", "memory/", "engines/", "works-where/"])
def test_an_address_with_markup_is_no_markup(site, tab, page):
    for query in QUERIES:
        tab.goto(f"{site[1]}{page}{query}")
        tab.wait_for_load_state("networkidle")
        assert tab.evaluate(LEFT) == 0 and tab.errors == [], query


def test_no_script_of_the_site_makes_markup_of_text():
    for path in sorted((ROOT / "docs" / "assets").glob("*.js")):
        made = re.search(r"\.(inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|new Function", path.read_text())
        assert not made, f"{path.name}: {made[0]}"


def test_nothing_of_this_checkout_comes_from_nowhere(guide):
    """That it has none of the other faults is tested where their checks are."""
    assert list(typed.faults(guide)) == []
    assert list(misspelt.faults(guide)) == []


def test_faults_are_counted(record_property):
    record_property("figure", f"rot: {sum(map(len, COUNTED.values()))} planted faults, each found with its file")
