// What was pasted in place of a model's config.json. The same as guide/calculator/pasted.py; tests hold both to the same
// sentences. Only a page into which something was pasted loads this.

const LONGEST = 10_000_000; // characters; published ones have up to 3 million
const NAME = /^(https?:\/\/\S+|[\w.~@\\/:-]*[A-Za-z][\w.~@\\/:-]*)$/; // of a model, with or without a file or a tag; or a path
const NO_JSON = /"(?:[^"\\]|\\.)*"|(-?Infinity|NaN)(?=\s*(?:[,\]}]|$))/g;
const FENCED = /^\s*`{3,}[^\n]*\n([^]*?)\n?\s*`{3,}\s*$/;
const FAULT = /"(?:[^"\\\n]|\\.)*"|(\/\/|\/\*|#)|(,)(?=\s*[}\]])/g; // a comment, or a comma behind which nothing comes
const PASTE_ALL = "paste the whole of a model's config.json, from { to }";
const MODEL = "paste the config.json of the model itself";
const BESIDE = "paste the config.json that lies beside it";
// Files that lie beside a config.json: fields that tell one together, what it is, and what to paste instead.
const OTHER_FILES = [
  [["peft_type"], "an adapter_config.json", "paste the config.json of the model that the adapter is for"],
  [["_class_name"], "the config.json of a part of a diffusion pipeline", "paste that of a language model"],
  [["tokenizer_class"], "a tokenizer_config.json", MODEL],
  [["added_tokens_decoder"], "a tokenizer_config.json", MODEL],
  [["_from_model_config"], "a generation_config.json", MODEL],
  [["do_sample"], "a generation_config.json", MODEL],
  [["weight_map"], "the index of a checkpoint's files", BESIDE],
  [["quantization", "producer"], "an hf_quant_config.json", BESIDE],
  [["quant_algo"], "a quantization config", MODEL],
  [["quant_method"], "a quantization config", MODEL],
  [["bits", "group_size"], "a quantize_config.json", BESIDE],
  [["w_bit"], "a quant_config.json", BESIDE],
  [["zero_optimization"], "a configuration of DeepSpeed", MODEL],
  [["image_processor_type"], "a preprocessor_config.json", MODEL],
  [["image_processor"], "a processor_config.json", MODEL],
  [["dim", "n_layers"], "a params.json", "paste the config.json of the same model, which Transformers reads"],
];
// Of a generation_config.json without more, where nothing of a model is.
const TOKENS = ["eos_token_id", "bos_token_id", "pad_token_id"];
const SIZES = ["architectures", "hidden_size", "n_embd", "d_model", "vocab_size"];

const isObject = (thing) => typeof thing === "object" && thing !== null && !Array.isArray(thing);

/** A text without what an editor, a page or a chat puts around JSON, or between its words. */
const plain = (text) =>
  text
    .replaceAll(/[\ufeff\u200b]/g, "")
    .replaceAll("\u00a0", " ")
    .replace(FENCED, "$1");

/** The JSON of a text; NaN and Infinity, which Transformers writes, are no JSON and become texts. */
export const jsonOf = (text) => JSON.parse(plain(text).replace(NO_JSON, (all, number) => (number ? `"${number}"` : all)));

/** Why a text that begins as JSON is none, where that is seen. */
export function faultOf(given) {
  const text = plain(given).trim();
  const fault = text.startsWith("{") ? [...text.matchAll(FAULT)].find(([, comment, comma]) => comment || comma) : null;
  if (!fault) return "This is not JSON:";
  const line = text.slice(0, fault.index).split("\n").length;
  const what = fault[1] ? "a comment, which JSON has not" : "a comma behind which nothing comes";
  return `This is not JSON, line ${line} has ${what}: take it out, or`;
}

/** {raw}, the object that was pasted, or {problem}: one sentence saying what is wrong. */
export function parsed(text) {
  if (text.length > LONGEST) return { problem: "This is far longer than a config.json: paste it alone." };
  let raw;
  try {
    raw = jsonOf(text);
  } catch {
    const given = plain(text).trim();
    const name = "This is the name or address of a model, which this page can't look up:";
    return { problem: `${NAME.test(given) ? name : faultOf(text)} ${PASTE_ALL}.` };
  }
  if (!isObject(raw)) return { problem: `This is JSON, but no object: ${PASTE_ALL}.` };
  const other = fileOf(raw);
  return other ? { problem: `This is ${other[0]}, which says nothing of a model's shapes: ${other[1]}.` } : { raw };
}

/** What file an object is instead, and what to paste; undefined where none is known. */
function fileOf(raw) {
  const has = (field) => Object.hasOwn(raw, field);
  if (has("model_type")) return;
  const known = OTHER_FILES.find(([fields]) => fields.every(has));
  if (known) return known.slice(1);
  if (TOKENS.some(has) && !SIZES.some(has)) return ["a generation_config.json", MODEL];
}
