// Which layers a pasted checkpoint stores otherwise than the rest: its block names them, each library in a way of its own.
// A rule is {names, block}: what its names mean is stored as that block says, null for 16 bit, undefined for as the rest is.
import { present } from "./architecture.js";

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const UNQUANTIZED = 16; // bits

// Lists of what stays in 16 bit.
const LISTS = [
  "modules_to_not_convert",
  "ignore",
  "ignored_layers",
  "exclude_modules",
  "exclude",
  "skip_modules",
  "llm_int8_skip_modules",
  "linear_weights_not_to_quantize",
];
// What may stand before the number of a language model's layer; elsewhere it is another model's, such as one that sees.
const BEFORE = /^((model|language_model|text_model|llm|transformer|decoder|backbone|thinker|\*)\.)*$/;
// The same as libraries call it, of which a regular expression may mean any.
const PREFIXES = ["model.", "", "model.language_model.", "language_model.model.", "transformer.", "backbone."];
const LONGEST = 1000; // characters of an expression
const REPEATS = /[+*}][^()]*\)[+*{]/; // a repeat at the end of a group that is repeated
const EXPRESSION = /^re:|^\.\*|[()|^$+?\\[\]]/;

const strings = (list) => (Array.isArray(list) ? list.flat(Infinity).filter((one) => typeof one === "string") : []);

/** The names of what a block leaves in 16 bit. */
export function keptIn(block) {
  const inner = isObject(block.quantization) ? block.quantization : {};
  const wide = Object.entries(block.extra_config ?? {}).filter(([, one]) => one?.bits >= UNQUANTIZED);
  const left = Object.keys(block.dynamic ?? {}).filter((key) => key.startsWith("-:"));
  return [
    ...LISTS.flatMap((key) => strings([block[key], inner[key]])),
    ...wide.map(([name]) => name),
    ...left.map((key) => `re:${key.slice(2)}`),
  ];
}

/** Rules of layers that have widths of their own, and whether all else is in 16 bit: {rules, alone}. */
function widthsIn(block) {
  const inner = isObject(block.quantization) ? block.quantization : block;
  const each = (table, made) =>
    Object.entries(isObject(table) ? table : {}).map(([name, one]) => ({ names: [name], block: made(one) }));
  const { extra_config: _, dynamic: __, ...plain } = block;
  const own = (one) => ({ ...plain, bits: one?.bits ?? block.bits, group_size: one?.group_size ?? block.group_size });
  const groups = Object.values(isObject(block.config_groups) ? block.config_groups : {}).filter((one) =>
    isObject(one?.weights),
  );
  const layers = each(inner.quantized_layers, (one) => ({ quant_method: "modelopt", group_size: inner.group_size, ...one }));
  const inside = strings(block.modules_in_block_to_quantize ?? block.inside_layer_modules);
  const types = findTypes(block.quant_type);
  const tags = isObject(block.quant_config) && !block.quant_config.weight_quant_params ? block.quant_config : {};
  // MLX's, by path; the head has no dot in it
  const byPath = ([key, one]) =>
    key.includes(".") || key === "lm_head" ? one === false || isObject(one) : isObject(one) && "bits" in one;
  const pathed = Object.fromEntries(Object.entries(block).filter(byPath));
  const dynamic = Object.entries(block.dynamic ?? {}).filter(([key]) => !key.startsWith("-:"));
  if (layers.length) return { rules: layers, alone: block.quant_method !== "fp8" };
  if (groups.length > 1 || groups.some(({ targets }) => strings(targets).some((one) => one !== "Linear"))) {
    const made = (one) => ({ quant_method: "compressed-tensors", format: block.format, config_groups: { one } });
    return { rules: groups.map((one) => ({ names: strings(one.targets), block: made(one) })), alone: true };
  }
  if (types) {
    const { _default: rest, ...named } = types;
    const made = (one) => one && { quant_method: "torchao", quant_type: one };
    return { rules: [...each(named, made), { names: ["Linear"], block: made(rest) ?? null }], alone: !rest };
  }
  if (Object.values(tags).some(isObject)) {
    return { rules: each(tags, (one) => one && { quant_method: "hqq", quant_config: one }), alone: true };
  }
  return {
    rules: [
      ...each(block.extra_config, own),
      ...dynamic.map(([key, one]) => ({ names: [`re:${key.replace(/^\+:/, "")}`], block: own(one) })),
      ...each(block.layer_quant_config, (one) => ({ quant_method: "quark", global_quant_config: one })),
      ...each(block.module_quant_configs, (one) => ({ ...block, module_quant_configs: undefined, ...one })),
      ...each(pathed, (one) => (one ? { ...one, mlx: true } : null)),
      ...(inside.length ? [{ names: inside, block: undefined }] : []),
    ],
    alone: inside.length > 0,
  };
}

/** The table of types by name in a block of torchao, wherever it stands. */
function findTypes(type) {
  if (!isObject(type)) return null;
  const found = type.module_fqn_to_config ?? type.fqn_to_config;
  return isObject(found) ? found : (Object.values(type).map(findTypes).find(Boolean) ?? null);
}

/** A name without what stands before a layer's number, as paths here are; null where it is of no language model. */
function plainName(name) {
  const [, before = "", within = name] = /^(.*?)((?:layers|h)\.(?:\d+|\*).*)$/.exec(name) ?? [];
  const plain = within.replace(/^h\./, "layers.").replaceAll(/^((model|language_model)\.)+|\.+$|\.weight$/g, "");
  return BEFORE.test(before) && plain ? plain : null;
}

/** Whether one of a tensor's paths, or what it is in, is what names of a block mean: names, globs, and expressions. */
function compiled(names) {
  const exact = new Set();
  const expressions = [];
  for (const name of names) {
    const plain = EXPRESSION.test(name) ? null : plainName(name);
    if (EXPRESSION.test(name)) expressions.push([expressionOf(name), PREFIXES]);
    else if (plain && /^layers\.\d/.test(plain) && !plain.includes("*")) exact.add(plain);
    else if (plain) expressions.push([new RegExp(`(^|\\.)${globOf(plain)}($|\\.)`), [""]]);
  }
  const within = (path) => path.split(".").some((_, at, all) => exact.has(all.slice(0, at + 1).join(".")));
  const meant = (path) => expressions.some(([one, prefixes]) => one && prefixes.some((prefix) => one.test(prefix + path)));
  return (paths) => paths.some((path) => within(path) || meant(path));
}

const globOf = (name) => name.replaceAll(".", "\\.").replaceAll("*", ".*");

/** An expression as Python's re.match takes it, from the start; null where this browser's language has none such, or where it
 * may take for ever: one that is long, or repeats what it repeats. */
function expressionOf(name) {
  const [, begins = "", all] = /^(re:)?(?:\(\?i\))?(.*)$/s.exec(name);
  if (all.length > LONGEST || REPEATS.test(all)) return null;
  try {
    return new RegExp(begins ? `^(?:${all})` : `^(?:${all})(?:(?<=\\.)|(?=\\.|$))`, /^(re:)?\(\?i\)/.test(name) ? "i" : "");
  } catch {
    return null;
  }
}

/** Whether a block names layers by an expression that cannot be read. */
export const unreadIn = (block) =>
  [...keptIn(block), ...widthsIn(block).rules.flatMap(({ names }) => names)].some(
    (name) => EXPRESSION.test(name) && !expressionOf(name),
  );

/** What a tensor of a layer is called in files, which may have a matrix of each expert. */
function pathsOf({ part, name }, layer) {
  const path = layer === null ? name.replace(/^model\./, "") : `layers.${layer}.${name}`;
  if (part !== "experts") return [path];
  const [experts, last] = [path.slice(0, path.lastIndexOf(".")), path.slice(path.lastIndexOf(".") + 1)];
  const each = { gate_up_proj: ["gate_proj", "up_proj", "w1", "w3"], down_proj: ["down_proj", "w2"] }[last] ?? [last];
  const found = [path, ...each.map((one) => `${experts}.0.${one}`)];
  const older = found.map((one) => one.replace(".mlp.", ".block_sparse_moe.")); // of Mixtral, MiniMax
  const switched = each.map((one) => `${experts.replace(/experts$/, "switch_mlp")}.${one}`); // MLX's
  return [...found, ...older, ...switched];
}

const PARTS = new Set(["linear", "experts", "head", "embedding"]);

/**
 * By a tensor's place in the list of a model, how much of it is stored otherwise than a variant's rest is: [[how many, its
 * block or null], ...]. `quantizes` are the parts that the rest is of.
 */
export function layersOf(block, { family, config }, quantizes) {
  const { rules, alone } = widthsIn(block);
  const all = [{ names: keptIn(block), block: null }, ...rules].map(({ names, block: own }) => {
    const means = compiled(names);
    return { means, linear: names.includes("Linear"), block: own };
  });
  const found = {};
  for (const [place, { entry, layers, count }] of present(family, config).entries()) {
    if (!PARTS.has(entry.part)) continue;
    const usual = quantizes.includes(entry.part);
    const many = new Map();
    for (const layer of layers) {
      const paths = pathsOf(entry, layer);
      const rule = all.find(({ means, linear }) => (linear && usual) || means(paths));
      const own = rule ? rule.block : alone ? null : undefined;
      if (own === undefined || (own === null && !usual)) continue;
      many.set(own, (many.get(own) ?? 0) + count / layers.length);
    }
    if (many.size) found[place] = [...many].map(([own, times]) => [times, own]);
  }
  return found;
}
