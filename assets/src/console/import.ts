/**
 * Imports a `.env` file without giving it to the server: reads it here, shows what would change, and sends each value that is
 * to be set encrypted to the vault. Where this browser cannot encrypt, the form says so and goes to the server as it is.
 */
import { callJson } from "../lib/api";
import { parse } from "../lib/dotenv";
import { fill, find, findAll, h } from "../lib/dom";
import { type Known, plan, type Row, settable, type State } from "../lib/import-plan";
import { referencesOf } from "../lib/references";
import { canSeal, sealer } from "../lib/seal";
import { fail } from "../lib/toast";

const TIERS = ["visible", "masked", "sensitive"];

export function importing(): void {
  const form = find<HTMLFormElement>("form[data-import]");
  form?.addEventListener("submit", (event) => {
    if (form.dataset["import"] === undefined) return;
    event.preventDefault();
    void check(form).catch(fail);
  });
}

async function check(form: HTMLFormElement): Promise<void> {
  if (!(await canSeal())) {
    find<HTMLElement>("[data-seal-missing]", form)?.removeAttribute("hidden");
    delete form.dataset["import"];
    return;
  }
  const text = await given(form);
  if (text.trim() === "") throw new Error("Choose a file, or paste its text.");
  const known = await callJson<{ items: Known[] }>(form.dataset["import"] ?? "");
  const rows = plan(parse(text), known.items, (form.dataset["reserved"] ?? "").split(" "));
  review(form, rows);
}

async function given(form: HTMLFormElement): Promise<string> {
  const file = find<HTMLInputElement>("input[type=file]", form)?.files?.[0];
  if (!file) return find<HTMLTextAreaElement>("textarea", form)?.value ?? "";
  if (file.size > 4 * 1024 * 1024) throw new Error(`${file.name} has ${file.size} bytes. Choose a .env file.`);
  try {
    // Fatal: what is no UTF-8 is no .env file, and not to be stored with signs that stand for what was lost.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is not UTF-8 text. Choose a .env file.`);
  }
}

/** Puts what would change in the place of the question. */
function review(form: HTMLFormElement, rows: Row[]): void {
  const card = form.closest("section");
  if (!card) return;
  const able = rows.filter(settable).length;
  const tiers = find<HTMLTemplateElement>("[data-import-tiers]")?.content.cloneNode(true);
  const heading = h("h2", { id: "difference", tabindex: -1 }, "What would change");
  const fresh = rows.some((row) => row.state === "added");
  const button = h("button", { class: "btn btn-primary", "data-test": "import-confirm" }, "Import");
  const chosen = h("form", {}, table(rows), h("div", { class: "card-body" },
    fresh && h("fieldset", { class: "field" }, h("legend", {}, "Tier of new ones"), tiers),
    h("p", { class: "muted" }, "Those that exist keep their tier and description. All that is chosen is set, or nothing."),
    h("div", { class: "form-actions" }, able > 0 && button, h("a", { class: "btn", href: location.href }, "Another file"))));
  const section = h("section", { class: "card", "aria-labelledby": "difference", "data-test": "import-difference" },
    h("div", { class: "card-head" }, heading, h("span", { class: "small muted" }, `${able} can be set, ${rows.length - able - count(rows, "unchanged")} refused`)),
    chosen);
  chosen.addEventListener("submit", (event) => {
    event.preventDefault();
    button.disabled = true;
    fill(button, h("span", { class: "spinner", "aria-hidden": "true" }), "Encrypting and setting…");
    void send(form, chosen, rows).catch((error: unknown) => {
      button.disabled = false;
      fill(button, "Import");
      fail(error);
    });
  });
  card.replaceWith(section);
  heading.focus();
}

function count(rows: Row[], state: State): number {
  return rows.filter((row) => row.state === state).length;
}

function table(rows: Row[]): HTMLElement {
  const head = ["", "Line", "Name", "Change", "Tier"].map((text) =>
    h("th", { scope: "col" }, text || h("span", { class: "visually-hidden" }, "Import")));
  return h("div", { class: "table-wrap" },
    h("table", { class: "table table-stack", "data-test": "import-rows" }, h("thead", {}, h("tr", {}, ...head)), h("tbody", {}, ...rows.map(line))));
}

function line(row: Row): HTMLElement {
  const take = settable(row) && h("input", { type: "checkbox", name: "take", value: row.name, checked: true, "aria-label": `Import ${row.name}` });
  return h("tr", { "data-test": "import-row", "data-name": row.name, "data-state": row.state },
    h("td", { class: "short" }, take), h("td", { class: "small muted short" }, row.line), h("td", { class: "secret-name rest" }, row.name),
    h("td", {}, ...what(row)), h("td", {}, tierOf(row)));
}

function what(row: Row): (Node | string)[] {
  const badge = (kind: string, text: string) => h("span", { class: `badge ${kind}` }, text);
  const small = (text: string, more = "") => h("span", { class: `small ${more}` }, text);
  switch (row.state) {
    case "added": return [badge("badge-ok", "new")];
    case "changed": return [badge("badge-accent", "changed")];
    case "new_version": return [badge("badge-accent", "new version"), " ", small("Whether the value is another one is not told.", "muted")];
    case "unchanged": return [badge("", "unchanged")];
    case "invalid": return [badge("badge-danger", "refused"), " ", small(row.message)];
  }
}

function tierOf(row: Row): HTMLElement | null {
  if (row.known) {
    const kind = row.known.tier === "masked" ? "badge-accent" : row.known.tier === "sensitive" ? "badge-warn" : "";
    return h("span", { class: `badge ${kind}` }, row.known.tier);
  }
  if (row.state !== "added") return null;
  return h("select", { class: "input input-s", name: `tier.${row.name}`, "aria-label": `Tier of ${row.name}` },
    h("option", { value: "" }, "as chosen below"), ...TIERS.map((tier) => h("option", { value: tier }, tier)));
}

async function send(form: HTMLFormElement, chosen: HTMLFormElement, rows: Row[]): Promise<void> {
  const fields = new FormData(chosen);
  const taken = new Set(findAll<HTMLInputElement>("input[name=take]:checked", chosen).map((box) => box.value));
  const wanted = rows.filter((row) => settable(row) && taken.has(row.name));
  if (wanted.length === 0) throw new Error("Nothing is chosen. Choose at least one secret to import.");
  const seal = await sealer(form.dataset["key"] ?? "");
  const secrets = await Promise.all(wanted.map(async (row) => {
    const tier = row.known?.tier ?? (fields.get(`tier.${row.name}`) || fields.get("tier") || "").toString();
    const sealed = await seal(row.name, tier, row.value);
    return { name: row.name, tier, sealed, ...(row.known?.expand ? { references: referencesOf(row.value) } : {}) };
  }));
  await callJson(form.dataset["bulk"] ?? "", { method: "POST", json: { secrets } });
  location.assign(form.dataset["list"] ?? "/");
}
