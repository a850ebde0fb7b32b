// The selector's form and its answer: reads choices.json and the form, calls choose(), and shows what it says.
import { cards, choose } from "./choose.js";
import { MOST_TOKENS } from "./counting.js";
import { element } from "./element.js";
import { modelLike, modelOf, presetsOf } from "./models.js";
import { DEVICES, EXCLUSIONS, NVIDIA, PREFERENCES, PURPOSES, hardware, lacksBf16, ready, unverified } from "./rules.js";
import { remarks, verdict } from "./verdict.js";

const SHOWN = 3; // in full; the others fold away
const LIMITS = {
  memory: [1, 20000, "GiB"],
  gpus: [1, 10000, "GPUs"],
  parameters: [0.05, 5000, "billions of parameters"],
  context: [1, MOST_TOKENS, "tokens"],
  sequences: [1, 100000, "sequences at once"],
};
const UNIT = /\s*(g|gb|gib|b|billion)$/i; // "24 GB" is what a maker calls 24 GiB of memory
const MEMORY = [8, 12, 16, 24, 32, 48, 80, 141, 192];

const site = (path) => new URL(`../${path}`, import.meta.url).href;

const EITHER = ["", "either way"];
const EXAMPLE = "Qwen/Qwen3-0.6B"; // the model of the notebooks, in whose place code takes the one that was chosen

/** The questions: [name, label, options as [value, text] or in groups as {label, options}]; a number field has none. */
function questions({ variants }, architectures, { makers }) {
  const generations = Object.entries(NVIDIA).map(([id, [name, least]]) => [id, `NVIDIA ${name}, from ${least.toFixed(1)}`]);
  const keys = [...new Set(variants.flatMap((variant) => variant.keys))].sort().map((key) => [key, key]);
  const named = presetsOf(architectures).map(({ id, name }) => [id, name]);
  const boards = makers.map(({ maker, cards: known }) => ({ label: maker, options: known.map(({ id, name }) => [id, name]) }));
  return [
    ["card", "GPU, board or Mac", [["", "another, or given beside"], ...boards]],
    ["hardware", "Hardware", [["", "any"], ...generations, ...Object.entries(DEVICES)]],
    ["memory", "Its memory in GiB", null],
    ["gpus", "How many of it", null],
    ["purpose", "What for", [["", "any"], ...Object.entries(PURPOSES)]],
    ["model", "Model", [["", "any"], ["count", "another, by its number of parameters"], ...named]],
    ["parameters", "Parameters, in billions", null],
    ["context", "Context, tokens", null],
    ["sequences", "Sequences at once", null],
    ["calibration", "Calibration with texts of yours", [EITHER, ["yes", "welcome"], ["no", "no"]]],
    ["checkpoint", "A ready quantized checkpoint", [["", "maybe"], ["none", "none"], ...keys]],
    ["compile", "torch.compile", [EITHER, ["yes", "wanted"], ["no", "no"]]],
  ];
}

/** An option of a select, or a group of them. */
function option(one) {
  if (!Array.isArray(one)) return element("optgroup", { label: one.label }, ...one.options.map(option));
  return element("option", { value: one[0], textContent: one[1] });
}

/** A form control with its label and room for what is wrong with it. */
function control([name, label, options]) {
  const id = `choose-${name}`;
  const field = options
    ? element("select", { id, name }, ...options.map(option))
    : element("input", {
        id,
        name,
        inputMode: "decimal",
        autocomplete: "off",
        list: `${id}-list`,
        "aria-describedby": `${id}-problem`,
      });
  const suggestions =
    name === "memory"
      ? element("datalist", { id: `${id}-list` }, ...MEMORY.map((value) => element("option", { value })))
      : null;
  const problem = options ? null : element("span", { id: `${id}-problem`, className: "problem" });
  return element(
    "div",
    { className: "question" },
    element("label", { htmlFor: id, textContent: label }),
    field,
    suggestions,
    problem,
  );
}

/** The number in a field, null where it is empty; what is wrong with it stands beside it, and undefined is returned. */
function number(field) {
  const text = field.value.trim().replace(",", ".").replace(UNIT, "");
  const [least, most, unit] = LIMITS[field.name];
  const value = Number(text);
  const wrong = text !== "" && !(value >= least && value <= most);
  field.setAttribute("aria-invalid", wrong);
  document.getElementById(`${field.id}-problem`).textContent = wrong
    ? `Give a number from ${least} to ${most} (${unit}), or nothing.`
    : "";
  return wrong ? undefined : text === "" ? null : value;
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
const reasonItem = ({ text, facts }) => element("li", { textContent: sentence(text), "data-facts": facts.join(" ") });
const methodLink = (v) => element("a", { href: site(v.page), textContent: `${v.title} ${v.label}` });

/** A button that copies what `text` returns, and says so. */
function copying(textContent, text, otherwise) {
  const status = element("span", { role: "status" });
  const button = element("button", { type: "button", className: "md-button", textContent });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      status.textContent = " Copied.";
    } catch {
      status.textContent = ` Your browser does not let this page copy: ${otherwise}.`;
    }
  });
  return element("span", {}, button, status);
}

function snippet(v, answers, model, installs) {
  const proven = ready(v, answers) && v.ready_code ? v.ready_code : v.code;
  if (!proven) return element("p", { textContent: "No code of ours loads this variant; its page says what is known." });
  const typed = lacksBf16(answers) ? proven.replaceAll("torch.bfloat16", "torch.float16") : proven;
  const install = v.notebook ? installs[v.notebook.name].map((line) => `# ${line}\n`).join("") : "";
  const code = `${install}\n${model?.hub ? typed.replaceAll(EXAMPLE, model.hub) : typed}`;
  const label = `Code for ${v.title} ${v.label}`; // the theme lets the code scroll, not the block around it
  const block = element("code", { textContent: code, tabIndex: 0, "aria-label": label, role: "region" });
  const why = () => `${NVIDIA[answers.hardware][0]} has no bf16 arithmetic, so this code takes float16 instead.`;
  const changed = typed === proven ? null : element("p", { textContent: why() });
  const button = copying("Copy the code", () => code, "select the code");
  return element("div", {}, changed, element("pre", {}, block), button);
}

function proofLine(v) {
  const n = v.notebook;
  if (!n) return element("p", { textContent: "Proof: no notebook runs this variant." });
  const what = n.instead ? `${n.instead} shown` : "proven";
  const where =
    n.state === "proven"
      ? `${what} on ${n.kind === "cpu" ? "a CPU" : n.machine}, ${n.date}${n.stand_in ? ", on the small reference model" : ""}`
      : n.state;
  return element(
    "p",
    {},
    `Proof: ${where}. `,
    element("a", { href: site(n.page), textContent: `Notebook ${n.name}` }),
    " · ",
    element("a", { href: n.colab, textContent: `Open ${n.name} in Colab` }),
  );
}

/** What nobody vouches for on this hardware is said before all else. */
function doubt(v, answers) {
  if (!unverified(v, answers)) return null;
  const { note, fact } = hardware(v, answers);
  const text = `Not verified on this hardware${note ? `: ${note}` : ""}.`;
  return element("p", { className: "unverified", "data-facts": fact, textContent: text });
}

function answerItem({ variant: v, reasons, behind, others }, { answers, model, installs }, first) {
  return element(
    "li",
    { "data-variant": v.id },
    element("h3", {}, methodLink(v)),
    doubt(v, answers),
    behind &&
      element("p", {
        className: "behind",
        "data-facts": behind.facts.join(" "),
        textContent: `Not before it because it ${behind.text}.`,
      }),
    reasons.length ? element("ul", {}, ...reasons.map(reasonItem)) : null,
    others.length ? folded(`Its other variants that fit: ${others.length}`, others, ({ behind: after }) => after.text) : null,
    proofLine(v),
    element(
      "details",
      { open: first },
      element("summary", { textContent: `Code: ${v.title} ${v.label}` }),
      snippet(v, answers, model, installs),
    ),
  );
}

/** A list that folds away; it is made when it is first opened, so that an answer appears at once. */
function folded(title, entries, line) {
  const details = element("details", {}, element("summary", { textContent: title }));
  const item = (entry) => element("li", {}, methodLink(entry.variant), ` ${line(entry)}.`);
  details.addEventListener("toggle", () => details.append(element("ul", {}, ...entries.map(item))), { once: true });
  return details;
}

/** How the memory was counted, with a link to the calculator that has the same answers. */
function memoryLine(model, { context, batch, prompt, cache, memory, gpus }, top) {
  if (!model) return element("p", { textContent: "Memory is estimated once you name a model." });
  const many = `${context.toLocaleString("en")} tokens × ${batch}`;
  const like = model.like ? `, with the shape of ${model.like}, scaled` : "";
  const text = `Counted: weights, cache of ${many}, and an allowance${like}; training's gradients and optimizer are not. `;
  const variant = top?.variant.id ?? "bf16";
  const query = new URLSearchParams({ model: model.id, variant, context, batch, prompt, cache, memory: memory ?? 24, gpus });
  const link = element("a", { href: site(`memory/${model.id ? `?${query}` : ""}`), textContent: "Memory calculator" });
  return element("p", {}, text, link);
}

/** What stands below the verdict. */
function show(found, answers, model, installs) {
  const { ranked, out, changes, use } = found;
  const parts = [];
  for (const { text, facts } of remarks(found, answers, model)) {
    parts.push(element("p", { className: "remark", "data-facts": facts.join(" "), textContent: text }));
  }
  if (answers.purpose === "throughput" || ["apple", "cpu"].includes(answers.hardware)) {
    parts.push(element("p", {}, ...elsewhere()));
  }
  if (!ranked.length) {
    const items = changes.map((text) => element("li", { textContent: text }));
    parts.push(element("p", { textContent: "What would have to change:" }), element("ul", { className: "changes" }, ...items));
  }
  const shown = cards(ranked);
  parts.push(
    element(
      "ol",
      { className: "ranked" },
      ...shown.slice(0, SHOWN).map((card, i) => answerItem(card, { answers, model, installs }, i === 0)),
    ),
  );
  const others = shown.slice(SHOWN);
  if (others.length) parts.push(folded(`${others.length} more methods that fit`, others, ({ behind }) => behind.text));
  if (out.length) parts.push(folded(`${out.length} ruled out`, out, ({ text }) => text));
  parts.push(memoryLine(model, use, ranked[0]));
  return parts;
}

/** Where Transformers is not what most would take. */
const elsewhere = () => [
  "This answers for Transformers. To serve, and on this hardware, an engine may do better: ",
  element("a", { href: site("engines/"), textContent: "which format loads where" }),
  ".",
];

function ruleList() {
  const item = ({ says, source }) => element("li", {}, says, " ", element("small", { textContent: `Source: ${source}.` }));
  return element(
    "details",
    { className: "rules" },
    element("summary", { textContent: "The rules" }),
    element("p", { textContent: "Ruled out, unless:" }),
    element("ol", {}, ...EXCLUSIONS.map(item)),
    element("p", { textContent: "Of what is left, preferred, the first difference deciding:" }),
    element("ol", {}, ...PREFERENCES.map(item)),
  );
}

/** Let a card say what it is and how much memory it has, and no longer stand where the reader says otherwise. */
function useCard({ card, hardware: kind, memory }, { makers }, changed) {
  const known = makers.flatMap(({ cards: all }) => all).find(({ id }) => id === card.value);
  if (!known) return;
  if (changed === card) {
    kind.value = known.hardware;
    memory.value = known.gib;
  } else if (kind.value !== known.hardware || Number(memory.value) !== known.gib) {
    card.value = "";
  }
}

/** The answers in the page's address, so that it can be shared; not if the reader has left the page meanwhile. */
function keepInAddress(place, path, answers) {
  if (!place.isConnected || location.pathname !== path) return; // a link changes the address before it changes the page
  const state = new URLSearchParams(Object.entries(answers).filter(([, value]) => value));
  history.replaceState(history.state, "", `${location.pathname}${state.size ? `?${state}` : ""}${location.hash}`);
}

/** The facts, models and cards to choose from; null where they cannot be had. */
async function readFacts() {
  const read = async (name) => (await fetch(new URL(name, import.meta.url))).json();
  try {
    const [choices, architectures, known] = await Promise.all(["choices.json", "architectures.json", "cards.json"].map(read));
    return { choices, architectures, known };
  } catch {
    return null;
  }
}

/** The form, filled with what the page's address says. */
function makeForm({ choices, architectures, known }) {
  const legend = element("legend", { textContent: "What you have and want; leave open what you like" });
  const asked = questions(choices, architectures, known).map(control);
  const form = element(
    "form",
    { className: "selector", "aria-label": "Selector" },
    element("fieldset", {}, legend, ...asked),
    element("button", { type: "reset", className: "md-button", textContent: "Start over" }),
    " ",
    copying("Copy the link", () => location.href, "copy its address"),
  );
  const given = new URLSearchParams(location.search);
  for (const [name, value] of given) if (form.elements[name]) form.elements[name].value = value;
  for (const field of form.querySelectorAll("select")) {
    if (field.selectedIndex < 0) field.value = ""; // a link with an unknown answer
  }
  useCard(form.elements, known, given.has("memory") || given.has("hardware") ? null : form.elements.card);
  return form;
}

/** What the form says, and the model of it; null where a number is none. */
function readForm(form, architectures) {
  const counted = form.elements.model.value === "count";
  form.elements.parameters.closest(".question").hidden = !counted;
  const answers = Object.fromEntries(new FormData(form));
  for (const name of Object.keys(LIMITS)) answers[name] = number(form.elements[name]);
  if (!counted) answers.parameters = null;
  if (Object.values(answers).includes(undefined)) return null;
  const size = 1e9 * answers.parameters;
  const model = counted ? size && modelLike(size, architectures) : modelOf(answers.model, architectures);
  return { answers, model: model || null };
}

export async function mount(place) {
  const facts = await readFacts();
  if (!facts) {
    const textContent = "The selector could not load its facts; the table below answers the common cases.";
    place.append(element("p", { textContent }));
    place.hidden = false;
    return;
  }
  const form = makeForm(facts);
  const answer = element("section", { className: "answer", "aria-label": "Answer" });
  // Beside the answer and not in it, so that it can stay in sight while the form is filled in.
  const said = element("p", { role: "status", className: "verdict" });
  const path = location.pathname;
  let saving;
  const update = () => {
    const read = readForm(form, facts.architectures);
    if (!read) return; // the last answer stays
    const { answers, model } = read;
    const found = choose(facts.choices.variants, answers, model);
    const { context, batch, gpus } = found.use;
    const counted = { context, sequences: batch, gpus }; // what a field that is left open stands for
    for (const [name, value] of Object.entries(counted)) form.elements[name].placeholder = value;
    said.textContent = verdict(found, answers, model);
    answer.replaceChildren(...show(found, answers, model, facts.choices.installs));
    clearTimeout(saving);
    saving = setTimeout(() => keepInAddress(place, path, answers), 200); // it takes a browser longer than all of the above
  };
  form.addEventListener("reset", () => setTimeout(update)); // once the fields are empty
  form.addEventListener("input", ({ target }) => {
    useCard(form.elements, facts.known, target);
    update();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  place.append(element("h2", { textContent: "Choose" }), form, said, answer, ruleList());
  update();
  place.hidden = false;
}
