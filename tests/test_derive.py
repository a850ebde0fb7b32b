"""Deriving an architecture, without torch: on a toy whose shapes are written here, and on figures made by hand."""

from __future__ import annotations

import itertools
import json
import re

import pytest

from guide.calculator import shapes
from guide.derive import LONG, SHORT, Passed, Refused, Site, Trace, entries, family, fields, foreign, maybe, peaks, rules
from guide.derive.fields import Variants, find_roles
from guide.derive.verify import by_architecture, difference, examples_of, lines, presets_of, vector, verify
from guide.project import GuideError

EXAMPLE = {
    "model_type": "toy", "vocab_size": 1000, "width": 512, "num_hidden_layers": 24, "num_attention_heads": 8,
    "num_key_value_heads": 4, "intermediate_size": 2048, "num_experts": 16, "sliding_window": 500,
    "tie_word_embeddings": False, "hidden_act": "silu",
}  # fmt: skip


ABSENT = {
    "vocab_size": 300, "hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8, "num_key_value_heads": None,
    "head_dim": None, "intermediate_size": 1024, "num_experts": 4, "sliding_window": 100, "layer_types": None,
    "tie_word_embeddings": True, "hidden_act": "silu",
}  # fmt: skip


class Toy:
    """An architecture as ``observe.Built`` has it: every fourth layer attends to all, and the others have experts."""

    def __init__(self, model_type: str = "toy"):
        self.model_type = model_type
        self.names = {"width": "hidden_size"}
        self.own: dict[str, str] = {}
        self.asked: list[str] = []
        self.constants: dict[str, int] = {}
        self.options = dict.fromkeys(ABSENT, "int | None")

    def fields(self, raw: dict) -> dict:
        with foreign():
            known = {**ABSENT, **{self.names.get(field, field): one for field, one in raw.items()}}
            if known["hidden_act"] not in ("silu", "relu"):
                raise KeyError(known["hidden_act"])
            known["head_dim"] = known["head_dim"] or known["hidden_size"] // known["num_attention_heads"]
            if known["num_key_value_heads"] is None:
                known["num_key_value_heads"] = known["num_attention_heads"]
            kinds = ["sliding_attention"] * 3 + ["full_attention"]
            known["layer_types"] = known["layer_types"] or [kinds[i % 4] for i in range(known["num_hidden_layers"])]
            return known

    def makes(self, raw: dict, field: str) -> bool:
        return field in ABSENT

    def class_name(self, raw: dict) -> str:
        return "ToyForCausalLM"

    def limit(self) -> dict[str, int]:
        return {"max_position_embeddings": 128}

    def moved(self) -> dict:
        return {}

    def shapes(self, raw: dict) -> dict:
        known = self.fields(raw)
        with foreign():
            hidden, inner, experts = known["hidden_size"], known["intermediate_size"], known["num_experts"]
            heads, groups = (known[f"num_{which}_heads"] * known["head_dim"] for which in ("attention", "key_value"))
            found = {
                (None, "embed"): ("embedding", (known["vocab_size"], hidden, 1)),
                (None, "norm"): ("norm", (hidden, 1, 1)),
            }
            if not known["tie_word_embeddings"]:
                found[None, "head"] = ("head", (known["vocab_size"], hidden, 1))
            for layer, kind in enumerate(known["layer_types"]):
                found[layer, "q"] = ("linear", (heads, hidden, 1))
                found[layer, "kv"] = ("linear", (2 * groups + 1, hidden, 1))
                if kind == "sliding_attention":
                    found[layer, "gate"] = ("other", (experts, hidden, 1))
                    found[layer, "up"] = ("experts", (inner, hidden, experts))
            if None in itertools.chain.from_iterable(figures for _, figures in found.values()):
                raise TypeError("empty(): argument 'size' must be a number")
            return found

    def cache(self, raw: dict, thorough: bool = False) -> dict:
        known = self.fields(raw)
        with foreign():
            per_token, window = 2 * known["num_key_value_heads"] * known["head_dim"], known["sliding_window"] - 1
            kinds = {"full_attention": ("all ", 0), "sliding_attention": ("window ", window)}
            held = [kinds[kind] for kind in known["layer_types"]]
            return {(layer, what): ("cache", (per_token, most)) for layer, (what, most) in enumerate(held)}

    def trace(self, raw: dict, passed: Passed, whole: bool) -> Trace:
        raise Refused("a toy does not run")


class Running(Toy):
    """A toy that runs: of each layer the keys, scores of all tokens by all that it attends to, and an inner row a token."""

    def trace(self, raw: dict, passed: Passed, whole: bool) -> Trace:
        known, trace, cache = self.fields(raw), Trace(), {}
        per_token = 2 * known["num_key_value_heads"] * known["head_dim"]

        def make(layer: int, name: str, size: int, live: list[int]) -> int:
            trace.sizes.append(passed.batch * size)
            trace.sites.append(Site(len(trace.held) + 1, layer, name, ()))
            live.append(len(trace.sizes) - 1)
            trace.live.append(tuple(live))
            trace.peak = max(trace.peak, sum(trace.sizes[one] for one in live))
            return live[-1]

        chunks = [passed.chunk] * (passed.prompt // passed.chunk) if passed.chunk else [passed.prompt]
        chunks += [passed.prompt - sum(chunks)] if sum(chunks) < passed.prompt else []
        context = 0
        for tokens in [*chunks, *[1] * (passed.new - 1)]:
            context += tokens
            hidden = make(-1, "embed", 2 * tokens * known["hidden_size"], [*cache.values()])
            for layer, kind in enumerate(known["layer_types"]):
                window = known["sliding_window"] - 1 + tokens if kind == "sliding_attention" else context
                keys = make(layer, "keys", 2 * per_token * min(context, window), [*cache.values(), hidden])
                cache[f"{layer} keys"] = keys
                make(
                    layer,
                    "scores",
                    4 * known["num_attention_heads"] * tokens * min(context, window),
                    [*cache.values(), hidden],
                )
                make(layer, "inner", 6 * tokens * known["intermediate_size"], [*cache.values(), hidden])
            trace.held.append(dict(cache))
        return trace


SLIDING = ["is", "layer_types", "sliding_attention"]
FAMILY = {
    "class": "ToyForCausalLM",
    "classes": [],
    "names": {"width": "hidden_size"},
    "own": {},
    "limit": {"max_position_embeddings": 128},
    "tensors": [
        {"part": "embedding", "name": "embed", "rows": "vocab_size", "columns": "hidden_size"},
        {"part": "norm", "name": "norm", "rows": "hidden_size"},
        {"part": "head", "name": "head", "rows": "vocab_size", "columns": "hidden_size",
         "when": {"tie_word_embeddings": False}},
        {"part": "linear", "name": "q", "rows": "num_attention_heads*head_dim", "columns": "hidden_size", "layers": ["all"]},
        {"part": "linear", "name": "kv", "rows": "2*num_key_value_heads*head_dim+1", "columns": "hidden_size",
         "layers": ["all"]},
        {"part": "router", "name": "gate", "rows": "num_experts", "columns": "hidden_size", "layers": SLIDING},
        {"part": "experts", "name": "up", "rows": "intermediate_size", "columns": "hidden_size", "count": "num_experts",
         "layers": SLIDING},
    ],
    "cache": [
        {"layers": SLIDING, "per_token": "2*num_key_value_heads*head_dim", "window": "sliding_window+-1"},
        {"layers": ["is", "layer_types", "full_attention"], "per_token": "2*num_key_value_heads*head_dim"},
    ],
    "lists": {"layer_types": {"values": ["sliding_attention", "full_attention"],
                              "default": [[["not", ["every", "4", "3"]], "sliding_attention"], [["all"], "full_attention"]]}},
    "fields": {
        "hidden_size": 512, "num_hidden_layers": 12, "vocab_size": 300, "num_attention_heads": 8,
        "intermediate_size": 1024, "num_experts": 4, "sliding_window": 100, "num_key_value_heads": "=num_attention_heads",
        "head_dim": "=hidden_size/num_attention_heads",
    },
    "for_lists": [],
    "nulls": {"sliding_window": None, "num_key_value_heads": "=num_attention_heads",
              "head_dim": "=hidden_size/num_attention_heads", "tie_word_embeddings": False},
    "from_zero": [],
    "switches": {"tie_word_embeddings": True},
    "fixed": {"hidden_act": ["silu"]},
}  # fmt: skip


# The whole way


def test_a_toy_is_derived_as_it_was_written():
    found = family.family_or_reason(Toy, "toy", [EXAMPLE])
    assert found == FAMILY
    assert list(found) == list(FAMILY)
    assert list(found["fields"]) == list(FAMILY["fields"]), "a field is computed from others after them"


def test_what_a_toy_holds_while_it_runs_is_found_in_its_fields():
    """Exactly what ``Running`` makes, and no moment that is never the peak."""
    found = family.family_or_reason(Running, "toy", [EXAMPLE])
    inner = "2*batch*hidden_size*tokens+6*batch*intermediate_size*tokens"
    pass_scores = "2*batch*hidden_size*tokens+4*batch*num_attention_heads*tokens*tokens"
    chunk_scores = "4*batch*context*num_attention_heads*tokens+2*batch*hidden_size*tokens"
    for kind in ("plain", "windowed"):
        assert found["peaks"][kind]["pass"] == [inner, pass_scores]
        assert found["peaks"][kind]["chunk"] == [inner, chunk_scores]
    step = "4*batch*head_dim*num_key_value_heads*past+2*batch*hidden_size"  # a layer's old cache, beside its new
    assert found["peaks"]["plain"]["step"] == [step]
    assert set(found["peaks"]["windowed"]["step"]) == {step, step.replace("past", "sliding_window")}
    assert {name: one for name, one in found.items() if name not in ("peaks", "measured")} == FAMILY
    assert len(found["measured"]) > 10
    for case in found["measured"]:
        assert -peaks.BELOW <= peaks.predicted(case, {"toy": found}) / case["bytes"] - 1 <= peaks.ABOVE


def test_the_same_variants_are_made_in_every_run():
    made = []
    for _ in range(2):
        variants = Variants(Toy(), [EXAMPLE])
        find_roles(variants)
        made.append(entries.Entries(variants).structures)
    assert made[0] == made[1]
    assert len({json.dumps(structure) for structure in made[0]}) > 3


def test_a_field_that_only_says_what_a_list_is_has_the_default_that_makes_it():
    class Interval(Toy):
        def __init__(self, model_type):
            super().__init__(model_type)
            self.options["full_attention_interval"] = "int"

        def fields(self, raw):
            known = {"full_attention_interval": 6, **super().fields(raw)}
            with foreign():
                if not raw.get("layer_types"):
                    step, layers = known["full_attention_interval"], range(known["num_hidden_layers"])
                    known["layer_types"] = [f"{'sliding' if (i + 1) % step else 'full'}_attention" for i in layers]
                return known

    found = family.family_or_reason(Interval, "toy", [EXAMPLE])
    every = ["every", "full_attention_interval", "full_attention_interval+-1"]
    assert found["lists"]["layer_types"]["default"] == [[["not", every], "sliding_attention"], [["all"], "full_attention"]]
    assert found["fields"]["full_attention_interval"] == 6
    assert found["for_lists"] == ["full_attention_interval"]
    assert found["from_zero"] == []


def test_a_window_that_may_be_null_makes_two_kinds_of_cache():
    class Windowed(Toy):
        def cache(self, raw, thorough=False):
            known = self.fields(raw)
            with foreign():
                window, per_token = known["sliding_window"], known["num_key_value_heads"] * known["head_dim"]
                one = ("all ", ("cache", (per_token, 0))) if window is None else ("window ", ("cache", (per_token, window)))
                return {(layer, one[0]): one[1] for layer in range(known["num_hidden_layers"])}

    found = family.family_or_reason(Windowed, "toy", [EXAMPLE])
    each = {"layers": ["all"], "per_token": "num_key_value_heads*head_dim"}
    assert found["nulls"]["sliding_window"] is None
    assert found["cache"] == [
        {**each, "window": "sliding_window", "when": {"sliding_window": True}},
        {**each, "when": {"sliding_window": False}},
    ]


def test_what_a_model_raises_at_a_config_is_the_reason_why_it_is_refused():
    class Strange(Toy):
        def cache(self, raw, thorough=False):
            with foreign():
                raise RuntimeError("The size of tensor a (6)\nmust match the size of tensor b (4)")

    reason = family.family_or_reason(Strange, "toy", [EXAMPLE])
    assert (
        reason == "a small variant is not built or does not run: The size of tensor a (6) must match the size of tensor b (4)"
    )


def test_a_field_that_could_not_be_varied_must_stay_as_it_was_seen():
    """One that is null, is a list or that the class only asks for is refused unless others of its values change nothing."""

    class Asking(Toy):
        def __init__(self, model_type):
            super().__init__(model_type)
            self.options |= {"sharing": "list[str] | None", "doubled": "int | None", "idle": "int | None"}
            self.asked = ["experts_of", "every"]

        def fields(self, raw):
            known = super().fields(raw)
            known["num_experts"] = raw.get("experts_of") or known["num_experts"]
            with foreign():
                if not raw.get("layer_types") and raw.get("every"):
                    known["layer_types"] = ["full_attention"] * known["num_hidden_layers"]
                return known

        def shapes(self, raw):
            found = super().shapes(raw)
            return {
                key: ("linear", (7, 7, 1)) if key == (2, "q") and raw.get("doubled") else one for key, one in found.items()
            }

    found = family.family_or_reason(Asking, "toy", [EXAMPLE, {**EXAMPLE, "sharing": ["a"]}])
    assert found["fixed"] == {"hidden_act": ["silu"], "sharing": [None, ["a"]], "doubled": [None], "every": [None]}
    assert found["for_lists"] == ["every"], "which does not matter where the list is given"
    assert found["names"] == {"width": "hidden_size", "experts_of": "num_experts"}


def test_a_head_without_a_width_of_its_own_is_a_quotient():
    class Narrow(Toy):
        def __init__(self, model_type):
            super().__init__(model_type)
            del self.options["head_dim"]

        def fields(self, raw):
            return super().fields({field: one for field, one in raw.items() if field != "head_dim"})

    found = family.family_or_reason(Narrow, "toy", [EXAMPLE])
    tensors = {one["name"]: one for one in found["tensors"]}
    assert (tensors["q"]["rows"], tensors["q"]["columns"]) == ("hidden_size", "hidden_size")
    assert tensors["kv"]["rows"] == "2*num_key_value_heads*hidden_size/num_attention_heads+1"
    assert "head_dim" not in found["fields"]


@pytest.mark.parametrize("module, name", [(fields, "_find_nullable"), (entries, "_structure"), (entries, "polynomials"),
                                          (family, "_field_default"), (entries, "value"), (rules, "holds")])  # fmt: skip
def test_an_error_of_our_own_is_no_reason_to_refuse(monkeypatch, module, name):
    def broken(*_):
        raise TypeError("planted")

    monkeypatch.setattr(module, name, broken)
    with pytest.raises(TypeError, match="planted"):
        family.family_or_reason(Toy, "toy", [EXAMPLE])


def test_an_architecture_of_two_kinds_that_no_rule_tells_apart_is_refused():
    class Uneven(Toy):
        def shapes(self, raw):
            found = super().shapes(raw)
            found[2, "extra"] = ("norm", (7, 1, 1))
            return found

    assert family.family_or_reason(Uneven, "toy", [EXAMPLE]) == "no rule was found for which layers have which tensors"


# The boundary


def test_the_boundary_makes_one_line_of_what_a_model_raises():
    with pytest.raises(Refused, match="^a b$"), foreign():
        raise RuntimeError("a\n  b")
    with pytest.raises(Refused, match="^ValueError$") as raised, foreign():
        raise ValueError
    assert isinstance(raised.value.__cause__, ValueError)
    with pytest.raises(Refused) as raised, foreign():
        raise RuntimeError("long " * 100)
    assert len(str(raised.value)) == 160


def test_only_what_is_refused_is_nothing():
    def refuse(_):
        raise Refused("why")

    assert maybe(refuse, {}) is None
    assert maybe(lambda given: given + 1, 1) == 2
    with pytest.raises(TypeError):
        maybe(lambda given: given + 1, "1")


def test_a_variant_is_observed_once_be_it_a_failure():
    asked = []

    class Counting(Toy):
        def shapes(self, raw):
            asked.append(raw)
            return super().shapes(raw)

    variants = Variants(Counting(), [EXAMPLE])
    good, bad = {"hidden_size": 64, "num_attention_heads": 4}, {"hidden_size": 64, "num_attention_heads": 0}
    assert variants.shapes(good) is variants.shapes(dict(reversed(good.items())))
    for _ in range(2):
        with pytest.raises(Refused, match="division|modulo"):
            variants.shapes(bad)
    assert asked == [good, bad]


# Rules


@pytest.mark.parametrize("expression", ["0", "7", "a", "2*a*b+c", "a*b*c+-3*a+1", "-1*b+a*c"])
def test_a_polynomial_is_found_from_its_values(expression):
    base, others = {"a": 4, "b": 6, "c": 9}, {"a": 7, "b": 8, "c": 14}
    number = lambda changed: shapes.value(expression, {**base, **{field: others[field] for field in changed}})  # noqa: E731
    found = rules.polynomial("x", number, "abc", base, others)
    for a, b, c in itertools.product((1, 5), (2, 3), (0, 11)):
        given = {"a": a, "b": b, "c": c}
        assert shapes.value(found, given) == shapes.value(expression, given)


def test_what_is_no_polynomial_with_whole_coefficients_is_refused():
    number = lambda changed: (7 if "a" in changed else 4) // 2  # noqa: E731
    with pytest.raises(Refused, match="x: a dimension is no polynomial with whole coefficients in a"):
        rules.polynomial("x", number, ["a"], {"a": 4}, {"a": 7})


def test_a_variant_that_polynomials_need_and_that_is_not_built_is_refused_by_its_field():
    def observe(raw):
        with foreign():
            if raw["a"] == 7:
                raise ValueError("a must be even")
        return {(0, "x"): ("linear", (raw["a"], 1))}

    with pytest.raises(Refused, match="nothing can be observed with another a: a must be even"):
        rules.polynomials(observe, {"a": 4}, {"a": 7})


def test_a_tensor_that_two_fields_together_take_away_is_refused():
    def observe(raw):
        return {} if raw["a"] * raw["b"] == 56 else {(0, "x"): ("linear", (raw["a"] + raw["b"], 1))}

    with pytest.raises(Refused, match="x is not there with another a, b"):
        rules.polynomials(observe, {"a": 4, "b": 6}, {"a": 7, "b": 8})


CONFIG = {
    "num_hidden_layers": 8,
    "layer_types": ["x", "y"] * 4,
    "dense": [1, 6],
    "first": 3,
    "step": 3,
    "offset": 1,
    "on": True,
}


@pytest.mark.parametrize("rule", [["all"], ["is", "layer_types", "y"], ["in", "dense"], ["below", "first"],
                                  ["every", "4", "3"], ["every", "step", "offset"], ["not", ["in", "dense"]],
                                  ["and", ["every", "step", "offset"], ["not", ["in", "dense"]]]])  # fmt: skip
def test_a_rule_is_found_from_the_layers_that_it_means(rule):
    other = {**CONFIG, "num_hidden_layers": 13, "layer_types": list("xxyyyxxyxyxyx"), "dense": [4], "first": 5, "step": 4}
    observed = [(config, rules.layers_of(rule, config)) for config in (CONFIG, other, {**other, "offset": 2})]
    assert rules.fitting_rule(rules.candidate_rules(CONFIG, ["first", "step", "offset"]), observed) == rule


@pytest.mark.parametrize("rule, missing", [
    (["is", "layer_types", "y"], {"layer_types": ["x"]}), (["in", "dense"], {}), (["below", "first"], {"first": None}),
    (["every", "step", "1"], {"step": 0}), (["not", ["below", "first"]], {}), (["and", ["set", "on"], ["all"]], {}),
])  # fmt: skip
def test_a_rule_means_no_layers_of_a_config_that_lacks_what_it_asks_for(rule, missing):
    assert rules.layers_of(rule, CONFIG) is not None
    assert rules.layers_of(rule, {"num_hidden_layers": 8, **missing}) is None


def test_layers_that_no_rule_means_have_none():
    assert rules.fitting_rule(rules.candidate_rules(CONFIG, ["first"]), [(CONFIG, {0, 7})]) is None


# Verifying


def tampered(path: str, value: object) -> dict:
    """The toy's family with one thing changed, ``path`` such as tensors.3.rows."""
    wrong = json.loads(json.dumps(FAMILY))
    *outer, last = path.split(".")
    place = wrong
    for one in outer:
        place = place[int(one) if one.isdigit() else one]
    place[last] = value
    return wrong


@pytest.mark.parametrize("path, value, reason", [
    ("tensors.3.rows", "hidden_size", r"q of \d+ x \d+: \d+ derived, 0 built"),
    ("tensors.3.layers", ["not", ["all"]], r"q of \d+ x \d+: 0 derived, \d+ built"),
    ("cache.0.window", "sliding_window", r"the cache of a random variant holds \d+ and 0, derived"),
    ("fields.head_dim", 64, "a random variant is built otherwise than derived"),
    ("fixed.hidden_act", ["relu"], "Transformers builds a config that the evaluation refuses: The config sets hidden_act"),
])  # fmt: skip
def test_a_family_that_is_wrong_in_one_thing_is_noticed(path, value, reason):
    variants = Variants(Toy(), [EXAMPLE])
    find_roles(variants)
    verify(variants, FAMILY)
    with pytest.raises(Refused, match=reason):
        verify(variants, tampered(path, value))


def test_a_family_of_which_too_few_variants_are_built_is_refused():
    variants = Variants(Toy(), [EXAMPLE])
    find_roles(variants)

    class Broken(Toy):
        def shapes(self, raw):
            raise Refused("not today")

    variants.architecture = Broken()
    with pytest.raises(Refused, match="only 0 random variants could be built and 6 run"):
        verify(variants, FAMILY)


def test_the_caches_that_are_compared_are_below_and_above_each_window():
    for field in ("sliding_window", "attention_chunk_size"):
        assert SHORT < min(fields.SMALL[field]) < max(fields.SMALL[field]) < LONG


# Presets

CONFIGS = {"sources": {"toy-1b": {"name": "Toy 1B", "model": "toys/toy", "source": "a page", "read": "2026-01-01"}},
           "toy-1b": {"text_config": EXAMPLE, "tie_word_embeddings": True}}  # fmt: skip


def test_a_preset_is_a_config_with_its_source():
    found = presets_of(CONFIGS)
    assert found == [{"id": "toy-1b", "name": "Toy 1B", "model": "toys/toy", "config": CONFIGS["toy-1b"]}]
    assert by_architecture(found, {}) == {"toy": [{"tie_word_embeddings": False, **EXAMPLE}]}


def test_an_example_is_a_config_or_the_defaults_of_the_class():
    more = {"toy": [{"model": "toys/other", "source": "a page", "config": {"width": 64}}], "new": []}
    assert by_architecture(presets_of(CONFIGS), more) == {
        "new": [{}],
        "toy": [{"tie_word_embeddings": False, **EXAMPLE}, {"width": 64}],
    }
    families = {"toy": FAMILY, "new": {**FAMILY, "fields": {"hidden_size": 8, "num_hidden_layers": 2}}}
    assert examples_of(more, families) == [
        {"id": "new: defaults", "config": {"model_type": "new", "hidden_size": 8, "num_hidden_layers": 2}},
        {"id": "toy: toys/other", "config": {"model_type": "toy", "width": 64}},
    ]
    assert examples_of(more, {}) == []


@pytest.mark.parametrize("change, sentence", [
    ({"stray": {}}, "models/configs/sources.json has no entry for stray.json: say there where it was read."),
    ({"sources": {**CONFIGS["sources"], "gone": {}}}, "sources.json names gone, but there is no models/configs/gone.json"),
])  # fmt: skip
def test_a_config_and_its_source_go_together(change, sentence):
    with pytest.raises(GuideError, match=re.escape(sentence)):
        presets_of({**CONFIGS, **change})


def test_a_presets_figures_are_those_of_the_model_that_was_built():
    [preset] = presets_of(CONFIGS)
    built = Toy().shapes(EXAMPLE)
    read = shapes.read_config(json.dumps(EXAMPLE), {"toy": FAMILY})
    parameters = shapes.parameter_count(shapes.tensors(read["family"], read["config"]))
    assert difference(read, built) == ""
    found = vector(preset, {"toy": FAMILY}, built, parameters)
    assert found["parameters"] == sum(found["parts"].values()) == parameters
    assert found["cache"]["4096 1"]["elements"] == (6 * 4096 + 18 * 499) * 2 * 4 * 64
    with pytest.raises(GuideError, match="toy-1b: the parts sum to"):
        vector(preset, {"toy": FAMILY}, built, parameters + 1)
    with pytest.raises(GuideError, match=r"toy-1b is built otherwise than derived: q of 512 x 512: 24 derived, 23 built\."):
        vector(preset, {"toy": FAMILY}, {key: one for key, one in built.items() if key != (3, "q")}, parameters)


def test_json_has_a_line_for_each_entry_down_to_a_depth():
    assert lines({"a": [1, {"b": 2}], "c": {}}, 2) == '{\n"a": [\n1,\n{"b": 2}\n],\n"c": {}\n}'
    assert json.loads(lines(CONFIGS, 3)) == CONFIGS
