// The matrix of methods and hardware, narrowed to one generation and what runs on it. Without this it stands as it is.
import { keep } from "./kept.js";

export const mount = (select) => {
  const form = select.parentElement;
  const [table, status] = [form.nextElementSibling.querySelector("table"), form.querySelector("[role=status]")];
  const rows = [...table.tBodies[0].rows];
  const last = select.options.length - 1; // the columns of hardware follow the names, in the order of the options
  keep(select, () => {
    const at = select.selectedIndex;
    for (const row of [table.tHead.rows[0], ...rows]) {
      [...row.cells].forEach((cell, i) => (cell.hidden = at > 0 && i > 0 && i <= last && i !== at));
    }
    for (const row of rows) row.hidden = at > 0 && row.cells[at].dataset.answer === "no";
    const yes = rows.filter((row) => at && row.cells[at].dataset.answer === "yes").length;
    const open = rows.filter((row) => at && row.cells[at].dataset.answer === "not verified").length;
    status.textContent = at ? `${yes} of ${rows.length} methods run on it, ${open} are not verified.` : "";
  });
};
