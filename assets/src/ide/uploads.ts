/** Uploads into the container, one after the other, with progress; files and whole folders by drag and drop. */
import { ask } from "../lib/dialogs";
import { fill, h } from "../lib/dom";
import { bytes } from "../lib/format";
import { join, parent, within } from "../lib/paths";
import { fail, toast } from "../lib/toast";
import type { Ide } from "./context";
import { isTaken, send } from "./files-api";

export interface Upload {
  file: File;
  path: string;
}

export class Uploads {
  readonly element = h("div", { class: "uploads", "aria-live": "polite", hidden: true, "data-test": "uploads" });
  private readonly queue: Upload[] = [];
  private running = false;
  private replaceAll = false;

  constructor(private readonly ide: Ide, private readonly finished: (folder: string) => void) {}

  async add(uploads: Upload[]): Promise<void> {
    this.queue.push(...uploads);
    if (this.running || this.queue.length === 0) return;
    this.running = true;
    this.replaceAll = false;
    const folders = new Set<string>();
    let done = 0;
    try {
      for (let next = this.queue.shift(); next; next = this.queue.shift()) {
        if (await this.one(next)) done += 1;
        folders.add(parent(next.path));
      }
      if (done > 0) toast(done === 1 ? "1 file uploaded" : `${done} files uploaded`, "ok");
    } catch (error) {
      this.queue.length = 0;
      fail(error);
    } finally {
      this.running = false;
      this.element.hidden = true;
      for (const folder of folders) this.finished(folder);
      this.finished(this.ide.folder);
    }
  }

  private async one(upload: Upload): Promise<boolean> {
    const shown = within(upload.path, this.ide.folder);
    const bar = h("progress", { max: 100, value: 0, "aria-label": `Uploading ${shown}` });
    const text = h("span", { class: "small muted nowrap" });
    this.element.hidden = false;
    fill(this.element, h("div", { class: "row" }, h("span", { class: "small truncate" }, shown), h("span", { class: "spacer" }), text), bar);
    const progress = (sent: number, total: number) => {
      bar.value = total > 0 ? (sent / total) * 100 : 100;
      text.textContent = `${bytes(sent)} of ${bytes(total)}${this.queue.length ? `, ${this.queue.length} more` : ""}`;
    };
    try {
      await send(this.ide, upload.path, upload.file, this.replaceAll, progress);
      return true;
    } catch (error) {
      if (!isTaken(error)) throw error;
    }
    const answer = await ask({
      title: "Replace the file?",
      text: `${shown} exists already in the container.`,
      actions: [{ value: "all", label: "Replace all" }, { value: "replace", label: "Replace", kind: "primary" }],
      test: "confirm-replace",
    });
    if (!answer) return false;
    this.replaceAll = answer === "all";
    await send(this.ide, upload.path, upload.file, true, progress);
    return true;
  }
}

/** Takes files dropped on an element; `folderAt` says into which folder. */
export function dropTarget(element: HTMLElement, folderAt: (target: EventTarget | null) => string, drop: (files: Upload[]) => void): void {
  element.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    element.classList.add("over");
  });
  element.addEventListener("dragleave", (event) => {
    if (!element.contains(event.relatedTarget as globalThis.Node | null)) element.classList.remove("over");
  });
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over");
    const folder = folderAt(event.target);
    // Entries must be taken before the handler returns; reading them may take longer.
    const entries = [...(event.dataTransfer?.items ?? [])].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
    Promise.all(entries.map((entry) => walk(entry, folder))).then((found) => drop(found.flat())).catch(fail);
  });
}

async function walk(entry: FileSystemEntry, folder: string): Promise<Upload[]> {
  const path = join(folder, entry.name);
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ file, path }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: Upload[] = [];
  for (;;) {
    // A reader gives a batch at a time, and an empty one at the end.
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (batch.length === 0) return found;
    found.push(...(await Promise.all(batch.map((child) => walk(child, path)))).flat());
  }
}
