"""Stand-in for a published GPTQ checkpoint of 4 bit: groups of 128, in the "gptq" format.

``python SCRIPT REFERENCE_MODEL TARGET``. Made with GPTQModel's own interface, calibrated on the end of the held-out text.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # with one of its workers GPTQModel 7.6.0 refuses to pack

import torch
from gptqmodel import GPTQModel, QuantizeConfig
from transformers import AutoTokenizer

reference, target = sys.argv[1:]
torch._dynamo.config.disable = True
tokenizer = AutoTokenizer.from_pretrained(reference)
ids = tokenizer(Path(reference, "heldout.txt").read_text(encoding="utf-8"), return_tensors="pt", verbose=False).input_ids[0]
texts = [{"input_ids": window.tolist(), "attention_mask": [1] * len(window)} for window in ids[-16 * 512 :].view(16, 512)]
model = GPTQModel.load(reference, QuantizeConfig(bits=4, group_size=128), device="cpu", dtype=torch.bfloat16)
model.quantize(texts, batch_size=1)
model.save(target)
tokenizer.save_pretrained(target)
