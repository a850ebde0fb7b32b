// What is asked of a variant.

/** Its name, method first. */
export const named = ({ title, label }) => `${title} ${label}`;

/** Whether a model is a mixture of experts. */
export const isMixture = (model) => Boolean(model?.tensors.some(({ part }) => part === "experts"));

/** Whether it is for a model; a variant for certain models alone is not for one whose id, or parts, are not known. */
export const isFor = ({ only_models: only, mixtures }, model) =>
  (!only.length || only.some((part) => model?.id?.toLowerCase().includes(part))) && (!mixtures || isMixture(model));

/** The models that it is for, where that is not all. */
export const forWhom = ({ only_models: only, mixtures }) => (mixtures ? "mixtures of experts" : only.join(", "));

/** The first layer of a model whose shape a variant does not take, so that loading raises; undefined where it takes all. */
export const refused = ({ takes, quantizes }, tensors) =>
  takes &&
  tensors.find(
    ({ part, rows, columns }) =>
      quantizes.includes(part) && rows % takes.outputs && columns > takes.inputs && columns % takes.inputs === 0,
  );

/** A variant with what the files of a model keep as it was published, whatever their type: these rules are read first. */
export const withKept = (variant, model) => {
  const kept = variant?.mix ? (variant.keeps ?? []).filter((one) => isFor(one, model)).flatMap(({ mix }) => mix) : [];
  return kept.length ? { ...variant, mix: [...kept, ...variant.mix] } : variant;
};
