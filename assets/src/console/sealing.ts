/**
 * Encrypts a secret's value to the vault before the form is sent.
 *
 * Without WebCrypto's X25519, or without a secure context, the form says so and sends the value as it is, over TLS where
 * that is on; the server then hands it to the vault itself.
 */
import { find, findAll } from "../lib/dom";
import { referencesOf } from "../lib/references";
import { canSeal, sealer } from "../lib/seal";
import { fail } from "../lib/toast";

export function sealing(): void {
  for (const form of findAll<HTMLFormElement>("form[data-seal]")) {
    form.addEventListener("submit", (event) => {
      const value = find<HTMLTextAreaElement>("textarea[name=value]", form);
      if (!value || value.disabled || form.dataset["seal"] === undefined) return;
      event.preventDefault();
      // The other listeners count a submission only when it goes out.
      event.stopImmediatePropagation();
      void seal(form, value);
    });
  }
}

async function seal(form: HTMLFormElement, value: HTMLTextAreaElement): Promise<void> {
  const field = (name: string) => new FormData(form).get(name)?.toString() ?? "";
  try {
    if (!(await canSeal())) {
      find<HTMLElement>("[data-seal-missing]", form)?.removeAttribute("hidden");
      delete form.dataset["seal"];
      return;
    }
    const text = value.value.replaceAll("\r\n", "\n");
    const sealed = await (await sealer(form.dataset["seal"] ?? ""))(field("name").trim(), field("tier"), text);
    set(form, "root", String(sealed.root));
    set(form, "enc", sealed.enc);
    set(form, "ciphertext", sealed.ciphertext);
    // Nobody but this page can say what the value refers to; where nothing is put in, nobody needs to know.
    const expand = find<HTMLInputElement>("input[name=expand]", form);
    set(form, "references", expand === null || expand.checked ? referencesOf(text).join(" ") : "");
    // A field that is disabled is not sent.
    value.disabled = true;
    form.requestSubmit();
  } catch (error) {
    value.disabled = false;
    fail(error);
  }
}

function set(form: HTMLFormElement, name: string, value: string): void {
  const field = find<HTMLInputElement>(`input[type=hidden][name=${name}]`, form);
  if (field) field.value = value;
}
