// The answer in a few sentences, with what an engineer says first: what a checkpoint becomes, that bf16 fits, a width's price.
import { longest } from "./choose.js";
import {
  AMPLE,
  DEVICES,
  NARROW,
  beyond,
  fact,
  fast,
  fastOnCpu,
  gib,
  hardware,
  lacksBf16,
  made,
  ready,
  room,
  roomText,
  spare,
  trains,
  unverified,
} from "./reader.js";

const named = ({ variant }) => `${variant.title} ${variant.label}`;
const sixteen = (a) => (lacksBf16(a) ? "float16" : "bf16");

/** Whether 16-bit weights fit with room to spare; false where memory or model are open. */
export const fitsWhole = (bf16, a) => Boolean(bf16 && a.memory) && bf16 <= (1 - AMPLE) * room(a);

/** Whether we know that a variant is fast on the hardware: a kernel on an NVIDIA GPU, a measurement on a CPU. */
const knownFast = (v, a) => (a.hardware in DEVICES ? a.hardware === "cpu" && fastOnCpu(v, a) : fast(v, a));

/** On what an answer depends beyond the form. */
function condition(v, a) {
  const compiled = !v.loads && !trains(a) && (v.kernel === "compiled" || (a.hardware === "cpu" && v.numbers?.compiled));
  return [
    compiled && a.compile !== "no" && ", compiled with torch.compile",
    v.bits < NARROW && ", far from bf16 as all below 4 bits",
    unverified(v, a) && ", which is not verified on this hardware",
  ]
    .filter(Boolean)
    .join("");
}

/** What to take, and with which condition. */
function taking(top, a, whole) {
  const { variant } = top;
  const doubt = unverified(variant, a) ? ", which is not verified on this hardware" : "";
  const engine = variant.loads ? `in ${variant.loads.title} ` : "";
  const loader = variant.loads ? ` in ${variant.loads.title}` : ` with ${variant.title}`;
  if (ready(variant, a)) return `Load your ${a.checkpointName} checkpoint${loader}${doubt}.`;
  if (beyond(variant, a)) return `Only below 4 bits does it fit, and is far from bf16 then: ${named(top)}${doubt}.`;
  const aims = { finetune: "to train in less memory", smallest: "to make it small all the same" };
  const aim = aims[a.purpose] ?? (knownFast(variant, a) ? "for speed or more context" : "for more context");
  const said = `${engine}take ${named(top)}${whole ? ` ${aim}` : ""}${condition(variant, a)}.`;
  return said[0].toUpperCase() + said.slice(1);
}

/** What becomes of a checkpoint that no kernel of this hardware runs and Transformers unpacks. */
function unpacking({ unpacked, bf16 }, a) {
  if (!unpacked) return "";
  const needs = bf16 && a.memory ? `: ${gib(bf16)} of ${roomText(a)}` : "";
  const fits = bf16 && a.memory && bf16 > (1 - spare(a)) * room(a) ? ", which is too much" : "";
  return `Your ${a.checkpointName} checkpoint is unpacked to ${sixteen(a)} on this hardware${needs}${fits}. `;
}

/** What 16-bit weights need, where they don't fit with room to spare. */
function wanting(bf16, a) {
  if (!bf16 || !a.memory) return "";
  if (bf16 <= room(a)) return `${sixteen(a)} takes ${gib(bf16)} of ${roomText(a)}, which leaves less than a tenth. `;
  return `${sixteen(a)} needs about ${gib(bf16)} of ${roomText(a)}. `;
}

/** The verdict on what choose() returned; `model` has a name or is null. */
export function verdict(found, model) {
  const { ranked, out, bf16, a } = found;
  const [top, ...others] = ranked;
  const whole = fitsWhole(bf16, a);
  const name = model?.name ?? "Such a model";
  const so = trains(a) ? " for optimizer and activations, which are not counted" : ": nothing must be quantized";
  const fits = whole ? `${name} fits in ${sixteen(a)}, with ${gib(room(a) - bf16)} to spare${so}. ` : "";
  const first = unpacking(found, a) + (whole ? fits : found.unpacked ? "" : wanting(bf16, a));
  if (!top) return first && whole ? first.trim() : `${first}Nothing fits; all ${out.length} are ruled out.`;
  return `${first}${taking(top, a, whole)} ${others.length + 1} fit, ${out.length} are ruled out.`;
}

/** What to do rather than go below 4 bits, each {text, facts}; none where that is not at stake. */
function rather({ ranked: [top], out, a }, model) {
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
  return texts.filter(Boolean).map((text) => ({ text, facts: [fact(least.variant, "storage")] }));
}

/** What stands below the verdict: the checkpoint at hand where it is out, what to do rather; {text, facts}. */
export function remarks(found, model) {
  const { ranked, out, unpacked, runners, a } = found;
  const lost = ranked.some(({ variant }) => ready(variant, a))
    ? []
    : out.filter(({ variant }) => ready(variant, a)).slice(0, 1);
  const more = ({ rule, variant }) => (rule === "capability" ? ` Its page: ${hardware(variant, a).note}.` : "");
  const instead = runners.length ? ` It runs packed in ${runners.slice(0, 3).join(", ")}.` : "";
  const checkpoint = lost.map((entry) => ({
    text:
      (unpacked
        ? `${named(entry)} ${entry.text}.${more(entry)} To save memory load it unpacked, save that, and quantize it anew.`
        : `Your ${a.checkpointName} checkpoint is no answer here: ${named(entry)} ${entry.text}.${more(entry)}`) + instead,
    facts: entry.facts,
  }));
  const mac =
    a.hardware === "apple" && a.memory
      ? [
          {
            text:
              `macOS lets the GPU take ${roomText(a)} of ${a.gpus > 1 ? "each Mac's " : ""}${a.memory} GiB; ` +
              "sysctl iogpu.wired_limit_mb raises that.",
            facts: [],
          },
        ]
      : [];
  const training =
    trains(a) && a.engine && a.engine !== "transformers"
      ? [
          {
            text: "Train with Transformers and PEFT, merge the adapters in 16 bit, and quantize that for the engine.",
            facts: [],
          },
        ]
      : [];
  return [...checkpoint, ...rather(found, model), ...mac, ...training];
}
