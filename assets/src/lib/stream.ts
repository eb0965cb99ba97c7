/**
 * Server-sent events that come back by themselves. The browser's own reconnecting is not used, because it stops for
 * good after an HTTP error and cannot put the last id into the address. A hidden page holds no stream: over
 * HTTP/1.1 a browser has six connections to a server for all its tabs, and each stream takes one.
 */
import { call } from "./api";
import { backoff } from "./sequence";

export interface StreamOptions {
  /** Asked at each connection, so that it can carry where to resume. */
  url: () => string;
  event: string;
  on: (data: unknown, id: string) => void;
  opened?: () => void;
}

export class Stream {
  private source: EventSource | null = null;
  private attempt = 0;
  private timer = 0;
  private ended = false;
  private readonly visibility = () => this.follow();

  constructor(private readonly options: StreamOptions) {
    document.addEventListener("visibilitychange", this.visibility);
    this.follow();
  }

  close(): void {
    this.ended = true;
    document.removeEventListener("visibilitychange", this.visibility);
    this.drop();
  }

  private drop(): void {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  private follow(): void {
    if (document.hidden) this.drop();
    else if (!this.source && !this.ended) this.connect();
  }

  private connect(): void {
    this.drop();
    const source = new EventSource(this.options.url());
    this.source = source;
    source.addEventListener("open", () => {
      this.attempt = 0;
      this.options.opened?.();
    });
    source.addEventListener(this.options.event, (event) => {
      try {
        this.options.on(JSON.parse(event.data as string), event.lastEventId);
      } catch (error) {
        console.error("An event could not be read", error);
      }
    });
    source.addEventListener("error", () => {
      if (this.source !== source) return;
      const refused = source.readyState === EventSource.CLOSED;
      this.drop();
      // A stream does not say why it was refused: a call that leads to the sign-in page does, if that is why.
      if (refused) call("/api/v1/me").catch(() => {});
      this.timer = window.setTimeout(() => this.follow(), backoff(this.attempt, Math.random()));
      this.attempt += 1;
    });
  }
}
