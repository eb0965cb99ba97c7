/** The language of a file by its name; each grammar is a file of its own, fetched when first needed. */
import type { LanguageSupport } from "@codemirror/language";

type Loader = () => Promise<LanguageSupport>;

const javascript = (options: { jsx?: boolean; typescript?: boolean }): Loader => async () => (await import("@codemirror/lang-javascript")).javascript(options);
const LANGUAGES: Record<string, { label: string; load: Loader }> = {
  js: { label: "JavaScript", load: javascript({ jsx: true }) },
  ts: { label: "TypeScript", load: javascript({ typescript: true }) },
  tsx: { label: "TypeScript JSX", load: javascript({ typescript: true, jsx: true }) },
  html: { label: "HTML", load: async () => (await import("@codemirror/lang-html")).html() },
  css: { label: "CSS", load: async () => (await import("@codemirror/lang-css")).css() },
  json: { label: "JSON", load: async () => (await import("@codemirror/lang-json")).json() },
  markdown: { label: "Markdown", load: async () => (await import("@codemirror/lang-markdown")).markdown() },
  python: { label: "Python", load: async () => (await import("@codemirror/lang-python")).python() },
  rust: { label: "Rust", load: async () => (await import("@codemirror/lang-rust")).rust() },
  yaml: { label: "YAML", load: async () => (await import("@codemirror/lang-yaml")).yaml() },
};
const EXTENSIONS: Record<string, string> = {
  js: "js", mjs: "js", cjs: "js", jsx: "js", ts: "ts", mts: "ts", cts: "ts", tsx: "tsx", html: "html", htm: "html", vue: "html", svelte: "html", svg: "html", xml: "html",
  css: "css", json: "json", jsonc: "json", webmanifest: "json", md: "markdown", markdown: "markdown", py: "python", pyi: "python", rs: "rust", yaml: "yaml", yml: "yaml",
};

export function languageOf(path: string): { label: string; load: Loader } | null {
  const extension = /\.([^./]+)$/.exec(path)?.[1]?.toLowerCase() ?? "";
  return LANGUAGES[EXTENSIONS[extension] ?? ""] ?? null;
}
