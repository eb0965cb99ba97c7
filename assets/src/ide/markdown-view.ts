/** Parsed Markdown as DOM nodes. No markup is ever parsed: nodes are built, text stays text. */
import { h, iconButton } from "../lib/dom";
import { type Block, type Inline, parseMarkdown } from "../lib/markdown";
import { fail } from "../lib/toast";

export function markdown(text: string): DocumentFragment {
  const fragment = document.createDocumentFragment();
  fragment.append(...parseMarkdown(text).map(block));
  return fragment;
}

function inline(parts: Inline[]): (Node | string)[] {
  return parts.map((part) => {
    switch (part.kind) {
      case "text": return part.text;
      case "code": return h("code", {}, part.text);
      case "strong": return h("strong", {}, ...inline(part.children));
      case "em": return h("em", {}, ...inline(part.children));
      case "link": return h("a", { href: part.href, target: "_blank", rel: "noopener noreferrer" }, ...inline(part.children));
    }
  });
}

function block(item: Block): Node {
  switch (item.kind) {
    case "heading": return h("p", { class: "md-heading", role: "heading", "aria-level": Math.min(6, item.level + 2) }, ...inline(item.children));
    case "paragraph": return h("p", {}, ...inline(item.children));
    case "code": return h("div", { class: "md-code" },
      iconButton("copy", "Copy", () => void navigator.clipboard.writeText(item.text).catch(fail), "copy-code"), h("pre", { tabindex: 0 }, h("code", {}, item.text)));
    case "quote": return h("blockquote", {}, ...item.children.map(block));
    case "list": {
      const items = item.items.map((children) => h("li", {}, ...children.map(block)));
      return item.ordered ? h("ol", { start: item.start }, ...items) : h("ul", {}, ...items);
    }
    case "table": return h("div", { class: "table-wrap" }, h("table", { class: "table" },
      h("thead", {}, h("tr", {}, ...item.head.map((cell) => h("th", { scope: "col" }, ...inline(cell))))),
      h("tbody", {}, ...item.rows.map((row) => h("tr", {}, ...row.map((cell) => h("td", {}, ...inline(cell))))))));
    case "rule": return h("hr");
  }
}
