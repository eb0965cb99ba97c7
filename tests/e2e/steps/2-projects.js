import { equal, holds } from "../support/world.js";

export const title = "Projects from archives, from git and from nothing";

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

  await packed(world);
  await fromGit(world);

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
  holds(rows === 4, `${rows} projects, not 4`);
}

/** The other kind of archive. */
async function packed(world) {
  await world.$("project-new").click();
  await world.$("project-name").fill("Packed");
  await world.$("kind-archive").check();
  await world.$("project-archive").setInputFiles(world.given.zip);
  await world.$("project-create").click();
  await world.$("ide-project").waitFor();
  equal(await world.$("ide-project").textContent(), "Packed", "the project from a .zip");
  await world.$("ide-back").click();
  await world.$("project-row").filter({ hasText: "projects/packed" }).getByText("React + Vite").waitFor();
}

/** An address that cannot be cloned is refused beside its field, with what was typed still there. */
async function fromGit(world) {
  await world.$("project-new").click();
  await world.$("project-name").fill("Fork");
  await world.$("kind-git").check();
  await world.$("project-url").fill("ssh://git.example.com/team/app.git");
  await world.$("project-create").click();
  const field = world.page.locator(".field").filter({ has: world.$("project-url") });
  await field.locator("[data-test=field-error]").getByText("only https and http addresses").waitFor();
  equal(await world.$("project-name").inputValue(), "Fork", "the name that was typed");
  equal(await world.$("project-url").inputValue(), "ssh://git.example.com/team/app.git", "the address that was typed");
  await world.shot("refused");
  await world.$("project-url").fill("https://git.example.com/team/app.git");
  await world.$("project-create").click();
  await world.$("ide-project").waitFor();
  equal(await world.$("ide-project").textContent(), "Fork", "the project from git");
  await world.$("ide-back").click();
  await world.$("project-row").filter({ hasText: "projects/fork" }).waitFor();
}

/** The projects that later steps use, with what the page says of them. */
export async function listed(world) {
  const shop = world.$("project-row").filter({ hasText: "Web shop" });
  await shop.getByText("React + Vite").waitFor();
  await shop.getByText("projects/web-shop").waitFor();
  await world.$("project-row").filter({ hasText: "projects/notes" }).waitFor();
  world.shop = await shop.getAttribute("data-project");
}
