import { readFile } from "node:fs/promises";
import path from "node:path";
import { run as signIn } from "./1-sign-in.js";
import { equal, fail, holds } from "../support/world.js";

/** Every value has this in it, so that it is found wherever it goes. */
const MARK = "tr0ub4dor";
const SIZES = [{ width: 1280, height: 900 }, { width: 390, height: 844 }];

export async function tour(world) {
  const { page } = world;
  world.step = 1;
  await signIn(world);
  const sent = [];
  page.on("request", (request) => sent.push(`${request.url()} ${request.postData() ?? ""}`));
  await setAndChange(world);
  await imports(world);
  await scopes(world);
  await reveals(world);
  await exports(world);
  // The pages encrypted all of it: no address and no body had a value in it.
  const values = sent.filter((request) => request.includes(MARK));
  equal(values.length, 0, `requests with a value (the first: ${values[0]})`);
  holds(sent.filter((request) => request.includes("ciphertext")).length >= 6, "values were sent as ciphertext");
}

async function add(world, name, tier, value, expires = "") {
  await world.$("secret-name").fill(name);
  await world.$("secret-value-input").fill(value);
  await world.$("secret-expires").fill(expires);
  await world.$(`tier-${tier}`).check();
  await world.$("secret-add").click();
  await world.$("secret-row", `[data-name=${name}]`).waitFor();
}

/** A day from now on, as a date field has it. */
function day(from) {
  return new Date(Date.now() + from * 86_400_000).toISOString().slice(0, 10);
}

async function setAndChange(world) {
  const { page } = world;
  world.step = 2;
  await world.$("nav-secrets").click();
  await world.$("secrets-empty").waitFor();
  await shots(world, "empty");
  await add(world, "SHOP_NAME", "visible", `Tea & <b>Biscuits</b> ${MARK}-visible`);
  await add(world, "SHOP_KEY", "masked", `${MARK}-one`, day(4));
  await add(world, "SHOP_TOKEN", "sensitive", `${MARK}-sensitive`);
  await world.$("secret-expand").check();
  await add(world, "SHOP_URL", "masked", `https://\${SHOP_KEY}@shop.example.com/${MARK}`);
  await world.$("secrets-ending").waitFor();
  equal(await world.$("secret-expires-soon").count(), 1, "secrets that expire soon");
  await shots(world, "list");

  await world.$("secret-row", "[data-name=SHOP_URL]").locator("[data-test=secret-open]").click();
  await world.$("secret-references").getByText("SHOP_KEY").waitFor();
  // A new value of one whose references are put in says what it refers to, and not what it is.
  await world.$("secret-new-value").fill(`https://\${SHOP_TOKEN}@shop.example.com/${MARK}`);
  await world.$("secret-replace").click();
  await world.$("secret-references").getByText("SHOP_TOKEN").waitFor();
  await world.$("secrets-back").click();

  await world.$("secret-row", "[data-name=SHOP_KEY]").locator("[data-test=secret-open]").click();
  await world.$("secret-new-value").fill(`${MARK}-two`);
  await world.$("secret-replace").click();
  await world.$("version-row", "[data-version='2']").waitFor();
  equal(await revealed(world), `${MARK}-two`, "the new value");
  await world.$("version-roll-back").click();
  await world.$("version-roll-back-confirm").click();
  await world.$("version-row", "[data-version='3']").waitFor();
  equal(await revealed(world), `${MARK}-one`, "the value that was rolled back to");
  await world.$("secret-description-input").fill("Opens the till; see <https://example.com>");
  await world.$("secret-description-save").click();
  await world.$("secret-description").getByText("Opens the till").waitFor();
  await world.$("secret-expires-input").fill(day(40));
  await world.$("secret-expires-save").click();
  await world.$("secret-good-until").getByText(day(40)).waitFor();
  await shots(world, "secret");
  await world.$("version-roll-back").first().click();
  await world.shot("secret-roll-back");
  holds(page.url().endsWith("/secrets/SHOP_KEY"), "the forms lead back to the secret");
}

async function revealed(world) {
  await world.$("secret-reveal").click();
  await world.$("secret-countdown").waitFor();
  return world.$("secret-value").textContent();
}

async function imports(world) {
  const { page } = world;
  world.step = 3;
  await world.$("secrets-back").click();
  await world.$("secrets-import").click();
  await world.$("import-text").waitFor();
  await shots(world, "import");
  const text = [
    "# From the old machine", `SHOP_NAME="Coffee ${MARK}"`, `SHOP_TOKEN=${MARK}-imported`, `SHOP_URL="https://\${SHOP_KEY}/${MARK}"`,
    `export SHOP_MODE='${MARK} test' # for now`, `SHOP_PEM="-----${MARK}\nline\n-----"`, `PATH=${MARK}`, `not a line ${MARK}`, "",
  ].join("\n");
  await world.$("import-file").setInputFiles({ name: "shop.env", mimeType: "text/plain", buffer: Buffer.from(text) });
  await world.$("import-check").click();
  await world.$("import-difference").waitFor();
  const states = await page.locator("[data-test=import-row]").evaluateAll((rows) => rows.map((row) => `${row.dataset.name} ${row.dataset.state}`));
  equal(states.join(", "), "SHOP_NAME changed, SHOP_TOKEN new_version, SHOP_URL new_version, SHOP_MODE added, SHOP_PEM added, PATH invalid,  invalid", "what would change");
  await page.locator("select[name='tier.SHOP_MODE']").selectOption("visible");
  await shots(world, "import-difference");
  await world.$("import-confirm").click();
  await world.$("secret-row", "[data-name=SHOP_PEM]").waitFor();
  const value = (name) => world.$("secret-row", `[data-name=${name}]`).locator("[data-test=secret-value]").textContent();
  equal(await value("SHOP_NAME"), `Coffee ${MARK}`, "an imported value");
  equal(await value("SHOP_MODE"), `${MARK} test`, "a new visible value");
  equal(await value("SHOP_PEM"), "••••••••", "what is shown of a new masked value");
}

async function scopes(world) {
  const { page } = world;
  world.step = 4;
  const made = await world.api("POST", `${world.workspaceUrl}/projects`, { name: "Corner shop", source: { kind: "empty" } });
  equal(made.status, 201, "a project is made");
  await world.$("scope", "[data-scope=Mine]").click();
  await world.$("secrets-empty").waitFor();
  await add(world, "SHOP_KEY", "masked", `${MARK}-own`);
  await world.$("secret-note").getByText("In place of the workspace's").waitFor();
  await world.shot("own");
  equal(await world.$("secret-row").count(), 1, "secrets of one's own");
  await world.$("scope-project").click();
  await world.shot("projects-menu");
  await world.$("scope-of-project").click();
  await world.$("secrets-empty").waitFor();
  await add(world, "SHOP_NAME", "visible", `Corner ${MARK}`);
  await shots(world, "project");
  await world.$("scope", "[data-scope=Workspace]").click();
  await world.$("secret-note").getByText("Your container gets your own instead").waitFor();
  await world.$("secret-note").getByText("Another one in project Corner shop").waitFor();
  // By the keyboard alone: to the menu, open, and away again.
  await world.$("scope-project").focus();
  await page.keyboard.press("Enter");
  await world.$("scope-of-project").waitFor();
  await page.keyboard.press("Escape");
  equal(await world.$("scope-of-project").count(), 0, "menus that stay open");
}

async function reveals(world) {
  const { page, context } = world;
  world.step = 5;
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const row = world.$("secret-row", "[data-name=SHOP_KEY]");
  const shown = () => row.locator("[data-test=secret-value]").textContent();
  await row.locator("[data-test=secret-reveal]").click();
  await row.locator("[data-test=secret-countdown]").waitFor();
  equal(await shown(), `${MARK}-one`, "the revealed value");
  await row.locator("[data-test=secret-copy]").click();
  await row.getByText("The clipboard keeps it").waitFor();
  equal(await page.evaluate(() => navigator.clipboard.readText()), `${MARK}-one`, "the clipboard");
  await world.shot("revealed");
  // A page that is not looked at hides it.
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  equal(await shown(), "••••••••", "the value once the page is hidden");
  await page.evaluate(() => delete document.hidden);
}

async function exports(world) {
  const { page } = world;
  world.step = 6;
  await world.$("secrets-export").click();
  await world.$("export-sensitive").getByText("SHOP_TOKEN").waitFor();
  await shots(world, "export");
  const download = async () => {
    const [file] = await Promise.all([page.waitForEvent("download"), world.$("export-download").click()]);
    equal(file.suggestedFilename(), "secrets.env", "the file's name");
    return readFile(await file.path(), "utf8");
  };
  const seen = await download();
  holds(seen.includes(`SHOP_NAME="Coffee ${MARK}"`) && !seen.includes(`${MARK}-one`), `an export of visible ones: ${seen}`);
  // The same page again, for a file leaves it where it is.
  await world.$("export-with").check();
  const all = await download();
  holds(all.includes(`SHOP_KEY=${MARK}-one`) && all.includes("# SHOP_TOKEN is sensitive"), `an export with masked ones: ${all}`);
  holds(!all.includes(`${MARK}-imported`), "a sensitive value is in the export");
}

/** The page in both schemes and at both widths; nothing may stand out at the side. */
async function shots(world, name) {
  const { page } = world;
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const size of SIZES) {
      await page.setViewportSize(size);
      await page.screenshot({ path: path.join(world.output, `${world.step}-${name}-${scheme}-${size.width}.png`), fullPage: true });
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 0) fail(`${name} is ${wide} px wider than a screen of ${size.width} px`);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1440, height: 900 });
}
