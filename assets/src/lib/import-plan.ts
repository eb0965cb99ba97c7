/**
 * What setting all that is in a `.env` file would change, as `compare` in src/features/secrets/env_file.rs finds it, found out in
 * the page: the server is asked which secrets there are,
 * and not told a value. Only visible values can be compared; of others nobody says whether they would be another.
 */
import type { Parsed } from "./dotenv";

/** A secret that is there, as the API lists it. */
export interface Known {
  name: string;
  tier: string;
  /** Null where it is not visible. */
  value: string | null;
  expand: boolean;
}

/** The API's words. `new_version`: it is there, and whether the value is another one is not told. */
export type State = "added" | "changed" | "new_version" | "unchanged" | "invalid";

export interface Row {
  line: number;
  /** Empty for a line that was not understood. */
  name: string;
  value: string;
  state: State;
  /** The secret that is there. */
  known: Known | null;
  /** Why it is refused. */
  message: string;
}

/** `reserved` are the server's words: in capitals for any case, with `*` at the end for whatever begins so. */
export function plan(parsed: Parsed, known: Known[], reserved: string[]): Row[] {
  const there = new Map(known.map((one) => [one.name, one]));
  const last = new Map(parsed.entries.map((entry) => [entry.name, entry.line]));
  const rows = parsed.entries.map(({ line, name, value }): Row => {
    const found = there.get(name) ?? null;
    const again = last.get(name) ?? line;
    const message = again === line ? nameComplaint(name, reserved) || valueComplaint(value) : `It stands again on line ${again}, which counts.`;
    return { line, name, value, known: found, message, state: message ? "invalid" : stateOf(found, value) };
  });
  for (const { line, message } of parsed.mistakes) rows.push({ line, name: "", value: "", known: null, message, state: "invalid" });
  return rows.sort((one, other) => one.line - other.line);
}

export function settable(row: Row): boolean {
  return row.state === "added" || row.state === "changed" || row.state === "new_version";
}

function stateOf(known: Known | null, value: string): State {
  if (!known) return "added";
  if (known.value === null) return "new_version";
  return known.value === value ? "unchanged" : "changed";
}

function nameComplaint(name: string, reserved: string[]): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) {
    return `"${name}" is not the name of an environment variable: letters, digits and _, not starting with a digit, at most 128 characters.`;
  }
  const upper = name.toUpperCase();
  if (reserved.includes(name) && name !== upper) return `${name} has a meaning of its own in the API. Choose another name, such as ${upper}.`;
  const taken = reserved.some((word) => (word.endsWith("*") ? upper.startsWith(word.slice(0, -1)) : word === upper));
  return taken ? `${name} is a variable of the container's own, or one that makes programs run something. Choose another name.` : "";
}

function valueComplaint(value: string): string {
  if (value === "") return "The value is empty. To remove a secret, delete it.";
  const bytes = new TextEncoder().encode(value).length;
  if (bytes > 65_536) return `The value has ${bytes} bytes; a secret holds at most 65536.`;
  return value.includes("\0") ? "The value holds a NUL character, which an environment variable cannot. Encode it." : "";
}
