// Bytes of a file that gives tensors different types of blocks, as llama.cpp's mixtures do. The same as
// guide/calculator/mixing.py, which says more; tests hold both to the same bytes. What is not quantized is in float32.
// A rule is [which tensors, in which layers, weights of a block and its bytes, the same for rows that these do not fit].

const HEADS = 4; // queries that share a key, from which on the rules give values more bits
const NAMED = {
  values: /(^|\.)(v_proj|qkv_proj|query_key_value|c_attn)$/,
  down: /(down_proj|dense_4h_to_h|mlp\.c_proj|fc2|fc_out)$/,
  out: /(o_proj|attention\.dense|self_attn\.dense|attn\.c_proj|attn\.out_proj)$/,
};

const ALONE = /(^|\.)(wpe|conv1d)$/; // positions and convolutions, which are never quantized

/** Whether a tensor is quantized; one of another class than nn.Linear is, where it has two sides. */
export const packs = ({ part, name, columns }, quantizes) =>
  columns !== 1 && !ALONE.test(name) && quantizes.includes(part === "other" ? "linear" : part);

const most = (tensors, wanted) => tensors.reduce((rows, one) => (wanted(one) ? Math.max(rows, one.rows) : rows), 0);

/** What the rules ask of a model. */
function about(tensors) {
  const [queries, keys] = ["q_proj", "k_proj"].map((name) => most(tensors, (one) => one.name.endsWith(name)));
  return {
    tied: !tensors.some(({ part }) => part === "head"),
    experts: most(tensors, ({ part }) => part === "router") || 1,
    shared: keys ? queries / keys : 1,
  };
}

function means(which, { part, name }, { tied }) {
  if (which === "output") return part === "head" || (tied && part === "embedding");
  if (which === "embedding" || which === "experts") return part === which;
  return which === "rest" || (["linear", "experts", "other"].includes(part) && NAMED[which].test(name));
}

/** How many layers a rule means; "more" are those in which llama.cpp's use_more_bits gives more. */
function layersOf(where, layers, shared) {
  const eighth = Math.floor(layers / 8);
  const more = (n) => n < eighth || n >= Math.floor((7 * layers) / 8) || (n - eighth) % 3 === 2;
  switch (where) {
    case "more":
      return Array.from({ length: layers }, (_, n) => n).filter(more).length;
    case "shared":
      return shared >= HEADS ? layers : 0;
    case "two":
      return Math.min(2, layers);
    case "8th":
      return eighth;
    case "16th":
      return Math.floor(layers / 16);
  }
  return layers;
}

/** Bytes of what is quantized, `packed`, and of the parts that are not by their names, `others`. */
export function mixed(tensors, { quantizes, mix }) {
  const model = about(tensors);
  const found = { packed: 0, others: {} };
  for (const tensor of tensors) {
    const { part, rows, columns, count } = tensor;
    if (!packs(tensor, quantizes)) {
      found.others[part] = (found.others[part] ?? 0) + 4 * rows * columns * count;
      continue;
    }
    const layers = Math.max(1, Math.round(count / (part === "experts" ? model.experts : 1)));
    let left = layers;
    for (const [which, where, ...blocks] of mix) {
      if (!left || !means(which, tensor, model)) continue;
      const taken = Math.min(left, layersOf(where, layers, model.shared));
      left -= taken;
      const wide = part === "other" ? rows : columns; // GPT-2's are inputs × outputs
      const [weights, bytes] = blocks.find(([each]) => wide % each === 0) ?? [1, 2]; // float16 where none fits
      found.packed += ((taken * count) / layers) * ((rows * columns) / weights) * bytes;
    }
  }
  return found;
}
