"""Which part of a model a parameter is, as the memory calculator counts it: for weighing and for deriving shapes."""

from torch import nn
from torch.nn.modules.conv import _ConvNd


def part_of(model: nn.Module, name: str, parameter: nn.Parameter) -> str:
    """``embedding``, ``head``, ``linear``, ``experts``, ``bias of experts``, ``norm`` or ``other``.

    The experts of a layer are slices of one 3-D parameter. A router that is no linear layer is among ``other``, as are biases.
    """
    path, _, last = name.rpartition(".")
    owner = model.get_submodule(path)
    if parameter.dim() > 2 and not isinstance(owner, _ConvNd):
        return "experts"
    if isinstance(owner, nn.Embedding):
        return "embedding"
    if owner is model.get_output_embeddings() and last == "weight":
        return "head"
    if "norm" in type(owner).__name__.lower():
        return "norm"
    if isinstance(owner, nn.Linear) and last == "weight":
        return "linear"
    if parameter.dim() == 2 and any(one.dim() == 3 for one in owner.parameters(recurse=False)):
        return "bias of experts"
    return "other"
