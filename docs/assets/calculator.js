// The page of the memory calculator; architecture.js and memory.js count. What is typed or pasted is shown as text alone.
import { cache, parameterCount, readConfig, tensors } from "./architecture.js";
import { element } from "./element.js";
import { allowance, weights } from "./memory.js";

const GIB = 2 ** 30;
const MOST_TOKENS = 10_000_000;
const WAIT = 400; // ms; browsers let a page change its address only so often
const LONGEST_CONFIG = 1_000_000; // characters

const FORMATS = [0, 1, 2].map((digits) =>
  new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
const number = (value, digits = 0) => FORMATS[digits].format(value);
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

function size(bytes) {
  if (bytes >= GIB) return `${number(bytes / GIB, bytes < 1000 * GIB ? 1 : 0)} GiB`;
  return `${number(bytes / 2 ** 20, bytes < 2 ** 21 ? 2 : 0)} MiB`;
}

/** {value}, or {problem}: a sentence that says what is wrong. Thousands may be parted by commas or spaces. */
function readNumber({ value: text, labels, dataset }) {
  const plain = text.trim().replace(/(?<=\d)[, _\u00a0](?=\d{3}(?!\d))/g, "");
  const [least, most, value] = [dataset.least, dataset.most, plain].map(Number);
  const [kind, pattern] = dataset.whole === "no" ? ["number", /^\d+(\.\d+)?$/] : ["whole number", /^\d+$/];
  if (pattern.test(plain) && value >= least && value <= most) return { value };
  const given = plain ? `“${text.trim().slice(0, 40)}” is not` : "this field is empty; it needs";
  return { problem: `${labels[0].textContent}: ${given} a ${kind} from ${dataset.least} to ${number(most)}.` };
}

/** A model's shapes, its own limit of tokens, and whether some layer's cache has one; or {problem}. */
function readModel(text, name, { families, refused }) {
  if (text.length > LONGEST_CONFIG) return { problem: "This is far longer than a config.json: paste it alone." };
  const found = readConfig(text, families, refused);
  if (found.problem) return { problem: found.problem.length > 900 ? `${found.problem.slice(0, 900)}…` : found.problem };
  const raw = JSON.parse(text);
  const [one, most] = [1, MOST_TOKENS].map((context) => cache(found.family, found.config, context, 1));
  const limit = raw.max_position_embeddings ?? raw.text_config?.max_position_embeddings;
  return {
    ...found,
    name: name ?? `The pasted ${found.model_type} model`,
    tensors: tensors(found.family, found.config),
    limit: Number.isInteger(limit) && limit > 0 ? limit : null,
    bounded: most.constant_bytes > 0 || most.elements < MOST_TOKENS * one.elements,
  };
}

/** What a variant of a model takes: `shared` is divided over the GPUs, `own` is taken on each of them. */
function count(model, variant, use, held = weights(model.tensors, variant)) {
  const kept = cache(model.family, model.config, use.context, use.batch);
  const tokens = use.batch * Math.min(use.prompt, use.context);
  const beside = allowance(model.tensors, variant, use.batch, tokens);
  const cached = Math.ceil((kept.elements * use.cache) / 8) + kept.constant_bytes;
  const own = beside.activations + beside.unpacked + beside.context;
  const shared = held.total + cached;
  return { held, cached, beside, tokens, shared, own, total: shared + use.gpus * own };
}

/** The most tokens of each sequence that fit; 0 where not even one does. */
function largestContext(model, variant, use, held) {
  const fits = (context) => count(model, variant, { ...use, context }, held).total <= use.gpus * use.memory * GIB;
  if (!fits(1)) return 0;
  let [low, high] = [1, MOST_TOKENS + 1];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}

/** How many GPUs of a size it takes: [GPUs, bytes on each]; null where no number of them would do. */
function gpusOf(gib, { shared, own }, layers) {
  const room = gib * GIB - own;
  const needed = room > 0 ? Math.max(1, Math.ceil(shared / room)) : Infinity;
  return needed <= layers ? [needed, shared / needed + own] : null;
}

const named = (variant) => (variant ? `${variant.title} ${variant.label}` : "bf16");

/** Bits a quantized weight, with its share of scales and the like; 16 where nothing is quantized. */
function bitsOf(model, variant, held) {
  const quantized = model.tensors.filter(({ part }) => variant?.quantizes.includes(part));
  return quantized.length ? number((8 * (held.quantized + held.scales)) / parameterCount(quantized), 2) : "16";
}

/** The parts of an answer as [kind, name, detail, bytes], in the order of the bar. */
function parts(model, variant, use, found) {
  const { held, cached, beside, tokens } = found;
  const tied = model.tensors.some(({ part }) => part === "head") ? "bf16" : "bf16; the output head is the same tensor";
  const each = use.gpus > 1 ? ` on each of ${number(use.gpus)} GPUs` : "";
  const others = variant?.storage.slice(1).map(({ what }) => what).join(", ");
  return [
    ["quantized", "Quantized weights", `${bitsOf(model, variant, held)} bits a weight, scales included`, held.quantized],
    ["scales", "Scales, zero points", others, held.scales],
    ["linear", "Linear layers", "bf16", held.linear],
    ["experts", "Experts", "bf16", held.experts],
    ["embedding", "Embeddings", tied, held.embedding],
    ["head", "Output head", "bf16", held.head],
    ["rest", "Routers, norms, biases", "bf16", held.router + held.norm + held.other],
    ["cache", "Key-value cache", `${use.cache} bit, ${number(use.context)} tokens × ${number(use.batch)}`, cached],
    ["activations", "Activations", `${number(tokens)} tokens in one pass${each}; an estimate`, use.gpus * beside.activations],
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

function grouped(list, title, option) {
  const groups = [...new Set(list.map(title))];
  return groups.map((label) => element("optgroup", { label }, ...list.filter((one) => title(one) === label).map(option)));
}

function makeCalculator(place, architectures, variants) {
  const { presets } = architectures;
  const part = Object.fromEntries([...place.querySelectorAll("[data-part]")].map((one) => [one.dataset.part, one]));
  const { form, answer, stale, longest, bar, limit } = part;
  const control = Object.fromEntries([...form.elements].filter(({ name }) => name).map((one) => [one.name, one]));
  const numeric = Object.values(control).filter(({ dataset }) => dataset.most);
  const rows = [null, ...variants].map((variant) => {
    const href = variant && new URL(`../${variant.page}`, import.meta.url).href;
    const name = variant ? element("a", { href, textContent: named(variant) }) : "bf16";
    return { variant, made: makeRow([name, "", "", "", ""], { "data-variant": variant?.id ?? "bf16" }) };
  });
  let model, sound, later;

  const say = (name, problem = "", invalid = problem !== "") => {
    document.getElementById(`calculator-${name}-error`).textContent = problem;
    control[name].setAttribute("aria-invalid", invalid);
    return !problem;
  };

  const chooseModel = () => {
    const preset = presets.find(({ id }) => id === control.model.value);
    part.pasted.hidden = Boolean(preset);
    const text = preset ? JSON.stringify(preset.config) : control.config.value;
    if (!text.trim()) return say("config", "Paste the whole of a model's config.json, from { to }.", false);
    const read = readModel(text, preset?.name, architectures);
    if (read.problem) return say(preset ? "model" : "config", read.problem);
    model = read;
    return say("model") && say("config");
  };

  const readForm = () => {
    const use = { cache: Number(control.cache.value) };
    const fine = numeric.map((one) => {
      const { value, problem } = readNumber(one);
      use[one.name] = value;
      return say(one.name, problem);
    });
    return fine.every(Boolean) ? use : null;
  };

  const show = (variant, use) => {
    const found = count(model, variant, use);
    const room = use.gpus * use.memory * GIB;
    const layers = model.config.num_hidden_layers;
    const rest = room - found.total;
    const such = gpusOf(use.memory, found, layers);
    const more = `${such ? plural(such[0], "such GPU") : "no number of such GPUs"} would do`;
    const memory = `${use.memory.toLocaleString("en")} GiB`;
    const [where, onEach] = use.gpus > 1
      ? [`${number(use.gpus)} GPUs with ${memory} each`, `, ${size(found.total / use.gpus)} on each GPU`]
      : [`one GPU with ${memory}`, ""];
    const sequences = plural(use.batch, "sequence");
    const work = `${model.name} in ${named(variant)}, with ${number(use.context)} tokens × ${sequences}`;
    const needs = `${size(found.total)} (${number(found.total / 1e9, 1)} GB)${onEach}`;
    const verdict = rest >= 0
      ? `It fits into ${where}, with ${size(rest)} to spare.`
      : `It does not fit into ${where}: ${size(-rest)} are missing; ${more}.`;
    answer.textContent = `${work}, needs ${needs}. ${verdict}`;
    answer.dataset.bytes = found.total;
    answer.dataset.fits = rest >= 0;

    const most = largestContext(model, variant, use, found.held);
    const own = model.limit ? `; the model was made for ${number(model.limit)}` : "";
    const least = most === MOST_TOKENS ? "at least " : "";
    longest.textContent = most
      ? `Largest context that fits: ${least}${number(most)} tokens × ${sequences}${own}.`
      : "No context fits: what stands beside the cache is more than this memory.";
    longest.dataset.tokens = most;

    const shown = parts(model, variant, use, found);
    const letter = (index) => String.fromCharCode(65 + index);
    const share = (bytes) => (bytes < found.total / 1000 ? "< 0.1 %" : `${number((100 * bytes) / found.total, 1)} %`);
    const whole = Math.max(found.total, Math.min(room, 4 * found.total));
    bar.replaceChildren(...shown.map(([kind, , , bytes], index) => {
      const piece = element("span", { className: `part-${kind}`, textContent: bytes / whole > 0.035 ? letter(index) : "" });
      piece.style.width = `${(100 * bytes) / whole}%`;
      return piece;
    }));
    const heard = shown.map(([, name, , bytes]) => `${name} ${share(bytes)}`).join(", ");
    bar.setAttribute("aria-label", `Bar of ${size(found.total)}: ${heard}.`);
    const left = room > whole / 2;
    limit.textContent = left ? `${size(room)} available ${room > whole ? "▶" : "▲"}` : `▲ ${size(room)} available`;
    limit.style.left = `${Math.min(100, (100 * room) / whole)}%`;
    limit.classList.toggle("left", left);
    const head = (kind, index, name, detail) => element("div", { className: "calculator-part" },
      element("span", { className: `calculator-key part-${kind}`, "aria-hidden": "true", textContent: letter(index) }),
      element("span", {}, name, element("small", { textContent: detail })));
    part.split.tBodies[0].replaceChildren(
      ...shown.map(([kind, name, detail, bytes], index) =>
        makeRow([head(kind, index, name, detail), size(bytes), share(bytes)], { "data-kind": kind, "data-bytes": bytes })),
      makeRow(["All", size(found.total), share(found.total)], { className: "calculator-sum" }),
    );
    part.remarks.replaceChildren(...model.notes.map((textContent) => element("p", { textContent })));
    part.beyond.hidden = !model.limit || use.context <= model.limit;
    part.crowded.hidden = use.gpus <= layers;
    part.fused.hidden = !variant || !found.held.experts;
    part.bounded.hidden = use.cache === 16 || !model.bounded;

    for (const { dataset, cells } of part.gpus.tBodies[0].rows) {
      const [needed, each] = gpusOf(Number(dataset.gib), found, layers) ?? [0, 0];
      dataset.gpus = needed;
      setText(cells[2], needed ? number(needed) : "none");
      setText(cells[3], needed ? size(each) : "");
    }

    for (const row of rows) {
      const { held, total } = count(model, row.variant, use);
      const texts = [bitsOf(model, row.variant, held), size(held.total), size(total), total <= room ? "yes" : "no"];
      texts.forEach((text, column) => setText(row.made.cells[column + 1], text));
      row.made.dataset.bytes = row.total = total;
      row.made.ariaCurrent = row.variant === variant;
    }
    rows.sort((a, b) => a.total - b.total);
    const body = part.compared.tBodies[0];
    if (rows.some(({ made }, index) => made !== body.rows[index])) body.replaceChildren(...rows.map(({ made }) => made));
  };

  const update = () => {
    const known = chooseModel();
    const use = readForm();
    sound = known && use !== null;
    if (sound) show(variants.find(({ id }) => id === control.variant.value) ?? null, use);
    stale.textContent = sound ? "" : "Not recalculated: this is the last good answer.";
  };

  /** Put the state into the address, unless the reader is on another page by now. */
  const remember = () => {
    clearTimeout(later);
    if (!place.isConnected || !sound) return;
    const query = new URLSearchParams();
    for (const { name, value } of Object.values(control)) {
      if (name !== "config" && value !== "config") query.set(name, value.trim());
    }
    history.replaceState(history.state, "", `?${query}${location.hash}`);
  };

  const recall = () => {
    const strange = [];
    for (const [name, value] of new URLSearchParams(location.search)) {
      if (!Object.hasOwn(control, name) || name === "config") continue;
      const before = control[name].value;
      control[name].value = value;
      if (control[name].value === value) continue;
      control[name].value = before;
      strange.push(`The link's ${name} “${value.slice(0, 40)}” is no choice here.`);
    }
    update();
    if (strange.length) stale.textContent = `${strange.join(" ")} The answer is for what is chosen below.`;
  };

  control.model.prepend(...grouped(presets, ({ model: id }) => id.split("/")[0], ({ id, name, parameters }) =>
    element("option", { value: id, textContent: `${name}, ${number(parameters / 1e9, 2)} billion weights` })));
  control.variant.append(...grouped(variants, ({ title }) => title, (one) =>
    element("option", { value: one.id, textContent: named(one) })));
  for (const one of [control.model, control.variant]) {
    one.value = one.dataset.start;
    if (!one.value) one.selectedIndex = 0;
  }
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    update();
    clearTimeout(later);
    later = setTimeout(remember, WAIT);
  });
  form.addEventListener("change", remember);
  update();
  recall();
  place.hidden = false;
}

/** Fill the page's form and answer; where data cannot be had, a sentence says so. */
export async function mount(place) {
  const read = async (name) => (await fetch(new URL(name, import.meta.url))).json();
  try {
    const [architectures, choices] = await Promise.all(["architectures.json", "choices.json"].map(read));
    makeCalculator(place, architectures, choices.variants);
    document.getElementById("calculator-without").remove();
  } catch (error) {
    place.replaceChildren(`The calculator could not read its data: ${error.message}.`);
    place.hidden = false;
  }
}
