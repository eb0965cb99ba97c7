// What pages complain about. A violation of the content security policy, an exception or a console error fails the
// step in which it came; lines about the network do not, because refusals and restarts are part of the steps.
const NETWORK = /^Failed to load resource|^WebSocket connection to|net::ERR_|^\[vite\] /;

export class Watch {
  #complaints = [];

  /** Follows every page of a browser context, from before its first script. */
  async follow(context) {
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        console.error(`Content-Security-Policy: ${event.effectiveDirective} forbids ${event.blockedURI} at ${event.sourceFile}:${event.lineNumber}`);
      });
    });
    context.on("weberror", (error) => this.#complaints.push(`exception on ${error.page()?.url()}: ${error.error().stack}`));
    context.on("console", (message) => {
      const text = message.text();
      const policy = /content.security.policy/i.test(text);
      if (policy || (message.type() === "error" && !NETWORK.test(text))) this.#complaints.push(`${message.type()} on ${message.page()?.url()}: ${text}`);
    });
  }

  check() {
    const complaints = this.#complaints.splice(0);
    if (complaints.length > 0) throw new Error(`pages complained:\n${complaints.join("\n")}`);
  }
}
