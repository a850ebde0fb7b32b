// The variant that a pasted checkpoint is stored as, for the calculator; reading.js says what its quantization_config means.
import { jsonOf } from "./architecture.js";
import { find, read } from "./reading.js";

const plain = (text) => text.toLowerCase().replaceAll(" ", "-");
const KEPT = [
  "modules_to_not_convert",
  "ignore",
  "ignored_layers",
  "exclude_modules",
  "exclude",
  "skip_modules",
  "llm_int8_skip_modules",
  "linear_weights_not_to_quantize",
]; // lists of layers
const MOST_NAMED = 3;

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
function nearest({ bits, group, activations, notes, type, scale, tables }, row, own) {
  const product = activations.replace("float", "fp");
  const twice = notes.includes("double quantization");
  const typed = ({ label }) => /\b(int|float)\d\b/.exec(label)?.[0] ?? type;
  const stands = (one) =>
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
function byBits({ method, bits, group, activations, scale = 2, tables, head, whole }, row) {
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
    storage: [{ what: "weights", bytes: bits / 8 }, scales],
    ...(head && { parts: { head: [{ what: "weights", bytes: head / 8 }, scales] } }),
  };
}

/** What a checkpoint leaves alone, in a sentence; empty where it names nothing. */
function kept(block) {
  const names = KEPT.flatMap((key) => (Array.isArray(block[key]) ? block[key] : []));
  const wide = Object.entries(block.extra_config ?? {}).filter(([, one]) => one?.bits >= 16);
  const left = Object.keys(block.dynamic ?? {}).filter((key) => key.startsWith("-:"));
  names.push(...wide.map(([name]) => name), ...left.map((key) => key.slice(2)));
  if (!names.length) return "";
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
  const listed = names.slice(0, MOST_NAMED).join(", ");
  return ` It leaves ${listed}${more} unquantized: of these, layers inside the model are counted as quantized all the same.`;
}

/**
 * {variant, note} of a pasted config.json's text, null where it is no quantized checkpoint. The variant is one of these, which
 * are for its model, or has the id "pasted"; null where its bits are not known.
 */
export function storedAs(text, formats, variants) {
  const found = read(text);
  if (found.problem) {
    return { variant: null, note: `The quantization block could not be read, so choose a variant: ${found.problem}` };
  }
  if (found.method === "none") return null;
  const { method, format, bits, group } = found;
  const width = bits && bits !== 16 ? ` with ${bits} bits a weight` : "";
  const what = `The pasted config.json is a checkpoint of ${method}${width}`;
  const also = kept(find(jsonOf(text)));
  if (bits === 16) return { variant: { id: "bf16" }, note: `${what}: its weights are not quantized, so bf16 is chosen.` };
  const row = formats.find(({ id }) => id === format);
  const own = variants.filter((one) => one.method === row?.method || plain(one.title) === plain(method));
  const variant = nearest(found, row, own);
  if (!variant && !(bits > 0)) {
    return { variant: null, note: `${what}; its bits are not known here, so choose a variant.${also}` };
  }
  if (!variant) {
    const counted = byBits(found, row);
    const unpacked = own.find(({ runs, title }) => runs === "unpacked" && plain(title) === plain(method));
    if (unpacked) {
      const { storage, quantizes } = unpacked;
      const note = `${what}: it is counted in 16 bit, to which Transformers unpacks it.${also}`;
      return { variant: { ...counted, storage, quantizes }, note };
    }
    const none = "which no variant of the guide for this model is";
    return { variant: counted, note: `${what}, ${none}: it is counted by bits and scales.${also}` };
  }
  // A group of codes is none of scales, and some files do not say theirs: only what differs is counted anew.
  const given = group === "row" ? group : Number(group) || groupOf(variant);
  if (typeof groupOf(variant) === "number" && given !== groupOf(variant)) {
    const counted = regrouped(variant, given);
    return { variant: counted, note: `${what}: it is counted as ${counted.title} ${counted.label}.${also}` };
  }
  return { variant, note: `${what}: ${variant.title} ${variant.label} is chosen.${also}` };
}
