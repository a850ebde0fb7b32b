// The architectures of no preset, which are loaded when a pasted config.json needs them.
import { data } from "./data.js";

const MISSING =
  "This page could not load the architecture of this config: check your connection, and edit the text to try again.";
let loading = null; // what was asked for, once for the page

/** Whether a config.json is of an architecture that is not among these, or of a model that has one of them inside. */
export const lacksFamily = ({ model_type: name }, { families, complete }) =>
  !complete && typeof name === "string" && !Object.hasOwn(families, name);

/** These architectures with all others; a `problem` where those can't be had. */
export async function allFamilies(architectures) {
  try {
    loading ??= data("families.json");
    const { families, refused, inner } = await loading;
    return { ...architectures, families: { ...families, ...architectures.families }, refused, inner, complete: true };
  } catch {
    loading = null;
    return { ...architectures, problem: MISSING };
  }
}

/** The architectures that a config.json needs. */
export async function withFamilies(raw, architectures) {
  return lacksFamily(raw, architectures) ? allFamilies(architectures) : architectures;
}
