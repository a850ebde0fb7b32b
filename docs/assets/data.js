/** What a file of data beside this one holds; an answer that is none, such as a page for a file that is gone, is an error. */
export const data = async (name) => {
  const answer = await fetch(new URL(name, import.meta.url));
  if (!answer.ok) throw new Error(`${name}, status ${answer.status}`);
  return answer.json();
};
