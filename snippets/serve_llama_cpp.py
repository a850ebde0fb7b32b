# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "llama-cpp-python[server]==0.3.36",  # a third party's binding, which holds llama.cpp 0c1e57098
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "gguf==0.19.0",
#   "openai==3.57.0",
#   "loky==3.7.0",
# ]
#
# [tool.guide]
# engine = "llama-cpp"
# needs = "cpu"
# minutes = 20
# models = ["Qwen/Qwen3-0.6B"]
# own_figures = true
# control = """
# import shutil
#
# import llama_cpp
#
#
# def _copied(source, target, _):
#     shutil.copyfile(source, target)
#     return 0
#
#
# llama_cpp.llama_model_quantize = _copied
# """
#
# [tool.guide.made_with]
# gguf_with_tokenizer = "gguf"
#
# [tool.guide.checkpoints]
# "Qwen/Qwen3-0.6B-GGUF" = "gguf_with_tokenizer"
#
# [tool.guide.swap]
# '"gguf-k": "Q4_K_M"' = '"gguf-k": "Q8_0"'
# '"gguf-iq": "IQ4_XS"' = '"gguf-iq": "Q8_0"'
# ///

# %% [markdown]
# # llama.cpp: GGUF files, made, loaded and served
#
# Loads a GGUF file in Q8_0, makes files in Q4_K_M and IQ4_XS of it, loads those, and serves the first through OpenAI's
# protocol. The tokens of the Q8_0 file stand beside those of Transformers, which unpacks the same file. This runs through
# llama-cpp-python, a third party's binding, which pip compiles in about ten minutes; `llama-cli`, `llama-quantize` and
# `llama-server` of llama.cpp itself do the same.
#
# Which engine loads what: [the matrix](../docs/engines/index.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.serving import *

# %%
device = show_environment("llama-cpp-python", "transformers", "accelerate", "gguf", "openai", "loky", needs="cpu")

# %% [markdown]
# ## Other types
#
# Here they are made of the Q8_0 file, which rounds twice; start from a 16-bit file for yourself. IQ types of 4 bit need no
# importance matrix, those below do.

# %%
# --8<-- [start:quantize]
import ctypes

import llama_cpp
from huggingface_hub import hf_hub_download

TYPES = {"gguf-k": "Q4_K_M", "gguf-iq": "IQ4_XS"}


@llama_cpp.llama_log_callback
def quiet(level, text, data):
    """llama.cpp reports every tensor otherwise."""


llama_cpp.llama_log_set(quiet, None)
source = hf_hub_download("Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-Q8_0.gguf")
made = {}
for name, kind in TYPES.items():
    made[name] = f"qwen3-{kind}.gguf"
    how = llama_cpp.llama_model_quantize_default_params()
    how.ftype, how.allow_requantize = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}"), True
    failed = llama_cpp.llama_model_quantize(source.encode(), made[name].encode(), ctypes.byref(how))
    assert not failed, f"llama.cpp wrote no {kind}"
    # --8<-- [end:quantize]


# %% [markdown]
# ## Load and generate


# %%
# --8<-- [start:generate]
def by_llama_cpp(checkpoint):
    """The tokens that llama.cpp generates greedily, and the bytes of the tensors it holds."""
    from itertools import islice

    import llama_cpp
    from huggingface_hub import hf_hub_download

    path = checkpoint if checkpoint.endswith(".gguf") else hf_hub_download(checkpoint, "Qwen3-0.6B-Q8_0.gguf")
    model = llama_cpp.Llama(path, n_ctx=512, verbose=False)
    prompt = model.tokenize(PROMPT.encode(), add_bos=False)
    tokens = list(islice(model.generate(prompt, temp=0, repeat_penalty=1), TOKENS))
    return tokens, llama_cpp.llama_model_size(model.model)
    # --8<-- [end:generate]


# %% [markdown]
# ## What Transformers says of the same file

# %%
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("Qwen/Qwen3-0.6B")
model = AutoModelForCausalLM.from_pretrained(
    "Qwen/Qwen3-0.6B-GGUF",
    gguf_file="Qwen3-0.6B-Q8_0.gguf",
    config=AutoConfig.from_pretrained("Qwen/Qwen3-0.6B"),  # else the size of heads is not read from the file
    dtype=torch.float32,
    device_map="auto",
)
inputs = tokenizer(PROMPT, return_tensors="pt").to(model.device)
output = model.generate(**inputs, max_new_tokens=TOKENS, min_new_tokens=TOKENS, do_sample=False)
expected = output[0, inputs.input_ids.shape[1] :].tolist()

# %% [markdown]
# ## What loads

# %%
rows = [served(by_llama_cpp, "Qwen/Qwen3-0.6B-GGUF", "gguf-0", expected)]
table = show([*rows, *(served(by_llama_cpp, path, name) for name, path in made.items())])

# %% [markdown]
# ## Serve
#
# The server speaks OpenAI's protocol; OpenAI's own client asks it for the same greedy text.

# %%
# --8<-- [start:ask]
import subprocess
import sys
import time

from openai import APIConnectionError, OpenAI


def text_served(path, port=8011):
    """The greedy text of a GGUF file that llama.cpp serves, by OpenAI's client."""
    # With llama.cpp itself: llama-server -m FILE --port PORT.
    command = [sys.executable, "-m", "llama_cpp.server", "--model", path, "--port", str(port), "--n_ctx", "512"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
    try:
        while True:
            try:
                answer = client.completions.create(model=path, prompt=PROMPT, max_tokens=TOKENS, temperature=0)
                return answer.choices[0].text
            except APIConnectionError:
                assert server.poll() is None, f"the server ended with {server.returncode}"
                time.sleep(1)
    finally:
        server.terminate()
        server.wait()
        # --8<-- [end:ask]


text = text_served(source)
print(repr(text))

# %% tags=["check"]
found = {row["format"]: row for row in table}
for name, row in found.items():
    assert row["loads"], f"{name} was refused: {row['said']}"
for name in TYPES:
    assert found[name]["resident_bytes"] < 0.7 * found["gguf-0"]["resident_bytes"], f"{name} is not in 4 bit"
assert found["gguf-0"]["same"] == TOKENS, "llama.cpp and Transformers generate other tokens from the same file"
assert text == tokenizer.decode(expected, skip_special_tokens=True), "the server says something else"
