// A choice of hardware that is kept in the page's address, so that it can be shared.
const QUERY = "on";

/** Apply a choice when it changes, and the one that the address has. */
export const keep = (select, apply) => {
  const chosen = () => {
    apply();
    const address = new URL(location.href);
    if (select.value) address.searchParams.set(QUERY, select.value);
    else address.searchParams.delete(QUERY);
    history.replaceState(history.state, "", address);
  };
  select.addEventListener("input", chosen);
  const asked = new URL(location.href).searchParams.get(QUERY);
  const known = [...select.options].some(({ value }) => value === asked);
  if (!select.value && known) select.value = asked; // who chose before this script was there keeps the choice
  if (select.value) chosen();
};
