/** The names that a value refers to as `${NAME}`, each once and sorted; `references.rs` of the server finds the same. */
export function referencesOf(value: string): string[] {
  const found = new Set<string>();
  const name = /\{([A-Za-z_][A-Za-z0-9_]*)\}/y;
  for (let at = value.indexOf("$"); at >= 0; at = value.indexOf("$", at)) {
    // `$${NAME}` is text.
    name.lastIndex = at + 2;
    if (value[at + 1] === "$" && name.test(value)) {
      at = name.lastIndex;
      continue;
    }
    name.lastIndex = at + 1;
    const match = name.exec(value);
    if (match?.[1]) found.add(match[1]);
    at = match ? name.lastIndex : at + 1;
  }
  return [...found].sort();
}
