"""Stand-in for a published FP8 checkpoint: e4m3 weights in blocks of 128 x 128, by Transformers' own rounding.

``python SCRIPT REFERENCE_MODEL TARGET``. Transformers quantizes to FP8 on a GPU alone, but the operation that rounds a weight
runs anywhere.
"""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

from safetensors.torch import load_file, save_file
from transformers import FineGrainedFP8Config
from transformers.integrations.finegrained_fp8 import Fp8Quantize

reference, target = (Path(argument) for argument in sys.argv[1:])
config = FineGrainedFP8Config(weight_block_size=(128, 128))
quantize = Fp8Quantize(SimpleNamespace(quantization_config=config))
weights = {}
for name, weight in load_file(reference / "model.safetensors").items():
    weights |= quantize.convert({name: weight}) if "_proj." in name else {name: weight}
save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
for name in ("generation_config.json", "tokenizer.json", "tokenizer_config.json"):
    shutil.copyfile(reference / name, target / name)
settings = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
model = json.loads((reference / "config.json").read_text(encoding="utf-8")) | {"quantization_config": settings}
(target / "config.json").write_text(json.dumps(model, indent=2), encoding="utf-8")
