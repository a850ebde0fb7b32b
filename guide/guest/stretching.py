"""Give a checkpoint of one decoder layer as many as its shape has: ``python -m guide.guest.stretching FOLDER TARGET LAYERS``.

Speed does not ask what the weights are, so each layer may hold the same; and one layer is quantized in a fraction of the time.
"""

import json
import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

LAYER = ".layers.0."


def stretch(folder: Path, target: Path, layers: int) -> None:
    """Save in ``target`` the checkpoint of ``folder`` with its layer repeated."""
    target.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        for name, tensor in load_file(file).items():
            if LAYER not in name:
                tensors[name] = tensor
                continue
            for number in range(layers):
                tensors[name.replace(LAYER, f".layers.{number}.")] = tensor.clone()
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    for file in folder.iterdir():
        if file.is_file() and ".safetensors" not in file.name:
            shutil.copyfile(file, target / file.name)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["num_hidden_layers"] = layers
    if kinds := config.get("layer_types"):
        config["layer_types"] = kinds[:1] * layers
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")


if __name__ == "__main__":
    stretch(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    print("{}")
