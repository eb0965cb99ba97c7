/**
 * The editor area: tabs, one CodeMirror view which shows the active file, saving with conflict detection. What
 * always holds: a save never replaces a version that the person has not seen, unless they choose Overwrite.
 */
import type { Text } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { Problem } from "../lib/api";
import { ask } from "../lib/dialogs";
import { fill, h, icon, iconButton } from "../lib/dom";
import { bytes } from "../lib/format";
import { fromAbsolute, isInside, moved, name, within } from "../lib/paths";
import { recall, remember } from "../lib/remember";
import { decode, encode } from "../lib/text-file";
import { fail, toast } from "../lib/toast";
import { type Buffer, isDirty, type TextBuffer } from "./buffers";
import { base, language, newState } from "./codemirror";
import type { Ide } from "./context";
import { read, write } from "./files-api";
import { languageOf } from "./languages";

const LARGE_BYTES = 5 * 1024 * 1024;
const PICTURES: Record<string, string> = { png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif", ico: "image/x-icon" };

export class Editor {
  readonly element: HTMLElement;
  private readonly tabs = h("div", { class: "editor-tabs", role: "tablist", "aria-label": "Open files", "data-test": "editor-tabs" });
  private readonly bar = h("div", { class: "conflict", role: "alert", hidden: true, "data-test": "conflict" });
  private readonly body = h("div", { class: "editor-body", "data-test": "editor" });
  private readonly viewBody = h("div", { class: "editor-view", hidden: true });
  private readonly empty: HTMLElement;
  private readonly status = h("div", { class: "editor-status small" });
  private readonly view: EditorView;
  private readonly buffers: Buffer[] = [];
  private active: Buffer | null = null;
  private readonly opening = new Map<string, Promise<void>>();
  private statusTimer = 0;

  constructor(private readonly ide: Ide) {
    this.empty = h("div", { class: "empty" }, icon("file"), h("p", { class: "muted" }, "Choose a file to edit."),
      h("p", { class: "small faint" }, h("kbd", {}, "Ctrl+S"), " save  ", h("kbd", {}, "Ctrl+Shift+F"), " search  ", h("kbd", {}, "Ctrl+`"), " terminal  ", h("kbd", {}, "F6"), " next pane"));
    this.element = h("section", { class: "editor", "aria-label": "Editor" }, this.tabs, this.bar, this.body, this.viewBody, this.empty, this.status);
    this.view = new EditorView({ parent: this.body, extensions: base(), dispatch: (transaction) => this.dispatch(transaction) });
    ide.on("file.open", (request) => void this.open(request.path, request.line, request.column).catch(fail));
    ide.on("file.moved", ({ from, to }) => this.renamed(from, to));
    ide.on("file.removed", ({ path }) => {
      for (const buffer of [...this.buffers]) if (isInside(buffer.path, path) && !isDirty(buffer)) this.drop(buffer);
      for (const buffer of this.buffers) if (isInside(buffer.path, path)) this.conflicted(buffer, "removed");
    });
    ide.on("files.changed", (paths) => {
      for (const buffer of this.buffers) if (!paths || paths.has(buffer.path)) void this.check(buffer);
    });
    addEventListener("beforeunload", (event) => {
      if (this.buffers.some(isDirty)) event.preventDefault();
    });
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.draw();
  }

  focus(): void {
    if (this.active?.kind === "text") this.view.focus();
    else (this.tabs.querySelector<HTMLElement>("[aria-selected=true]") ?? this.tabs.querySelector<HTMLElement>("[role=tab]"))?.focus();
  }

  /** The files that were open when the page was left. */
  reopen(): void {
    const known = recall<{ open: string[]; active: string | null }>(`open.${this.ide.project}`, { open: [], active: null });
    void (async () => {
      for (const path of known.open) await this.load(path).catch(() => {});
      const buffer = this.buffers.find((other) => other.path === known.active) ?? this.buffers[0];
      if (buffer && !this.active) this.show(buffer);
    })();
  }

  /** After a break in the connection every open file may be another one. */
  recheck(): void {
    for (const buffer of this.buffers) void this.check(buffer);
  }

  async open(asked: string, line?: number, column?: number): Promise<void> {
    const path = fromAbsolute(asked);
    await this.load(path);
    const buffer = this.buffers.find((other) => other.path === path);
    if (!buffer) return;
    this.show(buffer);
    if (buffer.kind !== "text") return;
    if (line !== undefined) {
      const { doc } = this.view.state;
      const target = doc.line(Math.max(1, Math.min(line, doc.lines)));
      // A column counts characters; the editor counts UTF-16 units.
      const at = target.from + [...target.text].slice(0, Math.max(0, (column ?? 1) - 1)).join("").length;
      this.view.dispatch({ selection: { anchor: at }, effects: EditorView.scrollIntoView(at, { y: "center" }) });
    }
    this.view.focus();
  }

  private load(path: string): Promise<void> {
    if (this.buffers.some((buffer) => buffer.path === path)) return Promise.resolve();
    const running = this.opening.get(path) ?? this.fetch(path).finally(() => this.opening.delete(path));
    this.opening.set(path, running);
    return running;
  }

  private async fetch(path: string): Promise<void> {
    const { bytes: content, etag } = await read(this.ide, path);
    const file = content.length > LARGE_BYTES ? null : decode(content);
    if (!file || PICTURES[extension(path)]) {
      this.buffers.push({ kind: "view", path, etag, size: content.length, element: this.viewer(path, content) });
    } else {
      const state = newState(file.text, file.mixed, []);
      const buffer: TextBuffer = { kind: "text", path, state, saved: state.doc, etag, file, scroll: 0, conflict: null, saving: false };
      this.buffers.push(buffer);
      void this.colour(buffer);
    }
    this.changedTabs();
  }

  private viewer(path: string, content: Uint8Array): HTMLElement {
    const picture = PICTURES[extension(path)];
    const download = h("a", { class: "btn btn-s", href: this.ide.fileUrl(path), download: name(path) }, icon("download", "icon-s"), "Download");
    const url = picture ? URL.createObjectURL(new Blob([new Uint8Array(content)], { type: picture })) : "";
    const why = content.length > LARGE_BYTES ? `This file is ${bytes(content.length)}; the editor takes up to ${bytes(LARGE_BYTES)}.` : "This file is not UTF-8 text, so the editor does not open it.";
    return h("div", { class: "empty" }, picture ? h("img", { class: "picture", src: url, alt: name(path) }) : icon("file"),
      h("p", { class: "muted" }, picture ? bytes(content.length) : why), download);
  }

  private async colour(buffer: TextBuffer): Promise<void> {
    const support = await languageOf(buffer.path)?.load().catch(() => null);
    if (!support) return;
    const effects = language.reconfigure(support);
    if (this.active === buffer) this.view.dispatch({ effects });
    else buffer.state = buffer.state.update({ effects }).state;
  }

  private dispatch(transaction: Parameters<NonNullable<ConstructorParameters<typeof EditorView>[0]>["dispatch"] & {}>[0]): void {
    this.view.update([transaction]);
    const buffer = this.active;
    if (buffer?.kind !== "text") return;
    const was = isDirty(buffer);
    buffer.state = this.view.state;
    if (transaction.docChanged && was !== isDirty(buffer)) this.changedTabs();
    if (transaction.docChanged || transaction.selection) {
      clearTimeout(this.statusTimer);
      this.statusTimer = window.setTimeout(() => this.drawStatus(), 50);
    }
  }

  private show(buffer: Buffer): void {
    if (this.active === buffer) return;
    if (this.active?.kind === "text") this.active.scroll = this.view.scrollDOM.scrollTop;
    this.active = buffer;
    if (buffer.kind === "text") {
      this.view.setState(buffer.state);
      requestAnimationFrame(() => {
        if (this.active === buffer) this.view.scrollDOM.scrollTop = buffer.scroll;
      });
    } else fill(this.viewBody, buffer.element);
    this.changedTabs();
    this.ide.send("file.active", { path: buffer.path });
  }

  async save(buffer: Buffer | null, overwrite = false): Promise<boolean> {
    if (buffer?.kind !== "text" || buffer.saving) return false;
    const doc: Text = buffer.state.doc;
    buffer.saving = true;
    try {
      const condition = overwrite ? {} : buffer.etag ? { match: buffer.etag } : { none: true };
      buffer.etag = await write(this.ide, buffer.path, encode(doc.toString(), buffer.file), condition);
      buffer.saved = doc;
      buffer.conflict = null;
      return true;
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 412) fail(error);
      else {
        buffer.saving = false;
        await this.check(buffer);
        if (!buffer.conflict) this.conflicted(buffer, "changed");
      }
      return false;
    } finally {
      buffer.saving = false;
      this.changedTabs();
    }
  }

  /** Looks whether the disk has another version: taken silently when nothing is unsaved, else told. */
  private async check(buffer: Buffer): Promise<void> {
    if (buffer.kind === "text" && buffer.saving) return;
    try {
      const disk = await read(this.ide, buffer.path);
      if (disk.etag === buffer.etag || !this.buffers.includes(buffer) || (buffer.kind === "text" && buffer.saving)) return;
      if (buffer.kind === "text" && isDirty(buffer)) return this.conflicted(buffer, "changed");
      this.replace(buffer, disk.bytes, disk.etag);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 404) return;
      if (isDirty(buffer)) this.conflicted(buffer, "removed");
      else this.drop(buffer);
    }
  }

  private replace(buffer: Buffer, content: Uint8Array, etag: string | null): void {
    const file = decode(content);
    if (buffer.kind !== "text" || !file) {
      const active = this.active === buffer;
      this.drop(buffer);
      if (active) void this.open(buffer.path).catch(fail);
      return;
    }
    const at = Math.min(buffer.state.selection.main.head, file.text.length);
    const change = { changes: { from: 0, to: buffer.state.doc.length, insert: file.text }, selection: { anchor: at } };
    buffer.file = file;
    if (this.active === buffer) this.view.dispatch(change);
    else buffer.state = buffer.state.update(change).state;
    buffer.saved = buffer.state.doc;
    buffer.etag = etag;
    buffer.conflict = null;
    this.changedTabs();
  }

  private conflicted(buffer: Buffer, conflict: "changed" | "removed"): void {
    if (buffer.kind === "text") buffer.conflict = conflict;
    this.drawConflict();
  }

  private async reload(buffer: TextBuffer): Promise<void> {
    const disk = await read(this.ide, buffer.path);
    this.replace(buffer, disk.bytes, disk.etag);
  }

  private async difference(buffer: TextBuffer): Promise<void> {
    const [{ MergeView }, disk] = await Promise.all([import("@codemirror/merge"), read(this.ide, buffer.path)]);
    const parent = h("div", { class: "merge" });
    const extensions = [base(), EditorView.editable.of(false), EditorView.lineWrapping];
    const merge = new MergeView({ a: { doc: decode(disk.bytes)?.text ?? "", extensions }, b: { doc: buffer.state.doc, extensions }, parent, collapseUnchanged: { margin: 3, minSize: 6 } });
    const heads = h("div", { class: "merge-heads small muted" }, h("span", {}, "On disk"), h("span", {}, "In the editor"));
    const answer = await ask({
      title: within(buffer.path, this.ide.folder), body: h("div", {}, heads, parent), wide: true, test: "difference",
      actions: [{ value: "reload", label: "Take the version on disk" }, { value: "overwrite", label: "Overwrite with mine", kind: "danger" }],
    });
    merge.destroy();
    if (answer === "reload") await this.reload(buffer);
    if (answer === "overwrite") await this.save(buffer, true);
  }

  private async close(buffer: Buffer): Promise<void> {
    if (isDirty(buffer)) {
      const answer = await ask({
        title: "Save the changes?", text: `${within(buffer.path, this.ide.folder)} has changes that are not saved.`, test: "confirm-close",
        actions: [{ value: "discard", label: "Discard" }, { value: "save", label: "Save", kind: "primary" }],
      });
      if (!answer || (answer === "save" && !(await this.save(buffer)))) return;
    }
    this.drop(buffer);
  }

  private drop(buffer: Buffer): void {
    const at = this.buffers.indexOf(buffer);
    if (at < 0) return;
    this.buffers.splice(at, 1);
    if (buffer.kind === "view") URL.revokeObjectURL(buffer.element.querySelector("img")?.src ?? "");
    const next = this.buffers[at] ?? this.buffers[at - 1] ?? null;
    if (this.active === buffer) {
      this.active = null;
      if (next) return this.show(next);
      this.ide.send("file.active", { path: null });
    }
    this.changedTabs();
  }

  private renamed(from: string, to: string): void {
    for (const buffer of this.buffers) {
      const before = buffer.path;
      buffer.path = moved(before, from, to);
      if (buffer.path !== before && buffer.kind === "text") void this.colour(buffer);
    }
    this.changedTabs();
  }

  private key(event: KeyboardEvent): void {
    const control = event.ctrlKey || event.metaKey;
    if (!control || event.altKey || event.key.toLowerCase() !== "s") return;
    event.preventDefault();
    void this.save(this.active);
  }

  private changedTabs(): void {
    remember(`open.${this.ide.project}`, { open: this.buffers.map((buffer) => buffer.path), active: this.active?.path ?? null });
    this.ide.send("file.dirty", new Set(this.buffers.filter(isDirty).map((buffer) => buffer.path)));
    this.draw();
  }

  private draw(): void {
    this.body.hidden = this.active?.kind !== "text";
    this.viewBody.hidden = this.active?.kind !== "view";
    this.empty.hidden = this.active !== null;
    this.tabs.hidden = this.buffers.length === 0;
    const focused = this.tabs.contains(document.activeElement);
    fill(this.tabs, ...this.buffers.map((buffer) => this.tab(buffer)));
    if (focused) this.tabs.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
    this.tabs.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.drawConflict();
    this.drawStatus();
  }

  private tab(buffer: Buffer): HTMLElement {
    const shown = within(buffer.path, this.ide.folder);
    const dirty = isDirty(buffer);
    const selected = buffer === this.active;
    const twins = this.buffers.filter((other) => name(other.path) === name(buffer.path)).length > 1;
    const step = (by: number) => {
      const next = this.buffers[(this.buffers.indexOf(buffer) + by + this.buffers.length) % this.buffers.length];
      if (next) this.show(next);
    };
    return h("div", { class: `editor-tab${dirty ? " dirty" : ""}${selected ? " active" : ""}`, title: shown, "data-path": buffer.path, "data-dirty": String(dirty), "data-test": "editor-tab" },
      h("button", {
        type: "button", role: "tab", "aria-selected": String(selected), tabindex: selected ? 0 : -1, class: "editor-tab-name",
        onclick: () => this.show(buffer),
        onauxclick: (event: MouseEvent) => event.button === 1 && void this.close(buffer),
        onkeydown: (event: KeyboardEvent) => {
          if (event.key === "ArrowRight") step(1);
          else if (event.key === "ArrowLeft") step(-1);
          else if (event.key === "Delete") void this.close(buffer);
        },
      }, twins ? shown : name(buffer.path), h("span", { class: "dirty-dot", title: "Not saved" }), dirty ? h("span", { class: "visually-hidden" }, " (not saved)") : null),
      iconButton("x", `Close ${shown}`, () => void this.close(buffer), "tab-close"));
  }

  private drawConflict(): void {
    const buffer = this.active;
    const conflict = buffer?.kind === "text" ? buffer.conflict : null;
    this.bar.hidden = !conflict;
    if (buffer?.kind !== "text" || !conflict) return fill(this.bar);
    const button = (label: string, test: string, run: () => Promise<unknown>) => h("button", { type: "button", class: "btn btn-s", "data-test": test, onclick: () => void run().catch(fail) }, label);
    fill(this.bar, icon("alert"),
      h("span", {}, conflict === "changed" ? "This file changed on disk." : "This file was deleted on disk."), h("span", { class: "spacer" }),
      conflict === "changed" ? button("Show difference", "conflict-difference", () => this.difference(buffer)) : null,
      conflict === "changed" ? button("Reload from disk", "conflict-reload", () => this.reload(buffer)) : null,
      button(conflict === "changed" ? "Overwrite" : "Save it again", "conflict-overwrite", () => this.save(buffer, true)));
  }

  private drawStatus(): void {
    const buffer = this.active;
    this.status.hidden = !buffer;
    if (!buffer) return;
    const save = h("button", { type: "button", class: "btn btn-s btn-quiet", disabled: !isDirty(buffer), onclick: () => void this.save(buffer).then((done) => done && toast("Saved", "ok")), "data-test": "save" }, icon("save", "icon-s"), "Save");
    if (buffer.kind !== "text") return fill(this.status, h("span", { class: "truncate" }, within(buffer.path, this.ide.folder)));
    const head = buffer.state.selection.main.head;
    const line = buffer.state.doc.lineAt(head);
    fill(this.status, h("span", { class: "truncate", "data-test": "editor-path" }, within(buffer.path, this.ide.folder)), h("span", { class: "spacer" }),
      h("span", { class: "nowrap", "data-test": "save-state" }, buffer.saving ? "Saving…" : isDirty(buffer) ? "Not saved" : "Saved"), save,
      h("span", { class: "nowrap" }, `Line ${line.number}, column ${head - line.from + 1}`),
      h("span", { class: "nowrap" }, buffer.file.mixed ? "Mixed line ends" : buffer.file.eol === "\n" ? "LF" : "CRLF"),
      h("span", { class: "nowrap" }, languageOf(buffer.path)?.label ?? "Text"));
  }
}

function extension(path: string): string {
  return /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? "";
}
