/** Addresses that a program in the container prints of itself. Pure. */

const LOCAL = new Set(["localhost", "127.0.0.1", "0.0.0.0", "[::1]", "[::]"]);

/** Port and path of an http address on the loopback; null for any other address. */
export function localTarget(address: string): { port: number; path: string } | null {
  if (!URL.canParse(address)) return null;
  const url = new URL(address);
  if (url.protocol !== "http:" || !LOCAL.has(url.hostname)) return null;
  return { port: Number(url.port) || 80, path: url.pathname + url.search + url.hash };
}
