// The nine steps of a person's first hour with OptiDev, in a real browser, each with a picture.
//
// Run by `cargo test --test it e2e`, which starts the server and answers what this asks (support/outside.js).
// Ends with status 0 when every step held and no page complained.
import process from "node:process";
import { open } from "./support/world.js";
import * as signIn from "./steps/1-sign-in.js";
import * as projects from "./steps/2-projects.js";
import * as container from "./steps/3-container.js";
import * as terminal from "./steps/4-terminal.js";
import * as files from "./steps/5-files.js";
import * as preview from "./steps/6-preview.js";
import * as assistant from "./steps/7-assistant.js";
import * as secrets from "./steps/8-secrets.js";
import * as restart from "./steps/9-restart.js";

const steps = [signIn, projects, container, terminal, files, preview, assistant, secrets, restart];

const world = await open({
  link: "E2E_SIGN_IN", archive: "E2E_ARCHIVE", zip: "E2E_ZIP", heading: "E2E_HEADING", newHeading: "E2E_NEW_HEADING",
});
// The text, as the page shows it.
world.given.heading = world.given.heading.replace(/<[^>]*>/g, "");
try {
  for (const [at, step] of steps.entries()) {
    const start = performance.now();
    console.log(`${at + 1} ${step.title}`);
    world.step = at + 1;
    await step.run(world);
    world.watch.check();
    console.log(`  ok, ${((performance.now() - start) / 1000).toFixed(1)} s`);
  }
} catch (error) {
  console.log(`  FAILED: ${error instanceof Error ? error.stack : error}`);
  await world.explain();
  process.exitCode = 1;
} finally {
  await world.close();
}
