/** The sidebar's files: the tree with its actions (create, rename, delete, upload, download). */
import { ask, type MenuEntry, popupMenu } from "../lib/dialogs";
import { h, iconButton } from "../lib/dom";
import { isInside, join, moved, parent, within } from "../lib/paths";
import { fail, toast } from "../lib/toast";
import type { Ide } from "./context";
import { isFolder, isTaken, list, makeFolder, move, remove, write } from "./files-api";
import { type Node, Tree } from "./tree";
import { dropTarget, Uploads } from "./uploads";

export class FilesPanel {
  readonly element: HTMLElement;
  private readonly tree: Tree;
  private readonly uploads: Uploads;
  private readonly picker = h("input", { type: "file", multiple: true, hidden: true, "data-test": "upload-input" });

  private loaded = false;
  /** A file that was shown before the tree was there to show it in. */
  private early: string | null = null;

  constructor(private readonly ide: Ide) {
    this.tree = new Tree(ide.folder, `Files of ${ide.name}`, {
      list: (path) => list(ide, path),
      open: (node) => ide.send("file.open", { path: node.path }),
      menu: (node, x, y) => this.menu(node, x, y),
      key: (node, event) => this.key(node, event),
      failed: fail,
    });
    this.uploads = new Uploads(ide, (folder) => void this.tree.reload(folder).catch(fail));
    const scroll = h("div", { class: "tree-scroll" }, this.tree.element);
    this.element = h("section", { class: "panel", "data-test": "files-panel" },
      h("div", { class: "panel-bar" },
        h("span", { class: "panel-title truncate", title: ide.folder }, ide.slug || ide.name),
        h("span", { class: "spacer" }),
        iconButton("file-plus", "New file", () => void this.create(this.folderOfSelection(), "file"), "new-file"),
        iconButton("folder-plus", "New folder", () => void this.create(this.folderOfSelection(), "dir"), "new-folder"),
        iconButton("upload", "Upload files", () => this.picker.click(), "upload"),
        iconButton("more", "More", () => this.rootMenu(), "files-more"),
        this.picker),
      scroll, this.uploads.element);
    this.picker.addEventListener("change", () => {
      void this.uploads.add([...(this.picker.files ?? [])].map((file) => ({ file, path: join(this.folderOfSelection(), file.name) })));
      this.picker.value = "";
    });
    dropTarget(scroll, (target) => {
      const node = this.tree.at(target);
      return node ? (isFolder(node.entry) ? node.path : parent(node.path)) : ide.folder;
    }, (files) => void this.uploads.add(files));
    scroll.addEventListener("contextmenu", (event) => {
      if (this.tree.at(event.target)) return;
      event.preventDefault();
      this.rootMenu(event.clientX, event.clientY);
    });
    ide.on("files.changed", (paths) => this.changed(paths));
    ide.on("file.active", ({ path }) => {
      if (!path || !isInside(path, ide.folder)) return;
      if (this.loaded) void this.tree.reveal(path);
      else this.early = path;
    });
    ide.on("file.dirty", (paths) => this.tree.markDirty(paths));
  }

  focus(): void {
    this.tree.focus();
  }

  async reload(): Promise<void> {
    await this.tree.reloadAll();
    this.loaded = true;
    if (this.early) void this.tree.reveal(this.early);
    this.early = null;
  }

  private changed(paths: Set<string> | null): void {
    if (!paths) return void this.reload().catch(fail);
    // A changed entry shows in its folder's list; only lists on the screen matter.
    const folders = new Set([...paths].map(parent).filter((folder) => this.tree.isLoaded(folder)));
    for (const folder of folders) void this.tree.reload(folder).catch(() => {});
  }

  private folderOfSelection(): string {
    const node = this.tree.selected;
    if (!node) return this.ide.folder;
    return isFolder(node.entry) ? node.path : parent(node.path);
  }

  private rootMenu(x?: number, y?: number): void {
    const box = this.element.querySelector("[data-test=files-more]")?.getBoundingClientRect();
    popupMenu(x ?? box?.left ?? 0, y ?? box?.bottom ?? 0, [
      { label: "New file", test: "menu-new-file", run: () => void this.create(this.ide.folder, "file") },
      { label: "New folder", test: "menu-new-folder", run: () => void this.create(this.ide.folder, "dir") },
      null,
      { label: "Download project (.tar.gz)", test: "menu-download-project", run: () => this.download(this.ide.folder, true) },
      { label: "Reload", test: "menu-reload", run: () => void this.reload().catch(fail) },
    ]);
  }

  private menu(node: Node, x: number, y: number): void {
    const folder = isFolder(node.entry);
    const entries: (MenuEntry | null)[] = folder ? [
      { label: "New file", test: "menu-new-file", run: () => void this.create(node.path, "file") },
      { label: "New folder", test: "menu-new-folder", run: () => void this.create(node.path, "dir") },
    ] : [{ label: "Open", key: "Enter", test: "menu-open", run: () => this.ide.send("file.open", { path: node.path }) }];
    popupMenu(x, y, [...entries, null,
      { label: folder ? "Download (.tar.gz)" : "Download", test: "menu-download", run: () => this.download(node.path, folder) },
      { label: "Copy path", test: "menu-copy-path", run: () => void navigator.clipboard.writeText(within(node.path, this.ide.folder)).catch(fail) },
      null,
      { label: "Rename", key: "F2", test: "menu-rename", run: () => void this.rename(node) },
      { label: "Delete", key: "Del", test: "menu-delete", run: () => void this.remove(node) }]);
  }

  private key(node: Node, event: KeyboardEvent): boolean {
    if (event.key === "F2") void this.rename(node);
    else if (event.key === "Delete") void this.remove(node);
    else if (event.key === "ContextMenu" || (event.shiftKey && event.key === "F10")) {
      const box = node.row.getBoundingClientRect();
      this.menu(node, box.left + 24, box.bottom);
    } else return false;
    return true;
  }

  private async create(folder: string, kind: "file" | "dir"): Promise<void> {
    const node = this.tree.node(folder);
    if (node) await this.tree.expand(node);
    const typed = await this.tree.edit({ into: folder, kind });
    if (!typed) return;
    const path = join(folder, typed);
    try {
      if (kind === "dir") await makeFolder(this.ide, path);
      else await write(this.ide, path, "", { none: true });
      await this.tree.reload(folder);
      await this.tree.reveal(path);
      if (kind === "file") this.ide.send("file.open", { path });
    } catch (error) {
      if (isTaken(error)) toast(`"${typed}" exists already. Choose another name.`, "danger");
      else fail(error);
    }
  }

  private async rename(node: Node): Promise<void> {
    const typed = await this.tree.edit({ rename: node });
    if (!typed) return;
    const to = join(parent(node.path), typed);
    try {
      await move(this.ide, node.path, to);
      this.ide.send("file.moved", { from: node.path, to });
      await this.tree.reload(parent(node.path));
      await this.tree.reload(parent(to));
      await this.tree.reveal(moved(node.path, node.path, to));
    } catch (error) {
      if (isTaken(error)) toast(`"${typed}" exists already. Choose another name, or delete it first.`, "danger");
      else fail(error);
    }
  }

  private async remove(node: Node): Promise<void> {
    const folder = node.entry.kind === "dir";
    const answer = await ask({
      title: folder ? "Delete this folder?" : "Delete this file?",
      text: `${within(node.path, this.ide.folder)}${folder ? " and everything in it" : ""} will be deleted from the container. This cannot be undone.`,
      actions: [{ value: "delete", label: "Delete", kind: "danger" }],
      test: "confirm-delete",
    });
    if (answer !== "delete") return;
    try {
      await remove(this.ide, node.path, folder);
      this.ide.send("file.removed", { path: node.path });
      await this.tree.reload(parent(node.path));
    } catch (error) {
      fail(error);
    }
  }

  private download(path: string, folder: boolean): void {
    const url = folder ? `${this.ide.containerUrl}/archive?path=${encodeURIComponent(path)}` : this.ide.fileUrl(path);
    const name = path.slice(path.lastIndexOf("/") + 1);
    const link = h("a", { href: url, download: folder ? `${name}.tar.gz` : name });
    document.body.append(link);
    link.click();
    link.remove();
  }
}
