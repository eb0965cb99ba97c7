import process from "node:process";
import { equal, holds } from "../support/world.js";

export const title = "The container starts, step by step";

const LOCAL = ["volume", "isolation", "agent", "egress", "secrets", "ready"];
const POD = ["volume", "node", "image", "isolation", "agent", "egress", "secrets", "ready"];
const STEPS = process.env.E2E_PODS ? POD : LOCAL;

export async function run(world) {
  await world.$("project-open").filter({ hasText: "Web shop" }).click();
  await world.$("start-container").waitFor();
  equal(await world.$("start-title").textContent(), "Your container is stopped", "what the page says");
  await world.shot("stopped");
  await progress(world);
  await world.$("tree-entry", '[data-path="projects/web-shop/package.json"]').waitFor();
  await world.$("terminal", "[data-state=open]").waitFor();
  await world.shot("running");
}

/** Starts the container by its button, until the workbench is there. */
export async function start(world) {
  await world.$("start-container").click();
  await world.$("container-state", "[data-state=running]").waitFor();
  await world.$("workbench").waitFor();
  const { body } = await world.api("GET", `${world.workspaceUrl}/containers`);
  const [container] = body.items;
  world.container = container.id;
  equal(container.state, "running", "the container");
  equal(container.steps.map((step) => step.name).join(), STEPS.join(), "the steps");
  for (const step of container.steps) holds(step.state === "done" && step.duration_ms !== null, `step ${step.name} is ${step.state} after ${step.duration_ms} ms`);
  world.starts.push(container.start_duration_ms);
  const shown = await world.$("start-duration").textContent();
  holds(/^[\d.,]+ m?s$/.test(shown), `the header shows a duration, not ${JSON.stringify(shown)}`);
  console.log(`  started in ${container.start_duration_ms} ms (${container.steps.map((step) => `${step.name} ${step.duration_ms}`).join(", ")})`);
}

/** The steps with their times. They are over in a moment: the project's way in is held back while they are looked at. */
async function progress(world) {
  const way = /\/containers\/ctr_[^/]+\/projects\/prj_[^/]+$/;
  let seen;
  const looked = new Promise((resolve) => (seen = resolve));
  await world.page.route(way, async (route) => {
    await looked;
    await route.continue();
  });
  const started = start(world);
  const look = async () => {
    for (const step of STEPS) await world.$("step", `[data-step=${step}][data-state=done]`).getByText(/^[\d.,]+ m?s$/).waitFor();
    await world.$("step", "[data-step=project]").waitFor();
    await world.shot("steps");
  };
  await Promise.all([look().finally(seen), started]);
  await world.page.unroute(way);
}

/** Stops it by its button. */
export async function stop(world) {
  await world.$("stop-container").click();
  await stopped(world);
}

/** As `stop`, while the page waits for an answer from before, which says that it runs. */
export async function stopMeanwhile(world) {
  const looks = new RegExp(`/containers/${world.container}$`);
  let asked, release;
  const answered = new Promise((resolve) => (asked = resolve));
  const held = new Promise((resolve) => (release = resolve));
  await world.page.route(looks, async (route) => {
    const response = await route.fetch();
    asked();
    await held;
    await route.fulfill({ response });
  });
  await answered;
  const stopping = world.page.waitForResponse((response) => response.url().endsWith("/stop"));
  await world.$("stop-container").click();
  await stopping;
  release();
  await stopped(world);
  await world.page.unroute(looks);
}

async function stopped(world) {
  await world.$("start-container").waitFor();
  await world.$("container-state", "[data-state=stopped]").waitFor();
}
