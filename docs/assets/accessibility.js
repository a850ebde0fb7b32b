// What Material for MkDocs leaves out for those who hear a page or use the keyboard: names, and a way to scroll a wide table.
const complete = () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelector(".md-path")?.setAttribute("aria-label", "Where this page is");
  document
    .querySelectorAll(".md-code__nav")
    .forEach((nav, i) => nav.setAttribute("aria-label", `Actions for code block ${i + 1}`));
  document.querySelectorAll(".md-typeset__scrollwrap").forEach((wrap, i) => {
    wrap.tabIndex = 0;
    wrap.setAttribute("role", "region");
    wrap.setAttribute("aria-label", `Table ${i + 1}`);
  });
};

// The theme adds those parts after the page is there.
document$.subscribe(() => {
  complete();
  new MutationObserver(complete).observe(document.querySelector(".md-content"), { childList: true, subtree: true });
});
