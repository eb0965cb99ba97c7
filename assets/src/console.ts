/** Entry of the console's pages: small improvements of pages that work without them. */
import { containerLine } from "./console/container-line";
import { docsFilter } from "./console/docs";
import { enrolment } from "./console/enrolment";
import { menus } from "./console/menus";
import { projectForm } from "./console/project-form";
import { reveals } from "./console/reveal";
import { onceOnly } from "./console/submit";
import { themeSwitches } from "./lib/themes";

themeSwitches();
menus();
projectForm();
reveals();
docsFilter();
containerLine();
enrolment();
onceOnly();
