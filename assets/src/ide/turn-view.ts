/** One turn of the assistant on the screen. Parts are updated in place, so that focus, open rows and scrolling survive the stream. */
import { type CallPart, callTitle, type Part, type Turn } from "../lib/conversation";
import { parseDiff } from "../lib/diff";
import { fill, h, icon } from "../lib/dom";
import { count } from "../lib/format";
import { markdown } from "./markdown-view";

export interface TurnHooks {
  decide: (call: string, decision: "allow" | "allow_always" | "deny") => void;
  undo: (turn: string) => void;
  open: (path: string) => void;
}

const STATE_TEXT = { waiting: "Waiting for you", running: "Running", done: "Done", denied: "Denied", failed: "Failed" } as const;
const TOOL_ICON: Record<string, string> = { list: "folder", read: "file", search: "search", write: "file-plus", edit: "edit", run: "terminal" };

interface Drawn {
  key: string;
  element: HTMLElement;
}

export class TurnView {
  readonly element: HTMLElement;
  private readonly said = h("div", { class: "chat-user", "data-test": "chat-user" });
  private readonly parts = h("div", { class: "chat-parts" });
  private readonly foot = h("div", { class: "chat-foot" });
  private readonly drawn: Drawn[] = [];
  private footKey = "";

  constructor(private readonly turn: Turn, private readonly hooks: TurnHooks) {
    this.element = h("article", { class: "chat-turn", "data-test": "chat-turn", "data-turn": turn.id }, this.said, this.parts, this.foot);
  }

  update(): void {
    if (this.said.textContent !== this.turn.user) this.said.textContent = this.turn.user;
    this.said.hidden = !this.turn.user;
    this.turn.parts.forEach((part, at) => this.part(part, at));
    this.drawFoot();
  }

  private part(part: Part, at: number): void {
    const key = JSON.stringify(part);
    const known = this.drawn[at];
    if (known?.key === key) return;
    const element = known?.element ?? h("div");
    if (part.kind === "text") {
      element.className = "chat-text";
      element.dataset["test"] = "chat-text";
      element.replaceChildren(markdown(part.text));
    } else if (part.kind === "error") {
      element.className = "notice notice-danger";
      element.dataset["test"] = "chat-error";
      element.setAttribute("role", "alert");
      fill(element, icon("alert"), h("p", { class: "wrap-anywhere" }, part.message));
    } else this.call(element, part);
    if (!known) this.parts.append(element);
    this.drawn[at] = { key, element };
  }

  private call(element: HTMLElement, call: CallPart): void {
    const open = element.querySelector("details")?.open ?? false;
    const hadFocus = element.contains(document.activeElement);
    element.className = `call call-${call.state}`;
    element.dataset["test"] = "call";
    element.dataset["call"] = call.id;
    element.dataset["tool"] = call.tool;
    element.dataset["state"] = call.state;
    const details = h("details", { open },
      h("summary", { "data-test": "call-summary" }, call.state === "running" ? h("span", { class: "spinner" }) : icon(TOOL_ICON[call.tool] ?? "more", "icon-s"),
        h("span", { class: "truncate call-title" }, callTitle(call.tool, call.input)), h("span", { class: "spacer" }), h("span", { class: "small call-state" }, STATE_TEXT[call.state])),
      h("div", { class: "call-body" },
        h("pre", { tabindex: 0, "aria-label": "Input" }, inputText(call)),
        call.output ? h("pre", { tabindex: 0, "aria-label": "Output", "data-test": "call-output" }, call.output) : null));
    fill(element, details,
      call.state === "waiting" ? this.question(call) : null,
      ...call.diffs.map((diff) => this.diff(diff.path, diff.diff, diff.created)));
    if (hadFocus) element.querySelector<HTMLElement>("[data-test=call-allow], summary")?.focus();
  }

  /** What is asked, in full: a command must be readable before it is allowed. */
  private question(call: CallPart): HTMLElement {
    const button = (label: string, decision: "allow" | "allow_always" | "deny", test: string, kind = "") => h("button", {
      type: "button", class: `btn btn-s ${kind}`, "data-test": test,
      onclick: (event: Event) => {
        for (const each of (event.currentTarget as HTMLElement).parentElement?.querySelectorAll("button") ?? []) each.disabled = true;
        this.hooks.decide(call.id, decision);
      },
    }, label);
    const title = callTitle(call.tool, call.input);
    return h("div", { class: "call-question", role: "group", "aria-label": `The assistant asks: ${title}`, "data-test": "call-question" },
      h("p", {}, call.tool === "run" ? "The assistant wants to run this command in your container:" : "The assistant wants to change a file:"),
      h("pre", { tabindex: 0 }, inputText(call)),
      h("div", { class: "row-wrap" }, button("Allow", "allow", "call-allow", "btn-primary"), button("Always allow in this chat", "allow_always", "call-allow-always"), button("Deny", "deny", "call-deny")));
  }

  private diff(path: string, text: string, created: boolean): HTMLElement {
    const { lines, added, removed } = parseDiff(text);
    return h("div", { class: "diff", "data-test": "diff", "data-path": path },
      h("div", { class: "diff-head" },
        h("button", { type: "button", class: "btn btn-link truncate", "data-test": "diff-open", onclick: () => this.hooks.open(path) }, path),
        created ? h("span", { class: "badge badge-ok" }, "new") : null, h("span", { class: "spacer" }),
        h("span", { class: "small diff-count" }, h("span", { class: "diff-plus" }, `+${added}`), " ", h("span", { class: "diff-minus" }, `−${removed}`))),
      h("div", { class: "diff-lines", tabindex: 0, role: "region", "aria-label": `Changes of ${path}` }, ...lines.map((line) => h("div", { class: `diff-line diff-${line.kind}` },
        h("span", { class: "diff-number" }, line.kind === "hunk" ? "" : line.after ?? line.before ?? ""),
        h("span", { class: "diff-sign" }, line.kind === "add" ? "+" : line.kind === "remove" ? "−" : " "), h("span", { class: "diff-text" }, line.text)))));
  }

  private drawFoot(): void {
    const { done, undone } = this.turn;
    const key = JSON.stringify([done, undone]);
    if (key === this.footKey) return;
    this.footKey = key;
    if (!done) return fill(this.foot);
    const files = done.files;
    const stop = done.stop === "stopped" || done.stop === "cancelled" ? "Stopped by you" : done.stop === "max_tokens" ? "The answer reached its length limit" : "";
    fill(this.foot,
      files.length > 0 ? h("div", { class: "chat-files", "data-test": "turn-files" },
        h("span", { class: "small" }, undone ? `Undone: ${undone.join(", ")}` : `Changed: ${files.join(", ")}`), h("span", { class: "spacer" }),
        undone ? null : h("button", { type: "button", class: "btn btn-s", "data-test": "turn-undo", title: `Puts back: ${files.join(", ")}`, onclick: () => this.hooks.undo(this.turn.id) }, icon("undo", "icon-s"), "Undo")) : null,
      h("p", { class: "small faint", "data-test": "turn-usage" }, [stop, done.inputTokens + done.outputTokens > 0 ? `${count(done.inputTokens)} tokens in, ${count(done.outputTokens)} out` : ""].filter(Boolean).join(" · ")));
  }
}

function inputText(call: CallPart): string {
  if (call.tool === "run") return Array.isArray(call.input["command"]) ? call.input["command"].join(" ") : String(call.input["command"] ?? "");
  return Object.entries(call.input).map(([key, value]) => (typeof value === "string" && value.includes("\n") ? `${key}:\n${value}` : `${key}: ${typeof value === "string" ? value : JSON.stringify(value)}`)).join("\n");
}
