/**
 * What the container wanted to connect to, and what the server decided. A refused tool says no more than
 * "403" to the person who ran it, so each new refusal is told here in a sentence, and kept in a list.
 */
import { callList } from "../lib/api";
import { type Decision, grouped, Refusals, sentence } from "../lib/decisions";
import { fill, h, icon, iconButton } from "../lib/dom";
import { recall, remember } from "../lib/remember";
import { toast } from "../lib/toast";
import type { Ide } from "./context";

const POLL_MS = 3000;
const NOTICE_MS = 60_000;
/** More at once are counted only: the list has them all. */
const MOST_TOLD = 2;

export class Network {
  /** The button beside the terminals. */
  readonly tab: HTMLButtonElement;
  readonly element: HTMLElement;
  /** The newest refusals, above the terminal that shows their consequence, so that neither covers the other. */
  readonly notice = h("div", { class: "network-notice", role: "alert", hidden: true, "data-test": "egress-notice" });
  private readonly count = h("span", { class: "badge badge-danger network-count", hidden: true, "data-test": "network-count" });
  private readonly rows = h("tbody");
  private readonly none = h("p", { class: "empty muted", "data-test": "network-empty" });
  private readonly table: HTMLElement;
  private readonly only = h("input", { type: "checkbox", checked: recall<boolean>("network.refused", false), "data-test": "network-refused-only" });
  private decisions: Decision[] = [];
  private refusals = new Refusals();
  private unseen = 0;
  private timer = 0;
  private noticeTimer = 0;
  private running = false;
  private drawn = "";

  constructor(private readonly ide: Ide) {
    this.tab = h("button", { type: "button", class: "pane-tab network-tab", "aria-pressed": "false", "data-test": "network-tab", onclick: () => ide.send("panel.show", this.shown ? "terminal" : "network") },
      icon("globe", "icon-s"), "Network", this.count);
    this.table = h("div", { class: "network-scroll", tabindex: 0, role: "region", "aria-label": "Connections" }, h("table", { class: "network-table" },
      h("thead", {}, h("tr", {}, ...["Time", "Decision", "Destination", "Why"].map((name) => h("th", { scope: "col" }, name)))), this.rows));
    this.element = h("section", { class: "network", "aria-label": "Network", hidden: true, "data-test": "network" },
      h("div", { class: "network-bar small" }, h("span", { class: "muted" }, "Connections that programs in your container asked for, newest first."), h("span", { class: "spacer" }),
        h("label", { class: "row" }, this.only, "Refused only")), this.none, this.table);
    this.only.addEventListener("change", () => {
      remember("network.refused", this.only.checked);
      this.draw();
    });
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden && this.running) void this.poll();
    });
    this.draw();
  }

  get shown(): boolean {
    return !this.element.hidden;
  }

  show(shown: boolean): void {
    this.element.hidden = !shown;
    this.tab.setAttribute("aria-pressed", String(shown));
    if (shown) {
      this.unseen = 0;
      this.hush();
    }
    this.draw();
  }

  start(): void {
    this.running = true;
    void this.poll();
  }

  stop(): void {
    this.running = false;
    clearTimeout(this.timer);
  }

  private async poll(): Promise<void> {
    clearTimeout(this.timer);
    try {
      const decisions = await callList<Decision>(`${this.ide.containerUrl}/egress`);
      if (this.running) this.take(decisions);
    } catch {
      // The next one tells; a container which stops is told of elsewhere.
    }
    if (this.running && !document.hidden) this.timer = window.setTimeout(() => void this.poll(), POLL_MS);
  }

  private take(decisions: Decision[]): void {
    this.decisions = decisions;
    const fresh = this.refusals.fresh(decisions);
    if (!this.shown) this.unseen += fresh.length;
    if (fresh.length > 0 && !this.shown) this.tell(fresh);
    this.draw();
  }

  private tell(fresh: Decision[]): void {
    const title = fresh.length === 1 ? "A connection was refused" : `Connections to ${fresh.length} destinations were refused`;
    const lines = fresh.slice(0, MOST_TOLD).map(sentence);
    const showAll = () => this.ide.send("panel.show", "network");
    fill(this.notice, icon("alert"), h("div", { class: "stack-0" }, h("strong", {}, title), ...lines.map((line) => h("p", {}, line))),
      h("button", { type: "button", class: "btn btn-s", onclick: showAll, "data-test": "network-show" }, "Show all"),
      iconButton("x", "Dismiss", () => this.hush(), "egress-dismiss"));
    this.hush(false);
    if (this.notice.checkVisibility()) {
      this.noticeTimer = window.setTimeout(() => this.hush(), NOTICE_MS);
      return;
    }
    this.hush();
    toast(lines.join(" "), "danger", { title, action: { label: "Show all", run: showAll, test: "network-show" }, stayMs: NOTICE_MS });
  }

  private hush(hidden = true): void {
    clearTimeout(this.noticeTimer);
    this.notice.hidden = hidden;
  }

  private draw(): void {
    this.count.hidden = this.unseen === 0;
    this.count.textContent = String(this.unseen);
    this.tab.setAttribute("aria-label", this.unseen === 0 ? "Network" : `Network, ${this.unseen} new refused`);
    if (!this.shown) return;
    const chosen = this.only.checked ? this.decisions.filter((decision) => decision.verdict === "refused") : this.decisions;
    this.none.hidden = chosen.length > 0;
    this.table.hidden = chosen.length === 0;
    this.none.textContent = this.only.checked ? "Nothing was refused." : "Nothing in your container has asked for a connection since the server started.";
    const key = JSON.stringify(chosen);
    if (key === this.drawn) return;
    this.drawn = key;
    fill(this.rows, ...grouped(chosen).map(({ decision, times }) => {
      const refused = decision.verdict === "refused";
      const at = new Date(decision.at_ms);
      return h("tr", { "data-test": "network-row", "data-verdict": decision.verdict, "data-host": decision.host },
        h("td", { class: "nowrap", title: at.toLocaleString() }, at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })),
        h("td", { class: "nowrap" }, h("span", { class: `badge ${refused ? "badge-danger" : "badge-ok"}` }, refused ? "Refused" : "Allowed"), times > 1 ? h("span", { class: "faint" }, ` ×${times}`) : null),
        h("td", {}, h("code", {}, decision.port === 0 ? decision.host : `${decision.host}:${decision.port}`)),
        h("td", { class: refused ? "" : "muted" }, refused ? sentence(decision) : "On the allow-list"));
    }));
  }
}
