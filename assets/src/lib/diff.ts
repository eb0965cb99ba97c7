/** Reads a unified diff into lines with their kind, for display. Pure. */

export interface DiffLine {
  kind: "add" | "remove" | "context" | "hunk";
  text: string;
  /** Line number in the old and in the new file, where it has one. */
  before: number | null;
  after: number | null;
}

export interface Diff {
  lines: DiffLine[];
  added: number;
  removed: number;
}

export function parseDiff(text: string): Diff {
  const diff: Diff = { lines: [], added: 0, removed: 0 };
  let before = 0;
  let after = 0;
  let inHunk = false;
  for (const line of text.replace(/\n$/, "").split("\n")) {
    const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@/.exec(line);
    if (hunk) {
      before = Number(hunk[1]);
      after = Number(hunk[2]);
      inHunk = true;
      diff.lines.push({ kind: "hunk", text: line, before: null, after: null });
    } else if (!inHunk) {
      continue; // "---", "+++" and other header lines: the file's name is shown apart
    } else if (line.startsWith("+")) {
      diff.lines.push({ kind: "add", text: line.slice(1), before: null, after: after++ });
      diff.added += 1;
    } else if (line.startsWith("-")) {
      diff.lines.push({ kind: "remove", text: line.slice(1), before: before++, after: null });
      diff.removed += 1;
    } else if (!line.startsWith("\\")) {
      diff.lines.push({ kind: "context", text: line.slice(1), before: before++, after: after++ });
    }
  }
  return diff;
}
