/** Rules without a browser: sequence bookkeeping, paths, Markdown, diffs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDiff } from "./diff";
import { parseInline, parseMarkdown, safeHref } from "./markdown";
import { encode, fromAbsolute, isInside, join, moved, name, nameProblem, parent, within } from "./paths";
import { backoff, isReport, parseOutput, SequenceBook } from "./sequence";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (data: Uint8Array | null) => (data ? new TextDecoder().decode(data) : null);

test("output is handed out once, whatever the overlaps after reconnecting", () => {
  const book = new SequenceBook();
  assert.equal(book.after, null);
  assert.equal(book.hello(0, 3), false);
  assert.equal(text(book.take(0, bytes("abc")).bytes), "abc");
  assert.equal(book.take(0, bytes("abc")).bytes, null);
  assert.equal(text(book.take(1, bytes("bcde")).bytes), "de");
  assert.equal(book.after, 5);
});

test("every split of a stream with every overlap gives the stream", () => {
  const whole = "0123456789";
  for (let cut = 0; cut <= 10; cut += 1) {
    for (let back = 0; back <= cut; back += 1) {
      const book = new SequenceBook();
      book.hello(0, cut);
      const parts = [book.take(0, bytes(whole.slice(0, cut))).bytes];
      book.hello(0, 10);
      parts.push(book.take(cut - back, bytes(whole.slice(cut - back))).bytes);
      assert.equal(parts.map((part) => text(part) ?? "").join(""), whole);
    }
  }
});

test("a hole is reported once and the output goes on after it", () => {
  const book = new SequenceBook();
  book.hello(0, 4);
  book.take(0, bytes("abcd"));
  assert.deepEqual(book.lost(4, 9).gap, { from: 4, to: 9 });
  assert.equal(book.lost(4, 9).gap, null);
  const taken = book.take(9, bytes("x"));
  assert.equal(taken.gap, null);
  assert.equal(text(taken.bytes), "x");
  assert.deepEqual(book.take(20, bytes("y")).gap, { from: 10, to: 20 });
});

test("a terminal whose output became shorter starts over", () => {
  const book = new SequenceBook();
  book.hello(0, 100);
  book.take(0, new Uint8Array(100));
  assert.equal(book.hello(0, 100), false);
  assert.equal(book.hello(0, 10), true);
  assert.equal(book.after, 0);
});

test("binary messages carry an unsigned 64-bit number", () => {
  const message = new Uint8Array([0, 0, 0, 1, 0, 0, 0, 2, 104, 105]);
  const output = parseOutput(message.buffer);
  assert.equal(output?.sequence, 2 ** 32 + 2);
  assert.equal(text(output?.bytes ?? null), "hi");
  assert.equal(parseOutput(new ArrayBuffer(7)), null);
});

test("answers of the emulator are told from typing", () => {
  for (const report of ["\x1b[?1;2c", "\x1b[24;80R", "\x1b[0n", "\x1b]11;rgb:0000/0000/0000\x1b\\", "\x1b[?2004;1$y", "\x1b[>0;276;0c"]) assert.ok(isReport(report), JSON.stringify(report));
  for (const typed of ["a", "\x1b", "\x1b[A", "\r", "\x1b[3~", "ls -l\r", "\x1b[1;5C", "\x1b[200~x\x1b[201~"]) assert.ok(!isReport(typed), JSON.stringify(typed));
});

test("waiting grows and stays bounded", () => {
  assert.ok(backoff(0, 0) < backoff(3, 0));
  assert.ok(backoff(50, 0.999) <= 12_500);
});

test("paths", () => {
  assert.equal(join("projects/x", "", "/src/", "a.ts"), "projects/x/src/a.ts");
  assert.equal(parent("a"), "");
  assert.equal(parent("a/b/c"), "a/b");
  assert.equal(name("a/b"), "b");
  assert.equal(encode("a b/ä?#/%"), "a%20b/%C3%A4%3F%23/%25");
  assert.equal(within("projects/x/src", "projects/x"), "src");
  assert.equal(within("projects/xy/src", "projects/x"), "projects/xy/src");
  assert.ok(!isInside("projects/xy", "projects/x"));
  assert.equal(moved("a/b/c", "a/b", "z"), "z/c");
  assert.equal(moved("a/bc", "a/b", "z"), "a/bc");
  assert.equal(fromAbsolute("/home/dev/projects/x"), "projects/x");
  for (const bad of ["", " ", "..", "a/../b", "/a", "a//b", "a\0"]) assert.notEqual(nameProblem(bad), null, bad);
  for (const good of ["a", "a/b.ts", ".env", "...", "ä b"]) assert.equal(nameProblem(good), null, good);
});

test("markdown: blocks", () => {
  const kinds = (source: string) => parseMarkdown(source).map((block) => block.kind);
  assert.deepEqual(kinds("# A\n\ntext\nmore\n\n- a\n- b\n\n1. x\n\n> q\n\n---\n\n```ts\nlet a;\n```"), ["heading", "paragraph", "list", "list", "quote", "rule", "code"]);
  assert.deepEqual(parseMarkdown("```js\nunfinished"), [{ kind: "code", language: "js", text: "unfinished" }]);
  const [table] = parseMarkdown("| a | b |\n|---|---|\n| 1 | 2 |");
  assert.ok(table?.kind === "table" && table.rows.length === 1 && table.head.length === 2);
  const [nested] = parseMarkdown("- a\n  - b\n    - c\n- d");
  assert.ok(nested?.kind === "list" && nested.items.length === 2);
});

test("markdown: nothing becomes markup or a dangerous link", () => {
  assert.deepEqual(parseInline("<img src=x onerror=alert(1)>"), [{ kind: "text", text: "<img src=x onerror=alert(1)>" }]);
  for (const href of ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "/relative", "file:///etc/passwd"]) {
    assert.equal(safeHref(href), null, href);
    assert.ok(parseInline(`[x](${href})`).every((part) => part.kind !== "link"), href);
  }
  assert.equal(safeHref("https://example.com/a"), "https://example.com/a");
});

test("markdown: inline", () => {
  assert.deepEqual(parseInline("a `b*c*` **d** snake_case_name"), [
    { kind: "text", text: "a " }, { kind: "code", text: "b*c*" }, { kind: "text", text: " " },
    { kind: "strong", children: [{ kind: "text", text: "d" }] }, { kind: "text", text: " snake_case_name" },
  ]);
  assert.equal(parseInline("2 * 3 * 4").length, 1);
});

test("markdown: hostile input ends soon", () => {
  const started = Date.now();
  for (const piece of ["[", "*", "_", "`", "> ", "- ", "**a", "![](", "|-", "```\n"]) parseMarkdown(piece.repeat(20_000));
  assert.ok(Date.now() - started < 4000, `took ${Date.now() - started} ms`);
});

test("unified diffs", () => {
  const diff = parseDiff("--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\n a\n-b\n+c\n d\n\\ No newline at end of file\n");
  assert.equal(diff.added, 1);
  assert.equal(diff.removed, 1);
  assert.deepEqual(diff.lines.map((line) => line.kind), ["hunk", "context", "remove", "add", "context"]);
  assert.equal(diff.lines[3]?.after, 2);
  assert.equal(parseDiff("@@ -1 +1 @@\n--- removed comment\n+++ added").added, 1);
});
