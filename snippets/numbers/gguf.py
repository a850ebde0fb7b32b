# /// script
# [tool.numbers]
# method = "gguf"
# notebook = "gguf"
# not_timed = "Transformers unpacks a GGUF file to bf16, so it runs as bf16 does"
#
# [tool.numbers.variants.gguf-q8_0]
# label = "Q8_0"
# bits = 8
# group = 32
# differs = "groups of 32, as the type has them; rounded by the gguf package, not by llama.cpp"
#
# [tool.numbers.variants.gguf-q5_0]
# label = "Q5_0"
# bits = 5
# group = 32
# differs = "groups of 32, as the type has them; rounded by the gguf package, not by llama.cpp"
#
# [tool.numbers.variants.gguf-q4_0]
# label = "Q4_0"
# bits = 4
# group = 32
# differs = "groups of 32, as the type has them; rounded by the gguf package, not by llama.cpp"
# ///
"""GGUF on the real model: the file it came in, its linear weights written anew in another type."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, dequantize, quantize
from torch import nn
from transformers import AutoModelForCausalLM

from guide.guest.making import Given

REWRITTEN = GGMLQuantizationType.Q4_1  # the type that the file's linear weights have


def write(source: Path, target: Path, kind: GGMLQuantizationType) -> None:
    """Copy a GGUF file with its linear weights in another type: from what they unpack to in bf16."""
    reader = GGUFReader(source)
    writer = GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue  # the writer writes these itself
        element = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=element)
    for tensor in reader.tensors:
        data: Any = tensor.data
        if tensor.tensor_type == REWRITTEN:
            plain = torch.from_numpy(dequantize(data, REWRITTEN)).to(torch.bfloat16).float().numpy()
            writer.add_tensor(tensor.name, quantize(plain, kind), raw_dtype=kind)
        else:
            writer.add_tensor(tensor.name, data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def loaded(given: Given, kind: GGMLQuantizationType) -> nn.Module:
    """What Transformers makes of such a file; the model says how large the file is."""
    [source] = Path(given.model).parent.glob("*.gguf")
    given.folder.mkdir(parents=True, exist_ok=True)
    file = given.folder / f"{kind.name}.gguf"
    write(source, file, kind)
    model = AutoModelForCausalLM.from_pretrained(
        str(given.folder), gguf_file=file.name, dtype=torch.bfloat16, device_map=given.device
    )
    model.file_bytes = file.stat().st_size
    file.unlink()
    return model


VARIANTS = {f"gguf-{name.lower()}": partial(loaded, kind=GGMLQuantizationType[name]) for name in ("Q8_0", "Q5_0", "Q4_0")}
