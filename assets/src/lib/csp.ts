/**
 * Makes libraries which add styles at run time work under the page's strict content security policy, without
 * loosening it. Must be imported before them. Two things are needed, both for xterm.js:
 *
 * 1. `style-src 'nonce-…'` refuses a <style> element without the nonce: `document.createElement("style")` gets it.
 * 2. It refuses `setAttribute("style", …)` too (xterm.js colours 24-bit text so), but not the CSSOM: the call is
 *    turned into `element.style.cssText = …`, which does the same.
 *
 * Neither helps injected markup: that never calls these functions, and has no script to do so.
 */

/** Browsers hide the attribute from selectors and markup, but give the property to scripts. */
export const nonce: string = document.querySelector<HTMLScriptElement>("script[nonce]")?.nonce ?? "";

const createElement = document.createElement.bind(document);
document.createElement = ((tag: string, options?: ElementCreationOptions) => {
  const element = createElement(tag, options);
  if (element instanceof HTMLStyleElement) element.nonce = nonce;
  return element;
}) as typeof document.createElement;

const setAttribute = Element.prototype.setAttribute;
HTMLElement.prototype.setAttribute = function (this: HTMLElement, name: string, value: string): void {
  if (name === "style") this.style.cssText = value;
  else setAttribute.call(this, name, value);
};
