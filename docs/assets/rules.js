// The rules by which the selector chooses. Answers are texts, "" where a question is left open. A rule that rules out gives a
// sentence; a rule that prefers gives a number, the higher the better, and is asked only if the rules before it do not decide.
// A reason names its facts: paths below `methods` in facts.json, the one place where facts stand.
import { GIB } from "./counting.js";
import { isFor } from "./variant.js";

export const NVIDIA = {
  volta: ["Volta (V100)", 7.0],
  turing: ["Turing (T4, RTX 20)", 7.5],
  ampere: ["Ampere (A100, A10, RTX 30)", 8.0],
  ada: ["Ada (L4, L40S, RTX 40)", 8.9],
  hopper: ["Hopper (H100, H200)", 9.0],
  blackwell: ["Blackwell, data centre (B200, B300)", 10.0],
  blackwell_rtx: ["Blackwell, RTX (RTX 50, RTX PRO 6000)", 12.0],
};
export const DEVICES = { amd: "AMD GPU", intel_gpu: "Intel GPU", apple: "Apple GPU", cpu: "CPU" };
export const PURPOSES = {
  single: "inference for one user",
  throughput: "serving many at once",
  finetune: "fine-tuning",
  smallest: "the smallest model",
};
const BF16_FROM = 8.0; // compute capability, by torch.cuda.is_bf16_supported; torch emulates it below, and Inductor skips it
const TRITON_FROM = 8.0; // compute capability that Triton's README asks for; torch.compile writes its kernels
export const NARROW = 4; // bits: below, a model is far from bf16
const LEAST_SOUND = 0.5; // of likeliest tokens with bf16's: below it, every second token is another
const SPARE = 0.05; // of the memory that is left, since what stands beside weights and cache is estimated
const SPARE_TRAINING = 0.15; // the same where gradients, optimizer and their activations come on top, which are not counted
const LEAST_SAVING = 0.1; // of bf16's memory: what saves less is no answer to "it must fit"
export const LEAST_AGREEMENT = 0.1; // of likeliest tokens with bf16's on the real model: below it a text is noise

const single = (a) => (a.purpose || "single") === "single"; // an open purpose counts as one user
const speed = (a) => single(a) || a.purpose === "throughput";
const device = (a) => (a.hardware in NVIDIA ? "nvidia" : a.hardware);
export const spare = (a) => (a.purpose === "finetune" ? SPARE_TRAINING : SPARE);
/** Bytes of memory, over all GPUs. */
export const room = (a) => (a.gpus || 1) * a.memory * GIB;
export const roomText = (a) => (a.gpus > 1 ? `${a.gpus} × ${a.memory} GiB` : `${a.memory} GiB`);
export const gib = (bytes) => `${(bytes / GIB).toFixed(1)} GiB`;
/** Whether it loads the checkpoint at hand; a key that names its bits is of that width alone. */
export const ready = (v, a) =>
  v.keys.includes(a.checkpoint) && Number(a.checkpoint.match(/_(\d+)bit$/)?.[1] ?? v.bits) === v.bits;
const unwanted = (v, a) => a.calibration === "no" && v.calibration === "needed" && !ready(v, a); // its calibration
const yours = (a) => (a.checkpoint === "none" ? ", and there is none" : `; yours is ${a.checkpoint}`);
export const made = (v) => v.calibration !== "made elsewhere";
const place = (a) => (device(a) === "nvidia" ? "an NVIDIA GPU" : `this hardware (${DEVICES[a.hardware]})`);
export const hardware = (v, a) => v.cells[device(a)];
export const unverified = (v, a) => Boolean(a.hardware) && hardware(v, a).answer !== "yes";
export const beyond = (v, a) => v.bits < NARROW && a.purpose !== "smallest" && !ready(v, a); // narrower than was asked for
const least = (a) => NVIDIA[a.hardware][1]; // compute capability of the generation
export const lacksBf16 = (a) => a.hardware in NVIDIA && least(a) < BF16_FROM;
const kernelFrom = (v) => Math.max(Number(v.kernel_capability ?? 0), v.kernel === "compiled" ? TRITON_FROM : 0);
const fast = (v, a) => v.kernel === "fused" || (v.kernel === "compiled" && a.compile !== "no");
const enough = (v, a) => a.purpose !== "throughput" || !v.kernel_rows; // its kernel is for as many rows as there are requests
const words = (cell) => (cell.note ? `: ${cell.note}` : "");
export const reason = (text, ...facts) => ({ text, facts });
const calibrated = (v) => reason(`is calibrated: ${v.calibration_note}`, v.facts.calibration, v.facts.calibration_note);
const measured = (v) => v.numbers;
const nearest = (v) => v.numbers ?? v.wider;
const timed = (v) => v.numbers?.speed;
const figures = (v) => `number:${v.numbers.id}`;
const decoded = (v) => `decoded ${v.numbers.model} at ${timed(v).toFixed(2)} of bf16's speed on our CPU`;
const divergence = (v) => `KL ${measured(v).kl.toFixed(4)} ± ${measured(v).kl_error.toFixed(4)}`;

// What rules a variant out, in this order; the first that says something counts.
export const EXCLUSIONS = [
  {
    id: "hardware",
    says: "It must run on the hardware.",
    source: "the hardware cells of its page",
    test: (v, a) =>
      a.hardware &&
      hardware(v, a).answer === "no" &&
      reason(`does not run on ${place(a)}${words(hardware(v, a))}`, hardware(v, a).fact),
  },
  {
    id: "capability",
    says: "An NVIDIA GPU must have a compute capability on which it runs.",
    source: "the check in the library, or what its kernel is built for, named on its page",
    test: (v, a) => {
      if (!(a.hardware in NVIDIA)) return null;
      const { capability, not_from: end, fact } = hardware(v, a);
      const begins = `${NVIDIA[a.hardware][0]} begins at ${least(a).toFixed(1)}`;
      if (Number(capability ?? 0) > least(a)) return reason(`asks for compute capability ${capability}; ${begins}`, fact);
      return end && Number(end) <= least(a) && reason(`does not run from compute capability ${end} on; ${begins}`, fact);
    },
  },
  {
    id: "made-elsewhere",
    says: "What only loads ready checkpoints needs one.",
    source: "calibration, on its page",
    test: (v, a) =>
      a.checkpoint &&
      !made(v) &&
      !ready(v, a) &&
      reason(`only loads checkpoints in its own format${yours(a)}`, v.facts.calibration, v.facts.keys),
  },
  {
    id: "only-models",
    says: "What is for certain models alone needs one of them, or a checkpoint where the model is open.",
    source: "only_models, on its page",
    test: (v, a, bytes, model) =>
      !isFor(v, model?.id) &&
      (model || !ready(v, a)) &&
      reason(`is for ${v.only_models.join(", ")} alone`, v.facts.only_models),
  },
  {
    id: "calibration",
    says:
      "Without calibration, no calibrated method, unless its checkpoint is ready, or it has 4 bits and can do without " +
      "your texts.",
    source: "calibration and its note, on its page",
    test: (v, a) =>
      unwanted(v, a) &&
      (!v.calibration_note || v.bits < NARROW) &&
      reason("needs texts to calibrate with", v.facts.calibration),
  },
  {
    id: "peft",
    says: "To fine-tune, PEFT must take its layers.",
    source: "the notebook qlora, where each was tried",
    test: (v, a) =>
      a.purpose === "finetune" &&
      v.cells.peft.answer === "no" &&
      reason(`cannot be fine-tuned with PEFT${words(v.cells.peft)}`, v.cells.peft.fact),
  },
  {
    id: "unpacked",
    says: "It must save memory, unless a checkpoint in its format is at hand.",
    source: "the memory calculator's formula",
    test: (v, a) =>
      v.runs === "unpacked" &&
      !ready(v, a) &&
      reason("is unpacked to bf16 before it runs in Transformers, which saves no memory", `${v.facts.self}.runs`),
  },
  {
    id: "usable",
    says:
      `It, or its next wider variant, must agree with bf16 on at least ${100 * LEAST_AGREEMENT} % of the likeliest tokens ` +
      "of the model that was measured, unless a checkpoint in its format is at hand.",
    source: "measured, on the page Benchmarks; the line at one in ten is this guide's judgement",
    test: (v, a) =>
      nearest(v)?.top1 < LEAST_AGREEMENT &&
      !ready(v, a) &&
      reason(
        `${measured(v) ? "" : "is narrower than what "}agreed with bf16 on only ${(100 * nearest(v).top1).toFixed(0)} % of ` +
          `tokens of ${nearest(v).model}`,
        `number:${nearest(v).id}`,
      ),
  },
  {
    id: "saves-little",
    says: `It must take at least ${100 * LEAST_SAVING} % less memory than bf16, unless a checkpoint in its format is at hand.`,
    source: "the memory calculator; the line is this guide's judgement",
    test: (v, a, bytes, model, bf16) =>
      bytes > (1 - LEAST_SAVING) * bf16 &&
      !ready(v, a) &&
      reason(`needs about ${gib(bytes)} of this model's ${gib(bf16)} in bf16`, `${v.facts.self}.storage`),
  },
  {
    id: "memory",
    says: `It must fit, with ${100 * SPARE} % to spare, and ${100 * SPARE_TRAINING} % for fine-tuning.`,
    source: "the memory calculator; what is spared is this guide's judgement",
    test: (v, a, bytes) =>
      bytes &&
      a.memory &&
      bytes > (1 - spare(a)) * room(a) &&
      reason(
        bytes > room(a)
          ? `needs about ${gib(bytes)}, more than ${roomText(a)}`
          : `needs about ${gib(bytes)}, which leaves less than ${100 * spare(a)} % of ${roomText(a)}`,
        `${v.facts.self}.storage`,
      ),
  },
];

// What is preferred, the most important first. `when` says for which answers a rule is asked.
export const PREFERENCES = [
  {
    id: "ready",
    says: "A method that loads the checkpoint you have, before those that start from bf16 weights.",
    source: "keys of Transformers' registry, which a checkpoint names as its quant_method",
    when: (a) => a.checkpoint && a.checkpoint !== "none",
    score: (v, a) => (ready(v, a) ? 1 : 0),
    why: (v, a) => reason(`loads your ${a.checkpoint} checkpoint as it is`, v.facts.keys),
    less: (v) => reason("would start from bf16 weights, not from the checkpoint you have", v.facts.keys),
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
    less: (v) => reason(`holds ${v.bits} bits a weight, far from bf16`, `${v.facts.self}.bits`),
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
    says: "A format made for this very model.",
    source: "only_models, on its page",
    when: () => true,
    score: (v, a, bytes, model) => (model && v.only_models.length && isFor(v, model.id) ? 1 : 0),
    why: (v) => reason(`is made for ${v.only_models.join(", ")}`, v.facts.only_models),
    less: (v) => reason("is not made for this very model", v.facts.keys),
  },
  {
    id: "common",
    says: "Methods in common use, before research methods and those for one maker's hardware or models.",
    source: "group, on its page; this guide's judgement",
    when: () => true,
    score: (v) => (["research", "one maker's hardware or models"].includes(v.group) ? 0 : 1),
    less: (v) =>
      reason(v.group === "research" ? "is a research method" : "is made for one maker's hardware or models", v.facts.group),
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
    when: (a) => a.purpose === "finetune",
    score: (v) => (v.cells.peft.answer === "yes" ? 100 - Math.abs(v.bits - 4) : 0),
    why: (v) =>
      reason(`LoRA trains above its ${v.bits}-bit weights${words(v.cells.peft)}`, v.cells.peft.fact, `${v.facts.self}.bits`),
    less: (v) =>
      v.cells.peft.answer === "yes"
        ? reason(`holds ${v.bits} bits a weight: more memory, or less precision, than 4`, `${v.facts.self}.bits`)
        : reason("fine-tuning was not verified", v.cells.peft.fact),
  },
  {
    id: "regime",
    says: "Many requests at once: the product itself in 8 or 4 bits, in FP8 where the GPU has it. One user: weight-only.",
    source:
      "NVIDIA ModelOpt, best practices to choose, commit 7eecd11 (batch up to 4: weight-only; from 16: activations too; " +
      "FP8 first), read 2026-11-23",
    when: (a) => speed(a) && a.hardware !== "cpu", // where the next but one says what was measured
    score: (v, a) => {
      const narrow = v.product !== "16-bit";
      if (single(a)) return narrow ? 0 : 1;
      return (narrow && v.kernel !== "none" ? 1 : 0) + (v.product === "fp8" && (NVIDIA[a.hardware]?.[1] ?? 0) >= 8.9 ? 1 : 0);
    },
    why: (v, a) =>
      single(a)
        ? reason("weight-only: one request at a time waits for memory, not for arithmetic", `${v.facts.self}.product`)
        : reason(
            v.product === "16-bit"
              ? "multiplies in 16 bits"
              : `multiplies in ${v.product}, which pays with many requests at once`,
            `${v.facts.self}.product`,
          ),
    less: (v, a) =>
      reason(
        single(a) ? "rounds activations too, which pays with many requests at once" : `multiplies in ${v.product}`,
        `${v.facts.self}.product`,
      ),
  },
  {
    id: "smallest",
    says: "For the smallest model: less memory where it is named, else fewer bits a weight.",
    source: "the variants on its page",
    when: (a) => a.purpose === "smallest",
    score: (v, a, bytes) => (ready(v, a) ? 0 : -(bytes ?? v.bits)), // a checkpoint has the width that it has
    why: (v, a) => !ready(v, a) && reason(`${v.bits} bits a weight`, `${v.facts.self}.bits`),
    less: (v) => reason(`is larger, with ${v.bits} bits a weight and what stands beside them`, `${v.facts.self}.bits`),
  },
  {
    id: "kernel",
    says: "For speed on an NVIDIA GPU: a kernel that reads packed weights, or torch.compile where you accept it.",
    source: "kernel_source of each variant",
    when: (a) => speed(a) && !(a.hardware in DEVICES),
    score: (v, a) => (fast(v, a) && enough(v, a) && kernelFrom(v) <= (NVIDIA[a.hardware]?.[1] ?? 99) ? 1 : 0),
    why: (v) =>
      v.kernel === "fused"
        ? reason(`has a kernel that reads packed weights (${v.kernel_source})`, `${v.facts.self}.kernel`)
        : reason("its unpacking is fused into the product by torch.compile", `${v.facts.self}.kernel`),
    less: (v, a) =>
      !enough(v, a)
        ? reason(
            `has a kernel for ${v.kernel_rows} row${v.kernel_rows === "one" ? "" : "s"} at a time, slow for many requests`,
            `${v.facts.self}.kernel_rows`,
          )
        : kernelFrom(v) > (NVIDIA[a.hardware]?.[1] ?? 99)
          ? reason(`has its kernel from compute capability ${kernelFrom(v).toFixed(1)} on`, `${v.facts.self}.kernel`)
          : v.kernel === "compiled"
            ? reason("is slow until compiled", `${v.facts.self}.kernel`)
            : reason("unpacks its weights before each product, which is no faster than bf16", `${v.facts.self}.kernel`),
  },
  {
    id: "cpu-speed",
    says: "For speed on a CPU: what was measured at bf16's speed, or may be within its spread.",
    source: "decode speed over bf16's, on the page Benchmarks",
    when: (a) => speed(a) && a.hardware === "cpu",
    score: (v, a) => (timed(v) && measured(v).speed_high >= 1 && !(measured(v).compiled && a.compile === "no") ? 1 : 0),
    why: (v) => reason(`${decoded(v)}${measured(v).compiled ? ", compiled" : ""}`, figures(v)),
    less: (v) => (timed(v) ? reason(decoded(v), figures(v)) : reason("was not timed on a CPU", `${v.facts.self}.notebook`)),
  },
  {
    id: "kept",
    says: "Libraries with a release in the year before we looked.",
    source: "library, on its page",
    when: () => true,
    score: (v) => (v.kept ? 1 : 0),
    less: (v) => reason(`comes from a library whose last release is of ${v.released}`, v.facts.released),
  },
  {
    id: "compile",
    says: "Where you want torch.compile: what works with it.",
    source: "the torch.compile cell of its page",
    when: (a) => a.compile === "yes",
    score: (v) => ["no", "not verified", "yes"].indexOf(v.cells.torch_compile.answer),
    why: (v) => v.cells.torch_compile.answer === "yes" && reason("works with torch.compile", v.cells.torch_compile.fact),
    less: (v) => reason(`torch.compile: ${v.cells.torch_compile.answer}`, v.cells.torch_compile.fact),
  },
  {
    id: "calibrated",
    says: "Calibrated methods below 4 bits, and at 4 bits where calibration is welcome; else those that need no data.",
    source: "KL from bf16 by width, on the page Benchmarks",
    when: () => true,
    score: (v, a) => {
      if (ready(v, a)) return 1;
      return (v.calibration === "needed") === (v.bits < 4 || (v.bits === 4 && a.calibration === "yes")) ? 1 : 0;
    },
    why: (v, a) =>
      !ready(v, a) &&
      !unwanted(v, a) &&
      (v.calibration === "needed"
        ? reason("corrects its rounding with your texts", v.facts.calibration)
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
    when: (a) => a.purpose !== "finetune" && a.purpose !== "smallest",
    score: (v, a) => (ready(v, a) ? 8 : Math.min(v.bits, 8)),
    why: (v, a) => !ready(v, a) && reason(`${v.bits} bits a weight`, `${v.facts.self}.bits`),
    less: (v) => reason(`holds ${v.bits} bits a weight, further from bf16`, `${v.facts.self}.bits`),
  },
  {
    id: "one-step",
    says: "What from_pretrained quantizes by itself, before what takes another library's calls.",
    source: "the cell 'quantizes on load' of its page",
    when: () => true,
    score: (v, a) => (ready(v, a) || v.cells.quantize_on_load.answer === "yes" ? 1 : 0),
    why: (v, a) => !ready(v, a) && reason("from_pretrained quantizes it", v.cells.quantize_on_load.fact),
    less: (v) => reason("takes its own library's calls", v.cells.quantize_on_load.fact),
  },
  {
    id: "saves",
    says: "What saves and reloads.",
    source: "the cell 'save and reload' of its page",
    when: () => true,
    score: (v) => (v.cells.save_and_reload.answer === "yes" ? 1 : 0),
    why: (v) => reason("saves and reloads", v.cells.save_and_reload.fact),
    less: (v) => reason(`saving and reloading: ${v.cells.save_and_reload.answer}`, v.cells.save_and_reload.fact),
  },
  {
    id: "quality",
    says: "What was measured nearest to bf16.",
    source: "KL from bf16, on the page Benchmarks, to a thousandth of a nat",
    when: () => true,
    score: (v, a) => (ready(v, a) ? 0 : measured(v) ? -Math.round(1000 * measured(v).kl) / 1000 : -Infinity),
    less: (v) =>
      measured(v)
        ? reason(`measured further from bf16 on ${v.numbers.model}: ${divergence(v)}`, figures(v))
        : reason("was not measured on the real model", `${v.facts.self}.measured`),
  },
  {
    id: "lean",
    says: "What takes less memory.",
    source: "the memory calculator",
    when: () => true,
    score: (v, a, bytes) => -(bytes ?? 0),
    less: (v) => reason("takes more memory", `${v.facts.self}.storage`),
  },
];
