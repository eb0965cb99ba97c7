/** Reveals a masked secret for a minute. The value is held by the shown text node only and goes with it. */
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
    countdown(cell, () => {
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

function countdown(cell: HTMLElement, done: () => void): void {
  const text = h("span", { class: "countdown", "data-test": "secret-countdown", "aria-live": "off" });
  const until = Date.now() + SHOWN_S * 1000;
  const hide = () => {
    clearInterval(timer);
    text.remove();
    now.remove();
    removeEventListener("pagehide", hide);
    done();
  };
  const tick = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    if (left <= 0) return hide();
    text.textContent = `Hidden again in ${left} s`;
  };
  const now = h("button", { type: "button", class: "btn btn-s", "data-test": "secret-hide", onclick: hide }, "Hide");
  const timer = setInterval(tick, 250);
  // The back-forward cache must not keep it readable.
  addEventListener("pagehide", hide);
  cell.append(text, now);
  tick();
}
