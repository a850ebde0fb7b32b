// What the selector shows below its verdict: remarks, a card for each of the first methods, and what is folded away.
import { cards } from "./choose.js";
import { data } from "./data.js";
import { element } from "./element.js";
import {
  NVIDIA,
  cacheFlag,
  elsewhere,
  gib,
  hardware,
  isOn,
  lacksBf16,
  made,
  ofMethod,
  original,
  ready,
  roomText,
  trains,
  unverified,
} from "./reader.js";
import { isMixture, named } from "./variant.js";
import { compiles, remarks } from "./verdict.js";

const SHOWN = 3; // in full; the others fold away
const ONE_GPU = /device_map="cuda(:0)?"/g; // Transformers 5.23.0, integrations/accelerate.py: all of it on one GPU
const NOT_CUDA = new Set(["cpu", "apple", "intel_gpu"]); // torch calls AMD's GPUs cuda too
const PUBLISHED = /(?<!AutoConfig\.)from_pretrained\(\s*"[^"]+"/g;
// What loads a checkpoint of any key that Transformers reads: the checkpoint has the configuration.
const LOADING = `import torch
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("THE-CHECKPOINT", dtype=torch.bfloat16, device_map="auto")
`;
// As snippets/torchao.py has it, section compile, which a test holds this to.
const COMPILE = `
model.generation_config.cache_implementation = "static"
model.generation_config.disable_compile = True  # compile once, here, instead of once more in generate
model.forward = torch.compile(model.forward)
`;
// Layers of which tensor parallelism divides the inputs, and with them groups along a row. vLLM 0.32.0, config/model.py,
// verify_with_parallel_config, divides heads alike.
const CUT = /((^|\.)w2|(^|[._])wo|fc2|(o|out|down|c)_proj|dense(_4h_to_h)?)$/;
const EXAMPLE = "Qwen/Qwen3-0.6B"; // the model of the notebooks, in whose place code takes the one that was chosen

// What torch a GPU takes, where the default is for another; VOLTA in verdict.js has the source of its line.
const ROCM = "PyTorch's build for ROCm";
const OTHER_TORCH = { volta: "the build for CUDA 12.6", cdna: ROCM, rdna: ROCM, intel_gpu: "PyTorch's build for XPU" };

const site = (path) => new URL(`../${path}`, import.meta.url).href;
const link = (path, textContent) => element("a", { href: site(path), textContent });
const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;
const reasonItem = ({ text, facts }) => element("li", { textContent: sentence(text), "data-facts": facts.join(" ") });

/** Let a button copy what `text` returns, and say so behind it. */
export function copying(button, text, otherwise) {
  const status = button.nextElementSibling;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      status.textContent = " Copied.";
    } catch {
      status.textContent = ` Your browser does not let this page copy: ${otherwise}.`;
    }
  });
}

/** The proven code of a variant, for the chosen model and hardware; compiled, where the verdict says so. */
export function fitted(code, v, a, model) {
  const spread = a.gpus > 1 || NOT_CUDA.has(a.hardware) ? code.replaceAll(ONE_GPU, 'device_map="auto"') : code;
  const typed = lacksBf16(a) && !a.overflows ? spread.replaceAll("torch.bfloat16", "torch.float16") : spread;
  const [, name] = compiles(v, a) ? (/^(\w+) = AutoModel/m.exec(typed) ?? []) : [];
  const whole = name ? `${typed.trimEnd()}\n${COMPILE.replaceAll("model", name)}` : typed;
  if (ready(v, a) || !made(v) || original(v, model)) {
    const published = original(v, model) && !a.checkpoint ? model.hub : "THE-CHECKPOINT";
    const own = whole
      .replaceAll(PUBLISHED, `from_pretrained("${published}"`)
      .replace(/gguf_file="[^"]+"/, 'gguf_file="THE-FILE.gguf"');
    return own.replaceAll(EXAMPLE, model?.hub ?? "THE-16-BIT-MODEL");
  }
  if (!model?.hub) return whole;
  const folder = `"${model.hub.split("/").pop().toLowerCase()}-`;
  return whole.replaceAll(EXAMPLE, model.hub).replaceAll('"qwen3-', folder);
}

/** Of so many GPUs, those among which an engine can divide every layer of a variant; beyond them each takes whole layers. */
function divided({ loads, storage, quantizes }, gpus, model) {
  if (loads.divides === "no") return 1;
  if (!model?.id) return gpus; // another model's shapes stand for it
  const { num_attention_heads: heads, num_key_value_heads: pairs = heads } = model.config;
  const group = loads.divides ? 1 : Math.max(1, ...storage.map(({ tile }) => tile?.[1] ?? 1));
  const whole = (n) =>
    heads % n === 0 &&
    (pairs % n === 0 || n % pairs === 0) &&
    model.tensors
      .filter(({ name }) => CUT.test(name))
      .every(({ part, columns }) => loads.divides || columns % (n * (quantizes.includes(part) ? group : 1)) === 0);
  let n = gpus;
  while (n > 1 && (gpus % n || !whole(n))) n -= 1; // 1 whatever its groups are
  return n;
}

/** How another engine is started with what a variant saves. */
export function serving(v, { a, use: { context, gpus, cache } }, { formats }, model) {
  const { format, plugin, converted, engine } = v.loads;
  const { serve, serves_not: not, install, flags, convert } = engine;
  const { step = 1 } = flags;
  const { flag_for: told } = v.loads;
  const { label } = v;
  const { name, named: endings } = formats.find(({ id }) => id === format);
  const among = divided(v, gpus, model);
  const shares = [
    [v.loads.flag, "", !told || isOn(told, a) || (told.includes("mixtures") && isMixture(model))],
    [flags.language, "", model?.sees],
    [flags.context, Math.ceil(context / step) * step, true],
    [flags.gpus, among, among > 1],
    [flags.pipeline, gpus / among, gpus > among],
    [cache < 16 && cacheFlag(engine, a, model), "", true],
  ];
  const asked = shares.map(([flag, value, needed]) => (flag && needed ? ` ${`${flag} ${value}`.trim()}` : "")).join("");
  const own = endings.filter((ending) => ending.includes(label) || label.includes(ending)); // Q4_K for Q4_K_M
  const where = endings.length ? `, a repository whose name has ${(own.length ? own : endings).slice(0, 2).join(" or ")}` : "";
  const other = ready(v, a) ? "your checkpoint" : `${name}${where}, or the folder that you saved`;
  const whose = `# MODEL: ${original(v, model) && !ready(v, a) ? model.hub : other}`;
  const lines = [
    whose,
    engine.for_cuda && a.hardware && !(a.hardware in NVIDIA)
      ? `# ${install} is for NVIDIA's GPUs: install the build for this hardware, as the engine's page says.`
      : install,
    plugin && `# and ${plugin}`,
    converted && convert,
    flags.gpus &&
      gpus > among &&
      `# ${gpus} GPUs do not divide its heads, or this format: ${gpus / among} parts take whole layers.`,
    not.includes(a.series || a.hardware)
      ? "# Its server does not run on this hardware: see its page."
      : serve && `${serve}${asked}`,
    !serve && "# It has no server: see its page.",
  ];
  return lines.filter(Boolean).join("\n");
}

/** A block of code with a button that copies it. */
function block(code, label) {
  const text = element("code", { textContent: code, tabIndex: 0, "aria-label": label, role: "region" }); // it scrolls itself
  const button = element("button", { type: "button", className: "md-button", textContent: "Copy the code" });
  const shown = element("div", {}, element("pre", {}, text), button, element("span", { role: "status" }));
  copying(button, () => code, "select the code");
  return shown;
}

const loaded = new Map(); // by method, since a reader comes back to it

/** The code of a method's variants; it is fetched once, and null where it cannot be had. */
export function codesOf(method) {
  if (!loaded.has(method)) {
    const fetched = data(`code/${method}.json`);
    loaded.set(
      method,
      fetched.catch(() => loaded.delete(method) && null),
    );
  }
  return loaded.get(method);
}

/** The code of a variant; what is not ours to show has a sentence instead. */
async function codeOf(v, found, model, choices) {
  const { a } = found;
  const parts = [];
  if (v.loads) parts.push(block(serving(v, found, choices, model), `Commands for ${named(v)}`));
  if (!ofMethod(v) || (v.loads && (ready(v, a) || original(v, model)))) return parts;
  if (v.loads) parts.push(element("p", { textContent: "To make it yourself:" }));
  const codes = (await codesOf(v.method))?.[v.id.split("/")[1]];
  if (!codes) return [...parts, element("p", { textContent: "The code could not be loaded; the method's page has it." })];
  const asIs = made(v) && codes.code?.includes("quantization_config=") ? LOADING : null;
  const loads = (ready(v, a) || original(v, model)) && (codes.ready ?? asIs);
  const anew = ready(v, a) && made(v) && !v.originals.length; // code that would quantize the checkpoint once more
  const proven = found.unpacked === v ? codes.unpacked : loads || (anew ? null : codes.code);
  const none = "No code of ours loads this variant; its page says what is known.";
  if (!proven) return [...parts, element("p", { textContent: none })];
  const code = fitted(proven, v, a, model);
  if (proven === LOADING) {
    parts.push(element("p", { textContent: "Not run as it stands: the checkpoint says how it is loaded." }));
  }
  if (lacksBf16(a) && proven.includes("torch.bfloat16")) {
    const why = `${NVIDIA[a.hardware][0]} has no bf16 arithmetic, so this code takes float16 instead.`;
    parts.push(element("p", { textContent: why }));
  }
  if (OTHER_TORCH[a.hardware]) {
    parts.push(element("p", { textContent: `pip alone gets a torch for CUDA: first install ${OTHER_TORCH[a.hardware]}.` }));
  }
  const pinned = (line) => (OTHER_TORCH[a.hardware] ? line.replace(/ torch==\S+/, "") : line);
  const install = codes.install.map((line) => `# ${pinned(line)}\n`).join("");
  return [...parts, block(`${install}\n${code}`, `Code for ${named(v)}`)];
}

/** A part that folds away and is made when it is first opened, so that an answer appears at once. */
function folded(title, make, open = false) {
  const details = element("details", { open }, element("summary", { textContent: title }));
  const fill = async () => details.append(...(await make()));
  if (open) fill();
  else details.addEventListener("toggle", fill, { once: true });
  return details;
}

const list = (entries, line) => () => [
  element(
    "ul",
    {},
    ...entries.map((entry) => element("li", {}, link(entry.variant.page, named(entry.variant)), ` ${line(entry)}.`)),
  ),
];

/** What was run of a variant on such hardware, or who says that it runs. */
function evidence({ notebook, loads }, a) {
  const kind = a.hardware in NVIDIA ? "cuda" : a.hardware;
  if (!loads && notebook?.state === "proven" && !notebook.instead && (!kind || kind === notebook.kind)) {
    return `its code was run on ${notebook.kind === "cpu" ? "a CPU" : notebook.machine}`;
  }
  return loads ? "by the engine's source" : "by the library's text";
}

/** Four to six words on a card. */
function badges({ variant: v, needs }, { a }) {
  const calibrated = {
    none: "no calibration data",
    needed: "calibrated with texts",
    "made elsewhere": "only loads ready checkpoints",
  };
  const saved = { yes: "saves", no: "does not save", "not verified": "saving not verified" };
  const texts = [
    `${v.bits} bit`,
    needs && `${gib(needs)}${a.memory ? ` of ${roomText(a)}` : ""}`,
    v.loads?.title ?? "Transformers",
    unverified(v, a) ? "not verified here" : evidence(v, a),
    calibrated[v.calibration],
    saved[v.cells.save_and_reload.answer],
  ];
  const items = texts.filter(Boolean).map((textContent) => element("li", { textContent }));
  if (needs) items[1].dataset.bytes = needs;
  return element("ul", { className: "badges", "aria-label": "In short" }, ...items);
}

function proofLine(v) {
  const n = v.notebook;
  if (!n) return element("p", { textContent: "Proof: no notebook runs this variant." });
  const what = n.instead ? `${n.instead} shown` : "proven";
  const where =
    n.state === "proven"
      ? `${what} on ${n.kind === "cpu" ? "a CPU" : n.machine}, ${n.date}${n.stand_in ? ", on the small reference model" : ""}`
      : n.state;
  const colab = n.colab
    ? [element("a", { href: n.colab, textContent: `Open ${n.name} in Colab` }), ` (${n.in_colab})`]
    : [`Colab: it ${n.in_colab}`];
  return element("p", {}, `Proof: ${where}. `, link(n.page, `Notebook ${n.name}`), " · ", ...colab);
}

/** What nobody vouches for on this hardware is said before all else. */
function doubt(v, a) {
  if (!unverified(v, a)) return null;
  const { note, fact } = hardware(v, a);
  const textContent = `Not verified on this hardware${note ? `: ${note}` : ""}.`;
  return element("p", { className: "unverified", "data-facts": fact, textContent });
}

/** One method: its first variant, and the others folded. */
function cardOf(card, found, model, choices, first) {
  const { variant: v, reasons, behind, others } = card;
  const { a } = found;
  const after = behind && `Not before it because it ${behind.text}.`;
  return element(
    "li",
    { "data-variant": v.id },
    element("h3", {}, link(v.page, named(v))),
    doubt(v, a),
    badges(card, found),
    behind && element("p", { className: "behind", "data-facts": behind.facts.join(" "), textContent: after }),
    folded(`Code: ${named(v)}`, () => codeOf(v, found, model, choices), first),
    reasons.length ? folded("Why", () => [element("ul", { className: "why" }, ...reasons.map(reasonItem))]) : null,
    others.length
      ? folded(
          `Its other variants that fit: ${others.length}`,
          list(others, (one) => one.behind.text),
        )
      : null,
    v.loads ? element("p", {}, "Its facts: ", link(`engines/${a.engine}/`, v.loads.title), ".") : proofLine(v),
    trains(a) ? element("p", {}, link("fine-tuning/", "Fine-tuning, step by step"), ".") : null,
  );
}

/** How the memory was counted, with a link to the calculator that has the same answers. */
function memoryLine(model, { context, batch, prompt, chunk, cache, memory, gpus, train }, top) {
  if (!model) return element("p", { textContent: "Memory is estimated once you name a model." });
  const many = `${context.toLocaleString("en")} tokens × ${batch}`;
  const like = model.like ? `, with the shape of ${model.like}, scaled` : "";
  const read = chunk ? `; the engine reads prompts in chunks of ${chunk.toLocaleString("en")} tokens` : "";
  const trained = train && `weights, LoRA of rank ${train.rank} in bf16 with 8-bit AdamW and gradient checkpointing, ${many}`;
  const text = train
    ? `Counted: ${trained}${like}. Adapters in float32, PEFT's default, take more. `
    : `Counted: weights, cache of ${many}, and an allowance${like}${read || "; training's gradients and optimizer are not"}. `;
  const variant = top?.loads ? "bf16" : (top?.id ?? "bf16");
  const given = Math.round(100 * (memory ?? 24)) / 100;
  const query = new URLSearchParams({ model: model.id, variant, context, batch, prompt, cache, memory: given, gpus });
  const { adapter, targets, rank, optimizer } = train ?? {};
  const ways = train ? { work: "train", adapter, targets, rank, optimizer, checkpointing: "yes" } : {};
  for (const [name, value] of Object.entries(ways)) query.set(name, value);
  return element("p", {}, text, link(`memory/${model.id ? `?${query}` : ""}`, "Memory calculator"));
}

/** Where Transformers is not what most would take. */
const engines = () => [
  "This answers for Transformers. An engine may do better here: say above where it will run, or see ",
  link("engines/", "which format loads where"),
  ".",
];

/** What stands below the verdict on what choose() returned. */
export function show(found, model, choices) {
  const { ranked, out, changes, use, a, unpacked } = found;
  const parts = remarks(found, model).map(({ text, facts }) =>
    element("p", { className: "remark", "data-facts": facts.join(" "), textContent: text }),
  );
  if (unpacked) parts.push(folded(`Code: ${named(unpacked)}, unpacked`, () => codeOf(unpacked, found, model, choices)));
  if (!elsewhere(a) && !trains(a)) {
    parts.push(element("p", {}, ...engines()));
  }
  if (!ranked.length) {
    const items = changes.map((text) => element("li", { textContent: text }));
    parts.push(element("p", { textContent: "What would have to change:" }), element("ul", { className: "changes" }, ...items));
  }
  const shown = cards(found);
  const first = shown.slice(0, SHOWN).map((card, i) => cardOf(card, found, model, choices, i === 0));
  parts.push(element("ol", { className: "ranked" }, ...first));
  const later = list(shown.slice(SHOWN), ({ behind }) => behind.text);
  const ruled = list(out, ({ text }) => text);
  if (shown.length > SHOWN) parts.push(folded(`${shown.length - SHOWN} more methods that fit`, later));
  if (out.length) parts.push(folded(`${out.length} ruled out`, ruled));
  parts.push(memoryLine(model, use, ranked[0]?.variant));
  return parts;
}
