// One HTML element with its properties, or attributes where there is no such property, and its children; null is left out.
const READ_ONLY = new Set(["list"]); // a property of inputs that only its attribute sets

export const element = (tag, properties = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && !READ_ONLY.has(name)) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
};
