// The variants to choose from: those that Transformers runs, or what another engine makes of their formats.
import { elsewhere } from "./reader.js";

const ANSWERS = { y: "yes", n: "no", u: "not verified" };
const BF16 = [{ what: "weights, unpacked to bf16", bytes: 2 }];
const made = new WeakMap(); // by the engine's facts, since a choice asks several times

/** The format in which an engine runs a variant best, with its facts: {answer, known, title, how, plugin, on, fact}. */
function loading(variant, id, { title, formats }) {
  const known = variant.formats.filter((format) => formats[format]);
  const format = known.find((one) => formats[one].answer === "y") ?? known[0];
  if (!format) {
    const fact = variant.formats.length ? `engine:${id}.formats.${variant.formats[0]}` : variant.facts.formats;
    return { answer: "no", known: variant.formats.length > 0, title, fact };
  }
  const { answer: of, ...more } = formats[format];
  const answer = more.bits?.includes(variant.bits) === false ? "n" : of; // not in this width
  return { ...more, answer: ANSWERS[answer], known: true, title, format, fact: `engine:${id}.formats.${format}` };
}

/** A variant as an engine runs it: its answers for hardware, its kernel and its bytes are the engine's. */
function seen(variant, id, engine, generations) {
  const loads = loading(variant, id, engine);
  const cell = (letter, note = "") => ({ answer: ANSWERS[letter], note, fact: loads.fact });
  const places = generations.map((name, i) => [name, cell(loads.on?.[i] ?? "n", loads.excepts?.[name])]);
  const packed = loads.how === "packed";
  const linears = variant.quantizes.includes("linear"); // engines' tools quantize experts with them
  const engines = Object.fromEntries(["kernel", "kernel_rows", "runs"].map((field) => [field, loads.fact]));
  return {
    ...variant,
    loads: { ...loads, engine },
    home: engine.own?.includes(loads.format) ? id : variant.home,
    quantizes: linears ? [...new Set([...variant.quantizes, "experts"])] : variant.quantizes,
    cells: { ...variant.cells, ...Object.fromEntries(places), nvidia: cell("u") },
    storage: packed ? (variant.packed ?? variant.storage) : BF16,
    mix: packed ? variant.mix : undefined,
    runs: packed ? "packed" : "unpacked",
    fused: packed, // memory.js: its kernel unpacks on the way, and no layer whole
    kernel: packed ? "fused" : "none",
    kernel_capability: null,
    kernel_rows: null,
    cites: { ...variant.cites, ...engines },
  };
}

/** What is chosen from: `choices` is choices.json, `a` has a reader's answers. */
export function variantsOf({ variants, offers, asked, engines, generations }, a) {
  if (!elsewhere(a)) return variants;
  const engine = engines[a.engine];
  if (!made.has(engine)) {
    const formats = offers.map((one) => {
      const { self } = one; // what an offer says nothing of is told by its place
      const unknown = { answer: "not verified", note: "", fact: self };
      const cells = Object.fromEntries(asked.map((label) => [label, unknown]));
      return {
        ...one,
        facts: { self, formats: self, calibration: self },
        cells: { ...cells, save_and_reload: { ...unknown, answer: "yes" } },
        cites: { storage: `${self}.${one.mix ? "types" : "stored"}`, measured: self, notebook: self, calibration: self },
      };
    });
    const all = [...variants, ...formats].map((one) => seen(one, a.engine, engine, generations));
    // A file of any width is one of these where Transformers unpacks it; where it stays packed, its widths are offers.
    made.set(
      engine,
      all.filter(({ bits, loads }) => bits < 16 || loads.how !== "packed"),
    );
  }
  return made.get(engine);
}
