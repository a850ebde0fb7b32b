// What the selector and the memory calculator both ask of a variant.

/** Whether it is for the model of this id; a variant for certain models alone is not for one whose id is not known. */
export const isFor = (variant, id) =>
  !variant.only_models.length || variant.only_models.some((part) => id?.toLowerCase().includes(part));
