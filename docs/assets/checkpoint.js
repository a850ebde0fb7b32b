// The form of "Download or make": what a pasted configuration or a name is, and where it runs. Nothing leaves the page.
import { GIB, readModel } from "./counting.js";
import { data } from "./data.js";
import { element } from "./element.js";
import { allFamilies } from "./families.js";
import { weights } from "./memory.js";
import { parsed } from "./pasted.js";
import { read, readName } from "./reading.js";
import { storedAs } from "./stored.js";
import { isFor, refused } from "./variant.js";

const WORDS = { y: "yes", n: "no", u: "not verified" };
const NO_ROW = "The matrix of engines has no row for it: look at each engine's page.";

const shared = (group) => {
  if (typeof group === "number") return `groups of ${group}`;
  return String(group).includes("x") ? `a scale for ${group} weights` : group && `a scale for each ${group}`;
};
const link = (href, text) => element("a", { href, textContent: text });
const item = (...children) => element("li", {}, ...children);
const isName = (text) => !/^\s*[{[]/.test(text) && text.trim().length < 200;

class Checkpoint {
  constructor(place, { serving, architectures, choices }) {
    Object.assign(this, { place, serving, architectures, choices });
    this.part = Object.fromEntries([...place.querySelectorAll("[data-part]")].map((one) => [one.dataset.part, one]));
  }

  /** Offer the hardware, and answer as the form changes. */
  start() {
    const option = ({ id, name }) => element("option", { value: id, textContent: name });
    this.part.hardware.append(...this.serving.generations.map(option));
    this.place.addEventListener("input", () => this.answer());
    this.place.addEventListener("submit", (event) => event.preventDefault());
    this.place.hidden = false;
    this.answer();
  }

  answer() {
    const text = this.part.text.value;
    const found = isName(text) && text.trim() ? this.#named(text) : this.#read(text);
    this.part.problem.textContent = found.problem ?? "";
    this.part.answer.replaceChildren(...(found.shown ?? []));
  }

  #named(name) {
    const formats = readName(name, this.serving.formats).map(({ id }) => this.serving.formats.find((one) => one.id === id));
    if (!formats.length) {
      return { problem: `The name “${name.trim().slice(0, 80)}” says nothing that is known here: paste its config.json.` };
    }
    const lead = element(
      "p",
      {},
      "By its name: ",
      element("strong", { textContent: formats.map((one) => one.name).join(", or ") }),
    );
    lead.append(". A name can be wrong: its config.json decides.");
    return { shown: [lead, ...formats.flatMap((format) => this.#where(format))] };
  }

  #read(text) {
    const found = read(text);
    if (found.problem) return text.trim() ? found : {};
    const { method, format, bits, group, activations, notes } = found;
    const what = [
      method === "none" ? "No quantization block in this file" : method,
      bits && bits !== 16 && `${bits} bit`,
      shared(group),
    ];
    if (method !== "none") what.push(activations === "16-bit" ? "16-bit activations" : `${activations} activations`);
    const row = this.serving.formats.find((one) => one.id === format);
    const shown = [
      element("p", {}, element("strong", { textContent: what.filter(Boolean).join(", ") }), "."),
      ...(notes.length ? [element("ul", {}, ...notes.map((note) => item(note)))] : []),
      ...this.#memory(text),
      ...(row ? this.#where(row) : [element("p", { textContent: NO_ROW })]),
    ];
    return { shown };
  }

  /** What its weights take while Transformers runs it, where the whole of a known model's config.json was pasted. */
  #memory(text) {
    const { raw, problem } = parsed(text);
    const model = problem ? { problem } : readModel(raw, null, this.architectures);
    if (model.problem) return [];
    const variants = this.choices.variants.filter((one) => isFor(one, model) && !refused(one, model.tensors));
    const { variant = null } = storedAs(text, this.serving, variants, model) ?? {};
    const gib = (one) => `${(weights(model.tensors, one).total / GIB).toFixed(1)} GiB`;
    const where = variant?.id === "pasted" ? "as this file stores them" : "in Transformers";
    const said = variant?.storage
      ? `Its weights take ${gib(variant)} ${where}, ${gib(null)} in bf16. `
      : `Its weights take ${gib(null)} in bf16. `;
    return [
      element(
        "p",
        {},
        said,
        link("../memory/", "The calculator"),
        " counts cache and context too, from the same config.json.",
      ),
    ];
  }

  /** A format's page, what Transformers does with it, and every engine on the chosen hardware. */
  #where(format) {
    const at = this.serving.generations.findIndex(({ id }) => id === this.part.hardware.value);
    const rows = this.serving.engines.map((engine) => {
      const { on, how, only, plugin, note } = engine.formats[format.id];
      const letters = [...new Set(at < 0 ? on : on[at])];
      const answer = letters.length === 1 ? WORDS[letters[0]] : "on some hardware";
      const more = [how, only && `for ${only} alone`, plugin && `needs ${plugin}`, note].filter(Boolean).join("; ");
      return element(
        "tr",
        {},
        element("th", { scope: "row" }, link(`../engines/${engine.id}/`, engine.title)),
        element("td", { textContent: answer }),
        element("td", { textContent: more }),
      );
    });
    const heads = ["engine", "loads", "what to know"].map((text) => element("th", { scope: "col", textContent: text }));
    const caption = element("caption", { textContent: `${format.name}: ${format.holds}` });
    const table = element(
      "table",
      {},
      caption,
      element("thead", {}, element("tr", {}, ...heads)),
      element("tbody", {}, ...rows),
    );
    const region = { className: "guide-table", tabIndex: 0, role: "region", ariaLabel: `Engines that load ${format.name}` };
    const page = format.method
      ? [element("p", {}, "Its method: ", link(`../methods/${format.method}/`, format.name), ".")]
      : [];
    return [...page, element("div", region, table)];
  }
}

/** Fill the form; where data cannot be had, a sentence says so. */
export async function mount(place) {
  const names = ["serving", "architectures", "choices"];
  try {
    const [serving, architectures, choices] = await Promise.all(names.map((name) => data(`${name}.json`)));
    new Checkpoint(place, { serving, architectures: await allFamilies(architectures), choices }).start();
    document.getElementById("checkpoint-without").remove();
  } catch (error) {
    place.replaceChildren(`The tool could not read its data: ${error.message}.`);
    place.hidden = false;
  }
}
