/** Paths relative to the container's home: `/` between names, none at either end, empty = home. Pure. */

export function join(...parts: string[]): string {
  return parts.flatMap((part) => part.split("/")).filter(Boolean).join("/");
}

export function parent(path: string): string {
  const end = path.lastIndexOf("/");
  return end < 0 ? "" : path.slice(0, end);
}

export function name(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

export function isInside(path: string, folder: string): boolean {
  return folder === "" || path === folder || path.startsWith(`${folder}/`);
}

/** `path` as seen from `folder`; unchanged when it lies elsewhere. */
export function within(path: string, folder: string): string {
  if (folder === "" || path === folder || !isInside(path, folder)) return path === folder ? "" : path;
  return path.slice(folder.length + 1);
}

/** Percent-encoded for a URL, slashes kept. */
export function encode(path: string): string {
  return path.split("/").map(encodeURIComponent).join("/");
}

/** The new path of `path` after `from` was moved to `to`. */
export function moved(path: string, from: string, to: string): string {
  if (path === from) return to;
  return path.startsWith(`${from}/`) ? to + path.slice(from.length) : path;
}

/** What is wrong with a name typed by a person, or null. Slashes make folders on the way and are allowed. */
export function nameProblem(typed: string): string | null {
  const names = typed.split("/");
  if (typed.trim() === "") return "Enter a name.";
  if (typed.includes("\0")) return "A name cannot contain a NUL character.";
  if (typed.startsWith("/")) return `"${typed}" starts with a slash. Enter a path inside this folder.`;
  if (names.some((part) => part === "" || part === "." || part === "..")) return `"${typed}" contains an empty name, "." or "..".`;
  if (names.some((part) => new TextEncoder().encode(part).length > 255)) return "A name can be 255 bytes long at most.";
  return null;
}

/** An absolute path inside the container as a path relative to its home, as tools print them. */
export function fromAbsolute(path: string, home = "/home/dev"): string {
  return path.startsWith(`${home}/`) ? path.slice(home.length + 1) : path.replace(/^\/+/, "");
}
