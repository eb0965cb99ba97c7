/** Panes with draggable borders. Sizes are custom properties of the workbench and are remembered; borders move by arrow keys too. */
import { h } from "../lib/dom";
import { recall, remember } from "../lib/remember";

export interface Pane {
  name: "side" | "right" | "bottom";
  label: string;
  size: number;
  least: number;
  /** The biggest share of the window. */
  most: number;
}

const STEP_PX = 24;

/** A window with room for one pane at a time; the style sheet has the same width. */
export const narrow = matchMedia("(max-width: 46rem)");

/** The border of a pane, as a separator that can be focused. `towards` tells which drag direction makes the pane bigger. */
export function border(root: HTMLElement, pane: Pane, towards: "right" | "left" | "up"): HTMLElement {
  const vertical = towards !== "up";
  const key = `pane.${pane.name}`;
  const limit = () => Math.floor((vertical ? innerWidth : innerHeight) * pane.most);
  let size = recall<number>(key, pane.size);
  const bar = h("div", {
    class: `pane-border ${vertical ? "pane-border-v" : "pane-border-h"}`, role: "separator", tabindex: 0,
    "aria-orientation": vertical ? "vertical" : "horizontal", "aria-label": `Resize ${pane.label}`, "data-test": `border-${pane.name}`,
  });
  const set = (wanted: number) => {
    size = Math.round(Math.max(pane.least, Math.min(limit(), wanted)));
    root.style.setProperty(`--pane-${pane.name}`, `${size}px`);
    bar.setAttribute("aria-valuenow", String(size));
    bar.setAttribute("aria-valuemin", String(pane.least));
    bar.setAttribute("aria-valuemax", String(limit()));
  };
  const grow = (x: number, y: number) => (towards === "right" ? x : towards === "left" ? -x : -y);
  bar.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    bar.setPointerCapture(event.pointerId);
    const start = { x: event.clientX, y: event.clientY, size };
    root.classList.add("resizing");
    const move = (now: PointerEvent) => set(start.size + grow(now.clientX - start.x, now.clientY - start.y));
    bar.addEventListener("pointermove", move);
    bar.addEventListener("lostpointercapture", () => {
      bar.removeEventListener("pointermove", move);
      root.classList.remove("resizing");
      remember(key, size);
    }, { once: true });
  });
  bar.addEventListener("keydown", (event) => {
    const by = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    set(size + grow(by[0] ?? 0, by[1] ?? 0) * STEP_PX);
    remember(key, size);
  });
  bar.addEventListener("dblclick", () => {
    set(pane.size);
    remember(key, size);
  });
  addEventListener("resize", () => set(size));
  set(size);
  return bar;
}

/** Whether a pane is shown; remembered like its size, but not where it is shown instead of the others. */
export class Toggle {
  constructor(private readonly root: HTMLElement, readonly name: Pane["name"], private readonly button: HTMLButtonElement) {
    this.set(narrow.matches ? name !== "right" : recall<boolean>(`pane.${name}.shown`, name !== "right" || innerWidth > 1100));
  }

  get shown(): boolean {
    return !this.root.classList.contains(`no-${this.name}`);
  }

  set(shown: boolean): void {
    this.root.classList.toggle(`no-${this.name}`, !shown);
    this.button.setAttribute("aria-pressed", String(shown));
    if (!narrow.matches) remember(`pane.${this.name}.shown`, shown);
  }
}

/** Tabs with arrow keys, after the ARIA pattern. Returns a function that selects one. */
export function tabs(list: HTMLElement, entries: { id: string; tab: HTMLButtonElement; panel: HTMLElement }[], selected?: (id: string) => void): (id: string) => void {
  list.setAttribute("role", "tablist");
  const select = (id: string) => {
    for (const { id: own, tab, panel } of entries) {
      const active = own === id;
      tab.setAttribute("aria-selected", String(active));
      tab.tabIndex = active ? 0 : -1;
      panel.hidden = !active;
    }
    selected?.(id);
  };
  entries.forEach(({ id, tab, panel }, at) => {
    tab.setAttribute("role", "tab");
    tab.id = `tab-${id}`;
    panel.id = `panel-${id}`;
    tab.setAttribute("aria-controls", panel.id);
    panel.setAttribute("role", "tabpanel");
    panel.setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("click", () => select(id));
    tab.addEventListener("keydown", (event) => {
      const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      const next = entries[(at + step + entries.length) % entries.length];
      if (step === 0 || !next) return;
      next.tab.focus();
      select(next.id);
    });
  });
  return select;
}
