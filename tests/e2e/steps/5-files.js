import { readFile } from "node:fs/promises";
import { Terminal } from "../support/terminal.js";
import { equal, holds } from "../support/world.js";

export const title = "Files: edit, conflict, create, rename, delete, upload, download, search";

const ROOT = "projects/web-shop";
const APP = `${ROOT}/src/App.tsx`;

export async function run(world) {
  const terminal = await new Terminal(world).ready();
  await terminal.clear();
  await openApp(world);
  await edit(world);
  await conflicts(world, terminal);
  await createRenameDelete(world);
  await transfer(world);
  await search(world);
}

const entry = (world, path) => world.$("tree-entry", `[data-path="${path}"]`);
// The row, not the middle of an open folder's whole subtree.
const row = (world, path) => entry(world, path).locator("> .tree-row");
const tab = (world, path) => world.$("editor-tab", `[data-path="${path}"]`);

/** Opens a folder of the tree unless it is open. */
async function expand(world, path) {
  if (await entry(world, path).getAttribute("aria-expanded") === "false") await row(world, path).click();
  await world.$("tree-entry", `[data-path="${path}"][aria-expanded=true]`).waitFor();
}

/** `src/App.tsx` in the editor, through the tree. */
export async function openApp(world) {
  await expand(world, `${ROOT}/src`);
  await row(world, APP).click();
  await tab(world, APP).waitFor();
  await world.$("editor-content").getByText("function App").waitFor();
}

/** Waits for the saved state of the shown file. */
export async function save(world) {
  await world.page.keyboard.press("Control+s");
  await world.$("save-state").getByText("Saved", { exact: true }).waitFor();
}

/** Puts a line before the file's first. */
async function prepend(world, line) {
  await world.$("editor-content").focus();
  await world.page.keyboard.press("Control+Home");
  await world.page.keyboard.insertText(`${line}\n`);
  await world.$("save-state").getByText("Not saved").waitFor();
}

async function edit(world) {
  const before = await world.read(APP);
  await prepend(world, "// Edited by Ada: grüße 日本");
  equal(await tab(world, APP).getAttribute("data-dirty"), "true", "the tab of a changed file");
  await world.shot("edited");
  equal(await world.read(APP), before, "the file before it is saved");
  await save(world);
  equal(await tab(world, APP).getAttribute("data-dirty"), "false", "the tab of a saved file");
  equal(await world.read(APP), `// Edited by Ada: grüße 日本\n${before}`, "the saved file");
}

/** The file changes on disk while the editor holds other changes: told, shown, and decided by the person. */
async function conflicts(world, terminal) {
  await prepend(world, "// Mine");
  await terminal.enter("echo '// From the terminal' >> src/App.tsx");
  await world.$("conflict").waitFor();
  const disk = await world.read(APP);
  holds(disk.endsWith("// From the terminal\n") && !disk.includes("// Mine"), "the terminal's change is on disk alone");
  // Saving does not replace what was not seen.
  await world.$("editor-content").focus();
  await world.page.keyboard.press("Control+s");
  await world.$("conflict").waitFor();
  equal(await world.read(APP), disk, "the file after a refused save");
  await world.shot("conflict");
  await world.$("conflict-difference").click();
  await world.$("difference-overwrite").waitFor();
  await world.page.getByText("On disk", { exact: true }).waitFor();
  await world.shot("difference");
  await world.$("difference-reload").click();
  await world.$("conflict").waitFor({ state: "hidden" });
  await world.$("save-state").getByText("Saved", { exact: true }).waitFor();
  equal(await world.read(APP), disk, "the file after it was taken from disk");

  await prepend(world, "// Mine again");
  await terminal.enter("sed -i '/From the terminal/d' src/App.tsx");
  await world.$("conflict-overwrite").click();
  await world.$("save-state").getByText("Saved", { exact: true }).waitFor();
  equal(await world.read(APP), `// Mine again\n${disk}`, "the file that was overwritten");
}

async function createRenameDelete(world) {
  const { page } = world;
  await row(world, `${ROOT}/package.json`).click();
  await world.$("new-file").click();
  await world.$("tree-input").fill("notes.md");
  await page.keyboard.press("Enter");
  await tab(world, `${ROOT}/notes.md`).waitFor();
  await world.$("editor-content").focus();
  await page.keyboard.insertText("# Notes\n\nWritten in the browser.\n");
  await save(world);
  await world.$("new-file").click();
  await world.$("tree-input").fill("notes.md");
  await page.keyboard.press("Enter");
  await world.$("toast").filter({ hasText: "exists already" }).waitFor();

  await row(world, `${ROOT}/notes.md`).click();
  await entry(world, `${ROOT}/notes.md`).press("F2");
  await world.$("tree-input").fill("todo.md");
  await page.keyboard.press("Enter");
  await entry(world, `${ROOT}/todo.md`).waitFor();
  await tab(world, `${ROOT}/todo.md`).waitFor();
  equal(await world.read(`${ROOT}/notes.md`), null, "the file's old name");
  equal(await world.read(`${ROOT}/todo.md`), "# Notes\n\nWritten in the browser.\n", "the renamed file");

  await world.$("new-folder").click();
  await world.$("tree-input").fill("drafts");
  await page.keyboard.press("Enter");
  await entry(world, `${ROOT}/drafts`).waitFor();

  await row(world, `${ROOT}/todo.md`).click({ button: "right" });
  await world.shot("menu");
  await world.$("menu-delete").click();
  await world.$("confirm-delete-delete").waitFor();
  await world.shot("delete");
  await world.$("confirm-delete-delete").click();
  await entry(world, `${ROOT}/todo.md`).waitFor({ state: "detached" });
  equal(await world.read(`${ROOT}/todo.md`), null, "the deleted file");
  holds(await world.read(`${ROOT}/package.json`) !== null, "the file beside it is there");
}

/** Every byte value goes up and comes down again. */
async function transfer(world) {
  const { page } = world;
  const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, at) => (at * 7 + (at >> 8)) & 0xff));
  await row(world, `${ROOT}/package.json`).click();
  await page.locator("[data-test=upload-input]").setInputFiles({ name: "all bytes.bin", mimeType: "application/octet-stream", buffer: bytes });
  await entry(world, `${ROOT}/all bytes.bin`).waitFor();
  await world.$("toast").filter({ hasText: "1 file uploaded" }).waitFor();
  await row(world, `${ROOT}/all bytes.bin`).click({ button: "right" });
  const [download] = await Promise.all([page.waitForEvent("download"), world.$("menu-download").click()]);
  equal(download.suggestedFilename(), "all bytes.bin", "the download's name");
  holds(bytes.equals(await readFile(await download.path())), "what came down is what went up");
  await world.$("files-more").click();
  const [archive] = await Promise.all([page.waitForEvent("download"), world.$("menu-download-project").click()]);
  equal(archive.suggestedFilename(), "web-shop.tar.gz", "the project's download");
  const head = (await readFile(await archive.path())).subarray(0, 2).toString("hex");
  equal(head, "1f8b", "the first bytes of the project's download");
}

async function search(world) {
  await world.$("tab-search").click();
  await world.$("search-query").fill(world.given.heading);
  await world.page.keyboard.press("Enter");
  const match = world.$("search-match", `[data-path="${APP}"]`);
  await match.waitFor();
  await world.$("search-status").getByText(/^1 match in \d+ files/).waitFor();
  await world.shot("search");
  await match.click();
  await world.$("editor-path").getByText("src/App.tsx").waitFor();
  await world.page.getByText(`Line ${await match.getAttribute("data-line")},`).waitFor();
  await world.$("search-query").fill("no such text in any file");
  await world.$("search-query").press("Enter");
  await world.$("search-status").getByText(/^Nothing found in \d+ files\.$/).waitFor();
  await world.$("tab-files").click();
}
