/** The new-project form: shows the fields of the chosen start only, takes a dropped archive, shows the upload's progress. */
import { sentenceOf, upload } from "../lib/api";
import { find, findAll } from "../lib/dom";
import { bytes } from "../lib/format";
import { toast } from "../lib/toast";

export function projectForm(): void {
  const form = find<HTMLFormElement>("[data-project-form]");
  if (!form) return;
  const file = find<HTMLInputElement>("#archive", form);
  const url = find<HTMLInputElement>("#url", form);
  const kind = () => String(new FormData(form).get("kind") ?? "empty");
  const show = () => {
    for (const part of findAll<HTMLElement>("[data-kind]", form)) part.hidden = part.dataset["kind"] !== kind();
    if (file) file.required = kind() === "archive";
    if (url) url.required = kind() === "git";
  };
  form.addEventListener("change", show);
  show();
  if (file) dropping(form, file);
  form.addEventListener("submit", (event) => {
    if (kind() !== "archive" || !file?.files?.length) return;
    event.preventDefault();
    void send(form);
  });
}

function dropping(form: HTMLFormElement, file: HTMLInputElement): void {
  const zone = find<HTMLElement>("[data-dropzone]", form);
  if (!zone) return;
  zone.addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const dropped = event.dataTransfer?.files;
    if (!dropped?.length) return;
    file.files = dropped;
    const name = find<HTMLInputElement>("#name", form);
    if (name && !name.value) name.value = (dropped[0]?.name ?? "").replace(/\.(tar\.gz|tgz|zip)$/i, "");
  });
}

/** The same form post as without script. The server answers with a redirect or with the page and its errors: both are shown as they are. */
async function send(form: HTMLFormElement): Promise<void> {
  const area = find<HTMLElement>("[data-upload-progress]", form);
  const bar = find<HTMLProgressElement>("progress", form);
  const text = find<HTMLElement>("[data-upload-text]", form);
  const button = find<HTMLButtonElement>("[data-test=project-create]", form);
  if (area) area.hidden = false;
  if (button) button.disabled = true;
  try {
    const answer = await upload("POST", form.action, new FormData(form), { Accept: "text/html" }, (done, total) => {
      if (bar && total > 0) bar.value = (done / total) * 100;
      if (text) text.textContent = done < total ? `${bytes(done)} of ${bytes(total)} sent` : "Sent. The server is reading the archive…";
    });
    if (answer.responseURL !== form.action) location.assign(answer.responseURL);
    else showErrors(form, answer.responseText);
  } catch (error) {
    toast(sentenceOf(error), "danger");
  }
  if (area) area.hidden = true;
  if (button) button.disabled = false;
}

/** Takes the error texts out of the answered page; parsed documents run no script, and only text is copied. */
function showErrors(form: HTMLFormElement, html: string): void {
  const page = new DOMParser().parseFromString(html, "text/html");
  const errors = findAll<HTMLElement>("[data-test=field-error], [data-test=form-error] p", page);
  form.querySelectorAll("[data-test=field-error]").forEach((old) => old.remove());
  for (const error of errors) {
    const message = (error.textContent ?? "").trim();
    const field = error.id.replace(/-error$/, "");
    const place = field ? form.querySelector(`#${CSS.escape(field)}`)?.closest(".field") : null;
    if (!place) {
      toast(message, "danger");
      continue;
    }
    const line = document.createElement("p");
    line.className = "field-error";
    line.id = `${field}-error`;
    line.dataset["test"] = "field-error";
    line.setAttribute("role", "alert");
    line.textContent = message;
    place.append(line);
  }
  if (errors.length === 0) toast("The server did not accept the form and did not say why.", "danger");
}
