/** One terminal on the screen: xterm.js on a connection. */
import { FitAddon } from "@xterm/addon-fit";
import { Unicode11Addon } from "@xterm/addon-unicode11";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { type ITheme, Terminal } from "@xterm/xterm";
import { fill, h, icon } from "../lib/dom";
import { bytes as size } from "../lib/format";
import { isReport } from "../lib/sequence";
import { TerminalSocket } from "./terminal-socket";

export interface TerminalInfo {
  id: string;
  title: string;
  alive: boolean;
  exit_status: number | null;
}

export interface TerminalHooks {
  title: (title: string) => void;
  link: (address: string) => void;
  restart: () => void;
  close: () => void;
}

const ANSI = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white", "brightBlack", "brightRed", "brightGreen", "brightYellow", "brightBlue", "brightMagenta", "brightCyan", "brightWhite"] as const;

export class TerminalView {
  readonly element: HTMLElement;
  private readonly screen = h("div", { class: "term-screen", "data-test": "terminal-screen" });
  private readonly notice = h("div", { class: "term-notice", role: "status", hidden: true, "data-test": "terminal-notice" });
  private readonly terminal: Terminal;
  private readonly fit = new FitAddon();
  private readonly socket: TerminalSocket;
  private replayed = 0;

  constructor(readonly info: TerminalInfo, url: string, private readonly hooks: TerminalHooks) {
    this.element = h("div", { class: "term", hidden: true, "data-test": "terminal", "data-terminal": info.id, "data-state": "connecting" }, this.screen, this.notice);
    this.terminal = new Terminal({
      allowProposedApi: true, cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches, fontSize: 13, lineHeight: 1.15, scrollback: 10_000,
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono").trim() || "monospace", theme: colours(), minimumContrastRatio: 4.5, macOptionIsMeta: true,
    });
    this.terminal.loadAddon(this.fit);
    this.terminal.loadAddon(new Unicode11Addon());
    this.terminal.unicode.activeVersion = "11";
    this.terminal.loadAddon(new WebLinksAddon((_event, address) => hooks.link(address)));
    this.terminal.attachCustomKeyEventHandler((event) => this.key(event));
    this.terminal.onTitleChange((title) => hooks.title(title));
    this.terminal.onResize(({ cols, rows }) => this.socket.resize(cols, rows));
    this.socket = new TerminalSocket(url, {
      output: (bytes) => this.output(bytes),
      gap: (from, to) => this.terminal.write(`\r\n\x1b[0;2m[${size(to - from)} of older output are no longer kept]\x1b[0m\r\n`),
      restarted: () => this.terminal.reset(),
      exit: (status) => this.exited(status),
      state: (state) => this.state(state),
      size: () => ({ cols: this.terminal.cols, rows: this.terminal.rows }),
    });
    this.terminal.onData((data) => {
      if (this.replayed < this.socket.historyEnd && isReport(data)) return;
      this.socket.send(data);
    });
    this.terminal.onBinary((data) => this.socket.send(Uint8Array.from(data, (character) => character.charCodeAt(0))));
    document.addEventListener("optidev:theme", this.recolour);
  }

  /** Opened on the first showing: xterm measures its letters then, which a hidden element cannot. */
  show(): void {
    this.element.hidden = false;
    if (!this.terminal.element) {
      this.terminal.open(this.screen);
      this.terminal.textarea?.setAttribute("data-test", "terminal-input");
    }
    this.refit();
  }

  hide(): void {
    this.element.hidden = true;
  }

  refit(): void {
    if (this.element.hidden || this.screen.clientHeight === 0) return;
    this.fit.fit();
  }

  focus(): void {
    this.terminal.focus();
  }

  dispose(): void {
    document.removeEventListener("optidev:theme", this.recolour);
    this.socket.close();
    this.terminal.dispose();
    this.element.remove();
  }

  private readonly recolour = () => {
    this.terminal.options.theme = colours();
  };

  private output(bytes: Uint8Array): void {
    const end = this.socket.position;
    this.terminal.write(bytes, () => {
      this.replayed = end;
    });
  }

  private key(event: KeyboardEvent): boolean {
    if (event.type !== "keydown" || !event.ctrlKey || event.altKey || event.metaKey) return true;
    if (event.shiftKey && event.code === "KeyC") {
      event.preventDefault();
      void navigator.clipboard.writeText(this.terminal.getSelection());
      return false;
    }
    // The browser pastes by itself; xterm puts it into brackets for programs that asked for it.
    return !(event.shiftKey && event.code === "KeyV");
  }

  private state(state: "connecting" | "open" | "gone"): void {
    if (this.element.dataset["state"] === "exited") return;
    this.element.dataset["state"] = state;
    if (state === "open") this.notice.hidden = true;
    else if (state === "gone") this.say("This terminal no longer exists.");
    else if (this.socket) {
      this.notice.hidden = false;
      fill(this.notice, h("span", { class: "spinner" }), "Connecting again. What was printed here is kept.");
    }
  }

  private exited(status: number): void {
    this.element.dataset["state"] = "exited";
    this.say(status === 0 ? "The shell has ended." : `The shell has ended with status ${status}.`);
  }

  private say(text: string): void {
    this.notice.hidden = false;
    fill(this.notice, icon("info", "icon-s"), h("span", {}, text), h("span", { class: "spacer" }),
      h("button", { type: "button", class: "btn btn-s", onclick: () => this.hooks.restart(), "data-test": "terminal-restart" }, "New shell"),
      h("button", { type: "button", class: "btn btn-s btn-quiet", onclick: () => this.hooks.close(), "data-test": "terminal-close" }, "Close"));
  }
}

/** The page's colours, resolved: xterm needs values, not properties. */
function colours(): ITheme {
  const probe = h("span", { hidden: true });
  document.body.append(probe);
  const resolve = (property: string) => {
    probe.style.color = `var(${property})`;
    return getComputedStyle(probe).color;
  };
  const theme: ITheme = { background: resolve("--term-bg"), foreground: resolve("--term-fg"), cursor: resolve("--accent"), cursorAccent: resolve("--term-bg"), selectionBackground: resolve("--editor-selection") };
  for (const name of ANSI) theme[name] = resolve(`--term-${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`);
  probe.remove();
  return theme;
}
