/**
 * Keeps a terminal's output exact over reconnects. A sequence number is the byte's offset in the output since
 * the terminal's creation. What always holds: each byte is handed out at most once and in order, and a stretch
 * that cannot be had any more is reported exactly once. Pure.
 */

export interface Taken {
  /** Bytes [from, to) that are gone, to be shown before `bytes`. */
  gap: { from: number; to: number } | null;
  bytes: Uint8Array | null;
}

export class SequenceBook {
  /** The next byte that is wanted; null before the first connection. */
  next: number | null = null;

  /** Where to resume: the `after` of the next connection, or null for everything that is kept. */
  get after(): number | null {
    return this.next;
  }

  /**
   * The server's first message. True when its output is shorter than what was already shown: it is
   * another output than before, so the caller clears the screen and takes it from the start.
   */
  hello(first: number, next: number): boolean {
    if (this.next === null) {
      this.next = first;
      return false;
    }
    if (next >= this.next) return false;
    this.next = first;
    return true;
  }

  /** The server says that [from, to) is not kept. */
  lost(from: number, to: number): Taken {
    const start = Math.max(from, this.next ?? from);
    if (to <= start) return { gap: null, bytes: null };
    this.next = to;
    return { gap: { from: start, to }, bytes: null };
  }

  take(sequence: number, bytes: Uint8Array): Taken {
    const wanted = this.next ?? sequence;
    const end = sequence + bytes.length;
    if (end <= wanted) return { gap: null, bytes: null };
    this.next = end;
    if (sequence > wanted) return { gap: { from: wanted, to: sequence }, bytes };
    return { gap: null, bytes: sequence === wanted ? bytes : bytes.subarray(wanted - sequence) };
  }
}

/** A binary message: 8-byte big-endian sequence number of the first byte, then the bytes. Null when too short. */
export function parseOutput(message: ArrayBuffer): { sequence: number; bytes: Uint8Array } | null {
  if (message.byteLength < 8) return null;
  return { sequence: Number(new DataView(message).getBigUint64(0)), bytes: new Uint8Array(message, 8) };
}

/** Milliseconds before try number `attempt` (from 0): doubling up to 10 s, spread by `random` in [0, 1). */
export function backoff(attempt: number, random: number): number {
  return Math.min(10_000, 250 * 2 ** Math.min(attempt, 6)) * (0.75 + random / 2);
}

/**
 * True for what a terminal emulator answers to a program's question (device attributes, cursor position, colours).
 * While old output is replayed, old questions are asked again; the answers would arrive as typed text.
 */
export function isReport(data: string): boolean {
  return /^(?:\x1b\[[?>=]?[\d;]*[cnRyt]|\x1b\[\?[\d;]*\$y|\x1bP[^\x1b]*\x1b\\|\x1b\]\d+;[^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[IO])+$/.test(data);
}
