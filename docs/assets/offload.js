// What stays on a GPU that is too small, where accelerate's device_map="auto" leaves the other layers in the CPU's memory.

/**
 * {layers, bytes}: how many whole layers the GPU keeps, and what the CPU's memory takes; null where not even cache, embeddings
 * and the layer at work have room. `found` is what counting.js counts, `room` the GPU's bytes. Layers count as alike.
 */
export function offloaded(model, found, room) {
  const { embedding, head, total } = found.held;
  const layer = (total - embedding - head) / model.layers;
  const left = room - found.own - found.cached - embedding - layer; // a layer that is not kept is brought in to work
  if (left < 0) return null;
  const layers = Math.min(model.layers, Math.floor(left / layer));
  return { layers, bytes: Math.ceil(total - embedding - layers * layer) };
}
