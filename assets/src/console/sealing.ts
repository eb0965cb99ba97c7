/**
 * Encrypts a secret's value to the vault before the form is sent, so that the server carries what it cannot read (HPKE,
 * RFC 9180). What is encrypted is bound to its name and tier: the server can store it as nothing else.
 *
 * Without WebCrypto's X25519, or without a secure context, the form says so and sends the value as it is, over TLS where
 * that is on; the server then hands it to the vault itself.
 */
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { callJson } from "../lib/api";
import { find, findAll } from "../lib/dom";
import { fail } from "../lib/toast";
import { submissionData } from "../lib/submission";

/** `GET …/secrets/submission-key` */
interface SubmissionKey {
  root: number;
  public_key: string;
  info: string;
  data_prefix: string;
}

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
    if (!(await supported())) {
      find<HTMLElement>("[data-seal-missing]", form)?.removeAttribute("hidden");
      delete form.dataset["seal"];
      return;
    }
    const key = await callJson<SubmissionKey>(form.dataset["seal"] ?? "");
    const data = submissionData(bytes(key.data_prefix), field("name").trim(), field("tier"));
    const suite = cipherSuite();
    const recipientPublicKey = await suite.kem.deserializePublicKey(buffer(bytes(key.public_key)));
    const text = new TextEncoder().encode(value.value.replaceAll("\r\n", "\n"));
    const sealed = await suite.seal(
      { recipientPublicKey, info: buffer(new TextEncoder().encode(key.info)) },
      buffer(text),
      buffer(data),
    );
    set(form, "root", String(key.root));
    set(form, "enc", base64(sealed.enc));
    set(form, "ciphertext", base64(sealed.ct));
    // A field that is disabled is not sent.
    value.disabled = true;
    form.requestSubmit();
  } catch (error) {
    value.disabled = false;
    fail(error);
  }
}

function cipherSuite(): CipherSuite {
  return new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
}

/** Whether this browser can do it here: it needs a secure context, and X25519 came late. */
async function supported(): Promise<boolean> {
  if (!globalThis.crypto?.subtle) return false;
  try {
    await crypto.subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]);
    return true;
  } catch {
    return false;
  }
}

function set(form: HTMLFormElement, name: string, value: string): void {
  const field = find<HTMLInputElement>(`input[name=${name}]`, form);
  if (field) field.value = value;
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function buffer(view: Uint8Array): ArrayBuffer {
  return view.slice().buffer as ArrayBuffer;
}

function base64(data: ArrayBuffer): string {
  let text = "";
  for (const byte of new Uint8Array(data)) text += String.fromCharCode(byte);
  return btoa(text);
}
