"""Put 4-bit layers in place of a model's linear ones, as a library of the group ``training`` makes them; see guide/derive."""

import bitsandbytes as bnb
import torch

LIBRARIES = ("peft", "bitsandbytes")  # whose versions are told beside what was found
OPERATORS = "bitsandbytes"  # how the names of operators begin that unpack a layer, which the calculator counts apart


def quantize(model) -> None:
    """In each linear layer but the output head."""
    head = model.get_output_embeddings()
    for module in list(model.modules()):
        for name, layer in list(module.named_children()):
            if type(layer) is torch.nn.Linear and layer is not head:
                sizes = (layer.in_features, layer.out_features, layer.bias is not None)
                made = bnb.nn.Linear4bit(*sizes, compute_dtype=torch.bfloat16, quant_type="nf4")
                made.weight = bnb.nn.Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4", module=made)
                made.bias = layer.bias
                setattr(module, name, made.to("cpu"))
    model.is_loaded_in_4bit = True
