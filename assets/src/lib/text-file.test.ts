/** Saving what was opened gives the same bytes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decode, encode } from "./text-file";

test("bytes survive opening and saving", () => {
  for (const source of ["", "a", "a\n", "a\r\nb\r\n", "a\nb\r\nc\r", "\uFEFFa\r\n", "ä€😀\n", "\r"]) {
    const bytes = new TextEncoder().encode(source);
    const file = decode(bytes);
    assert.ok(file);
    assert.deepEqual([...encode(file.text, file)], [...bytes], JSON.stringify(source));
  }
});

test("what is not text is refused", () => {
  assert.equal(decode(new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0xff])), null);
  assert.equal(decode(new Uint8Array([97, 0, 98])), null);
});
