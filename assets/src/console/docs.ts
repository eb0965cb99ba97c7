/** The filter of the API page: all words must occur in an operation's text. */
import { fill, find, findAll, h } from "../lib/dom";

export function docsFilter(): void {
  const input = find<HTMLInputElement>("[data-docs-filter]");
  if (!input) return;
  for (const element of findAll<HTMLElement>("[data-docs-text]")) codeSpans(element);
  const operations = findAll<HTMLElement>("[data-docs-operation]").map((element) => ({ element, text: (element.textContent ?? "").toLowerCase() }));
  const groups = findAll<HTMLElement>("[data-docs-group]");
  const status = find<HTMLElement>("[data-docs-count]");
  const none = find<HTMLElement>("[data-docs-none]");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { element, text } of operations) {
      element.hidden = !words.every((word) => text.includes(word));
      if (!element.hidden) shown += 1;
    }
    for (const group of groups) group.hidden = !group.querySelector("[data-docs-operation]:not([hidden])");
    if (status) status.textContent = `${shown} of ${operations.length} operations`;
    if (none) none.hidden = shown > 0;
  });
}

/** The descriptions come from the code's documentation, where names stand between backticks. */
function codeSpans(element: HTMLElement): void {
  const parts = (element.textContent ?? "").split("`");
  if (element.childElementCount > 0 || parts.length < 3 || parts.length % 2 === 0) return;
  fill(element, ...parts.map((part, at) => (at % 2 === 1 ? h("code", {}, part) : part)));
}
