/** The assistant's panel: sessions of this project, the running conversation, and the input. The server holds everything; a reload replays it. */
import { call, callJson, callList } from "../lib/api";
import { Conversation, type SessionEvent, type Turn } from "../lib/conversation";
import { fill, h, icon, iconButton } from "../lib/dom";
import { Stream } from "../lib/stream";
import { fail, toast } from "../lib/toast";
import type { Ide } from "./context";
import { TurnView } from "./turn-view";
import { join, isInside } from "../lib/paths";

interface Session {
  id: string;
  container_id: string;
  title: string;
  created_at_ms: number;
}

interface Readiness {
  ready: boolean;
  missing_setting: string | null;
  model: string;
}

/** Closer to the end than this, the view follows new text. */
const FOLLOW_PX = 80;

export class AssistantPanel {
  readonly element: HTMLElement;
  private readonly chats = h("select", { class: "input", "aria-label": "Chat", "data-test": "chat-select" });
  private readonly log = h("div", { class: "chat-log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: 0, "data-test": "chat-log" });
  private readonly status = h("p", { class: "chat-status small muted", role: "status", "data-test": "chat-status" });
  private readonly input = h("textarea", { class: "input", rows: 3, placeholder: "Ask about this project, or say what to change", "aria-label": "Message", "data-test": "chat-input" });
  private readonly sendButton = h("button", { class: "btn btn-primary btn-s", "data-test": "chat-send" }, icon("send", "icon-s"), "Send");
  private readonly stopButton = h("button", { type: "button", class: "btn btn-s", hidden: true, "data-test": "chat-stop" }, icon("stop", "icon-s"), "Stop");
  private readonly form: HTMLFormElement;
  private readonly notReady = h("div", { class: "empty", hidden: true, "data-test": "assistant-not-ready" });
  private readonly views = new Map<string, TurnView>();
  private readonly changed = new Set<Turn>();
  private sessions: Session[] = [];
  private session: Session | null = null;
  private talk = new Conversation();
  private stream: Stream | null = null;
  private frame = 0;
  private sending = false;
  private naming = false;
  private model = "";

  constructor(private readonly ide: Ide) {
    this.form = h("form", { class: "chat-form" }, this.input, h("div", { class: "row" }, this.status, h("span", { class: "spacer" }), this.stopButton, this.sendButton));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.send();
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      void this.send();
    });
    this.stopButton.addEventListener("click", () => void this.post("stop").catch(fail));
    this.chats.addEventListener("change", () => this.use(this.sessions.find((session) => session.id === this.chats.value) ?? null));
    // A hidden log forgets where it was scrolled to; what is newest is what one comes back for.
    let height = 0;
    new ResizeObserver(() => {
      if (height === 0 && this.log.clientHeight > 0) this.log.scrollTop = this.log.scrollHeight;
      height = this.log.clientHeight;
    }).observe(this.log);
    ide.on("server.back", () => {
      if (!this.notReady.hidden) void this.start().catch(() => {});
    });
    this.element = h("section", { class: "panel", "data-test": "assistant-panel" },
      h("div", { class: "panel-bar" }, this.chats, iconButton("plus", "New chat", () => this.use(null), "chat-new")), this.notReady, this.log, this.form);
  }

  focus(): void {
    if (this.notReady.hidden) this.input.focus();
    else this.notReady.querySelector<HTMLElement>("button")?.focus();
  }

  async start(): Promise<void> {
    const readiness = await callJson<Readiness>(`${this.ide.workspaceUrl}/ai`);
    this.model = readiness.model;
    this.drawReadiness(readiness);
    if (!readiness.ready) return;
    this.sessions = (await callList<Session>(`${this.ide.workspaceUrl}/ai/sessions?project_id=${encodeURIComponent(this.ide.project)}`)).sort((a, b) => b.created_at_ms - a.created_at_ms);
    const kept = this.session && this.sessions.find((session) => session.id === this.session?.id);
    this.use(kept ?? this.sessions[0] ?? null);
  }

  /** The container is gone: nothing streams until it is back. */
  pause(): void {
    this.stream?.close();
    this.stream = null;
  }

  private drawReadiness({ ready, missing_setting: setting }: Readiness): void {
    this.notReady.hidden = ready;
    this.log.hidden = !ready;
    this.form.hidden = !ready;
    if (this.chats.parentElement) this.chats.parentElement.hidden = !ready;
    if (ready) return;
    fill(this.notReady, icon("chat"), h("h2", {}, "The assistant is not set up"),
      setting ? h("p", {}, "This setting is missing on the server: ", h("code", { "data-test": "missing-setting" }, setting)) : h("p", {}, "The server says that it has no model to use."),
      setting ? h("p", { class: "small" }, "Put the key into a file that only the server can read, name the file in OptiDev's configuration, and restart the server:") : null,
      setting ? h("pre", { class: "code-block" }, example(setting)) : null,
      setting ? h("p", { class: "small" }, "Or name it in the server's environment: ", h("code", {}, variable(setting))) : null,
      setting ? h("p", { class: "small" }, "Or give the key to the vault, for all servers at once and without a restart: ", h("code", {}, "optidev vault credential set upstream_ai_key")) : null,
      h("button", { type: "button", class: "btn btn-s", onclick: () => void this.start().catch(fail), "data-test": "assistant-recheck" }, "Check again"));
  }

  private use(session: Session | null): void {
    this.pause();
    this.session = session;
    this.talk = new Conversation();
    this.views.clear();
    this.changed.clear();
    this.drawChats();
    this.drawEmpty();
    this.drawState();
    if (!session) return;
    const talk = this.talk;
    this.stream = new Stream({
      url: () => `${this.sessionUrl(session)}/events?after=${talk.last}`,
      event: "message",
      on: (data, id) => {
        if (talk === this.talk) this.take(Number(id) || 0, data as SessionEvent);
      },
    });
  }

  private sessionUrl(session: Session): string {
    return `${this.ide.workspaceUrl}/ai/sessions/${encodeURIComponent(session.id)}`;
  }

  private async post(path: string, json: unknown = {}): Promise<Response> {
    if (!this.session) throw new Error("There is no chat yet.");
    return call(`${this.sessionUrl(this.session)}/${path}`, { method: "POST", json });
  }

  private async send(): Promise<void> {
    const text = this.input.value.trim();
    if (!text || this.sending || this.talk.state !== "idle") return;
    this.sending = true;
    this.drawState();
    try {
      if (!this.session) {
        const session = await callJson<Session>(`${this.ide.workspaceUrl}/ai/sessions`, { method: "POST", json: { project_id: this.ide.project, container_id: this.ide.containerId } });
        this.sessions.unshift(session);
        this.use(session);
      }
      await this.post("messages", { text });
      this.input.value = "";
    } catch (error) {
      fail(error);
    } finally {
      this.sending = false;
      this.drawState();
    }
  }

  private take(id: number, event: SessionEvent): void {
    const turn = this.talk.apply(id, event);
    if (!turn) return;
    this.changed.add(turn);
    if (event.type === "user" || event.type === "done") void this.titled();
    // Text arrives in many small pieces: drawn once a frame.
    this.frame ||= requestAnimationFrame(() => this.flush());
  }

  private flush(): void {
    this.frame = 0;
    const follow = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < FOLLOW_PX;
    if (this.views.size === 0) fill(this.log);
    for (const turn of this.changed) {
      let view = this.views.get(turn.id);
      if (!view) {
        view = new TurnView(turn, {
          decide: (id, decision) => void this.post(`calls/${encodeURIComponent(id)}`, { decision }).catch((error: unknown) => {
            fail(error);
            this.views.get(turn.id)?.element.querySelectorAll<HTMLButtonElement>("[data-test=call-question] button").forEach((button) => (button.disabled = false));
          }),
          undo: (id) => void this.undo(id).catch(fail),
          open: (path) => this.ide.send("file.open", { path: isInside(path, this.ide.folder) ? path : join(this.ide.folder, path) }),
        });
        this.views.set(turn.id, view);
        this.log.append(view.element);
      }
      view.update();
    }
    this.changed.clear();
    if (follow) this.log.scrollTop = this.log.scrollHeight;
    this.drawState();
  }

  /** The server names a chat by what was said in it. */
  private async titled(): Promise<void> {
    const session = this.session;
    if (!session || session.title || this.naming) return;
    this.naming = true;
    const now = await callJson<Session>(this.sessionUrl(session)).catch(() => session);
    this.naming = false;
    session.title = now.title;
    this.drawChats();
  }

  private async undo(turn: string): Promise<void> {
    const response = await this.post(`turns/${encodeURIComponent(turn)}/undo`);
    const { restored } = (await response.json()) as { restored: string[] };
    toast(restored.length === 1 ? `Put back: ${restored[0] ?? ""}` : `${restored.length} files put back`, "ok");
  }

  private drawChats(): void {
    fill(this.chats, this.session ? null : h("option", { value: "" }, "New chat"),
      ...this.sessions.map((session) => h("option", { value: session.id }, session.title || new Date(session.created_at_ms).toLocaleString())));
    this.chats.value = this.session?.id ?? "";
  }

  private drawEmpty(): void {
    fill(this.log, h("div", { class: "empty", "data-test": "chat-empty" }, icon("chat"),
      h("p", { class: "muted" }, "The assistant reads and changes the files of this project. It asks before it runs a command, shows every change, and a turn can be undone."),
      h("p", { class: "small faint" }, `Model: ${this.model}`)));
  }

  private finished(): boolean {
    const turn = this.talk.turns.at(-1);
    return turn?.done != null && turn.done.stop !== "stopped" && !turn.parts.some((part) => part.kind === "error");
  }

  private drawState(): void {
    const state = this.talk.state;
    const busy = state !== "idle" || this.sending;
    this.sendButton.disabled = busy;
    this.stopButton.hidden = state === "idle";
    this.element.dataset["state"] = this.sending && state === "idle" ? "working" : state;
    const said = state === "waiting" ? "Waiting for your answer above" : busy ? "Working…" : this.finished() ? "Done" : "";
    if (this.status.textContent !== said) this.status.textContent = said;
  }
}

/** `[ai] anthropic_api_key_file` as an environment variable. */
function variable(setting: string): string {
  return `OPTIDEV_${setting.replace(/^\[([^\]]+)\]\s*/, "$1__").toUpperCase()}`;
}

/** `[ai] anthropic_api_key_file` as lines of the configuration file. */
function example(setting: string): string {
  const match = /^\[([^\]]+)\]\s*(\S+)/.exec(setting);
  return match ? `[${match[1]}]\n${match[2]} = "/etc/optidev/anthropic.key"` : setting;
}
