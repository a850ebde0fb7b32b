// What a config.json says of a model's tensors and its cache, from architectures.json. The same as guide/calculator/shapes.py;
// tests hold both to the same figures. Nothing here knows any architecture by name.

const LARGEST = 10000000;
const MOST_LAYERS = 10000;
const FILL = 64; // tokens at a time that recurrent layers work on
const REQUIRED = ["hidden_size", "num_hidden_layers"];
const has = (object, key) => Object.prototype.hasOwnProperty.call(object, key);
const absent = (thing) => thing === null || thing === undefined;
const isObject = (thing) => typeof thing === "object" && thing !== null && !Array.isArray(thing);

/** A sum of products such as "2*num_key_value_heads*head_dim+-1": integers, fields, and quotients of two fields. */
export function value(expression, config) {
  const factor = (name) => {
    const [above, below] = name.split("/");
    if (below) return Math.floor(config[above] / config[below]);
    return has(config, name) ? config[name] : Number(name);
  };
  const product = (term) => term.split("*").reduce((total, name) => total * factor(name), 1);
  return expression.split("+").reduce((total, term) => total + product(term), 0);
}

function holds(rule, layer, config) {
  const [kind, first, second] = rule;
  switch (kind) {
    case "all":
      return true;
    case "is":
      return config[first][layer] === second;
    case "in":
      return (config[first] || []).includes(layer);
    case "below":
      return layer < value(first, config);
    case "every":
      return layer % value(first, config) === value(second, config);
    case "set":
      return Boolean(config[first]);
    case "not":
      return !holds(first, layer, config);
    case "and":
      return rule.slice(1).every((one) => holds(one, layer, config));
  }
  throw new Error(`unknown rule ${JSON.stringify(rule)}`);
}

/** A default: a constant, "=4*field", "=field/field", [[rule, value], ...] by layer, or ["numbers", rule] of layers. */
function defaultOf(rule, config) {
  if (Array.isArray(rule) && Array.isArray(rule[0])) {
    return Array.from(
      { length: config.num_hidden_layers },
      (_, layer) => rule.find(([when]) => holds(when, layer, config))[1],
    );
  }
  if (Array.isArray(rule) && rule[0] === "numbers") {
    return Array.from({ length: config.num_hidden_layers }, (_, layer) => layer).filter((layer) =>
      holds(rule[1], layer, config),
    );
  }
  if (typeof rule === "string" && rule.startsWith("=")) {
    const [above] = rule.slice(1).split("/");
    return has(config, above) && config[above] === null ? null : value(rule.slice(1), config);
  }
  return rule;
}

/** What is wrong with a config, in one sentence. */
class Problem extends Error {}

const TIED = "tie_word_embeddings";
const LONGEST = 80; // characters of a value that is shown
const ALWAYS = { per_layer_config: [null], add_cross_attention: [false] }; // of every architecture; others are not known
const INSIDE = ["text_config", "llm_config", "language_config"]; // where the language model of a larger one stands
const OTHERWISE = "choose the model of the list that is nearest to it, or give the selector its number of parameters";
const PER_LAYER = "hidden_size_per_layer_input";
const MASK = "use_bidirectional_attention"; // which changes what is seen, and no shape
const NO_TEXT = "The config lacks text_config, where the language model stands: paste the whole config.json.";
const UNKNOWN = `the shapes of such a model are not known here: ${OTHERWISE}`;
/**
 * The config itself, or that of its language model, which stands in text_config or, in some, beside the rest. `inner` is as
 * in guide/calculator/shapes.py.
 */
function languagePart(raw, inner) {
  const kind = typeof raw.model_type === "string" && has(inner, raw.model_type) ? inner[raw.model_type] : null;
  let part = raw[whereIn(raw)];
  if (!isObject(part)) {
    if (kind && !kind.flat) throw new Problem(NO_TEXT);
    if (!kind) return raw;
    const { [TIED]: _, ...rest } = raw;
    part = rest;
  }
  const found = { ...part };
  if (kind && !(kind.any && has(part, "model_type"))) found.model_type = kind.type;
  if (typeof found.model_type === "string" && has(inner, found.model_type)) found.model_type = inner[found.model_type].type;
  if (kind?.tied) {
    const [above, within] = [raw, part].map((one) => [undefined, true, false].indexOf(one[TIED] ?? undefined));
    if (above >= 0 && within >= 0) found[TIED] = kind.tied[3 * above + within] === "T";
  } else if (has(raw, TIED) && !has(found, TIED)) {
    found[TIED] = raw[TIED];
  }
  return found;
}

const whereIn = (raw) => INSIDE.find((field) => isObject(raw[field])) ?? "text_config";

function familyOf(name, within, families, refused) {
  if (typeof name !== "string") {
    throw new Problem(
      within
        ? "The config's text_config has no model_type: add there the model_type of the language model."
        : "The config has no model_type, which names the architecture: paste a config.json as it is published.",
    );
  }
  if (has(families, name)) return families[name];
  if (has(refused, name)) {
    throw new Problem(`The shapes of ${name} are not known here: ${OTHERWISE}.`);
  }
  const known = Object.keys(families).length;
  throw new Problem(`The model_type ${name} is not among the ${known} architectures this page knows: ${OTHERWISE}.`);
}

/** Throws where the weights are those of another class than the one that is counted, such as a draft head or a classifier. */
function checkClass(whole, within, name, family) {
  const inside = within && whereIn(whole) !== "text_config" ? whole[whereIn(whole)] : {};
  const classes = [inside?.architectures || whole.architectures].flat().filter((one) => typeof one === "string");
  const known = new Set([family.class, ...family.classes].map((one) => one.toLowerCase()));
  const fine = within
    ? classes.some((one) => /(ForConditionalGeneration|ForCausalLM)$/.test(one))
    : classes.some((one) => known.has(one.toLowerCase()));
  if (!classes.length || fine) return;
  const counted = within ? "a language model" : family.class;
  const instead = "put that name in its architectures if it is what you load";
  throw new Problem(`The config is of a ${classes[0]}; what is counted for ${name} is ${counted}: ${instead}.`);
}

/** The config under the names that the family knows its fields by. */
function renamed(raw, name, family) {
  const found = { ...raw };
  for (const [own, field] of Object.entries(family.own)) {
    if (has(found, own) && !has(found, field)) found[field] = found[own];
  }
  for (const [other, field] of Object.entries(family.names)) {
    if (!has(found, other)) continue; // as in Transformers, these win
    if (found[other] === null) throw new Problem(noNull(other, name, "give its number"));
    found[field] = found[other];
  }
  for (const [field, { default: rule, letters }] of Object.entries(family.lists)) {
    const listed = found[field] || found[letters?.field];
    if (absent(found.num_hidden_layers) && rule === "required" && (Array.isArray(listed) || typeof listed === "string")) {
      found.num_hidden_layers = listed.length;
    }
  }
  return found;
}

/** The config with those fields of its own that Transformers saves by layer, for each layer of a kind alike. */
function moved(raw, { moved: { of, fields } = {} }) {
  const { per_layer_config: byLayer, ...kept } = raw;
  if (!of || !isObject(byLayer) || !Array.isArray(raw.layer_types)) return raw;
  const layers = raw.layer_types.flatMap((kind, layer) => (kind === of ? [String(layer)] : []));
  const given = Object.keys(byLayer).map((layer) => layer.replace(/^0+(?=\d)/, ""));
  const [first, ...others] = Object.values(byLayer).map((one) => JSON.stringify(one));
  const names = Object.fromEntries(Object.entries(fields).map(([field, name]) => [name, field]));
  const alike = others.every((one) => one === first) && isObject(JSON.parse(first ?? "0"));
  if (!alike || given.length !== layers.length || !layers.every((layer) => given.includes(layer))) return raw;
  const own = Object.entries(JSON.parse(first));
  if (own.some(([name]) => !has(names, name))) return raw;
  return { ...kept, ...Object.fromEntries(own.map(([name, one]) => [names[name], one])) };
}

const noNull = (field, name, instead) => `The config sets ${field} to null, which a ${name} model can't have: ${instead}.`;

const hasLists = (raw, family) => Object.keys(family.lists).every((field) => !absent(raw[field]));

/** Throws where the config is incomplete, or of a kind whose shapes are not known. `sets` is what the whole model tells. */
function check(raw, within, name, family, sets) {
  const missing = REQUIRED.find((field) => absent(raw[field]) && !(within && !has(raw, field)));
  if (missing) {
    const own = Object.keys(family.own).find((one) => family.own[one] === missing) ?? missing;
    throw new Problem(`The config lacks ${own}: paste a complete config.json of a ${name} model.`);
  }
  const lacking = (family.given ?? []).find((field) => absent(raw[field]) && field !== MASK);
  if (lacking) {
    const all = family.fixed[lacking].map((one) => JSON.stringify(one)).join(" and ");
    throw new Problem(`The config lacks ${lacking}; the shapes of ${name} are known only for ${all}: ${OTHERWISE}.`);
  }
  const unused = hasLists(raw, family) ? family.for_lists : [];
  for (const [field, wanted] of Object.entries({ ...ALWAYS, ...family.fixed })) {
    const given = JSON.stringify(has(raw, field) ? raw[field] : null);
    const known = wanted.map((one) => JSON.stringify(one));
    const told = within && has(sets, field) && given === JSON.stringify(sets[field]);
    if (given === "null" || told || unused.includes(field) || known.includes(given)) continue;
    const shown = [...given].slice(0, LONGEST).join("");
    if (field === PER_LAYER) throw new Problem(`The config has embeddings of each layer (${field} is ${shown}): ${UNKNOWN}.`);
    const all = known.join(" and ");
    throw new Problem(`The config sets ${field} to ${shown}; the shapes of ${name} are known only for ${all}: ${OTHERWISE}.`);
  }
}

/** The field's number from the config, else Transformers' default, which is noted in `defaults`; null where it may be. */
function numberOf(field, raw, name, family, config, defaults) {
  const lowest = family.from_zero.includes(field) ? 0 : 1;
  let given = has(raw, field) ? raw[field] : null;
  if (given === 0 && has(family.switches, `use_${field}`) && !raw[`use_${field}`]) given = null; // as it is saved without it
  if (given === null) {
    if (has(raw, field) && !has(family.nulls, field)) throw new Problem(noNull(field, name, "give its number"));
    given = defaultOf((has(raw, field) ? family.nulls : family.fields)[field], config);
    if (!has(raw, field)) defaults.push(field);
    if (given === "required" || (given === 0 && lowest === 1)) {
      throw new Problem(`The config lacks ${field} and it cannot be computed from the others: add it.`);
    }
    if (given === null) return null;
  }
  const highest = field === "num_hidden_layers" ? MOST_LAYERS : LARGEST;
  if (!Number.isInteger(given) || given < lowest || given > highest) {
    const shown = JSON.stringify(given);
    throw new Problem(`The config's ${field} is ${shown}; it must be a whole number from ${lowest} to ${highest}.`);
  }
  return given;
}

function switchOf(field, raw, name, family) {
  let given = has(raw, field) ? raw[field] : family.switches[field];
  if (given === null) {
    if (!has(family.nulls, field)) throw new Problem(noNull(field, name, "make it true or false"));
    given = family.nulls[field];
  }
  if (typeof given !== "boolean") {
    throw new Problem(`The config's ${field} is ${JSON.stringify(given)}; it must be true or false.`);
  }
  return given;
}

/** A list by layer, which some configs write as letters. */
function listOf(field, raw, name, family, config) {
  const known = family.lists[field];
  const letters = known.letters || {};
  let given = has(raw, field) ? raw[field] : null;
  if (given === null && typeof raw[letters.field] === "string") {
    given = Array.from(raw[letters.field], (one) => (has(letters.kinds, one) ? letters.kinds[one] : one));
  }
  if (given === null && known.default === "required") {
    throw new Problem(`The config lacks ${field}, from which follows which layer is what: add it.`);
  }
  if (given === null) {
    given = defaultOf(known.default, config);
  } else if (!Array.isArray(given) || (known.values.length && given.length !== config.num_hidden_layers)) {
    throw new Problem(`The config's ${field} must be a list with one entry for each of its num_hidden_layers.`);
  }
  if (known.older) given = given.map((one) => (has(known.older, one) ? known.older[one] : one));
  if (known.last && given?.length) given = [...given.slice(0, -1), known.last];
  const strange = known.values.length ? (given || []).findIndex((one) => !known.values.includes(one)) : -1;
  if (strange >= 0) {
    const values = known.values.map((one) => JSON.stringify(one)).join(", ");
    throw new Problem(`The config's ${field} has ${JSON.stringify(given[strange])}; known for ${name} are ${values}.`);
  }
  return given;
}

/** The words of all that a model with these switches has: a field that is not among them may be left out. */
function usedBy(family, switches) {
  const there = [...family.tensors, ...family.cache].filter((one) => applies(one, switches));
  const rules = [...Object.values(family.fields), ...Object.values(family.nulls)];
  return new Set([...REQUIRED, ...JSON.stringify([there, family.lists, rules]).match(/\w+/g)]);
}

/** Every field that the family's shapes ask for, and which of them are defaults. */
function fieldsOf(raw, name, family) {
  const [config, defaults] = [{}, []];
  const switches = Object.fromEntries(
    Object.keys(family.switches).map((field) => [field, switchOf(field, raw, name, family)]),
  );
  const used = usedBy(family, switches);
  const listed = hasLists(raw, family);
  for (const field of Object.keys(family.fields)) {
    // Some fields only say what the lists by layer are, and don't matter where those are given.
    if (listed && family.for_lists.includes(field)) continue;
    const needed = used.has(field) || !absent(raw[field]);
    config[field] = needed ? numberOf(field, raw, name, family, config, defaults) : null;
  }
  Object.assign(config, switches);
  for (const field of Object.keys(family.lists)) config[field] = listOf(field, raw, name, family, config);
  return { config, defaults };
}

/**
 * Whether the class of the whole ties the output head where the config leaves that open, and that of its language model does
 * not: a checkpoint that has both tensors is loaded with both, as modeling_utils.tie_weights of Transformers does.
 */
const tiesBoth = (whole, part, { switches }) =>
  isObject(whole.text_config) && absent(whole[TIED]) && part[TIED] && !(whole.text_config[TIED] ?? switches[TIED]);

function read(whole, families, refused, inner) {
  const part = languagePart(whole, inner);
  const within = part !== whole;
  const name = part.model_type;
  const family = familyOf(name, within, families, refused);
  checkClass(whole, within, name, family);
  const open = tiesBoth(whole, part, family);
  if (open) part[TIED] = false;
  const raw = moved(renamed(part, name, family), family);
  check(raw, within, name, family, (has(inner, whole.model_type) && inner[whole.model_type].sets) || {});
  const { config, defaults } = fieldsOf(raw, name, family);
  const notes = [];
  if (isObject(whole.quantization_config)) {
    notes.push("Shapes are those of the model before its quantization_config; sizes are those of the chosen variant.");
  }
  if ([...INSIDE, "vision_config", "audio_config"].some((field) => within && has(whole, field))) {
    const where = has(whole, whereIn(whole)) ? `${whereIn(whole)}, ` : "";
    notes.push(`Only the language model (${where}${name}) is counted, no image or audio part.`);
  }
  const { num_attention_heads: heads, num_key_value_heads: keys } = config;
  if (heads && keys && heads % keys) {
    notes.push(`No such model runs: num_attention_heads, ${heads}, is no multiple of num_key_value_heads, ${keys}.`);
  }
  if (open) notes.push("An output head is counted; a checkpoint without lm_head has none, and takes that much less.");
  if (defaults.length) {
    const shown = defaults.map((field) => `${field} = ${JSON.stringify(config[field])}`).join(", ");
    notes.push(`Not in the config, so Transformers' defaults: ${shown}.`);
  }
  return { model_type: name, family, config, notes, whole };
}

/** {model_type, family, config, notes, whole} of a config.json, or {problem}: one sentence saying what is wrong. */
export function readConfig(raw, families, refused = {}, inner = {}) {
  try {
    return read(raw, families, refused, inner);
  } catch (error) {
    if (error instanceof Problem) return { problem: error.message };
    throw error;
  }
}

/** The numbers of the layers that a rule means. */
const layersIn = (rule, config) =>
  Array.from({ length: config.num_hidden_layers }, (_, layer) => layer).filter((layer) => holds(rule, layer, config));

/** How many these are; asked for each context, so nothing is made. */
function layersOf(rule, config) {
  let many = 0;
  for (let layer = 0; layer < config.num_hidden_layers; layer++) many += holds(rule, layer, config) ? 1 : 0;
  return many;
}

const applies = (entry, config) =>
  Object.entries(entry.when || {}).every(([field, wanted]) => !has(config, field) || Boolean(config[field]) === wanted);

/** A family's entries of tensors that there are, each with its layers, [null] for what is outside of all, and its count. */
export const present = (family, config) =>
  family.tensors
    .filter((entry) => applies(entry, config))
    .map((entry) => ({ entry, layers: entry.layers ? layersIn(entry.layers, config) : [null] }))
    .map(({ entry, layers }) => ({ entry, layers, count: layers.length && layers.length * value(entry.count || "1", config) }))
    .filter(({ count }) => count);

/** Every parameter tensor as {part, name, rows, columns, count}; a tied head is not listed, as it is no tensor. */
export function tensors(family, config) {
  return present(family, config).map(({ entry: { part, name, rows, columns }, count }) => {
    const [high, wide] = [rows, columns].map((side) => value(side || "1", config));
    return { part, name, rows: high, columns: wide, count };
  });
}

export function parameterCount(found) {
  return found.reduce((total, one) => total + one.rows * one.columns * one.count, 0);
}

/** The tokens that layers with an entry of the cache hold at most; null without such a bound. */
const windowOf = (entry, config) =>
  entry.window && entry.window.split("+").every((name) => config[name] !== null) ? value(entry.window, config) : null;

/**
 * What Transformers' DynamicCache holds after `context` tokens of `batch` sequences: {elements, constant_bytes}.
 * elements: numbers of keys and values (two bytes each at 16 bits, one at 8), sliding windows applied.
 * constant_bytes: recurrent and convolution states, which don't grow with the context, as a bf16 model holds them.
 * `passed` is how many of the tokens went in with the last pass: until the next, a sliding window's layer holds all of them.
 */
export function cache(family, config, context, batch, passed = 0) {
  const total = { elements: 0, constant_bytes: 0 };
  for (const entry of family.cache) {
    if (!applies(entry, config)) continue;
    const layers = layersOf(entry.layers, config);
    const window = windowOf(entry, config);
    const held = window ? Math.min(context, window + passed) : context;
    total.elements += batch * layers * held * value(entry.per_token || "0", config);
    for (const [state, size] of entry.states || []) total.constant_bytes += batch * layers * size * value(state, config);
  }
  return total;
}

/** The bound of each part of the cache that has one. */
export const windowsOf = (family, config) =>
  family.cache
    .filter((entry) => applies(entry, config) && layersOf(entry.layers, config))
    .map((entry) => windowOf(entry, config))
    .filter(Boolean);

/** How many layers have each entry of the cache; one that has none counts with the first. */
export function layerKinds(family, config) {
  const many = family.cache.map(() => 0);
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const kind = family.cache.findIndex((entry) => applies(entry, config) && holds(entry.layers, layer, config));
    many[Math.max(kind, 0)] += 1;
  }
  return many;
}

/**
 * The most bytes that a pass holds beside weights and cache, null for a family without figures. The pass takes `tokens` of
 * each of `batch` sequences, of which there are `context` with it.
 */
export function peak(family, config, tokens, context, batch) {
  if (!family.peaks) return null;
  const windows = windowsOf(family, config);
  const window = Math.min(context, Math.max(0, ...windows) + tokens);
  const filled = FILL * Math.ceil(tokens / FILL);
  const known = { ...config, tokens, filled, context, past: context - tokens, batch, window };
  const kind = windows.some((one) => context > one + 1) ? "windowed" : "plain";
  const moments = (batch > 1 && family.peaks[`${kind} several`]) || family.peaks[kind];
  const call = tokens === 1 ? "step" : tokens === context ? "pass" : "chunk";
  return moments[call].reduce((most, moment) => Math.max(most, value(moment, known)), 0);
}
