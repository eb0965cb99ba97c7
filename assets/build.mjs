// Bundles src/ into dist/ with content-hashed names and writes dist/manifest.json (logical name ->
// file name in dist/), which the server reads to answer `chrome.asset("app.css")`.
// Nothing is fetched: every input is in this folder or in node_modules.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const root = dirname(fileURLToPath(import.meta.url));
const dist = join(root, "dist");
const watch = process.argv.includes("--watch");

/** Entry points by logical name; `theme.js` is a classic script, because it must run before the first paint. */
const modules = ["console.ts", "ide.ts"];
const styles = ["app.css", "ide.css"];
const classic = ["theme.ts"];
const statics = ["icons.svg", "favicon.svg"];

const common = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  metafile: true,
  legalComments: "none",
  target: ["chrome123", "firefox121", "safari17.5"],
  outdir: dist,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  logLevel: "warning",
};

function bundles() {
  const inSrc = (name) => join("src", name);
  return [
    { ...common, entryPoints: modules.map(inSrc), format: "esm", splitting: true },
    { ...common, entryPoints: styles.map(inSrc) },
    { ...common, entryPoints: classic.map(inSrc), format: "iife" },
  ];
}

/** Logical name -> hashed file, from esbuild's own account of what it wrote. */
function entries(metafile) {
  const found = [];
  for (const [file, output] of Object.entries(metafile.outputs)) {
    if (!output.entryPoint || !/^src\/[^/]+$/.test(output.entryPoint)) continue;
    const logical = basename(output.entryPoint).replace(/\.ts$/, ".js");
    found.push([logical, basename(file)]);
  }
  return found;
}

function copyStatic(name) {
  const bytes = readFileSync(join(root, "src", name));
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 8).toUpperCase();
  const extension = extname(name);
  const hashed = `${basename(name, extension)}-${hash}${extension}`;
  writeFileSync(join(dist, hashed), bytes);
  return [name, hashed];
}

/** The licences of what was really bundled, since minifying drops their notices from the code. */
function licences(metafiles) {
  const packages = new Set();
  for (const input of metafiles.flatMap((m) => Object.keys(m.inputs))) {
    const match = /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
    if (match) packages.add(match[1]);
  }
  return [...packages].sort().map((name) => {
    const folder = join(root, "node_modules", name);
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const text = file ? readFileSync(join(folder, file), "utf8").trim() : "";
    return `${name} ${version} (${license})\n\n${text}\n`;
  }).join(`\n${"-".repeat(72)}\n\n`);
}

async function build() {
  if (existsSync(dist)) rmSync(dist, { recursive: true });
  mkdirSync(dist, { recursive: true });
  const results = await Promise.all(bundles().map((options) => esbuild.build(options)));
  const metafiles = results.map((result) => result.metafile);
  const pairs = [...metafiles.flatMap(entries), ...statics.map(copyStatic)].sort();
  writeFileSync(join(dist, "THIRD-PARTY.txt"), licences(metafiles));
  // Written last: a reader that sees the manifest sees every file that it names.
  writeFileSync(join(dist, "manifest.json"), `${JSON.stringify(Object.fromEntries(pairs), null, 2)}\n`);
  const bytes = metafiles.flatMap((m) => Object.values(m.outputs)).reduce((sum, o) => sum + o.bytes, 0);
  console.log(`assets/dist: ${pairs.length} entry files, ${Math.round(bytes / 1024)} KiB in all`);
}

await build();
if (watch) {
  const { watch: watchFolder } = await import("node:fs");
  let timer;
  watchFolder(join(root, "src"), { recursive: true }, () => {
    clearTimeout(timer);
    timer = setTimeout(() => build().catch((error) => console.error(error.message)), 80);
  });
  console.log("watching assets/src");
}
