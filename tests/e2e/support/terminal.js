// The terminal on the page: typed into by keys, read from the screen, and checked against the whole of what was kept.
import { equal, fail, holds } from "./world.js";

export class Terminal {
  constructor(world) {
    this.world = world;
    this.page = world.page;
  }

  /** Waits until the shown terminal is connected. */
  async ready() {
    await this.world.$("terminal", "[data-state=open]").waitFor();
    this.id = await this.world.$("terminal").getAttribute("data-terminal");
    await this.page.locator("[data-test=terminal]:not([hidden]) .xterm-rows").waitFor();
    return this;
  }

  async focus() {
    await this.page.locator("[data-test=terminal]:not([hidden]) [data-test=terminal-input]").focus();
  }

  async type(text) {
    await this.focus();
    await this.page.keyboard.insertText(text);
  }

  async enter(line) {
    await this.type(line);
    await this.page.keyboard.press("Enter");
  }

  /** The rows on the screen, without spaces at their ends. */
  rows() {
    return this.page.evaluate(readRows);
  }

  /** Waits until the screen matches. */
  async shows(pattern, limit) {
    const what = `the terminal shows ${pattern}`;
    try {
      await this.world.until(what, ([source, flags]) => {
        const rows = [...document.querySelectorAll("[data-test=terminal]:not([hidden]) .xterm-rows > div")].map((row) => row.textContent.replaceAll("\u00a0", " ").trimEnd());
        return new RegExp(source, flags).test(rows.join("\n"));
      }, [pattern.source, pattern.flags], limit);
    } catch (error) {
      throw new Error(`${error.message}; it shows:\n${(await this.rows()).join("\n")}`, { cause: error });
    }
  }

  /** Waits for an empty prompt at the end. */
  prompt(limit) {
    return this.shows(/\$\n*$/, limit);
  }

  /** An empty screen, so that what comes next is not mistaken for what was. */
  async clear() {
    await this.enter("clear");
    await this.shows(/^[^\n]*\$\n*$/);
  }

  /**
   * Everything that is kept of the terminal's output, over a connection of its own. Fails when a sequence number is
   * missing or comes twice.
   */
  async everything() {
    const url = `${this.world.origin.replace("http", "ws")}${this.world.containerUrl}/terminals/${this.id}`;
    const { hello, frames } = await this.page.evaluate((url) => new Promise((resolve, reject) => {
      const socket = new WebSocket(url);
      socket.binaryType = "arraybuffer";
      const frames = [];
      let hello = null;
      const done = () => {
        resolve({ hello, frames });
        socket.close();
      };
      socket.onerror = () => reject(new Error(`${url} is refused`));
      socket.onmessage = ({ data }) => {
        if (typeof data === "string") {
          const message = JSON.parse(data);
          if (message.type === "hello") hello = message;
          else if (message.type === "gap") reject(new Error(`a gap: ${data}`));
          if (hello.first === hello.next) done();
          return;
        }
        const at = Number(new DataView(data).getBigUint64(0));
        frames.push({ at, bytes: [...new Uint8Array(data, 8)] });
        if (at + data.byteLength - 8 >= hello.next) done();
      };
    }), url);
    return text(frames, hello.first);
  }
}

/** Frames of one connection as text; they must follow each other without a hole and without an overlap. */
export function text(frames, first) {
  let next = first;
  for (const { at, bytes } of frames) {
    equal(at, next, "the sequence number of a frame");
    next += bytes.length;
  }
  return new TextDecoder().decode(Uint8Array.from(frames.flatMap(({ bytes }) => bytes)));
}

/** Keeps the binary frames that the page gets on each of its terminal connections from now on. */
export function recordFrames(page, terminal) {
  const connections = [];
  const listener = (socket) => {
    if (!socket.url().includes(`/terminals/${terminal}`)) return;
    const frames = [];
    connections.push(frames);
    socket.on("framereceived", ({ payload }) => {
      if (typeof payload === "string") return;
      frames.push({ at: Number(payload.readBigUInt64BE(0)), bytes: [...payload.subarray(8)] });
    });
  };
  page.on("websocket", listener);
  return { connections, stop: () => page.off("websocket", listener) };
}

/** The numbers 1 to `last`, each on a line, in order, once. */
export function countsTo(output, last, what) {
  const numbers = output.split(/\r?\n/).filter((line) => /^\d+$/.test(line)).map(Number);
  for (const [at, number] of numbers.entries()) if (number !== at + 1) fail(`${what}: ${number} stands where ${at + 1} should`);
  holds(numbers.length === last, `${what}: ${numbers.length} numbers, not ${last}`);
}

function readRows() {
  return [...document.querySelectorAll("[data-test=terminal]:not([hidden]) .xterm-rows > div")].map((row) => row.textContent.replaceAll("\u00a0", " ").trimEnd());
}
