import { link, mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../system/errors.ts";
import { hexOf } from "../disk.ts";
import { sha256Of } from "../hash.ts";
import type { Descriptor } from "../oci.ts";

/** What an interrupted pull had fetched is kept this long, ms: whoever asks again goes on from there. */
const KEEP_MS = 24 * 3_600_000;
/** Marks the temporary directory of a pull, for the start after a crash. */
export const PULL_MARK = "pull";

/**
 * Blobs (whole ones, as skopeo moves them in only then) that pulls had fetched before they failed or were killed.
 * They belong to no image yet; their content is checked when they are used.
 */
export class Downloads {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Takes the blobs of a pull that did not get to its end. Never throws: then they are fetched again. */
  async salvage(temp: string, now: number): Promise<void> {
    const from = join(temp, "oci", "blobs", "sha256");
    try {
      await mkdir(this.#dir, { recursive: true, mode: 0o700 });
      for (const name of await readdir(from)) {
        // Others are links to what the store has.
        if (!/^[0-9a-f]{64}$/.test(name) || (await stat(join(from, name))).nlink > 1) continue;
        await rename(join(from, name), join(this.#dir, name));
        await utimes(join(this.#dir, name), now / 1000, now / 1000);
      }
    } catch {
      // not made yet, or no room for it
    }
  }

  /** Puts blobs of `layers` that are here into `target`, after reading them: a crash may have damaged them. */
  async use(layers: readonly Descriptor[], target: string, signal: AbortSignal): Promise<void> {
    for (const { digest, size } of layers) {
      const file = join(this.#dir, hexOf(digest));
      const stats = await stat(file).catch(() => undefined);
      if (stats === undefined) continue;
      if (stats.size === size && (await sha256Of(file, signal)) === digest)
        await linkIfAbsent(file, join(target, hexOf(digest)));
      else await rm(file, { force: true });
    }
  }

  /** They are in the store now. */
  async drop(digests: readonly string[]): Promise<void> {
    for (const digest of digests) await rm(join(this.#dir, hexOf(digest)), { force: true });
  }

  /** Removes those that nobody came back for. @returns how many */
  async expire(now: number): Promise<number> {
    let removed = 0;
    for (const name of await readdir(this.#dir).catch(() => [])) {
      const file = join(this.#dir, name);
      const stats = await stat(file).catch(() => undefined);
      if (stats === undefined || now - stats.mtimeMs < KEEP_MS) continue;
      await rm(file, { force: true });
      removed += 1;
    }
    return removed;
  }
}

/** A second name for `file`, unless `target` is there or `file` is not. */
export async function linkIfAbsent(file: string, target: string): Promise<void> {
  await link(file, target).catch((error: unknown) => {
    if (errnoOf(error) !== "EEXIST" && errnoOf(error) !== "ENOENT") throw error;
  });
}
