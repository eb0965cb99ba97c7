/**
 * Reveals a masked secret for a minute, or until the page is not looked at any more. The value is held by the shown text node
 * only and goes with it; what was copied stays in the clipboard, and the page says so.
 */
import { callJson, here, Problem } from "../lib/api";
import { find, findAll, h } from "../lib/dom";
import { fail } from "../lib/toast";

const SHOWN_S = 60;

export function reveals(): void {
  for (const button of findAll<HTMLButtonElement>("[data-reveal]")) {
    button.addEventListener("click", () => void reveal(button));
  }
}

async function reveal(button: HTMLButtonElement): Promise<void> {
  const cell = button.closest<HTMLElement>("[data-secret-value]");
  const shown = cell && find<HTMLElement>(".value", cell);
  if (!cell || !shown) return;
  button.disabled = true;
  try {
    const { value } = await callJson<{ value: string }>(button.dataset["reveal"] ?? "", { method: "POST", json: {} });
    const masked = shown.textContent;
    shown.textContent = value;
    shown.classList.remove("faint");
    countdown(cell, shown, () => {
      shown.textContent = masked;
      shown.classList.add("faint");
      button.hidden = false;
      button.disabled = false;
    });
    button.hidden = true;
  } catch (error) {
    button.disabled = false;
    if (error instanceof Problem && error.code === "reauthentication_required") {
      location.assign(`/account/reauthenticate?next=${encodeURIComponent(here())}`);
      return;
    }
    fail(error);
  }
}

function countdown(cell: HTMLElement, shown: HTMLElement, done: () => void): void {
  const text = h("span", { class: "countdown", "data-test": "secret-countdown", "aria-live": "off" });
  const until = Date.now() + SHOWN_S * 1000;
  const hide = () => {
    clearInterval(timer);
    text.remove();
    copy.remove();
    now.remove();
    removeEventListener("pagehide", hide);
    document.removeEventListener("visibilitychange", tick);
    done();
  };
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left <= 0 || document.hidden) return hide();
    text.textContent = `Hidden again in ${left} s`;
  };
  const now = h("button", { type: "button", class: "btn btn-s", "data-test": "secret-hide", onclick: hide }, "Hide");
  const copy = h("button", { type: "button", class: "btn btn-s", "data-test": "secret-copy", onclick: () => void copied(cell, shown) }, "Copy");
  const timer = setInterval(tick, 250);
  // The back-forward cache must not keep it readable.
  addEventListener("pagehide", hide);
  document.addEventListener("visibilitychange", tick);
  cell.append(copy, now, text);
  tick();
}

async function copied(cell: HTMLElement, shown: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(shown.textContent ?? "");
    find("[data-test=secret-copied]", cell)?.remove();
    cell.append(h("span", { class: "small muted", role: "status", "data-test": "secret-copied" },
      "Copied. The clipboard keeps it until something else is copied."));
  } catch {
    fail(new Error("This browser does not let the page copy here: that takes https or localhost. Select the value and copy it."));
  }
}
