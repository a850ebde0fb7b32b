// The matrix of formats and engines: narrowed to one generation of hardware. Without it the table stands as it is.
import { element } from "./element.js";

const ANSWERS = { y: ["yes", "✓ yes"], n: ["no", "✗ no"], u: ["not verified", "? not verified"] };
const QUERY = "on"; // the choice, kept in the address

export const mount = (region) => {
  const names = JSON.parse(region.querySelector("table").dataset.generations);
  const cells = [...region.querySelectorAll("td[data-on]")].map((cell) => [cell, [...cell.childNodes], cell.dataset.answer]);
  const select = element(
    "select",
    { id: "matrix-hardware" },
    element("option", { value: "", textContent: "any" }),
    ...names.map(({ id, name }) => element("option", { value: id, textContent: name })),
  );
  const status = element("p", { role: "status" });
  const apply = () => {
    const at = names.findIndex(({ id }) => id === select.value);
    for (const [cell, shown, answer] of cells) {
      const [word, says] = at < 0 ? [answer, null] : ANSWERS[cell.dataset.on[at]];
      const text = says && cell.dataset.ran === names[at].id ? `${says}; run here` : says;
      cell.dataset.answer = word;
      if (text === null) cell.replaceChildren(...shown);
      else cell.textContent = text;
    }
    const yes = cells.filter(([cell]) => cell.dataset.answer === "yes").length;
    status.textContent = at < 0 ? "" : `${names[at].name}: ${yes} of ${cells.length} pairs of format and engine load.`;
    const address = new URL(location.href);
    if (select.value) address.searchParams.set(QUERY, select.value);
    else address.searchParams.delete(QUERY);
    history.replaceState(history.state, "", address);
  };
  select.addEventListener("input", apply);
  region.before(
    element("div", { className: "matrix-choice" }, element("label", { htmlFor: select.id }, "Hardware "), select, status),
  );
  const asked = new URL(location.href).searchParams.get(QUERY);
  if (names.some(({ id }) => id === asked)) {
    select.value = asked;
    apply();
  }
};
