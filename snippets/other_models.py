# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
#   "bitsandbytes==0.50.2",
#   "peft==0.21.2",
#   "torchao==0.18.0",
#   "optimum-quanto==0.2.7",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 15
# models = []
# only_faults = true
#
# [tool.guide.not_pasted]
# tower = "FOLDER stands for your model"
# classifier = "FOLDER stands for your model"
# suffix = "FOLDER stands for your model"
# ///

# %% [markdown]
# # What stays unquantized, and models that are not causal language models
#
# Loads small random models of ten kinds, vision, classification, embedding, speech and translation among them, with
# bitsandbytes, torchao and Quanto; checks which linear layers stay in 16 bit and that the model runs. Fails on the day a
# library changes that.
#
# The page: [what must stay unquantized](../docs/unquantized.md).

# %%
import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what follows is shown on a CPU, also where there is a GPU

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.symptom import *

# %%
device = show_environment("transformers", "accelerate", "bitsandbytes", "peft", "torchao", "optimum-quanto", needs="cpu")

# %%
from torchao.quantization import FqnToConfig, Int8WeightOnlyConfig
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForCTC,
    AutoModelForImageTextToText,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForSpeechSeq2Seq,
    BertConfig,
    BitsAndBytesConfig,
    Gemma3Config,
    LlamaConfig,
    LlavaConfig,
    QuantoConfig,
    Qwen2_5_VLConfig,
    Qwen3Config,
    SiglipConfig,
    T5Config,
    TorchAoConfig,
    Wav2Vec2Config,
    WhisperConfig,
)

# %%
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SIZES, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": WORDS}
TOWER = {**SIZES, "image_size": 32, "patch_size": 16}
SPEECH = {f"{part}_{name}": number for part in ("encoder", "decoder")
          for name, number in (("layers", 2), ("attention_heads", 2), ("ffn_dim", 128))}  # fmt: skip
IMAGE, WORD = 500, torch.arange(2, 18)[None]
pixels = {"pixel_values": torch.ones(1, 3, 32, 32, dtype=torch.bfloat16)}
words = {"input_ids": WORD}
seen = {"input_ids": torch.cat([torch.full((1, 4), IMAGE), WORD], 1), **pixels}

llava = LlavaConfig(
    vision_config={"model_type": "clip_vision_model", **TOWER},
    text_config={"model_type": "llama", **TEXT},
    image_token_index=IMAGE,
)
gemma = Gemma3Config(
    vision_config=TOWER, text_config=TEXT, mm_tokens_per_image=4,
    image_token_index=IMAGE, boi_token_index=501, eoi_token_index=502,
)  # fmt: skip
qwen = Qwen2_5_VLConfig(
    text_config={**SIZES, "num_key_value_heads": 1, "vocab_size": WORDS,
                 "rope_scaling": {"rope_type": "default", "mrope_section": [4, 6, 6]}},
    vision_config={"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 2, "out_hidden_size": 64,
                   "fullatt_block_indexes": [1]},
)  # fmt: skip
bert = BertConfig(**SIZES, vocab_size=WORDS)
siglip = SiglipConfig(text_config={**SIZES, "vocab_size": WORDS, "max_position_embeddings": 32}, vision_config=TOWER)
whisper = WhisperConfig(
    **SPEECH, d_model=64, vocab_size=WORDS, max_source_positions=50, max_target_positions=64,
    pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3,
)  # fmt: skip
wav2vec = Wav2Vec2Config(
    **SIZES, vocab_size=32, conv_dim=(32, 32), conv_stride=(5, 2), conv_kernel=(10, 3),
    num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
)  # fmt: skip

# What is asked of a model: its class, its configuration, an input.
MODELS = {
    "LLaVA": (AutoModelForImageTextToText, llava, seen),
    "Gemma-3": (AutoModelForImageTextToText, gemma, {**seen, "token_type_ids": (seen["input_ids"] == IMAGE).long()}),
    "Qwen2.5-VL": (AutoModelForImageTextToText, qwen, words),
    "Llama-classification": (AutoModelForSequenceClassification, LlamaConfig(**TEXT, pad_token_id=0), words),
    "BERT-classification": (AutoModelForSequenceClassification, bert, words),
    "BERT-embedding": (AutoModel, bert, words),
    "Qwen3-embedding": (AutoModel, Qwen3Config(**TEXT), words),
    "SigLIP": (AutoModel, siglip, {**words, **pixels}),
    "Whisper": (
        AutoModelForSpeechSeq2Seq, whisper,
        {"input_features": torch.ones(1, 80, 100, dtype=torch.bfloat16), "decoder_input_ids": WORD},
    ),
    "Wav2Vec2": (AutoModelForCTC, wav2vec, {"input_values": torch.linspace(-1, 1, 800, dtype=torch.bfloat16)[None]}),
    "T5": (
        AutoModelForSeq2SeqLM, T5Config(d_model=64, d_ff=128, d_kv=32, num_heads=2, num_layers=2, vocab_size=WORDS),
        {**words, "decoder_input_ids": WORD},
    ),
}  # fmt: skip
for name, (kind, config, _) in MODELS.items():
    torch.manual_seed(0)
    kind.from_config(config).to(torch.bfloat16).save_pretrained(name)


def load(name, config=None):
    """One of the models, quantized as the configuration says."""
    return MODELS[name][0].from_pretrained(name, quantization_config=config)


def first(output):
    """The logits or the states of a model's output."""
    return next(one for one in output.values() if isinstance(one, torch.Tensor) and one.is_floating_point()).float()


# --8<-- [start:left]
import torch


def left_in_16_bit(model):
    """The names of a model's linear layers that were not quantized."""
    linear = [(name, one) for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)]
    return [name for name, one in linear if type(one.weight) is torch.nn.Parameter]


# --8<-- [end:left]
def left_in(model):
    """The same without the numbers of layers."""
    return {name.rpartition(".")[2] for name in left_in_16_bit(model)}


# %% [markdown]
# ## Which layers stay in 16 bit, and does it run
#
# Nothing is named: each method leaves what it leaves by default. `out_proj` in SigLIP's tower is that of
# `nn.MultiheadAttention`, which Quanto replaces and the others do not.

# %%
METHODS = {
    "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16),
    "int8": BitsAndBytesConfig(load_in_8bit=True),
    "torchao": TorchAoConfig(Int8WeightOnlyConfig()),
    "quanto": QuantoConfig(weights="int8"),
}

# %%
ATTENTION = {"out_proj"}  # of nn.MultiheadAttention
LEFT = {
    "LLaVA": {"lm_head"},
    "Gemma-3": {"lm_head"} | ATTENTION,
    "Qwen2.5-VL": {"lm_head"},
    "Llama-classification": {"score"},
    "BERT-classification": set(),
    "BERT-embedding": set(),
    "Qwen3-embedding": set(),
    "SigLIP": ATTENTION,
    "Whisper": {"proj_out"},
    "Wav2Vec2": set(),
    "T5": {"lm_head", "wo"},
}
for name, (_, _, given) in MODELS.items():
    plain = first(load(name)(**given))
    for method, config in METHODS.items():
        if (name, method) == ("Wav2Vec2", "torchao"):
            continue  # it does not load: the next cell
        model = load(name, config)
        expected = LEFT[name] - (ATTENTION if method == "quanto" else set()) - ({"wo"} if method == "torchao" else set())
        assert left_in(model) == expected, f"{name} with {method} leaves {left_in(model)} now"
        far = ((first(model(**given)) - plain).norm() / plain.norm()).item()
        assert far < 0.5, (name, method, far)
    print(f"{name}: {', '.join(sorted(LEFT[name])) or 'nothing'}")

# %% [markdown]
# ## torchao and Wav2Vec2: get_input_embeddings not auto-handled

# %%
import transformers

transformers.logging.set_verbosity(transformers.logging.CRITICAL)  # its report has a line for every tensor
with shows(RuntimeError, "We encountered some issues during automatic conversion of the weights"):
    load("Wav2Vec2", METHODS["torchao"])  # the report says: `get_input_embeddings` not auto-handled for Wav2Vec2Model
with shows(NotImplementedError, "not auto"):
    load("Wav2Vec2").get_input_embeddings()

# %% [markdown]
# ## The classifier of BERT is quantized, and a new one does not run
#
# The last parameter of the model stays in 16 bit. In BERT that is the bias of the classifier, which is no layer's name.

# %%
for name in ("BERT-classification", "Llama-classification"):
    last = list(load(name).named_parameters())[-1][0]
    print(name, "-", last)
    assert last == ("classifier.bias" if name.startswith("BERT") else "score.weight")

# %%
FOLDER = "BERT-embedding"  # it has no classifier, so that a new one is drawn
for method, error, text in (("nf4", AssertionError, ""), ("int8", AttributeError, "'Parameter' object has no attribute 'CB'")):
    model = AutoModelForSequenceClassification.from_pretrained(FOLDER, quantization_config=METHODS[method])
    with shows(error, text):
        model(**words)

# %%
# --8<-- [start:classifier]
from transformers import AutoModelForSequenceClassification, BitsAndBytesConfig

config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=["classifier", ".*pooler.*"])
model = AutoModelForSequenceClassification.from_pretrained(FOLDER, num_labels=3, quantization_config=config)
# --8<-- [end:classifier]
print(left_in(model), tuple(model(**words).logits.shape))
assert type(model.classifier) is type(model.bert.pooler.dense) is torch.nn.Linear

# %% [markdown]
# A list with `lm_head` alone takes the protection from `score`.

# %%
AutoModel.from_pretrained("Qwen3-embedding").save_pretrained("base")
only_head = BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=["lm_head"])
model = AutoModelForSequenceClassification.from_pretrained("base", quantization_config=only_head)
model.config.pad_token_id = 0
with shows(AssertionError, ""):
    model(**words)

# %% [markdown]
# ## A vision tower is quantized unless it is named

# %%
FOLDER = "LLaVA"
# --8<-- [start:tower]
from transformers import AutoModelForImageTextToText, BitsAndBytesConfig

keep = [".*vision_tower.*", ".*multi_modal_projector.*", "lm_head"]  # Qwen-VL: ".*visual.*" instead of the first two
config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=keep)
model = AutoModelForImageTextToText.from_pretrained(FOLDER, quantization_config=config, device_map="auto")
# --8<-- [end:tower]


def packed(model, part):
    """How many linear layers with this in their name are quantized."""
    linears = [(name, one) for name, one in model.named_modules() if isinstance(one, torch.nn.Linear)]
    return sum(part in name and type(one.weight) is not torch.nn.Parameter for name, one in linears)


text = 14  # seven linear layers in each of two
assert packed(model, "language_model") == text and packed(model, "") == text
for name, part in (("LLaVA", "vision_tower"), ("Gemma-3", "vision_tower"), ("Qwen2.5-VL", "visual")):
    model = load(name, METHODS["nf4"])
    print(f"{name}: {packed(model, part)} packed layers in {part}")
    assert packed(model, part) > 0
    named = BitsAndBytesConfig(load_in_4bit=True, llm_int8_skip_modules=[f".*{part}.*", "lm_head"])
    assert packed(load(name, named), part) == 0

# %% [markdown]
# How much that is: the configuration that Transformers takes for LLaVA where none is given has the shapes of LLaVA-1.5-7B.

# %%
with torch.device("meta"):
    whole = AutoModelForImageTextToText.from_config(LlavaConfig())
counts = {part: sum(one.numel() for name, one in whole.named_parameters() if part in name) for part in ("vision_tower", "")}
share = counts["vision_tower"] / counts[""]
saved = counts["vision_tower"] * (2 - 4.5 / 8) / 1e9
print(f"{counts['vision_tower']:,} of {counts['']:,} weights, {share:.1%}; nf4 would save {saved:.2f} GB of it")
assert 0.04 < share < 0.05

# %% [markdown]
# ## A list of your own replaces the default, and names match in two ways
#
# bitsandbytes and Quanto compare names of modules: a name matches as the start, as the end, or as a regular expression.
# torchao compares names of parameters, which end in `.weight`: there the end of a module's name finds nothing.

# %%
tiny()
AO = Int8WeightOnlyConfig()
LISTED = {
    "bitsandbytes": lambda names: BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=names),
    "quanto": lambda names: QuantoConfig(weights="int8", modules_to_not_convert=names),
    "torchao": lambda names: TorchAoConfig(AO, modules_to_not_convert=names),
}
for names, by_module, by_parameter in (
    (["down_proj"], {"down_proj"}, set()),
    (["mlp.down_proj", "lm_head"], {"down_proj", "lm_head"}, {"lm_head"}),
    ([".*down_proj", "lm_head"], {"down_proj", "lm_head"}, {"down_proj", "lm_head"}),
    (["model.layers.1"], {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, None),
):
    for method, make in LISTED.items():
        left = left_in(AutoModelForCausalLM.from_pretrained("tiny", quantization_config=make(names)))
        print(f"{names} {method}: {', '.join(sorted(left)) or 'nothing is left'}")
        assert left == (by_parameter if method == "torchao" and by_parameter is not None else by_module), (method, names, left)

# %%
FOLDER = "tiny"
# --8<-- [start:suffix]
from torchao.quantization import Int8WeightOnlyConfig
from transformers import AutoModelForCausalLM, TorchAoConfig

config = TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=[".*down_proj", "lm_head"])  # "down_proj" finds nothing
model = AutoModelForCausalLM.from_pretrained(FOLDER, quantization_config=config, device_map="auto")
# --8<-- [end:suffix]
assert left_in(model) == {"down_proj", "lm_head"}

# %% [markdown]
# torchao by name: what no entry matches stays, and so does the head, also where it is named.

# %%
ALL = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"}
for entries, left in (
    ({r"re:.*\.mlp\..*": AO}, {"q_proj", "k_proj", "v_proj", "o_proj", "lm_head"}),
    ({r"re:.*\.(self_attn|mlp)\..*": AO, "lm_head": AO}, {"lm_head"}),
    ({r"re:.*\.down_proj": None, r"re:.*\.(self_attn|mlp)\..*": AO}, {"down_proj", "lm_head"}),
):
    found = left_in(AutoModelForCausalLM.from_pretrained("tiny", quantization_config=TorchAoConfig(FqnToConfig(entries))))
    print(", ".join(entries), "leaves", ", ".join(sorted(found)))
    assert found == left
