# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "bitsandbytes==0.50.2",
#   "torchao==0.18.0",
#   "optimum-quanto==0.2.7",
#   "hqq==0.2.8.post1",
#   "loky==3.7.0",
#   "matplotlib==3.10.0",
#   "pandas==2.2.3",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 40
# held = {matplotlib = "Colab's own: replacing it there asks for a restart", pandas = "Colab's own, as matplotlib"}
# models = ["HuggingFaceTB/SmolLM2-135M-Instruct"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# own_figures = true
# control = """
# import loky
#
#
# def _plain():
#     import transformers
#
#     load = transformers.PreTrainedModel.from_pretrained.__func__
#     plain = lambda cls, *args, quantization_config=None, **kwargs: load(cls, *args, **kwargs)
#     transformers.PreTrainedModel.from_pretrained = classmethod(plain)
#     from hqq.models.hf.base import AutoHQQHFModel
#     AutoHQQHFModel.quantize_model = classmethod(lambda cls, model, **_: model)
#
#
# _executor = loky.ProcessPoolExecutor
# loky.ProcessPoolExecutor = lambda **how: _executor(**how, initializer=_plain)
# """
#
# [tool.guide.swap]
# "load_in_8bit=True" = "load_in_4bit=True"
# ///

# %% [markdown]
# # Benchmark your own model
#
# Tries 16 variants of bitsandbytes, torchao, Quanto and HQQ, which need no calibration texts, on your model, and compares
# each with 16 bit: stored bytes, distance on your text, decode speed. Gives a table, two plots and `benchmark.json`. Each
# variant runs in a process of its own, alone in memory: one without a kernel here, or out of memory, is a row that says so.
# Runs on a CPU, an NVIDIA GPU, Colab's free T4.
#
# What the guide measured itself: [the benchmarks](../docs/benchmarks.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
device = show_environment(
    "transformers",
    "accelerate",
    "bitsandbytes",
    "torchao",
    "optimum-quanto",
    "hqq",
    "loky",
    "matplotlib",
    "pandas",
    needs="cpu",
)

# %% [markdown]
# ## Your model, your text
#
# `TEXT` is the path of a text file like those of your task; left empty, WikiText-2's test text is read. 16 windows tell a
# broken variant from a whole one; more give smaller errors and take longer. A GPU below compute capability 8.0, such as the
# T4, has no bf16 and gets float16.

# %%
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
TEXT = ""
WINDOWS = 16  # of 512 tokens
DTYPE = "float16" if device.type == "cuda" and torch.cuda.get_device_capability() < (8, 0) else "bfloat16"

# %% [markdown]
# ## The variants
#
# Each is the bits of a weight, and a function that returns what `from_pretrained` gets; `then` is called with the model, for
# methods that quantize it in place. Add your own, take out what you do not need. A ready checkpoint is a variant too:
# `"GPTQ": (4, lambda: {"pretrained_model_name_or_path": "NAME"})`, once the packages of
# [its method's page](../docs/index.md) are installed.


# %%
def bitsandbytes(**how):
    from transformers import BitsAndBytesConfig

    if how.get("load_in_4bit"):
        how["bnb_4bit_compute_dtype"] = getattr(torch, DTYPE)  # it would stay in float32 beside float16
    return {"quantization_config": BitsAndBytesConfig(**how)}


def torchao(name, **how):
    import torchao.quantization as quantization
    from transformers import TorchAoConfig

    return {"quantization_config": TorchAoConfig(getattr(quantization, name)(**how))}


def four_bits_in_bytes():
    import torch
    from torchao.quantization import PerGroup

    return torchao("IntxWeightOnlyConfig", weight_dtype=torch.int4, granularity=PerGroup(32))


def quanto(weights):
    from transformers import QuantoConfig

    return {"quantization_config": QuantoConfig(weights=weights)}


def hqq(bits):
    from hqq.core.quantize import BaseQuantizeConfig
    from hqq.models.hf.base import AutoHQQHFModel

    def in_place(model):
        how = BaseQuantizeConfig(nbits=bits, group_size=64, axis=1)
        AutoHQQHFModel.quantize_model(model, quant_config=how, compute_dtype=model.dtype, device=str(model.device))

    return {"then": in_place}


VARIANTS = {
    "bitsandbytes int8": (8, lambda: bitsandbytes(load_in_8bit=True)),
    "torchao int8 weight-only": (8, lambda: torchao("Int8WeightOnlyConfig")),
    "torchao int8 dynamic": (8, lambda: torchao("Int8DynamicActivationInt8WeightConfig")),
    "torchao float8 weight-only": (8, lambda: torchao("Float8WeightOnlyConfig")),
    "torchao int4 in bytes": (8, four_bits_in_bytes),
    "quanto int8": (8, lambda: quanto("int8")),
    "quanto float8": (8, lambda: quanto("float8")),
    "HQQ 8 bit": (8, lambda: hqq(8)),
    "bitsandbytes nf4": (4, lambda: bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="nf4")),
    "bitsandbytes nf4, double": (
        4,
        lambda: bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True),
    ),
    "bitsandbytes fp4": (4, lambda: bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="fp4")),
    "torchao int4 for NVIDIA GPUs": (
        4,
        lambda: torchao("Int4WeightOnlyConfig", group_size=32, int4_packing_format="tile_packed_to_4d"),
    ),
    "quanto int4": (4, lambda: quanto("int4")),
    "HQQ 4 bit": (4, lambda: hqq(4)),
    "HQQ 3 bit": (3, lambda: hqq(3)),
    "quanto int2": (2, lambda: quanto("int2")),
}

# %% [markdown]
# ## Measure
#
# 16 bit runs first and leaves its logits on disk, so that a variant needs memory for itself alone. It runs once more at the
# end: what the second run differs from the first is what no difference looks like, so no variant within that is called faster
# or slower.

# %%
import itertools
import json
import logging
import re
import tempfile
import time
from types import SimpleNamespace

import loky

LOGITS = tempfile.mkdtemp(prefix="logits-")
NEW_TOKENS, REPEATS = 48, 5


def text_windows(tokenizer):
    """Windows of 512 tokens, of your text or of WikiText-2's."""
    if not TEXT:
        return evaluation_windows(tokenizer, WINDOWS)
    ids = tokenizer(Path(TEXT).read_text(encoding="utf-8"), return_tensors="pt", verbose=False).input_ids[0]
    if len(ids) < 512:
        raise ValueError(f"{TEXT} has {len(ids)} tokens; give a text of at least 512.")
    count = min(WINDOWS, len(ids) // 512)
    return ids[: count * 512].view(count, 512)


class Kept:
    """Stands for the 16-bit model: gives the logits that it left on disk, one window a call."""

    def __init__(self, device):
        self.device, self.number = device, itertools.count()

    def __call__(self, **_):
        return SimpleNamespace(logits=torch.load(f"{LOGITS}/{next(self.number)}.pt").to(self.device))


def allow(more_bytes):
    """Let this process take so many bytes more of the memory that the model goes to, and no others."""
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(more_bytes / torch.cuda.get_device_properties(0).total_memory)
    else:
        import resource

        import psutil

        most = psutil.Process().memory_info().vms + more_bytes
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


class Reasons(logging.Handler):
    """Collects the errors that Transformers logs while it converts weights: the exception that follows only points there."""

    def __init__(self):
        super().__init__()
        self.found = []

    def emit(self, record):
        self.found += re.findall(r"^[\w.]*(?:Error|Exception): .+", record.getMessage(), re.MULTILINE)


def measured(how, base, memory):
    """What one variant stores, how far it is from 16 bit, how fast it decodes; runs in a process of its own."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    windows = text_windows(AutoTokenizer.from_pretrained(MODEL))
    asked = {"pretrained_model_name_or_path": MODEL, "dtype": getattr(torch, DTYPE), "device_map": "auto"} | how()
    then = asked.pop("then", lambda model: None)
    if memory:
        allow(memory)
    with stopwatch() as load:
        model = AutoModelForCausalLM.from_pretrained(**asked)
        then(model)
    linears = base["linears"] if base else decoder_linears(model)
    row = {"stored_bytes": stored_bytes(model), "linear_bytes": stored_bytes(model, linears), "load_seconds": load.seconds}
    if base:
        row |= quality(model, Kept(model.device), windows)
    else:
        row["linears"] = linears
        for number, ids in enumerate(windows):
            with torch.no_grad():
                torch.save(model(input_ids=ids[None].to(model.device), use_cache=False).logits.cpu(), f"{LOGITS}/{number}.pt")
    row["seconds"] = [decode_seconds(model, windows[:1, :32], NEW_TOKENS) for _ in range(REPEATS + 1)][1:]
    if torch.cuda.is_available():
        row["peak_bytes"] = torch.cuda.max_memory_allocated()
    return row


def measured_or_why_not(how, base, memory):
    """The same, or the error that a library raised on this machine, which is an answer too."""
    reasons = Reasons()
    logging.getLogger("transformers").addHandler(reasons)
    try:
        return measured(how, base, memory)
    except Exception as error:
        said = reasons.found[:1] or [f"{type(error).__name__}: {error}"]
        return {"failed": " ".join(said[0].split()).strip(" :")[:300]}


def attempt(how, base=None, memory=0):
    """A variant's row, or why there is none; a process that is killed takes nothing else with it."""
    with loky.ProcessPoolExecutor(max_workers=1) as pool:
        try:
            return pool.submit(measured_or_why_not, how, base, memory).result()
        except loky.process_executor.TerminatedWorkerError:
            return {"failed": "the process was killed, which is what happens when memory runs out"}


base = attempt(dict)
if "failed" in base:
    raise RuntimeError(f"{MODEL} did not run in {DTYPE}, so there is nothing to compare with: {base['failed']}")
results, started = {}, time.monotonic()
for number, (name, (bits, how)) in enumerate(VARIANTS.items(), start=1):
    results[name] = {"bits": bits} | attempt(how, base)
    left = (time.monotonic() - started) / number * (len(VARIANTS) + 1 - number)
    said = results[name].get("failed") or f"KL {results[name]['kl']:.4f}"
    print(f"[{number}/{len(VARIANTS)}] {name}: {said} (about {left / 60:.0f} min left)")
again = attempt(dict, base)

# %% [markdown]
# What was asked for must be what was made: a variant that ran stores its linear layers in about the bits it names, and 16 bit
# beside itself differs in nothing. A line says where that is not so; as the notebook stands, on a CPU, it must be.

# %% tags=["check"]
done = {name: row for name, row in results.items() if "failed" not in row}
unlike = []
for name, row in done.items():
    row["linear_ratio"] = base["linear_bytes"] / row["linear_bytes"]
    if not (0.85 * 16 / (row["bits"] + 0.6) < row["linear_ratio"] < 16 / row["bits"] and row["kl"] > again["kl"]):
        unlike.append(f"{name}: {16 / row['linear_ratio']:.1f} bits a weight, not {row['bits']}; KL {row['kl']:.4f}")
print("\n".join(unlike) or f"{len(done)} variants ran, and each stores about the bits it names.")
if device.type == "cpu" and (MODEL, TEXT, len(VARIANTS)) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "", 16):
    assert len(done) >= 12 and not unlike, unlike

# %% [markdown]
# ## What fails is a row too
#
# One variant that cannot work, and one that gets a tenth of the memory that 16 bit takes: each says why, and the loop would
# have gone on.

# %%
broken = attempt(lambda: bitsandbytes(load_in_4bit=True, bnb_4bit_quant_type="nf3"), base)
hungry = attempt(lambda: bitsandbytes(load_in_4bit=True), base, memory=base["stored_bytes"] // 10)
print("cannot work:", broken["failed"])
print("out of memory:", hungry["failed"])

# %% [markdown]
# ## Table
#
# Nearest to 16 bit first. *Speed* is times that of 16 bit at batch 1, median (slowest to fastest), with a word only where all
# of it lies beyond what 16 bit differs from itself.

# %%
import pandas
from IPython.display import HTML

usual = statistics.median(base["seconds"] + again["seconds"])
low, high = usual / max(base["seconds"] + again["seconds"]), usual / min(base["seconds"] + again["seconds"])
widest = max(high, 1 / low)


def speed_of(row):
    """Times the speed of 16 bit: median, slowest and fastest."""
    return [usual / choose(row["seconds"]) for choose in (statistics.median, max, min)]


def called(slowest, fastest):
    """Faster or slower, where that is beyond what 16 bit differs from itself."""
    return "faster" if slowest > widest else "slower" if fastest < 1 / widest else ""


def line(row):
    """A variant's row of the table."""
    middle, slowest, fastest = speed_of(row)
    return {
        "KL": f"{row['kl']:.4f} ± {row['kl_error']:.4f}",
        "same top-1, %": f"{100 * row['top1_agreement']:.1f}",
        "perplexity": f"{row['perplexity']:.1f}" if row["perplexity"] < 1000 else "over 1,000",
        "linears, times smaller": f"{row['linear_ratio']:.2f}",
        "stored, MB": f"{row['stored_bytes'] / 1e6:.1f}",
        "speed": f"{middle:.2f} ({slowest:.2f} to {fastest:.2f}) {called(slowest, fastest)}",
    }


ordered = sorted(done, key=lambda name: done[name]["kl"])
table = pandas.DataFrame([{"variant": name} | line(done[name]) for name in ordered])
display(HTML(table.to_html(index=False)))
print(f"16 bit: perplexity {again['perplexity']:.1f}, {base['stored_bytes'] / 1e6:.1f} MB, {NEW_TOKENS / usual:.1f} tokens/s")
print(f"16 bit beside itself: {low:.2f} to {high:.2f} times its speed; KL {again['kl']:.4f}")
for name in results.keys() - done.keys():
    print(f"{name} did not run: {results[name]['failed']}")

# %% [markdown]
# ## Two plots

# %%
import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.5), layout="constrained")
for number, (name, shape) in enumerate(zip(ordered, itertools.cycle("osD^v<>PX"), strict=False), start=1):
    megabytes = done[name]["stored_bytes"] / 1e6
    for plot, height in ((left, done[name]["kl"]), (right, speed_of(done[name])[0])):
        plot.plot(megabytes, height, shape, label=f"{number} {name}" if plot is left else None)
        plot.annotate(number, (megabytes, height), textcoords="offset points", xytext=(6, 3))
left.set(xlabel="stored, MB", ylabel="KL from 16 bit, nats a token", yscale="log", title="Quality against size")
right.set(xlabel="stored, MB", ylabel="times the decode speed of 16 bit", yscale="log", title="Speed against size")
right.axhspan(1 / widest, widest, alpha=0.2, label="16 bit beside itself")
figure.legend(loc="outside right center", fontsize=9)
plt.close(figure)
told = f"KL, and decode speed, of {len(done)} variants against the megabytes that they store; the table has the figures"
display(figure, metadata={"image/png": {"alt": told}})

# %% [markdown]
# ## Keep it

# %%
kept = {"model": MODEL, "text": TEXT or "WikiText-2", "windows": WINDOWS, "dtype": DTYPE, "16 bit": base, "variants": results}
Path("benchmark.json").write_text(json.dumps(kept, indent=1))
for path in Path(LOGITS).iterdir():
    path.unlink()
print(f"{Path('benchmark.json').stat().st_size:,} bytes in benchmark.json")
assert json.loads(Path("benchmark.json").read_text())["variants"].keys() == VARIANTS.keys()
