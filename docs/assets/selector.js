// The selector's form: what a reader entered, asks choose() and has its answer shown. The form itself is in the page.
import { choose } from "./choose.js";
import { MOST_TOKENS, readModel } from "./counting.js";
import { data } from "./data.js";
import { EXCLUSIONS } from "./exclusions.js";
import { element } from "./element.js";
import { withFamilies } from "./families.js";
import { modelLike, modelOf, nearestOf } from "./models.js";
import { PREFERENCES } from "./preferences.js";
import { ofMethod } from "./reader.js";
import { codesOf, copying, show } from "./shown.js";
import { verdict } from "./verdict.js";

const LIMITS = {
  memory: [1, 20000, "GiB"],
  gpus: [1, 10000, "GPUs"],
  parameters: [0.05, 5000, "billions of parameters"],
  context: [1, MOST_TOKENS, "tokens"],
  sequences: [1, 100000, "sequences at once"],
};
const UNIT = /\s*(g|gb|gib|b|billion)$/i; // "24 GB" is what a maker calls 24 GiB of memory
const LOST = "This page could not load that model: check your connection, and choose it again.";
const WAIT = 200; // milliseconds before the address is written, which takes a browser longer than an answer

/** Say beside a field what is wrong with it, or what was made of it. */
function tell(field, text, invalid = text !== "") {
  field.setAttribute("aria-invalid", invalid);
  document.getElementById(`${field.id}-problem`).textContent = text;
}

/** The number in a field, null where it is empty; what is wrong with it stands beside it, and undefined is returned. */
function number(field) {
  const text = field.value.trim().replace(",", ".").replace(UNIT, "");
  const [least, most, unit] = LIMITS[field.name];
  const value = Number(text);
  const wrong = text !== "" && !(value >= least && value <= most);
  tell(field, wrong ? `Give a number from ${least} to ${most} (${unit}), or nothing.` : "");
  return wrong ? undefined : text === "" ? null : value;
}

function ruleList() {
  const item = ({ says, source }) => element("li", {}, says, " ", element("small", { textContent: `Source: ${source}.` }));
  return [
    element("p", { textContent: "Ruled out, unless:" }),
    element("ol", {}, ...EXCLUSIONS.map(item)),
    element("p", { textContent: "Of what is left, preferred, the first difference deciding:" }),
    element("ol", {}, ...PREFERENCES.map(item)),
  ];
}

class Selector {
  #path = location.pathname;
  #pasted = { text: "", model: null };
  #known = new Map(); // by preset, what models.js reads of it: a page that counts one needs no other
  #saving;
  #latest; // what was asked last, since an answer may wait for its code

  constructor(place, choices) {
    Object.assign(this, { place, choices });
    this.form = place.querySelector("form");
    this.fields = this.form.elements;
    this.said = place.querySelector(".verdict");
    this.answer = place.querySelector(".answer");
  }

  /** Take the answers that the page's address has, and answer as the form changes. */
  start() {
    const given = new URLSearchParams(location.search);
    for (const [name, value] of given) {
      const field = this.fields.namedItem(name); // "item" is no field, though the list of fields has one
      if (field?.name === name) field.value = value;
    }
    for (const field of this.form.querySelectorAll("select")) {
      if (field.selectedIndex < 0) field.value = ""; // a link with an unknown answer
    }
    const folded = this.form.querySelector(".more");
    folded.open = [...folded.querySelectorAll("[name]")].some((field) => given.get(field.name));
    this.#useCard(given.has("memory") || given.has("hardware") ? null : this.fields.card);
    this.form.addEventListener("reset", () => setTimeout(() => this.update())); // once the fields are empty
    this.form.addEventListener("input", ({ target }) => this.#changed(target));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    copying(this.form.querySelector("[data-part=link]"), () => location.href, "copy its address");
    this.place.querySelector(".rules").append(...ruleList());
    for (const one of document.querySelectorAll(".cases a")) one.addEventListener("click", (event) => this.#take(one, event));
    this.update();
  }

  /** Answer a common case in the form as it stands, rather than load the page again. */
  #take(one, event) {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // it is opened beside
    event.preventDefault();
    event.stopPropagation(); // or the theme follows it
    const asked = new URL(one.href).searchParams;
    for (const field of this.fields) if (field.name) field.value = asked.get(field.name) ?? "";
    this.#useCard(this.fields.card);
    this.update();
    this.answer.scrollIntoView();
    this.answer.focus({ preventScroll: true }); // so that the next key goes on from there
  }

  async #changed(field) {
    this.#useCard(field);
    try {
      if (field.id === "choose-name") await this.#readName(field);
      if (field.id === "choose-config") await this.#readConfig(field);
    } catch {
      tell(field, "This page could not load what reads it: check your connection, and edit it to try again.");
    }
    this.update();
  }

  /** Let a card say what it is and how much memory it has, and no longer stand where the reader says otherwise. */
  #useCard(changed) {
    const { card, hardware, memory } = this.fields;
    const { hardware: kind, gib } = card.selectedOptions[0].dataset;
    if (!kind) return;
    if (changed === card) {
      hardware.value = kind;
      memory.value = gib;
    } else if (hardware.value !== kind || Number(memory.value) !== Number(gib)) {
      card.value = "";
    }
  }

  /** Choose the format, and the model, of which a name tells. */
  async #readName(field) {
    const name = field.value.trim();
    const { readName } = await import("./reading.js");
    const [format] = name ? readName(name, this.choices.formats) : [];
    if (format) {
      this.fields.checkpoint.value = format.id;
      this.fields.checkpoint.value ||= "none"; // bf16 is no quantized checkpoint
    }
    const options = [...this.fields.model.options];
    const known = options.filter(({ dataset }) => dataset.hub && name.toLowerCase().includes(dataset.hub.toLowerCase()));
    const [model] = known.sort((one, other) => other.dataset.hub.length - one.dataset.hub.length);
    if (model && !this.fields.model.value) this.fields.model.value = model.value;
    const said = format
      ? `By its ending: ${this.fields.checkpoint.selectedOptions[0].textContent.split(":")[0]}.`
      : "Its ending tells no format: choose it above, or paste its config.json as the model.";
    tell(field, name ? said : "", Boolean(name) && !format);
  }

  /** Read a pasted config.json, and choose the format that it names. */
  async #readConfig(field) {
    const text = field.value.trim();
    const { parsed } = await import("./pasted.js");
    const { raw, problem } = text ? parsed(text) : {};
    const found = raw ? readModel(raw, null, await withFamilies(raw, await data("architectures.json"))) : { problem };
    tell(field, found.problem ?? "");
    this.#pasted = { text, model: text && !found.problem ? found : null };
    if (!this.#pasted.model) return;
    const { families } = await data("training/index.json");
    const measured = families.includes(found.model_type);
    found.training = measured ? await data(`training/${found.model_type}.json`) : null;
    const { read } = await import("./reading.js");
    const { format } = read(text);
    const offered = [...this.fields.checkpoint.options].some(({ value }) => value === format);
    if (offered) this.fields.checkpoint.value = format;
  }

  /** What the form says; null where a number is none. */
  #read() {
    const chosen = this.fields.model.value;
    this.fields.parameters.closest(".question").hidden = chosen !== "count";
    document.getElementById("choose-config").closest(".question").hidden = chosen !== "config";
    const answers = Object.fromEntries(new FormData(this.form));
    for (const name of Object.keys(LIMITS)) answers[name] = number(this.fields[name]);
    if (chosen !== "count") answers.parameters = null;
    return Object.values(answers).includes(undefined) ? null : answers;
  }

  /** The model of which the form tells; null where it is open. */
  async #model({ model: chosen, parameters }) {
    if (chosen === "config") return this.#pasted.model;
    const size = 1e9 * parameters;
    if (!chosen || (chosen === "count" && !size)) return null;
    const dense = [...this.fields.model.options].filter(({ dataset }) => dataset.dense);
    const sizes = dense.map(({ value, dataset }) => ({ id: value, parameters: Number(dataset.parameters) }));
    const id = chosen === "count" ? nearestOf(size, sizes).id : chosen;
    if (!this.#known.has(id)) this.#known.set(id, await data(`models/${id}.json`));
    return chosen === "count" ? modelLike(size, this.#known.get(id)) : modelOf(id, this.#known.get(id));
  }

  /** Answer what the form asks; where a number is none, the last answer stays. Code is fetched before it is shown, so that
   * nothing moves when it comes. */
  async update() {
    const answers = this.#read();
    if (!answers) return;
    this.#latest = answers;
    const model = await this.#model(answers).catch(() => LOST);
    if (this.#latest !== answers) return;
    if (model === LOST) {
      this.said.textContent = LOST;
      this.answer.replaceChildren();
      return;
    }
    const { series, shared } = this.fields.card.selectedOptions[0].dataset; // what only a card tells apart within the hardware
    const found = choose(this.choices, { ...answers, series, shared }, model);
    const { context, batch, gpus } = found.use;
    const counted = { context, sequences: batch, gpus }; // what a field that is left open stands for
    for (const [name, value] of Object.entries(counted)) this.fields[name].placeholder = value;
    this.said.textContent = verdict(found, model);
    clearTimeout(this.#saving);
    this.#saving = setTimeout(() => this.#remember(answers), WAIT);
    const first = found.ranked[0]?.variant;
    if (first && ofMethod(first)) await codesOf(first.method);
    if (this.#latest === answers) this.answer.replaceChildren(...show(found, model, this.choices));
  }

  /** The answers in the page's address, so that it can be shared; not if the reader has left the page meanwhile. */
  #remember(answers) {
    if (!this.place.isConnected || location.pathname !== this.#path) return; // a link changes the address before the page
    const state = new URLSearchParams(Object.entries(answers).filter(([, value]) => value));
    history.replaceState(history.state, "", `${location.pathname}${state.size ? `?${state}` : ""}${location.hash}`);
  }
}

/** Answer in the page's form; where the facts cannot be had, a sentence says so. */
export async function mount(place) {
  try {
    new Selector(place, await data("choices.json")).start();
  } catch {
    const textContent = "The selector could not load its facts; the page “Selecting a method” answers the common cases.";
    place.replaceChildren(element("p", { textContent }));
  }
}
