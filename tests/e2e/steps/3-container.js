import { equal, holds } from "../support/world.js";

export const title = "The container starts, step by step";

const STEPS = ["volume", "isolation", "agent", "egress", "secrets", "ready"];

export async function run(world) {
  await world.$("project-open").filter({ hasText: "Web shop" }).click();
  await world.$("start-container").waitFor();
  equal(await world.$("start-title").textContent(), "Your container is stopped", "what the page says");
  await world.shot("stopped");
  await start(world, () => world.shot("starting"));
  await world.$("tree-entry", '[data-path="projects/web-shop/package.json"]').waitFor();
  await world.$("terminal", "[data-state=open]").waitFor();
  await world.shot("running");
}

/** Starts the container by its button, until the workbench is there. `during` runs when the steps are shown. */
export async function start(world, during = async () => {}) {
  const { page } = world;
  await page.evaluate(() => {
    // The steps are on the page for a moment: kept as they change.
    window.seenSteps = {};
    const observer = new MutationObserver(() => {
      for (const step of document.querySelectorAll("[data-test=step]")) if (step.dataset.state === "done") window.seenSteps[step.dataset.step] = step.textContent;
    });
    observer.observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  await world.$("start-container").click();
  await world.$("steps").waitFor();
  await during();
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
  const seen = await page.evaluate(() => window.seenSteps);
  for (const step of STEPS.slice(0, 3)) holds(/\d m?s$/.test(seen[step] ?? ""), `step ${step} was shown with its time: ${JSON.stringify(seen)}`);
  console.log(`  started in ${container.start_duration_ms} ms (${container.steps.map((step) => `${step.name} ${step.duration_ms}`).join(", ")})`);
}

/** Stops it by its button. */
export async function stop(world) {
  await world.$("stop-container").click();
  await world.$("start-container").waitFor();
  await world.$("container-state", "[data-state=stopped]").waitFor();
}
