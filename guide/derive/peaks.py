"""What a family's models hold beside weights and cache while they generate: at each moment a sum of products of fields.

A small variant runs with every tensor noted (``guide.derive.tracing``); it runs again with each field, and each number of how
it is called, changed alone. How a tensor's bytes change tells which product of fields they are, so each moment becomes an
expression in fields. Of all moments those are kept that are the peak of some configuration.
"""

import functools
import itertools
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from guide.calculator.memory import heaviest
from guide.calculator.shapes import REQUIRED, Config, Family, Read, passing, read_config, value, windows
from guide.derive import Passed, Refused, Site, Trace
from guide.derive.fields import RATIO, SMALL, Variants

Term = tuple[str, ...]  # names whose product it is, sorted
Sum = dict[Term, Fraction]  # bytes: a coefficient for each product
Observe = Callable[[Config, Passed, bool], Trace]
Peaks = dict[str, dict[str, list[str]]]  # expressions as ``guide.calculator.shapes.value`` reads them
USE = ("tokens", "filled", "past", "context", "batch", "window")  # what an expression knows beside fields

# The prompt in one pass, and in chunks of which the last is looked at; then the same with another number of tokens in a pass,
# of tokens before it, and of sequences, or with a pass that a recurrent layer fills up. Two steps follow, as the first still
# finds the prompt in a sliding window's cache.
ONCE = (Passed(128), Passed(192), Passed(100), Passed(128, batch=2))
CHUNKED = (Passed(384, 128), Passed(576, 192), Passed(640, 128), Passed(300, 100), Passed(384, 128, batch=2))
CALLS = {"pass": (ONCE, -2), "chunk": (CHUNKED, -2), "step": (ONCE, 0)}  # which call, 0 being the last
EXTRA = ("num_experts_per_tok", "sliding_window")  # fields by which tensors scale, whether or not a weight does
# More heads than in the other small variants, so that groups of them share keys with either value of each.
HEADS = {
    "num_attention_heads": (8, 16), "num_key_value_heads": (2, 4), "num_global_key_value_heads": (2, 4),
    "linear_num_value_heads": (8, 16), "linear_num_key_heads": (2, 4),
}  # fmt: skip
# More positions than any prompt has, where each has a weight.
POSITIONS = dict.fromkeys(("max_position_embeddings", "n_positions"), (4096, 8192))
WIDER = HEADS | POSITIONS
MOST_FACTORS = 5
WORD = re.compile(r"[A-Za-z_]\w*")
TOKENS, CONTEXTS, BATCHES = (64, 512, 4096, 32768), (1, 4, 64), (1, 16)  # for which moments compete; contexts in passes
# How the families are measured anew, and by what share of it a prediction may be less or more than what was measured.
MEASURED = (Passed(64), Passed(500, batch=2), Passed(1024), Passed(768, 256), Passed(32, new=100))
BELOW, ABOVE = 0.05, 0.1
LAYERS = 4  # of the model that runs: enough for each kind
CLOSE = 0.01  # of the peak: a moment is left out where others come so close, wherever it is the peak
SLIGHT = 0.001  # of the peak: a term is left out that is nowhere more


class Sizes:
    """What the bytes of tensors are in fields, from runs that differ in one number each; the first is the base."""

    def __init__(self, runs: list[tuple[Config, Trace]], products: Iterable[str]):
        """``runs``: the numbers that are known, and the trace; ``products``: sums that can be a factor as a whole."""
        self.traces = [trace for _, trace in runs]
        known = [numbers | {one: value(one, numbers) for one in products} for numbers, _ in runs]
        self.base = {name: one for name, one in known[0].items() if one}
        ratios = {name: tuple(Fraction(numbers[name], one) for numbers in known) for name, one in self.base.items()}
        self._ratios = {name: ratio for name, ratio in ratios.items() if set(ratio) != {1}}
        self._places = [_places(trace) for trace in self.traces]
        self._factors = functools.cache(self._search)
        self.term = functools.cache(self._term)

    def _term(self, number: int) -> tuple[Term, Fraction]:
        """The product and the coefficient of a storage of the base run."""
        site = _relative(self.traces[0], number)
        place = self._places[0][site].index(number)
        sizes = []
        for trace, places in zip(self.traces, self._places, strict=True):
            if site not in places:
                raise Refused(f"{site.operator} in {site.lines[:1]} makes nothing in another variant")
            alike = places[site]  # a loop may take more turns: its tensors are alike
            sizes.append(trace.sizes[alike[min(place, len(alike) - 1)]])
        names = self._factors(tuple(Fraction(size, sizes[0]) for size in sizes), MOST_FACTORS)
        if names is None:
            raise Refused(f"{site.operator} in {site.lines[:1]} makes {sizes} bytes, which is no product of fields")
        return tuple(sorted(names)), sizes[0] / Fraction(math.prod(self.base[name] for name in names))

    def _search(self, ratio: tuple[Fraction, ...], most: int) -> Term | None:
        """The fewest names whose product changes as ``ratio`` does."""
        at = next((place for place, one in enumerate(ratio) if one != 1), None)
        if at is None:
            return ()
        found: list[Term] = []
        for name, own in self._ratios.items() if most else ():
            if own[at] != 1:
                rest = self._factors(tuple(one / each for one, each in zip(ratio, own, strict=True)), most - 1)
                if rest is not None:
                    found.append((name, *rest))
        return min(found, key=len, default=None)

    def moments(self, call: int) -> Iterator[Sum]:
        """The bytes beside the cache at each moment of a call of the base run, counted from the last, which is 0."""
        trace = self.traces[0]
        number = len(trace.held) + call
        after, before = trace.held[number - 1], trace.held[number - 2] if number > 1 else {}
        for at, site in enumerate(trace.sites):
            if site.call == number:
                # The cache is counted apart, once: while both are held, the old is one more; before a layer has its own, it
                # is one less.
                total: dict[Term, Fraction] = defaultdict(Fraction)
                live = set(trace.live[at])
                for place, made in after.items():
                    old = before.get(place)
                    if made in live or old in live:
                        live.discard(made if made in live else old)
                    elif made is not None and place.startswith(f"{site.layer} "):
                        names, coefficient = self.term(made)
                        total[names] -= coefficient
                for one in live:
                    names, coefficient = self.term(one)
                    total[names] += coefficient
                yield dict(total)


def _relative(trace: Trace, number: int) -> Site:
    """The site, its call counted from the last: so it is the same with more chunks."""
    site = trace.sites[number]
    return site._replace(call=max(site.call - len(trace.held), -4))


def _places(trace: Trace) -> dict[Site, list[int]]:
    found: dict[Site, list[int]] = defaultdict(list)
    for number in range(len(trace.sizes)):
        found[_relative(trace, number)].append(number)
    return found


def peaks_of(variants: Variants, family: Family, observe: Observe) -> Peaks:
    """The moments that can be the peak, by whether a sliding window is at work (``windowed``, else ``plain``), then by call.

    ``pass``: the whole prompt at once; ``chunk``: the last of a prompt's chunks; ``step``: one more token. Where several
    sequences are not several times one, as PyTorch's matmul copies what it multiplies each of them by, they have their own
    moments (``windowed several``, ``plain several``).
    """
    found: Peaks = {}
    for kind, wanted in (("plain", False), ("windowed", True)):
        base = small_base(variants, family, wanted)
        if base is None:
            continue
        found[kind] = {call: _moments(variants, family, observe, base, call) for call in CALLS}
        two, one = Passed(ONCE[0].prompt, batch=2), variants.tie(base)
        read = {"family": {**family, "peaks": found}, "config": numbers_of(variants, family, one)}
        if not -BELOW <= _most(read, two) / observe(one, two, False).peak - 1 <= ABOVE:
            found[f"{kind} several"] = {call: _moments(variants, family, observe, base, call, more=1) for call in CALLS}
    return found


def _moments(variants: Variants, family: Family, observe: Observe, base: Config, call: str, more: int = 0) -> list[str]:
    """The moments of a call that can be the peak, found with ``more`` sequences than one and two."""
    moments = _sizes(variants, family, observe, base, call, more).moments(CALLS[call][1])
    distinct = distinct_of(map(multiplied, moments))
    points = list(_points(variants, family, base, call))
    return [written(one, points) for one in needed(distinct, points)]


def measured(variants: Variants, family: Family, observe: Observe) -> list[dict[str, Any]]:
    """``{config, passed, bytes}`` of variants that had no part in finding the peaks: the most that cache and activations took.

    Raises Refused where the prediction is not as close as ``BELOW`` and ``ABOVE`` say.
    """
    found, name = [], variants.architecture.model_type
    for base in filter(None, (small_base(variants, family, wanted) for wanted in (False, True))):
        for start, passed in itertools.product((0, 1), MEASURED):
            changed = {field: variants.others[field] for field in variants.dimensions[start::2]
                       if field in base and field not in POSITIONS}  # fmt: skip
            raw = variants.tie({**base, **changed})
            try:
                most = observe(raw, passed, False).peak
            except Refused:
                continue  # no such variant runs
            case = {"config": {**raw, "model_type": name}, "passed": list(passed), "bytes": most}
            share = predicted(case, {name: family}) / most - 1
            if not -BELOW <= share <= ABOVE:
                raise Refused(f"{passed} takes {most} bytes, {100 * share:+.1f} % are predicted")
            found.append(case)
    return found


def predicted(case: dict[str, Any], families: Mapping[str, Family]) -> int:
    """The bytes of cache and activations of a case that was measured."""
    return _most(read_config(json.dumps(case["config"]), families), Passed(*case["passed"]))


def _most(read: Read, passed: Passed) -> int:
    context = passed.prompt + passed.new - 1  # the last token that is made is not passed
    whole = heaviest(read, passed.prompt, passed.batch, passed.chunk or passed.prompt, chunked=bool(passed.chunk))
    last = heaviest(read, context, passed.batch, 1, chunked=True)
    return max(one["cached"] + one["activations"] for one in (whole, last))


def fields_of(peaks: Peaks) -> list[str]:
    """The fields of which the expressions are made."""
    return sorted(set(WORD.findall(json.dumps([*peaks.values()]))) - {*USE, *CALLS})


def small_base(variants: Variants, family: Family, wanted: bool) -> Config | None:
    """The base with a sliding window in some layer, or in none; None where there is no such thing."""
    base = {**variants.base, **{field: pair[0] for field, pair in WIDER.items() if field in variants.base}}
    for entry in family["cache"]:
        if "window" in entry:
            for field, when in entry.get("when", {}).items():
                on = variants.base.get(field) or SMALL.get(field, (True,))[0]
                base[field] = on if when == wanted else (None if field in family["nulls"] else False)
            if not wanted and entry["layers"][0] == "is":
                _, field, kind = entry["layers"]
                others = [one for one in base[field] if one != kind]
                base[field] = [one if one != kind else (others or ["full_attention"])[0] for one in base[field]]
    base = {field: one[:LAYERS] if isinstance(one, list) and len(one) == base["num_hidden_layers"] else one
            for field, one in base.items()}  # fmt: skip
    base["num_hidden_layers"] = LAYERS
    return base if bool(windows(family, numbers_of(variants, family, variants.tie(base)))) == wanted else None


def numbers_of(variants: Variants, family: Family, raw: Config) -> Config:
    """The numbers of a config: as the evaluation reads them, and others that its class has."""
    name, known = variants.architecture.model_type, variants.fields(raw)
    given = {field: known[field] for field in REQUIRED if field in known}  # the text part of a model may leave them out
    read = read_config(json.dumps({**given, **raw, "model_type": name}), {name: family})["config"]
    whole = {field: one for field, one in {**raw, **known}.items() if type(one) is int}
    return {**whole, **read}


def _sizes(variants: Variants, family: Family, observe: Observe, base: Config, call: str, more: int) -> Sizes:
    """The tensors of a call, from the base and all that differ from it in one number."""
    scenario = [passed._replace(batch=passed.batch + more) for passed in CALLS[call][0]]
    others = {**variants.others, **{field: pair[1] for field, pair in WIDER.items()}}
    names = [field for field in (*variants.dimensions, *EXTRA) if base.get(field) is not None and field in others]
    usable = {*family["fields"], *names, *USE}  # one that the class computes from these is no factor
    first = variants.tie(base)
    asked = [(first, scenario[0])]
    asked += [(variants.tie({**base, field: others[field]}), scenario[0]) for field in dict.fromkeys(names)]
    asked += [(first, passed) for passed in scenario[1:]]
    runs = []
    for raw, passed in asked:
        tokens, context = (1, passed.prompt + 2) if call == "step" else (passed.chunk or passed.prompt, passed.prompt)
        known = passing(family, numbers_of(variants, family, raw), tokens, context, passed.batch)
        numbers = {field: one for field, one in known.items() if field in usable and type(one) is int}
        runs.append((numbers, observe(raw, passed, raw is first and passed is scenario[0])))
    sums = (
        {one for entry in (*family["tensors"], *family["cache"]) for one in sums_of(entry)}
        | {
            "tokens+1",
            "context+1",
            "past+-1",
            "window+1",
        }
        | ({RATIO} if RATIO in base else set())
    )
    kernels = [field for field in variants.dimensions if "conv" in field]  # before a chunk, its last tokens stand; or zeros
    sums |= {f"tokens+{more}" for field in kernels for more in (field, f"{field}+-1", f"2*{field}+-1")}
    return Sizes(runs, [one for one in sorted(sums) if all(name in runs[0][0] for name in WORD.findall(one))])


def sums_of(entry: Family) -> Iterator[str]:
    """The expressions of a tensor's sides, or of what a cache holds, that are sums."""
    for one in (entry.get("rows"), entry.get("columns"), entry.get("per_token"), *(one for one, _ in entry.get("states", []))):
        if one and "+" in one:
            yield one


def multiplied(moment: Sum) -> Sum:
    """The same with the sums among its factors multiplied out."""
    found: Sum = defaultdict(Fraction)
    for names, coefficient in moment.items():
        for terms in itertools.product(*(name.split("+") for name in names)):
            factors = [factor for term in terms for factor in term.split("*")]
            numbers = [int(factor) for factor in factors if not WORD.match(factor)]
            found[tuple(sorted(factor for factor in factors if WORD.match(factor)))] += coefficient * math.prod(numbers)
    return found


def distinct_of(moments: Iterable[Sum]) -> list[Sum]:
    """Those that are not below another."""
    found: list[Sum] = []
    for moment in moments:
        if not any(below(moment, other) for other in found):
            found = [*(other for other in found if not below(other, moment)), moment]
    return found


def below(one: Sum, other: Sum) -> bool:
    """Whether no term is more than the other's."""
    return all(one.get(names, 0) <= other.get(names, 0) for names in one.keys() | other.keys())


def _points(variants: Variants, family: Family, base: Config, call: str) -> Iterator[Config]:
    """Known numbers for which moments compete: public configs and the small one, each field halved and doubled; many uses."""
    for example in (*variants.examples, variants.tie(base)):
        read = numbers_of(variants, family, example)
        fields = [field for field in (*variants.dimensions, *EXTRA) if read.get(field)]
        changed = [{field: max(1, read[field] * factor // 2)} for field in fields for factor in (1, 4)]
        for one, tokens, times, batch in itertools.product([{}, *changed], TOKENS, CONTEXTS, BATCHES):
            if (call == "pass") == (times == 1):
                yield passing(family, {**read, **one}, 1 if call == "step" else tokens, tokens * times, batch)


def _at(moment: Sum, point: Config) -> list[float]:
    """The bytes of each term."""
    return [float(coefficient) * math.prod(_of(name, point) for name in names) for names, coefficient in moment.items()]


def _of(name: str, point: Config) -> int:
    return value(name, point) if "/" in name else point.get(name) or 0


def needed(distinct: list[Sum], points: list[Config]) -> list[Sum]:
    """The fewest moments, found greedily, that come as close as ``CLOSE`` to the peak at all points."""
    figures = [[sum(_at(moment, point)) for point in points] for moment in distinct]
    peak = [max(column) for column in zip(*figures, strict=True)]
    reached, kept = [0.0] * len(points), []
    while short := [place for place, most in enumerate(peak) if reached[place] < most * (1 - CLOSE)]:
        worst = min(short, key=lambda place: reached[place] / peak[place])
        best = max(range(len(distinct)), key=lambda number: figures[number][worst])
        kept.append(distinct[best])
        reached = [max(pair) for pair in zip(reached, figures[best], strict=True)]
    return kept


def written(moment: Sum, points: list[Config]) -> str:
    """An expression of it without the terms that are slight at all points, its coefficients rounded up."""
    shares: list[float] = [0.0] * len(moment)
    for point in points:
        terms = _at(moment, point)
        whole = sum(terms) or 1
        shares = [max(share, abs(one) / whole) for share, one in zip(shares, terms, strict=True)]
    kept = [(names, one) for (names, one), share in zip(moment.items(), shares, strict=True) if share > SLIGHT]
    return "+".join("*".join((str(math.ceil(one)), *names)) for names, one in sorted(kept))
