/**
 * Reads `.env` files in the page, so that their values need not leave it in plain text. `dotenv.rs` of the server reads the
 * same in every text: `tests/vectors/dotenv.json` holds both to it. No complaint holds a value. Imports nothing.
 */

export interface Entry {
  /** The line that it starts on, from 1. */
  line: number;
  name: string;
  value: string;
}

export interface Mistake {
  line: number;
  /** What is wrong and what to do, without a part of the file. */
  message: string;
}

export interface Parsed {
  entries: Entry[];
  mistakes: Mistake[];
}

interface Statement {
  found: { name: string; value: string } | string | null;
  /** What follows; always less than there was. */
  rest: string;
}

/** What the server takes for space: Unicode's White_Space, which differs from JavaScript's `\s` in U+0085 and U+FEFF. */
const SPACE = "\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const NO_NAME = new RegExp(`[${SPACE}"'#\`]`);
const A_SPACE = new RegExp(`[${SPACE}]`);

export function parse(text: string): Parsed {
  const parsed: Parsed = { entries: [], mistakes: [] };
  let rest = text.startsWith("\ufeff") ? text.slice(1) : text;
  let line = 1;
  while (rest !== "") {
    const { found, rest: next } = statement(rest);
    if (typeof found === "string") parsed.mistakes.push({ line, message: found });
    else if (found) parsed.entries.push({ line, ...found });
    line += rest.slice(0, rest.length - next.length).split("\n").length - 1;
    rest = next;
  }
  return parsed;
}

function statement(text: string): Statement {
  const [line, next] = firstLine(text);
  const content = trim(line);
  if (content === "" || content.startsWith("#")) return { found: null, rest: next };
  const sign = line.indexOf("=");
  if (sign < 0) return { found: "There is no = in it. Write NAME=value, or # before a comment.", rest: next };
  const name = trim(trim(line.slice(0, sign)).replace(/^export(?=[ \t])/, ""));
  if (name === "" || NO_NAME.test(name)) return { found: "There is no name before the =. Write NAME=value.", rest: next };
  const after = text.slice(sign + 1);
  const value = after.replace(/^[ \t]+/, "");
  const quote = value[0];
  if (quote !== "'" && quote !== '"') {
    return { found: { name, value: unquoted(firstLine(value)[0], value.length < after.length) }, rest: next };
  }
  const quoted = quote === "'" ? singleQuoted(value.slice(1)) : doubleQuoted(value.slice(1));
  // All that follows may be meant to be in the quotes: none of it is taken for a name.
  if (!quoted) return { found: "A quote is opened and never closed. Close it.", rest: "" };
  const [tail, rest] = firstLine(quoted.after);
  const left = trim(tail);
  if (left === "" || left.startsWith("#")) return { found: { name, value: quoted.value }, rest };
  return { found: 'Something follows the closing quote. Put all of the value into the quotes, with \\" for one inside.', rest };
}

/** Up to and with the first line's end, and what follows. */
function firstLine(text: string): [string, string] {
  const end = text.indexOf("\n") + 1;
  return end === 0 ? [text, ""] : [text.slice(0, end), text.slice(end)];
}

function trim(text: string): string {
  // By hand: an expression that is bound to the end only would look at each run of spaces again from each of them.
  let [start, end] = [0, text.length];
  while (start < end && A_SPACE.test(text.charAt(start))) start += 1;
  while (end > start && A_SPACE.test(text.charAt(end - 1))) end -= 1;
  return text.slice(start, end);
}

/** `spaced`: whether there was space before, after which `#` begins a comment. */
function unquoted(line: string, spaced: boolean): string {
  let before = spaced;
  for (let at = 0; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (character === "#" && before) return trim(line.slice(0, at));
    before = A_SPACE.test(character);
  }
  return trim(line);
}

interface Quoted {
  value: string;
  after: string;
}

function singleQuoted(body: string): Quoted | null {
  const end = body.indexOf("'");
  return end < 0 ? null : { value: body.slice(0, end).replaceAll("\r\n", "\n"), after: body.slice(end + 1) };
}

const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t", "\\": "\\", '"': '"', $: "$" };

function doubleQuoted(body: string): Quoted | null {
  let value = "";
  for (let at = 0; at < body.length; at += 1) {
    const character = body.charAt(at);
    if (character === '"') return { value, after: body.slice(at + 1) };
    if (character === "\r" && body[at + 1] === "\n") continue;
    if (character !== "\\") {
      value += character;
      continue;
    }
    at += 1;
    const escaped = body[at];
    if (escaped === undefined) return null;
    if (escaped === "\r" && body[at + 1] === "\n") value += "\\";
    else value += ESCAPES[escaped] ?? `\\${escaped}`;
  }
  return null;
}
