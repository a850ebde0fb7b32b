// The answer in a sentence or two, with what an engineer says first: that bf16 fits, or what a checkpoint or a width costs.
import { longest } from "./choose.js";
import { NARROW, beyond, gib, hardware, lacksBf16, made, ready, room, roomText, spare, unverified } from "./rules.js";

const WHOLE_SPARE = 0.1; // of the memory, beside what was counted: what fits with less is not promised
const named = ({ variant }) => `${variant.title} ${variant.label}`;
const sixteen = (a) => (lacksBf16(a) ? "float16" : "bf16");

/** Whether 16-bit weights fit with room to spare; false where memory or model are open. */
export const fitsWhole = (bf16, a) => Boolean(bf16 && a.memory) && bf16 <= (1 - WHOLE_SPARE) * room(a);

/** What to take, and with which condition. */
function taking(top, a, whole) {
  const doubt = unverified(top.variant, a) ? ", which is not verified on this hardware" : "";
  if (ready(top.variant, a)) return `Load your ${a.checkpoint} checkpoint with ${top.variant.title}${doubt}.`;
  if (beyond(top.variant, a)) return `Only below 4 bits does it fit, and is far from bf16 then: ${named(top)}${doubt}.`;
  const price = top.variant.bits < NARROW ? ", far from bf16 as all below 4 bits" : "";
  if (!whole) return `Take ${named(top)}${price}${doubt}.`;
  const aim = { finetune: "To train in less memory", smallest: "To make it small all the same" }[a.purpose];
  return `${aim ?? "For speed or more context"} take ${named(top)}${price}${doubt}.`;
}

/** The verdict: `answer` is what choose() returned, `model` has a name or is null. */
export function verdict({ ranked: [top, ...others], out, bf16 }, a, model) {
  const whole = fitsWhole(bf16, a);
  const left = whole && gib(room(a) - bf16);
  const name = model?.name ?? "Such a model";
  const so =
    a.purpose === "finetune" ? " for optimizer and activations, which are not counted" : ": nothing must be quantized";
  const fits = whole ? `${name} fits in ${sixteen(a)}, with ${left} to spare${so}. ` : "";
  if (!top) return fits || `Nothing fits; all ${out.length} are ruled out.`;
  const wanting = bf16 && a.memory && !whole ? `${sixteen(a)} needs about ${gib(bf16)} of ${roomText(a)}. ` : "";
  return `${fits}${wanting}${taking(top, a, whole)} ${others.length + 1} fit, ${out.length} are ruled out.`;
}

/** What to do rather than go below 4 bits, each {text, facts}; none where that is not at stake. */
function rather({ ranked: [top], out }, a, model) {
  if (!top || !beyond(top.variant, a)) return [];
  const wider = out.filter(({ rule, variant }) => rule === "memory" && made(variant) && !beyond(variant, a));
  const [least] = wider.sort((one, other) => one.needs - other.needs);
  if (!least) return [];
  const most = longest(least.variant, a, model);
  const texts = [
    `Rather: ${named(least)}, on one device or several with more than ${gib(least.needs / (1 - spare(a)))}.`,
    most && `Or ${named(least)} here, with one sequence of at most ${most.toLocaleString("en")} tokens.`,
    "Or a smaller model.",
  ];
  return texts.filter(Boolean).map((text) => ({ text, facts: [`${least.variant.facts.self}.storage`] }));
}

/** What stands below the verdict: the checkpoint at hand where it is out, what to do rather; {text, facts}. */
export function remarks(found, a, model) {
  const { ranked, out } = found;
  const lost = ranked.some(({ variant }) => ready(variant, a))
    ? []
    : out.filter(({ variant }) => ready(variant, a)).slice(0, 1);
  const more = ({ rule, variant }) => (rule === "capability" ? ` Its page: ${hardware(variant, a).note}.` : "");
  const checkpoint = lost.map((entry) => ({
    text: `Your ${a.checkpoint} checkpoint is no answer here: ${named(entry)} ${entry.text}.${more(entry)}`,
    facts: entry.facts,
  }));
  return [...checkpoint, ...rather(found, a, model)];
}
