/** A session's events become turns; repeats change nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { callTitle, Conversation } from "./conversation";

const events = [
  { type: "user", turn: "t1", text: "hello" },
  { type: "text", turn: "t1", delta: "Let me " },
  { type: "text", turn: "t1", delta: "look." },
  { type: "call", turn: "t1", call_id: "c1", tool: "edit", input: { path: "a.ts" }, state: "waiting", output: null },
  { type: "call", turn: "t1", call_id: "c1", tool: "edit", input: { path: "a.ts" }, state: "done", output: "ok" },
  { type: "diff", turn: "t1", call_id: "c1", path: "a.ts", diff: "@@ -1 +1 @@\n-a\n+b", created: false },
  { type: "text", turn: "t1", delta: "Done." },
  { type: "done", turn: "t1", stop_reason: "end_turn", input_tokens: 10, output_tokens: 5, files: ["a.ts"] },
];

test("states follow the events", () => {
  const talk = new Conversation();
  const states = events.map((event, at) => {
    talk.apply(at + 1, event);
    return talk.state;
  });
  assert.deepEqual(states, ["working", "working", "working", "waiting", "working", "working", "working", "idle"]);
  assert.deepEqual(talk.turns[0]?.parts.map((part) => part.kind), ["text", "call", "text"]);
});

test("a resumed stream that repeats itself changes nothing", () => {
  const once = new Conversation();
  const twice = new Conversation();
  events.forEach((event, at) => once.apply(at + 1, event));
  for (let cut = 0; cut < events.length; cut += 1) events.slice(0, cut + 1).forEach((event, at) => twice.apply(at + 1, event));
  assert.deepEqual(twice.turns, once.turns);
  assert.equal(twice.last, 8);
});

test("an error ends the turn, and undo is kept", () => {
  const talk = new Conversation();
  talk.apply(1, { type: "user", turn: "t", text: "x" });
  talk.apply(2, { type: "error", turn: "t", message: "no" });
  assert.equal(talk.state, "idle");
  talk.apply(3, { type: "undone", turn: "t", files: ["a", 3] });
  assert.deepEqual(talk.turns[0]?.undone, ["a"]);
});

test("titles of calls", () => {
  assert.equal(callTitle("run", { command: ["npm", "test"] }), "Run npm test");
  assert.equal(callTitle("read", { path: 3 }), "Read a file");
  assert.equal(callTitle("", {}), "Tool");
});
