// The matrix of methods and hardware, narrowed to one generation and what runs on it. Without this it stands as it is.
import { element } from "./element.js";

const QUERY = "on"; // the choice, kept in the address

export const mount = (region) => {
  const table = region.querySelector("table");
  const places = [...table.tHead.rows[0].cells].slice(1, 1 + Number(table.dataset.places));
  const rows = [...table.tBodies[0].rows];
  const select = element(
    "select",
    { id: "works-hardware" },
    element("option", { value: "", textContent: "any" }),
    ...places.map(({ textContent }, at) => element("option", { value: at + 1, textContent })),
  );
  const status = element("p", { role: "status" });
  const apply = () => {
    const at = Number(select.value);
    for (const row of [table.tHead.rows[0], ...rows]) {
      [...row.cells].forEach((cell, i) => (cell.hidden = at > 0 && i > 0 && i <= places.length && i !== at));
    }
    for (const row of rows) row.hidden = at > 0 && row.cells[at].dataset.answer === "no";
    const yes = rows.filter((row) => at && row.cells[at].dataset.answer === "yes").length;
    const open = rows.filter((row) => at && row.cells[at].dataset.answer === "not verified").length;
    status.textContent = at ? `${yes} of ${rows.length} methods run on it, ${open} are not verified.` : "";
    const address = new URL(location.href);
    if (at) address.searchParams.set(QUERY, at);
    else address.searchParams.delete(QUERY);
    history.replaceState(history.state, "", address);
  };
  select.addEventListener("input", apply);
  const label = element("label", { htmlFor: select.id }, "Your hardware ");
  region.before(element("div", { className: "matrix-choice" }, label, select, status));
  const asked = new URL(location.href).searchParams.get(QUERY);
  if (places[Number(asked) - 1]) {
    select.value = asked;
    apply();
  }
};
