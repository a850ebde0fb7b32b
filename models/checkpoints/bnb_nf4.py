"""Stand-in for a published bitsandbytes checkpoint: nf4, as Transformers saves it.

``python SCRIPT REFERENCE_MODEL TARGET``.
"""

import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

reference, target = sys.argv[1:]
config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
model = AutoModelForCausalLM.from_pretrained(reference, dtype=torch.bfloat16, device_map="cpu", quantization_config=config)
model.save_pretrained(target)
AutoTokenizer.from_pretrained(reference).save_pretrained(target)
