/**
 * Calls of the public API from a page. What always holds: unsafe methods carry the CSRF token, a lost
 * sign-in leads to the sign-in page and back, and every failure is a `Problem` with a sentence for people.
 * Must not import anything of a page.
 */

/** RFC 9457 problem as the server sends it; `status` 0 means that the server could not be reached. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly requestId: string | null = null,
    readonly etag: string | null = null,
  ) {
    super(detail);
    this.name = "Problem";
  }

  /** The sentence, with the request id where only the log can say more. */
  get sentence(): string {
    return this.status >= 500 && this.requestId ? `${this.detail} (request ${this.requestId})` : this.detail;
  }
}

export interface CallOptions {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

const SAFE = new Set(["GET", "HEAD"]);

export function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}

export function here(): string {
  return location.pathname + location.search;
}

/** Leaves for the sign-in page; the promise never settles, so that nothing after it runs on a dead session. */
function signIn(): Promise<never> {
  location.assign(`/sign-in?next=${encodeURIComponent(here())}`);
  return new Promise(() => {});
}

/** Reads the problem from an answer, whatever its shape: a proxy in between may send HTML. */
export async function problemOf(response: Response): Promise<Problem> {
  try {
    const body = (await response.json()) as Record<string, unknown>;
    const text = (key: string) => (typeof body[key] === "string" ? (body[key] as string) : null);
    return new Problem(
      response.status,
      text("code") ?? "unknown",
      text("detail") ?? text("title") ?? `The server answered ${response.status}.`,
      text("request_id"),
      text("etag"),
    );
  } catch {
    return new Problem(response.status, "unknown", `The server answered ${response.status} without saying why.`);
  }
}

export async function call(path: string, options: CallOptions = {}): Promise<Response> {
  const method = options.method ?? "GET";
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  if (!SAFE.has(method)) headers["X-CSRF-Token"] = csrfToken();
  let body = options.body;
  if (options.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(options.json);
  }
  let response: Response;
  try {
    response = await fetch(path, { method, headers, body, signal: options.signal, credentials: "same-origin" });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, "unreachable", "The server cannot be reached. Check the connection, then try again.");
  }
  if (response.status === 401) return signIn();
  if (!response.ok) throw await problemOf(response);
  return response;
}

export async function callJson<T>(path: string, options: CallOptions = {}): Promise<T> {
  return (await (await call(path, options)).json()) as T;
}

export interface Page<T> {
  items: T[];
  next: string | null;
}

/** Every item of a paged list. The bound stops a server that never ends its cursor. */
export async function callList<T>(path: string): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < 100; page += 1) {
    const joined: string = cursor === null ? path : `${path}${path.includes("?") ? "&" : "?"}cursor=${encodeURIComponent(cursor)}`;
    const answer: Page<T> = await callJson<Page<T>>(joined);
    items.push(...answer.items);
    cursor = answer.next;
    if (!cursor) break;
  }
  return items;
}

/** What to show to a person for any thrown value. */
export function sentenceOf(error: unknown): string {
  if (error instanceof Problem) return error.sentence;
  return error instanceof Error ? error.message : String(error);
}

/** Uploads with progress, which fetch cannot report; resolves with the parsed answer or rejects with a Problem. */
export function upload(
  method: "POST" | "PUT", path: string, body: Blob | FormData, headers: Record<string, string>, progress: (done: number, total: number) => void,
): Promise<XMLHttpRequest> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    for (const [name, value] of Object.entries({ "X-CSRF-Token": csrfToken(), ...headers })) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => progress(event.loaded, event.total));
    request.addEventListener("error", () => reject(new Problem(0, "unreachable", "The upload was cut off. Check the connection, then try again.")));
    request.addEventListener("load", async () => {
      if (request.status === 401) return signIn();
      // A page is an answer for the caller to show, whatever its status: a form with its errors.
      const page = (request.getResponseHeader("Content-Type") ?? "").startsWith("text/html");
      if (request.status < 400 || (page && request.status < 500)) return resolve(request);
      reject(await problemOf(new Response(request.responseText, { status: request.status })));
    });
    request.send(body);
  });
}
