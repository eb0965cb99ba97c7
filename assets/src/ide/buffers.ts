/** An open file: its text, what of it is saved, and the version on disk that it stands on. */
import type { EditorState, Text } from "@codemirror/state";
import type { TextFile } from "../lib/text-file";

export interface TextBuffer {
  kind: "text";
  path: string;
  state: EditorState;
  saved: Text;
  etag: string | null;
  file: TextFile;
  scroll: number;
  /** Set while the disk holds something else than this buffer stands on. */
  conflict: "changed" | "removed" | null;
  saving: boolean;
}

/** Shown but not edited: a picture, or bytes which are not text. */
export interface ViewBuffer {
  kind: "view";
  path: string;
  etag: string | null;
  size: number;
  element: HTMLElement;
}

export type Buffer = TextBuffer | ViewBuffer;

export function isDirty(buffer: Buffer): boolean {
  return buffer.kind === "text" && !buffer.state.doc.eq(buffer.saved);
}
