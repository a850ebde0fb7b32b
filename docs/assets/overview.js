// Sorting and filtering of the overview. Without it the table stands as it is.
const makeSortable = (table) => {
  const rows = table.tBodies[0];
  const value = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = head.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      [...table.tHead.rows[0].cells].forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => value(a, column).localeCompare(value(b, column), "en", { numeric: true });
      rows.append(...[...rows.rows].sort((a, b) => (down ? order(b, a) : order(a, b))));
    });
  });
};

const makeFilterable = (form, table) => {
  const rows = [...table.tBodies[0].rows];
  const [search, unverified] = ["search", "unverified"].map((name) => form.querySelector(`#overview-${name}`));
  const boxes = [...form.querySelectorAll("[data-wanted]")];
  const apply = () => {
    const wanted = boxes.filter((box) => box.checked).map((box) => box.dataset.wanted);
    const fits = (answer) => answer === "yes" || (unverified.checked && answer === "not verified");
    const words = search.value.trim().toLowerCase();
    rows.forEach((row) => {
      const answer = (fact) => row.querySelector(`[data-fact="${fact}"]`).dataset.answer;
      row.hidden = !(wanted.every((fact) => fits(answer(fact))) && row.textContent.toLowerCase().includes(words));
    });
    const shown = rows.filter((row) => !row.hidden).length;
    form.querySelector("[role=status]").textContent = shown
      ? `${shown} of ${rows.length} keys shown`
      : "No key fits. Take a choice back, or let “not verified” count.";
  };
  form.addEventListener("input", apply);
  apply(); // what a browser filled in again
};

export const mount = (form) => {
  const table = form.nextElementSibling.querySelector("table");
  makeSortable(table);
  makeFilterable(form, table);
};
