// The life of secrets in a real browser: set, change, roll back, import, one's own, export, reveal; each page in light and
// dark, wide and narrow.
//
// Run by `cargo test --test it e2e`, as main.js is.
import process from "node:process";
import { open } from "./support/world.js";
import { tour } from "./steps/secrets-tour.js";

const world = await open({ link: "E2E_SIGN_IN" });
try {
  await tour(world);
  world.watch.check();
} catch (error) {
  console.log(`  FAILED: ${error instanceof Error ? error.stack : error}`);
  await world.explain();
  process.exitCode = 1;
} finally {
  await world.close();
}
