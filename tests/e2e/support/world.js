// The browser, the person's page in it, and what the steps leave for each other.
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import process from "node:process";
import { chromium } from "playwright-core";
import { elsewhere, switches } from "./elsewhere.js";
import { hangUp } from "./outside.js";
import { Watch } from "./watch.js";

/** A busy machine with two cores is slow; what takes longer is broken. */
const LIMIT_MS = 60_000;

/** `given` are names of the environment by what the steps call them. */
export async function open(given) {
  const env = (name) => process.env[name] ?? fail(`${name} is not set: run this through \`cargo test --test it e2e\``);
  const output = env("E2E_OUTPUT");
  await mkdir(output, { recursive: true });
  for (const name of await readdir(output)) await rm(path.join(output, name));
  elsewhere();
  const browser = await chromium.launch({
    executablePath: process.env.E2E_CHROMIUM ?? "/usr/bin/chromium",
    args: ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", ...switches],
  });
  return new World(browser, output, Object.fromEntries(Object.entries(given).map(([name, variable]) => [name, env(variable)]))).begin();
}

class World {
  step = 0;
  /** Milliseconds of every start of the container. */
  starts = [];
  watch = new Watch();

  constructor(browser, output, given) {
    this.browser = browser;
    this.output = output;
    this.given = given;
    this.origin = new URL(given.link).origin;
  }

  async begin() {
    this.context = await this.stranger();
    this.page = await this.context.newPage();
    return this;
  }

  /** A browser of its own, without cookies. */
  async stranger() {
    const context = await this.browser.newContext({ viewport: { width: 1440, height: 900 }, locale: "en-GB", timezoneId: "UTC", colorScheme: "light", acceptDownloads: true });
    context.setDefaultTimeout(LIMIT_MS);
    await this.watch.follow(context);
    return context;
  }

  /** Parts of the page by their `data-test` name, visible ones only. */
  $(name, more = "") {
    return this.page.locator(`[data-test="${name}"]${more}`).filter({ visible: true });
  }

  async shot(name, page = this.page) {
    await page.screenshot({ path: path.join(this.output, `${this.step}-${name}.png`) });
  }

  /** Calls the public API as the page does. Answers status and body, which is text when it is no JSON. */
  async api(method, url, json) {
    return this.page.evaluate(async ([method, url, json]) => {
      const headers = { "x-csrf-token": document.querySelector("meta[name=csrf-token]").content };
      if (json !== undefined) headers["content-type"] = "application/json";
      const response = await fetch(url, { method, headers, body: json === undefined ? undefined : JSON.stringify(json) });
      const text = await response.text();
      return { status: response.status, body: response.headers.get("content-type")?.includes("json") ? JSON.parse(text) : text };
    }, [method, url, json]);
  }

  get workspaceUrl() {
    return `/api/v1/workspaces/${this.workspace}`;
  }

  get containerUrl() {
    return `${this.workspaceUrl}/containers/${this.container}`;
  }

  /** A file of the container, by the API. */
  async read(file) {
    const { status, body } = await this.api("GET", `${this.containerUrl}/files/${file}`);
    return status === 200 ? body : null;
  }

  /** Waits until `predicate(argument)` holds in the page. */
  async until(what, predicate, argument, limit = LIMIT_MS) {
    try {
      await this.page.waitForFunction(predicate, argument, { timeout: limit });
    } catch (error) {
      throw new Error(`${what}: not within ${limit / 1000} s`, { cause: error });
    }
  }

  /** What helps to understand a failure. */
  async explain() {
    for (const [at, page] of this.context.pages().entries()) {
      try {
        await this.shot(`failed-${at}`, page);
        await writeFile(path.join(this.output, `${this.step}-failed-${at}.html`), await page.content());
        console.log(`  page ${at}: ${page.url()}\n${(await page.locator("body").innerText()).slice(0, 4000)}`);
      } catch (error) {
        console.log(`  page ${at} cannot be shown: ${error}`);
      }
    }
    try {
      this.watch.check();
    } catch (error) {
      console.log(`  ${error.message}`);
    }
  }

  async close() {
    hangUp();
    await this.browser.close();
  }
}

/** Ends the step. */
export function fail(message) {
  throw new Error(message);
}

export function equal(seen, wanted, what) {
  if (seen === wanted) return;
  // Of long texts, where they part.
  let at = 0;
  while (typeof seen === "string" && typeof wanted === "string" && at < seen.length && seen[at] === wanted[at]) at += 1;
  const part = (value) => (typeof value === "string" && value.length > 200 ? `…${JSON.stringify(value.slice(Math.max(0, at - 40), at + 120))}…` : JSON.stringify(value));
  fail(`${what}: ${part(seen)}, not ${part(wanted)}`);
}

export function holds(condition, what) {
  if (!condition) fail(what);
}
