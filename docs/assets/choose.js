// Which method to take: a pure function over the facts in choices.json and the rules; `a` has a reader's answers.
import { count, largest, largestContext, measuredTo } from "./counting.js";
import { variantsOf } from "./engines.js";
import { EXCLUSIONS } from "./exclusions.js";
import { offloaded } from "./offload.js";
import { PREFERENCES } from "./preferences.js";
import {
  AMPLE,
  beyond,
  cacheFlag,
  elsewhere,
  fact,
  gib,
  lacksBf16,
  machine,
  made,
  memoryOf,
  NARROW,
  original,
  productOn,
  ready,
  reason,
  refusesMixtures,
  room,
  roomText,
  SEVERAL,
  spare,
  trains,
  unverified,
} from "./reader.js";
import { isMixture, named } from "./variant.js";

const CONTEXT = { finetune: 2048 }; // tokens of a sequence, where they are left open
const USUAL_CONTEXT = 8192;
const IN_ONE_PASS = 2048; // tokens of each sequence at most, as the calculator starts with
const LEAST_TRAINED = 512; // tokens of a sequence: below, fine-tuning that asks for less memory is no answer
const SERVED = [16, 8, 4, 2, 1]; // sequences at once, tried in turn where one who serves leaves their number open
// Of ways to train, the one that asks least: adapters in bf16 beside all linear layers, gradient checkpointing.
const THRIFTY = { targets: "all-linear", rank: 16, adapter: "bfloat16", optimizer: "8-bit", checkpointed: true };
const SHARED = new Set(["apple", "cpu"]); // the model has the computer's memory already
const counted = new WeakMap(); // by model, what was counted before

/** How an engine reads prompts on the hardware, {chunk, prompts} in tokens; null where that is not known. */
function readsOf({ engines = {} }, a) {
  const { chunks = [], prompts = 1 } = (elsewhere(a) && engines[a.engine]?.reads) || {};
  const last = chunks.findLast(({ gib: from = 0, not_on: not = [] }) => from <= a.memory && !not.includes(a.hardware));
  return last ? { chunk: last.tokens, prompts } : null;
}

/** How often an engine that divides layers over GPUs holds each key of the cache: vLLM 0.32.0 copies heads where there are
 * fewer than GPUs, and the one of latent attention to each (config/model.py, get_num_kv_heads). */
function copies({ engines = {} }, a, model) {
  if (!elsewhere(a) || !model || !(a.gpus > 1) || !engines[a.engine]?.flags.gpus) return 1;
  const { kv_lora_rank: latent, num_key_value_heads: heads = 1 } = model.config;
  return a.gpus / Math.min(a.gpus, latent ? 1 : heads);
}

/** What the calculator is asked, for a number of sequences at once; with how it trains, where that can be counted. */
function useOf(a, batch, model) {
  const context = a.context || Math.min(CONTEXT[a.purpose] || USUAL_CONTEXT, model?.limit ?? Infinity);
  const use = {
    context,
    batch,
    prompt: Math.min(IN_ONE_PASS, context),
    cache: a.cache ?? 16,
    memory: memoryOf(a),
    gpus: a.gpus || 1,
    ...(elsewhere(a) && { ...a.reads, copies: a.copies }),
  };
  if (!trains(a) || !model?.training) return use;
  const whole = { ...use, train: { ...THRIFTY, peaks: model.training } };
  const known = measuredTo(model, whole);
  return known ? { ...whole, context: known, wanted: context } : use;
}

/** With how much less a variant of a model fits: {tokens, text}, the longest context of as many sequences as are asked for,
 * which the model was made for; and that in words, or as many sequences as can have the context that is asked for. */
export function less(variant, a, model) {
  const batch = a.sequences || 1;
  const use = useOf(a, batch, model);
  const most = largestContext(model, asPublished(variant, model), { ...use, memory: (1 - spare(a)) * use.memory });
  const tokens = Math.min(most, model.limit ?? Infinity);
  const fits = (many) => needs(variant, useOf(a, many, model), model) <= (1 - spare(a)) * room(a);
  const many = batch > 1 && largest(fits, batch - 1);
  const sequences = batch > 1 ? `${batch} sequences` : "one sequence";
  const texts = [
    tokens && `${sequences} of at most ${tokens.toLocaleString("en")} tokens`,
    many && `${many} of ${use.context.toLocaleString("en")}`,
  ];
  return { tokens, text: texts.filter(Boolean).join(", or ") };
}

/** A variant as the maker of a model publishes it, where that holds other layers, or groups, than the guide's own. */
const asPublished = (variant, model) =>
  variant?.runs === "packed" ? { ...variant, ...variant.published?.[model.id] } : variant;

/** Bytes that a variant of a model takes over all GPUs, bf16 where it is null; null where the model is open. */
export function needs(variant, use, model) {
  return model && counts(variant, use, model).total;
}

/** The same, and the bytes that the weights hold of it. */
function counts(variant, use, model) {
  if (!counted.has(model)) counted.set(model, new Map());
  const known = counted.get(model);
  const key = [variant?.id, variant?.loads?.title, ...Object.values(use)].join();
  if (!known.has(key)) {
    const { total, held } = count(model, asPublished(variant, model), use);
    known.set(key, { total, held: held.total });
  }
  return known.get(key);
}

/** The first rule that rules a variant out, with its reason; null if none does. */
function exclusion(variant, a, bytes, model, held) {
  for (const rule of EXCLUSIONS) {
    const said = rule.test(variant, a, bytes, model, held);
    if (said) return { rule: rule.id, ...said };
  }
  return null;
}

/** What no rule excludes, the first to take at the head; with what was excluded. */
function sorted(variants, a, model, use) {
  const asked = PREFERENCES.filter((rule) => rule.when(a));
  const bf16 = needs(null, use, model);
  const left = [];
  const out = [];
  for (const variant of variants) {
    const bytes = needs(variant, use, model);
    const held = model && { quantized: counts(variant, use, model).held, bf16: counts(null, use, model).held };
    const excluded = exclusion(variant, a, bytes, model, held);
    if (excluded) out.push({ variant, needs: bytes, ...excluded });
    else left.push({ variant, needs: bytes, scores: asked.map((rule) => rule.score(variant, a, bytes, model)) });
  }
  left.sort((one, other) => {
    const i = deciding(one, other);
    return i < 0 ? 0 : other.scores[i] - one.scores[i]; // then the order of the pages, which put first what to take first
  });
  return { asked, left, out, bf16, use };
}

/** The same for as many sequences as can be; with a cache of 8 bits where else nothing of 4 bits fits, or a context that was
 * named leaves less than a tenth of the memory. */
function tried(variants, a, model) {
  const found = seated(variants, a, model);
  if (!model || !a.memory || !(narrow(found, a) || (a.context && tight(found, a)))) return found;
  if (trains(a)) return (!a.context && shortened(found, variants, a, model)) || found;
  if (model.bounded && !elsewhere(a)) return found; // Transformers quantizes a cache of full attention alone
  if (elsewhere(a) && cacheFlag(variants[0].loads.engine, a, model) === undefined) return found;
  const halved = seated(variants, { ...a, cache: 8 }, model);
  if (narrow(found, a)) {
    const mends = [narrow, scarce].some((lacks) => lacks(found, a) && !lacks(halved, a));
    return mends && halved.left[0].variant.bits >= NARROW ? halved : found;
  }
  return tight(halved, a) ? found : halved;
}

/** Training with sequences so short that 4 bits fit, where their length was left open; null where none fits. */
function shortened({ out }, variants, a, model) {
  const context = atFewerTokens(out, a, model)?.tokens;
  const use = useOf({ ...a, context }, a.sequences || 1, model);
  return context >= LEAST_TRAINED && use.train ? { ...sorted(variants, a, model, use), short: true } : null;
}

/** What of a list is taken first: what is at hand, or what the engine loads by itself and was not made for another. */
const first = ({ left }, a) => left.find(({ variant }) => ready(variant, a) || foreign(variant, a) < 2);

/** Whether the first leaves less than a tenth of the memory. */
const tight = (found, a) => !(first(found, a)?.needs <= (1 - AMPLE) * room(a));

/** Whether nothing is left at all, or only what is narrower than was asked for. */
const scarce = ({ left: [top] }, a) => !top || beyond(top.variant, a);

/** Whether nothing is left to take first, or only what is narrower than was asked for. */
const narrow = (found, a) => scarce({ left: [first(found, a)] }, a);

/** The same with as many sequences, at least SEVERAL, as leave what has 8 bits, or multiplies in fewer than 16; else as many
 * as leave what has at least 4. For one who serves and leaves their number open. */
function seated(variants, a, model) {
  const serves = a.purpose === "throughput" && !a.sequences;
  if (!serves || !model || !a.memory) {
    return sorted(variants, a, model, useOf(a, a.sequences || (serves ? SERVED[0] : 1), model));
  }
  const found = [];
  const at = (n) => (found[n] ??= sorted(variants, a, model, useOf(a, SERVED[n], model)));
  const own = SERVED.findIndex((_, n) => at(n).left[0] && original(at(n).left[0].variant, model));
  if (own >= 0) return at(own);
  const pays = ({ variant: v }) => v.bits >= 8 || productOn(v, a) !== "16-bit";
  const wide = SERVED.findIndex((batch, n) => batch >= SEVERAL && first(at(n), a) && pays(first(at(n), a)));
  const tries = [wide, ...[narrow, scarce].map((lacks) => SERVED.findIndex((_, n) => !lacks(at(n), a)))];
  return at(tries.find((n) => n >= 0) ?? SERVED.length - 1);
}

/** The number of the first preference that tells two entries apart; -1 if none does. */
const deciding = (one, other) => one.scores.findIndex((score, i) => score !== other.scores[i]);

/** Why an entry comes after one before it. */
function difference(before, { variant, scores }, asked, a) {
  const i = deciding(before, { scores });
  if (i >= 0) return { rule: asked[i].id, ...asked[i].less(variant, a, before.variant) };
  const same = "comes later in the guide; nothing that we know tells them apart";
  return { rule: "name", ...reason(same, fact(variant, "id")) };
}

/** The name of a checkpoint's format; the key itself where no format has it. */
const checkpointName = ({ formats = [] }, { checkpoint }) =>
  formats.find(({ id }) => id === checkpoint)?.name.replace(", ", " ") ?? checkpoint;

/** The engines that run a checkpoint packed on the hardware, first the one that its format was made for. */
function runners({ engines = {}, formats = [], generations = [] }, a, model) {
  const { checkpoint, hardware, series } = a;
  const home = formats.find(({ id }) => id === checkpoint)?.home;
  const runs = ({ formats: { [checkpoint]: loads } }) =>
    loads?.how === "packed" &&
    !(isMixture(model) && refusesMixtures(loads, a)) &&
    (hardware ? loads.on[generations.indexOf(series || hardware)] : loads.answer) === "y";
  const found = Object.keys(engines).filter((id) => engines[id].kept && runs(engines[id]));
  return found.sort((one, other) => (other === home) - (one === home)).map((id) => engines[id].title);
}

/** Where a checkpoint's own kernels don't run and Transformers unpacks it to 16 bit, its variant; else null. */
function unpacked({ left, out }, a) {
  if (!a.checkpoint || elsewhere(a) || left.some(({ variant }) => ready(variant, a))) return null;
  const lost = out.find(({ variant, rule }) => ready(variant, a) && ["hardware", "capability"].includes(rule));
  return lost?.variant.unpacks ? lost.variant : null;
}

/** Why an engine runs nothing quantized on the hardware; null where it may. */
function barred(engine, generations, a, model) {
  if (!engine) return null;
  const here = engine.on[generations.indexOf(a.series || a.hardware)];
  if (here === "n") return `${engine.title} does not run on ${machine(a)}`;
  if (!lacksBf16(a) || !engine.needs_bf16.includes(model?.model_type)) return null;
  return `${engine.title} refuses ${model.name} in float16, and ${machine(a)} has no bf16: it runs in float32, unquantized`;
}

/** Ranked variants with reasons, what was ruled out and why, what bf16 takes, what the memory was counted for, the answers,
 * and, where nothing is left, what would have to change. `choices` is choices.json, `model` what counting.js reads. */
export function choose(choices, answers, model = null) {
  const trained = Boolean(useOf(answers, 1, model).train); // and not only the weights are counted
  const { engines = {}, generations = [], series = {} } = choices;
  const a = {
    ...answers,
    counted: trained,
    checkpointName: checkpointName(choices, answers),
    seriesName: series[answers.series],
    reads: readsOf(choices, answers),
    overflows: Object.values(engines).some((one) => one.needs_bf16.includes(model?.model_type)), // in float16
    published: choices.variants.find(({ originals }) => originals.includes(model?.id))?.title,
    copies: copies(choices, answers, model),
  };
  const variants = variantsOf(choices, a);
  const { asked, left, out, bf16, use, short } = tried(variants, a, model);
  a.cache = use.cache;
  const most = asked.map((_, i) => Math.max(...left.map((entry) => entry.scores[i])));
  const ranked = left.map(({ variant: v, needs: bytes, scores }, n) => {
    const speaks = asked.filter((rule, i) => rule.why && scores[i] === most[i] && scores[i] !== 0);
    const reasons = speaks.map((rule) => rule.why(v, a, model)).filter(Boolean);
    if (bytes) {
      const whole = a.memory ? ` of ${roomText(a)}` : "";
      reasons.push(reason(`needs about ${gib(bytes)}${whole}`, fact(v, "storage")));
    }
    return { variant: v, needs: bytes, scores, reasons, behind: n ? difference(left[n - 1], left[n], asked, a) : null };
  });
  return {
    ranked,
    asked,
    out,
    bf16,
    use,
    short,
    a,
    published: model && [...ranked, ...out].find(({ variant, needs: bytes }) => bytes && variant.originals.includes(model.id)),
    shorter: scarce({ left }, a) ? atFewerTokens(out, a, model) : null,
    unpacked: unpacked({ left, out }, a),
    runners: runners(choices, a, model),
    barred: barred(elsewhere(a) && engines[a.engine], generations, a, model),
    split: narrow({ left }, a) ? split(out, a, model) : null,
    changes: ranked.length ? [] : changes(choices, a, model, out),
  };
}

/** Ranked entries with one of each method: the variants that come after it are its `others`. */
export function cards({ ranked, asked, a }) {
  const found = new Map();
  let last = null;
  for (const entry of ranked) {
    const before = found.get(entry.variant.method);
    if (before) before.others.push({ ...entry, behind: difference(before, entry, asked, a) });
    else {
      const behind = last && difference(last, entry, asked, a);
      last = entry;
      found.set(entry.variant.method, { ...entry, behind, others: [] });
    }
  }
  return [...found.values()];
}

/** What does not fit for want of memory, the engine's own formats first, then the smallest. */
const tooLarge = (out, a) =>
  out
    .filter(({ rule, variant }) => rule === "memory" && made(variant))
    .sort((one, other) => foreign(one.variant, a) - foreign(other.variant, a) || one.needs - other.needs);

/** What of at least 4 bits would fit with one sequence of fewer tokens, and how many; null where nothing does. */
function atFewerTokens(out, a, model) {
  const wide = tooLarge(out, a).filter(({ variant }) => !beyond(variant, a) && variant.bits >= NARROW);
  const entry = wide.find(({ variant }) => !trains(a) || variant.cells.peft.answer === "yes") ?? wide[0];
  return entry ? { ...entry, ...less(entry.variant, a, model) } : null;
}

/** What of 4 bits runs where the engine leaves some layers in the computer's memory, and how; null where none does. */
function split(out, a, model) {
  if (!a.memory || a.gpus > 1 || a.shared || SHARED.has(a.hardware)) return null;
  const wide = tooLarge(out, a).filter(({ variant: v }) => v.bits === NARROW && v.loads?.engine.flags.offload);
  const { variant } =
    wide.find((one) => original(one.variant, model)) ?? wide.findLast((one) => !foreign(one.variant, a)) ?? {};
  const part = variant && offloaded(model, count(model, variant, useOf(a, 1, model)), (1 - spare(a)) * room(a));
  if (!part?.layers) return null;
  const how = `with ${part.layers} of its ${model.layers} layers on the GPU and ${gib(part.bytes)} of the computer’s memory`;
  return { variant, how };
}

/** How far a format is from an engine: 0 its own, 1 others, 2 what takes another package or was made for another engine. */
const foreign = ({ home, loads }, a) => (!loads || home === a.engine ? 0 : loads.plugin || home ? 2 : 1);

/** The two engines with the best answers where Transformers has none, a sentence each: that run the model as it is published,
 * then their own format, without another package, on hardware of which they say so. Below 4 bits only where none is wider. */
function servedBy(choices, a, model) {
  const found = Object.entries(choices.engines).flatMap(([engine, { kept, title }]) => {
    const changed = { ...a, engine };
    const asked = { ...changed, reads: readsOf(choices, changed), copies: copies(choices, changed, model) };
    const [top] = kept ? tried(variantsOf(choices, asked), asked, model).left : [];
    if (!top) return [];
    const { variant: v } = top;
    const [own, few] = [original(v, model), v.bits < NARROW];
    const last = own ? 0 : 4 + 8 * Number(few);
    return [
      {
        last: last + foreign(v, asked) + Number(unverified(v, asked)) / 2,
        text: `In ${title}${few ? ", below 4 bits" : ""}: ${named(v)}.`,
      },
    ];
  });
  const best = found.sort((one, other) => one.last - other.last).slice(0, 2);
  return best.filter(({ last }) => last - best[0].last < 8).map(({ text }) => text);
}

/** What one other answer would bring, where nothing fits. */
function changes(choices, a, model, out) {
  const others = {
    engine: "Transformers",
    hardware: "other hardware",
    checkpoint: "bf16 weights to start from",
    calibration: "calibration",
    purpose: "another purpose",
  };
  const found = Object.keys(others)
    .filter((question) => a[question])
    .flatMap((question) => {
      const open = question === "checkpoint" ? "none" : "";
      const changed = { ...a, [question]: open };
      const [top] = tried(variantsOf(choices, changed), changed, model).left;
      return top ? [`With ${others[question]}: ${named(top.variant)}.`] : [];
    });
  if (model && !a.engine && !trains(a)) found.push(...servedBy(choices, a, model));
  const small = tooLarge(out, a);
  if (small.length) {
    const own = out.find(({ rule, variant }) => rule === "memory" && original(variant, model)); // which nobody must make
    const wide = small.find(({ variant }) => variant.bits >= NARROW);
    const smallest = own ? [own] : [...new Set([wide ?? small[0], small[0]])];
    const more = smallest.map(
      ({ variant, needs: bytes }) =>
        `With more than ${gib(bytes / (1 - spare(a)))} of memory, on this device or over several: ${named(variant)}.`,
    );
    const shorter = smallest.flatMap(({ variant }) => {
      const { text } = less(variant, a, model);
      return text ? [`With ${text}: ${named(variant)}.`] : [];
    });
    const part = split(out, a, model);
    const here = part ? [`W${part.how.slice(1)}, which is slower: ${named(part.variant)}.`] : [];
    found.unshift(...here, ...more, ...shorter.slice(0, 1), "With a smaller model.");
  }
  return found.length ? found : ["No single other answer brings a method: leave more than one question open."];
}
