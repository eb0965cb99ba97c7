/** The state of the person's own container on the projects page, from the API: read again while the page is looked at. */
import { callJson, callList } from "../lib/api";
import { fill, find, h, icon } from "../lib/dom";
import { fail } from "../lib/toast";

interface Container {
  id: string;
  mine: boolean;
  wanted: "running" | "stopped";
  state: "stopped" | "starting" | "running" | "stopping" | "failed";
  reason: string | null;
}

const POLL_MS = 5000;
const DOT = { stopped: "", starting: "dot-busy", running: "dot-ok", stopping: "dot-busy", failed: "dot-danger" } as const;
const TEXT = { stopped: "stopped", starting: "starting", running: "running", stopping: "stopping", failed: "not able to start" } as const;

export function containerLine(): void {
  const section = find<HTMLElement>("[data-container-line]");
  if (!section) return;
  const url = section.dataset["containerLine"] ?? "";
  let drawn = "";
  const draw = (container: Container | null) => {
    const key = JSON.stringify([container?.id, container?.state, container?.wanted, container?.reason]);
    if (key === drawn) return;
    drawn = key;
    section.hidden = container === null;
    if (!container) return;
    const stop = h("button", {
      type: "button", class: "btn btn-s btn-quiet", disabled: container.wanted === "stopped", "data-test": "stop-container",
      onclick: () => {
        stop.disabled = true;
        callJson<Container>(`${url}/${encodeURIComponent(container.id)}/stop`, { method: "POST", json: {} }).then(draw).catch((error: unknown) => {
          stop.disabled = false;
          fail(error);
        });
      },
    }, icon("stop", "icon-s"), "Stop");
    const note = container.reason ?? (container.state === "stopped" ? "Open a project to start it." : "");
    fill(section, h("div", { class: "container-line", "data-test": "container-state", "data-state": container.state },
      h("span", { class: `dot ${DOT[container.state]}` }),
      h("span", { role: "status" }, "Your container is ", h("strong", {}, TEXT[container.state]), "."),
      note ? h("span", { class: "muted wrap-anywhere" }, note) : null,
      h("span", { class: "spacer" }),
      container.state === "running" || container.state === "starting" ? stop : null));
  };
  const look = async () => {
    if (document.hidden) return;
    try {
      draw((await callList<Container>(url)).find((container) => container.mine) ?? null);
    } catch {
      // Help only: the next look tells, and nothing on the page depends on it.
    }
  };
  setInterval(() => void look(), POLL_MS);
  document.addEventListener("visibilitychange", () => void look());
  void look();
}
