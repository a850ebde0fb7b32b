"""What a script's head says of weighing, joined with the variants of its method's page: the code that makes each of them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guide.bench.shapes import GROUPS, REFERENCE, SHAPES
from guide.calculator.memory import predicted
from guide.facts.guide import Guide
from guide.facts.method import Variant
from guide.facts.storage import Shape
from guide.notebooks.edits import holds
from guide.notebooks.script import Script, Weighing
from guide.project import GuideError

PUBLIC_ID = "Qwen/Qwen3-0.6B"  # what the notebooks load; the random model stands in its place
PRELUDE = """
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from snippets.shared.measure import decoder_linears

MODEL = {model!r}
device = torch.device({device!r})
tokenizer = AutoTokenizer.from_pretrained(MODEL)
ids = tokenizer(open({held_out!r}).read(), return_tensors="pt", verbose=False).input_ids[0, : 4 * 256]


def bf16_model():
    return AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map="auto")
"""
LOADS = """
import torch
from pathlib import Path
from transformers import AutoModelForCausalLM

[folder] = Path().glob({pattern!r})
model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.bfloat16, device_map="auto")
"""


@dataclass(frozen=True)
class Recipe:
    """A script that can be weighed, with the variants of its method that its sections make."""

    method: str
    script: Script
    weighing: Weighing
    variants: tuple[Variant, ...]
    shapes: tuple[str, ...]
    loader: Script  # in whose environment saved models are loaded

    def tasks(self, held_out: Path, device: str = "cpu") -> list[tuple[str, Script, dict[str, list[str]]]]:
        """What to ask the guest: each task, the script in whose environment it runs, and by variant the pieces of code.

        What a section saves is loaded in a process of its own, as by a reader. ``held_out`` is the text to calibrate with.
        """
        makes = {variant.id: self._makes(variant, held_out, device) for variant in self.variants}
        if not self.weighing.saves:
            return [("weigh", self.script, makes)]
        loads = {variant.id: [LOADS.format(pattern=self.weighing.saves[variant.id])] for variant in self.variants}
        return [("run", self.script, makes), ("weigh", self.loader, loads)]

    def _makes(self, variant: Variant, held_out: Path, device: str) -> list[str]:
        """The code that makes a variant: imports and inputs, the notebook's section, what follows on it."""
        place, section, edits = f"The head of {self.script.path}", str(variant.section), self.weighing.edits
        clash = [one for one in edits for other in variant.edits if holds(one, other) or holds(other, one)]
        if clash:
            raise GuideError(f"{place} replaces '{clash[0]}' in 'weigh.edits', which the variant '{variant.id}' of "
                             f"docs/methods/{self.method}.md replaces too: leave it to one of them.")  # fmt: skip
        own = self.script.section(section, edits | variant.edits)
        above = self.script.body.partition(f"[start:{section}]")[0]
        imports = re.findall(r"^(?:import|from) (?!snippets\.)[^(\n]+$", above, re.MULTILINE)  # the guide's own modules apart
        first = PRELUDE.format(model=PUBLIC_ID, device=device, held_out=str(held_out)) + "\n".join(imports)
        sources = [cell.source for cell in self.script.cells() if cell.cell_type == "code"]
        for name in self.weighing.cells:
            if not any(f"def {name}(" in source for source in sources):
                raise GuideError(f"{place} names '{name}' in 'weigh.cells', but no cell defines such a function.")
        cells = [source for source in sources if any(f"def {name}(" in source for name in self.weighing.cells)]
        return [piece for piece in (first, self.weighing.before, *cells, own, self.weighing.after) if piece]


def expected(weighing: Weighing, variant: Variant, name: str, shape: Shape) -> dict[str, Any]:
    """What the guide says today of a variant on the shape ``name``, as fields of a ``Case``."""
    note, remark = (texts.get(name, {}).get(variant.id, "") for texts in (weighing.notes, weighing.remarks))
    return {"predicted": predicted(shape, variant), "note": note, "remark": remark}


def recipes(guide: Guide) -> dict[str, Recipe]:
    """What can be weighed, by method; raises GuideError where a head names what is not there."""
    found: dict[str, Recipe] = {}
    for script in guide.scripts.values():
        if weighing := script.head.guide.weigh:
            method = script.head.guide.method
            if method is None:
                raise GuideError(f"The head of {script.path} has a table 'weigh' and names no method: name it.")
            if other := found.get(method):
                raise GuideError(f"The head of {script.path} has a table 'weigh', as {other.script.path} has for the same "
                                 "method: keep one.")  # fmt: skip
            found[method] = _recipe(guide, method, script, weighing)
    return found


def _recipe(guide: Guide, method: str, script: Script, weighing: Weighing) -> Recipe:
    loads_in = weighing.loads_in or script.name
    made = [one for one in guide.methods[method].variants if one.notebook == script.name and one.section]
    shapes = tuple(name for given in weighing.shapes for name in GROUPS.get(given, (given,)))
    ids, known = {one.id for one in made}, {REFERENCE, *SHAPES}
    named = [
        ("shapes", shapes, known),
        ("not_here", weighing.not_here, ids),
        ("saves", weighing.saves, ids),
        ("loads_in", [loads_in], guide.scripts),
    ]
    for field, texts in (("notes", weighing.notes), ("remarks", weighing.remarks)):
        named += [(field, texts, known), *((f"{field}.{shape}", by_variant, ids) for shape, by_variant in texts.items())]
    for field, given, there in named:
        if unknown := sorted(set(given) - set(there)):
            raise GuideError(f"The head of {script.path} names '{unknown[0]}' in 'weigh.{field}', which is not there. "
                             f"Known: {', '.join(sorted(there))}.")  # fmt: skip
    variants = tuple(one for one in made if one.id not in weighing.not_here)
    unsaved = [one.id for one in variants if weighing.saves and one.id not in weighing.saves]
    if unsaved:
        raise GuideError(f"The head of {script.path} has no '{unsaved[0]}' in 'weigh.saves': say where its section saves "
                         "the model.")  # fmt: skip
    return Recipe(method, script, weighing, variants, shapes, guide.scripts[loads_in])
