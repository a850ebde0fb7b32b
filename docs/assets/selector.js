// The selector's form and its answer: reads choices.json and the form, calls choose(), and shows what it says.
import { choose } from "./choose.js";
import { element } from "./element.js";
import { DEVICES, EXCLUSIONS, NVIDIA, PREFERENCES, PURPOSES, lacksBf16 } from "./rules.js";

const SHOWN = 3; // in full; the others fold away
const LIMITS = { memory: [1, 20000, "GiB"], parameters: [0.05, 5000, "billions of parameters"] };
const SIDE = 4096; // of the matrices that stand for a model whose shape is not known
const MEMORY = [8, 12, 16, 24, 32, 48, 80, 141, 192];

const site = (path) => new URL(`../${path}`, import.meta.url).href;

const EITHER = ["", "either way"];

/** The questions: [name, label, options as [value, text]]; a number field has none. */
function questions({ variants, models }) {
  const generations = Object.entries(NVIDIA).map(([id, [name, least]]) => [id, `NVIDIA ${name}, from ${least.toFixed(1)}`]);
  const keys = [...new Set(variants.flatMap((variant) => variant.keys))].sort().map((key) => [key, key]);
  const named = models.map(({ id, name }) => [id, name]);
  return [
    ["hardware", "Hardware", [["", "any"], ...generations, ...Object.entries(DEVICES)]],
    ["memory", "Its memory in GiB", null],
    ["purpose", "What for", [["", "any"], ...Object.entries(PURPOSES)]],
    ["model", "Model", [["", "any"], ["count", "another, by its number of parameters"], ...named]],
    ["parameters", "Parameters, in billions", null],
    ["calibration", "Calibration with texts of yours", [EITHER, ["yes", "welcome"], ["no", "no"]]],
    ["checkpoint", "A ready quantized checkpoint", [["", "maybe"], ["none", "none"], ...keys]],
    ["compile", "torch.compile", [EITHER, ["yes", "wanted"], ["no", "no"]]],
  ];
}

/** A form control with its label and room for what is wrong with it. */
function control([name, label, options]) {
  const id = `choose-${name}`;
  const field = options
    ? element("select", { id, name }, ...options.map(([value, text]) => element("option", { value, textContent: text })))
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
  const text = field.value.trim().replace(",", ".");
  const [least, most, unit] = LIMITS[field.name];
  const value = Number(text);
  const wrong = text !== "" && !(value >= least && value <= most);
  field.setAttribute("aria-invalid", wrong);
  document.getElementById(`${field.id}-problem`).textContent = wrong
    ? `Give a number from ${least} to ${most} (${unit}), or nothing.`
    : "";
  return wrong ? undefined : text === "" ? null : value;
}

/** The model to count; where only its number of parameters is known, square matrices of as many weights and no cache. */
function modelOf({ model, parameters }, { models, passes }) {
  if (model !== "count") return models.find(({ id }) => id === model) ?? null;
  if (!parameters) return null;
  const count = Math.round((parameters * 1e9) / SIDE ** 2);
  const without = ([name, pass]) => [name, { ...pass, elements: 0, constant_bytes: 0 }];
  return {
    tensors: [{ part: "linear", rows: SIDE, columns: SIDE, count }],
    work: Object.fromEntries(Object.entries(passes).map(without)),
  };
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
const reasonItem = ({ text, facts }) => element("li", { textContent: sentence(text), "data-facts": facts.join(" ") });
const methodLink = (v) => element("a", { href: site(v.page), textContent: `${v.title} ${v.label}` });

function snippet(v, answers) {
  const proven = v.keys.includes(answers.checkpoint) && v.ready_code ? v.ready_code : v.code;
  if (!proven) return element("p", { textContent: "No code of ours loads this variant; its page says what is known." });
  const code = lacksBf16(answers) ? proven.replaceAll("torch.bfloat16", "torch.float16") : proven;
  const status = element("span", { role: "status" });
  const button = element("button", { type: "button", className: "md-button", textContent: "Copy the code" });
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code);
      status.textContent = " Copied.";
    } catch {
      status.textContent = " Your browser does not let this page copy: select the code.";
    }
  });
  const label = `Code for ${v.title} ${v.label}`; // the theme lets the code scroll, not the block around it
  const block = element("code", { textContent: code, tabIndex: 0, "aria-label": label, role: "region" });
  const why = () => `${NVIDIA[answers.hardware][0]} has no bf16 arithmetic, so this code takes float16 instead.`;
  const changed = code === proven ? null : element("p", { textContent: why() });
  return element("div", {}, changed, element("pre", {}, block), button, status);
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

function answerItem({ variant: v, reasons, behind }, answers, first) {
  return element(
    "li",
    { "data-variant": v.id },
    element("h3", {}, methodLink(v)),
    behind &&
      element("p", {
        className: "behind",
        "data-facts": behind.facts.join(" "),
        textContent: `Not before it because it ${behind.text}.`,
      }),
    reasons.length ? element("ul", {}, ...reasons.map(reasonItem)) : null,
    proofLine(v),
    element(
      "details",
      { open: first },
      element("summary", { textContent: `Code: ${v.title} ${v.label}` }),
      snippet(v, answers),
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

function summaryOf({ ranked: [top, ...others], out }) {
  if (!top) return `Nothing fits; all ${out.length} are ruled out.`;
  return `Take ${top.variant.title} ${top.variant.label}. ${others.length + 1} fit, ${out.length} are ruled out.`;
}

/** How the memory was counted, with a link to the calculator. */
function memoryLine(model, [tokens, batch]) {
  let counted = "Memory is estimated once you name a model. ";
  if (model?.id) {
    const kept = `cache of ${tokens.toLocaleString("en")} tokens × ${batch}`;
    counted = `Memory: weights, ${kept}, and an allowance; training's gradients and optimizer are not counted. `;
  } else if (model) {
    counted = "Memory: weights and an allowance alone, as if all were linear layers; the cache depends on the model's shape. ";
  }
  const query = model?.id ? `?model=${model.id}` : "";
  return element("p", {}, counted, element("a", { href: site(`memory/${query}`), textContent: "Memory calculator" }));
}

function show({ ranked, out, changes }, answers, model, work) {
  const parts = [element("p", { role: "status", className: "verdict", textContent: summaryOf({ ranked, out }) })];
  if (!ranked.length) {
    const items = changes.map((text) => element("li", { textContent: text }));
    parts.push(element("p", { textContent: "What would have to change:" }), element("ul", { className: "changes" }, ...items));
  }
  const shown = ranked.slice(0, SHOWN).map((entry, i) => answerItem(entry, answers, i === 0));
  parts.push(element("ol", { className: "ranked" }, ...shown));
  const others = ranked.slice(SHOWN);
  if (others.length) parts.push(folded(`${others.length} more that fit`, others, ({ behind }) => behind.text));
  if (out.length) parts.push(folded(`${out.length} ruled out`, out, ({ text }) => text));
  parts.push(memoryLine(model, work[answers.purpose || "single"]));
  return parts;
}

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

/** The answers in the page's address, so that it can be shared; not if the reader has left the page meanwhile. */
function keepInAddress(place, answers) {
  if (!place.isConnected) return;
  const state = new URLSearchParams(Object.entries(answers).filter(([, value]) => value));
  history.replaceState(history.state, "", `${location.pathname}${state.size ? `?${state}` : ""}${location.hash}`);
}

export async function mount(place) {
  let choices;
  try {
    choices = await (await fetch(new URL("choices.json", import.meta.url))).json();
  } catch {
    place.append(
      element("p", { textContent: "The selector could not load its facts; the table below answers the common cases." }),
    );
    place.hidden = false;
    return;
  }
  const form = element(
    "form",
    { className: "selector", "aria-label": "Selector" },
    element(
      "fieldset",
      {},
      element("legend", { textContent: "What you have and want; leave open what you like" }),
      ...questions(choices).map(control),
    ),
  );
  const answer = element("section", { className: "answer", "aria-label": "Answer" });
  const given = new URLSearchParams(location.search);
  for (const [name, value] of given) if (form.elements[name]) form.elements[name].value = value;
  for (const field of form.querySelectorAll("select")) {
    if (field.selectedIndex < 0) field.value = ""; // a link with an unknown answer
  }

  let saving;
  const update = () => {
    const counted = form.elements.model.value === "count";
    form.elements.parameters.closest(".question").hidden = !counted;
    const answers = Object.fromEntries(new FormData(form));
    answers.memory = number(form.elements.memory);
    answers.parameters = counted ? number(form.elements.parameters) : null;
    if (answers.memory === undefined || answers.parameters === undefined) return; // the last answer stays
    const model = modelOf(answers, choices);
    answer.replaceChildren(...show(choose(choices.variants, answers, model), answers, model, choices.work));
    clearTimeout(saving);
    saving = setTimeout(() => keepInAddress(place, answers), 200); // a browser takes longer over it than all of the above
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
  place.append(element("h2", { textContent: "Choose" }), form, answer, ruleList());
  update();
  place.hidden = false;
}
