import assert from "node:assert/strict";
import { test } from "node:test";
import { parse } from "./dotenv";
import { plan, settable } from "./import-plan";

const KNOWN = [
  { name: "SAME", tier: "visible", value: "1", expand: false },
  { name: "OTHER", tier: "visible", value: "1", expand: false },
  { name: "HIDDEN", tier: "sensitive", value: null, expand: false },
];
const RESERVED = ["PATH", "LD_*", "import"];

function states(text: string): [string, string][] {
  return plan(parse(text), KNOWN, RESERVED).map((row) => [row.name, row.state]);
}

test("a file is compared with what is there", () => {
  assert.deepEqual(states("SAME=1\nOTHER=2\nHIDDEN=3\nNEW=4\n"), [["SAME", "unchanged"], ["OTHER", "changed"], ["HIDDEN", "replaced"], ["NEW", "new"]]);
});

test("what cannot be set is refused, with its line and the reason, and without its value", () => {
  const text = "path=c4nary\nLD_PRELOAD=c4nary\nimport=c4nary\nA-B=c4nary\nEMPTY=\nTWICE=c4nary\nnothing c4nary\nTWICE=c4nary\nIMPORT=fine\n";
  const rows = plan(parse(text), [], RESERVED);
  assert.deepEqual(rows.map((row) => row.state), [...Array<string>(7).fill("refused"), "new", "new"]);
  assert.deepEqual(rows.map((row) => row.line), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.equal(rows[5]?.message, "It stands again on line 8, which counts.");
  for (const row of rows.slice(0, 7)) assert.ok(row.message && !row.message.includes("c4nary") && !settable(row), row.name);
  const long = plan(parse(`A='${"é".repeat(32_769)}'`), [], []);
  assert.match(long[0]?.message ?? "", /65538 bytes/);
});
