import process from "node:process";
import { usedUp } from "./1-sign-in.js";
import { listed } from "./2-projects.js";
import { start, stop } from "./3-container.js";
import { conversation } from "./7-assistant.js";
import { restartServer } from "../support/outside.js";
import { countsTo, Terminal } from "../support/terminal.js";
import { equal, holds } from "../support/world.js";

export const title = "All is there after a stop and a restart of the server";

/** A container starts within a second on a machine that has nothing else to do, a pod within five: the best of several starts. */
const START_MS = process.env.E2E_PODS ? 5000 : 1000;

export async function run(world) {
  const { page } = world;
  const project = page.url();
  const before = await new Terminal(world).ready().then((terminal) => terminal.everything());
  const app = await world.read("projects/web-shop/src/App.tsx");
  await stop(world);
  await restartServer();

  await page.goto(`${world.origin}/`);
  await page.waitForURL(/\/projects$/);
  await listed(world);
  await world.$("container-state", "[data-state=stopped]").waitFor();
  await world.shot("signed-in");
  await usedUp(world);

  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto(project);
  await start(world);
  const terminal = await new Terminal(world).ready();
  equal(terminal.id, world.terminal, "the terminal after the server's restart");
  await terminal.prompt();
  const after = await terminal.everything();
  equal(after.slice(0, before.length), before, "the terminal's history");
  holds(after.length > before.length && after.includes("grüße 日本 42"), "a new shell follows the history");
  const count = after.slice(after.indexOf("count begins here\r\n"));
  countsTo(count.slice(0, count.indexOf("\n20000\r\n") + 8), 20_000, "the history's numbers");
  equal(await world.read("projects/web-shop/src/App.tsx"), app, "the edited file");
  await world.$("tree-entry", '[data-path="projects/web-shop/drafts"]').waitFor();
  await conversation(world);
  await world.shot("back");

  const best = Math.min(...world.starts);
  holds(best < START_MS, `starts took ${world.starts.join(", ")} ms; the best should be under ${START_MS}`);
}
