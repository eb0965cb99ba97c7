/**
 * Encrypts values to the vault, so that the server carries what it cannot read (HPKE, RFC 9180). What is encrypted is bound to
 * its name and tier: the server can store it as nothing else. It is larger than most pages: import it when it is needed.
 */
import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from "@hpke/core";
import { callJson } from "./api";
import { submissionData } from "./submission";

/** `GET …/secrets/submission-key` */
interface SubmissionKey {
  root: number;
  public_key: string;
  info: string;
  data_prefix: string;
}

/** A value as the API takes it. */
export interface Sealed {
  root: number;
  enc: string;
  ciphertext: string;
}

export type Seal = (name: string, tier: string, value: string) => Promise<Sealed>;

/** Whether this browser can do it here: it needs a secure context, and X25519 came late. */
export async function canSeal(): Promise<boolean> {
  if (!globalThis.crypto?.subtle) return false;
  try {
    await crypto.subtle.generateKey({ name: "X25519" }, false, ["deriveBits"]);
    return true;
  } catch {
    return false;
  }
}

/** Fetches the key from `address`. */
export async function sealer(address: string): Promise<Seal> {
  const key = await callJson<SubmissionKey>(address);
  const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });
  const recipientPublicKey = await suite.kem.deserializePublicKey(buffer(bytes(key.public_key)));
  const info = buffer(new TextEncoder().encode(key.info));
  return async (name, tier, value) => {
    const data = buffer(submissionData(bytes(key.data_prefix), name, tier));
    const sealed = await suite.seal({ recipientPublicKey, info }, buffer(new TextEncoder().encode(value)), data);
    return { root: key.root, enc: base64(sealed.enc), ciphertext: base64(sealed.ct) };
  };
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
