/**
 * A POST form is sent once: a second click while the answer is on its way does nothing. One whose answer is a file leaves the
 * page where it is, and may be sent again (`data-download`).
 */
export function onceOnly(): void {
  const sent = new WeakSet<HTMLFormElement>();
  document.addEventListener("submit", (event) => {
    const form = event.target as HTMLFormElement;
    if (event.defaultPrevented || form.method !== "post" || form.dataset["download"] !== undefined) return;
    if (sent.has(form)) return event.preventDefault();
    sent.add(form);
    form.setAttribute("aria-busy", "true");
  });
  // A page which comes back from the browser's cache may be sent again.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}
