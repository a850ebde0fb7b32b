"""What a family's models hold while LoRA adapters are trained: as ``guide.derive.peaks`` finds what generating holds.

A small variant makes one pass forward and backward with every tensor noted; again with each field, and each number of the
step, changed alone. What a layer keeps for the way back counts once for each layer of its kind.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from guide.calculator import shapes, training
from guide.calculator.shapes import Config, Family
from guide.derive import Refused, Stepped, Trace, Way
from guide.derive.fields import Variants
from guide.derive.peaks import (
    ABOVE,
    BELOW,
    EXTRA,
    HEADS,
    LAYERS,
    WORD,
    Sizes,
    Sum,
    distinct_of,
    multiplied,
    needed,
    numbers_of,
    small_base,
    sums_of,
    written,
)

WAYS = [
    Way(quantized, adapter, targets, checkpointed)
    for quantized in (True, False)
    for adapter in ("float32", "autocast", "bfloat16")
    for targets in ("all-linear", "query-value")
    for checkpointed in (False, True)
]
STEPS = (Stepped(128, 2), Stepped(192, 2), Stepped(128, 3), Stepped(128, 2, 12))  # the base, and each number changed alone
POINTS = [Stepped(*one) for one in itertools.product((128, 1024, 8192), (1, 8), (8, 64))]  # for which moments compete
MEASURED = (Stepped(200), Stepped(310, 2, 16))
Step = Callable[[Config, Way, Stepped, bool], Trace]  # whether what is held at each moment is wanted
Measure = Callable[[Config, Way, Stepped], tuple[int, int]]


def training_of(variants: Variants, family: Family, step: Step) -> dict[str, dict[str, list[str]]]:
    """The moments that can be the peak, by whether a sliding window is at work, then by way."""
    found: dict[str, dict[str, list[str]]] = {}
    for kind, wanted in (("plain", False), ("windowed", True)):
        base = _tied_base(variants, family, wanted)
        for way in WAYS if base else ():
            try:
                expressions = _moments(variants, family, step, base or {}, way)
            except Refused as error:
                print(f"{variants.architecture.model_type}, {kind}, {training.way(*way)}: {error}", flush=True)
                continue
            found.setdefault(kind, {})[training.way(*way)] = expressions
    return found


def _tied_base(variants: Variants, family: Family, wanted: bool) -> Config | None:
    base = small_base(variants, family, wanted)
    return None if base is None else variants.tie(base)


def _moments(variants: Variants, family: Family, step: Step, base: Config, way: Way) -> list[str]:
    sizes = _sizes(variants, family, step, base, way)
    kinds = training.layer_kinds(family, numbers_of(variants, family, base))
    distinct: list[Sum] = distinct_of(map(multiplied, _of_layers(sizes, kinds)))
    points = list(_points(variants, family, base))
    return [written(one, points) for one in needed(distinct, points)]


def _sizes(variants: Variants, family: Family, step: Step, base: Config, way: Way) -> Sizes:
    others = {**variants.others, **{field: pair[1] for field, pair in HEADS.items()}}
    names = [field for field in (*variants.dimensions, *EXTRA) if base.get(field) is not None and field in others]
    usable = {*family["fields"], "tokens", "batch", "rank"}
    asked = [(base, STEPS[0])]
    asked += [(variants.tie({**base, field: others[field]}), STEPS[0]) for field in dict.fromkeys(names)]
    asked += [(base, stepped) for stepped in STEPS[1:]]
    runs: list[tuple[Config, Trace]] = []
    for raw, stepped in asked:
        known = training.numbers(family, numbers_of(variants, family, raw), *stepped)
        numbers = {field: one for field, one in known.items() if field in usable and type(one) is int}
        runs.append((numbers, step(raw, way, stepped, not runs)))
    sums = {one for entry in family["tensors"] for one in sums_of(entry)} | {"tokens+1", "tokens+-1"}
    return Sizes(runs, [one for one in sorted(sums) if all(name in runs[0][0] for name in WORD.findall(one))])


def _of_layers(sizes: Sizes, kinds: list[int]) -> Iterator[Sum]:
    """The bytes at each moment at which layers of a kind keep the same for the way back.

    A layer in the middle stands for those of its kind; the first and the last may differ from it. Before the last layer, and
    once a layer in the middle has begun to let go, less is held.
    """
    trace, last, alike = sizes.traces[0], len(kinds) - 1, False
    middle = {kind: next((n for n in range(1, last) if kinds[n] == kind), kinds.index(kind)) for kind in kinds}
    for live in trace.live:
        total: Sum = defaultdict(Fraction)
        kept: list[Sum] = [defaultdict(Fraction) for _ in kinds]
        for one in live:
            site, (names, coefficient) = trace.sites[one], sizes.term(one)
            place = kept[site.layer] if site.call == 1 and site.layer >= 0 else total
            place[names] += coefficient
        if not all(kept[:last]) or any(kept[number] != kept[middle[kinds[number]]] for number in range(1, last)):
            continue
        alike = True
        for number, kind in enumerate(kinds):
            usual = kept[middle[kind]]
            for names in kept[number].keys() | usual.keys():
                total[names] += kept[number].get(names, 0) - usual.get(names, 0)
        for kind, number in middle.items():
            for names, coefficient in kept[number].items():
                total[tuple(sorted((*names, f"layers{kind}")))] += coefficient
        yield {names: one for names, one in total.items() if one}
    if not alike:
        raise Refused("layers of one kind keep other tensors")


def _points(variants: Variants, family: Family, base: Config) -> Iterator[Config]:
    for example in (*variants.examples, base):
        read = numbers_of(variants, family, example)
        fields = [field for field in (*variants.dimensions, *EXTRA) if read.get(field)]
        changed = [{field: max(1, read[field] * factor // 2)} for field in fields for factor in (1, 4)]
        for one, stepped in itertools.product([{}, *changed], POINTS):
            yield training.numbers(family, {**read, **one}, *stepped)


def measured(variants: Variants, family: Family, found: Any, measure: Measure) -> list[dict[str, Any]]:
    """``{config, way, step, bytes, trained}`` of variants that had no part in finding the moments, with other layers.

    A way of which the prediction is not as close as ``BELOW`` and ``ABOVE`` say is taken out of what was found.
    """
    cases, name = [], variants.architecture.model_type
    for kind, wanted in (("plain", False), ("windowed", True)):
        base = _tied_base(variants, family, wanted)
        for number, way in enumerate(WAYS):
            if base is None or training.way(*way) not in found.get(kind, {}):
                continue
            fields = variants.dimensions[number % 2 :: 2]
            changed = {field: variants.others[field] for field in fields if field in base}
            raw = variants.tie({**base, **changed, **_more_layers(base)})
            stepped = MEASURED[number // 2 % 2]
            most, trained = measure(raw, way, stepped)
            case = {"config": {**raw, "model_type": name}, "way": list(way), "step": list(stepped), "bytes": most}
            case["trained"] = trained
            share = predicted(case, {name: family}, {name: found}) / most - 1
            if -BELOW <= share <= ABOVE:
                cases.append(case)
            else:
                print(f"{name}, {kind}, {training.way(*way)}, {stepped}: {most} bytes, {100 * share:+.1f} %", flush=True)
                del found[kind][training.way(*way)]
    return cases


def _more_layers(base: Config) -> Config:
    """The same kinds of layers, two more."""
    more = {field: [*one, *one[:2]] for field, one in base.items() if isinstance(one, list) and len(one) == LAYERS}
    return {**more, "num_hidden_layers": LAYERS + 2}


def predicted(case: dict[str, Any], families: Any, found: Any) -> int:
    """The bytes beside frozen weights of a case that was measured."""
    read = shapes.read_config(json.dumps(case["config"]), families)
    tensors = shapes.tensors(read["family"], read["config"])
    return training.case_bytes(case, found[read["model_type"]], read["family"], read["config"], tensors)
