import assert from "node:assert/strict";
import { test } from "node:test";
import { type Decision, grouped, Refusals, sentence } from "./decisions";

const at = (at_ms: number, host: string, verdict: "allowed" | "refused" = "refused"): Decision => ({
  at_ms, host, port: 443, verdict, reason: verdict === "refused" ? "not_listed" : "listed",
  message: verdict === "refused" ? `OptiDev egress: ${host}:443 is not on the allow-list.` : null,
});

test("a refusal is news once, and again after a minute's quiet", () => {
  const refusals = new Refusals();
  const list = [at(1000, "old.example")];
  assert.deepEqual(refusals.fresh(list), []);
  list.unshift(at(2000, "new.example"), at(1900, "new.example"), at(1800, "fine.example", "allowed"));
  assert.deepEqual(refusals.fresh(list).map((one) => one.host), ["new.example"]);
  assert.deepEqual(refusals.fresh(list), []);
  list.unshift(at(30_000, "new.example"));
  assert.deepEqual(refusals.fresh(list), []);
  list.unshift(at(200_000, "new.example"));
  assert.deepEqual(refusals.fresh(list).map((one) => one.at_ms), [200_000]);
});

test("refusals after an empty first look are news", () => {
  const refusals = new Refusals();
  assert.deepEqual(refusals.fresh([]), []);
  assert.equal(refusals.fresh([at(5, "a.example")]).length, 1);
});

test("a refusal that another server tells of a moment late is news, and an old one is not", () => {
  const refusals = new Refusals();
  assert.deepEqual(refusals.fresh([at(200_000, "first.example")]), []);
  const list = [at(200_000, "first.example"), at(199_000, "late.example"), at(100_000, "old.example")];
  assert.deepEqual(refusals.fresh(list).map((one) => one.host), ["late.example"]);
  assert.deepEqual(refusals.fresh(list), []);
});

test("neighbours that say the same are one row", () => {
  const rows = grouped([at(5, "a.example"), at(4, "a.example"), at(3, "b.example"), at(2, "a.example")]);
  assert.deepEqual(rows.map((row) => [row.decision.host, row.decision.at_ms, row.times]), [["a.example", 5, 2], ["b.example", 3, 1], ["a.example", 2, 1]]);
});

test("the sentence has no prefix", () => {
  assert.equal(sentence(at(1, "a.example")), "a.example:443 is not on the allow-list.");
});
