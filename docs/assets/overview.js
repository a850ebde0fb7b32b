// Sorting and filtering of the overview. Without it the table stands as it is.
import { element } from "./element.js";

const CHOICES = [
  ["cpu", "CPU"],
  ["nvidia", "NVIDIA GPU"],
  ["amd", "AMD GPU"],
  ["intel_gpu", "Intel GPU"],
  ["apple", "Apple GPU"],
  ["quantize_on_load", "quantizes on load"],
  ["save_and_reload", "saves and reloads"],
  ["peft", "PEFT"],
  ["torch_compile", "torch.compile works on it"],
];

const makeSortable = (table) => {
  const rows = table.tBodies[0];
  const value = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = element("button", { type: "button", textContent: head.textContent });
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      [...table.tHead.rows[0].cells].forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => value(a, column).localeCompare(value(b, column), "en", { numeric: true });
      rows.append(...[...rows.rows].sort((a, b) => (down ? order(b, a) : order(a, b))));
    });
  });
};

const makeFilterable = (region, table) => {
  const rows = [...table.tBodies[0].rows];
  const search = element("input", { type: "search", id: "overview-search" });
  const unverified = element("input", { type: "checkbox", id: "overview-unverified", checked: true });
  const status = element("p", { role: "status" });
  const boxes = CHOICES.map(([fact, label]) => [fact, label, element("input", { type: "checkbox", id: `overview-${fact}` })]);
  const apply = () => {
    const wanted = boxes.filter(([, , box]) => box.checked).map(([fact]) => fact);
    const fits = (answer) => answer === "yes" || (unverified.checked && answer === "not verified");
    const words = search.value.trim().toLowerCase();
    rows.forEach((row) => {
      const answer = (fact) => row.querySelector(`[data-fact="${fact}"]`).dataset.answer;
      row.hidden = !(wanted.every((fact) => fits(answer(fact))) && row.textContent.toLowerCase().includes(words));
    });
    const shown = rows.filter((row) => !row.hidden).length;
    status.textContent = shown
      ? `${shown} of ${rows.length} keys shown`
      : "No key fits. Take a choice back, or let “not verified” count.";
  };
  const labelled = (box, label) => element("label", { htmlFor: box.id }, box, ` ${label}`);
  const form = element(
    "fieldset",
    { className: "overview-filter" },
    element("legend", { textContent: "Show only what fits" }),
    element("label", { htmlFor: search.id }, "Text ", search),
    ...boxes.map(([, label, box]) => labelled(box, label)),
    labelled(unverified, "“not verified” counts as fitting"),
    status,
  );
  form.addEventListener("input", apply);
  region.before(form);
  apply();
};

export const mount = (region) => {
  const table = region.querySelector("table");
  makeSortable(table);
  makeFilterable(region, table);
};
