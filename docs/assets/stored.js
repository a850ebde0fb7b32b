// The variant that a pasted checkpoint is stored as, for the calculator; reading.js says what its quantization_config means.
import { read } from "./reading.js";

const plain = (text) => text.toLowerCase().replaceAll(" ", "-");
const KEPT = ["modules_to_not_convert", "ignore", "exclude_modules", "llm_int8_skip_modules"]; // lists of layers
const MOST_NAMED = 3;

/** The weights that share a scale in a variant: a number, null for the whole of a row, undefined where it has no scales. */
const groupOf = ({ storage: [, scales] }) => scales && (scales.run ?? scales.tile?.[1] ?? null);

/** The variant with another number of weights to a scale. */
function regrouped(variant, group) {
  const before = groupOf(variant);
  const width = group === "row" ? null : group;
  const entry = ({ tile, run, ...rest }) => {
    if (run === before) return { ...rest, run: group };
    return { ...rest, ...(run && { run }), ...(tile && { tile: tile[1] === before ? [tile[0], width] : tile }) };
  };
  const own = variant.label.replace(/,? groups of \d+/, "");
  const label = group === "row" ? `${own}, a scale a row` : `${own}, groups of ${group}`;
  return { ...variant, id: "pasted", label, storage: variant.storage.map(entry) };
}

/** A variant of the guide that has the method, bits and activations of a reading; undefined where none has. */
function nearest({ method, bits, activations, notes }, row, variants) {
  const product = activations.replace("float", "fp");
  const twice = notes.includes("double quantization");
  const fit = (one) =>
    (one.product === product ? 4 : 0) +
    (one.label.includes("double") === twice ? 2 : 0) +
    (one.id.endsWith(`/${row?.variant}`) ? 1 : 0);
  return variants
    .filter((one) => (one.method === row?.method || plain(one.title) === plain(method)) && (!bits || one.bits === bits))
    .sort((one, other) => fit(other) - fit(one))[0];
}

/** Weights of so many bits with a 16-bit scale each group, for what the guide has no variant of. */
function byBits({ method, bits, group, activations }) {
  const tile =
    { row: [1, null], tensor: [null, null] }[group] ??
    String(group ?? 128)
      .split(" x ")
      .map(Number);
  return {
    id: "pasted",
    title: method,
    label: `${bits} bit`,
    bits,
    product: activations.replace("float", "fp"),
    quantizes: ["linear", "experts"],
    only_models: [],
    keys: [],
    cells: { peft: { answer: "not verified", note: "" } },
    storage: [
      { what: "weights", bytes: bits / 8 },
      { what: "scales", bytes: 2, tile: tile.length > 1 ? tile : [1, ...tile] },
    ],
  };
}

/** What a checkpoint leaves alone, in a sentence; empty where it names nothing. */
function kept(config) {
  const block = config.quantization_config ?? config.compression_config ?? config.text_config?.quantization_config ?? {};
  const names = KEPT.flatMap((key) => (Array.isArray(block[key]) ? block[key] : []));
  if (!names.length) return "";
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
  const listed = names.slice(0, MOST_NAMED).join(", ");
  return ` It leaves ${listed}${more} unquantized: of these, layers inside the model are counted as quantized all the same.`;
}

/**
 * {variant, note} of a pasted config.json's text, null where it is no quantized checkpoint. The variant is one of the guide,
 * or has the id "pasted"; null where its bits are not known.
 */
export function storedAs(text, formats, variants) {
  const found = read(text);
  if (found.problem || found.method === "none") return null;
  const { method, format, bits, group } = found;
  const what = `The pasted config.json is a checkpoint of ${method}${bits ? ` with ${bits} bits a weight` : ""}`;
  const also = kept(JSON.parse(text));
  const row = formats.find(({ id }) => id === format);
  const variant = nearest(found, row, variants);
  if (!variant && !(bits > 0)) {
    return { variant: null, note: `${what}; its bits are not known here, so choose a variant.${also}` };
  }
  if (!variant) {
    const counted = byBits(found);
    return { variant: counted, note: `${what}, which no variant of the guide is: it is counted by bits and scales.${also}` };
  }
  // A group of codes is none of scales, and some files do not say theirs: only what differs is counted anew.
  const given = /"(q_)?group_?size":\s*-1\b/.test(text) ? "row" : Number(group) || groupOf(variant);
  if (typeof groupOf(variant) === "number" && given !== groupOf(variant)) {
    const own = regrouped(variant, given);
    return { variant: own, note: `${what}: it is counted as ${own.title} ${own.label}.${also}` };
  }
  return { variant, note: `${what}: ${variant.title} ${variant.label} is chosen.${also}` };
}
