// What a model takes in memory. The same as guide/calculator/memory.py, which says more; tests hold both to the same bytes.
// Every size is in bytes. A tensor is {part, name, rows, columns, count}, rows × columns being outputs × inputs; a
// variant is {quantizes, storage, product} of a method page's front matter, null for plain bf16; a pasted one may have
// {parts}, the storage of certain parts, and {layers}, by a tensor's place in the list [how many, their storage or null].
import { mixed } from "./mixing.js";

export const PARTS = ["embedding", "head", "linear", "experts", "router", "norm", "other"];
export const BF16_BYTES = 2;
export const FLOAT32_BYTES = 4;

// An assumption, not a measurement: what a process takes of a GPU before the first tensor.
export const CONTEXT_BYTES = 500_000_000;

// What a forward pass of Qwen3-0.6B's shape holds at the same time, in rows of the hidden and of the widest size.
export const HIDDEN_ROWS = 5;
export const WIDEST_ROWS = 3;

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
const largest = (numbers) => numbers.reduce((most, number) => Math.max(most, number), 0);
const divideUp = (whole, part) => Math.ceil(whole / part);

/** How many times a rows × columns layer stores `entry`. */
function entries(rows, columns, entry) {
  if (entry.run) return divideUp(rows * columns, entry.run);
  const [high, wide] = entry.tile ?? [1, 1];
  return (high === null ? 1 : divideUp(rows, high)) * (wide === null ? 1 : divideUp(columns, wide));
}

/** Bytes of one quantized rows × columns layer: each entry of `storage` once a tile, or once a run. */
export function stored(rows, columns, storage) {
  return sum(storage.map((entry) => Math.ceil(entry.bytes * entries(rows, columns, entry))));
}

/** How a variant stores a tensor, the one of that place in the list: [how many of it, their storage, null for 16 bit]. */
export function shares(variant, { part, count }, place) {
  const own = variant?.layers?.[place] ?? [];
  const left = own.reduce((rest, [many]) => rest - many, count);
  return [...own, [left, variant?.quantizes.includes(part) ? (variant.parts?.[part] ?? variant.storage) : null]];
}

/** Bytes of all weights: quantized, scales (zero points and tables too), each part that is not, at `rest` each, and total. */
export function weights(tensors, variant = null, rest = BF16_BYTES) {
  const split = Object.fromEntries(["quantized", "scales", ...PARTS].map((name) => [name, 0]));
  if (variant?.mix) {
    const { packed, others } = mixed(tensors, variant);
    const total = packed + sum(Object.values(others));
    return { ...split, ...others, quantized: packed, total };
  }
  for (const [place, tensor] of tensors.entries()) {
    const { part, rows, columns } = tensor;
    for (const [many, storage] of shares(variant, tensor, place)) {
      if (storage) {
        split.quantized += many * stored(rows, columns, storage.slice(0, 1));
        split.scales += many * stored(rows, columns, storage.slice(1));
      } else {
        split[part] += many * rows * columns * rest;
      }
    }
  }
  return { ...split, total: sum(Object.values(split)) };
}

const embeddings = (tensors) => tensors.filter(({ part }) => part === "embedding");

/** Bytes of activations by general terms, for an architecture without figures; `tokens` is what one forward pass takes in. */
export function rough(tensors, batch, tokens) {
  const hidden = largest(embeddings(tensors).map(({ columns }) => columns));
  const vocabulary = largest(embeddings(tensors).map(({ rows }) => rows));
  const layers = tensors.filter(({ part }) => part === "linear" || part === "experts");
  const widest = largest(layers.map(({ rows }) => rows));
  return (
    tokens * (HIDDEN_ROWS * hidden + WIDEST_ROWS * widest) * BF16_BYTES + batch * vocabulary * (BF16_BYTES + FLOAT32_BYTES)
  );
}

/** Bytes beside weights and cache: what a pass holds, the largest layer a method unpacks, and a constant. */
export function allowance(tensors, variant, activations) {
  const unpacks = variant !== null && !variant.fused && (variant.product ?? "16-bit") === "16-bit";
  const packed = (one, place) => shares(variant, one, place).some(([many, storage]) => many && storage);
  const unpacked = unpacks ? tensors.filter(packed) : [];
  return {
    activations,
    unpacked: largest(unpacked.map(({ rows, columns }) => rows * columns)) * BF16_BYTES,
    context: CONTEXT_BYTES,
  };
}

/** All of it. `cacheElements` counts the numbers of the key-value cache for the whole batch. */
export function estimate(
  tensors,
  variant = null,
  { cacheElements = 0, cacheElementBytes = BF16_BYTES, activations = 0 } = {},
) {
  const held = weights(tensors, variant);
  const cache = Math.ceil(cacheElements * cacheElementBytes);
  const beside = allowance(tensors, variant, activations);
  return { weights: held, cache, allowance: beside, total: held.total + cache + sum(Object.values(beside)) };
}
