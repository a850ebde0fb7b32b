// What a checkpoint is, read from its config.json, from the block in it, or from the file beside it that has the block.
// A reading: {method, format, bits, group, activations, notes}; `format` is a row of the matrix, null where it has none.

const lower = (text) => String(text ?? "").toLowerCase();
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const problem = (text) => ({ problem: text });
/** What a table has under a name, and not what every object has, such as "constructor". */
const pick = (table, name) => (Object.hasOwn(table, String(name)) ? table[name] : undefined);
const reading = (method, format, bits, group, activations = "16-bit", notes = []) => ({
  method,
  format,
  bits: Number.isFinite(bits) ? bits : null,
  group,
  activations,
  notes: notes.filter(Boolean),
});

/** Weights that share a scale: a number, "row" where the file says -1, null where it says nothing. */
const grouped = (size) => (size === undefined || size === null ? null : Number(size) > 0 ? Number(size) : "row");

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

const autoround = (block) => {
  const { bits, data_type: type, packing_format: packing } = block;
  if (lower(type).includes("fp") && lower(type) !== "fp") {
    const mx = lower(type).startsWith("mx");
    const format = bits === 4 ? (mx ? "ct-mxfp4" : "ct-nvfp4") : null;
    const by = lower(packing).includes("llm_compressor") ? format : null; // else only auto-round itself reads it
    return reading("AutoRound", by, bits, grouped(block.group_size), `float${block.act_bits ?? bits}`, [
      `${type}, ${packing ?? "no packing named"}`,
    ]);
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
function shared({ strategy, block_structure: size, group_size: count } = {}) {
  if (strategy === "block") return (size ?? [128, 128]).join(" x ");
  return pick({ channel: "row", tensor: "tensor" }, strategy) ?? grouped(count);
}

/** The scheme of one group of compressed-tensors: [format, bits, group, activations]. */
function scheme({ weights, input_activations: inputs, format: own }, whole) {
  const bits = weights?.num_bits ?? null;
  const group = shared(weights);
  const format = own ?? whole;
  const width = `${weights?.type === "float" ? "float" : "int"}${inputs?.num_bits}`;
  const activations = inputs ? width.replace("int16", "16-bit") : "16-bit";
  if (weights?.type === "float" && bits === 4) {
    const mx = lower(format).startsWith("mx") || (!lower(format).startsWith("nv") && group === 32);
    return [mx ? "ct-mxfp4" : "ct-nvfp4", bits, group, inputs ? `float${inputs.num_bits}` : "16-bit"];
  }
  if (weights?.type === "float" && bits === 8) {
    return [inputs ? "ct-fp8" : null, bits, group, inputs ? "float8" : "16-bit"];
  }
  if (bits === 8 && inputs) return ["ct-w8a8", bits, group, activations];
  return [bits === 4 && !inputs ? "ct-w4a16" : null, bits, group, activations];
}

const compressed = (block) => {
  const groups = Object.values(block.config_groups ?? {}).filter(isObject);
  if (!groups.length) return reading("compressed-tensors", null, null, null, "16-bit", ["it has no config_groups"]);
  const found = groups.map((group) => scheme(group, block.format));
  const [format, bits, group, activations] = found[0];
  const same = found.every(([other]) => other === format);
  const dynamic = groups[0].input_activations?.dynamic;
  return reading("compressed-tensors", same ? format : null, bits, group, activations, [
    !same && `several schemes in one checkpoint: ${[...new Set(found.map(([one]) => one ?? "another"))].join(", ")}`,
    activations !== "16-bit" && `activations scaled ${dynamic ? "as they come" : "by fixed scales"}`,
    groups[0].weights?.symmetric === false && "asymmetric",
    block.kv_cache_scheme && "with a quantized KV cache",
    block.sparsity_config?.format && block.sparsity_config.format !== "dense" && "sparse, which vLLM no longer loads",
  ]);
};

const fp8 = (block) => {
  const size = block.weight_block_size;
  const algorithm = lower(block.moe_quant_algo ?? block.quant_algo);
  const mixed = algorithm && !algorithm.startsWith("fp8");
  return reading("FP8", mixed ? null : "fp8-block", 8, size ? size.join(" x ") : "tensor", "float8", [
    mixed && `experts in ${algorithm.toUpperCase()}: what reads plain FP8 does not read them`,
    block.activation_scheme === "static" && "activations scaled by fixed scales",
    !size && "one scale a tensor, not blocks",
    block.scale_fmt === "ue8m0" && "scales are powers of two (ue8m0); experts may be in 4 bit, which the block does not say",
  ]);
};

const modelopt = (block) => {
  const inner = isObject(block.quantization) ? block.quantization : block;
  const algorithm = String(inner.quant_algo ?? block.quant_algo ?? "").toUpperCase();
  const format = { FP8: "modelopt-fp8", NVFP4: "modelopt-nvfp4" }[algorithm] ?? null;
  const bits = { FP8: 8, NVFP4: 4 }[algorithm] ?? null;
  const group = { FP8: "tensor", NVFP4: inner.group_size ?? 16 }[algorithm] ?? null;
  return reading("ModelOpt", format, bits, group, { FP8: "float8", NVFP4: "float4" }[algorithm] ?? "16-bit", [
    !format && `quant_algo ${algorithm || "is not named"}: look at the engine's page before you count on it`,
    inner.kv_cache_quant_algo && `KV cache in ${inner.kv_cache_quant_algo}`,
  ]);
};

const torchao = (block) => {
  const type = JSON.stringify(block.quant_type ?? "");
  const size = Number(/"group_size": ?(\d+)/.exec(type)?.[1] ?? /group_size=(\d+)/.exec(type)?.[1]);
  if (/int8_?dynamic/i.test(type) && /int4/i.test(type)) return reading("torchao", null, 4, grouped(size || 32), "int8");
  if (/int4/i.test(type)) return reading("torchao", "torchao-int4", 4, grouped(size || 128));
  if (/float8/i.test(type)) return reading("torchao", "torchao-float8", 8, "row", /dynamic/i.test(type) ? "float8" : "16-bit");
  if (/int8/i.test(type)) return reading("torchao", "torchao-int8", 8, "row", /dynamic/i.test(type) ? "int8" : "16-bit");
  return reading("torchao", null, null, null, "16-bit", ["a type that is not in the matrix"]);
};

const openvino = ({ bits, group_size: size }) =>
  reading("OpenVINO", "openvino", bits, grouped(size), "16-bit", ["weights of an OpenVINO model, whatever quant_method says"]);

const mlx = ({ bits, group_size: size, mode }) =>
  reading("MLX", "mlx", bits, grouped(size), "16-bit", [mode && mode !== "affine" && `mode ${mode}`]);

const hqq = (block) => {
  const { nbits, group_size: size } = block.quant_config?.weight_quant_params ?? block.weight_quant_params ?? block;
  const notes = [nbits === undefined && "a layout of its own: load it with the code that its repository names"];
  return reading("HQQ", nbits === 4 ? "hqq-4" : null, nbits ?? null, grouped(size), "16-bit", notes);
};

const quark = (block) => {
  const weight = block.global_quant_config?.weight ?? {};
  const type = lower(Array.isArray(weight) ? weight[0]?.dtype : weight.dtype);
  const bits = Number(/\d+/.exec(type)?.[0] ?? 0) || null;
  return reading("Quark", /fp8|fp4|mx/.test(type) || !type ? "quark" : null, bits, null, "16-bit", [
    type && `weights in ${type}`,
  ]);
};

const simple = (method, format, bits, group, activations) => () => reading(method, format, bits, group, activations);

const METHODS = {
  aqlm: (block) =>
    reading("AQLM", "aqlm", (block.num_codebooks * block.nbits_per_codebook) / block.in_group_size, block.in_group_size),
  "auto-round": autoround,
  "intel/auto-round": autoround,
  awq: awq,
  bitnet: simple("BitNet", "bitnet", 2, "tensor", "int8"),
  bitsandbytes: bitsandbytes,
  "compressed-tensors": compressed,
  eetq: simple("EETQ", "eetq", 8, "row"),
  exl2: (block) => reading("EXL2", "exl2", block.bits, "row"),
  exl3: (block) => reading("EXL3", "exl3", block.bits, "row"),
  "fbgemm-fp8": simple("FBGEMM FP8", "fbgemm-fp8", 8, "row", "float8"),
  "fp-quant": (block) => reading("FP-Quant", "fp-quant", 4, lower(block.forward_dtype).startsWith("nv") ? 16 : 32, "float4"),
  fp8: fp8,
  gptq: gptq,
  higgs: (block) => reading("HIGGS", "higgs", block.bits, block.group_size),
  hqq: hqq,
  marlin: ({ group_size: size }) =>
    reading("Marlin", null, 4, grouped(size), "16-bit", ["an early order of GPTQ: load it with what wrote it"]),
  mlx: mlx,
  modelopt: modelopt,
  mxfp4: simple("MXFP4", "mxfp4", 4, 32),
  mxfp8: simple("MXFP8", null, 8, 32, "float8"),
  quanto: (block) => reading("Quanto", "quanto", Number(/\d+/.exec(block.weights ?? "")?.[0] ?? 8), "row"),
  openvino: openvino,
  quark: quark,
  sinq: (block) => reading("SINQ", "sinq", block.nbits, grouped(block.group_size)),
  spqr: (block) => reading("SpQR", "spqr", block.bits, block.beta1),
  torchao: torchao,
  vptq: simple("VPTQ", "vptq", null, null),
};

/** The block that says how the weights are quantized, wherever it stands; null where there is none. */
function find(config) {
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
const onlyOf = (block, keys) => Object.keys(block).every((key) => keys.includes(key));

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
    config = JSON.parse(text);
  } catch (error) {
    return problem(`This is not valid JSON: ${error.message}. Paste the whole file, from { to }.`);
  }
  if (!isObject(config)) return problem("This is JSON, but no object: a config.json begins with { and ends with }.");
  const block = find(config);
  if (!block) {
    if (!config.model_type && !config.architectures) {
      return problem("This object has neither a quantization block nor model_type: is it the config.json of a model?");
    }
    const dtype = config.dtype ?? config.torch_dtype ?? config.text_config?.dtype ?? "16 bit";
    return reading("none", "bf16", 16, null, "16-bit", [`weights in ${dtype}`]);
  }
  const name = methodOf(block);
  if (!name) return problem("The quantization block names no quant_method, and its keys are those of no method known here.");
  const known = pick(METHODS, name);
  if (known) return known(block);
  return reading(String(block.quant_method), null, block.bits ?? null, null, "16-bit", [
    "a quant_method that no engine of the matrix names: look for the code that its repository brings",
  ]);
}

/** What the name of a repository or a file says, by the endings that formats are known by; a name can be wrong. */
export function readName(name, formats) {
  const plain = name.trim();
  const ends = formats.flatMap(({ id, named }) => named.map((ending) => ({ id, ending })));
  const found = ends
    .filter(({ ending }) => new RegExp(`${ending.replaceAll(/[.*+?^$()|[\]\\]/g, "\\$&")}(?=$|[-_.])`, "i").test(plain))
    .sort((one, other) => other.ending.length - one.ending.length);
  return found.filter(({ ending }) => ending.length === found[0].ending.length);
}
