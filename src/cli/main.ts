#!/usr/bin/env node
/** The `gantry` command. Imports nothing but Node itself until the version is known to be good. */
import module from "node:module";
import { homedir } from "node:os";
import { join } from "node:path";

const NEEDED_MAJOR = 24;

const major = Number(process.versions.node.split(".")[0]);
if (major < NEEDED_MAJOR) {
  process.stderr.write(
    `error: Gantry needs Node.js ${NEEDED_MAJOR} or newer, and this is ${process.version} (${process.execPath})\n` +
      `hint: Install Node.js ${NEEDED_MAJOR}; in a checkout, 'npm run -s gantry -- ARGS' brings its own.\n`,
  );
  process.exitCode = 1;
} else {
  // In the user's own cache, not in the shared /tmp: what lies there is run, and Gantry runs as root.
  if (process.env["NODE_COMPILE_CACHE"] === undefined && process.env["NODE_DISABLE_COMPILE_CACHE"] === undefined) {
    module.enableCompileCache(join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "gantry", "node"));
  }
  const { main } = await import("./program.ts");
  await main(process.argv.slice(2));
}
