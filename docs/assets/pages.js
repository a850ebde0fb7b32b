// Loads what a page asks for, and only there.
const MODULES = {
  "#selector": "./selector.js",
  "#memory-calculator": "./calculator.js",
  ".overview-filter": "./overview.js",
  "#matrix-hardware": "./matrix.js",
  "#works-hardware": "./works.js",
  "#checkpoint": "./checkpoint.js",
};

for (const [place, module] of Object.entries(MODULES)) {
  const found = document.querySelector(place);
  if (found) {
    import(module).then(({ mount }) => mount(found));
  }
}

document.addEventListener("click", ({ target }) => {
  const button = target.closest(".all-columns");
  if (!button) return;
  button.setAttribute("aria-expanded", "true");
  button.nextElementSibling.focus(); // the table, which now scrolls
});

// Paper cannot be unfolded.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("article details:not([open])")) {
    folded.open = true;
    addEventListener("afterprint", () => (folded.open = false), { once: true });
  }
});
