// The form of the memory calculator: reads it, keeps it in the page's address, and has answer.js show what it comes to.
import { comparedRows, number, showAnswer } from "./answer.js";
import { parameterCount } from "./architecture.js";
import { readModel, trainsMeasured } from "./counting.js";
import { data } from "./data.js";
import { element } from "./element.js";
import { lacksFamily, withFamilies } from "./families.js";
import { parsed } from "./pasted.js";
import { forWhom, isFor, named, refused } from "./variant.js";

const UNREAD =
  "This page could not load what reads the quantization in it: check your connection, and edit the text to try again.";
const MOST_KEPT = 0.1; // of a model's weights
const WAIT = 400; // ms; browsers let a page change its address only so often

/** {value}, or {problem}: a sentence that says what is wrong. Thousands may be parted by commas or spaces. */
function readNumber({ value: text, labels, dataset }) {
  const plain = text.trim().replace(/(?<=\d)[, _\u00a0](?=\d{3}(?!\d))/g, "");
  const [least, most, value] = [dataset.least, dataset.most, plain].map(Number);
  const [kind, pattern] = dataset.whole === "no" ? ["number", /^\d+(\.\d+)?$/] : ["whole number", /^\d+$/];
  if (pattern.test(plain) && value >= least && value <= most) return { value };
  const given = plain ? `“${text.trim().slice(0, 40)}” is not` : "this field is empty; it needs";
  return { problem: `${labels[0].textContent}: ${given} a ${kind} from ${dataset.least} to ${number(most)}.` };
}

/** Options of a select in groups, in the order of the list. */
function grouped(list, title, option) {
  const groups = [...new Set(list.map(title))];
  return groups.map((label) => element("optgroup", { label }, ...list.filter((one) => title(one) === label).map(option)));
}

/** What an engine's own files hold, in types of blocks: its kernels unpack on the way. */
const filesOf = ({ offers, engines }) =>
  offers
    .filter(({ mix }) => mix)
    .map((one) =>
      Object.assign(one, {
        page: `engines/${one.home}/`,
        engine: engines[one.home].title,
        fused: true,
        cells: { peft: { answer: "no", note: "" } }, // Transformers trains, and loads no such file packed
      }),
    );

/** What to say of a model with many weights that no method here counts among those that it quantizes. */
function kept(tensors) {
  const others = tensors.filter(({ part }) => part === "other");
  const share = parameterCount(others) / parameterCount(tensors);
  if (share < MOST_KEPT) return [];
  const layers = `${number(100 * share)} % of its weights are in layers of another class than nn.Linear`;
  return [`${layers}: they are counted in 16 bit, though some methods quantize such layers too.`];
}

class Calculator {
  #saving; // the timer that writes the address
  #path = location.pathname; // of this page: a link changes the address before it changes the page
  #model; // the last that could be read
  #offered; // the ids of the variants in the form
  #stored = null; // what a pasted checkpoint is, see stored.js, with its text
  #peaks = new Map(); // by architecture, what training holds, null where that was not measured
  #measured; // of which architectures that is known
  #reader; // what tells that, loaded when it is first asked
  #sound = false; // whether the answer is of what the form says now

  constructor(place, architectures, variants) {
    this.place = place;
    this.architectures = architectures;
    this.variants = variants;
    this.part = Object.fromEntries([...place.querySelectorAll("[data-part]")].map((one) => [one.dataset.part, one]));
    const fields = [...this.part.form.elements].filter(({ name }) => name);
    this.control = Object.fromEntries(fields.map((one) => [one.name, one]));
    this.rows = comparedRows(variants);
  }

  /** Offer every model and variant, and answer whatever is entered; shown once the first answer is there. */
  async start() {
    this.#offer();
    const { form } = this.part;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", () => {
      this.#update();
      clearTimeout(this.#saving);
      this.#saving = setTimeout(() => this.#remember(), WAIT);
    });
    form.addEventListener("change", () => this.#remember());
    this.#update();
    await this.#recall();
    this.place.hidden = false;
  }

  #offer() {
    const { model } = this.control;
    const maker = (preset) => preset.model.split("/")[0];
    const preset = ({ id, name, parameters }) =>
      element("option", { value: id, textContent: `${name}, ${number(parameters / 1e9, 2)} billion weights` });
    model.prepend(...grouped(this.architectures.presets, maker, preset));
    model.value = model.dataset.start;
    if (!model.value) model.selectedIndex = 0;
  }

  #variant(id) {
    if (id === "pasted") return this.#stored.variant;
    return this.variants.find((one) => one.id === id) ?? null;
  }

  /** The layer for which a variant raises, if any. */
  #refused(variant) {
    return this.#model && refused(variant, this.#model.tensors);
  }

  /** Choose the variant that a pasted checkpoint is stored as, once for each. */
  async #read(text, model) {
    if (text === this.#stored?.text) return;
    this.#stored = { text };
    if (!/"(quantization(_config)?|compression_config|aqlm)"\s*:\s*[{["]/.test(text)) return;
    this.#reader ??= Promise.all([import("./stored.js"), data("serving.json")]);
    const reader = await this.#reader.catch(() => null);
    if (!reader) {
      this.#reader = null; // to be asked again
      this.#stored = {};
      this.#say("config", UNREAD, false);
      return;
    }
    const [{ storedAs }, serving] = reader;
    if (text !== this.#stored.text) return; // another was pasted meanwhile
    const variants = this.variants.filter((one) => isFor(one, model) && !refused(one, model.tensors));
    this.#stored = { text, ...storedAs(text, serving, variants, model) };
    this.#update();
    if (!this.#stored.variant) return;
    this.control.variant.value = this.#stored.variant.id;
    if (this.control.variant.selectedIndex < 0) this.control.variant.value = this.control.variant.dataset.start;
    this.#update();
  }

  /** Offer the variants that are for the model; a sentence where the one that was chosen is not, else nothing. */
  #offerVariants() {
    const { variant } = this.control;
    const own = this.#model?.stored?.variant?.id === "pasted" ? [this.#model.stored.variant] : [];
    const offered = [...own, ...this.variants.filter((one) => isFor(one, this.#model) && !this.#refused(one))];
    const ids = offered.map(({ id, label }) => `${id} ${label}`).join();
    if (ids === this.#offered) return "";
    const chosen = this.#offered ? variant.value : variant.dataset.start;
    this.#offered = ids;
    variant.querySelectorAll("optgroup").forEach((group) => group.remove());
    const choice = (one) => element("option", { value: one.id, textContent: named(one) });
    const group = ({ title, engine }) => (engine ? `${title}, in ${engine}` : title);
    variant.append(...grouped(offered, group, choice));
    variant.value = chosen;
    if (variant.value === chosen) return "";
    variant.value = variant.dataset.start;
    if (!variant.value) variant.selectedIndex = 0;
    const left = chosen === "pasted" ? null : this.#variant(chosen);
    if (!left) return "";
    const layer = this.#refused(left);
    const why = layer
      ? `raises for ${layer.name}, of which the ${number(layer.rows)} outputs are no multiple of ${left.takes.outputs}`
      : `is for ${forWhom(left)} alone`;
    return `${named(left)} ${why}, so another variant is chosen.`;
  }

  /** Say beside a field what is wrong with it; true where nothing is. */
  #say(name, problem = "", invalid = problem !== "") {
    document.getElementById(`calculator-${name}-error`).textContent = problem;
    this.control[name].setAttribute("aria-invalid", invalid);
    return !problem;
  }

  #readModel() {
    const { model, config } = this.control;
    const preset = this.architectures.presets.find(({ id }) => id === model.value);
    this.part.pasted.hidden = Boolean(preset);
    const text = config.value;
    if (!preset && !text.trim()) return this.#say("config", "Paste the whole of a model's config.json, from { to }.", false);
    const { raw, problem } = preset ? { raw: preset.config } : parsed(text);
    const read = problem ? { problem } : readModel(raw, preset, this.architectures);
    if (read.problem) return this.#say(preset ? "model" : "config", read.problem);
    if (!preset) this.#read(text, read);
    const notes = [...read.notes, ...kept(read.tensors)];
    this.#model = { ...read, notes, stored: preset ? null : this.#stored };
    return this.#say("model") && this.#say("config");
  }

  /** What the numbers say, or null; each that is none gets its sentence. */
  #readUse() {
    const { cache, pass, work } = this.control;
    const trains = work.value === "train";
    const use = { cache: Number(cache.value), chunked: pass.value === "chunk" };
    for (const one of this.part.form.querySelectorAll("[data-work]")) one.hidden = one.dataset.work !== work.value;
    const numeric = Object.values(this.control).filter((one) => one.dataset.most && !one.closest("[data-work][hidden]"));
    const fine = numeric.map((one) => {
      const { value, problem } = readNumber(one);
      use[one.name] = value;
      return this.#say(one.name, problem);
    });
    if (!fine.every(Boolean)) return null;
    return trains ? this.#readTraining(use) : this.#say("work") && use;
  }

  /** How adapters are trained, added to what the numbers say; null, with a sentence, where that was not measured. */
  #readTraining(use) {
    if (!this.#model) return null;
    const { targets, adapter, optimizer, checkpointing } = this.control;
    const peaks = this.#peaks.get(this.#model.model_type) ?? null;
    const train = { targets: targets.value, rank: use.rank, adapter: adapter.value, optimizer: optimizer.value, peaks };
    const whole = { ...use, train: { ...train, checkpointed: checkpointing.value === "yes" } };
    if (!this.#peaks.has(this.#model.model_type)) {
      this.#say("work", "What training holds could not be loaded: check your connection, and choose again.");
      return null;
    }
    const models = `${this.#model.model_type} models${peaks ? " in this way" : ""}`; // some have no q_proj
    const known = trainsMeasured(this.#model, whole);
    return this.#say("work", known ? "" : `What training holds was not measured for ${models}.`) ? whole : null;
  }

  /** Fetch what training holds of the model's family, where that was measured. */
  async #readPeaks() {
    const type = this.#model?.model_type;
    if (this.control.work.value !== "train" || !type || this.#peaks.has(type)) return;
    const read = (name) => data(`training/${name}.json`);
    this.#measured ??= read("index");
    try {
      const { families } = await this.#measured;
      this.#peaks.set(type, families.includes(type) ? await read(type) : null);
    } catch {
      this.#measured = undefined; // to be asked again
    }
  }

  /** Answer, once the architecture of what was pasted is there. */
  async #update() {
    const { raw } = this.control.model.value === "config" ? parsed(this.control.config.value) : {};
    if (raw && lacksFamily(raw, this.architectures)) this.architectures = await withFamilies(raw, this.architectures);
    if (this.control.work.value === "train") {
      this.#readModel();
      await this.#readPeaks();
    }
    this.#answer();
  }

  #answer() {
    const known = this.#readModel();
    const left = this.#offerVariants();
    const use = this.#readUse();
    this.#sound = known && use !== null;
    if (this.#sound) {
      showAnswer(this.part, this.rows, this.#model, this.#variant(this.control.variant.value), use);
    }
    this.part.stale.textContent = this.#sound ? left : "Not recalculated: this is the last good answer.";
  }

  /** Put the state into the address, unless the reader is on another page by now. */
  #remember() {
    clearTimeout(this.#saving);
    if (!this.place.isConnected || location.pathname !== this.#path || !this.#sound) return;
    const query = new URLSearchParams();
    for (const { name, value } of Object.values(this.control)) {
      if (name !== "config" && value !== "config" && value !== "pasted") query.set(name, value.trim());
    }
    history.replaceState(history.state, "", `?${query}${location.hash}`);
  }

  /** Take the state from the address, and say what in it is no choice here. */
  async #recall() {
    const strange = [];
    const given = [...new URLSearchParams(location.search)];
    given.sort(([one], [other]) => (other === "model") - (one === "model")); // which variants there are depends on it
    for (const [name, value] of given) {
      if (!Object.hasOwn(this.control, name) || name === "config") continue;
      const control = this.control[name];
      const before = control.value;
      control.value = value;
      if (control.value === value) {
        if (name === "model") this.#update();
        continue;
      }
      control.value = before;
      strange.push(`The link's ${name} “${value.slice(0, 40)}” is no choice here.`);
    }
    await this.#update();
    if (strange.length) this.part.stale.textContent = `${strange.join(" ")} The answer is for what is chosen below.`;
  }
}

/** Fill the page's form and answer; where data cannot be had, a sentence says so. */
export async function mount(place) {
  try {
    const [architectures, choices] = await Promise.all(["architectures.json", "choices.json"].map(data));
    await new Calculator(place, architectures, [...choices.variants, ...filesOf(choices)]).start();
    document.getElementById("calculator-without").remove();
  } catch (error) {
    place.replaceChildren(`The calculator could not read its data: ${error.message}.`);
    place.hidden = false;
  }
}
