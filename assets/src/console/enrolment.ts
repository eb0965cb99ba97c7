/**
 * Setting up a second factor: after a code that does not fit, the page keeps its picture. Without script the
 * server answers with a new one, and the app that scanned the old one would have to scan again.
 */
import { find, fill, h, icon } from "../lib/dom";

export function enrolment(): void {
  const form = find<HTMLFormElement>("[data-enrol-form]");
  const code = form && find<HTMLInputElement>("#code", form);
  if (!form || !code) return;
  const notice = h("div", { class: "notice notice-danger", role: "alert", hidden: true, "data-test": "form-error" });
  form.querySelector("[data-test=form-error]")?.remove();
  form.prepend(notice);
  const say = (text: string) => {
    fill(notice, icon("alert"), h("p", {}, text));
    notice.hidden = false;
    code.value = "";
    code.focus();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void send(form, say);
  });
}

async function send(form: HTMLFormElement, say: (text: string) => void): Promise<void> {
  const button = find<HTMLButtonElement>("[data-test=second-factor-submit]", form);
  if (button) button.disabled = true;
  const fields = new URLSearchParams();
  for (const [name, value] of new FormData(form)) fields.set(name, String(value));
  try {
    const answer = await fetch(form.action, { method: "POST", body: fields, headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (answer.redirected) return location.assign(answer.url);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    // The page with the form in it means that the code did not fit; any other is an error page, which says why.
    if (find("[data-enrol-form]", page)) say("This code does not fit. Check the clock of your phone, and type the code that the app shows now.");
    else say(find("[data-test=error-page] .muted", page)?.textContent?.trim() || `The server answered ${answer.status}. Load the page again.`);
  } catch {
    say("The server cannot be reached. Check the connection, then try again.");
  }
  if (button) button.disabled = false;
}
