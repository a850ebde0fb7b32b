// What training LoRA adapters takes beside the frozen weights. The same as guide/calculator/training.py; tests hold both to
// the same bytes. Expressions of what a step holds stand in training/, a file for each family.
// `train` is {targets, rank, adapter, optimizer, checkpointed, peaks}: "all-linear" or "query-value"; the adapters' rank;
// "float32", "autocast" (float32 with bf16 arithmetic) or "bfloat16"; "adamw" or "8-bit"; the file of the model's family.
import { layerKinds, value, windowsOf } from "./architecture.js";

// bitsandbytes 0.50.2, bitsandbytes/optim/optimizer.py: of tensors with fewer weights than min_8bit_size the states stay in
// float32; of others a byte a weight, and a float32 a block (blocksize in init_state), for each of two moments.
const LEAST_IN_8BIT = 4096;
const BLOCK = 256;
const QUERY_VALUE = /[qv]_proj$/;
// By quant_method, whose other weights prepare_model_for_kbit_training leaves as they are (PEFT 0.21.2, peft/utils/other.py).
const LEFT = new Set(["gptq", "aqlm", "eetq", "hqq", "torchao"]);

/** Whether training above a variant is as above bitsandbytes' 4-bit weights, which was measured; else it is as above bf16. */
export const asFourBit = (variant) => Boolean(variant) && !variant.keys.some((key) => LEFT.has(key));

/** Whether training makes float32 of what a variant leaves in 16 bit; the hidden states are then float32, too. */
export const widens = (variant, { adapter }) => asFourBit(variant) && adapter !== "bfloat16";

/** The bytes of both moments of a matrix. */
function moments(size, optimizer, bytes) {
  if (optimizer !== "8-bit") return 2 * bytes * size;
  return 2 * (size < LEAST_IN_8BIT ? 4 * size : size + 4 * Math.ceil(size / BLOCK));
}

/** How many weights are trained; bytes of the adapters, their gradients and the optimizer's states. */
export function adapters(tensors, { targets, rank, adapter, optimizer }) {
  const bytes = adapter === "bfloat16" ? 2 : 4;
  const found = { trained: 0, adapters: 0, gradients: 0, states: 0 };
  for (const { part, name, rows, columns, count } of tensors) {
    if (part !== "linear" || (targets !== "all-linear" && !QUERY_VALUE.test(name))) continue;
    for (const size of [rank * rows, rank * columns]) {
      found.trained += size * count;
      found.states += moments(size, optimizer, bytes) * count;
    }
  }
  return { ...found, adapters: bytes * found.trained, gradients: bytes * found.trained };
}

/** The most bytes that a pass forward and backward holds beside all that; null where that was not measured. */
export function held({ family, config }, fourBit, { targets, rank, adapter, checkpointed, peaks }, tokens, batch) {
  const kind = windowsOf(family, config).some((window) => tokens > window) ? "windowed" : "plain";
  const way = `${fourBit ? "4-bit" : "bf16"} ${adapter} ${targets}${checkpointed ? " checkpointed" : ""}`;
  const expressions = peaks?.[kind]?.[way];
  if (!expressions) return null;
  const layers = Object.fromEntries(layerKinds(family, config).map((many, number) => [`layers${number}`, many]));
  const known = { ...config, tokens, batch, rank, ...layers };
  return expressions.reduce((most, one) => Math.max(most, value(one, known)), 0);
}
