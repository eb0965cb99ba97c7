import assert from "node:assert/strict";
import { test } from "node:test";
import vectors from "../../../tests/vectors/dotenv.json";
import { parse } from "./dotenv";
import { referencesOf } from "./references";

test("files are read as the server reads them", () => {
  for (const { text, entries, mistakes } of vectors.cases) {
    const parsed = parse(text);
    assert.deepEqual(parsed.entries.map(({ line, name, value }) => [line, name, value]), entries, JSON.stringify(text));
    assert.deepEqual(parsed.mistakes.map(({ line, message }) => [line, message]), mistakes, JSON.stringify(text));
  }
});

test("references are found as the server finds them", () => {
  for (const { value, names } of vectors.references) assert.deepEqual(referencesOf(value), names, value);
});

test("a long file takes no long time", () => {
  const many = 20_000;
  const start = performance.now();
  assert.equal(parse("NAME=value\n".repeat(many)).entries.length, many);
  assert.equal(parse(`A=${" ".repeat(100_000)}x`).entries.length, 1);
  assert.ok(performance.now() - start < 5_000);
});
