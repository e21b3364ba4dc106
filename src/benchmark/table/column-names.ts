// Owns the names pandas gives the columns of a file: empty ones are `Unnamed: 3`, later ones of the same
// name `name.1`; the readers of files with a header call it.

/**
 * The names of columns.
 * @param header - the names as the file has them.
 */
export function nameColumns(header: readonly string[]): readonly string[] {
  const names = header.map((name, i) => (name === '' ? `Unnamed: ${i}` : name));
  const unnamed = header.flatMap((name, i) => (name === '' ? [i] : []));
  const order = [...names.keys()].filter((i) => header[i] !== '').concat(unnamed);
  const counts = new Map<string, number>();
  for (const i of order) {
    const original = names[i] ?? '';
    let name = original;
    let count = counts.get(name) ?? 0;
    while (count > 0) {
      counts.set(original, count + 1);
      name = `${original}.${count}`;
      // A name that the file has itself is not made up.
      count = names.includes(name) ? count + 1 : (counts.get(name) ?? 0);
    }
    names[i] = name;
    counts.set(name, count + 1);
  }
  return names;
}
