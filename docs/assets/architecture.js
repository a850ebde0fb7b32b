// What a config.json says of a model's tensors and its cache, from architectures.json. guide/architecture.py is the same in
// Python, and tests/test_architecture.py holds both to the same figures. Nothing here knows any architecture by name.

const LARGEST = 10000000;
const MOST_LAYERS = 10000;
const REQUIRED = ["hidden_size", "num_hidden_layers"];
const has = (object, key) => Object.prototype.hasOwnProperty.call(object, key);
const absent = (thing) => thing === null || thing === undefined;
const isObject = (thing) => typeof thing === "object" && thing !== null && !Array.isArray(thing);

/** A sum of products such as "2*num_key_value_heads*head_dim+-1": integers and fields. */
export function value(expression, config) {
  const factor = (name) => (has(config, name) ? config[name] : Number(name));
  const product = (term) => term.split("*").reduce((total, name) => total * factor(name), 1);
  return expression.split("+").reduce((total, term) => total + product(term), 0);
}

function holds(rule, layer, config) {
  const [kind, first, second] = rule;
  switch (kind) {
    case "all": return true;
    case "is": return config[first][layer] === second;
    case "in": return (config[first] || []).includes(layer);
    case "below": return layer < value(first, config);
    case "every": return layer % value(first, config) === value(second, config);
    case "set": return Boolean(config[first]);
    case "not": return !holds(first, layer, config);
    case "and": return rule.slice(1).every((one) => holds(one, layer, config));
  }
  throw new Error(`unknown rule ${JSON.stringify(rule)}`);
}

/** A default: a constant, "=field", "=field/field", or for a list by layer [[rule, value], ...]. */
function defaultOf(rule, config) {
  if (Array.isArray(rule) && Array.isArray(rule[0])) {
    return Array.from({ length: config.num_hidden_layers }, (_, layer) => rule.find(([when]) => holds(when, layer, config))[1]);
  }
  if (typeof rule === "string" && rule.startsWith("=")) {
    const [above, below] = rule.slice(1).split("/");
    if (config[above] === null) return null;
    return below ? Math.floor(config[above] / config[below]) : config[above];
  }
  return rule;
}

/** {model_type, family, config, notes} of a config.json's text, or {problem}: one sentence saying what is wrong. */
export function readConfig(text, families, refused = {}) {
  let raw;
  try {
    raw = JSON.parse(text);
  } catch {
    return { problem: "This is not JSON: paste the whole of a model's config.json, from { to }." };
  }
  if (!isObject(raw)) {
    return { problem: "This is JSON, but no object: paste the whole of a model's config.json, from { to }." };
  }
  const notes = [];
  if (has(raw, "quantization_config")) {
    notes.push("The config has a quantization_config; sizes are computed from the shapes before quantization.");
  }
  const inner = raw.text_config;
  if (isObject(inner)) {
    if (has(families, inner.model_type)) {
      notes.push(`Only the language model (text_config, ${inner.model_type}) is counted, no image or audio part.`);
    }
    raw = { ...(has(raw, "tie_word_embeddings") ? { tie_word_embeddings: raw.tie_word_embeddings } : {}), ...inner };
  }
  const name = raw.model_type;
  if (typeof name !== "string") {
    return { problem: "The config has no model_type, which names the architecture: paste a config.json as it is published." };
  }
  if (!has(families, name) && has(refused, name)) {
    return { problem: `The shapes of ${name} could not be derived, so there are no figures for it: ${refused[name]}.` };
  }
  if (!has(families, name)) {
    const known = Object.keys(families).sort();
    return { problem: `The model_type ${name} is not among the ${known.length} architectures this page knows: ${known.join(", ")}.` };
  }
  const family = families[name];
  for (const [other, field] of Object.entries(family.names)) {
    if (has(raw, other) && !has(raw, field)) raw = { ...raw, [field]: raw[other] };
  }
  const missing = REQUIRED.find((field) => absent(raw[field]));
  if (missing) return { problem: `The config lacks ${missing}: paste a complete config.json of a ${name} model.` };
  for (const [field, wanted] of Object.entries(family.fixed)) {
    if (has(raw, field) && raw[field] !== null && !wanted.includes(raw[field])) {
      const known = wanted.map((one) => JSON.stringify(one)).join(" and ");
      return { problem: `The config sets ${field} to ${JSON.stringify(raw[field])}; the shapes of ${name} are known only for ${known}.` };
    }
  }
  const config = {};
  const defaults = [];
  for (const [field, rule] of Object.entries(family.fields)) {
    // Some fields only say what the lists by layer are, and don't matter where those are given.
    if (family.for_lists.includes(field) && Object.keys(family.lists).every((one) => !absent(raw[one]))) continue;
    const nullable = family.nullable.includes(field);
    const lowest = family.from_zero.includes(field) ? 0 : 1;
    let given = has(raw, field) ? raw[field] : null;
    if (given === null && !(nullable && has(raw, field))) {
      given = defaultOf(rule, config);
      if (!has(raw, field)) defaults.push(field);
      if (given === "required" || (given === 0 && lowest === 1)) {
        return { problem: `The config lacks ${field} and it cannot be computed from the others: add it.` };
      }
    }
    const highest = field === "num_hidden_layers" ? MOST_LAYERS : LARGEST;
    const whole = Number.isInteger(given) && lowest <= given && given <= highest;
    if (!(given === null && nullable) && !whole) {
      const shown = JSON.stringify(given);
      return { problem: `The config's ${field} is ${shown}; it must be a whole number from ${lowest} to ${highest}.` };
    }
    config[field] = given;
  }
  for (const [field, rule] of Object.entries(family.switches)) {
    config[field] = has(raw, field) && raw[field] !== null ? raw[field] : rule;
    if (typeof config[field] !== "boolean") {
      return { problem: `The config's ${field} is ${JSON.stringify(config[field])}; it must be true or false.` };
    }
  }
  for (const [field, known] of Object.entries(family.lists)) {
    let given = has(raw, field) ? raw[field] : null;
    const letters = known.letters || {};
    if (given === null && typeof raw[letters.field] === "string") {
      given = Array.from(raw[letters.field], (letter) => (has(letters.kinds, letter) ? letters.kinds[letter] : letter));
    }
    if (given === null && known.default === "required") {
      return { problem: `The config lacks ${field}, from which follows which layer is what: add it.` };
    }
    if (given === null) {
      given = defaultOf(known.default, config);
    } else if (!Array.isArray(given) || (known.values.length && given.length !== config.num_hidden_layers)) {
      return { problem: `The config's ${field} must be a list with one entry for each of its num_hidden_layers.` };
    }
    const strange = known.values.length ? (given || []).findIndex((one) => !known.values.includes(one)) : -1;
    if (strange >= 0) {
      const values = known.values.map((one) => JSON.stringify(one)).join(", ");
      return { problem: `The config's ${field} has ${JSON.stringify(given[strange])}; known for ${name} are ${values}.` };
    }
    config[field] = given;
  }
  if (defaults.length) {
    const shown = defaults.map((field) => `${field} = ${config[field]}`).join(", ");
    notes.push(`Not in the config, so Transformers' defaults: ${shown}.`);
  }
  return { model_type: name, family, config, notes };
}

function layersOf(rule, config) {
  let count = 0;
  for (let layer = 0; layer < config.num_hidden_layers; layer++) count += holds(rule, layer, config) ? 1 : 0;
  return count;
}

const applies = (entry, config) =>
  Object.entries(entry.when || {}).every(([field, wanted]) => Boolean(config[field]) === wanted);

/** Every parameter tensor as {part, name, rows, columns, count}; a tied head is not listed, as it is no tensor. */
export function tensors(family, config) {
  const found = [];
  for (const entry of family.tensors) {
    const count = (entry.layers ? layersOf(entry.layers, config) : 1) * value(entry.count || "1", config);
    if (count && applies(entry, config)) {
      const [rows, columns] = [entry.rows, entry.columns].map((side) => value(side || "1", config));
      found.push({ part: entry.part, name: entry.name, rows, columns, count });
    }
  }
  return found;
}

export function parameterCount(found) {
  return found.reduce((total, one) => total + one.rows * one.columns * one.count, 0);
}

/**
 * What Transformers' DynamicCache holds after `context` tokens of `batch` sequences: {elements, constant_bytes}.
 * elements: numbers of keys and values (two bytes each at 16 bits, one at 8), sliding windows applied.
 * constant_bytes: recurrent and convolution states, which don't grow with the context, as a bf16 model holds them.
 */
export function cache(family, config, context, batch) {
  const total = { elements: 0, constant_bytes: 0 };
  for (const entry of family.cache) {
    if (!applies(entry, config)) continue;
    const layers = layersOf(entry.layers, config);
    const bounded = entry.window && entry.window.split("+").every((name) => config[name] !== null);
    const held = bounded ? Math.min(context, value(entry.window, config)) : context;
    total.elements += batch * layers * held * value(entry.per_token || "0", config);
    for (const [state, size] of entry.states || []) total.constant_bytes += batch * layers * size * value(state, config);
  }
  return total;
}
