/**
 * An assistant session as its events tell it: turns with their parts. Events are applied in order; the same id
 * twice changes nothing, so a resumed stream may repeat itself. Pure.
 */

export type CallState = "waiting" | "running" | "done" | "denied" | "failed";

export interface CallPart {
  kind: "call";
  id: string;
  tool: string;
  input: Record<string, unknown>;
  state: CallState;
  output: string | null;
  diffs: { path: string; diff: string; created: boolean }[];
}

export type Part = { kind: "text"; text: string } | { kind: "error"; message: string } | CallPart;

export interface Turn {
  id: string;
  user: string;
  parts: Part[];
  done: { stop: string; inputTokens: number; outputTokens: number; files: string[] } | null;
  undone: string[] | null;
}

export interface SessionEvent {
  type: string;
  turn: string;
  [key: string]: unknown;
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const number = (value: unknown): number => (typeof value === "number" ? value : 0);
const texts = (value: unknown): string[] => (Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : []);

export class Conversation {
  readonly turns: Turn[] = [];
  /** The last event that was applied: where a stream resumes. */
  last = 0;

  get state(): "idle" | "working" | "waiting" {
    const turn = this.turns.at(-1);
    if (!turn || turn.done || turn.parts.some((part) => part.kind === "error")) return "idle";
    return turn.parts.some((part) => part.kind === "call" && part.state === "waiting") ? "waiting" : "working";
  }

  /** The turn that changed, or null for an event that was applied before. */
  apply(id: number, event: SessionEvent): Turn | null {
    if (id !== 0 && id <= this.last) return null;
    if (id !== 0) this.last = id;
    const turn = this.turn(event.turn);
    switch (event.type) {
      case "user":
        turn.user = text(event["text"]);
        break;
      case "text": {
        const part = turn.parts.at(-1);
        if (part?.kind === "text") part.text += text(event["delta"]);
        else turn.parts.push({ kind: "text", text: text(event["delta"]) });
        break;
      }
      case "call": {
        const call = this.call(turn, text(event["call_id"]));
        call.tool = text(event["tool"]) || call.tool;
        if (event["input"] && typeof event["input"] === "object") call.input = event["input"] as Record<string, unknown>;
        call.state = (text(event["state"]) || call.state) as CallState;
        call.output = typeof event["output"] === "string" ? event["output"] : call.output;
        break;
      }
      case "diff":
        this.call(turn, text(event["call_id"])).diffs.push({ path: text(event["path"]), diff: text(event["diff"]), created: event["created"] === true });
        break;
      case "done":
        turn.done = { stop: text(event["stop_reason"]), inputTokens: number(event["input_tokens"]), outputTokens: number(event["output_tokens"]), files: texts(event["files"]) };
        break;
      case "error":
        turn.parts.push({ kind: "error", message: text(event["message"]) });
        break;
      case "undone":
        turn.undone = texts(event["files"]);
        break;
    }
    return turn;
  }

  private turn(id: string): Turn {
    const known = this.turns.find((turn) => turn.id === id);
    if (known) return known;
    const turn: Turn = { id, user: "", parts: [], done: null, undone: null };
    this.turns.push(turn);
    return turn;
  }

  private call(turn: Turn, id: string): CallPart {
    const known = turn.parts.find((part): part is CallPart => part.kind === "call" && part.id === id);
    if (known) return known;
    const call: CallPart = { kind: "call", id, tool: "", input: {}, state: "running", output: null, diffs: [] };
    turn.parts.push(call);
    return call;
  }
}

/** One line that says what a call does. */
export function callTitle(tool: string, input: Record<string, unknown>): string {
  const of = (...keys: string[]) => keys.map((key) => input[key]).find((value) => typeof value === "string" && value !== "") as string | undefined;
  const command = input["command"];
  switch (tool) {
    case "list": return `List ${of("path") ?? "the project"}`;
    case "read": return `Read ${of("path") ?? "a file"}`;
    case "search": return `Search for ${JSON.stringify(of("query", "pattern") ?? "")}`;
    case "write": return `Write ${of("path") ?? "a file"}`;
    case "edit": return `Edit ${of("path") ?? "a file"}`;
    case "run": return `Run ${Array.isArray(command) ? command.join(" ") : of("command") ?? "a command"}`;
    default: return tool || "Tool";
  }
}
