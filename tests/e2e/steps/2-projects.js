import { equal, holds } from "../support/world.js";

export const title = "Projects from an archive and from nothing";

export async function run(world) {
  const { page } = world;
  await world.$("project-new").click();
  await world.$("project-name").fill("Web shop");
  await world.$("kind-archive").check();
  await world.$("project-archive").setInputFiles(world.given.archive);
  await world.shot("new");
  await world.$("project-create").click();
  // A new project opens in the IDE.
  await world.$("ide-project").waitFor();
  equal(await world.$("ide-project").textContent(), "Web shop", "the opened project");
  await world.$("ide-back").click();

  await world.$("project-new").click();
  await world.$("project-name").fill("Notes");
  await world.$("kind-empty").check();
  await world.$("project-create").click();
  await world.$("ide-project").waitFor();
  await world.$("ide-back").click();
  await listed(world);
  await world.shot("list");

  // A name is checked by the server too.
  const refused = await world.api("POST", `${world.workspaceUrl}/projects`, { name: "", source: { kind: "empty" } });
  equal(refused.status, 422, "a project without a name");
  const rows = await page.locator("[data-test=project-row]").count();
  holds(rows === 2, `${rows} projects, not 2`);
}

/** Both projects, with what the page says of them. */
export async function listed(world) {
  const shop = world.$("project-row").filter({ hasText: "Web shop" });
  await shop.getByText("React + Vite").waitFor();
  await shop.getByText("projects/web-shop").waitFor();
  await world.$("project-row").filter({ hasText: "projects/notes" }).waitFor();
  world.shop = await shop.getAttribute("data-project");
}
