import http from "node:http";
import https from "node:https";
import { openApp, save } from "./5-files.js";
import { appsDomain } from "../support/elsewhere.js";
import { readyForNpm } from "../support/outside.js";
import { Terminal } from "../support/terminal.js";
import { equal, fail, holds } from "../support/world.js";

export const title = "npm install, dev server, preview, hot reload";

/** npm fetches over a network. */
const INSTALL_MS = 180_000;
const PORT = 5173;

export async function run(world) {
  const terminal = await new Terminal(world).ready();
  await egress(world, terminal);
  await readyForNpm();
  await terminal.clear();
  await terminal.enter("npm install");
  await terminal.shows(/added \d+ packages.*\$\n*$/s, INSTALL_MS);
  await world.shot("installed");
  await terminal.clear();
  await terminal.enter("npm run dev");
  await terminal.shows(/Local: +http:\/\/localhost:5173\//);

  // The page says by itself that something listens.
  await world.$("preview-offer-open").waitFor();
  await world.shot("offer");
  await world.$("tab-preview").click();
  const frame = await opened(world);
  const host = new URL(frame.url());
  equal(host.host, `${PORT}--${world.container.slice(4)}.${appsDomain}:${new URL(world.origin).port}`, "the preview's host");
  await world.shot("preview");
  await hotReload(world, frame);
  await strangers(world, host.origin);
}

/** Allowed hosts answer, all others are refused with a line that says why. */
async function egress(world, terminal) {
  await terminal.clear();
  await terminal.enter("curl -sS https://example.org/");
  await terminal.shows(/403.*\$\n*$/s);
  await told(world);
  await terminal.enter("curl -sS http://example.org/");
  await terminal.shows(/OptiDev egress:.*example\.org.*\$\n*$/s);
  // Not through the proxy there is no network at all.
  await terminal.enter("curl -sS --noproxy '*' -m 5 https://203.0.113.1/ ; echo status $?");
  await terminal.shows(/\nstatus [1-9]\d*\n/);
}

/** The page tells of a refusal by itself, and lists it. */
async function told(world) {
  await world.$("egress-notice").getByText("example.org").waitFor();
  await world.shot("refused");
  await world.$("egress-dismiss").click();
  await world.$("network-tab").click();
  const row = world.$("network-row", '[data-host="example.org"][data-verdict=refused]');
  await row.getByText("example.org:443", { exact: true }).waitFor();
  await row.getByText("Refused", { exact: true }).waitFor();
  equal(await world.$("network-row", '[data-host="example.org"][data-verdict=allowed]').count(), 0, "allowed connections to a refused host");
  await world.shot("network");
  await world.$("network-tab").click();
}

/** The frame, showing the application. */
export async function opened(world, heading = world.given.heading) {
  await shows(world, heading);
  const element = await world.$("preview-frame", `[data-port="${PORT}"]`).elementHandle();
  return element.contentFrame();
}

export async function shows(world, heading) {
  const inside = world.$("preview-frame", `[data-port="${PORT}"]`).contentFrame();
  try {
    await inside.getByRole("heading", { name: heading, exact: true }).waitFor({ timeout: 60_000 });
  } catch (error) {
    fail(`the preview does not show ${JSON.stringify(heading)} but: ${await inside.locator("body").innerText()} (${error})`);
  }
}

/** Marks the running page, so that a reload of it is noticed. */
export async function mark(frame) {
  await frame.evaluate(() => {
    window.notReloaded = true;
  });
}

export async function notReloaded(frame) {
  holds(await frame.evaluate(() => window.notReloaded === true), "the preview changed without a reload");
}

async function hotReload(world, frame) {
  const { page } = world;
  // State of the application: a reload would lose it too.
  const counter = frame.getByRole("button", { name: /count is/i });
  await counter.click();
  await frame.getByRole("button", { name: /count is 1/i }).waitFor();
  await mark(frame);

  await openApp(world);
  await world.$("tab-search").click();
  await world.$("search-query").fill(`<h1>${world.given.heading}`);
  await page.keyboard.press("Enter");
  await world.$("search-match").click();
  await world.$("tab-files").click();
  // The cursor is where the match begins.
  await world.$("editor-content").focus();
  await page.keyboard.press("Shift+End");
  await page.keyboard.insertText("<h1>Hot reload</h1>");
  await save(world);
  await shows(world, "Hot reload");
  await notReloaded(frame);
  await frame.getByRole("button", { name: /count is 1/i }).waitFor();
  await world.shot("hot-reload");

  await page.keyboard.press("Control+z");
  await save(world);
  await shows(world, world.given.heading);
  await notReloaded(frame);
}

/** Nobody sees it without the owner's cookie; a ticket opens it once. */
async function strangers(world, origin) {
  const stranger = await world.stranger();
  const page = await stranger.newPage();
  const refused = await page.goto(`${origin}/`);
  holds(refused.status() >= 400 && refused.status() < 500, `a stranger gets status ${refused.status()}`);
  equal(await page.getByText(world.given.heading).count(), 0, "headings that a stranger sees");
  await world.shot("stranger", page);
  const source = await page.goto(`${origin}/src/App.tsx`);
  holds(source.status() >= 400 && !(await source.text()).includes("function App"), `a stranger gets no source (status ${source.status()})`);
  const socket = await upgrade(new URL(origin));
  holds(socket >= 400 && socket < 500, `a stranger's WebSocket gets status ${socket}`);

  const { status, body } = await world.api("POST", `${world.containerUrl}/ports/${PORT}/open`, {});
  equal(status, 200, "a ticket");
  const own = await world.context.newPage();
  await own.goto(body.url);
  await own.getByRole("heading", { name: world.given.heading, exact: true }).waitFor();
  await own.close();
  const again = await page.goto(body.url);
  holds(again.status() >= 400, `a used ticket gives a stranger status ${again.status()}`);
  equal(await page.getByText(world.given.heading).count(), 0, "headings that a used ticket shows");
  await stranger.close();
}

/** The status with which a WebSocket without a cookie is answered; 101 would be an open one. */
function upgrade({ host, hostname, port, protocol, origin }) {
  const { request } = protocol === "https:" ? https : http;
  return new Promise((resolve, reject) => {
    const asked = request({
      // Names below localhost are not known to every resolver.
      host: hostname.endsWith("localhost") ? "127.0.0.1" : hostname, port, path: "/",
      headers: { host, origin, connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-protocol": "vite-hmr" },
    });
    asked.on("response", (response) => resolve(response.resume().statusCode));
    asked.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(response.statusCode);
    });
    asked.on("error", reject);
    asked.end();
  });
}
