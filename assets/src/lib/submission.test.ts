import assert from "node:assert/strict";
import { test } from "node:test";
import { submissionData } from "./submission";

test("fields follow the prefix, each with its length", () => {
  const data = submissionData(Uint8Array.of(9, 9), "ÄB", "masked");
  const expected = [9, 9, 0, 0, 0, 0, 0, 0, 0, 3, 0xc3, 0x84, 0x42, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2];
  assert.deepEqual([...data], expected);
});

test("a tier that is none is refused", () => {
  assert.throws(() => submissionData(new Uint8Array(), "A", "secret"), /secret is no tier/);
});
