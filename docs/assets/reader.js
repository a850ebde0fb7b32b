// What a reader's answers mean, and what the facts say of a variant under them. Answers are texts, "" where a question is left
// open. A reason names its facts: paths below `methods` in facts.json, the one place where facts stand, or below `engines`
// ("engine:") and `formats` ("format:") there, or a record of measures ("number:").
import { GIB } from "./counting.js";

export const NVIDIA = {
  volta: ["Volta (V100)", 7.0],
  turing: ["Turing (T4, RTX 20)", 7.5],
  ampere: ["Ampere (A100, A10, RTX 30)", 8.0],
  ada: ["Ada (L4, L40S, RTX 40)", 8.9],
  hopper: ["Hopper (H100, H200)", 9.0],
  blackwell: ["Blackwell, data centre (B200, B300)", 10.0],
  blackwell_rtx: ["Blackwell, RTX (RTX 50, RTX PRO 6000)", 12.0],
};
export const DEVICES = {
  cdna: "AMD Instinct",
  rdna: "AMD Radeon",
  intel_gpu: "Intel GPU",
  apple: "Apple GPU",
  cpu: "CPU",
};
const AMD = new Set(["cdna", "rdna"]); // which the methods' pages answer for in one cell
const BF16_FROM = 8.0; // compute capability, by torch.cuda.is_bf16_supported; torch emulates it below, and Inductor skips it
// Compute capability from which tensor cores multiply in it, by NVIDIA's table: below, a kernel unpacks to 16 bit.
const PRODUCTS_FROM = { int8: 7.5, fp8: 8.9, fp4: 10.0 };
// The same elsewhere: MI300 and newer, as AMD Instinct without a card counts, and RX 9000 (vLLM 0.32.0, scaled_mm/pytorch.py,
// _rocm_torch_fp8_scaled_mm_supported). Intel GPUs unpack the weights (scaled_mm/xpu.py, XPUW8A16FP8LinearKernel). On a CPU it
// takes AMX-FP8, which few have (scaled_mm/cpu.py).
const FP8_ON = new Set(["cdna", "cdna3", "cdna4", "rdna4"]);
const TRITON_FROM = 8.0; // compute capability that Triton's README asks for; torch.compile writes its kernels
export const NARROW = 4; // bits: below, a model is far from bf16
export const SPARE = 0.05; // of the memory that is left, since what stands beside weights and cache is estimated
export const SPARE_OF = { vllm: 0.08 }; // an engine's own: vLLM 0.32.0 takes 92 % of a GPU, gpu_memory_utilization
export const SPARE_TRAINING = 0.15; // the same where gradients, optimizer and their activations come on top, uncounted
export const SEVERAL = 8; // sequences at once for one who serves many: with fewer, 4 bits serve more readers than 8
export const AMPLE = 0.1; // of the memory: what leaves less is not called ample
// What macOS lets a GPU take of a Mac's memory unless iogpu.wired_limit_mb says more: two thirds, and three quarters of more
// than 36 GiB. Metal's recommendedMaxWorkingSetSize, as llama.cpp prints it: 10922.67 of 16384 MB (abetlen/llama-cpp-python
// issue 687), 49152 of 65536 (ggml-org/llama.cpp issue 1870).
const APPLE_SHARE = (gibibytes) => (gibibytes > 36 ? 3 / 4 : 2 / 3);

export const single = (a) => (a.purpose || "single") === "single"; // an open purpose counts as one user
export const speed = (a) => single(a) || a.purpose === "throughput";
export const trains = (a) => a.purpose === "finetune"; // which is done in Transformers, whatever runs the result
export const elsewhere = (a) => Boolean(a.engine) && a.engine !== "transformers" && !trains(a);
/** The device whose cell a method's page has. */
export const device = (a) => (a.hardware in NVIDIA ? "nvidia" : AMD.has(a.hardware) ? "amd" : a.hardware);
export const spare = (a) => (trains(a) && !a.counted ? SPARE_TRAINING : (elsewhere(a) && SPARE_OF[a.engine]) || SPARE);
/** GiB that a model may take of one device; null where its memory is left open. */
export const memoryOf = (a) => a.memory && (a.hardware === "apple" ? APPLE_SHARE(a.memory) * a.memory : a.memory);
/** Bytes of memory, over all GPUs. */
export const room = (a) => (a.gpus || 1) * memoryOf(a) * GIB;
const short = (gibibytes) => String(Math.round(10 * gibibytes) / 10);
export const roomText = (a) => `${a.gpus > 1 ? `${a.gpus} × ` : ""}${short(memoryOf(a))} GiB`;
export const gib = (bytes) => `${(bytes / GIB).toFixed(1)} GiB`;
/** Whether a variant loads the checkpoint at hand, which is told by its format, or by its key where no format has it. */
export const ready = (v, a) => v.formats.includes(a.checkpoint) || (!v.formats.length && v.keys.includes(a.checkpoint));
export const unwanted = (v, a) => a.calibration === "no" && v.calibration === "needed" && !ready(v, a); // its calibration
/** Whether the maker of a model publishes it so. */
export const original = (v, model) => Boolean(model) && v.originals.includes(model.id);
export const made = (v) => v.calibration !== "made elsewhere";
export const place = (a) =>
  a.hardware in NVIDIA ? "an NVIDIA GPU" : `this hardware (${a.seriesName ?? DEVICES[a.hardware]})`;
export const machine = (a) => NVIDIA[a.hardware]?.[0] ?? place(a);
/** The answer for the hardware: that of a card's series or of the generation, where an engine gives one, else the device's. */
export const hardware = (v, a) => v.cells[a.series] ?? v.cells[a.hardware] ?? v.cells[device(a)];
export const unverified = (v, a) => Boolean(a.hardware) && hardware(v, a).answer !== "yes";
export const beyond = (v, a) => v.bits < NARROW && a.purpose !== "smallest" && !ready(v, a); // narrower than was asked for
export const least = (a) => NVIDIA[a.hardware]?.[1] ?? null; // compute capability of the generation
export const lacksBf16 = (a) => least(a) !== null && least(a) < BF16_FROM;
/** In what the product runs on the hardware: without units for it, narrow weights are unpacked to 16 bit on the way. */
export const productOn = (v, a) => {
  const from = PRODUCTS_FROM[v.product] ?? 0;
  const emulated = v.product === "fp4" || (v.product === "fp8" && !FP8_ON.has(a.series || a.hardware)); // fp4: vLLM #35733
  const lacks = a.hardware in DEVICES ? emulated : (least(a) ?? 99) < from;
  return lacks ? "16-bit" : v.product;
};
/** What an engine's server is told to hold a model's cache in 8 bits, "" where it does so unasked; undefined where none. */
export const cacheFlag = ({ flags: { cache = [] } }, a, { config, model_type: type, bounded }) =>
  cache.find(
    ({ places, heads, latent, full, without }) =>
      !(places && a.hardware && !places.includes(a.series || a.hardware)) &&
      !(heads && !heads.includes(config.head_dim)) &&
      !(config.kv_lora_rank && !latent) &&
      !(full && bounded) &&
      !without?.includes(type),
  )?.flag;
/** Whether a place is one of a list: the hardware, or the part of it that a card is. */
export const isOn = (places, a) => places.some((one) => one === "everywhere" || one === a.series || one === a.hardware);
/** Whether an engine refuses a format of a mixture of experts there. */
export const refusesMixtures = ({ no_experts: places = [] }, a) => isOn(places, a);
export const kernelFrom = (v) => Math.max(Number(v.kernel_capability ?? 0), v.kernel === "compiled" ? TRITON_FROM : 0);
export const enough = (v, a) => a.purpose !== "throughput" || !v.kernel_rows; // its kernel is for as many rows
/** Whether torch.compile may be used: it takes a cache of fixed size, which is not quantized. */
export const compiled = (a) => a.compile !== "no" && !(a.cache < 16);
/** Whether it has a kernel for the work on this hardware, or torch.compile makes one. */
export const fast = (v, a) =>
  (v.kernel === "fused" || (v.kernel === "compiled" && compiled(a))) && enough(v, a) && kernelFrom(v) <= (least(a) ?? 99);
export const nearest = (v) => v.numbers ?? v.wider;
export const timed = (v) => v.numbers?.speed;
/** Measured at bf16's speed on a CPU, or within its spread. */
export const fastOnCpu = (v, a) =>
  Boolean(timed(v)) && v.numbers.speed_high >= 1 && !(v.numbers.compiled && a.compile === "no");
export const words = (cell) => (cell.note ? `: ${cell.note}` : "");
export const reason = (text, ...facts) => ({ text, facts });
export const KEYS = "transformers.keys"; // of a method, as its page has them
/** Whether a variant is a method's; the others are what only other engines make. */
export const ofMethod = (v) => v.facts.self.startsWith(`${v.method}.`);
/** The path of a fact of a variant's method; what is no method's has one place for all. */
export const methodFact = (v, field) => (ofMethod(v) ? `${v.method}.facts.${field}` : v.facts.self);
/** The path of a variant's fact; some of what another engine runs are the engine's. */
export const fact = (v, field) => v.cites?.[field] ?? `${v.facts.self}.${field}`;
