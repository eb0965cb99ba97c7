import { mark, notReloaded, opened, shows } from "./6-preview.js";
import { giveKey } from "../support/outside.js";
import { equal, holds } from "../support/world.js";

export const title = "The assistant changes the heading, and takes it back";

const APP = "projects/web-shop/src/App.tsx";
const QUESTION = "Please make the heading say that this was made with OptiDev.";

export async function run(world) {
  await withoutKey(world);
  await giveKey();
  await world.$("assistant-recheck").click();
  await world.$("chat-empty").waitFor();
  const original = await world.read(APP);

  // Marked before anything is asked: what the assistant changes comes into the running page.
  await world.$("tab-preview").click();
  const frame = await opened(world);
  await mark(frame);
  await world.$("tab-assistant").click();
  await ask(world);
  await world.$("call", "[data-tool=run][data-state=waiting]").waitFor();
  await world.shot("waiting");
  await changed(world, original);
  await allow(world);
  await world.$("tab-preview").click();
  await shows(world, world.given.newHeading);
  await notReloaded(frame);
  await world.shot("changed");
  await undo(world, frame, original);
  await replayed(world);
}

async function withoutKey(world) {
  await world.$("tab-assistant").click();
  await world.$("assistant-not-ready").waitFor();
  equal(await world.$("missing-setting").textContent(), "[ai] anthropic_api_key_file", "the setting that the page names");
  await world.shot("not-ready");
}

/** A message, and an answer which comes in pieces. */
async function ask(world) {
  const { page } = world;
  await page.evaluate(() => {
    window.seenLengths = new Set();
    new MutationObserver(() => {
      const text = document.querySelector("[data-test=chat-text]")?.textContent;
      if (text) window.seenLengths.add(text.length);
    }).observe(document.querySelector("[data-test=chat-log]"), { subtree: true, childList: true, characterData: true });
  });
  await world.$("chat-input").fill(QUESTION);
  await page.keyboard.press("Enter");
  await world.$("chat-user").getByText(QUESTION).waitFor();
  await world.$("call", "[data-tool=read][data-state=done]").waitFor();
  const pieces = await page.evaluate(() => window.seenLengths.size);
  holds(pieces >= 4, `the text came in ${pieces} pieces`);
  await world.$("call", "[data-tool=list][data-state=done]").waitFor();
  await world.$("call", "[data-tool=list]").locator("summary").click();
  await world.$("call", "[data-tool=list]").locator("[data-test=call-output]").getByText("App.tsx").waitFor();
  await world.$("call", "[data-tool=list]").locator("summary").click();
}

/** The edit is made and shown as a difference while the command waits. */
async function changed(world, original) {
  const { heading, newHeading } = world.given;
  await world.$("call", "[data-tool=edit][data-state=done]").waitFor();
  const diff = world.$("diff");
  await diff.locator(".diff-remove").getByText(`<h1>${heading}</h1>`).waitFor();
  await diff.locator(".diff-add").getByText(`<h1>${newHeading}</h1>`).waitFor();
  equal(await world.read(APP), original.replace(`<h1>${heading}</h1>`, `<h1>${newHeading}</h1>`), "the file after the edit");
  // The open editor shows what is on disk.
  await world.$("editor-content").getByText(`<h1>${newHeading}</h1>`).waitFor();
}

async function allow(world) {
  const run = world.$("call", "[data-tool=run]");
  await run.locator("[data-test=call-question]").getByText("grep -c").waitFor();
  // The whole command is on the screen before it is allowed.
  const wide = await world.$("chat-log").evaluate((log) => log.scrollWidth - log.clientWidth);
  equal(wide, 0, "pixels of the conversation beyond its panel");
  equal(await run.locator("[data-test=call-output]").count(), 0, "outputs of a command that nobody allowed");
  await world.$("call-allow").click();
  await world.$("call", "[data-tool=run][data-state=done]").waitFor();
  await run.locator("summary").click();
  await run.locator("[data-test=call-output]").getByText("1 matching line").waitFor();
  await world.$("turn-undo").waitFor();
  await world.$("assistant-panel", "[data-state=idle]").waitFor();
  await world.$("chat-text").getByText("Made with OptiDev").waitFor();
  await world.shot("done");
}

async function undo(world, frame, original) {
  await world.$("tab-assistant").click();
  await world.$("turn-undo").click();
  await world.$("turn-files").getByText("Undone:").waitFor();
  equal(await world.read(APP), original, "the file after the undo");
  await world.$("tab-preview").click();
  await shows(world, world.given.heading);
  await notReloaded(frame);
  await world.$("editor-content").getByText(`<h1>${world.given.heading}</h1>`).waitFor();
  await world.shot("undone");
}

/** A reloaded page shows the conversation again. */
async function replayed(world) {
  await world.page.reload();
  await conversation(world);
}

/** The conversation of this step, as the page shows it. */
export async function conversation(world) {
  await world.$("chat-user").getByText(QUESTION).waitFor();
  await world.$("turn-files").getByText("Undone:").waitFor();
  equal(await world.$("call").count(), 4, "calls of the replayed turn");
}
