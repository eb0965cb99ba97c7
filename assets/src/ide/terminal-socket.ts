/**
 * The connection of one terminal: reconnects with growing pauses and asks for what it has not seen. What always
 * holds: output arrives in order and once (SequenceBook), and typed input is sent only on an open connection.
 */
import { call, Problem } from "../lib/api";
import { backoff, parseOutput, SequenceBook } from "../lib/sequence";

export interface SocketEvents {
  output: (bytes: Uint8Array) => void;
  gap: (from: number, to: number) => void;
  /** The output starts over; the screen must be cleared. */
  restarted: () => void;
  exit: (status: number) => void;
  state: (state: "connecting" | "open" | "gone") => void;
  size: () => { cols: number; rows: number };
}

export class TerminalSocket {
  /** Output up to here is history: what it asks of the emulator was answered when it was new. */
  historyEnd = 0;
  private readonly book = new SequenceBook();
  private socket: WebSocket | null = null;
  private attempt = 0;
  private timer = 0;
  private stopped = false;

  constructor(private readonly url: string, private readonly events: SocketEvents) {
    this.connect();
  }

  get position(): number {
    return this.book.next ?? 0;
  }

  send(data: string | Uint8Array<ArrayBuffer>): boolean {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(typeof data === "string" ? new TextEncoder().encode(data) : data);
    return true;
  }

  resize(cols: number, rows: number): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type: "resize", cols, rows }));
  }

  close(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }

  private connect(): void {
    if (this.stopped) return;
    this.events.state("connecting");
    const url = new URL(this.url, location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (this.book.after !== null) url.searchParams.set("after", String(this.book.after));
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    let opened = false;
    socket.addEventListener("open", () => {
      opened = true;
      this.attempt = 0;
    });
    socket.addEventListener("message", (event) => {
      if (typeof event.data === "string") this.control(event.data);
      else this.binary(event.data as ArrayBuffer);
    });
    socket.addEventListener("close", () => void this.lost(opened));
  }

  private control(text: string): void {
    const message = JSON.parse(text) as { type: string; first: number; next: number; from: number; to: number; status: number };
    if (message.type === "hello") {
      if (this.book.hello(message.first, message.next)) this.events.restarted();
      this.historyEnd = message.next;
      this.events.state("open");
      const { cols, rows } = this.events.size();
      this.resize(cols, rows);
    } else if (message.type === "gap") {
      const { gap } = this.book.lost(message.from, message.to);
      if (gap) this.events.gap(gap.from, gap.to);
    } else if (message.type === "exit") {
      this.events.exit(message.status);
    }
  }

  private binary(message: ArrayBuffer): void {
    const output = parseOutput(message);
    if (!output) return;
    const { gap, bytes } = this.book.take(output.sequence, output.bytes);
    if (gap) this.events.gap(gap.from, gap.to);
    if (bytes) this.events.output(bytes);
  }

  /** A refused WebSocket does not say why; the same address by GET does. */
  private async lost(opened: boolean): Promise<void> {
    if (this.stopped) return;
    this.events.state("connecting");
    if (!opened) {
      try {
        await call(this.url);
      } catch (error) {
        if (error instanceof Problem && error.status === 404) {
          this.stopped = true;
          this.events.state("gone");
          return;
        }
      }
    }
    this.timer = window.setTimeout(() => this.connect(), backoff(this.attempt, Math.random()));
    this.attempt += 1;
  }
}
