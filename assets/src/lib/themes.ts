/** The switch between the system's, the light and the dark scheme. src/theme.ts applies the stored choice early. */
import { findAll } from "./dom";

const KEY = "optidev.theme";

function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? "system";
  } catch {
    return "system";
  }
}

function apply(choice: string): void {
  const page = document.documentElement;
  if (choice === "light" || choice === "dark") page.dataset["theme"] = choice;
  else delete page.dataset["theme"];
  document.dispatchEvent(new CustomEvent("optidev:theme"));
}

export function themeSwitches(): void {
  for (const group of findAll<HTMLElement>("[data-theme-switch]")) {
    const buttons = findAll<HTMLButtonElement>("button", group);
    const show = (choice: string) => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === choice)));
    show(stored());
    for (const button of buttons) {
      button.addEventListener("click", () => {
        try {
          localStorage.setItem(KEY, button.value);
        } catch {
          // Not kept, then; it still holds for this page.
        }
        apply(button.value);
        show(button.value);
      });
    }
  }
  // Programs that computed colours (the terminal) follow the system's change too.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(stored()));
}
