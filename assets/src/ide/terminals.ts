/** The terminal panel: tabs over several terminals. A reloaded page finds the ones that run and shows their whole history. */
import { call, callJson, callList } from "../lib/api";
import { fill, h, icon, iconButton } from "../lib/dom";
import { localTarget } from "../lib/local-target";
import { recall, remember } from "../lib/remember";
import { fail } from "../lib/toast";
import type { Ide } from "./context";
import { type TerminalInfo, TerminalView } from "./terminal";

export class Terminals {
  readonly element: HTMLElement;
  private readonly list = h("div", { class: "pane-tabs", role: "tablist", "aria-label": "Terminals" });
  private readonly head = h("div", { class: "row terminal-head" });
  private readonly body = h("div", { class: "terminal-body" });
  private readonly views = new Map<string, TerminalView>();
  private readonly titles = new Map<string, string>();
  private active: string | null = null;

  constructor(private readonly ide: Ide) {
    this.element = h("section", { class: "pane-bottom", "aria-label": "Terminals", "data-test": "terminals" },
      this.head, this.body);
    this.head.append(this.list, iconButton("plus", "New terminal", () => void this.create().catch(fail), "terminal-new"), h("span", { class: "spacer" }));
    let frame = 0;
    new ResizeObserver(() => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => this.current?.refit());
    }).observe(this.body);
  }

  /** Puts another part into the same space: its button at the end of the bar, its panel over the terminals, its notice above them. */
  beside(button: HTMLElement, panel: HTMLElement, notice: HTMLElement): void {
    this.head.append(button);
    this.body.append(panel);
    this.head.after(notice);
  }

  get focused(): boolean {
    return this.body.contains(document.activeElement);
  }

  focus(): void {
    this.current?.focus();
  }

  private get current(): TerminalView | null {
    return this.active === null ? null : this.views.get(this.active) ?? null;
  }

  /** Takes up the terminals of the container; makes one where there is none. */
  async attach(): Promise<void> {
    const known = await callList<TerminalInfo>(`${this.ide.containerUrl}/terminals`);
    for (const info of known) if (!this.views.has(info.id)) this.add(info);
    if (this.views.size === 0) return this.create(false);
    const last = recall<string>(`terminal.${this.ide.containerId}`, "");
    this.show(this.views.has(last) ? last : [...this.views.keys()][0] ?? null);
  }

  detach(): void {
    for (const id of [...this.views.keys()]) this.forget(id);
    this.draw();
  }

  private async create(focus = true): Promise<void> {
    const info = await callJson<TerminalInfo>(`${this.ide.containerUrl}/terminals`, { method: "POST", json: { cols: 80, rows: 24, cwd: this.ide.folder } });
    this.add(info);
    this.ide.send("panel.show", "terminal");
    this.show(info.id);
    if (focus) this.focus();
  }

  private add(info: TerminalInfo): void {
    const view = new TerminalView(info, `${this.ide.containerUrl}/terminals/${encodeURIComponent(info.id)}`, {
      title: (title) => {
        this.titles.set(info.id, title);
        this.draw();
      },
      link: (address) => this.follow(address),
      restart: () => void this.remove(info.id).then(() => this.create()).catch(fail),
      close: () => void this.remove(info.id).catch(fail),
    });
    this.views.set(info.id, view);
    this.body.append(view.element);
  }

  /** A dev server prints its address as the container sees it; from the browser the same thing is the preview. */
  private follow(address: string): void {
    const local = localTarget(address);
    if (local) this.ide.send("preview.open", local);
    else window.open(address, "_blank", "noopener,noreferrer");
  }

  private show(id: string | null): void {
    for (const [own, view] of this.views) if (own !== id) view.hide();
    this.active = id;
    this.current?.show();
    if (id) remember(`terminal.${this.ide.containerId}`, id);
    this.draw();
  }

  private async remove(id: string): Promise<void> {
    this.forget(id);
    this.show(this.active ?? [...this.views.keys()].at(-1) ?? null);
    await call(`${this.ide.containerUrl}/terminals/${encodeURIComponent(id)}`, { method: "DELETE" });
  }

  private forget(id: string): void {
    this.views.get(id)?.dispose();
    this.views.delete(id);
    this.titles.delete(id);
    if (this.active === id) this.active = null;
  }

  private draw(): void {
    const ids = [...this.views.keys()];
    const step = (id: string, by: number) => {
      this.show(ids[(ids.indexOf(id) + by + ids.length) % ids.length] ?? null);
      this.list.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
    };
    fill(this.list, ...[...this.views].map(([id, view], at) => h("div", { class: `editor-tab${id === this.active ? " active" : ""}` },
      h("button", {
        type: "button", role: "tab", class: "editor-tab-name", "aria-selected": String(id === this.active), tabindex: id === this.active ? 0 : -1, "data-test": "terminal-tab", "data-terminal": id,
        onclick: () => {
          this.ide.send("panel.show", "terminal");
          this.show(id);
          this.focus();
        },
        onkeydown: (event: KeyboardEvent) => {
          if (event.key === "ArrowRight") step(id, 1);
          else if (event.key === "ArrowLeft") step(id, -1);
        },
      }, icon("terminal", "icon-s"), h("span", { class: "truncate" }, this.titles.get(id) || view.info.title || `Terminal ${at + 1}`)),
      iconButton("x", `End terminal ${at + 1}`, () => void this.remove(id).catch(fail), "terminal-end"))));
    if (ids.length === 0) this.list.append(h("span", { class: "small faint" }, "No terminal is open."));
  }
}

