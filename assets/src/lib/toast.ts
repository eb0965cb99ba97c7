/** Short messages at the corner of the page. Failures stay until dismissed, unless told otherwise; the rest leaves by itself. */
import { sentenceOf } from "./api";
import { find, h, icon, iconButton } from "./dom";

const STAY_MS = 5000;
const MOST = 4;

export interface ToastOptions {
  title?: string;
  action?: { label: string; run: () => void; test: string };
  stayMs?: number;
  test?: string;
}

export function toast(text: string, kind: "info" | "ok" | "danger" = "info", options: ToastOptions = {}): void {
  const area = find<HTMLElement>("#toasts");
  if (!area) return;
  // The same failure again (a poll, say) must not pile up.
  for (const shown of area.children) if (shown.querySelector(".toast-text")?.textContent === text) shown.remove();
  const picture = kind === "danger" ? "alert" : kind === "ok" ? "check" : "info";
  const { title, action } = options;
  const act = action && (() => {
    element.remove();
    action.run();
  });
  const element = h("div", { class: `toast toast-${kind}`, role: kind === "danger" ? "alert" : "status", "data-test": options.test ?? "toast", "data-kind": kind },
    icon(picture),
    h("div", { class: "stack-0" }, title ? h("strong", {}, title) : null, h("p", { class: "toast-text" }, text),
      action && act ? h("div", {}, h("button", { type: "button", class: "btn btn-link", "data-test": action.test, onclick: act }, action.label)) : null),
    iconButton("x", "Dismiss", () => element.remove(), "toast-dismiss"));
  area.append(element);
  while (area.children.length > MOST) area.firstElementChild?.remove();
  const stay = options.stayMs ?? (kind === "danger" ? null : STAY_MS);
  if (stay !== null) setTimeout(() => element.remove(), stay);
}

/** Shows any failure; an aborted request is no failure. */
export function fail(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  toast(sentenceOf(error), "danger");
}
