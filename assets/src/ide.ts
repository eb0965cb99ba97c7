/**
 * Entry of the IDE page. Loads little, shows the container's state at once, and fetches the workbench
 * (editor, terminal and the rest) while the container starts.
 */
import "./lib/csp";
import { ContainerControl } from "./ide/container";
import { Ide } from "./ide/context";
import { StartView } from "./ide/start-view";
import { find } from "./lib/dom";
import { themeSwitches } from "./lib/themes";
import { fail } from "./lib/toast";

const ide = Ide.fromPage();
const main = find<HTMLElement>("#ide");
if (main) void start(main);

async function start(root: HTMLElement): Promise<void> {
  themeSwitches();
  root.replaceChildren();
  const control = new ContainerControl(ide);
  const view = new StartView(ide, control, root);
  const workbench = import("./ide/workbench");
  let mounted = false;
  ide.on("container.ready", () => {
    view.hide();
    if (mounted) return;
    mounted = true;
    workbench.then((module) => module.mount(ide, root)).catch(fail);
  });
  ide.on("container.gone", () => view.show());
  await control.load().catch(fail);
}
