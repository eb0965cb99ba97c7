import assert from "node:assert/strict";
import { test } from "node:test";
import vectors from "../../../tests/vectors/import.json";
import { parse } from "./dotenv";
import { plan, settable } from "./import-plan";

const RESERVED = ["PATH", "LD_*", "import"];

test("a file is compared as the server compares it", () => {
  const known = vectors.known.map(([name, tier, value]) => ({ name: name ?? "", tier: tier ?? "", value: value ?? null, expand: false }));
  for (const { text, rows } of vectors.cases) {
    const planned = plan(parse(text), known, vectors.reserved.split(" "));
    assert.deepEqual(planned.map((row) => [row.line, row.name, row.state, row.message]), rows, JSON.stringify(text));
  }
});

test("what cannot be set is refused, with its line and the reason, and without its value", () => {
  const text = "path=c4nary\nLD_PRELOAD=c4nary\nimport=c4nary\nA-B=c4nary\nEMPTY=\nTWICE=c4nary\nnothing c4nary\nTWICE=c4nary\nIMPORT=fine\n";
  const rows = plan(parse(text), [], RESERVED);
  assert.deepEqual(rows.map((row) => row.state), [...Array<string>(7).fill("invalid"), "added", "added"]);
  assert.deepEqual(rows.map((row) => row.line), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(rows[5]?.message, "It stands again on line 8, which counts.");
  for (const row of rows.slice(0, 7)) assert.ok(row.message && !row.message.includes("c4nary") && !settable(row), row.name);
  const long = plan(parse(`A='${"é".repeat(32_769)}'`), [], []);
  assert.match(long[0]?.message ?? "", /65538 bytes/);
});
