// The models that the selector counts: the calculator's presets, and one that stands for another of which only its size is
// known.
import { readModel } from "./counting.js";

const read = new Map(); // by preset, since reading one takes longer than an answer

/** The presets, the smallest first. */
export const presetsOf = ({ presets }) => [...presets].sort((one, other) => one.parameters - other.parameters);

/** A preset as the calculator reads it; null where there is none of this id. */
export function modelOf(id, architectures) {
  const preset = architectures.presets.find((one) => one.id === id);
  if (!preset) return null;
  if (!read.has(preset)) {
    read.set(preset, { ...readModel(JSON.stringify(preset.config), preset, architectures), hub: preset.model });
  }
  return read.get(preset);
}

/** The preset without experts that is nearest in size, scaled to so many parameters: weights and cache, not what is beside. */
export function modelLike(parameters, architectures) {
  const dense = architectures.presets.filter(({ id }) =>
    modelOf(id, architectures).tensors.every(({ part }) => part !== "experts"),
  );
  const far = (preset) => Math.abs(Math.log(preset.parameters / parameters));
  const nearest = dense.reduce((one, other) => (far(other) < far(one) ? other : one));
  const scale = parameters / nearest.parameters;
  const model = modelOf(nearest.id, architectures);
  const tensors = model.tensors.map((tensor) => ({ ...tensor, count: tensor.count * scale }));
  return {
    ...model,
    id: null,
    hub: null,
    like: model.name,
    name: `A model of ${parameters / 1e9} billion parameters`,
    tensors,
    scale,
  };
}
