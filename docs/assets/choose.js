// Which method to take: a pure function over the facts in choices.json and the rules; `a` has a reader's answers.
import { estimate } from "./memory.js";
import { EXCLUSIONS, PREFERENCES, gib, made, reason } from "./rules.js";

const named = (v) => `${v.title} ${v.label}`;
const counted = new WeakMap(); // by model, what was counted before

/** Bytes that a variant of `model` ({tensors, work}) takes for the purpose at hand; null where the model is open. */
export function needs(v, a, model) {
  if (!model) return null;
  if (!counted.has(model)) counted.set(model, new Map());
  const known = counted.get(model);
  const purpose = a.purpose || "single";
  const key = `${purpose} ${v.id}`;
  if (!known.has(key)) {
    const { batch, tokens, elements, constant_bytes } = model.work[purpose];
    known.set(key, estimate(model.tensors, v, { cacheElements: elements, batch, tokens }).total + constant_bytes);
  }
  return known.get(key);
}

/** The first rule that rules a variant out, with its reason; null if none does. */
function exclusion(variant, a, bytes, model) {
  for (const rule of EXCLUSIONS) {
    const said = rule.test(variant, a, bytes, model);
    if (said) return { rule: rule.id, ...said };
  }
  return null;
}

/** What no rule excludes, the first to take at the head; with what was excluded. */
function sorted(variants, a, model) {
  const asked = PREFERENCES.filter((rule) => rule.when(a));
  const left = [];
  const out = [];
  for (const variant of variants) {
    const bytes = needs(variant, a, model);
    const excluded = exclusion(variant, a, bytes, model);
    if (excluded) out.push({ variant, needs: bytes, ...excluded });
    else left.push({ variant, needs: bytes, scores: asked.map((rule) => rule.score(variant, a)) });
  }
  left.sort((one, other) => {
    const i = deciding(one, other);
    return i < 0 ? 0 : other.scores[i] - one.scores[i]; // then the order of the pages, which put first what to take first
  });
  return { asked, left, out };
}

/** The number of the first preference that tells two entries apart; -1 if none does. */
const deciding = (one, other) => one.scores.findIndex((score, i) => score !== other.scores[i]);

/** Why an entry comes after the one before it. */
function difference(before, { variant, scores }, asked, a) {
  const i = deciding(before, { scores });
  if (i >= 0) return { rule: asked[i].id, ...asked[i].less(variant, a) };
  const same = "comes later in the guide; nothing that we know tells them apart";
  return { rule: "name", ...reason(same, `${variant.facts.self}.id`) };
}

/** Ranked variants with reasons, what was ruled out and why, and, where nothing is left, what would have to change. */
export function choose(variants, a, model = null) {
  const { asked, left, out } = sorted(variants, a, model);
  const most = asked.map((_, i) => Math.max(...left.map((entry) => entry.scores[i])));
  const ranked = left.map(({ variant: v, needs: bytes, scores }, n) => {
    const speaks = asked.filter((rule, i) => rule.why && scores[i] === most[i] && scores[i] !== 0);
    const reasons = speaks.map((rule) => rule.why(v, a)).filter(Boolean);
    if (bytes) {
      const room = a.memory ? ` of ${a.memory} GiB` : "";
      reasons.push(reason(`needs about ${gib(bytes)}${room}`, `${v.facts.self}.storage`));
    }
    return { variant: v, needs: bytes, reasons, behind: n ? difference(left[n - 1], left[n], asked, a) : null };
  });
  return { ranked, out, changes: ranked.length ? [] : changes(variants, a, model, out) };
}

/** What one other answer would bring, where nothing fits. */
function changes(variants, a, model, out) {
  const others = {
    hardware: "other hardware",
    checkpoint: "no checkpoint to start from, or one in another format",
    calibration: "calibration",
    purpose: "another purpose",
  };
  const found = Object.keys(others)
    .filter((question) => a[question])
    .flatMap((question) => {
      const [first] = sorted(variants, { ...a, [question]: "" }, model).left;
      return first ? [`With ${others[question]}: ${named(first.variant)}.`] : [];
    });
  const [least] = out
    .filter(({ rule, variant }) => rule === "memory" && made(variant))
    .sort((one, other) => one.needs - other.needs);
  if (least) found.unshift(`With ${gib(least.needs)} of memory, on this device or over several: ${named(least.variant)}.`);
  return found.length ? found : ["No single other answer brings a method: leave more than one question open."];
}
