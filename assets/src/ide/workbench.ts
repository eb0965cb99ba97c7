/** Puts the parts of the IDE together: sidebar, editor, terminals, preview and assistant, and the keys that move between them. */
import { find, h, icon } from "../lib/dom";
import { Problem } from "../lib/api";
import { backoff } from "../lib/sequence";
import { recall, remember } from "../lib/remember";
import { fail } from "../lib/toast";
import { AssistantPanel } from "./assistant";
import { Editor } from "./editor";
import { FilesPanel } from "./files-panel";
import { Network } from "./network";
import { border, narrow, Toggle, tabs } from "./panes";
import type { Ide, Messages } from "./context";
import { Preview } from "./preview";
import { SearchPanel } from "./search-panel";
import { Terminals } from "./terminals";
import { Watcher } from "./watch";

export function mount(ide: Ide, root: HTMLElement): void {
  const files = new FilesPanel(ide);
  const search = new SearchPanel(ide);
  const editor = new Editor(ide);
  const terminals = new Terminals(ide);
  const preview = new Preview(ide);
  const assistant = new AssistantPanel(ide);
  const watcher = new Watcher(ide);
  const network = new Network(ide);
  terminals.beside(network.tab, network.element, network.notice);

  const bench = h("div", { class: "workbench", "data-test": "workbench" });
  const tab = (name: string, label: string, test: string) => h("button", { type: "button", class: "pane-tab", "data-test": test }, icon(name, "icon-s"), label);
  const sideTabs = h("div", { class: "pane-tabs", "aria-label": "Sidebar" });
  const tabFiles = tab("folder", "Files", "tab-files");
  const tabSearch = tab("search", "Search", "tab-search");
  sideTabs.append(tabFiles, tabSearch);
  const showSide = tabs(sideTabs, [{ id: "files", tab: tabFiles, panel: files.element }, { id: "search", tab: tabSearch, panel: search.element }]);

  let stacked = false;
  let rightShown = "assistant";
  const rightTabs = h("div", { class: "pane-tabs", "aria-label": "Preview and assistant" });
  const tabPreview = tab("globe", "Preview", "tab-preview");
  const tabAssistant = tab("chat", "Assistant", "tab-assistant");
  rightTabs.append(tabAssistant, tabPreview);
  const showRight = tabs(rightTabs, [{ id: "assistant", tab: tabAssistant, panel: assistant.element }, { id: "preview", tab: tabPreview, panel: preview.element }], (id) => {
    rightShown = id;
    if (stacked) assistant.element.hidden = preview.element.hidden = false;
    preview.visible(stacked || id === "preview");
  });
  const both = h("button", { type: "button", class: "btn btn-icon", "aria-label": "Preview above the assistant", title: "Preview above the assistant", "data-test": "right-both", onclick: () => stack(!stacked) },
    h("span", { class: "pane-glyph pane-glyph-split" }));
  /** Both at once, to watch the preview change while the assistant works. */
  const stack = (now: boolean) => {
    stacked = now;
    right.classList.toggle("both", now);
    both.setAttribute("aria-pressed", String(now));
    remember("right.both", now);
    showRight(rightShown);
  };

  const side = h("aside", { class: "pane pane-side", "aria-label": "Files and search" }, sideTabs, files.element, search.element);
  const right = h("aside", { class: "pane pane-right", "aria-label": "Preview and assistant" },
    h("div", { class: "row pane-head" }, rightTabs, both), preview.element, assistant.element);
  const centre = h("div", { class: "pane-centre" }, editor.element, border(bench, { name: "bottom", label: "terminals", size: 260, least: 90, most: 0.8 }, "up"), terminals.element);
  bench.append(side, border(bench, { name: "side", label: "sidebar", size: 250, least: 150, most: 0.5 }, "right"), centre,
    border(bench, { name: "right", label: "preview and assistant", size: 420, least: 240, most: 0.7 }, "left"), right);
  root.append(bench);

  const toggle = (name: "side" | "bottom" | "right", label: string) => {
    const button = h("button", { type: "button", class: `btn btn-icon toggle-${name}`, "aria-label": label, title: label, "data-test": `toggle-${name}` }, h("span", { class: `pane-glyph pane-glyph-${name}` }));
    find<HTMLElement>("#layout-slot")?.append(button);
    button.addEventListener("click", () => {
      const covered = name === "bottom" && narrow.matches && (toggles.side.shown || toggles.right.shown);
      show(name, covered || !toggles[name].shown);
    });
    return new Toggle(bench, name, button);
  };
  /** In a narrow window the sides cover the middle, so one that opens closes the other. */
  const show = (name: "side" | "bottom" | "right", shown: boolean) => {
    toggles[name].set(shown);
    if (shown && narrow.matches) for (const other of ["side", "right"] as const) if (other !== name) toggles[other].set(false);
  };
  const toggles = { side: toggle("side", "Sidebar (Ctrl+B)"), bottom: toggle("bottom", "Terminals (Ctrl+`)"), right: toggle("right", "Preview and assistant (Ctrl+Alt+B)") };

  ide.on("panel.show", (panel: Messages["panel.show"]) => {
    if (panel === "terminal" || panel === "network") {
      show("bottom", true);
      network.show(panel === "network");
    } else if (panel === "files" || panel === "search") {
      show("side", true);
      showSide(panel);
    } else {
      show("right", true);
      showRight(panel);
    }
  });
  ide.on("file.open", () => {
    if (narrow.matches) for (const name of ["side", "right"] as const) toggles[name].set(false);
  });
  narrow.addEventListener("change", () => {
    if (narrow.matches && toggles.side.shown) toggles.right.set(false);
  });
  showSide("files");
  stack(recall<boolean>("right.both", false));

  // In the capturing phase, before the terminal takes the key.
  addEventListener("keydown", (event) => {
    const control = event.ctrlKey || event.metaKey;
    if (control && event.key === "`") {
      show("bottom", !toggles.bottom.shown);
      if (toggles.bottom.shown) terminals.focus();
      else editor.focus();
    } else if (control && event.altKey && event.code === "KeyB") show("right", !toggles.right.shown);
    else if (control && !event.altKey && event.key === "b" && !terminals.focused) show("side", !toggles.side.shown);
    else if (control && event.shiftKey && event.code === "KeyF") {
      ide.send("panel.show", "search");
      search.focus();
    } else if (event.key === "F6") cycle(event.shiftKey ? -1 : 1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }, true);

  /** F6 goes to the next part, also out of the editor and the terminal, which keep Tab for themselves. */
  function cycle(step: number): void {
    const stops = [
      { element: side, shown: toggles.side.shown, go: () => (search.element.hidden ? files.focus() : search.focus()) },
      { element: editor.element, shown: true, go: () => editor.focus() },
      { element: terminals.element, shown: toggles.bottom.shown, go: () => terminals.focus() },
      { element: right, shown: toggles.right.shown, go: () => (assistant.element.hidden ? preview.focus() : assistant.focus()) },
    ].filter((stop) => stop.shown);
    const at = stops.findIndex((stop) => stop.element.contains(document.activeElement));
    stops[(at + step + stops.length) % stops.length]?.go();
  }

  let round = 0;
  const layout = find<HTMLElement>("#layout-slot");
  const ready = () => {
    bench.hidden = false;
    if (layout) layout.hidden = false;
    round += 1;
    const mine = round;
    const current = () => mine === round;
    void persist(() => files.reload(), current);
    watcher.start();
    void persist(() => terminals.attach(), current);
    preview.start();
    network.start();
    void persist(() => assistant.start(), current);
  };
  ide.on("container.ready", () => {
    ready();
    editor.recheck();
  });
  ide.on("container.gone", () => {
    round += 1;
    bench.hidden = true;
    if (layout) layout.hidden = true;
    watcher.stop();
    terminals.detach();
    preview.stop();
    network.stop();
    assistant.pause();
  });
  ready();
  editor.reopen();
}

/** Runs what a part needs to be useful until it works: an agent or a server may be away for a moment. Says so once. */
async function persist(work: () => Promise<void>, current: () => boolean): Promise<void> {
  for (let attempt = 0; current(); attempt += 1) {
    try {
      return await work();
    } catch (error) {
      // The container went away meanwhile, perhaps stopped by the person: nothing failed.
      if (!current()) return;
      const away = error instanceof Problem && (error.status === 0 || error.status === 502 || error.status === 503 || error.status === 504);
      if (attempt === 0 || !away) fail(error);
      if (!away) return;
    }
    await new Promise((resolve) => setTimeout(resolve, backoff(attempt, Math.random())));
  }
}
