/**
 * The preview: which ports listen, and a frame onto one of them. The frame is another site with its own cookies: a
 * one-time ticket opens it, and its sandbox keeps it from leading this page elsewhere.
 */
import { callJson, callList } from "../lib/api";
import { fill, h, icon, iconButton } from "../lib/dom";
import { recall, remember } from "../lib/remember";
import { fail } from "../lib/toast";
import type { Ide } from "./context";

interface Port {
  port: number;
  address: string;
  process: string | null;
}

const POLL_MS = 2000;

export class Preview {
  readonly element: HTMLElement;
  private readonly ports = h("select", { class: "input", "aria-label": "Port", "data-test": "preview-port" });
  private readonly path = h("input", { class: "input", value: "/", "aria-label": "Path", spellcheck: "false", autocomplete: "off", "data-test": "preview-path" });
  private readonly hint = h("div", { class: "empty", "data-test": "preview-empty" });
  private readonly suggest = h("div", { class: "suggest", role: "status", hidden: true, "data-test": "preview-suggest" });
  private frame: HTMLIFrameElement | null = null;
  private known: Port[] = [];
  private seen: Set<number> | null = null;
  private timer = 0;
  private shown = false;
  private running = false;
  private opened: number | null = null;

  constructor(private readonly ide: Ide) {
    const form = h("form", { class: "preview-bar" }, this.ports, this.path,
      iconButton("reload", "Load again", () => void this.open().catch(fail), "preview-reload"),
      iconButton("external", "Open in a new tab", () => void this.openTab().catch(fail), "preview-tab"),
      h("button", { class: "visually-hidden", "data-test": "preview-go" }, "Go"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.open().catch(fail);
    });
    this.ports.addEventListener("change", () => void this.open().catch(fail));
    this.element = h("section", { class: "panel", hidden: true, "data-test": "preview-panel" }, form, this.suggest, this.hint);
    ide.on("preview.open", ({ port, path }) => {
      if (!this.known.some((known) => known.port === port)) this.known.push({ port, address: "", process: null });
      this.draw();
      this.ports.value = String(port);
      this.path.value = path;
      ide.send("panel.show", "preview");
      void this.open().catch(fail);
    });
    document.addEventListener("visibilitychange", () => this.schedule());
    this.draw();
  }

  focus(): void {
    (this.known.length > 0 ? this.path : this.ports).focus();
  }

  start(): void {
    this.running = true;
    this.seen = null;
    void this.poll();
  }

  stop(): void {
    this.running = false;
    clearTimeout(this.timer);
    this.known = [];
    this.close();
    this.draw();
  }

  visible(shown: boolean): void {
    this.shown = shown;
    if (shown) {
      this.suggest.hidden = true;
      document.querySelector("[data-port-offer]")?.remove();
      if (!this.frame && this.known.length > 0) void this.open().catch(fail);
    }
    this.schedule();
  }

  private schedule(): void {
    clearTimeout(this.timer);
    if (this.running && !document.hidden) this.timer = window.setTimeout(() => void this.poll(), POLL_MS);
  }

  private async poll(): Promise<void> {
    try {
      const ports = (await callList<Port>(`${this.ide.containerUrl}/ports`)).sort((a, b) => a.port - b.port);
      // The same port may listen on both address families.
      const unique = ports.filter((port, at) => ports.findIndex((other) => other.port === port.port) === at);
      if (this.running) this.take(unique);
    } catch {
      // The next poll tells; a container which stops is told of elsewhere.
    }
    this.schedule();
  }

  private take(ports: Port[]): void {
    const first = this.seen === null;
    const fresh = this.seen ? ports.filter((port) => !this.seen?.has(port.port)) : [];
    this.seen = new Set(ports.map((port) => port.port));
    if (JSON.stringify(ports) !== JSON.stringify(this.known)) {
      this.known = ports;
      this.draw();
    }
    if (first) this.resume();
    const [news] = fresh;
    if (news && !this.frame) {
      this.ports.value = String(news.port);
      if (this.shown) void this.open().catch(fail);
      else this.offer(news);
    } else if (news) this.offer(news);
    if (this.opened !== null && !this.seen.has(this.opened)) this.close();
  }

  /** A page that comes back shows what it showed, if that still listens. */
  private resume(): void {
    const { port, path } = recall(`preview.${this.ide.project}`, { port: 0, path: "/" });
    if (this.known.some((known) => known.port === port)) {
      this.ports.value = String(port);
      this.path.value = path;
    }
    if (this.shown && !this.frame && this.known.length > 0) void this.open().catch(fail);
  }

  /** Says that something new listens, where the person looks: as a message with a button when the panel is not shown. */
  private offer(port: Port): void {
    const open = () => {
      this.ports.value = String(port.port);
      this.suggest.hidden = true;
      // A panel that comes into view without a frame opens one by itself: once is enough.
      const opensItself = !this.shown && !this.frame;
      this.ide.send("panel.show", "preview");
      if (!opensItself) void this.open().catch(fail);
    };
    const text = `Port ${port.port} listens now${port.process ? ` (${port.process})` : ""}.`;
    const row = () => [icon("globe"), h("span", {}, text), h("span", { class: "spacer" }), h("button", { type: "button", class: "btn btn-s btn-primary", onclick: open, "data-test": "preview-suggest-open" }, "Open preview")];
    if (this.shown) {
      fill(this.suggest, ...row());
      this.suggest.hidden = false;
      return;
    }
    const area = document.getElementById("toasts");
    area?.querySelector("[data-port-offer]")?.remove();
    const toast = h("div", { class: "toast", role: "status", "data-port-offer": true, "data-test": "preview-offer" }, icon("globe"), h("p", {}, text),
      h("div", { class: "row" }, h("button", { type: "button", class: "btn btn-s btn-primary", "data-test": "preview-offer-open", onclick: () => {
        toast.remove();
        open();
      } }, "Open"), iconButton("x", "Dismiss", () => toast.remove(), "toast-dismiss")));
    area?.append(toast);
    setTimeout(() => toast.remove(), 20_000);
  }

  /** The one-time address which leads to the path that is typed. */
  private async ticket(): Promise<URL> {
    const { url } = await callJson<{ url: string }>(`${this.ide.containerUrl}/ports/${encodeURIComponent(this.ports.value)}/open`, { method: "POST", json: {} });
    const typed = this.path.value.trim();
    const path = typed.startsWith("/") ? typed : `/${typed}`;
    this.path.value = path;
    const ticket = new URL(url);
    ticket.searchParams.set("to", path);
    return ticket;
  }

  private async open(): Promise<void> {
    const port = Number(this.ports.value);
    if (!port) return;
    const url = await this.ticket();
    this.opened = port;
    remember(`preview.${this.ide.project}`, { port, path: this.path.value });
    this.hint.hidden = true;
    this.suggest.hidden = true;
    this.frame?.remove();
    const frame = h("iframe", {
      class: "preview-frame", title: `Preview of port ${port}`, src: url.href, "data-test": "preview-frame", "data-port": port, referrerpolicy: "no-referrer",
      sandbox: "allow-scripts allow-same-origin allow-forms allow-popups allow-popups-to-escape-sandbox allow-modals allow-downloads",
    });
    this.frame = frame;
    this.element.append(frame);
  }

  private async openTab(): Promise<void> {
    if (!this.ports.value) return;
    // Opened in the click, else a blocker takes it; the address follows.
    const tab = window.open("about:blank", "_blank");
    try {
      const url = await this.ticket();
      if (tab) {
        tab.opener = null;
        tab.location.href = url.href;
      }
    } catch (error) {
      tab?.close();
      throw error;
    }
  }

  private close(): void {
    this.frame?.remove();
    this.frame = null;
    this.opened = null;
    this.hint.hidden = false;
  }

  private draw(): void {
    const chosen = this.ports.value;
    fill(this.ports, ...this.known.map((port) => h("option", { value: port.port }, port.process ? `${port.port} · ${port.process}` : String(port.port))));
    if (this.known.length === 0) this.ports.append(h("option", { value: "" }, "No port"));
    if (this.known.some((port) => String(port.port) === chosen)) this.ports.value = chosen;
    this.ports.disabled = this.known.length === 0;
    fill(this.hint, icon("globe"),
      h("p", { class: "muted" }, this.known.length === 0 ? "Nothing listens in the container yet." : "Choose a port to see what it serves."),
      this.known.length === 0 ? h("p", { class: "small faint" }, "Start a server in the terminal, for example ", h("code", {}, "npm run dev"), ". It shows up here within two seconds.") : null,
      this.known.length > 0 ? h("button", { type: "button", class: "btn btn-primary", onclick: () => void this.open().catch(fail), "data-test": "preview-open" }, "Open preview") : null);
  }
}

