/** Questions on top of the page: a native <dialog>, which holds the focus and closes on Escape. */
import { h } from "./dom";

/** Resolves with the chosen action's value, or null when the dialog was dismissed. */
export function ask<T extends string>(options: {
  title: string;
  text?: string;
  body?: Node;
  wide?: boolean;
  actions: { value: T; label: string; kind?: "primary" | "danger" }[];
  test: string;
}): Promise<T | null> {
  return new Promise((resolve) => {
    const dialog = h("dialog", { class: `dialog${options.wide ? " wide" : ""}`, "aria-labelledby": "dialog-title", "data-test": options.test });
    const button = (action: { value: T; label: string; kind?: string }) =>
      h("button", { class: `btn${action.kind ? ` btn-${action.kind}` : ""}`, value: action.value, "data-test": `${options.test}-${action.value}` }, action.label);
    dialog.append(h("form", { method: "dialog", class: "dialog-body" },
      h("h2", { id: "dialog-title" }, options.title),
      options.text ? h("p", { class: "muted wrap-anywhere" }, options.text) : null,
      options.body ?? null,
      h("div", { class: "dialog-actions" },
        h("button", { class: "btn btn-quiet", value: "", "data-test": `${options.test}-cancel` }, "Cancel"),
        ...options.actions.map(button))));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve((dialog.returnValue as T) || null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

export interface MenuEntry {
  label: string;
  key?: string;
  test: string;
  run: () => void;
}

/** A menu at a point of the page; arrows move, Escape closes, the focus returns. */
export function popupMenu(x: number, y: number, entries: (MenuEntry | null)[]): void {
  document.querySelector(".popup-menu")?.remove();
  const before = document.activeElement as HTMLElement | null;
  const menu = h("div", { class: "popup-menu", role: "menu", tabindex: -1 });
  const close = (refocus: boolean) => {
    menu.remove();
    removeEventListener("pointerdown", outside, true);
    removeEventListener("blur", blurred);
    if (refocus) before?.focus();
  };
  const outside = (event: Event) => {
    if (!menu.contains(event.target as Node)) close(false);
  };
  const blurred = () => close(false);
  const items = entries.map((entry) => entry && h("button", {
    type: "button", class: "menu-item", role: "menuitem", tabindex: -1, "data-test": entry.test,
    onclick: () => {
      close(true);
      entry.run();
    },
  }, h("span", { class: "truncate" }, entry.label), h("span", { class: "spacer" }), entry.key ? h("kbd", {}, entry.key) : null));
  for (const item of items) menu.append(item ?? h("div", { class: "menu-sep", role: "separator" }));
  const buttons = items.filter((item) => item !== null);
  menu.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement as HTMLButtonElement);
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (event.key === "Escape" || event.key === "Tab") close(true);
    else if (step !== 0) buttons[(at + step + buttons.length) % buttons.length]?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(menu);
  const box = menu.getBoundingClientRect();
  menu.style.left = `${Math.max(4, Math.min(x, innerWidth - box.width - 4))}px`;
  menu.style.top = `${Math.max(4, Math.min(y, innerHeight - box.height - 4))}px`;
  addEventListener("pointerdown", outside, true);
  addEventListener("blur", blurred);
  buttons[0]?.focus();
}
