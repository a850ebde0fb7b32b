# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "accelerate==1.15.0",
# ]
#
# [tool.guide]
# needs = "cpu"
# minutes = 15
# models = ["HuggingFaceTB/SmolLM2-135M-Instruct"]
# only_faults = true
# ///

# %% [markdown]
# # A quantization method of your own in Transformers
#
# Registers a small method, int8 weights with one scale a row, and does with it what a reader does: load, generate, save, load
# again. Then it shows what a new method meets: a load without its registration, mixtures of experts, training. Each cell fails
# on the day a release changes what it says.
#
# What each part is for: [Add a method to Transformers](../docs/add-a-method.md).

# %%
from snippets.shared.environment import show_environment

# %%
from snippets.shared.symptom import *

# %%
device = show_environment("transformers", "accelerate", needs="cpu")

# %% [markdown]
# ## The whole of it: a layer, a conversion, a configuration, a quantizer

# %%
# --8<-- [start:quantizer]
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.core_model_loading import ConversionOps
from transformers.quantizers import HfQuantizer, get_module_from_name, register_quantization_config, register_quantizer
from transformers.quantizers.quantizers_utils import should_convert_module
from transformers.utils.quantization_config import QuantizationConfigMixin


class Int8Linear(nn.Module):
    """int8 weights, a float32 scale for each row; multiplies in the type of the activations."""

    def __init__(self, inputs, outputs, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, dtype=torch.int8), requires_grad=False)
        self.weight_scale = nn.Parameter(torch.empty(outputs, 1, dtype=torch.float32), requires_grad=False)
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None

    def forward(self, hidden):
        return nn.functional.linear(hidden, (self.weight * self.weight_scale).to(hidden.dtype), self.bias)


class Int8Quantize(ConversionOps):
    """One weight of the checkpoint becomes the tensors of the new layer."""

    def convert(self, input_dict, full_layer_name=None, **kwargs):
        ((weight,),) = input_dict.values()
        weight = weight.float()  # in bf16 the largest quotient may be 128, which int8 turns into -128
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        return {full_layer_name: (weight / scale).round().to(torch.int8), f"{full_layer_name}_scale": scale}


@register_quantization_config("int8-rows")
class Int8RowsConfig(QuantizationConfigMixin):
    """What stands under quantization_config in config.json."""

    def __init__(self, modules_to_not_convert=None, dequantize=False, **kwargs):
        self.quant_method = "int8-rows"
        self.modules_to_not_convert = modules_to_not_convert
        self.dequantize = dequantize


@register_quantizer("int8-rows")
class Int8RowsQuantizer(HfQuantizer):
    quantized_element_size = 1  # bytes a weight, for device_map="auto"

    def _process_model_before_weight_loading(self, model, **kwargs):
        leave = self.quantization_config.modules_to_not_convert
        leave = self.get_modules_to_not_convert(model, leave, model._keep_in_fp32_modules)
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Linear) and should_convert_module(name, leave):
                with torch.device("meta"):  # the weights come later
                    layer = Int8Linear(module.in_features, module.out_features, module.bias is not None)
                model.set_submodule(name, layer)

    def param_needs_quantization(self, model, param_name, **kwargs):
        module, name = get_module_from_name(model, param_name)
        return isinstance(module, Int8Linear) and name == "weight" and not self.pre_quantized

    def get_quantize_ops(self):
        return Int8Quantize()

    def is_serializable(self):
        return True

    @property
    def is_trainable(self):
        return False


MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
model = AutoModelForCausalLM.from_pretrained(MODEL, quantization_config=Int8RowsConfig())
prompt = tokenizer("def read_config(path):\n", return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(prompt, max_new_tokens=20, do_sample=False)[0]))

model.save_pretrained("int8-rows")
again = AutoModelForCausalLM.from_pretrained("int8-rows")  # in a process that has registered the method
print(torch.equal(again(prompt).logits, model(prompt).logits))  # True
# --8<-- [end:quantizer]

# %% [markdown]
# It stores what it says, equals plain rounding, and leaves the head.

# %%
plain = AutoModelForCausalLM.from_pretrained(MODEL)
layer, weight = (one.model.layers[0].mlp.up_proj for one in (model, plain))
weight = weight.weight
assert layer.weight.dtype == torch.int8 and layer.weight_scale.dtype == torch.float32
scale = weight.float().abs().amax(dim=1, keepdim=True) / 127
assert torch.equal(layer.weight * layer.weight_scale, (weight.float() / scale).round() * scale)
assert type(model.get_output_embeddings()) is nn.Linear
assert torch.equal(again(prompt).logits, model(prompt).logits)


def linear_bytes(model):
    """Bytes of the decoder's linear layers."""
    parts = [one for name, one in model.named_parameters() if "_proj." in name]
    return sum(one.numel() * one.element_size() for one in parts)


def distance(found, model=plain, ids=prompt):
    """Relative distance of the logits from those of the 16-bit model."""
    return ((found(ids).logits - model(ids).logits).norm() / model(ids).logits.norm()).item()


print(f"{linear_bytes(plain):,} bytes of linear layers in bf16, {linear_bytes(model):,} in int8")
print(f"logits {100 * distance(model):.1f} % away from bf16")
assert linear_bytes(plain) / 2 < linear_bytes(model) < 0.52 * linear_bytes(plain)
assert distance(model) < 0.05

# %% [markdown]
# ## Round in float32: in bf16 the largest weights of a row may change their sign


# %%
class InBf16(ConversionOps):
    """The same, computed in the checkpoint's bf16."""

    def convert(self, input_dict, full_layer_name=None, **kwargs):
        ((weight,),) = input_dict.values()
        scale = weight.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        return {full_layer_name: (weight / scale).round().to(torch.int8), f"{full_layer_name}_scale": scale}


Int8RowsQuantizer.get_quantize_ops = lambda self: InBf16()
coarse = AutoModelForCausalLM.from_pretrained(MODEL, quantization_config=Int8RowsConfig())
Int8RowsQuantizer.get_quantize_ops = lambda self: Int8Quantize()


def error(quantized):
    """Of one layer's weights, as a share of their size."""
    layer = quantized.model.layers[0].mlp.up_proj
    return ((layer.weight * layer.weight_scale - weight).norm() / weight.norm()).item()


stored = coarse.model.layers[0].mlp.up_proj.weight
turned = ((stored == -128) & (weight > 0)).sum().item()
print(f"{turned} positive weights of {stored.shape[0]} rows became -128")
print(f"error of the weights {100 * error(model):.2f} %, computed in bf16 {100 * error(coarse):.2f} %")
assert turned > 0 and error(coarse) > 5 * error(model)
assert model.model.layers[0].mlp.up_proj.weight.min() == -127

# %% [markdown]
# ## A conversion that runs while a quantized checkpoint loads
#
# The files have `weight` and `weight_scale`. A converter collects both and makes one 16-bit weight for a plain layer.

# %%
from transformers.core_model_loading import _IdentityOp


class Int8Dequantize(ConversionOps):
    def __init__(self, hf_quantizer):
        self.hf_quantizer = hf_quantizer  # tells the loader to leave the stored types alone

    def convert(self, input_dict, full_layer_name=None, model=None, **kwargs):
        (weight,) = input_dict["weight"]
        if "weight_scale" in input_dict:  # embeddings, norms and the head have none
            weight = (weight * input_dict["weight_scale"][0]).to(model.dtype)
        return {full_layer_name: weight}

    @property
    def reverse_op(self):
        return _IdentityOp()  # without it save_pretrained raises NotImplementedError


replace_layers = Int8RowsQuantizer._process_model_before_weight_loading


def unless_dequantized(self, model, **kwargs):
    if not (self.pre_quantized and self.quantization_config.dequantize):
        replace_layers(self, model, **kwargs)


Int8RowsQuantizer._process_model_before_weight_loading = unless_dequantized
Int8RowsQuantizer.serialized_names = {"weight": ["weight", "weight_scale"]}
Int8RowsQuantizer.get_load_operations = lambda self: {"dequantize": Int8Dequantize}

# %% [markdown]
# ### dequantize=True as an argument changes nothing, in config.json it does

# %%
with warns("The `quantization_config` from the model will be used"):
    same = AutoModelForCausalLM.from_pretrained("int8-rows", quantization_config=Int8RowsConfig(dequantize=True))
assert type(same.model.layers[0].mlp.up_proj) is Int8Linear, "mended: the argument is read"

path = Path("int8-rows/config.json")
config = json.loads(path.read_text(encoding="utf-8"))
config["quantization_config"]["dequantize"] = True
path.write_text(json.dumps(config), encoding="utf-8")
unpacked = AutoModelForCausalLM.from_pretrained("int8-rows")
assert type(unpacked.model.layers[0].mlp.up_proj) is nn.Linear and not unpacked.is_quantized
assert torch.equal(unpacked(prompt).logits, model(prompt).logits)
unpacked.save_pretrained("unpacked")
assert torch.equal(AutoModelForCausalLM.from_pretrained("unpacked")(prompt).logits, model(prompt).logits)

# %% [markdown]
# ### Without reverse_op the model loads, and cannot be saved

# %%
del Int8Dequantize.reverse_op
unpacked = AutoModelForCausalLM.from_pretrained("int8-rows")
with shows(NotImplementedError, ""):  # no text
    unpacked.save_pretrained("refused")

# %% [markdown]
# ## A process that has not registered the method loads nonsense, with a warning

# %%
from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

model.config.quantization_config.dequantize = False
model.save_pretrained("int8-rows")
kept = AUTO_QUANTIZATION_CONFIG_MAPPING.pop("int8-rows")
with warns("Unknown quantization type, got int8-rows"):
    lost = AutoModelForCausalLM.from_pretrained("int8-rows")
AUTO_QUANTIZATION_CONFIG_MAPPING["int8-rows"] = kept
largest = lost.model.layers[0].mlp.up_proj.weight.abs().max().item()
print(f"the largest weight is {largest:.0f}, and was {weight.abs().max().item():.2f}")
assert largest == 127, "mended: it is refused, or the scales are used"

# %% [markdown]
# ## Registering twice raises: restart the kernel after an edit

# %%
with shows(ValueError, "Quantizer 'int8-rows' already registered"):
    register_quantizer("int8-rows")(Int8RowsQuantizer)

# %% [markdown]
# ## A mixture of experts: layers are replaced, fused experts are not

# %%
mixture = AutoModelForCausalLM.from_pretrained(tiny_experts(), quantization_config=Int8RowsConfig())
layer = mixture.model.layers[0]
print(type(layer.self_attn.q_proj).__name__, "-", layer.mlp.experts.gate_up_proj.dtype)
assert type(layer.self_attn.q_proj) is Int8Linear and layer.mlp.experts.gate_up_proj.dtype == torch.bfloat16

# %% [markdown]
# ## What the quantizer does not claim is refused: training, dequantize()

# %%
from transformers import Trainer, TrainingArguments

with shows(ValueError, "You cannot perform fine-tuning on purely quantized models"):
    Trainer(model=model, args=TrainingArguments(output_dir="trained", report_to=[]))
with shows(NotImplementedError, "int8-rows has no implementation of `dequantize`"):
    model.dequantize()
