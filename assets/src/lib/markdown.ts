/**
 * A small part of Markdown, as chat answers use it: headings, paragraphs, lists, quotes, fenced code, tables, rules;
 * inline code, strong, emphasis, links. Raw HTML stays text. Half-arrived input (a stream) always parses. Pure.
 */

export type Inline =
  | { kind: "text"; text: string }
  | { kind: "code"; text: string }
  | { kind: "strong" | "em"; children: Inline[] }
  | { kind: "link"; href: string; children: Inline[] };

export type Block =
  | { kind: "heading"; level: number; children: Inline[] }
  | { kind: "paragraph"; children: Inline[] }
  | { kind: "code"; language: string; text: string }
  | { kind: "quote"; children: Block[] }
  | { kind: "list"; ordered: boolean; start: number; items: Block[][] }
  | { kind: "table"; head: Inline[][]; rows: Inline[][][] }
  | { kind: "rule" };

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])(?:\s+|$)/;
const QUOTE = /^ {0,3}> ?/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/;
/** Nested deeper than this, text stays text: input may be hostile. */
const DEEPEST = 8;

export function parseMarkdown(text: string): Block[] {
  return blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0);
}

function blocks(lines: string[], depth: number): Block[] {
  const out: Block[] = [];
  let at = 0;
  const line = () => lines[at] ?? "";
  while (at < lines.length) {
    const current = line();
    const fence = FENCE.exec(current);
    const heading = HEADING.exec(current);
    const item = ITEM.exec(current);
    if (current.trim() === "") {
      at += 1;
    } else if (fence) {
      const [block, next] = fenced(lines, at, fence);
      out.push(block);
      at = next;
    } else if (heading) {
      out.push({ kind: "heading", level: (heading[1] ?? "#").length, children: parseInline(heading[2] ?? "") });
      at += 1;
    } else if (RULE.test(current)) {
      out.push({ kind: "rule" });
      at += 1;
    } else if (QUOTE.test(current) && depth < DEEPEST) {
      const inner: string[] = [];
      for (; at < lines.length && QUOTE.test(line()); at += 1) inner.push(line().replace(QUOTE, ""));
      out.push({ kind: "quote", children: blocks(inner, depth + 1) });
    } else if (item && depth < DEEPEST) {
      const [block, next] = list(lines, at, depth);
      out.push(block);
      at = next;
    } else if (current.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "") && (lines[at + 1] ?? "").includes("-")) {
      const head = cells(current);
      at += 2;
      const rows: Inline[][][] = [];
      for (; at < lines.length && line().includes("|"); at += 1) rows.push(cells(line()));
      out.push({ kind: "table", head, rows });
    } else {
      const words: string[] = [current];
      at += 1;
      while (at < lines.length && line().trim() !== "" && !startsBlock(line())) {
        words.push(line());
        at += 1;
      }
      out.push({ kind: "paragraph", children: parseInline(words.join("\n")) });
    }
  }
  return out;
}

function startsBlock(line: string): boolean {
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || ITEM.test(line);
}

/** To the closing fence, or to the end while it has not arrived yet. */
function fenced(lines: string[], start: number, open: RegExpExecArray): [Block, number] {
  const mark = open[1] ?? "```";
  const body: string[] = [];
  let at = start + 1;
  for (; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    const close = line.trim();
    if (close.length >= mark.length && close === (mark[0] ?? "`").repeat(close.length)) return [code(open, body), at + 1];
    body.push(line);
  }
  return [code(open, body), at];
}

function code(open: RegExpExecArray, body: string[]): Block {
  return { kind: "code", language: open[2] ?? "", text: body.join("\n") };
}

function list(lines: string[], start: number, depth: number): [Block, number] {
  const first = ITEM.exec(lines[start] ?? "");
  const ordered = /\d/.test(first?.[2] ?? "");
  const items: string[][] = [];
  let indent = 0;
  let at = start;
  for (; at < lines.length; at += 1) {
    const line = lines[at] ?? "";
    const item = ITEM.exec(line);
    const blank = line.trim() === "";
    const indented = line.length - line.trimStart().length >= indent;
    if (item && (items.length === 0 || !indented)) {
      if (/\d/.test(item[2] ?? "") !== ordered || RULE.test(line)) break;
      indent = item[0].length;
      items.push([line.slice(item[0].length)]);
    } else if (blank) {
      const following = lines[at + 1] ?? "";
      if (following.trim() === "" || (!ITEM.test(following) && following.length - following.trimStart().length < indent)) break;
      items.at(-1)?.push("");
    } else if (indented) {
      items.at(-1)?.push(line.slice(indent));
    } else if (!startsBlock(line) && lines[at - 1]?.trim() !== "") {
      items.at(-1)?.push(line.trimStart());
    } else {
      break;
    }
  }
  return [{ kind: "list", ordered, start: Number.parseInt(first?.[2] ?? "1", 10) || 1, items: items.map((inner) => blocks(inner, depth + 1)) }, at];
}

function cells(line: string): Inline[][] {
  return line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => parseInline(cell.trim().replace(/\\\|/g, "|")));
}

export function parseInline(text: string, depth = 0): Inline[] {
  const out: Inline[] = [];
  let plain = "";
  const flush = () => {
    if (plain) out.push({ kind: "text", text: plain });
    plain = "";
  };
  let at = 0;
  while (at < text.length) {
    const found = depth < DEEPEST ? inlineAt(text, at, depth) : null;
    if (found) {
      flush();
      out.push(found[0]);
      at = found[1];
    } else if (text[at] === "\\" && /[\\`*_[\](){}#+\-.!|>~]/.test(text[at + 1] ?? "")) {
      plain += text[at + 1] ?? "";
      at += 2;
    } else {
      plain += text[at] ?? "";
      at += 1;
    }
  }
  flush();
  return out;
}

function inlineAt(text: string, at: number, depth: number): [Inline, number] | null {
  const character = text[at] ?? "";
  if (character === "`") return codeSpan(text, at);
  if (character === "*" || character === "_") return emphasis(text, at, depth);
  if (character === "[") return link(text, at, depth);
  if (character === "h" && !/\w/.test(text[at - 1] ?? "")) return bareLink(text, at);
  return null;
}

function codeSpan(text: string, at: number): [Inline, number] | null {
  const mark = /^`+/.exec(text.slice(at, at + 16))?.[0] ?? "`";
  const end = text.indexOf(mark, at + mark.length);
  if (end < 0 || text[end + mark.length] === "`") return null;
  const inner = text.slice(at + mark.length, end);
  return [{ kind: "code", text: mark.length > 1 ? inner.trim() : inner }, end + mark.length];
}

function emphasis(text: string, at: number, depth: number): [Inline, number] | null {
  const character = text[at] ?? "";
  const mark = text[at + 1] === character ? character + character : character;
  // snake_case is a word, not emphasis.
  if (character === "_" && /\w/.test(text[at - 1] ?? "")) return null;
  if (/\s|^$/.test(text[at + mark.length] ?? "")) return null;
  const end = text.indexOf(mark, at + mark.length + 1);
  if (end < 0 || /\s/.test(text[end - 1] ?? "") || (character === "_" && /\w/.test(text[end + mark.length] ?? ""))) return null;
  const children = parseInline(text.slice(at + mark.length, end), depth + 1);
  return [{ kind: mark.length === 2 ? "strong" : "em", children }, end + mark.length];
}

/** Only http and https become links; `javascript:` and everything else stays text. */
export function safeHref(href: string): string | null {
  try {
    const url = new URL(href);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

function link(text: string, at: number, depth: number): [Inline, number] | null {
  const match = /^\[([^\]\n]{1,500})\]\(([^()\s]{1,2000})\)/.exec(text.slice(at, at + 2600));
  const href = match && safeHref(match[2] ?? "");
  if (!match || !href) return null;
  return [{ kind: "link", href, children: parseInline(match[1] ?? "", depth + 1) }, at + match[0].length];
}

function bareLink(text: string, at: number): [Inline, number] | null {
  const match = /^https?:\/\/[^\s<>()`*\]]{1,2000}/.exec(text.slice(at, at + 2010));
  const shown = match?.[0].replace(/[.,;:!?'"]+$/, "") ?? "";
  const href = safeHref(shown);
  return href ? [{ kind: "link", href, children: [{ kind: "text", text: shown }] }, at + shown.length] : null;
}
