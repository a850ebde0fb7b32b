// Names for parts that Material for MkDocs leaves unnamed, for those who hear a page instead of seeing it.
document$.subscribe(() => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  const name = (nav) => {
    if (!nav.hasAttribute("aria-label")) {
      const all = [...document.querySelectorAll(".md-code__nav")];
      nav.setAttribute("aria-label", `Actions for code block ${all.indexOf(nav) + 1}`);
    }
  };
  document.querySelectorAll(".md-code__nav").forEach(name);
  new MutationObserver(() => document.querySelectorAll(".md-code__nav:not([aria-label])").forEach(name)).observe(
    document.querySelector(".md-content"),
    { childList: true, subtree: true },
  );
});
