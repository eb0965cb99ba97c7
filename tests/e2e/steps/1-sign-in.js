import { equal, holds } from "../support/world.js";

export const title = "The one-time link makes the owner";

export async function run(world) {
  const { page } = world;
  await page.goto(world.given.link);
  await page.fill("[name=name]", "Ada Lovelace");
  await page.fill("[name=email]", "ada@example.com");
  await page.fill("[name=password]", "too short");
  await page.fill("[name=organization]", "Analytical Engines");
  await page.fill("[name=workspace]", "Main");
  await world.shot("owner");
  await world.$("setup-submit").click();
  holds(await page.locator("[name=password]:invalid").count() === 1, "a short password is not sent");
  await page.fill("[name=password]", "correct horse battery staple");
  await world.$("setup-submit").click();

  await world.$("second-factor-secret").waitFor();
  await world.shot("second-factor");
  await world.$("second-factor-skip").click();
  await page.waitForURL(/\/workspaces\/wsp_[0-9a-z]{26}\/projects$/);
  await world.$("projects-empty").waitFor();
  equal(await world.$("workspace-name").textContent(), "Main", "the workspace's name");
  world.workspace = /wsp_[0-9a-z]{26}/.exec(page.url())[0];
  await world.shot("projects");

  await usedUp(world);
}

/** The link opens nothing a second time, for nobody. */
export async function usedUp(world) {
  const stranger = await world.stranger();
  const second = await stranger.newPage();
  const answer = await second.goto(world.given.link);
  equal(answer.status(), 404, "the link's second use");
  await second.locator("[data-test=error-page]").waitFor();
  equal(await second.locator("form [name=password]").count(), 0, "forms on the used link's page");
  await world.shot("link-again", second);
  equal((await stranger.cookies()).length, 0, "cookies of the stranger");
  await stranger.close();
}
