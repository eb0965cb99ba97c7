/**
 * The file tree: folders load when they open, and reload in place, keeping what is open and selected. After the
 * ARIA tree pattern: one entry has the tab stop, arrows move. Knows nothing of what is done with files.
 */
import { h, icon, put } from "../lib/dom";
import { join, name as nameOf, nameProblem, parent } from "../lib/paths";
import { type Entry, isFolder } from "./files-api";

export interface Node {
  path: string;
  entry: Entry;
  item: HTMLLIElement;
  row: HTMLDivElement;
  group: HTMLUListElement | null;
  loaded: boolean;
}

export interface TreeHooks {
  list: (path: string) => Promise<Entry[]>;
  open: (node: Node) => void;
  menu: (node: Node, x: number, y: number) => void;
  key: (node: Node, event: KeyboardEvent) => boolean;
  failed: (error: unknown) => void;
}

export class Tree {
  readonly element: HTMLUListElement;
  private readonly nodes = new Map<string, Node>();
  private readonly loading = new Map<string, Promise<void>>();
  private current = "";
  private dirty = new Set<string>();

  constructor(private readonly root: string, label: string, private readonly hooks: TreeHooks) {
    this.element = h("ul", { class: "tree", role: "tree", "aria-label": label, "data-test": "tree" });
    this.element.addEventListener("click", (event) => this.withNode(event, (node) => this.activate(node)));
    this.element.addEventListener("contextmenu", (event) => this.withNode(event, (node) => {
      event.preventDefault();
      this.select(node.path);
      hooks.menu(node, event.clientX, event.clientY);
    }));
    this.element.addEventListener("keydown", (event) => this.key(event));
  }

  get selected(): Node | null {
    return this.nodes.get(this.current) ?? null;
  }

  node(path: string): Node | null {
    return this.nodes.get(path) ?? null;
  }

  at(target: EventTarget | null): Node | null {
    const item = target instanceof Element ? target.closest<HTMLElement>("[role=treeitem]") : null;
    return item ? this.nodes.get(item.dataset["path"] ?? "") ?? null : null;
  }

  focus(): void {
    (this.selected?.item ?? this.element.querySelector<HTMLElement>("[role=treeitem]"))?.focus();
  }

  /** Reloads a folder in place; unknown or closed folders are left alone. The same folder is never loaded twice at once. */
  async reload(path: string): Promise<void> {
    const node = this.nodes.get(path);
    if (path !== this.root && !node?.loaded) return;
    const running = this.loading.get(path);
    if (running) await running;
    if (this.loading.has(path)) return this.loading.get(path);
    const work = this.fillFolder(path).finally(() => this.loading.delete(path));
    this.loading.set(path, work);
    return work;
  }

  async reloadAll(): Promise<void> {
    await this.reload(this.root);
    const open = [...this.nodes.values()].filter((node) => node.loaded).map((node) => node.path);
    await Promise.all(open.map((path) => this.reload(path)));
  }

  isLoaded(path: string): boolean {
    return path === this.root || (this.nodes.get(path)?.loaded ?? false);
  }

  /** Opens the folders on the way to a path and selects it. */
  async reveal(path: string): Promise<void> {
    const inside = path.slice(this.root.length + 1).split("/");
    let folder = this.root;
    for (const part of inside.slice(0, -1)) {
      folder = join(folder, part);
      const node = this.nodes.get(folder);
      if (!node) return;
      await this.expand(node);
    }
    if (!this.nodes.has(path)) return;
    this.select(path);
    this.nodes.get(path)?.row.scrollIntoView({ block: "nearest" });
  }

  async expand(node: Node): Promise<void> {
    if (!isFolder(node.entry)) return;
    node.item.setAttribute("aria-expanded", "true");
    if (node.group) node.group.hidden = false;
    this.draw(node);
    if (node.loaded) return;
    node.loaded = true;
    try {
      await this.reload(node.path);
    } catch (error) {
      node.loaded = false;
      this.collapse(node);
      this.hooks.failed(error);
    }
  }

  collapse(node: Node): void {
    node.item.setAttribute("aria-expanded", "false");
    if (node.group) node.group.hidden = true;
    this.draw(node);
  }

  select(path: string, focus = false): void {
    const before = this.nodes.get(this.current);
    before?.item.setAttribute("aria-selected", "false");
    if (before) before.item.tabIndex = -1;
    const node = this.nodes.get(path);
    this.current = node ? path : "";
    if (!node) return this.keepTabStop();
    for (const other of this.element.querySelectorAll<HTMLElement>("[role=treeitem][tabindex='0']")) other.tabIndex = -1;
    node.item.setAttribute("aria-selected", "true");
    node.item.tabIndex = 0;
    if (focus) node.item.focus();
  }

  markDirty(paths: Set<string>): void {
    const touched = new Set([...this.dirty, ...paths]);
    this.dirty = new Set(paths);
    for (const path of touched) this.nodes.get(path)?.item.classList.toggle("dirty", paths.has(path));
  }

  /** An input in place of a name. Resolves with the valid text, or null when given up. */
  edit(place: { rename: Node } | { into: string; kind: "file" | "dir" }): Promise<string | null> {
    return new Promise((resolve) => {
      const before = "rename" in place ? place.rename.entry.name : "";
      const input = h("input", { class: "input tree-input", value: before, spellcheck: "false", autocomplete: "off", "aria-label": "Name", "data-test": "tree-input" });
      const problem = h("p", { class: "tree-problem", role: "alert", hidden: true });
      const row = h("div", { class: "tree-edit" }, "into" in place ? icon(place.kind === "dir" ? "folder" : "file") : null, input, problem);
      const host = "rename" in place ? place.rename.row : null;
      const item = host ? null : h("li", { role: "none" }, row);
      if (host) {
        host.hidden = true;
        host.after(row);
      } else if (item && "into" in place) (this.nodes.get(place.into)?.group ?? this.element).prepend(item);
      let over = false;
      const end = (value: string | null) => {
        if (over) return;
        over = true;
        if (host) host.hidden = false;
        (item ?? row).remove();
        resolve(value);
      };
      input.addEventListener("keydown", (event) => {
        event.stopPropagation();
        if (event.key === "Escape") {
          end(null);
          this.focus();
        } else if (event.key === "Enter") {
          event.preventDefault();
          const wrong = nameProblem(input.value);
          problem.textContent = wrong ?? "";
          problem.hidden = !wrong;
          if (!wrong) end(input.value === before ? null : input.value);
        }
      });
      input.addEventListener("blur", () => end(nameProblem(input.value) || input.value === before ? null : input.value));
      input.addEventListener("click", (event) => event.stopPropagation());
      input.focus();
      const dot = before.lastIndexOf(".");
      input.setSelectionRange(0, dot > 0 ? dot : before.length);
    });
  }

  private async fillFolder(path: string): Promise<void> {
    const entries = await this.hooks.list(path);
    const owner = this.nodes.get(path);
    const group = path === this.root ? this.element : owner?.group;
    if (!group) return;
    const keep = new Set(entries.map((entry) => join(path, entry.name)));
    for (const item of [...group.children] as HTMLElement[]) {
      const old = item.dataset["path"];
      if (old !== undefined && !keep.has(old)) this.forget(old);
    }
    let cursor: ChildNode | null = group.firstChild;
    for (const entry of entries) {
      const node = this.upsert(join(path, entry.name), entry, (path === this.root ? 0 : Number(owner?.item.getAttribute("aria-level") ?? 0)) + 1);
      while (cursor instanceof HTMLElement && cursor.dataset["path"] === undefined) cursor = cursor.nextSibling;
      if (node.item === cursor) cursor = cursor.nextSibling;
      else group.insertBefore(node.item, cursor);
    }
    group.classList.toggle("tree-empty", entries.length === 0);
    this.keepTabStop();
  }

  private upsert(path: string, entry: Entry, level: number): Node {
    const known = this.nodes.get(path);
    if (known && isFolder(known.entry) === isFolder(entry)) {
      known.entry = entry;
      return known;
    }
    if (known) this.forget(path);
    const row = h("div", { class: "tree-row" });
    const group = isFolder(entry) ? h("ul", { role: "group", hidden: true }) : null;
    const item = h("li", {
      role: "treeitem", tabindex: -1, "aria-level": level, "aria-selected": "false", "aria-expanded": isFolder(entry) ? "false" : null,
      "data-path": path, "data-kind": entry.kind, "data-test": "tree-entry", class: this.dirty.has(path) ? "dirty" : null,
    }, row, group);
    item.style.setProperty("--level", String(level));
    const node: Node = { path, entry, item, row, group, loaded: false };
    this.nodes.set(path, node);
    this.draw(node);
    return node;
  }

  private draw(node: Node): void {
    const open = node.item.getAttribute("aria-expanded") === "true";
    const folder = isFolder(node.entry);
    node.row.replaceChildren();
    put(node.row,
      folder ? icon(open ? "chevron-down" : "chevron-right", "icon-s") : h("span", { class: "tree-gap" }),
      icon(folder ? (open ? "folder-open" : "folder") : node.entry.kind === "symlink" ? "link" : "file"),
      h("span", { class: "tree-name truncate" }, node.entry.name),
      h("span", { class: "dirty-dot", title: "Not saved" }));
  }

  private forget(path: string): void {
    for (const [known, node] of this.nodes) {
      if (known !== path && !known.startsWith(`${path}/`)) continue;
      if (known === path) node.item.remove();
      this.nodes.delete(known);
      if (this.current === known) this.current = "";
    }
  }

  private keepTabStop(): void {
    if (this.element.querySelector("[role=treeitem][tabindex='0']")) return;
    const first = this.element.querySelector<HTMLElement>("[role=treeitem]");
    if (first) first.tabIndex = 0;
  }

  private activate(node: Node): void {
    this.select(node.path, true);
    if (!isFolder(node.entry)) this.hooks.open(node);
    else if (node.item.getAttribute("aria-expanded") === "true") this.collapse(node);
    else void this.expand(node);
  }

  private withNode(event: Event, then: (node: Node) => void): void {
    const node = this.at(event.target);
    if (node) then(node);
  }

  private key(event: KeyboardEvent): void {
    const node = this.at(event.target);
    if (!node) return;
    if (this.hooks.key(node, event)) return event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const shown = [...this.element.querySelectorAll<HTMLElement>("[role=treeitem]")].filter((item) => item.offsetParent !== null);
    const at = shown.indexOf(node.item);
    const go = (item: HTMLElement | undefined) => item && this.select(item.dataset["path"] ?? "", true);
    const open = node.item.getAttribute("aria-expanded") === "true";
    if (event.key === "ArrowDown") go(shown[at + 1]);
    else if (event.key === "ArrowUp") go(shown[at - 1]);
    else if (event.key === "Home") go(shown[0]);
    else if (event.key === "End") go(shown.at(-1));
    else if (event.key === "Enter" || event.key === " ") this.activate(node);
    else if (event.key === "ArrowRight" && isFolder(node.entry)) {
      if (open) go(shown[at + 1]);
      else void this.expand(node);
    } else if (event.key === "ArrowLeft") {
      if (open) this.collapse(node);
      else if (parent(node.path) !== this.root) this.select(parent(node.path), true);
    } else if (event.key.length === 1) {
      // Typing a letter goes to the next entry that starts with it.
      const later = [...shown.slice(at + 1), ...shown.slice(0, at + 1)];
      go(later.find((item) => nameOf(item.dataset["path"] ?? "").toLowerCase().startsWith(event.key.toLowerCase())));
    } else return;
    event.preventDefault();
  }
}
