/** Follows changes below the project's folder. A burst (an `npm install`) becomes one message. */
import { Stream } from "../lib/stream";
import type { Ide } from "./context";

const GATHER_MS = 150;
/** More paths than this are no longer told apart. */
const MANY = 2000;

export class Watcher {
  private stream: Stream | null = null;
  private paths: Set<string> | null = new Set();
  private timer = 0;
  private opens = 0;

  constructor(private readonly ide: Ide) {}

  start(): void {
    this.stop();
    this.opens = 0;
    this.stream = new Stream({
      url: () => `${this.ide.containerUrl}/watch?path=${encodeURIComponent(this.ide.folder)}`,
      event: "change",
      on: (data) => this.note(data as { path: string; kind: string }),
      // After a break nobody knows what was missed.
      opened: () => {
        this.opens += 1;
        if (this.opens > 1) this.note({ path: "", kind: "overflow" });
      },
    });
  }

  stop(): void {
    this.stream?.close();
    this.stream = null;
  }

  private note(change: { path: string; kind: string }): void {
    if (change.kind === "overflow") this.paths = null;
    else this.paths?.add(change.path);
    if (this.paths && this.paths.size > MANY) this.paths = null;
    if (this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      const paths = this.paths;
      this.paths = new Set();
      this.ide.send("files.changed", paths);
    }, GATHER_MS);
  }
}
