// The matrix of formats and engines: narrowed to one generation of hardware. Without it the table stands as it is.
import { keep } from "./kept.js";

const ANSWERS = { y: ["yes", "✓ yes"], n: ["no", "✗ no"], u: ["not verified", "? not verified"] };

export const mount = (select) => {
  const form = select.parentElement;
  const [region, status] = [form.nextElementSibling, form.querySelector("[role=status]")];
  const cells = [...region.querySelectorAll("td[data-on]")].map((cell) => [cell, [...cell.childNodes], cell.dataset.answer]);
  keep(select, () => {
    const at = select.selectedIndex - 1; // data-on has a letter for each option but the first
    for (const [cell, shown, answer] of cells) {
      const [word, says] = at < 0 ? [answer, null] : ANSWERS[cell.dataset.on[at]];
      const text = says && cell.dataset.ran === select.value ? `${says}; run here` : says;
      cell.dataset.answer = word;
      if (text === null) cell.replaceChildren(...shown);
      else cell.textContent = text;
    }
    const yes = cells.filter(([cell]) => cell.dataset.answer === "yes").length;
    const name = select.selectedOptions[0].textContent;
    status.textContent = at < 0 ? "" : `${name}: ${yes} of ${cells.length} pairs of format and engine load.`;
  });
};
