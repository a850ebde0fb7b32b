"""What training adapters takes: predicted and measured, in Python and on the page, and the optimizer's states."""

from __future__ import annotations

import json

import pytest
from serving import serve
from test_derive import EXAMPLE, FAMILY, Toy

from guide.calculator import shapes, training
from guide.derive import Site, Stepped, Trace
from guide.derive import training as derived
from guide.derive.fields import Variants, find_roles
from guide.derive.peaks import ABOVE, BELOW
from guide.derive.training import WAYS, predicted
from guide.project import Project

PROJECT = Project.here()
WHOLE, REST = (json.loads(path.read_text(encoding="utf-8")) for path in (PROJECT.architectures, PROJECT.families))
FAMILIES = {**WHOLE["families"], **REST["families"]}
MEASURED = json.loads((PROJECT.tests / "training_measured.json").read_text(encoding="utf-8"))
INDEX = json.loads((PROJECT.training / "index.json").read_text(encoding="utf-8"))
PEAKS = {name: json.loads((PROJECT.training / f"{name}.json").read_text(encoding="utf-8")) for name in INDEX["families"]}
# What AdamW8bit of bitsandbytes 0.50.2 held on a CPU for matrices of so many weights: state1, state2, absmax1 and absmax2.
IN_8BIT = {1_536: 12_288, 4_096: 8_320, 16_000: 32_504, 16_384: 33_280}
ASK = """async ({ cases, families, peaks }) => {
  const { readModel, count } = await import("/counting.js");
  return cases.map(({ config, way: [fourBit, adapter, targets, checkpointed], step: [context, batch, rank] }) => {
    const model = readModel(config, null, { families });
    const variant = { keys: [], quantizes: ["linear"], storage: [{ bytes: 0.5 }] };
    const train = { targets, rank, adapter, optimizer: "adamw", checkpointed, peaks: peaks[config.model_type] };
    const { added, pass } = count(model, fourBit ? variant : null, { context, batch, gpus: 1, train });
    return [added.trained, added.adapters + added.gradients + added.states + pass.activations];
  });
}"""


def test_each_family_that_is_known_was_measured_in_every_way_that_it_has():
    assert list(MEASURED) == INDEX["families"] and {"llama", "qwen3"} <= PEAKS.keys()
    for name, kinds in PEAKS.items():
        ways = [way for found in kinds.values() for way in found]
        assert len(MEASURED[name]) == len(ways), name
        assert set(ways) <= {training.way(*way) for way in WAYS}


@pytest.mark.parametrize("name", MEASURED)
def test_a_step_takes_what_was_measured(name, record_property):
    """Models that had no part in finding the expressions, with other layers: all beside the frozen weights."""
    shares = [predicted(case, FAMILIES, PEAKS) / case["bytes"] - 1 for case in MEASURED[name]]
    figure = f"{name}: a training step predicted {100 * min(shares):+.1f} to {100 * max(shares):+.1f} % of {len(shares)} runs"
    record_property("figure", figure)
    assert min(shares) >= -BELOW
    assert max(shares) <= ABOVE


@pytest.mark.parametrize("name", MEASURED)
def test_as_many_weights_are_trained_as_peft_made(name):
    for case in MEASURED[name]:
        read = shapes.read_config(json.dumps(case["config"]), FAMILIES)
        _, adapter, targets, _ = case["way"]
        tensors = shapes.tensors(read["family"], read["config"])
        assert training.held(tensors, targets, case["step"][2], adapter, "adamw")["trained"] == case["trained"], case["way"]


def test_the_page_says_the_same_of_what_was_measured(chromium):
    cases = [case for family in MEASURED.values() for case in family]
    with serve(PROJECT.assets) as url:
        page = chromium.new_page()
        page.goto(url)
        found = page.evaluate(ASK, {"cases": cases, "families": FAMILIES, "peaks": PEAKS})
        page.close()
    assert found == [[case["trained"], predicted(case, FAMILIES, PEAKS)] for case in cases]


def test_an_8_bit_optimizer_holds_what_was_seen():
    for size, held in IN_8BIT.items():
        assert training.states([(size, 1)], "8-bit", 4) == held
    assert training.states([(100, 3)], "adamw", 4) == 2 * 4 * 300
    assert training.states([(100, 3)], "adamw", 2) == 2 * 2 * 300


def test_adapters_are_counted_by_hand():
    """Rank 8 beside 4 layers of 64 outputs × 32 inputs: 8 × 64 and 8 × 32 weights each; what is no linear layer has none."""
    layer = {"part": "linear", "name": "self_attn.q_proj", "rows": 64, "columns": 32, "count": 4}
    other = {**layer, "name": "mlp.up_proj", "count": 1}
    head = {**layer, "part": "head", "name": "lm_head"}
    found = training.held([layer, other, head], "query-value", 8, "float32", "adamw")
    assert found == {"trained": 3072, "adapters": 12288, "gradients": 12288, "states": 24576}
    assert training.held([layer, other, head], "all-linear", 8, "bfloat16", "adamw")["adapters"] == 2 * 3840


def test_a_way_that_was_not_measured_has_no_figure():
    read = shapes.read_config('{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64}', FAMILIES)
    assert training.activations({}, read["family"], read["config"], "bf16 float32 all-linear", 64, 1, 8) is None


def kept(known: dict, stepped: Stepped) -> Trace:
    """What a toy's step holds: of each layer a row for each token, inner ones of some layers too; the loss, or a gradient."""
    trace, live = Trace(), list[int]()
    tokens = stepped.batch * stepped.tokens

    def make(call: int, layer: int, name: str, size: int) -> None:
        live.append(len(trace.sizes))
        trace.sizes.append(tokens * size)
        trace.sites.append(Site(call, layer, name, ()))
        trace.live.append(tuple(live))

    for layer, kind in enumerate(known["layer_types"]):
        make(1, layer, "row", 2 * known["hidden_size"])
        if kind == "sliding_attention":
            make(1, layer, "inner", 6 * known["intermediate_size"])
        make(1, layer, "adapter", 4 * stepped.rank)
    make(1, -1, "loss", 12 * known["vocab_size"])
    live.pop()
    make(2, -1, "gradient", 40 * known["hidden_size"])
    return trace


def test_what_a_toy_keeps_for_the_way_back_counts_for_each_layer_of_its_kind(monkeypatch):
    monkeypatch.setattr(derived, "WAYS", WAYS[:1])
    variants = Variants(Toy(), [EXAMPLE])
    find_roles(variants)
    found = derived.training_of(variants, FAMILY, lambda raw, way, stepped, whole: kept(variants.fields(raw), stepped))
    all_layers = "2*batch*hidden_size*layers{0}*tokens+4*batch*layers{0}*rank*tokens"
    layers = {*all_layers.format(0).split("+"), *all_layers.format(1).split("+"), "6*batch*intermediate_size*layers0*tokens"}
    [way] = found["windowed"]
    assert way == "4-bit float32 all-linear"
    moments = {frozenset(one.split("+")) for one in found["windowed"][way]}
    assert moments == {frozenset({*layers, one}) for one in ("12*batch*tokens*vocab_size", "40*batch*hidden_size*tokens")}


def test_a_model_whose_layers_of_one_kind_keep_other_tensors_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(derived, "WAYS", WAYS[:1])
    variants = Variants(Toy(), [EXAMPLE])
    find_roles(variants)

    def step(raw, way, stepped, whole):
        trace = kept({**variants.fields(raw), "layer_types": ["sliding_attention"] * 4}, stepped)
        trace.sizes = [size * max(1, 1 + site.layer) for size, site in zip(trace.sizes, trace.sites, strict=True)]
        return trace

    assert "plain" not in derived.training_of(variants, FAMILY, step)
    assert "layers of one kind keep other tensors" in capsys.readouterr().out
