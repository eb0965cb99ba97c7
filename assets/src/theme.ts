/**
 * Runs before the first paint: puts the stored colour scheme on <html> and marks the page as scripted,
 * so that controls which need script show only when it runs. Imports nothing.
 */
(() => {
  const page = document.documentElement;
  page.classList.add("js");
  try {
    const stored = localStorage.getItem("optidev.theme");
    if (stored === "light" || stored === "dark") page.dataset.theme = stored;
  } catch {
    // Storage may be refused (private window); the system's scheme then stays.
  }
})();
