// What the memory calculator counts; architecture.js knows a model's shapes, memory.js the bytes of a variant, null for bf16.
// `use` is {context, batch, prompt, chunked, cache, memory, gpus}: tokens, sequences, tokens of a pass, whether these are a
// chunk of the prompt, bits, GiB of one GPU, GPUs. An engine reads {chunk, prompts} in a pass: tokens of each prompt, prompts;
// over several GPUs it may hold `copies` of the cache. Where adapters are trained, `use.train` says how, see training.js, and
// the context is the length of a sequence.
import { cache, parameterCount, peak, readConfig, tensors, windowsOf } from "./architecture.js";
import { lacksFamily } from "./families.js";
import { BF16_BYTES, FLOAT32_BYTES, allowance, rough, shares, weights } from "./memory.js";
import { packs } from "./mixing.js";
import { adapters, asFourBit, held as keptFor, widens } from "./training.js";
import { withKept } from "./variant.js";

export const GIB = 2 ** 30;
export const MOST_TOKENS = 10_000_000;
const LONGEST_PROBLEM = 900;
const UNPACKING = 6; // bytes a number of a layer's cache of 8 bit; guide/calculator/memory.py says which
const SHORT = 64; // tokens of a prompt whose scores are few beside the rest that its pass holds

/** The shapes of a config.json's model, its id, its limit of tokens, and whether some layer's cache has one; or {problem}. */
export function readModel(raw, preset, architectures) {
  const { families, refused, inner } = architectures;
  const found = readConfig(raw, families, refused, inner);
  if (found.problem) {
    const problem = (lacksFamily(raw, architectures) && architectures.problem) || found.problem;
    return { problem: problem.length > LONGEST_PROBLEM ? `${problem.slice(0, LONGEST_PROBLEM)}…` : problem };
  }
  const [one, most] = [1, MOST_TOKENS].map((context) => cache(found.family, found.config, context, 1));
  const [[own, usual] = []] = Object.entries(found.family.limit ?? {});
  const [limit = usual] = [raw, raw.text_config].flatMap((part) => part?.max_position_embeddings ?? part?.[own] ?? []);
  return {
    ...found,
    name: preset?.name ?? `The pasted ${found.model_type} model`,
    id: preset?.id ?? `${found.model_type} ${raw.quantization_config?.quant_method}`.replaceAll("_", "-"), // gpt-oss
    tensors: tensors(found.family, found.config),
    layers: found.config.num_hidden_layers,
    limit: Number.isInteger(limit) && limit > 0 ? limit : null,
    bounded: most.constant_bytes > 0 || most.elements < MOST_TOKENS * one.elements,
  };
}

const passes = new WeakMap(); // by a model's config, what was found last: it is the same for all variants

/** Bytes of a model's cache; `tokens` went in with the last pass. */
function cachedIn({ family, config, scale = 1 }, context, batch, tokens, bits) {
  const { elements, constant_bytes: states } = cache(family, config, context, batch, tokens);
  return Math.ceil(scale * ((elements * bits) / 8 + states));
}

/** Bytes of one layer's cache while it is unpacked, as guide/calculator/memory.py says it. */
const unpackedCache = ({ family, config, layers }, context, batch) =>
  Math.ceil((UNPACKING * cache(family, config, context, batch).elements) / layers);

/** An engine's pass, as guide/calculator/memory.py says it: a chunk of all prompts, beside the whole cache. */
export function enginePass(model, { context, batch, chunk, prompts, cache: bits }) {
  const tokens = Math.min(prompts * chunk, batch * Math.min(chunk, context));
  const short = Math.min(SHORT, tokens);
  const activations =
    peak(model.family, model.config, short, short, Math.ceil(tokens / short)) ?? rough(model.tensors, batch, tokens);
  return { tokens, context, cached: cachedIn(model, context, batch, Math.ceil(tokens / batch), bits), activations };
}

/**
 * The pass in which cache and activations together take most: {tokens, context, cached, activations}, of each sequence and in
 * bytes. That is the prompt's, at once or its last chunk, or the answer's last token.
 */
function heaviest(model, use) {
  const { family, config, tensors: found, scale } = model;
  const { context, batch, prompt, chunked, cache: bits, chunk, prompts } = use;
  const key = [context, batch, prompt, chunked, bits, scale, chunk, prompts].join();
  const known = passes.get(config);
  if (known?.key === key) return known.pass;
  const first = Math.min(prompt, context);
  const each = [
    [first, chunked ? context : first],
    [1, context],
  ].map(([tokens, held]) => {
    const beside = peak(family, config, tokens, held, batch) ?? rough(found, batch, batch * tokens);
    const unpacked = bits < 16 && tokens < held ? unpackedCache(model, held, batch) : 0;
    const activations = Math.max(beside, unpacked);
    return { tokens, context: held, cached: cachedIn(model, held, batch, tokens, bits), activations };
  });
  const most = (one, other) => (other.cached + other.activations > one.cached + one.activations ? other : one);
  const pass = chunk ? enginePass(model, use) : each.reduce(most);
  passes.set(config, { key, pass });
  return pass;
}

/** What a step of training holds, as `heaviest` gives it; without activations where that was not measured. */
function stepOf(model, variant, { train, context, batch }) {
  const activations = keptFor(model, asFourBit(variant), train, context, batch);
  return { tokens: context, context, cached: 0, activations };
}

/** Whether what training holds was measured, above quantized weights and above others. */
export const trainsMeasured = (model, { train, context, batch }) =>
  [true, false].every((fourBit) => keptFor(model, fourBit, train, context, batch) !== null);

/** The longest sequence, up to the one that is asked for, of which that was measured; 0 where none was. */
export function measuredTo(model, use) {
  const known = (context) => trainsMeasured(model, { ...use, context });
  if (known(use.context)) return use.context;
  const window = Math.min(...windowsOf(model.family, model.config)); // beyond it layers hold other things
  return window < use.context && known(window) ? window : 0;
}

/** The bytes of a variant's weights in use. */
const weightsOf = (model, variant, { train }) =>
  weights(model.tensors, withKept(variant, model), train && widens(variant, train) ? FLOAT32_BYTES : BF16_BYTES);

/**
 * What a variant of a model takes: `shared` is divided over the GPUs, `own` is taken on each of them. A model that stands for
 * one of another size has a `scale`, by which its cache is counted; its tensors are scaled already.
 */
export function count(model, variant, use, held = weightsOf(model, variant, use)) {
  const pass = use.train ? stepOf(model, variant, use) : heaviest(model, use);
  const added = use.train ? adapters(model.tensors, use.train) : { adapters: 0, gradients: 0, states: 0 };
  const beside = allowance(model.tensors, variant, pass.activations);
  const own = beside.activations + beside.unpacked + beside.context;
  const shared = held.total + (use.copies ?? 1) * pass.cached + added.adapters + added.gradients + added.states;
  return { held, cached: pass.cached, added, beside, pass, shared, own, total: shared + use.gpus * own };
}

/** The largest whole number of at most `most` that does, where every smaller one does too; 0 where not even 1 does. */
export function largest(does, most) {
  let [low, high] = [0, most + 1];
  while (high - low > 1) {
    const middle = low ? Math.floor((low + high) / 2) : 1; // 1 first, since often that does not
    if (does(middle)) low = middle;
    else if (low) high = middle;
    else return 0;
  }
  return low;
}

const fitsAll = ({ total }, { gpus, memory }) => total <= gpus * memory * GIB;

/** The most tokens of each sequence that fit, and of which is known what they take; 0 where not even one does. */
export const largestContext = (model, variant, use, held, fits = fitsAll) =>
  largest(
    (context) =>
      (!use.train || trainsMeasured(model, { ...use, context })) &&
      fits(count(model, variant, { ...use, context }, held), use, model),
    MOST_TOKENS,
  );

/** Bits a quantized weight, with its share of scales and the like; null where nothing is quantized. */
export function bitsOf(model, variant, held) {
  const mixed = (one) => (packs(one, variant.quantizes) ? one.count : 0);
  const plain = (one, place) => shares(variant, one, place).reduce((sum, [many, storage]) => sum + (storage ? many : 0), 0);
  const packed = variant?.mix ? mixed : plain;
  const quantized = parameterCount(model.tensors.map((one, place) => ({ ...one, count: packed(one, place) })));
  return quantized ? (8 * (held.quantized + held.scales)) / quantized : null;
}
