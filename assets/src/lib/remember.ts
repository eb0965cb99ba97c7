/** What a page remembers in this browser: sizes of panes, open files. Never anything secret; losing it is harmless. */

export function recall<T>(key: string, otherwise: T): T {
  try {
    const text = localStorage.getItem(`optidev.${key}`);
    return text === null ? otherwise : (JSON.parse(text) as T);
  } catch {
    return otherwise;
  }
}

export function remember(key: string, value: unknown): void {
  try {
    localStorage.setItem(`optidev.${key}`, JSON.stringify(value));
  } catch {
    // Storage may be full or refused.
  }
}
