/**
 * The container's life as the page follows it: load, start, stop, and the project's way into it. State comes
 * from the event stream while something is under way, and from a slow poll else: a stream for hours would
 * hold one of the browser's few connections.
 */
import { callJson, callList, Problem } from "../lib/api";
import { Stream } from "../lib/stream";
import { fail } from "../lib/toast";
import type { Checkout, Container, Ide } from "./context";

const POLL_MS = 5000;
const CHECKOUT_POLL_MS = 400;

export class ContainerControl {
  container: Container | null = null;
  checkout: Checkout | null = null;
  loaded = false;
  busy = false;
  /** The server could not be reached at the last look. */
  away = false;
  private stream: Stream | null = null;
  private ready = false;
  private preparing = false;
  /** How often something was asked for: what was read before the last time says nothing any more. */
  private acts = 0;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly ide: Ide) {
    setInterval(() => void this.poll(), POLL_MS);
    document.addEventListener("visibilitychange", () => void this.poll());
  }

  changed(listener: () => void): void {
    this.listeners.add(listener);
  }

  async load(): Promise<void> {
    const all = await callList<Container>(`${this.ide.workspaceUrl}/containers`);
    this.loaded = true;
    this.take(all.find((container) => container.mine) ?? null);
  }

  start(): Promise<void> {
    return this.act(`${this.ide.workspaceUrl}/containers`);
  }

  stop(): Promise<void> {
    return this.act(`${this.ide.containerUrl}/stop`);
  }

  private async act(url: string): Promise<void> {
    this.busy = true;
    this.acts += 1;
    this.notify();
    try {
      this.take(await callJson<Container>(url, { method: "POST", json: {} }), true);
    } catch (error) {
      fail(error);
    } finally {
      this.busy = false;
      this.notify();
    }
  }

  private async poll(): Promise<void> {
    if (document.hidden || this.stream || this.busy || !this.container) return;
    const acts = this.acts;
    try {
      const container = await callJson<Container>(this.ide.containerUrl);
      if (acts !== this.acts) return;
      const back = this.away;
      this.away = false;
      this.take(container);
      if (back) this.ide.send("server.back", null);
    } catch (error) {
      if (!(error instanceof Problem)) return;
      // A server that restarts is away for a moment; parts which need it now say so themselves.
      this.away = error.status === 0 || error.status >= 502;
      if (error.status === 404) this.take(null);
      else this.notify();
    }
  }

  private take(container: Container | null, follow = false): void {
    this.container = container;
    if (container) this.ide.containerId = container.id;
    const moving = container !== null && (container.state === "starting" || container.state === "stopping"
      || (container.wanted === "running" && container.state === "stopped")
      || (container.wanted === "stopped" && container.state === "running"));
    if (container && (moving || follow)) this.follow();
    else this.unfollow();
    // What came of the way in is said of this start of the container only.
    if (container?.state !== "running") this.checkout = null;
    if (container?.state === "running" && container.wanted === "running") void this.prepare();
    else if (this.ready) {
      this.ready = false;
      this.ide.send("container.gone", container);
    }
    this.notify();
  }

  private follow(): void {
    this.stream ??= new Stream({
      url: () => `${this.ide.containerUrl}/events`,
      event: "container",
      on: (data) => this.take(data as Container),
    });
  }

  private unfollow(): void {
    this.stream?.close();
    this.stream = null;
  }

  /** Brings the project into the running container, once per start. */
  async prepare(): Promise<void> {
    if (this.ready || this.preparing) return;
    this.preparing = true;
    const url = `${this.ide.containerUrl}/projects/${encodeURIComponent(this.ide.project)}`;
    try {
      this.checkout = await callJson<Checkout>(url, { method: "PUT", json: {} });
      while (this.checkout.state === "importing" || this.checkout.state === "absent") {
        this.notify();
        await new Promise((resolve) => setTimeout(resolve, CHECKOUT_POLL_MS));
        if (this.container?.state !== "running") return;
        this.checkout = await callJson<Checkout>(url);
      }
      if (this.checkout.state === "ready" && this.container) {
        this.ready = true;
        this.ide.send("container.ready", this.container);
      }
    } catch (error) {
      this.checkout = { folder: this.ide.folder, state: "failed", message: error instanceof Problem ? error.sentence : String(error) };
    } finally {
      this.preparing = false;
      this.notify();
    }
  }

  private notify(): void {
    for (const listener of this.listeners) listener();
  }
}
