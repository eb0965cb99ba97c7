/** What a value that is encrypted to the vault is bound to; `submission_data` of the server's `vault::types` is the same. */

const PURPOSE_ENVIRONMENT = 1;
const TIERS: Record<string, number> = { visible: 1, masked: 2, sensitive: 3 };

/** The prefix that the server gives (installation and workspace), then name, purpose and tier, each with its length. */
export function submissionData(prefix: Uint8Array, name: string, tier: string): Uint8Array {
  const number = TIERS[tier];
  if (number === undefined) throw new Error(`${tier} is no tier`);
  const fields = [new TextEncoder().encode(name), Uint8Array.of(PURPOSE_ENVIRONMENT), Uint8Array.of(number)];
  const parts = [prefix, ...fields.flatMap((field) => [length(field), field])];
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** 64 bits, the highest first. */
function length(field: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(field.length));
  return bytes;
}
