/** Shown while there is no ready container: what it does now, step by step, and the button that starts it. Also the state in the header. */
import { fill, find, h, icon } from "../lib/dom";
import { milliseconds } from "../lib/format";
import type { ContainerControl } from "./container";
import type { Ide, Step } from "./context";

const STATE_TEXT = { stopped: "Stopped", starting: "Starting", running: "Running", stopping: "Stopping", failed: "Failed" } as const;
const STATE_DOT = { stopped: "", starting: "dot-busy", running: "dot-ok", stopping: "dot-busy", failed: "dot-danger" } as const;

export class StartView {
  private readonly element = h("section", { class: "ide-start", "aria-label": "Container", "data-test": "start-view" });
  private readonly steps = h("ol", { class: "steps", "data-test": "steps" });
  private readonly announce = h("p", { class: "visually-hidden", role: "status" });
  private drawn = "";

  constructor(private readonly ide: Ide, private readonly control: ContainerControl, root: HTMLElement) {
    root.append(this.element);
    control.changed(() => this.draw());
    this.draw();
  }

  hide(): void {
    this.element.hidden = true;
  }

  show(): void {
    this.element.hidden = false;
    this.draw();
  }

  private draw(): void {
    this.drawHeader();
    const { container, checkout, loaded, busy } = this.control;
    const key = JSON.stringify([container, checkout, loaded, busy]);
    if (this.element.hidden || key === this.drawn) return;
    this.drawn = key;
    const failedStep = container?.steps.find((step) => step.state === "failed");
    const failed = container?.state === "failed" || checkout?.state === "failed";
    const still = !container || container.state === "stopped" || failed;
    const title = !loaded ? "Looking for your container…"
      : checkout?.state === "failed" ? "The project could not be put into the container"
      : container?.state === "failed" ? "The container did not start"
      : container?.state === "stopping" ? "Stopping your container…"
      : container?.state === "running" ? `Putting ${this.ide.name} into the container…`
      : container?.state === "starting" || container?.wanted === "running" ? "Starting your container…"
      : "Your container is stopped";
    const reason = failed ? checkout?.message ?? failedStep?.message ?? container?.reason : container?.state === "stopped" ? container.reason : null;
    fill(this.element, h("div", { class: "start-card card" },
      h("div", { class: "card-body" },
        h("div", { class: "row" }, loaded && still ? icon(failed ? "alert" : "terminal") : h("span", { class: "spinner" }), h("h2", { "data-test": "start-title" }, title)),
        reason ? h("p", { class: failed ? "notice notice-danger" : "muted", role: failed ? "alert" : null, "data-test": "start-reason" }, h("span", { class: "wrap-anywhere" }, reason)) : null,
        loaded && still && !failed ? h("p", { class: "muted" }, "It is yours alone: a home folder, a terminal and a network that reaches allowed hosts only. Files stay when it stops.") : null,
        loaded && (!still || failed) ? this.steps : null,
        loaded && still ? this.button(failed) : null,
        this.announce)));
    this.drawSteps();
    if (this.announce.textContent !== title) this.announce.textContent = title;
  }

  private button(failed: boolean): HTMLElement {
    const retryProject = this.control.checkout?.state === "failed" && this.control.container?.state === "running";
    const run = () => void (retryProject ? this.control.prepare() : this.control.start());
    return h("div", { class: "form-actions" }, h("button", { type: "button", class: "btn btn-primary", disabled: this.control.busy, onclick: run, "data-test": failed ? "retry-container" : "start-container" },
      icon(failed ? "reload" : "play"), failed ? "Try again" : "Start container"));
  }

  private drawSteps(): void {
    const container = this.control.container;
    const rows: Step[] = [...(container?.steps ?? [])];
    const checkout = this.control.checkout;
    if (container && container.state !== "stopping") {
      const state = checkout === null ? "pending" : checkout.state === "ready" ? "done" : checkout.state === "failed" ? "failed" : "running";
      rows.push({ name: "project", label: `Project in ${this.ide.folder}`, state, duration_ms: null, message: checkout?.message ?? null });
    }
    fill(this.steps, ...rows.map((step) => h("li", { class: `step step-${step.state}`, "data-test": "step", "data-step": step.name, "data-state": step.state },
      step.state === "done" ? icon("check") : step.state === "failed" ? icon("x") : step.state === "running" ? h("span", { class: "spinner" }) : h("span", { class: "step-wait" }),
      h("span", {}, step.label, step.state === "failed" && step.message ? h("span", { class: "small muted wrap-anywhere" }, ` ${step.message}`) : null),
      h("span", { class: "small faint nowrap" }, step.duration_ms === null ? "" : milliseconds(step.duration_ms)))));
  }

  /** State, how long the start took, and the stop button, at the top of the page. */
  private drawHeader(): void {
    const slot = find<HTMLElement>("#container-slot");
    const container = this.control.container;
    if (!slot) return;
    if (!container) return fill(slot);
    const running = container.state === "running";
    const took = running && container.start_duration_ms !== null ? `Started in ${milliseconds(container.start_duration_ms)}` : container.reason ?? "";
    if (this.control.away) {
      return fill(slot, h("span", { class: "badge badge-warn", role: "status", title: "The server cannot be reached. The page connects again by itself; what you typed stays.", "data-test": "server-away" }, h("span", { class: "dot dot-warn" }), "Server not reachable"));
    }
    fill(slot,
      h("span", { class: "badge", title: took, "data-test": "container-state", "data-state": container.state }, h("span", { class: `dot ${STATE_DOT[container.state]}` }), STATE_TEXT[container.state]),
      running && container.start_duration_ms !== null ? h("span", { class: "small faint nowrap", "data-test": "start-duration" }, milliseconds(container.start_duration_ms)) : null,
      running || container.state === "starting"
        ? h("button", { type: "button", class: "btn btn-s btn-quiet", disabled: this.control.busy || container.wanted === "stopped", onclick: () => void this.control.stop(), "data-test": "stop-container" }, icon("stop", "icon-s"), "Stop")
        : null);
  }
}
