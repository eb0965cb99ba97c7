/** File operations of the container, as the API has them. Paths are relative to the container's home. */
import { call, callJson, Problem, upload } from "../lib/api";
import type { Ide } from "./context";

export interface Entry {
  name: string;
  kind: "file" | "dir" | "symlink" | "other";
  size: number;
  modified_ms: number;
  mode: number;
  /** What a symlink leads to; absent when it is broken or leaves the home. */
  target_kind?: Entry["kind"];
}

/** A folder, or a link to one. */
export function isFolder(entry: Entry): boolean {
  return entry.kind === "dir" || (entry.kind === "symlink" && entry.target_kind === "dir");
}

export interface FileBytes {
  bytes: Uint8Array;
  etag: string | null;
}

export async function list(ide: Ide, path: string): Promise<Entry[]> {
  const { entries } = await callJson<{ entries: Entry[] }>(ide.fileUrl(path, "?list=1"));
  const rank = (entry: Entry) => (isFolder(entry) ? 0 : 1);
  return entries.sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, "en", { numeric: true, sensitivity: "base" }) || (a.name < b.name ? -1 : 1));
}

export async function read(ide: Ide, path: string): Promise<FileBytes> {
  const response = await call(ide.fileUrl(path), { headers: { Accept: "*/*" } });
  return { bytes: new Uint8Array(await response.arrayBuffer()), etag: response.headers.get("ETag") };
}

/** Null `etag` overwrites whatever is there; "*" as `none` means that nothing may be there. */
export async function write(ide: Ide, path: string, body: BodyInit, condition: { match?: string | null; none?: boolean } = {}): Promise<string | null> {
  const headers: Record<string, string> = { "Content-Type": "application/octet-stream" };
  if (condition.match) headers["If-Match"] = condition.match;
  if (condition.none) headers["If-None-Match"] = "*";
  const response = await call(ide.fileUrl(path, "?parents=1"), { method: "PUT", body, headers });
  return response.headers.get("ETag");
}

export async function send(ide: Ide, path: string, file: File, replace: boolean, progress: (done: number, total: number) => void): Promise<void> {
  const headers: Record<string, string> = { "Content-Type": "application/octet-stream" };
  if (!replace) headers["If-None-Match"] = "*";
  await upload("PUT", ide.fileUrl(path, "?parents=1"), file, headers, progress);
}

export async function makeFolder(ide: Ide, path: string): Promise<void> {
  await call(ide.fileUrl(path, "?action=mkdir"), { method: "POST" });
}

export async function move(ide: Ide, path: string, to: string): Promise<void> {
  await call(ide.fileUrl(path, "?action=move"), { method: "POST", json: { to, overwrite: false } });
}

export async function remove(ide: Ide, path: string, folder: boolean): Promise<void> {
  await call(ide.fileUrl(path, folder ? "?recursive=1" : ""), { method: "DELETE" });
}

export function isTaken(error: unknown): boolean {
  return error instanceof Problem && (error.status === 412 || error.status === 409);
}
