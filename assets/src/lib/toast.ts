/** Short messages at the corner of the page. Failures stay until dismissed, the rest leaves by itself. */
import { sentenceOf } from "./api";
import { find, h, icon, iconButton } from "./dom";

const STAY_MS = 5000;
const MOST = 4;

export function toast(text: string, kind: "info" | "ok" | "danger" = "info"): void {
  const area = find<HTMLElement>("#toasts");
  if (!area) return;
  // The same failure again (a poll, say) must not pile up.
  for (const shown of area.children) if (shown.querySelector("p")?.textContent === text) shown.remove();
  const picture = kind === "danger" ? "alert" : kind === "ok" ? "check" : "info";
  const element = h("div", { class: `toast toast-${kind}`, role: kind === "danger" ? "alert" : "status", "data-test": "toast", "data-kind": kind },
    icon(picture), h("p", {}, text), iconButton("x", "Dismiss", () => element.remove(), "toast-dismiss"));
  area.append(element);
  while (area.children.length > MOST) area.firstElementChild?.remove();
  if (kind !== "danger") setTimeout(() => element.remove(), STAY_MS);
}

/** Shows any failure; an aborted request is no failure. */
export function fail(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  toast(sentenceOf(error), "danger");
}
