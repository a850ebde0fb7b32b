// The answer in a few sentences, with what an engineer says first: what a checkpoint becomes, that bf16 fits, a width's price.
import { less } from "./choose.js";
import {
  AMPLE,
  DEVICES,
  NARROW,
  beyond,
  compiled,
  elsewhere,
  fact,
  fast,
  fastOnCpu,
  gib,
  hardware,
  kernelFrom,
  lacksBf16,
  least,
  made,
  original,
  ready,
  room,
  roomText,
  SEVERAL,
  spare,
  trains,
  unverified,
} from "./reader.js";
import { named } from "./variant.js";

const sixteen = (a) => (lacksBf16(a) && !a.overflows ? "float16" : "bf16");
const tokens = (many) => `${many.toLocaleString("en")} tokens`;
// Its builds for CUDA 12.8 and later hold none for compute capability 7.0 since release 2.11: pytorch/pytorch issue 172352.
const VOLTA = "PyTorch's default builds hold no code for Volta since 2.11: install one for CUDA 12.6.";

// transformers issue 39972 (NaN in float16); unslothai/unsloth issue 4014 (activations beyond its range on a T4)
const OVERFLOWS = "This model overflows float16, so the code keeps bfloat16, which this GPU emulates slowly.";

const MAKING = "To make it takes the 16-bit model in memory, which is more than this: look for a published checkpoint first.";
const LIGHTER = 0.95; // of bf16's bytes: what takes more is not called less
const BY_PARTS = "To make it takes disk for the 16-bit model, not memory for all of it: its tool goes part by part.";

/** Whether 16-bit weights fit with room to spare; false where memory or model are open. */
const fitsWhole = (bf16, a) => Boolean(bf16 && a.memory) && bf16 <= (1 - AMPLE) * room(a);

/** Whether we know that a variant is fast on the hardware: by a kernel of an NVIDIA GPU or an engine, or measured on a CPU. */
const knownFast = (v, a) => (a.hardware in DEVICES && !v.loads ? a.hardware === "cpu" && fastOnCpu(v, a) : fast(v, a));

const asked = ({ context, batch }) => tokens(context) + (batch > 1 ? ` × ${batch}` : "");

/** What it takes of the memory, and for what that was counted. */
function size({ needs }, { a, use }) {
  if (!needs) return "";
  const halved = use.cache < 16 ? ` and a cache of ${use.cache} bits` : "";
  return ` (${gib(needs)}${a.memory ? ` of ${roomText(a)}` : ""} with ${asked(use)}${halved})`;
}

/** Whether a variant should be compiled: its kernel is torch.compile's, and the hardware takes it. */
export function compiles(v, a) {
  if (v.loads || trains(a) || !compiled(a) || kernelFrom(v) > (least(a) ?? 99)) return false;
  return v.kernel === "compiled" || Boolean(a.hardware === "cpu" && v.numbers?.compiled);
}

/** On what an answer depends beyond the form. */
function condition(v, a, model) {
  return [
    compiles(v, a) && ", compiled with torch.compile",
    v.bits < NARROW && !ready(v, a) && ", far from bf16 as all below 4 bits",
    !made(v) && !ready(v, a) && !original(v, model) && ", if somebody published it so",
    v.loads?.plugin && `, which takes ${v.loads.plugin}`,
    !a.series && v.loads?.lacks?.[a.hardware] && `, but not on ${v.loads.lacks[a.hardware]}`,
    unverified(v, a) && ", which is not verified on this hardware",
    trains(a) && v.cells.peft.answer !== "yes" && ", but LoRA on it was not verified",
  ]
    .filter(Boolean)
    .join("");
}

/** What a checkpoint takes whose format has several widths, of which the file has one: which fit, and the bytes of each. */
function widths({ ranked, out, bf16, a, use }) {
  const large = out.filter(({ rule }) => rule === "memory");
  const all = [...ranked, ...large].filter(({ variant, needs }) => ready(variant, a) && needs < bf16);
  if (new Set(all.map(({ variant }) => variant.bits)).size < 2) return null;
  const sizes = all.sort((one, other) => one.needs - other.needs);
  const fit = sizes.filter((one) => ranked.includes(one)).map(({ variant }) => variant.label);
  const each = sizes.map(({ variant, needs }, n) => `${variant.label} ${n ? "" : "takes "}${gib(needs)}`).join(", ");
  const which = fit.length < sizes.length ? ` if it is ${fit.at(-1)}${fit.length > 1 ? " or smaller" : ""}` : "";
  return { which, each: `: ${a.memory ? `of ${roomText(a)}, ` : ""}with ${asked(use)}, ${each}` };
}

/** What to take, and with which condition. */
function taking(top, found, whole, model) {
  const { a, shorter, use } = found;
  const { variant } = top;
  const needs = size(top, found);
  const engine = variant.loads ? `in ${variant.loads.title} ` : "";
  const loader = variant.loads ? ` in ${variant.loads.title}` : ` with ${variant.title}`;
  if (ready(variant, a)) {
    const { which, each } = widths(found) ?? { which: needs, each: "" };
    return `Load your ${a.checkpointName} checkpoint${loader}${which}${condition(variant, a, model)}${each}.`;
  }
  if (beyond(variant, a)) {
    const wide = shorter?.text ? `4 bits fit with ${shorter.text}. ` : "";
    const so = `${named(top.variant)}${needs}${condition(variant, a, model)}`;
    return `${wide}Only below 4 bits does it fit with ${asked(use)}: ${so}.`;
  }
  const aims = { finetune: "to train in less memory", smallest: "to make it small all the same" };
  const aim = aims[a.purpose] ?? (knownFast(variant, a) ? "for speed or more context" : "for more context");
  const said = `${engine}take ${named(top.variant)}${whole ? ` ${aim}` : ""}${needs}${condition(variant, a, model)}.`;
  return said[0].toUpperCase() + said.slice(1);
}

/** Whether an entry is out for want of memory though it stays packed: then another engine would be no help. */
const tooLarge = (entry) => entry?.rule === "memory" && entry.variant.runs === "packed";

/** The checkpoint at hand where no variant loads it: the variant that would, and why not; else null. */
function lost({ ranked, out, a }) {
  if (ranked.some(({ variant }) => ready(variant, a))) return null;
  const gone = out.filter(({ variant }) => ready(variant, a));
  const large = gone.filter(tooLarge).sort((one, other) => one.needs - other.needs);
  return large[0] ?? gone[0] ?? null;
}

/** How much more than there is an entry needs, and with how much less it fits. */
function exceeding({ variant, needs }, { a, use }, model) {
  const { text } = less(variant, a, model);
  const usable = gib((1 - spare(a)) * room(a));
  const most = `${usable === gib(needs) ? "just over" : "more than"} the ${usable} to use of ${roomText(a)}`;
  return `needs ${gib(needs)} with ${asked(use)}, ${most}${text ? `; it fits with ${text}` : ""}`;
}

/** What becomes of a checkpoint that is no answer. */
function losing(found, model) {
  const { unpacked, runners, bf16, a } = found;
  const entry = lost(found);
  if (!entry) return "";
  if (tooLarge(entry)) {
    const several = new Set(found.out.filter(({ variant }) => ready(variant, a)).map(({ variant }) => variant.bits)).size > 1;
    const as = several ? `, if it is ${entry.variant.label},` : "";
    return `Your ${a.checkpointName} checkpoint${as} ${exceeding(entry, found, model)}. `;
  }
  const begins = `Your ${a.checkpointName} checkpoint is`;
  const where = runners.length ? `; ${runners[0]} runs it: choose that under “Where it will run”` : "";
  if (!unpacked) return `${begins} no answer in ${elsewhere(a) ? "this engine" : "Transformers"}${where}. `;
  const needs = bf16 && a.memory ? `: ${gib(bf16)} of ${roomText(a)}` : "";
  const fits = bf16 && a.memory && bf16 > (1 - spare(a)) * room(a) ? ", which is too much" : "";
  return `${begins} unpacked to ${sixteen(a)} on this hardware${needs}${fits}. `;
}

/** What the model needs as it is published, or why it does not run so, where it does not fit in 16 bit with room to spare. */
function wanting(found, model) {
  const {
    ranked: [top],
    published,
    bf16,
    a,
  } = found;
  if (!bf16 || !a.memory) return "";
  if (published && top?.variant === published.variant) return "";
  const as = published ? `As published, in ${published.variant.title}, it ` : "";
  const barred = as && (published.rule ?? "memory") !== "memory";
  if (as && !barred) return `${as}${exceeding(published, found, model)}. `;
  const out = barred ? `${as}${published.text}. ` : "";
  if (bf16 <= room(a)) return `${out}${sixteen(a)} takes ${gib(bf16)} of ${roomText(a)}, which leaves less than a tenth. `;
  return `${out}${sixteen(a)} needs about ${gib(bf16)}; you have ${roomText(a)}. `;
}

/** That the model fits in 16 bit. */
function fitting({ ranked: [top], published, runners, bf16, a }, model) {
  const name = model?.name ?? "Such a model";
  const packed = runners.length ? `; ${runners[0]} runs it packed` : "";
  const unpacked = top?.variant.runs === "unpacked" ? "is unpacked and " : "";
  const yours = top?.needs < LIGHTER * bf16 ? "takes less" : `${unpacked}takes about as much${unpacked && packed}`;
  const also = top && ready(top.variant, a) ? `; your checkpoint ${yours}` : ": nothing must be quantized";
  const left = a.counted
    ? ", LoRA’s optimizer and activations counted"
    : " for optimizer and activations, which are not counted";
  const so = trains(a) ? left : also;
  const as = published?.rule === "peft" ? `As published, in ${published.variant.title}, it ${published.text}. ` : "";
  return `${name} fits in ${sixteen(a)}, with ${gib(room(a) - bf16)} to spare${so}. ${as}`;
}

/** The verdict on what choose() returned; `model` has a name or is null. */
export function verdict(found, model) {
  const { ranked, out, bf16, shorter, split, use, a, barred } = found;
  const [top, ...others] = ranked;
  if (barred && !top) return `${losing(found, model)}${barred}.`;
  const whole = fitsWhole(bf16, a);
  const unknown = use.train && use.wanted > use.context;
  const upTo = unknown ? `Training was not measured above ${tokens(use.context)}, and takes more there. ` : "";
  const first = upTo + losing(found, model) + (whole ? fitting(found, model) : found.unpacked ? "" : wanting(found, model));
  const left = others.length + 1;
  const rest = `${left} of ${left + out.length} variants ${left === 1 ? "is" : "are"} left.`;
  if (top) return `${first}${taking(top, found, whole, model)} ${rest}`;
  if (whole) return first.trim();
  const fewer = shorter?.text ? `${named(shorter.variant)} does with ${shorter.text}.` : "";
  const most = fewer || (split ? `${named(split.variant)} does ${split.how}.` : "");
  return `${first}Nothing fits with ${asked(use)}${most ? `; ${most}` : `; all ${out.length} are ruled out.`}`;
}

/** What to do rather than go below 4 bits, each {text, facts}; none where that is not at stake. */
function rather({ ranked: [top], shorter, split, a }) {
  if (!top || !beyond(top.variant, a) || !shorter) return [];
  const texts = [
    `Rather: ${named(shorter.variant)}, on one device or several with more than ${gib(shorter.needs / (1 - spare(a)))}.`,
    split && `Or ${named(split.variant)} ${split.how}, which is slower.`,
    shorter.text && `Or ${named(shorter.variant)} here, with ${shorter.text}.`,
    "Or a smaller model.",
  ];
  return texts.filter(Boolean).map((text) => ({ text, facts: [fact(shorter.variant, "storage")] }));
}

/** Why most methods are out for a mixture of experts; none where its experts are a smaller part. */
function experts({ ranked: [top], out, a }, model) {
  const weights = (part) =>
    (model?.tensors ?? []).reduce((sum, one) => sum + (part(one) ? one.rows * one.columns * one.count : 0), 0);
  const share = model ? weights(({ part }) => part === "experts") / weights(() => true) : 0;
  const without = out.filter(({ variant }) => !variant.quantizes.includes("experts"));
  if (share < 0.5 || !without.length || !a.memory || !top || top.variant.loads) return [];
  const text = `${Math.round(100 * share)} % of its weights are experts, which most methods leave in 16 bit.`;
  return [{ text, facts: [fact(top.variant, "quantizes")] }];
}

/** What stands below the verdict: why the checkpoint is out, what to do rather, what the hardware asks; {text, facts}. */
export function remarks(found, model) {
  const { unpacked, runners, a } = found;
  const gone = lost(found);
  const entry = tooLarge(gone) ? null : gone; // of that the verdict says all
  const page = entry?.rule === "capability" ? ` Its page: ${hardware(entry.variant, a).note}.` : "";
  const anew =
    " To save memory quantize the 16-bit original; where there is none, unpack this as its page shows, and save that.";
  const packed = runners.length ? ` It runs packed in ${runners.slice(0, 3).join(", ")}.` : "";
  const checkpoint = entry
    ? [{ text: `${named(entry.variant)} ${entry.text}.${page}${unpacked ? anew : ""}${packed}`, facts: entry.facts }]
    : [];
  const mac = `macOS lets the GPU take ${roomText(a)} of ${a.gpus > 1 ? "each Mac's " : ""}${a.memory} GiB; `;
  const engine = "Train with Transformers and PEFT, merge the adapters in 16 bit, and quantize that for the engine.";
  const { use, ranked, bf16, short } = found;
  const [top] = ranked;
  const made16 =
    top &&
    !ready(top.variant, a) &&
    !original(top.variant, model) &&
    (top.variant.loads || top.variant.calibration === "needed");
  const few = a.purpose === "throughput" && !a.sequences && a.memory && top && use.batch < SEVERAL;
  const others = [
    use.cache < 16 && "Its key-value cache is counted in 8 bits: the page The KV cache says how to ask for that.",
    short && `Longer sequences than ${tokens(use.context)} do not fit above 4 bits: add a GPU, or take a smaller model.`,
    few && `More than ${use.batch} at once of ${tokens(use.context)} do not fit: shorten the context, or add a GPU.`,
    made16 && bf16 > room(a) && (top.variant.home === a.engine && top.variant.loads.engine.by_parts ? BY_PARTS : MAKING),
    top?.variant.bits < NARROW && !ready(top.variant, a) && "A smaller model at 4 bits may do better in this memory.",
    model?.limit < a.context && `${model.name} was made for ${tokens(model.limit)}; more takes YaRN or its like.`,
    a.hardware === "apple" && a.memory && `${mac}sysctl iogpu.wired_limit_mb raises that.`,
    a.hardware === "volta" && !elsewhere(a) && VOLTA,
    lacksBf16(a) && a.overflows && !elsewhere(a) && OVERFLOWS,
    trains(a) && a.engine && a.engine !== "transformers" && engine,
  ];
  return [
    ...checkpoint,
    ...rather(found),
    ...experts(found, model),
    ...others.filter(Boolean).map((text) => ({ text, facts: [] })),
  ];
}
