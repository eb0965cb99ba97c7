import assert from "node:assert/strict";
import { test } from "node:test";
import { localTarget } from "./local-target";

test("loopback addresses are the container's own", () => {
  assert.deepEqual(localTarget("http://localhost:5173/"), { port: 5173, path: "/" });
  assert.deepEqual(localTarget("http://127.0.0.1:8000/a?b=1#c"), { port: 8000, path: "/a?b=1#c" });
  assert.deepEqual(localTarget("http://[::1]:3000"), { port: 3000, path: "/" });
  assert.deepEqual(localTarget("http://0.0.0.0/"), { port: 80, path: "/" });
});

test("other addresses are not", () => {
  for (const address of ["https://localhost:5173/", "http://localhost.example.com/", "http://example.com:5173/", "javascript:alert(1)", "nonsense"]) {
    assert.equal(localTarget(address), null, address);
  }
});
