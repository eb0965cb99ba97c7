/** Entry of the console's pages: small improvements of pages that work without them. */
import { containerLine } from "./console/container-line";
import { docsFilter } from "./console/docs";
import { enrolment } from "./console/enrolment";
import { menus } from "./console/menus";
import { projectForm } from "./console/project-form";
import { reveals } from "./console/reveal";
import { onceOnly } from "./console/submit";
import { find } from "./lib/dom";
import { themeSwitches } from "./lib/themes";

themeSwitches();
menus();
projectForm();
reveals();
docsFilter();
containerLine();
enrolment();
onceOnly();
// Few pages need these, which are larger than all the others.
if (find("form[data-seal]")) void import("./console/sealing").then((module) => module.sealing());
if (find("form[data-import]")) void import("./console/import").then((module) => module.importing());
