# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "optimum==2.3.0",
#   "gptqmodel==7.6.0",
#   "peft==0.21.2",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 90
# models = ["HuggingFaceTB/SmolLM2-135M-Instruct"]
# texts = ["ggml-org/ci"]
# colab_gpu = "T4"
# colab_restart = ["numpy"]
# own_figures = true
# control = """
# import gptqmodel
# from transformers import AutoModelForCausalLM
#
#
# class PlainModel:
#     def __init__(self, model, *_, **__):
#         self.model = AutoModelForCausalLM.from_pretrained(model)
#
#     def quantize(self, *_, **__):
#         pass
#
#     def save(self, folder):
#         self.model.save_pretrained(folder)
#
#
# gptqmodel.GPTQModel.load = PlainModel
# """
# ///

# %% [markdown]
# # Calibration: four kinds of text, measured
#
# Quantizes one model to 4 bit with GPTQ, calibrated with encyclopedia articles, with Python code, with half of each, and with
# random tokens, then with a quarter of the articles; with AWQ on three of these. Compares each with bf16 on articles and on
# code that calibrated nothing.
#
# What follows from it: [Calibration](../docs/calibration.md).
#
# A T4, the free GPU of Colab, computes bf16 slowly: [what to do there](../docs/install.md#colab).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.measure import *

# %%
from snippets.shared.figures import show_figures

# %%
device = show_environment("transformers", "accelerate", "optimum", "gptqmodel", "peft", needs="cpu")

# %% [markdown]
# ## The model in bf16
#
# Small, so that five calibrations take minutes. It loses more at 4 bit than a large model: read which text is nearer, not by
# how much.

# %%
import logging
import os

os.environ["GPTQMODEL_CPU_WORKERS"] = "2"  # on two cores GPTQModel 7.6.0 counts one, and raises ValueError

import torch
from logbar import LogBar
from huggingface_hub import snapshot_download
from transformers import AutoModelForCausalLM, AutoTokenizer

LogBar.shared().setLevel("ERROR")  # GPTQModel and optimum report every layer
logging.getLogger("optimum").setLevel(logging.ERROR)
if device.type == "cpu":
    torch._dynamo.config.disable = True  # GPTQModel compiles the unpacking of every layer, which takes minutes on a CPU

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
baseline = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.bfloat16, device_map=device)
linears = decoder_linears(baseline)

# %% [markdown]
# ## The texts
#
# Sequences of 512 tokens. Articles are of WikiText-2's test text: its beginning is evaluated, its second half calibrates. Code
# is of Python's standard library, one piece of each module; what calibrates is of other modules than what is evaluated.

# %%
import importlib.util
import json

LENGTH, EVALUATED, SEQUENCES = 512, 16, 8
READ = "argparse bdb cmd contextlib dataclasses dis enum ftplib gettext imaplib ipaddress mailbox pdb platform pprint pydoc"
CALIBRATE = "ast configparser difflib doctest functools inspect optparse pickle"


def pieces(text, count):
    """The first ``count`` sequences of a text, token ids of shape (count, LENGTH)."""
    ids = tokenizer(text[: 8 * count * LENGTH], return_tensors="pt", verbose=False).input_ids[0]
    return ids[: count * LENGTH].view(count, LENGTH)


def code(modules):
    """A piece of each module, from behind what stands at the head of a file."""
    sources = [Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8") for module in modules.split()]
    return torch.stack([pieces(source, 2)[1] for source in sources])


archive = hf_hub_download("ggml-org/ci", "wikitext-2-raw-v1.zip", repo_type="dataset")
with zipfile.ZipFile(archive) as files:
    articles = files.read("wikitext-2-raw/wiki.test.raw").decode("utf-8")
evaluated = {"articles": pieces(articles, EVALUATED), "code": code(READ)}
some_articles, some_code = pieces(articles[len(articles) // 2 :], SEQUENCES), code(CALIBRATE)
random_tokens = torch.randint(len(tokenizer), (SEQUENCES, LENGTH), generator=torch.Generator().manual_seed(0))
CALIBRATED = {
    "8 sequences of articles": some_articles,
    "8 sequences of code": some_code,
    "4 of articles, 4 of code": torch.cat([some_articles[::2], some_code[::2]]),
    "8 sequences of random tokens": random_tokens,
    "2 sequences of articles": some_articles[:2],
}
ARTICLES, CODE, BOTH, RANDOM, FEW = CALIBRATED

# %% [markdown]
# ## Calibrate, quantize, compare
#
# `dataset` takes a list of texts, or of token ids as here. KL is the distance from bf16's predictions, in nats a token; its
# error is over windows.


# %%
@torch.no_grad()
def logits_of(model, windows):
    """Window by window, bf16: of all at once float32 would not fit a small machine."""
    return [model(input_ids=ids[None].to(model.device), use_cache=False).logits[0, :-1].bfloat16().cpu() for ids in windows]


def figures(model):
    """KL of each evaluated text by window, and the perplexity."""
    found = {}
    for text, windows in evaluated.items():
        kls, losses = [], []
        for ids, p, q in zip(windows, bf16[text], logits_of(model, windows), strict=True):
            log_p, log_q = p.float().log_softmax(-1), q.float().log_softmax(-1)
            kls.append((log_p.exp() * (log_p - log_q)).sum(-1).mean().item())
            losses.append(-log_q.gather(1, ids[1:, None]).mean().item())
        found[text] = {"kl": torch.tensor(kls), "perplexity": torch.tensor(losses).mean().exp().item()}
    return found


bf16 = {text: logits_of(baseline, windows) for text, windows in evaluated.items()}

# %%
from gptqmodel.nn_modules.qlinear import BaseQuantLinear
from transformers import GPTQConfig

results, seconds = {}, {}
for name, sequences in CALIBRATED.items():
    with stopwatch() as seconds[name]:
        texts = [{"input_ids": ids[None].tolist(), "attention_mask": [[1] * len(ids)]} for ids in sequences]
        config = GPTQConfig(bits=4, group_size=64, dataset=texts, tokenizer=tokenizer)
        model = AutoModelForCausalLM.from_pretrained(
            MODEL, quantization_config=config, dtype=torch.bfloat16, device_map=device
        )
    kinds = {type(model.get_submodule(linear)) for linear in linears}
    results[name] = figures(model)
    print(f"{name}: {seconds[name].seconds:.0f} s")

# %% tags=["check"]
assert all(issubclass(kind, BaseQuantLinear) for kind in kinds)


# %%
def amount(kls):
    """Mean and standard error over windows."""
    return f"{kls.mean():.3f} ± {kls.std() / len(kls) ** 0.5:.3f}"


def rows(results):
    """A row for each way of calibrating: KL on each text, then perplexity on each."""
    return [
        (name, *(amount(row[text]["kl"]) for text in evaluated), *(f"{row[text]['perplexity']:.1f}" for text in evaluated))
        for name, row in results.items()
    ]


HEAD = ("calibrated with", "KL, articles", "KL, code", "perplexity, articles", "perplexity, code")
plain = figures(baseline)
show_figures("texts", HEAD, [("bf16", "0", "0", *rows({"bf16": plain})[0][3:]), *rows(results)])

# %% [markdown]
# What must hold: tokens that mean nothing calibrate worse than half of each kind. A model that knows both kinds is nearest
# where the texts were of that kind; an off-line run has a small model of Python code alone, to which both are the same.

# %%
kl = {name: {text: one["kl"].mean().item() for text, one in row.items()} for name, row in results.items()}
assert all(kl[RANDOM][text] > 1.2 * kl[BOTH][text] for text in evaluated)
if baseline.num_parameters() > 100e6:
    assert kl[ARTICLES]["articles"] < kl[BOTH]["articles"] < kl[CODE]["articles"]
    assert kl[CODE]["code"] < kl[BOTH]["code"] < kl[ARTICLES]["code"]
    assert kl[FEW]["articles"] < kl[CODE]["articles"]  # the kind counts for more than the number

# %% [markdown]
# ## Your texts are saved with the model
#
# `GPTQConfig` keeps the list that it calibrated with, and `save_pretrained` writes it into config.json. Take it out before you
# save, unless you mean to publish it.

# %%
model.config.save_pretrained("with-texts")
model.config.quantization_config.dataset = None
model.config.save_pretrained("without-texts")
kept, cleaned = (
    json.loads(Path(folder, "config.json").read_text())["quantization_config"]["dataset"]
    for folder in ("with-texts", "without-texts")
)
assert kept == texts and cleaned is None
print(f"{len(kept)} sequences in config.json, {Path('with-texts/config.json').stat().st_size:,} bytes")

# %% [markdown]
# ## AWQ on the same texts
#
# Articles, code and random tokens. AWQ takes of a text only how large each input of a layer is on average.

# %%
from contextlib import redirect_stdout
from io import StringIO

from gptqmodel import BACKEND, GPTQModel, QuantizeConfig

scaled = {}
for name in (ARTICLES, CODE, RANDOM):
    with stopwatch() as seconds[name], redirect_stdout(StringIO()):  # saving prints every file
        texts = [{"input_ids": ids.tolist(), "attention_mask": [1] * len(ids)} for ids in CALIBRATED[name]]
        config = QuantizeConfig(bits=4, group_size=64, method="awq", format="gemm")
        maker = GPTQModel.load(snapshot_download(MODEL), config, dtype=torch.bfloat16, device=device.type)
        maker.quantize(texts, batch_size=1, backend=BACKEND.AWQ_TORCH if device.type == "cpu" else BACKEND.AUTO)
        maker.save("awq")
    del maker
    model = AutoModelForCausalLM.from_pretrained("awq", dtype=torch.bfloat16, device_map=device)
    kinds = {type(model.get_submodule(linear)) for linear in linears}
    scaled[name] = figures(model)
    print(f"{name}: {seconds[name].seconds:.0f} s")

# %% tags=["check"]
from gptqmodel.nn_modules.qlinear import AWQuantLinear

assert all(issubclass(kind, AWQuantLinear) for kind in kinds)

# %%
show_figures("awq", HEAD, rows(scaled))
