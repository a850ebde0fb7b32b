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
  if (!asked || ![...select.options].some(({ value }) => value === asked)) return;
  select.value = asked;
  chosen();
};
