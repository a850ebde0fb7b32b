// What rules a variant out, in this order; the first rule that says something counts. A rule is asked of the variant `v`, the
// reader's answers `a`, the bytes that it needs of `model`, and those that its weights hold, quantized and in bf16; it gives a
// reason, or nothing.
import {
  elsewhere,
  fact,
  gib,
  hardware,
  KEYS,
  lacksBf16,
  least,
  machine,
  made,
  methodFact,
  NARROW,
  nearest,
  NVIDIA,
  original,
  place,
  ready,
  refusesMixtures,
  reason,
  room,
  roomText,
  SPARE,
  spare,
  SPARE_OF,
  SPARE_TRAINING,
  trains,
  unwanted,
  words,
} from "./reader.js";
import { forWhom, isFor, isMixture } from "./variant.js";

const LEAST_SAVING = 0.1; // of bf16's memory: what saves less is no answer to "it must fit"
const LEAST_AGREEMENT = 0.1; // of likeliest tokens with bf16's on the real model: below it a text is noise
const plain = (name) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
const yours = (a) => (a.checkpoint === "none" ? ", and there is none" : `; yours is ${a.checkpointName}`);

export const EXCLUSIONS = [
  {
    id: "engine",
    says: "It must run where you want to run it.",
    source: "the engine's page, read in its source",
    test: (v) =>
      v.loads &&
      v.loads.answer === "no" &&
      reason(v.loads.known ? `is not loaded by ${v.loads.title}` : `has no format that ${v.loads.title} loads`, v.loads.fact),
  },
  {
    id: "engine-only",
    says: "What an engine loads for certain models alone needs one of them.",
    source: "the engine's page",
    test: (v, a, bytes, model) =>
      Boolean(model && v.loads?.only) &&
      !v.loads.only.split(/[,;]| and /).some((name) => plain(name) && plain(model.name).includes(plain(name))) &&
      reason(`is loaded by ${v.loads.title} for some models alone: ${v.loads.only}`, v.loads.fact),
  },
  {
    id: "dtype",
    says: "On a GPU without bf16, the engine must run the model in float16.",
    source: "needs_bf16, on the engine's page",
    test: (v, a, bytes, model) =>
      v.loads &&
      lacksBf16(a) &&
      v.loads.engine.needs_bf16.includes(model?.model_type) &&
      reason(`${v.loads.title} runs this model in float32 here, and unquantized`, `engine:${a.engine}.needs_bf16`),
  },
  {
    id: "hardware",
    says: "It must run on the hardware.",
    source: "the hardware cells of its page",
    test: (v, a) =>
      a.hardware &&
      hardware(v, a).answer === "no" &&
      reason(
        `does not run on ${v.loads ? `${machine(a)} in ${v.loads.title}` : place(a)}${words(hardware(v, a))}`,
        hardware(v, a).fact,
      ),
  },
  {
    id: "capability",
    says: "An NVIDIA GPU must have a compute capability on which it runs.",
    source: "the check in the library, or what its kernel is built for, named on its page",
    test: (v, a) => {
      const { capability, not_from: end, fact: bound } = hardware(v, a) ?? {};
      if (least(a) === null || !(capability || end)) return null;
      const begins = `${NVIDIA[a.hardware][0]} begins at ${least(a).toFixed(1)}`;
      if (Number(capability ?? 0) > least(a)) return reason(`asks for compute capability ${capability}; ${begins}`, bound);
      return end && Number(end) <= least(a) && reason(`does not run from compute capability ${end} on; ${begins}`, bound);
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
      reason(`only loads checkpoints in its own format${yours(a)}`, v.facts.calibration, methodFact(v, KEYS)),
  },
  {
    id: "mixture",
    says: "What an engine refuses for mixtures of experts is not taken for one.",
    source: "formats, on the engine's page",
    test: (v, a, bytes, model) =>
      v.loads &&
      refusesMixtures(v.loads, a) &&
      isMixture(model) &&
      reason(`is refused by ${v.loads.title} for a mixture of experts`, v.loads.fact),
  },
  {
    id: "only-models",
    says: "What is for certain models alone needs one of them, or a checkpoint where the model is open.",
    source: "only_models, and mixtures of a variant, on its page",
    test: (v, a, bytes, model) =>
      !isFor(v, model) &&
      (model || !ready(v, a)) &&
      reason(`is for ${forWhom(v)} alone`, v.mixtures ? fact(v, "mixtures") : methodFact(v, "only_models")),
  },
  {
    id: "published",
    says: "What a model's maker publishes quantized is not quantized otherwise while it loads.",
    source: "Transformers 5.23.0, quantizers/auto.py: another configuration than the checkpoint's raises ValueError",
    test: (v, a, bytes, model) =>
      a.published &&
      !v.loads &&
      !ready(v, a) &&
      !original(v, model) &&
      reason(
        `quantizes 16-bit weights, and this model is published in ${a.published}: dequantize and save it first`,
        v.facts.formats,
      ),
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
      trains(a) &&
      v.cells.peft.answer === "no" &&
      reason(`cannot be fine-tuned with PEFT${words(v.cells.peft)}`, v.cells.peft.fact),
  },
  {
    id: "saves",
    says: "What must be saved, or run by another engine, must be savable, unless a checkpoint in its format is at hand.",
    source: "the cell 'save and reload' of its page",
    test: (v, a) =>
      (a.saving === "yes" || elsewhere(a)) &&
      v.cells.save_and_reload.answer === "no" &&
      !ready(v, a) &&
      reason(`cannot be saved and loaded again${words(v.cells.save_and_reload)}`, v.cells.save_and_reload.fact),
  },
  {
    id: "unpacked",
    says: "It must save memory, unless a checkpoint in its format is at hand.",
    source: "the memory calculator's formula",
    test: (v, a) =>
      v.runs === "unpacked" &&
      !ready(v, a) &&
      reason(
        `is unpacked to bf16 before it runs in ${v.loads?.title ?? "Transformers"}, which saves no memory`,
        v.loads?.fact ?? fact(v, "runs"),
      ),
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
        `${v.numbers ? "" : "is narrower than what "}agreed with bf16 on only ${(100 * nearest(v).top1).toFixed(0)} % of ` +
          `tokens of ${nearest(v).model}`,
        `number:${nearest(v).id}`,
      ),
  },
  {
    id: "saves-little",
    says: `Its weights must take ${100 * LEAST_SAVING} % less than in bf16, unless a checkpoint in its format is at hand.`,
    source: "the memory calculator; the line is this guide's judgement",
    test: (v, a, bytes, model, held) =>
      model &&
      held.quantized > (1 - LEAST_SAVING) * held.bf16 &&
      !ready(v, a) &&
      reason(
        `stores ${gib(held.quantized)} of the ${gib(held.bf16)} that this model's weights take in bf16`,
        fact(v, "storage"),
      ),
  },
  {
    id: "memory",
    says:
      `It must fit, with ${100 * SPARE} % to spare, ${100 * SPARE_OF.vllm} % in vLLM, which takes no more of a GPU, and ` +
      `${100 * SPARE_TRAINING} % where fine-tuning is not counted.`,
    source: "the memory calculator; what is spared is this guide's judgement",
    test: (v, a, bytes) =>
      bytes &&
      a.memory &&
      bytes > (1 - spare(a)) * room(a) &&
      reason(
        bytes > room(a)
          ? `needs about ${gib(bytes)}, more than ${roomText(a)}`
          : `needs about ${gib(bytes)}, which leaves less than ${100 * spare(a)} % of ${roomText(a)}`,
        fact(v, "storage"),
      ),
  },
];
