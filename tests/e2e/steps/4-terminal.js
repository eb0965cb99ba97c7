import { countsTo, recordFrames, Terminal, text } from "../support/terminal.js";
import { equal, holds } from "../support/world.js";

export const title = "The terminal keeps every byte";

const LAST = 20_000;

export async function run(world) {
  const { page } = world;
  const terminal = await new Terminal(world).ready();
  world.terminal = terminal.id;
  await terminal.prompt();

  await terminal.enter("whoami; id -u; pwd");
  await terminal.shows(/\ndev\n[1-9]\d*\n\/home\/dev\/projects\/web-shop\n/);
  // Without capabilities, and without the machine's own folders.
  await terminal.enter("grep CapEff /proc/self/status; ls /root; ls /home");
  await terminal.shows(/\nCapEff:\s+0+\n.*(No such file|Permission denied).*\ndev\n/s);
  await terminal.enter("echo grüße 日本 $((6*7))");
  await terminal.shows(/\ngrüße 日本 42\n/);

  await colours(world, terminal);
  await terminal.prompt();
  await world.shot("terminal");
  await resize(world, terminal);
  await reload(world, terminal);
  equal(await page.locator("[data-test=terminal-tab]").count(), 1, "terminals after the reload");
}

async function colours(world, terminal) {
  await terminal.enter("printf '\\033[31mred-%s\\033[0m \\033[1;34mblue-%s\\033[0m\\n' one two");
  await terminal.shows(/\nred-one blue-two\n/);
  const [red, blue, plain] = await world.page.evaluate(() => ["red-one", "blue-two", "grüße"].map((part) => {
    const spans = [...document.querySelectorAll("[data-test=terminal]:not([hidden]) .xterm-rows span")];
    const span = spans.findLast((each) => each.textContent.includes(part));
    return span ? getComputedStyle(span).color : getComputedStyle(document.querySelector(".xterm-rows")).color;
  }));
  const dominant = (colour) => {
    const [r, g, b] = /(\d+), (\d+), (\d+)/.exec(colour).slice(1).map(Number);
    return r > g && r > b ? "red" : b > r && b > g ? "blue" : "none";
  };
  equal(dominant(red), "red", `the colour of red text (${red})`);
  equal(dominant(blue), "blue", `the colour of blue text (${blue})`);
  holds(red !== plain, "coloured text differs from plain text");
}

/** A window of another size is a terminal of another size, for the programs in it. */
async function resize(world, terminal) {
  const size = async () => {
    await terminal.clear();
    await terminal.enter("stty size");
    await terminal.shows(/\n\d+ \d+\n/);
    const [, rows, columns] = /\n(\d+) (\d+)\n/.exec((await terminal.rows()).join("\n"));
    return { rows: Number(rows), columns: Number(columns) };
  };
  const before = await size();
  equal(before.rows, (await terminal.rows()).length, "rows of the shell and of the screen");
  const { width, height } = world.page.viewportSize();
  await world.page.setViewportSize({ width: width + 300, height: height + 200 });
  await world.until("the terminal is wider", (columns) => {
    const screen = document.querySelector("[data-test=terminal]:not([hidden]) .xterm-screen");
    return screen.clientWidth > columns;
  }, await world.page.evaluate(() => document.querySelector("[data-test=terminal]:not([hidden]) .xterm-screen").clientWidth - 1));
  const after = await size();
  holds(after.columns > before.columns, `columns: ${before.columns}, then ${after.columns}`);
  equal(after.rows, (await terminal.rows()).length, "rows of the shell and of the screen, resized");
  await world.page.setViewportSize({ width, height });
  const again = await size();
  equal(again.columns, before.columns, "columns in a window of the first size");
}

/** The page is loaded again while numbers are printed; none is lost, none comes twice. */
async function reload(world, terminal) {
  const { page } = world;
  await terminal.clear();
  const marker = "count begins here";
  await terminal.enter(`echo ${marker}; for i in $(seq 0 19); do seq $((i*1000+1)) $((i*1000+1000)); sleep 0.25; done`);
  await terminal.shows(/^\d{4,5}$/m);
  holds(!(await terminal.rows()).includes(String(LAST)), "the page is loaded again before the last number");
  const record = recordFrames(page, terminal.id);
  await page.reload();
  await terminal.ready();
  await terminal.shows(new RegExp(`\\n${LAST}\\n.*\\$\\n*$`));
  record.stop();

  const whole = await terminal.everything();
  const counted = (output) => output.slice(output.lastIndexOf(`${marker}\r\n`));
  countsTo(counted(whole), LAST, "what the server keeps");
  equal(record.connections.length, 1, "connections after the reload");
  const received = text(record.connections[0], record.connections[0][0].at);
  countsTo(counted(received), LAST, "what the page received");
  await screen(world, terminal);
}

/** What the person sees by scrolling: numbers that follow each other, up to as far back as the page keeps lines. */
async function screen(world, terminal) {
  const { page } = world;
  // The bar moves while the screen is still being drawn: taken hold of again when the hand missed it.
  const slider = page.locator("[data-test=terminal]:not([hidden]) .scrollbar.vertical > .slider");
  const deadline = Date.now() + 60_000;
  for (let first = LAST; !(first > 0 && first < LAST / 2 + 100); first = Number((await terminal.rows())[0])) {
    holds(Date.now() < deadline, `the terminal scrolls back over what it keeps: first line ${first}`);
    const box = await slider.boundingBox();
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, 0, { steps: 5 });
    await page.mouse.up();
    await page.waitForTimeout(200);
  }
  await terminal.focus();
  for (let pages = 0; pages < 5; pages += 1) {
    const numbers = (await terminal.rows()).map(Number);
    for (const [at, number] of numbers.entries()) equal(number, numbers[0] + at, "a number on the scrolled screen");
    await page.keyboard.press("Shift+PageDown");
    await world.until("the terminal scrolls a page", (before) => Number(document.querySelector("[data-test=terminal]:not([hidden]) .xterm-rows > div").textContent.trim()) > before, numbers[0]);
  }
  // Typing leads back to the end.
  await page.keyboard.press("Enter");
  await terminal.prompt();
}
