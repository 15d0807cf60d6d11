import { runTool } from "./tools.ts";

/**
 * Reads [path, bytes or -1] pairs from its arguments and prints a digest for each. Node.js itself, because it uses the
 * processor's own instructions for it: sha256sum takes four times as long.
 */
const SCRIPT = `
const { createHash } = require("node:crypto");
const { openSync, readSync, closeSync } = require("node:fs");
const buffer = Buffer.allocUnsafe(1 << 20);
for (let at = 1; at < process.argv.length; at += 2) {
  const hash = createHash("sha256");
  const file = openSync(process.argv[at]);
  let left = Number(process.argv[at + 1]);
  if (left < 0) left = Infinity;
  for (;;) {
    const read = readSync(file, buffer, 0, Math.min(left, buffer.length), null);
    if (read === 0) break;
    hash.update(buffer.subarray(0, read));
    left -= read;
  }
  closeSync(file);
  console.log(hash.digest("hex"));
}`;

export interface Hashed {
  readonly path: string;
  /** Only so many from the beginning. */
  readonly bytes?: number;
}

/**
 * "sha256:…" of each file, by a process of its own: large files would keep ours from everything else.
 * @throws GantryError command-failed (one can't be read), cancelled
 */
export async function sha256OfAll(files: readonly Hashed[], signal: AbortSignal): Promise<string[]> {
  if (files.length === 0) return [];
  const args = files.flatMap(({ path, bytes }) => [path, String(bytes ?? -1)]);
  const { stdout } = await runTool(process.execPath, ["-e", SCRIPT, "--", ...args], { signal });
  return stdout
    .trim()
    .split("\n")
    .map((hex) => `sha256:${hex}`);
}

/** `sha256OfAll` for one file. */
export async function sha256Of(path: string, signal: AbortSignal, bytes?: number): Promise<string> {
  const [digest = ""] = await sha256OfAll([bytes === undefined ? { path } : { path, bytes }], signal);
  return digest;
}
