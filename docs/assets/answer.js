// What the memory calculator shows of one state of its form. Texts are put in as texts, never as HTML: a model may be pasted.
import { GIB, MOST_TOKENS, bitsOf, count, largestContext, trainsMeasured } from "./counting.js";
import { element } from "./element.js";
import { offloaded } from "./offload.js";
import { widens } from "./training.js";
import { isFor, named, refused } from "./variant.js";

const NARROWEST_NAMED = 0.4; // of the bar, where the name of a part has room on a phone
const NARROWEST_LETTERED = 0.035; // where its letter in the table has

const FORMATS = [0, 1, 2].map(
  (digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);
export const number = (value, digits = 0) => FORMATS[digits].format(value);
const called = (variant) => (variant ? named(variant) : "bf16");
const plural = (many, word) => `${number(many)} ${word}${many === 1 ? "" : "s"}`;
const letter = (index) => String.fromCharCode(65 + index);

function size(bytes) {
  if (bytes >= GIB) return `${number(bytes / GIB, bytes < 1000 * GIB ? 1 : 0)} GiB`;
  return `${number(bytes / 2 ** 20, bytes < 2 ** 21 ? 2 : 0)} MiB`;
}

function share(bytes, total) {
  return bytes < total / 1000 ? "< 0.1 %" : `${number((100 * bytes) / total, 1)} %`;
}

function bits(model, variant, held) {
  const each = bitsOf(model, variant, held);
  return each === null ? "16" : number(each, 2);
}

/** Bytes on the fullest of some GPUs: device_map="auto" divides a model by whole layers, which count as alike. */
const fullestOf = ({ shared, own }, gpus, { layers }) => own + (shared * Math.ceil(layers / gpus)) / layers;

const fits = (found, { gpus, memory }, model) => fullestOf(found, gpus, model) <= memory * GIB;

/** How many GPUs of a size it takes: [GPUs, bytes on the fullest]; null where no number of them would do. */
function gpusOf(memory, found, model) {
  const needed = Array.from({ length: model.layers }, (_, n) => n + 1).find((gpus) => fits(found, { gpus, memory }, model));
  return needed ? [needed, fullestOf(found, needed, model)] : null;
}

/** The parts of an answer as [kind, name, detail, bytes], in the order of the bar. */
function partsOf({ model, variant, use, found }) {
  const { held, cached, added, beside, pass } = found;
  const wide = variant?.mix || (use.train && widens(variant, use.train)) ? "float32" : "bf16";
  const tied = model.tensors.some(({ part }) => part === "head") ? wide : `${wide}; the output head is the same tensor`;
  const one = pass.tokens === 1 ? "one token of the answer" : `${number(pass.tokens)} tokens in one pass`;
  const sequences = use.train
    ? `a step with ${number(use.context)} tokens × ${number(use.batch)}${use.train.checkpointed ? ", checkpointed" : ""}`
    : `${one} × ${number(use.batch)}${model.family.peaks ? "" : "; a rough estimate"}`;
  const full =
    pass.context < use.context ? `${number(pass.context)} tokens, when the prompt is in,` : `${number(pass.context)} tokens`;
  const each = use.gpus > 1 ? ` on each of ${number(use.gpus)} GPUs` : "";
  const others = variant?.storage
    .slice(1)
    .map(({ what }) => what)
    .join(", ");
  return [
    ["quantized", "Quantized weights", `${bits(model, variant, held)} bits a weight, scales included`, held.quantized],
    ["scales", "Scales, zero points", others, held.scales],
    ["linear", "Linear layers", wide, held.linear],
    ["experts", "Experts", wide, held.experts],
    ["embedding", "Embeddings", tied, held.embedding],
    ["head", "Output head", wide, held.head],
    ["rest", "Routers, norms, biases", wide, held.router + held.norm + held.other],
    ["cache", "Key-value cache", `${use.cache} bit, ${full} × ${number(use.batch)}`, cached],
    ["adapters", "Adapters", `${number((added.trained ?? 0) / 1e6, 1)} million weights`, added.adapters],
    ["gradients", "Gradients", "of the adapters", added.gradients],
    ["states", "Optimizer", "two moments of each adapter’s weight", added.states],
    ["activations", "Activations", `${sequences}${each}`, use.gpus * beside.activations],
    ["unpacked", "Unpacking", `the largest layer in bf16${each}; an estimate`, use.gpus * beside.unpacked],
    ["runtime", "Runtime", `context and libraries${each}; an assumption`, use.gpus * beside.context],
  ].filter(([, , , bytes]) => bytes > 0);
}

/** A row of a table; the first cell heads it. */
function makeRow(cells, properties) {
  const cell = (content, column) => element(column ? "td" : "th", column ? {} : { scope: "row" }, content);
  return element("tr", properties, ...cells.map(cell));
}

// A text that is there already keeps its layout.
function setText(made, text) {
  if (made.textContent !== text) made.textContent = text;
}

/** What device_map="auto" leaves in the CPU's memory, in a sentence; empty where all fits, or several GPUs share the model. */
function beyondGpu({ model, variant, use, found, room }) {
  const split = use.gpus === 1 && !use.train && found.total > room ? offloaded(model, found, room) : null;
  if (!split) return "";
  const stay = `${number(split.layers)} of its ${plural(model.layers, "layer")} stay on the GPU`;
  if (split.bytes > use.ram * GIB) {
    const over = `${size(split.bytes)} are left, more than the computer’s ${use.ram.toLocaleString("en")} GiB`;
    return ` GPU and computer together do not hold it: ${stay}, and ${over}.`;
  }
  const where = variant ? ", where the method allows that" : "";
  if (variant?.engine) return ` Split over GPU and CPU, ${stay}, and ${size(split.bytes)} are in the CPU’s memory.`;
  const rest = `${size(split.bytes)} are in the CPU’s memory${where} and are copied in each pass`;
  return ` With device_map="auto" ${stay}, ${rest}.`;
}

/** The sentence above all else: what it needs, and whether that fits. */
function showVerdict({ answer }, { model, variant, use, found, room }) {
  const each = fullestOf(found, use.gpus, model);
  const rest = use.memory * GIB - each;
  const such = gpusOf(use.memory, found, model);
  const more = `${such ? plural(such[0], "such GPU") : "no number of such GPUs"} would do`;
  const memory = `${use.memory.toLocaleString("en")} GiB`;
  const [where, onEach] =
    use.gpus > 1
      ? [`${number(use.gpus)} GPUs with ${memory} each`, `, at most ${size(each)} on each GPU`]
      : [`one GPU with ${memory}`, ""];
  const does = use.train ? `, training adapters of rank ${number(use.train.rank)}` : "";
  const tokens = `${number(use.context)} tokens × ${plural(use.batch, "sequence")}`;
  const work = `${model.name} in ${called(variant)}${does}, with ${tokens}`;
  const needs = `${size(found.total)} (${number(found.total / 1e9, 1)} GB)${onEach}`;
  const fullest = use.gpus > 1 ? " on the fullest" : "";
  const verdict =
    rest >= 0
      ? `It fits into ${where}, with ${size(rest)} to spare${fullest}.`
      : `It does not fit into ${where}: ${size(-rest)} are missing${fullest}; ${more}.`;
  answer.textContent = `${work}, needs ${needs}. ${verdict}${beyondGpu({ model, variant, use, found, room })}`;
  answer.dataset.bytes = found.total;
  answer.dataset.fits = rest >= 0;
}

function showLongest({ longest }, { model, variant, use, found }) {
  const most = largestContext(model, variant, use, found.held, fits);
  const made = Math.min(most, model.limit ?? Infinity);
  const known = !use.train || trainsMeasured(model, { ...use, context: most + 1 });
  const least = most === MOST_TOKENS || !known ? "at least " : "";
  const more =
    made < most
      ? `, what the model was made for; the memory would hold ${least}${number(most)}`
      : model.limit
        ? `; the model was made for ${number(model.limit)}`
        : "";
  const shown = `${made < most ? "" : least}${number(made)}`;
  const [title, none, beside] = use.train
    ? ["Longest sequence", "No sequence", "the activations"]
    : ["Largest context", "No context", "the cache"];
  longest.textContent = most
    ? `${title} that fits: ${shown} tokens × ${plural(use.batch, "sequence")}${more}.`
    : `${none} fits: what stands beside ${beside} is more than this memory.`;
  longest.dataset.tokens = made;
}

/** The bar, with a mark where the memory ends. */
function showBar({ bar, limit }, parts, { found, room }) {
  const whole = Math.max(found.total, Math.min(room, 4 * found.total));
  const pieces = parts.map(([kind, name, , bytes], index) => {
    const lettered = bytes / whole > NARROWEST_LETTERED ? letter(index) : "";
    const text = bytes / whole > NARROWEST_NAMED ? `${letter(index)} ${name}` : lettered;
    const piece = element("span", { className: `part-${kind}`, textContent: text });
    piece.style.width = `${(100 * bytes) / whole}%`;
    return piece;
  });
  bar.replaceChildren(...pieces);
  const heard = parts.map(([, name, , bytes]) => `${name} ${share(bytes, found.total)}`).join(", ");
  bar.setAttribute("aria-label", `Bar of ${size(found.total)}: ${heard}.`);
  const left = room > whole / 2;
  limit.textContent = left ? `${size(room)} available ${room > whole ? "▶" : "▲"}` : `▲ ${size(room)} available`;
  limit.style.left = `${Math.min(100, (100 * room) / whole)}%`;
  limit.classList.toggle("left", left);
}

function showSplit({ split }, parts, { found: { total } }) {
  const head = (kind, index, name, detail) =>
    element(
      "div",
      { className: "calculator-part" },
      element("span", { className: `calculator-key part-${kind}`, "aria-hidden": "true", textContent: letter(index) }),
      element("span", {}, name, element("small", { textContent: detail })),
    );
  const rows = parts.map(([kind, name, detail, bytes], index) => {
    const cells = [head(kind, index, name, detail), size(bytes), share(bytes, total)];
    return makeRow(cells, { "data-kind": kind, "data-bytes": bytes });
  });
  const sum = makeRow(["All", size(total), share(total, total)], { className: "calculator-sum" });
  split.tBodies[0].replaceChildren(...rows, sum);
}

/** That nobody has trained above a variant, and why. */
function untrainedText(variant) {
  const { answer, note } = variant.cells.peft;
  if (variant.engine) return `${variant.engine} trains no adapters: choose what Transformers loads.`;
  const said = answer === "no" ? "cannot be trained above" : "was not seen to train";
  return `${named(variant)} ${said} with PEFT${note ? `: ${note}` : ""}.`;
}

/** What else a reader should know of this answer. */
function showRemarks(
  { remarks, beyond, crowded, fused, unloaded, rough, bounded, untrained, elsewhere },
  { model, variant, use, found },
) {
  remarks.replaceChildren(
    ...[...model.notes, model.stored?.note].filter(Boolean).map((textContent) => element("p", { textContent })),
  );
  beyond.hidden = !model.limit || use.context <= model.limit;
  crowded.hidden = use.gpus <= model.layers;
  fused.hidden = !variant || !found.held.experts || Boolean(variant.experts);
  unloaded.hidden = !variant?.experts;
  rough.hidden = Boolean(model.family.peaks || use.train);
  bounded.hidden = use.cache === 16 || !model.bounded || Boolean(use.train);
  elsewhere.hidden = !variant?.engine;
  const others = "cache, activations and runtime as Transformers holds them";
  elsewhere.textContent = `Weights are counted as ${variant?.engine} reads them; ${others}.`;
  untrained.hidden = !use.train || !variant || variant.cells.peft.answer === "yes";
  untrained.textContent = untrained.hidden ? "" : untrainedText(variant);
}

function showGpus({ gpus }, { model, found }) {
  for (const { dataset, cells } of gpus.tBodies[0].rows) {
    const [needed, each] = gpusOf(Number(dataset.gib), found, model) ?? [0, 0];
    dataset.gpus = needed;
    setText(cells[2], needed ? number(needed) : "none");
    setText(cells[3], needed ? size(each) : "");
  }
}

/** The rows of the table of all variants, without figures. */
export function comparedRows(variants) {
  return [null, ...variants].map((variant) => {
    const href = variant && new URL(`../${variant.page}`, import.meta.url).href;
    const name = variant ? element("a", { href, textContent: named(variant) }) : "bf16";
    return { variant, made: makeRow([name, "", "", "", ""], { "data-variant": variant?.id ?? "bf16" }) };
  });
}

/** The figures of every variant that is for the model, the smallest first. */
function showCompared({ compared, left }, rows, { model, variant, use }) {
  const trainable = ({ cells, engine }) => !use.train || (!engine && cells.peft.answer !== "no");
  const compares = rows.filter(
    ({ variant: one }) => !one || (isFor(one, model) && !refused(one, model.tensors) && trainable(one)),
  );
  for (const row of compares) {
    const counted = count(model, row.variant, use);
    const { held, total } = counted;
    const texts = [bits(model, row.variant, held), size(held.total), size(total), fits(counted, use, model) ? "yes" : "no"];
    texts.forEach((text, column) => setText(row.made.cells[column + 1], text));
    row.made.dataset.bytes = row.total = total;
    row.made.ariaCurrent = row.variant === variant;
  }
  const made = compares.sort((a, b) => a.total - b.total).map((row) => row.made);
  const out = rows.filter((row) => row.variant && refused(row.variant, model.tensors)).map((row) => named(row.variant));
  left.textContent = out.length ? `Left out, as loading raises for the shapes of this model: ${out.join(", ")}.` : "";
  const body = compared.tBodies[0];
  const same = made.length === body.rows.length && made.every((row, index) => row === body.rows[index]);
  if (!same) body.replaceChildren(...made);
}

/** Count and show everything. `part` has the page's elements by their data-part, `rows` is what `comparedRows` made. */
export function showAnswer(part, rows, model, variant, use) {
  const found = count(model, variant, use);
  const state = { model, variant, use, found, room: use.gpus * use.memory * GIB };
  const parts = partsOf(state);
  showVerdict(part, state);
  showLongest(part, state);
  showBar(part, parts, state);
  showSplit(part, parts, state);
  showRemarks(part, state);
  showGpus(part, state);
  showCompared(part, rows, state);
}
