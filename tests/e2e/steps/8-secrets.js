import { start, stopMeanwhile } from "./3-container.js";
import { Terminal } from "../support/terminal.js";
import { equal, fail, holds } from "../support/world.js";

export const title = "Secrets of three tiers reach the container";

export const SECRETS = [
  { name: "SHOP_NAME", tier: "visible", value: "Tea & <b>Biscuits</b>" },
  { name: "SHOP_KEY", tier: "masked", value: "tr0ub4dor-masked" },
  { name: "SHOP_TOKEN", tier: "sensitive", value: "tr0ub4dor-sensitive" },
];

export async function run(world) {
  const { page } = world;
  const project = page.url();
  await world.$("ide-back").click();
  await world.$("nav-secrets").click();
  await world.$("secrets-empty").waitFor();
  const sent = [];
  page.on("request", (request) => sent.push(request.postData() ?? ""));
  for (const { name, tier, value } of SECRETS) {
    await world.$("secret-name").fill(name);
    await world.$("secret-value-input").fill(value);
    await world.$(`tier-${tier}`).check();
    await world.$("secret-add").click();
    await world.$("secret-row", `[data-name=${name}]`).waitFor();
  }
  // The page encrypted them: what left the browser is for the vault alone.
  const forms = sent.filter((body) => body.includes("ciphertext="));
  equal(forms.length, SECRETS.length, "forms with a sealed value");
  for (const part of ["Biscuits", "tr0ub4dor-masked", "tr0ub4dor-sensitive"]) {
    holds(!sent.some((body) => body.includes(part)), `${part} left the page as it was typed`);
  }
  await shown(world);

  await page.goto(project);
  await world.$("workbench").waitFor();
  await stopMeanwhile(world);
  await world.shot("stopped");
  await start(world);
  const terminal = await new Terminal(world).ready();
  equal(terminal.id, world.terminal, "the terminal after the container's restart");
  await terminal.shows(/\[container restarted, new shell\]/);
  await terminal.clear();
  await terminal.enter(`printenv ${SECRETS.map(({ name }) => name).join(" ")}`);
  await terminal.shows(new RegExp(`\\n${SECRETS.map(({ value }) => value).join("\\n")}\\n`));
  await world.shot("in-the-container");
}

/** What the page shows of each: all, on demand, nothing. */
async function shown(world) {
  const { page } = world;
  const [visible, masked, sensitive] = SECRETS;
  const row = ({ name }) => world.$("secret-row", `[data-name=${name}]`);
  equal(await row(visible).locator("[data-test=secret-value]").textContent(), visible.value, "the visible value");
  absent(await page.content(), masked, sensitive);
  await row(masked).locator("[data-test=secret-reveal]").click();
  await row(masked).getByText(masked.value).waitFor();
  equal(await row(sensitive).locator("[data-test=secret-reveal]").count(), 0, "buttons that reveal the sensitive value");
  absent(await page.content(), sensitive);
  await world.shot("revealed");
  await row(masked).locator("[data-test=secret-hide]").click();
  await row(masked).getByText(masked.value).waitFor({ state: "detached" });
  await page.reload();
  absent(await page.content(), masked, sensitive);
  await world.shot("secrets");

  const listed = await world.api("GET", `${world.workspaceUrl}/secrets`);
  holds(listed.body.items.length === SECRETS.length, "the API lists the secrets");
  absent(JSON.stringify(listed.body), masked, sensitive);
  const reveal = await world.api("POST", `${world.workspaceUrl}/secrets/${sensitive.name}/reveal`, {});
  holds(reveal.status >= 400, `revealing the sensitive value answers ${reveal.status}`);
  absent(JSON.stringify(reveal.body), sensitive);
}

function absent(text, ...secrets) {
  for (const { name, value } of secrets) if (text.includes(value)) fail(`the value of ${name} is in what the page got`);
}
