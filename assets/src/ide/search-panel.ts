/** Search in the project's files; a match opens at its line. A new search ends the one before. */
import { callJson } from "../lib/api";
import { fill, h, icon } from "../lib/dom";
import { within } from "../lib/paths";
import { fail } from "../lib/toast";
import type { Ide } from "./context";

interface Match {
  path: string;
  line: number;
  column: number;
  text: string;
}

const LIMIT = 500;
/** Long lines (minified files) are shown around the match only. */
const SHOWN = 160;

export class SearchPanel {
  readonly element: HTMLElement;
  private readonly query = h("input", { class: "input", type: "search", placeholder: "Search", "aria-label": "Search for", autocomplete: "off", spellcheck: "false", "data-test": "search-query" });
  private readonly glob = h("input", { class: "input", placeholder: "Files, for example *.ts", "aria-label": "Only files that match", autocomplete: "off", spellcheck: "false", "data-test": "search-glob" });
  private readonly regex = h("input", { type: "checkbox", "data-test": "search-regex" });
  private readonly exact = h("input", { type: "checkbox", "data-test": "search-case" });
  private readonly status = h("p", { class: "small muted", role: "status", "data-test": "search-status" });
  private readonly results = h("div", { class: "search-results", "data-test": "search-results" });
  private running: AbortController | null = null;

  constructor(private readonly ide: Ide) {
    const form = h("form", { class: "search-form", role: "search" },
      this.query, this.glob,
      h("div", { class: "row-wrap small" },
        h("label", { class: "row" }, this.exact, "Match case"),
        h("label", { class: "row" }, this.regex, "Regular expression")),
      h("button", { class: "visually-hidden" }, "Search"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.search();
    });
    for (const box of [this.regex, this.exact]) box.addEventListener("change", () => void this.search());
    this.element = h("section", { class: "panel", hidden: true, "data-test": "search-panel" }, form, this.status, this.results);
  }

  focus(): void {
    this.query.focus();
    this.query.select();
  }

  private async search(): Promise<void> {
    this.running?.abort();
    fill(this.results);
    this.status.textContent = "";
    if (!this.query.value) return;
    const running = new AbortController();
    this.running = running;
    this.status.textContent = "Searching…";
    const parameters = new URLSearchParams({
      path: this.ide.folder, query: this.query.value, regex: this.regex.checked ? "1" : "0", case: this.exact.checked ? "1" : "0", limit: String(LIMIT),
    });
    if (this.glob.value.trim()) parameters.set("glob", this.glob.value.trim());
    try {
      const found = await callJson<{ matches: Match[]; truncated: boolean; files_searched: number }>(`${this.ide.containerUrl}/search?${parameters}`, { signal: running.signal });
      this.show(found.matches);
      const count = found.matches.length;
      this.status.textContent = count === 0 ? `Nothing found in ${found.files_searched} files.`
        : found.truncated ? `The first ${count} matches; there are more. Narrow the search.`
        : `${count} ${count === 1 ? "match" : "matches"} in ${found.files_searched} files searched`;
    } catch (error) {
      if (running.signal.aborted) return;
      this.status.textContent = "The search failed.";
      fail(error);
    }
  }

  private show(matches: Match[]): void {
    const byFile = new Map<string, Match[]>();
    for (const match of matches) byFile.set(match.path, [...(byFile.get(match.path) ?? []), match]);
    for (const [path, list] of byFile) {
      this.results.append(h("details", { open: true, class: "search-file" },
        h("summary", { title: path }, icon("file", "icon-s"), h("span", { class: "truncate" }, within(path, this.ide.folder)), h("span", { class: "badge" }, list.length)),
        ...list.map((match) => this.row(match))));
    }
  }

  private row(match: Match): HTMLElement {
    // The agent cuts very long lines itself; the column then points beyond the text.
    const start = match.column <= match.text.length ? Math.max(0, match.column - 1 - SHOWN / 4) : 0;
    const text = match.text.slice(start, start + SHOWN).trim();
    return h("button", {
      type: "button", class: "search-match", "data-test": "search-match", "data-path": match.path, "data-line": match.line,
      onclick: () => this.ide.send("file.open", { path: match.path, line: match.line, column: match.column }),
    }, h("span", { class: "search-line" }, match.line), h("span", { class: "truncate" }, text));
  }
}
