// Runs src/**/*.test.ts with node's test runner: each file is bundled by esbuild into a temporary
// folder first, so that tests need neither a browser nor another dependency.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const tests = readdirSync(join(root, "src"), { recursive: true })
  .filter((file) => file.endsWith(".test.ts"))
  .map((file) => join(root, "src", file));
const out = mkdtempSync(join(tmpdir(), "optidev-assets-"));
try {
  await esbuild.build({
    entryPoints: tests, outdir: out, bundle: true, platform: "node", format: "esm",
    outExtension: { ".js": ".test.mjs" }, logLevel: "warning",
  });
  const files = readdirSync(out, { recursive: true }).filter((f) => f.endsWith(".mjs")).map((f) => join(out, f));
  const run = spawnSync(process.execPath, ["--test", ...files], { stdio: "inherit" });
  process.exitCode = run.status ?? 1;
} finally {
  rmSync(out, { recursive: true });
}
