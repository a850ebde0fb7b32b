// What a checkpoint is, read from its config.json, from the block in it, or from the file beside it that has the block.
// A reading: {method, format, bits, group, activations, notes}; `format` is a row of the matrix, null where it has none. What
// a file stores otherwise than a 16-bit scale for each group of linear weights is added: `scale` and `tables` (bytes of a
// group's scale, of a layer's codebooks), `head` (bits of the output head), `whole` (embeddings and head too), `byte` (a whole
// one for each weight), and `type` of the weights, such as "float8", where one method has several of the same width.
import { faultOf, jsonOf } from "./pasted.js";

const WIDEST = 32; // bits
const lower = (text) => String(text ?? "").toLowerCase();
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const problem = (text) => ({ problem: text });
/** What a table has under a name, and not what every object has, such as "constructor". */
const pick = (table, name) => (Object.hasOwn(table, String(name)) ? table[name] : undefined);
const reading = (method, format, bits, group, activations = "16-bit", notes = [], stored = {}) => ({
  method,
  format,
  bits: Number.isFinite(bits) && bits > 0 && bits <= WIDEST ? bits : null,
  group,
  activations,
  notes: notes.filter(Boolean),
  ...stored,
});
/** A number of bits or bytes that a file can have, else undefined. */
const sized = (size) => (size > 0 && size < 2 ** 30 ? Number(size) : undefined);
/** A type such as fp8_e4m3 or uint4 as its kind and width, {type: "float8", bits: 8}; empty where it is none. */
function typed(name) {
  const [, kind, bits] = /^u?(float|fp|mx|int)(\d+)/.exec(lower(name)) ?? [];
  return bits ? { type: `${kind === "int" ? "int" : "float"}${bits}`, bits: Number(bits) } : {};
}

/** Weights that share a scale: a number, "row" where the file says -1, null where it says nothing, or none that can be. */
function grouped(size) {
  if (size === undefined || size === null || !Number.isInteger(Number(size))) return null;
  return Number(size) > 0 ? Number(size) : "row";
}

const gptq = (block) => {
  const { bits, sym, desc_act: order, checkpoint_format: layout, dynamic } = block;
  const marlin = block.is_marlin_format || lower(layout).startsWith("marlin");
  const known = [2, 3, 4, 8].includes(bits) && !marlin && block.groupsize === undefined;
  return reading("GPTQ", known ? `gptq-${bits}` : null, bits, grouped(block.group_size ?? block.groupsize), "16-bit", [
    sym === false && "asymmetric: vLLM and SGLang take it by another kernel or not at all",
    (order || block.act_order) && "desc_act: columns are in order of activation, which some kernels refuse",
    marlin && "stored in the order of Marlin's kernel: load it with what wrote it",
    block.groupsize !== undefined && "a layout from before AutoGPTQ, which no engine here reads",
    block.group_size > 128 && `groups of ${block.group_size}: most kernels take 32, 64, 128 or rows`,
    dynamic && "widths differ by layer (dynamic)",
    ![2, 3, 4, 8].includes(bits) && `no engine here has a kernel for ${bits ?? "an unknown number of"} bits`,
  ]);
};

const awq = (block) => {
  const bits = block.bits ?? block.w_bit ?? 4;
  const version = lower(block.version ?? "gemm");
  return reading("AWQ", bits === 4 ? "awq-4" : null, bits, grouped(block.group_size ?? block.q_group_size ?? 128), "16-bit", [
    version !== "gemm" && `version ${version}: most engines read gemm alone`,
    block.zero_point === false && "symmetric",
  ]);
};

const BYTE = { scale: 1 }; // NVFP4 and the MX types scale by 8-bit floats

const autoround = (block) => {
  const { bits, data_type: type, packing_format: packing } = block;
  if (lower(type).includes("fp") && lower(type) !== "fp") {
    const mx = lower(type).startsWith("mx");
    const format = bits === 4 ? (mx ? "ct-mxfp4" : "ct-nvfp4") : null;
    const by = lower(packing).includes("llm_compressor") ? format : null; // else only auto-round itself reads it
    const notes = [`${type}, ${packing ?? "no packing named"}`];
    const scale = bits === 4 || mx ? BYTE : {}; // FP8 is not in small groups
    return reading("AutoRound", by, bits, grouped(block.group_size), `float${block.act_bits ?? bits}`, notes, scale);
  }
  return reading("AutoRound", [2, 4].includes(bits) ? `autoround-${bits}` : null, bits, grouped(block.group_size), "16-bit", [
    block.sym === false && "asymmetric",
    packing && `packed as ${packing}`,
  ]);
};

const bitsandbytes = (block) => {
  if (block.load_in_8bit) return reading("bitsandbytes", "bnb-int8", 8, "row", "int8");
  if (!block.load_in_4bit) {
    return reading("bitsandbytes", null, null, null, "16-bit", ["it says neither load_in_4bit nor load_in_8bit"]);
  }
  const type = block.bnb_4bit_quant_type ?? "fp4";
  return reading("bitsandbytes", "bnb-nf4", 4, 64, "16-bit", [
    `type ${type}`,
    block.bnb_4bit_use_double_quant && "double quantization",
  ]);
};

/** Weights of compressed-tensors that share a scale. */
function shared({ strategy, block_structure: size, group_size: count }) {
  if (strategy === "block") return (size ?? [128, 128]).join(" x ");
  return pick({ channel: "row", tensor: "tensor" }, strategy) ?? grouped(count);
}

/** The scheme of one group of compressed-tensors: [format, bits, group, activations, bytes of a scale]. */
function scheme({ weights, input_activations: inputs, format: own }, whole) {
  const bits = weights.num_bits ?? null;
  const group = shared(weights);
  const format = own ?? whole;
  const width = `${(inputs?.type ?? weights?.type) === "float" ? "float" : "int"}${inputs?.num_bits}`;
  const activations = inputs ? width.replace("int16", "16-bit") : "16-bit";
  if (weights?.type === "float" && bits === 4) {
    const mx = lower(format).startsWith("mx") || (!lower(format).startsWith("nv") && group === 32);
    return [mx ? "ct-mxfp4" : "ct-nvfp4", bits, group, activations, BYTE];
  }
  if (weights?.type === "float" && bits === 8) {
    const mx = lower(format).startsWith("mx");
    return [inputs && !mx ? "ct-fp8" : null, bits, group, activations, mx ? BYTE : {}];
  }
  if (bits === 8 && inputs) return ["ct-w8a8", bits, group, activations];
  return [bits === 4 && !inputs ? "ct-w4a16" : null, bits, group, activations];
}

const compressed = (block) => {
  const groups = Object.values(block.config_groups ?? {}).filter((one) => isObject(one?.weights));
  if (!groups.length) {
    return reading("compressed-tensors", null, 16, null, "16-bit", ["no group has weights: those are not quantized"]);
  }
  const found = groups.map((group) => scheme(group, block.format));
  const [format, bits, group, activations, scale] = found[0];
  const same = found.every(([other]) => other === format);
  const dynamic = groups[0].input_activations?.dynamic;
  return reading(
    "compressed-tensors",
    same ? format : null,
    bits,
    group,
    activations,
    [
      !same && `several schemes in one checkpoint: ${[...new Set(found.map(([one]) => one ?? "another"))].join(", ")}`,
      activations !== "16-bit" && `activations scaled ${dynamic ? "as they come" : "by fixed scales"}`,
      groups[0].weights?.symmetric === false && "asymmetric",
      block.kv_cache_scheme && "with a quantized KV cache",
      block.sparsity_config?.format && block.sparsity_config.format !== "dense" && "sparse, which vLLM no longer loads",
    ],
    scale,
  );
};

const fp8 = (block) => {
  const size = block.weight_block_size;
  if (size && !(Array.isArray(size) && size.length === 2 && size.every((one) => one > 0))) {
    return problem("Its weight_block_size must be two positive numbers, such as [128, 128].");
  }
  const algorithm = lower(block.moe_quant_algo ?? block.quant_algo);
  const mixed = algorithm && !algorithm.startsWith("fp8");
  return reading("FP8", mixed ? null : "fp8-block", 8, size ? size.join(" x ") : "tensor", "float8", [
    mixed && `experts in ${algorithm.toUpperCase()}: what reads plain FP8 does not read them`,
    block.activation_scheme === "static" && "activations scaled by fixed scales",
    !size && "one scale a tensor, not blocks",
    block.scale_fmt === "ue8m0" && "scales are powers of two (ue8m0); experts may be in 4 bit, which the block does not say",
  ]);
};

// What ModelOpt's quant_algo begins with, or has within: bits, weights that share a scale, bytes of a scale.
const ALGORITHMS = [
  [/NVFP4/, 4, (size) => size ?? 16, BYTE],
  [/MXFP4/, 4, () => 32, BYTE],
  [/MXFP8/, 8, () => 32, BYTE],
  [/^W4/, 4, (size) => grouped(size) ?? 128, {}],
  [/^FP8_(PB|BLOCK)/, 8, () => "128 x 128", { scale: 4 }],
  [/PER_CHANNEL|PC_PT|^W8A16/, 8, () => "row", {}],
  [/^(FP8|W8|INT8)/, 8, () => "tensor", {}],
];

/** What it is multiplied with. */
const inputsOf = (algorithm) => {
  if (/A16|_WO/.test(algorithm)) return "16-bit";
  if (/A8.*(SQ|INT8)|^INT8/.test(algorithm)) return "int8";
  if (/A8|FP8/.test(algorithm)) return "float8";
  return /FP4/.test(algorithm) ? "float4" : "16-bit";
};

/** Of what layers have, the one that most have, told apart by a key; undefined where there is none. */
function mostOf(layers, key) {
  const many = new Map();
  for (const one of layers) many.set(key(one), [(many.get(key(one))?.[0] ?? 0) + 1, one]);
  return [...many.values()].sort(([one], [other]) => other - one)[0]?.[1];
}

const modelopt = (block) => {
  const inner = isObject(block.quantization) ? block.quantization : block;
  const layers = Object.values(inner.quantized_layers ?? {}).filter(isObject);
  const first = mostOf(layers, (one) => one.quant_algo);
  const several = layers.some((one) => one.quant_algo !== first.quant_algo);
  const algorithm = String((first ?? inner).quant_algo ?? block.quant_algo ?? "").toUpperCase();
  const [, bits = null, group, stored] = ALGORITHMS.find(([name]) => name.test(algorithm)) ?? [];
  const format = several ? null : ({ FP8: "modelopt-fp8", NVFP4: "modelopt-nvfp4" }[algorithm] ?? null);
  const notes = [
    several && "several widths in one checkpoint, named in quantized_layers",
    !format && !several && `quant_algo ${algorithm || "is not named"}: look at the engine's page before you count on it`,
    inner.kv_cache_quant_algo && `KV cache in ${inner.kv_cache_quant_algo}`,
  ];
  const size = (first ?? inner).group_size ?? inner.group_size;
  return reading("ModelOpt", format, bits, bits && group(size), inputsOf(algorithm), notes, stored);
};

const torchao = (block) => {
  const type = JSON.stringify(block.quant_type ?? "");
  const size = Number(/"group_size": ?(\d+)/.exec(type)?.[1] ?? /group_size=(\d+)/.exec(type)?.[1]);
  const dynamic = /dynamic/i.test(type);
  const inputs = dynamic ? (/float8_?dynamic/i.test(type) ? "float8" : "int8") : "16-bit";
  const narrow = Number(/"u?int(\d)"/.exec(type)?.[1]);
  if (/intx/i.test(type) && narrow && !/packing_format":"(?!unpacked)/i.test(type)) {
    const notes = narrow < 8 ? [`${narrow}-bit values, one to a byte`] : [];
    return reading("torchao", null, narrow, grouped(size) ?? "row", inputs, notes, { byte: true });
  }
  if (/nvfp4/i.test(type)) return reading("torchao", null, 4, 16, dynamic ? "float4" : "16-bit", [], BYTE);
  if (/int4/i.test(type)) {
    return reading("torchao", dynamic ? null : "torchao-int4", 4, grouped(size || (inputs === "int8" ? 32 : 128)), inputs);
  }
  if (/float8/i.test(type)) return reading("torchao", "torchao-float8", 8, "row", inputs, [], { type: "float8" });
  if (/int8/i.test(type)) return reading("torchao", "torchao-int8", 8, "row", inputs, [], { type: "int8" });
  return reading("torchao", null, null, null, "16-bit", ["a type that is not in the matrix"]);
};

const openvino = ({ bits, group_size: size }) =>
  reading("OpenVINO", "openvino", bits, grouped(size), "16-bit", ["weights of an OpenVINO model, whatever quant_method says"]);

/** A scale and a bias of 16 bits each, or one of the 8-bit scales; a layer's path has what differs there. */
const mlx = ({ bits, group_size: size, mode = "affine", ...layers }) => {
  const notes = [mode !== "affine" && `mode ${mode}`, Object.values(layers).some(isObject) && "widths differ by layer"];
  return reading("MLX", "mlx", bits, grouped(size), "16-bit", notes, { scale: mode === "affine" ? 4 : 1, whole: true });
};

const hqq = (block) => {
  const layers = Object.values(block.quant_config ?? {}).map((one) => one?.weight_quant_params);
  const usual = layers.every(isObject) && mostOf(layers, ({ nbits, group_size: size }) => `${nbits} ${size}`);
  const { nbits, group_size: size } = block.quant_config?.weight_quant_params ?? block.weight_quant_params ?? (usual || block);
  const notes = [
    usual && "widths differ by layer",
    nbits === undefined && "a layout of its own: load it with the code that its repository names",
  ];
  return reading("HQQ", nbits === 4 ? "hqq-4" : null, nbits ?? null, grouped(size), "16-bit", notes);
};

const quark = ({ global_quant_config: { weight, input_tensors: inputs } = {} }) => {
  const [{ dtype, mx_element_dtype: inner, ...rest } = {}, given = {}] = [weight, inputs].map((one) => [one ?? {}].flat()[0]);
  const { type, bits } = typed(inner ?? dtype);
  const activations = typed(given.mx_element_dtype ?? given.dtype).type ?? "16-bit";
  const mx = inner || lower(dtype).startsWith("mx") || type === "float4";
  const group = { per_channel: "row", per_tensor: "tensor" }[rest.qscheme] ?? grouped(rest.group_size);
  const notes = [dtype && `weights in ${dtype}`];
  return reading("Quark", !dtype || /fp[48]|mx/.test(dtype) ? "quark" : null, bits, group, activations, notes, {
    type,
    ...(mx && BYTE),
  });
};

const quanto = ({ weights = "int8", activations }) => {
  const { type, bits } = typed(weights);
  return reading("Quanto", "quanto", bits, bits === 8 ? "row" : 128, typed(activations).type, [], { type });
};

/** Codebooks of two passes: a vector's index into each. */
const vptq = (block) => {
  const [layer = {}] = Object.values({ ...block.config_for_layers, ...block.shared_layer_config });
  const [length, ...books] = ["vector_lens", "num_centroids", "num_res_centroids"].map((name) => layer[name]?.[1]);
  const used = books.filter((count) => count > 0);
  const bits = used.reduce((total, count) => total + Math.log2(count), 0) / length;
  const tables = used.reduce((total, count) => total + 2 * count * length, 0);
  return reading("VPTQ", "vptq", bits || null, null, "16-bit", [], { tables: sized(tables) });
};

/** A method of Transformers itself, which no other engine of the matrix reads. */
const own = (method, bits, group, activations, note = "Transformers loads it; see its method's page", stored = {}) =>
  reading(method, null, bits, group, activations, [note], stored);

const simple =
  (...facts) =>
  () =>
    reading(...facts);

const METHODS = {
  aqlm: ({ num_codebooks: books, nbits_per_codebook: bits, in_group_size: size }) =>
    reading("AQLM", "aqlm", (books * bits) / size, size, "16-bit", [], { tables: sized(2 * books * 2 ** bits * size) }),
  "auto-round": autoround,
  "intel/auto-round": autoround,
  awq: awq,
  bitnet: simple("BitNet", "bitnet", 2, "tensor", "int8"),
  bitsandbytes: bitsandbytes,
  "compressed-tensors": compressed,
  eetq: simple("EETQ", "eetq", 8, "row"),
  exl2: (block) => reading("EXL2", "exl2", block.bits, "row", "16-bit", [], { head: sized(block.head_bits) }),
  exl3: (block) => reading("EXL3", "exl3", block.bits, "row", "16-bit", [], { head: sized(block.head_bits) }),
  "fbgemm-fp8": simple("FBGEMM FP8", "fbgemm-fp8", 8, "row", "float8"),
  "fp-quant": (block) => reading("FP-Quant", "fp-quant", 4, lower(block.forward_dtype).startsWith("nv") ? 16 : 32, "float4"),
  fp8: fp8,
  fouroversix: ({ weight_dtype: type, dtype = "nvfp4" }) =>
    own("FourOverSix", 4, lower(type ?? dtype).startsWith("mx") ? 32 : 16, "float4", undefined, BYTE),
  gemma: ({ num_bits: bits = 4 }) => own("Gemma", bits, "row", "16-bit"),
  gguf: () => own("GGUF", null, null, "16-bit", "the types of its blocks stand in the file: its name tells them"),
  gptq: gptq,
  higgs: (block) => reading("HIGGS", "higgs", block.bits, block.group_size),
  hqq: hqq,
  marlin: ({ group_size: size }) =>
    reading("Marlin", null, 4, grouped(size), "16-bit", ["an early order of GPTQ: load it with what wrote it"]),
  mlx: mlx,
  modelopt: modelopt,
  metal: ({ bits = 4, group_size: size = 64 }) => own("Metal", bits, grouped(size), "16-bit", undefined, { scale: 4 }),
  mxfp4: simple("MXFP4", "mxfp4", 4, 32, "16-bit", [], BYTE),
  mxfp8: simple("MXFP8", null, 8, 32, "float8", [], BYTE),
  nvfp4: () => own("NVFP4", 4, 16, "float4", "Transformers quantizes to it while it loads, and raises for a saved checkpoint"),
  quanto: quanto,
  openvino: openvino,
  quark: quark,
  sinq: (block) => reading("SINQ", "sinq", block.nbits, grouped(block.group_size)),
  spqr: (block) => reading("SpQR", "spqr", block.bits, block.beta1),
  torchao: torchao,
  vptq: vptq,
};

const COUNTS = new Set(["bits", "w_bit", "nbits", "num_bits", "group_size", "q_group_size", "groupsize"]);

/** A block with numbers in place of texts that are numbers. */
function numbered(block) {
  if (Array.isArray(block)) return block.map(numbered);
  if (!isObject(block)) return block;
  const number = (key, one) => (COUNTS.has(key) && typeof one === "string" && Number(one) ? Number(one) : numbered(one));
  return Object.fromEntries(Object.entries(block).map(([key, one]) => [key, number(key, one)]));
}

/** The block that says how the weights are quantized, wherever it stands; null where there is none. */
export function find(config) {
  const block = blockOf(config);
  return block && numbered(block);
}

function blockOf(config) {
  const nested = [config, ...["text_config", "llm_config", "language_config"].map((name) => config[name])].filter(isObject);
  for (const one of nested) {
    const block = one.quantization_config ?? one.compression_config;
    if (isObject(block)) return block;
    if (isObject(one.aqlm)) return { quant_method: "aqlm", ...one.aqlm };
    if (isObject(one.quantization)) {
      return one.quantization.quant_algo === undefined ? { ...one.quantization, mlx: true } : one;
    }
  }
  return config.quant_method !== undefined || methodOf(config) ? config : null;
}

// What only the blocks of a method have; asked in this order, before quant_method, which some files borrow.
const SIGNS = [
  ["openvino", (block) => "ratio" in block && "ignored_scope" in block],
  ["mlx", (block) => "bits" in block && "group_size" in block && (block.quant_method === "bitnet" || onlyOf(block, MLX))],
];
// The same for blocks that name no method.
const UNNAMED = [
  ["mlx", (block) => block.mlx],
  ["modelopt", (block) => isObject(block.quantization) || block.quant_algo !== undefined],
  ["compressed-tensors", (block) => isObject(block.config_groups)],
  ["awq", (block) => "w_bit" in block || lower(block.quant_type) === "awq"],
  ["bitsandbytes", (block) => "load_in_4bit" in block || "load_in_8bit" in block],
  ["aqlm", (block) => "nbits_per_codebook" in block],
  ["hqq", (block) => block.type === "hqq"],
  ["gptq", (block) => ["desc_act", "act_order", "groupsize"].some((key) => key in block)],
];
const MLX = ["bits", "group_size", "mode", "mlx"];
/** Whether a block has these keys alone, and what layers have by their paths. */
const onlyOf = (block, keys) =>
  Object.entries(block).every(([key, one]) => keys.includes(key) || key.includes(".") || one?.bits !== undefined);

/** The method of a block; "" where its keys are those of none. */
function methodOf(block) {
  const signed = SIGNS.find(([, test]) => test(block));
  const named = signed?.[0] ?? block.quant_method ?? UNNAMED.find(([, test]) => test(block))?.[0];
  return lower(named).replaceAll("_", "-");
}

/** Read what was pasted; {problem} is one sentence where it is no configuration. */
export function read(text) {
  try {
    return readAs(text);
  } catch {
    return problem("The quantization block has values of another kind than such blocks have: paste it as it is published.");
  }
}

function readAs(text) {
  if (!text.trim()) return problem("Paste a config.json, from { to }, or the name of a repository or file.");
  let config;
  try {
    config = jsonOf(text);
  } catch {
    return problem(`${faultOf(text)} paste the whole file, from { to }.`);
  }
  if (!isObject(config)) return problem("This is JSON, but no object: a config.json begins with { and ends with }.");
  const block = find(config);
  if (!block) {
    if (!config.model_type && !config.architectures) {
      return problem("This object has neither a quantization block nor model_type: is it the config.json of a model?");
    }
    const dtype = config.dtype ?? config.torch_dtype ?? config.text_config?.dtype ?? "16 bit";
    return reading("none", "bf16", 16, null, "16-bit", [
      `weights in ${dtype}`,
      "if hf_quant_config.json or quantize_config.json lies beside it, that file decides: paste it",
    ]);
  }
  return readBlock(block);
}

/** The same of the block alone. */
export function readBlock(block) {
  const name = methodOf(block);
  if (!name) return problem("The quantization block names no quant_method, and its keys are those of no method known here.");
  const known = pick(METHODS, name);
  if (known) return known(block);
  return reading(String(block.quant_method), null, block.bits ?? null, null, "16-bit", [
    "a quant_method that no engine of the matrix names: look for the code that its repository brings",
  ]);
}

const OTHERS = /int8-int4/i; // 4-bit weights with int8 activations are no row
const FILE = "GGUF"; // whatever else stands in the name of such a file

/**
 * The rows that the name of a repository or a file tells, by the endings that formats are known by; those that other formats
 * have too count where there is no better one. A name can be wrong.
 */
export function readName(name, formats) {
  if (OTHERS.test(name)) return [];
  const files = formats.filter(({ hinted }) => hinted.some((ending) => ending === FILE && name.toUpperCase().includes(FILE)));
  const ends = (list) =>
    (files.length ? files : formats).flatMap((one) => one[list].map((ending) => ({ id: one.id, ending })));
  const told = ({ ending }) =>
    new RegExp(`${ending.replaceAll(/[.*+?^$()|[\]\\]/g, "\\$&")}(?=$|[-_./])`, "i").test(name.trim());
  const named = ends("named").filter(told);
  const found = named.length ? named : ends("hinted").filter(told);
  const longest = Math.max(...found.map(({ ending }) => ending.length));
  const rows = found.filter(({ ending }) => ending.length === longest);
  return rows.filter(({ id }, at) => rows.findIndex((one) => one.id === id) === at);
}
