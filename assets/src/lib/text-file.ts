/**
 * Bytes of a file to the editor's text and back, so that saving an unchanged text gives the same bytes: a byte order
 * mark, Windows line ends and mixed line ends survive. What is not UTF-8 text is not opened as text. Pure.
 */

export interface TextFile {
  text: string;
  /** Line end that is put back on saving; with mixed ends the carriage returns stay in the text instead. */
  eol: "\n" | "\r\n";
  mixed: boolean;
  mark: boolean;
}

export function decode(bytes: Uint8Array): TextFile | null {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
  if (text.includes("\0")) return null;
  const mark = text.startsWith("\uFEFF");
  if (mark) text = text.slice(1);
  const ends = text.match(/\r\n|\r|\n/g) ?? [];
  const windows = ends.length > 0 && ends.every((end) => end === "\r\n");
  const mixed = !windows && ends.some((end) => end !== "\n");
  return { text: windows ? text.replaceAll("\r\n", "\n") : text, eol: windows ? "\r\n" : "\n", mixed, mark };
}

export function encode(text: string, file: { eol: "\n" | "\r\n"; mark: boolean }): Uint8Array<ArrayBuffer> {
  const lines = file.eol === "\r\n" ? text.replaceAll("\n", "\r\n") : text;
  return new TextEncoder().encode((file.mark ? "\uFEFF" : "") + lines);
}
