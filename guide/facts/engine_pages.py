"""What an engine's page says in several places: answers beside their notes, and names of its registry beside its formats."""

import re
from collections.abc import Iterator

from guide.facts.engine import Engine, Format
from guide.facts.guide import Guide
from guide.facts.method import Answer

# How the first sentence of a note says that an engine does not run on hardware, and that it does.
RUNS_NOT = re.compile(
    r"\bhas no \w+ (?:or \w+ )?(?:backend|plugin|build)\b|\bno code\b|\bbuilt only\b|\bnot in the list\b|\balone\b"
    r"|\bGPUs only\b|\bsupports only\b|\b[Nn]eeds a GPU\b|\basks? for compute capability\b|^There is no\b"
)
RUNS = re.compile(
    r"^(?:Use|Install)\b|^It (?:runs|uses|supports)\b|\bruns? (?:on|it|the image)\b|\b(?:has|have) (?:code|paths|kernels)\b"
)
SENTENCE = re.compile(r"(?<=[.:]) ")
MAKERS = {"AMD": ("cdna", "rdna"), "Intel": ("intel_gpu",), "(?:Apple|Mac)": ("apple",), "CPU": ("cpu",)}  # as notes say them
SHORTEST = 3  # letters of a method's name that tell something within another name


def faults(guide: Guide) -> Iterator[str]:
    """Cells of engines that their own notes contradict, and names that are another format's, a sentence each."""
    for name, engine in guide.engines.items():
        for sentence in (*_hardware(engine), *_elsewhere(engine), *_keys(guide, engine)):
            yield f"docs/engines/{name}.md: {sentence}"


def _hardware(engine: Engine) -> Iterator[str]:
    """An answer for hardware that the first sentence of its note denies."""
    for place, cell in engine.hardware.items():
        first = SENTENCE.split(cell.note)[0]
        refused = RUNS_NOT.search(first)
        if (cell.answer is Answer.YES and refused) or (cell.answer is Answer.NO and not refused and RUNS.search(first)):
            yield f"hardware.{place} is '{cell.answer}', but its note says '{first}' Mend one of them."


def _elsewhere(engine: Engine) -> Iterator[str]:
    """A maker's hardware that is denied in all its places, though the note says what it does there."""
    for name, cell in engine.formats.items():
        for maker, places in MAKERS.items():
            answers = [cell.elsewhere.get(place) for place in places]
            said = re.search(rf"\b{maker}s? (?:uses?|takes?|runs?|loads?)\b", cell.note)
            if said and Answer.NO in answers and Answer.YES not in answers:
                place = places[answers.index(Answer.NO)]
                yield f"formats.{name}.elsewhere.{place} is 'no', but its note says '{said[0]} ...': mend one of them."


def _keys(guide: Guide, engine: Engine) -> Iterator[str]:
    """A name of the registry that has another method's name in it than the format's."""
    methods = {_plain(one) for name, method in guide.methods.items() for one in (name, *method.transformers.keys)}
    for one in guide.common.formats:
        own = _own(guide, one)
        for key in engine.formats[one.id].key:
            named = [name for name in methods if len(name) >= SHORTEST and name in _plain(key)]
            if named and not any(name in own for name in named):
                yield f"formats.{one.id}.key has '{key}', another method's name: write what the registry has."


def _own(guide: Guide, one: Format) -> str:
    """All that a format may be called."""
    keys = guide.methods[one.method].transformers.keys if one.method else []
    return _plain(" ".join((one.method or "", one.id, one.key, one.name, one.variant or "", *keys)))


def _plain(name: str) -> str:
    """A name without signs and capitals."""
    return re.sub(r"[\W_]", "", name).lower()
