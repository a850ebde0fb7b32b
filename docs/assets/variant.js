// What is asked of a variant.

/** Its name, method first. */
export const named = ({ title, label }) => `${title} ${label}`;

/** Whether it is for the model of this id; a variant for certain models alone is not for one whose id is not known. */
export const isFor = (variant, id) =>
  !variant.only_models.length || variant.only_models.some((part) => id?.toLowerCase().includes(part));

/** The first layer of a model whose shape a variant does not take, so that loading raises; undefined where it takes all. */
export const refused = ({ takes, quantizes }, tensors) =>
  takes &&
  tensors.find(
    ({ part, rows, columns }) =>
      quantizes.includes(part) && rows % takes.outputs && columns > takes.inputs && columns % takes.inputs === 0,
  );

/** A variant with what the files of a model keep as it was published, whatever their type: these rules are read first. */
export const withKept = (variant, id) => {
  const kept = variant?.mix ? (variant.keeps ?? []).filter((one) => isFor(one, id)).flatMap(({ mix }) => mix) : [];
  return kept.length ? { ...variant, mix: [...kept, ...variant.mix] } : variant;
};
