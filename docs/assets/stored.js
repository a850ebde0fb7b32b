// The variant that a pasted checkpoint is stored as, for the calculator; reading.js says what its quantization_config means.
import { keptIn, layersOf, unreadIn } from "./layers.js";
import { jsonOf } from "./pasted.js";
import { find, read, readBlock } from "./reading.js";

const isList = (value) => Array.isArray(value) && value.length > 0;
const plain = (text) => text.toLowerCase().replaceAll(" ", "-");
const MOST_NAMED = 3;
const EXPRESSION = "An expression among these names could not be read: what it means is counted as the rest is.";
const FUSED_FROM = 5; // version of Transformers that saves experts as it holds them, fused: what quantizes linear layers alone
// leaves them in 16 bit

/** The weights that share a scale in a variant: a number, null for the whole of a row, undefined where it has no scales. */
const groupOf = ({ shares, storage: [, scales] }) => shares ?? (scales && (scales.run ?? scales.tile?.[1] ?? null));

/** The variant with another number of weights to a scale; an entry may be of several groups. The weights stay as they are. */
function regrouped(variant, group) {
  const before = groupOf(variant);
  const entry = ({ tile, run, bytes, ...rest }, at) => {
    const groups = (run ?? tile?.[1]) / before;
    if (!at || !groups || groups % 1) return variant.storage[at];
    if (group === "row") return { ...rest, bytes: bytes / groups, tile: [tile?.[0] ?? 1, null] };
    if (run) return { ...rest, bytes, run: group * groups };
    return groups === 1 ? { ...rest, bytes, tile: [tile[0], group] } : { ...rest, bytes: (bytes * before) / group, tile };
  };
  const own = variant.label.replace(/,? groups of \d+/, "");
  const label = group === "row" ? `${own}, a scale a row` : `${own}, groups of ${group}`;
  return { ...variant, id: "pasted", label, storage: variant.storage.map(entry) };
}

/** The variant of the guide that has the method, bits and type of a reading and stores as it does; undefined if none does. */
function nearest({ bits, group, activations, notes, type, scale, tables, byte }, row, own) {
  const product = activations.replace("float", "fp");
  const twice = notes.includes("double quantization");
  const typed = ({ label }) => /\b(int|float)\d\b/.exec(label)?.[0] ?? type;
  const stands = (one) =>
    !byte &&
    one.bits === bits &&
    (one.product === product || (row && !row.variant)) &&
    (!type || typed(one) === type) &&
    (!scale || one.storage[1]?.bytes === scale) &&
    (!tables || one.storage.some(({ bytes }) => bytes === tables));
  const fit = (one) =>
    (one.product === product ? 4 : 0) +
    (one.label.includes("double") === twice ? 2 : 0) +
    (groupOf(one) === group ? 1 : 0) +
    (one.id.endsWith(`/${row?.variant}`) ? 1 : 0);
  return own.filter(stands).sort((one, other) => fit(other) - fit(one))[0];
}

/** Weights of so many bits, a scale each group or tables each layer, for what the guide has no variant of. */
function byBits({ method, bits, group, activations, scale = 2, tables, head, whole, byte }, row) {
  const tile =
    { row: [1, null], tensor: [null, null] }[group] ??
    String(group ?? 128)
      .split(" x ")
      .map(Number);
  const scales = tables
    ? { what: "codebooks", bytes: tables, tile: [null, null] }
    : { what: "scales", bytes: scale, tile: tile.length > 1 ? tile : [1, ...tile] };
  return {
    id: "pasted",
    title: method,
    label: `${bits} bit`,
    bits,
    product: activations.replace("float", "fp"),
    quantizes: ["linear", "experts", ...(whole ? ["embedding", "head"] : head ? ["head"] : [])],
    only_models: [],
    keys: [],
    cells: { peft: { answer: "not verified", note: "" } },
    fused: Boolean(row?.home), // an engine's kernels unpack on the way
    storage: [{ what: "weights", bytes: byte ? 1 : bits / 8 }, scales],
    ...(head && { parts: { head: [{ what: "weights", bytes: head / 8 }, scales] } }),
  };
}

/** What a checkpoint leaves alone, in a sentence; empty where it names nothing. */
function kept(block) {
  const names = keptIn(block).map((name) => name.replace(/^re:/, ""));
  if (!names.length) return "";
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
  const unread = unreadIn(block) ? ` ${EXPRESSION}` : "";
  return ` It leaves ${names.slice(0, MOST_NAMED).join(", ")}${more} unquantized.${unread}`;
}

/** The variant with the layers that its checkpoint stores otherwise; itself where there are none. */
function withLayers(variant, block, reading, model) {
  const storageOf = (own) => {
    const found = own && readBlock(own);
    if (!found || found.problem || found.bits === 16) return null;
    if (found.bits === reading.bits && found.group === reading.group) return variant.storage;
    return found.bits ? byBits(found).storage : variant.storage;
  };
  const layers = {};
  for (const [place, all] of Object.entries(layersOf(block, model, variant.quantizes))) {
    const many = new Map();
    for (const [count, own] of all) {
      const key = JSON.stringify(storageOf(own));
      many.set(key, (many.get(key) ?? 0) + count);
    }
    layers[place] = [...many].map(([storage, count]) => [count, JSON.parse(storage)]);
  }
  return Object.keys(layers).length ? { ...variant, id: "pasted", layers } : variant;
}

/** The variant with the experts, and the head, that such a file holds quantized too; itself where it has none. */
function withParts(variant, block, config, { tensors }) {
  const has = (part) => tensors.some((one) => one.part === part) && !variant.quantizes.includes(part);
  const version = Number.parseInt(config.transformers_version, 10);
  const fused = variant.calibration === "none" && version >= FUSED_FROM; // made by Transformers itself
  const experts = has("experts") && variant.quantizes.includes("linear") && !fused;
  // bitsandbytes leaves the head alone unless it is told what to leave: Transformers 5.23.0, get_modules_to_not_convert
  const told = block.lm_head === true || block.include_input_output_embeddings === true || isList(block.llm_int8_skip_modules);
  const parts = [...(experts ? ["experts"] : []), ...(told && has("head") ? ["head"] : [])];
  return parts.length ? { ...variant, id: "pasted", quantizes: [...variant.quantizes, ...parts], experts } : variant;
}

const UNREAD = "Not this checkpoint: its bits could not be read.";
const BF16 = { id: "bf16" };

/** The variant that is nearest to a reading, and in words what was done with it: {variant, said}. */
function counted(found, row, variants) {
  const { method, group } = found;
  const own = variants.filter((one) => one.method === row?.method || plain(one.title) === plain(method));
  const variant = nearest(found, row, own);
  if (!variant) {
    const unpacked = own.find(({ runs, title }) => runs === "unpacked" && plain(title) === plain(method));
    const made = byBits(found, row);
    if (unpacked) {
      const { storage, quantizes, runs } = unpacked;
      return { variant: { ...made, storage, quantizes, runs }, said: ": it is" };
    }
    return { variant: made, said: ", which no variant of the guide for this model is: it is counted by bits and scales." };
  }
  const blocks = String(group).includes(" x ") && variant.storage[1].tile.join(" x ") !== group;
  if (blocks) {
    const made = byBits({ scale: variant.storage[1].bytes, ...found }, row);
    return { variant: made, said: `: it is counted in blocks of ${group}.` };
  }
  // A group of codes is none of scales, and some files do not say theirs: only what differs is counted anew.
  const given = group === "row" ? group : Number(group) || groupOf(variant);
  if (typeof groupOf(variant) === "number" && given !== groupOf(variant)) {
    const anew = regrouped(variant, given);
    return { variant: anew, said: `: it is counted as ${anew.title} ${anew.label}.` };
  }
  return { variant, said: `: ${variant.title} ${variant.label} is chosen` };
}

/** What is said of a checkpoint that Transformers unpacks; an engine of the matrix may keep it packed. */
function unpackedText({ format }, engines) {
  const packed = engines.find(({ formats }) => formats[format]?.how === "packed");
  const elsewhere = packed ? ` An engine such as ${packed.title} keeps it packed.` : "";
  return `counted in 16 bit, to which Transformers unpacks it.${elsewhere}`;
}

/**
 * {variant, note} of a pasted config.json's text, null where it is no quantized checkpoint. The variant is one of these, which
 * are for its model, or has the id "pasted"; bf16 where its bits are not known. `serving` is serving.json.
 */
export function storedAs(...asked) {
  try {
    return storedIn(...asked);
  } catch {
    return { variant: BF16, note: `${UNREAD} Its quantization block has values of another kind than such blocks have.` };
  }
}

function storedIn(text, { formats, engines }, variants, model) {
  const config = jsonOf(text);
  const found = read(text);
  if (found.problem) return { variant: BF16, note: `${UNREAD} ${found.problem}` };
  if (found.method === "none") {
    const given = config.quantization_config ?? config.compression_config;
    return given ? { variant: BF16, note: `${UNREAD} Its quantization_config must be an object, from { to }.` } : null;
  }
  const { method, format, bits } = found;
  const width = bits && bits !== 16 ? ` with ${bits} bits a weight` : "";
  const what = `The pasted config.json is a checkpoint of ${method}${width}`;
  const block = find(config);
  if (bits === 16) return { variant: BF16, note: `${what}: its weights are not quantized, so bf16 is chosen.` };
  const row = formats.find(({ id }) => id === format);
  const { variant, said } = counted(found, row, variants);
  if (variant.id === "pasted" && !(bits > 0)) return { variant: BF16, note: `${UNREAD} ${what}.${kept(block)}` };
  if (variant.runs === "unpacked") {
    const chosen = said.endsWith("is chosen") ? `${said},` : said;
    return { variant, note: `${what}${chosen} ${unpackedText(found, engines)}${kept(block)}` };
  }
  const own = withLayers(withParts(variant, block, config, model), block, found, model);
  const several = Object.values(own.layers ?? {}).some((all) => all.some(([, storage]) => storage));
  const chosen = own === variant ? "is chosen." : "is chosen, with the layers that this file quantizes.";
  return {
    variant: own,
    note: `${what}${several ? " in most layers" : ""}${said.replace("is chosen", chosen)}${kept(block)}`,
  };
}
