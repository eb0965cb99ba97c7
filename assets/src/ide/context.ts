/** What every part of the IDE page knows: ids, addresses, and the messages that parts send each other. Imports no part. */
import { encode } from "../lib/paths";

export interface Step {
  name: string;
  label: string;
  state: "pending" | "running" | "done" | "failed";
  duration_ms: number | null;
  message: string | null;
}

export interface Container {
  id: string;
  mine: boolean;
  wanted: "running" | "stopped";
  state: "stopped" | "starting" | "running" | "stopping" | "failed";
  reason: string | null;
  steps: Step[];
  start_duration_ms: number | null;
}

export interface Checkout {
  folder: string;
  state: "absent" | "importing" | "ready" | "failed";
  message: string | null;
}

/** Messages between parts. A part never calls another directly, so each can be read alone. */
export interface Messages {
  "file.open": { path: string; line?: number; column?: number };
  "file.moved": { from: string; to: string };
  "file.removed": { path: string };
  /** Paths that changed on disk; null when so much changed that all must be looked at again. */
  "files.changed": Set<string> | null;
  "file.active": { path: string | null };
  "file.dirty": Set<string>;
  /** The container runs and the project is in it; sent again after each restart. */
  "container.ready": Container;
  "container.gone": Container | null;
  /** The server could not be reached for a while and now can: it may have started again with other settings. */
  "server.back": null;
  /** An address of a server in the container, as its programs print it. */
  "preview.open": { port: number; path: string };
  "panel.show": "files" | "search" | "preview" | "assistant" | "terminal" | "network";
}

type Handler<K extends keyof Messages> = (message: Messages[K]) => void;

export class Ide {
  readonly workspaceUrl: string;
  containerId = "";
  private readonly handlers = new Map<keyof Messages, Set<Handler<never>>>();

  constructor(readonly workspace: string, readonly project: string, readonly folder: string, readonly name: string, readonly slug: string) {
    this.workspaceUrl = `/api/v1/workspaces/${encodeURIComponent(workspace)}`;
  }

  get containerUrl(): string {
    return `${this.workspaceUrl}/containers/${encodeURIComponent(this.containerId)}`;
  }

  fileUrl(path: string, query = ""): string {
    return `${this.containerUrl}/files/${encode(path)}${query}`;
  }

  on<K extends keyof Messages>(kind: K, handler: Handler<K>): void {
    const set = this.handlers.get(kind) ?? new Set();
    set.add(handler as Handler<never>);
    this.handlers.set(kind, set);
  }

  send<K extends keyof Messages>(kind: K, message: Messages[K]): void {
    for (const handler of this.handlers.get(kind) ?? []) (handler as Handler<K>)(message);
  }

  static fromPage(): Ide {
    const data = document.body.dataset;
    return new Ide(data["workspace"] ?? "", data["project"] ?? "", data["folder"] ?? "", data["projectName"] ?? "", data["slug"] ?? "");
  }
}
