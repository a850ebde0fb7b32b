// What Material for MkDocs leaves out for those who hear a page or use the keyboard: names, and a way to scroll a wide table.
let [codes, tables] = [0, 0];
const complete = (element) => {
  if (element.matches(".md-code__nav")) element.setAttribute("aria-label", `Actions for code block ${++codes}`);
  if (element.matches(".md-typeset__scrollwrap")) {
    element.tabIndex = 0;
    element.setAttribute("role", "region");
    element.setAttribute("aria-label", `Table ${++tables}`);
  }
};

document$.subscribe(() => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  document.querySelector(".md-path")?.setAttribute("aria-label", "Where this page is");
  const content = document.querySelector(".md-content");
  content.querySelectorAll(".md-code__nav, .md-typeset__scrollwrap").forEach(complete);
  // The theme adds those parts after the page is there, each alone.
  new MutationObserver((changes) => {
    for (const { addedNodes } of changes) {
      for (const node of addedNodes) if (node.nodeType === Node.ELEMENT_NODE) complete(node);
    }
  }).observe(content, { childList: true, subtree: true });
});
