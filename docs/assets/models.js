// The models that the selector counts: the calculator's presets, and one that stands for another of which only its size is
// known.
import { readModel } from "./counting.js";

const read = new Map(); // by preset, since reading one takes longer than an answer

/** A preset as the calculator reads it; null where there is none of this id. */
export function modelOf(id, architectures) {
  const preset = architectures.presets.find((one) => one.id === id);
  if (!preset) return null;
  if (!read.has(preset)) {
    read.set(preset, {
      ...readModel(preset.config, preset, architectures),
      hub: preset.model,
      sees: Boolean(preset.config.text_config), // more than its language model, which alone is counted
      training: architectures.training ?? null,
    });
  }
  return read.get(preset);
}

/** Of presets with parameters, the one that is nearest in size. */
export function nearestOf(parameters, presets) {
  const far = (preset) => Math.abs(Math.log(preset.parameters / parameters));
  return presets.reduce((one, other) => (far(other) < far(one) ? other : one));
}

/** The preset without experts that is nearest in size, scaled to so many parameters: weights and cache, not what is beside. */
export function modelLike(parameters, architectures) {
  const dense = architectures.presets.filter(({ id }) =>
    modelOf(id, architectures).tensors.every(({ part }) => part !== "experts"),
  );
  const nearest = nearestOf(parameters, dense);
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
