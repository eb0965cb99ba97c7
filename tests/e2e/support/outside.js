// Asks the test that runs this driver for what a browser cannot do: a line out, a line back.
import process from "node:process";
import { createInterface } from "node:readline";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(what) {
  process.stdout.write(`@@ ${what}\n`);
  const { done } = await answers.next();
  if (done) throw new Error(`nobody answered "${what}"`);
}

/** Puts the upstream key where the server's setting says that it is. */
export const giveKey = () => ask("key");

/** Makes the container know npm's registry as this machine does. */
export const readyForNpm = () => ask("npm");

/** Ends the server in good order and starts it again on the same data. */
export const restartServer = () => ask("restart");

/** Lets the process end. */
export const hangUp = () => process.stdin.destroy();
