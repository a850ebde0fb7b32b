// What is preferred of what no rule excludes, the most important first. A rule gives a number, the higher the better, and is
// asked only if the rules before it do not decide; `when` says for which answers.
import { GIB } from "./counting.js";
import {
  AMPLE,
  beyond,
  DEVICES,
  elsewhere,
  enough,
  fact,
  fast,
  fastOnCpu,
  hardware,
  kernelFrom,
  KEYS,
  least,
  made,
  methodFact,
  NARROW,
  nearest,
  original,
  productOn,
  ready,
  reason,
  room,
  single,
  speed,
  timed,
  trains,
  unwanted,
  words,
} from "./reader.js";

const LEAST_SOUND = 0.5; // of likeliest tokens with bf16's: below it, every second token is another
const calibrated = (v) =>
  reason(`is calibrated: ${v.calibration_note}`, v.facts.calibration, methodFact(v, "calibration_note"));
const measured = (v) => v.numbers;
const figures = (v) => `number:${v.numbers.id}`;
const decoded = (v) => `decoded ${v.numbers.model} at ${timed(v).toFixed(2)} of bf16's speed on a CPU of ours`;
const divergence = (v) => `KL ${measured(v).kl.toFixed(4)} ± ${measured(v).kl_error.toFixed(4)}`;

export const PREFERENCES = [
  {
    id: "ready",
    says: "A method that loads the checkpoint you have, before those that start from bf16 weights.",
    source: "keys of Transformers' registry, which a checkpoint names as its quant_method",
    when: (a) => a.checkpoint && a.checkpoint !== "none",
    score: (v, a) => (ready(v, a) ? 1 : 0),
    why: (v, a) => reason(`loads your ${a.checkpointName} checkpoint as it is`, methodFact(v, KEYS)),
    less: (v) => reason("would start from bf16 weights, not from the checkpoint you have", methodFact(v, KEYS)),
  },
  {
    id: "sound",
    says: `What agrees with bf16 on at least ${100 * LEAST_SOUND} % of the likeliest tokens, or its next wider variant.`,
    source: "measured, on the page Benchmarks; the line at one in two is this guide's judgement",
    when: () => true,
    score: (v, a) => (ready(v, a) || (nearest(v)?.top1 ?? 1) >= LEAST_SOUND ? 1 : 0),
    less: (v) =>
      reason(
        `${measured(v) ? "" : "is narrower than what "}agreed with bf16 on only ${(100 * nearest(v).top1).toFixed(0)} % of ` +
          `tokens of ${nearest(v).model}`,
        `number:${nearest(v).id}`,
      ),
  },
  {
    id: "narrow",
    says: `At least ${NARROW} bits a weight, unless the smallest model is asked for.`,
    source: "measured, on the page Benchmarks: below 4 bits a model is far from bf16",
    when: () => true,
    score: (v, a) => (beyond(v, a) ? 0 : 1),
    less: (v) => reason(`holds ${v.bits} bits a weight, far from bf16`, fact(v, "bits")),
  },
  {
    id: "makes",
    says: "What you can make yourself, before what needs a checkpoint that somebody else made.",
    source: "calibration, on its page",
    when: (a) => !a.checkpoint,
    score: (v) => (made(v) ? 1 : 0),
    less: (v) => reason("needs a checkpoint that was made elsewhere", v.facts.calibration),
  },
  {
    id: "own-format",
    says: "The format in which the maker of this very model publishes it.",
    source: "originals, on the page of engines",
    when: () => true,
    score: (v, a, bytes, model) => (original(v, model) ? 1 : 0),
    why: (v, a, model) => original(v, model) && reason(`is how ${model.name} is published`, v.facts.formats),
    less: (v) => reason("is not how this model is published", v.facts.formats),
  },
  {
    id: "common",
    says: "Methods in common use, before research methods and those for one maker's hardware or models.",
    source: "group, on its page; this guide's judgement",
    when: () => true,
    score: (v) => (["research", "one maker's hardware or models"].includes(v.group) ? 0 : 1),
    less: (v) =>
      reason(
        v.group === "research" ? "is a research method" : "is made for one maker's hardware or models",
        methodFact(v, "group"),
      ),
  },
  {
    id: "verified",
    says: "Hardware on which a run or the library's own text answers for it, before hardware of which nothing is known.",
    source: "the hardware cells of its page",
    when: (a) => a.hardware,
    score: (v, a) => (hardware(v, a).answer === "yes" ? 1 : 0),
    why: (v, a) => reason("runs on this hardware", hardware(v, a).fact),
    less: (v, a) => reason(`is not verified on this hardware${words(hardware(v, a))}`, hardware(v, a).fact),
  },
  {
    id: "home",
    says: "The format that the engine was made with, before others; one that was made for another engine comes last.",
    source: "home, on the page of engines",
    when: elsewhere,
    score: (v, a) => (v.home ? (v.home === a.engine ? 2 : 0) : 1),
    why: (v, a) => v.home === a.engine && reason(`is ${v.loads.title}'s own format`, v.facts.formats),
    less: (v) => reason(v.home ? "is another engine's format" : `is not ${v.loads.title}'s own format`, v.facts.formats),
  },
  {
    id: "plugin",
    says: "What an engine loads by itself, before what takes another package.",
    source: "the engine's page",
    when: elsewhere,
    score: (v) => (v.loads.plugin ? 0 : 1),
    less: (v) => reason(`takes another package in ${v.loads.title}: ${v.loads.plugin}`, v.loads.fact),
  },
  {
    id: "ample",
    says: `What leaves a tenth of the memory free, before what fits more tightly.`,
    source: "the memory calculator; the line is this guide's judgement",
    when: (a) => a.memory,
    score: (v, a, bytes) => (!bytes || bytes <= (1 - AMPLE) * room(a) ? 1 : 0),
    less: (v) => reason("fits, but leaves less than a tenth of the memory", fact(v, "storage")),
  },
  {
    id: "texts",
    says: "Where you do not calibrate: what needs no data, before what can do without your texts.",
    source: "calibration and its note, on its page",
    when: (a) => a.calibration === "no",
    score: (v, a) => (unwanted(v, a) ? 1 : 2),
    why: (v, a) => unwanted(v, a) && calibrated(v),
    less: calibrated,
  },
  {
    id: "trains",
    says: "For fine-tuning: LoRA above it was tried, and then the narrowest weights of at least 4 bits.",
    source: "the notebook qlora; QLoRA (Dettmers et al., 2023) freezes 4-bit weights under adapters",
    when: trains,
    score: (v) => (v.cells.peft.answer === "yes" ? 100 - Math.abs(v.bits - 4) : 0),
    why: (v) =>
      reason(`LoRA trains above its ${v.bits}-bit weights${words(v.cells.peft)}`, v.cells.peft.fact, fact(v, "bits")),
    less: (v) =>
      v.cells.peft.answer === "yes"
        ? reason(`holds ${v.bits} bits a weight: more memory, or less precision, than 4`, fact(v, "bits"))
        : reason("fine-tuning was not verified", v.cells.peft.fact),
  },
  {
    id: "regime",
    says: "Many requests at once: the product itself in 8 or 4 bits, in FP8 where the GPU has it. One user: weight-only.",
    source:
      "NVIDIA ModelOpt, best practices to choose, commit 7eecd11 (batch up to 4: weight-only; from 16: activations too; " +
      "FP8 first), read 2026-11-23",
    // Where the purpose is open, so is this; on a CPU the next but one says what was measured.
    when: (a) => ["single", "throughput"].includes(a.purpose) && (a.hardware !== "cpu" || elsewhere(a)),
    score: (v, a) => {
      const narrow = productOn(v, a) !== "16-bit";
      if (single(a)) return narrow ? 0 : 1;
      return (narrow && v.kernel !== "none" ? 1 : 0) + (least(a) !== null && productOn(v, a) === "fp8" ? 1 : 0);
    },
    why: (v, a) =>
      single(a)
        ? reason("weight-only: one request at a time waits for memory, not for arithmetic", fact(v, "product"))
        : reason(
            productOn(v, a) === "16-bit"
              ? "multiplies in 16 bits"
              : `multiplies in ${v.product}, which pays with many requests at once`,
            fact(v, "product"),
          ),
    less: (v, a) =>
      reason(
        single(a) ? "rounds activations too, which pays with many requests at once" : `multiplies in ${productOn(v, a)}`,
        fact(v, "product"),
      ),
  },
  {
    id: "smallest",
    says: "For the smallest model: less memory where it is named, else fewer bits a weight.",
    source: "the variants on its page",
    when: (a) => a.purpose === "smallest",
    score: (v, a, bytes) => (ready(v, a) ? 0 : -(bytes ?? v.bits)), // a checkpoint has the width that it has
    why: (v, a) => !ready(v, a) && reason(`${v.bits} bits a weight`, fact(v, "bits")),
    less: (v) => reason(`is larger, with ${v.bits} bits a weight and what stands beside them`, fact(v, "bits")),
  },
  {
    id: "kernel",
    says: "For speed on an NVIDIA GPU: a kernel that reads packed weights, or torch.compile where you accept it.",
    source: "kernel_source of each variant",
    when: (a) => speed(a) && !(a.hardware in DEVICES),
    score: (v, a) => (fast(v, a) ? 1 : 0),
    why: (v) =>
      v.kernel === "fused"
        ? reason("has a kernel that reads packed weights", fact(v, "kernel"))
        : reason("its unpacking is fused into the product by torch.compile", fact(v, "kernel")),
    less: (v, a) =>
      !enough(v, a)
        ? reason(
            `has a kernel for ${v.kernel_rows} row${v.kernel_rows === "one" ? "" : "s"} at a time, slow for many requests`,
            fact(v, "kernel_rows"),
          )
        : kernelFrom(v) > (least(a) ?? 99)
          ? reason(
              `${v.kernel === "compiled" ? "asks torch.compile for" : "has its kernel from"} compute capability ` +
                `${kernelFrom(v).toFixed(1)} on`,
              fact(v, "kernel"),
            )
          : v.kernel === "compiled"
            ? reason("is slow until compiled", fact(v, "kernel"))
            : reason("unpacks its weights before each product, which is no faster than bf16", fact(v, "kernel")),
  },
  {
    id: "cpu-speed",
    says: "For speed on a CPU: what was measured at bf16's speed, or may be within its spread.",
    source: "decode speed over bf16's, on the page Benchmarks",
    when: (a) => speed(a) && a.hardware === "cpu" && !elsewhere(a),
    score: (v, a) => (fastOnCpu(v, a) ? 1 : 0),
    why: (v) => reason(`${decoded(v)}${measured(v).compiled ? ", compiled" : ""}`, figures(v)),
    less: (v) => (timed(v) ? reason(decoded(v), figures(v)) : reason("was not timed on a CPU", fact(v, "notebook"))),
  },
  {
    id: "kept",
    says: "Libraries with a release in the year before we looked.",
    source: "library, on its page",
    when: () => true,
    score: (v) => (v.kept ? 1 : 0),
    less: (v) => reason(`comes from a library whose last release is of ${v.released}`, methodFact(v, "library.released")),
  },
  {
    id: "compile",
    says: "Where you want torch.compile: what works with it.",
    source: "the torch.compile cell of its page",
    when: (a) => a.compile === "yes" && !elsewhere(a),
    score: (v) => ["no", "not verified", "yes"].indexOf(v.cells.torch_compile.answer),
    why: (v) => v.cells.torch_compile.answer === "yes" && reason("works with torch.compile", v.cells.torch_compile.fact),
    less: (v) =>
      reason(
        v.cells.torch_compile.answer === "no" ? "does not work with torch.compile" : "was not tried with torch.compile",
        v.cells.torch_compile.fact,
      ),
  },
  {
    id: "calibrated",
    says:
      "Calibrated methods below 4 bits, and at 4 bits where calibration is welcome or an engine runs what was made once; " +
      "else those that need no data.",
    source: "KL from bf16 by width, on the page Benchmarks",
    when: () => true,
    score: (v, a) => {
      if (ready(v, a)) return 1;
      return (v.calibration === "needed") === (v.bits < 4 || (v.bits === 4 && (a.calibration === "yes" || elsewhere(a))))
        ? 1
        : 0;
    },
    why: (v, a) =>
      !ready(v, a) &&
      !unwanted(v, a) &&
      (v.calibration === "needed"
        ? reason(`${v.product === "16-bit" ? "corrects its rounding" : "is calibrated"} with your texts`, v.facts.calibration)
        : reason("needs no data", v.facts.calibration)),
    less: (v) =>
      reason(
        v.calibration === "needed" ? "needs calibration, which others do without" : "rounds without data",
        v.facts.calibration,
      ),
  },
  {
    id: "width",
    says: "The widest weights that fit: 8 bits stay nearest to bf16.",
    source: "measured, on the page Benchmarks",
    when: (a) => !trains(a) && a.purpose !== "smallest",
    score: (v, a) => (ready(v, a) ? 8 : Math.min(v.bits, 8)),
    why: (v, a) => !ready(v, a) && reason(`${v.bits} bits a weight`, fact(v, "bits")),
    less: (v) => reason(`holds ${v.bits} bits a weight, further from bf16`, fact(v, "bits")),
  },
  {
    id: "one-step",
    says: "What from_pretrained quantizes by itself, before what takes another library's calls.",
    source: "the cell 'quantizes on load' of its page",
    when: (a) => !elsewhere(a),
    score: (v, a) => (ready(v, a) || v.cells.quantize_on_load.answer === "yes" ? 1 : 0),
    why: (v, a) => !ready(v, a) && reason("from_pretrained quantizes it", v.cells.quantize_on_load.fact),
    less: (v) => reason("is made with its own library, not by from_pretrained", v.cells.quantize_on_load.fact),
  },
  {
    id: "saves",
    says: "What saves and reloads.",
    source: "the cell 'save and reload' of its page",
    when: () => true,
    score: (v) => (v.cells.save_and_reload.answer === "yes" ? 1 : 0),
    why: (v) => reason("saves and reloads", v.cells.save_and_reload.fact),
    less: (v) =>
      reason(
        v.cells.save_and_reload.answer === "no" ? "is not saved and loaded again" : "was not seen to save and load again",
        v.cells.save_and_reload.fact,
      ),
  },
  {
    id: "quality",
    says: "What was measured nearest to bf16.",
    source: "KL from bf16, on the page Benchmarks, to a thousandth of a nat",
    when: () => true,
    score: (v, a) => (ready(v, a) ? 0 : measured(v) ? -Math.round(1000 * measured(v).kl) / 1000 : -Infinity),
    less: (v, a, before) =>
      measured(v)
        ? reason(`measured further from bf16 than ${before.title} ${before.label}: ${divergence(v)}`, figures(v))
        : reason("has no measurement of ours", fact(v, "measured")),
  },
  {
    id: "stated",
    says: "Of an engine's own formats, which were not measured here: the one that its makers measured nearest.",
    source: "stated_kl, on the page of engines",
    when: (a) => elsewhere(a) && a.purpose !== "smallest",
    score: (v, a) => (v.home === a.engine && v.kl && !measured(v) ? -v.kl : -Infinity),
    less: (v, a, before) =>
      v.kl
        ? reason(`is further from 16 bit than ${before.label} by its makers’ table: KL ${v.kl.toFixed(4)}`, fact(v, "kl"))
        : reason("has no measurement of its makers", fact(v, "id")),
  },
  {
    id: "fuller",
    says: "Of an engine's own formats, which were not measured: the one that stores more.",
    source: "llama.cpp, tools/quantize/README.md: perplexity falls with bits a weight",
    when: (a) => elsewhere(a) && a.purpose !== "smallest",
    score: (v, a, bytes) => (v.home === a.engine && !measured(v) ? (bytes ?? 0) : 0),
    less: (v, a, before) => reason(`stores less than ${before.title} ${before.label}`, fact(v, "storage")),
  },
  {
    id: "lean",
    says: "What takes less memory.",
    source: "the memory calculator",
    when: () => true,
    score: (v, a, bytes) => -Math.round((10 * (bytes ?? 0)) / GIB), // as it is shown
    less: (v, a, before) => reason(`takes more memory than ${before.title} ${before.label}`, fact(v, "storage")),
  },
];
