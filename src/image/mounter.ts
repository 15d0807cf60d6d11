import { chmod, mkdir, readdir, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf, messageOf } from "../system/errors.ts";
import { KeyedMutex } from "../system/keyed-mutex.ts";
import type { Logger } from "../system/log.ts";
import { mountPath, readMounts, unmount } from "../system/mounts.ts";
import { withLock } from "./lock.ts";
import { runTool } from "./tools.ts";

/** What is to be mounted: an EROFS file, or an unpacked tree. */
export interface RootSource {
  readonly type: "erofs" | "tree";
  readonly path: string;
}

/**
 * Mounts images' roots at <dir>/<hex>, each once, whoever asks. What is mounted is remembered together with the
 * identity of the mounted root directory, so that asking again costs one stat, and notices when somebody took the
 * mount away.
 */
export class RootMounter {
  readonly #dir: string;
  readonly #lockFile: string;
  readonly #log: Logger;
  readonly #known = new Map<string, string>();
  /** One operation per image at a time. */
  readonly #busy = new KeyedMutex();

  constructor(dir: string, lockFile: string, log: Logger) {
    this.#dir = dir;
    this.#lockFile = lockFile;
    this.#log = log;
  }

  /** The root's directory when it is mounted, and known to be. */
  async mounted(hex: string): Promise<string | undefined> {
    const known = this.#known.get(hex);
    if (known === undefined) return undefined;
    const target = join(this.#dir, hex);
    if ((await identity(target)) === known) return target;
    this.#known.delete(hex);
    return undefined;
  }

  /** @returns the root's directory. @throws GantryError command-failed when the kernel refuses the mount */
  async mount(hex: string, source: RootSource, signal: AbortSignal): Promise<string> {
    return await this.#busy.run(hex, async () => {
      const target = join(this.#dir, hex);
      if ((await this.mounted(hex)) !== undefined) return target;
      await withLock(this.#lockFile, signal, async () => {
        await this.#prepareDir();
        await mkdir(target, { recursive: true, mode: 0o755 });
        const real = await mountPath(target);
        // Left from an earlier daemon: the same image, because its digest is in the path.
        if ((await readMounts()).some((mount) => mount.path === real)) return;
        const options = source.type === "erofs" ? ["-t", "erofs", "-o", "ro,nodev"] : ["-o", "bind,ro,nodev"];
        await runTool("mount", [...options, "--", source.path, target], { signal });
      });
      this.#known.set(hex, await identity(target));
      return target;
    });
  }

  /** Never fails because something is busy: then the mount is detached. */
  async unmount(hex: string): Promise<void> {
    await this.#busy.run(hex, async () => {
      this.#known.delete(hex);
      const target = join(this.#dir, hex);
      await withLock(this.#lockFile, undefined, async () => {
        const real = await mountPath(target).catch(() => undefined);
        const mounts = (await readMounts()).filter((mount) => mount.path === real);
        for (const _ of mounts) await unmount(target);
      });
      await rmdir(target).catch((error: unknown) => {
        if (errnoOf(error) !== "ENOENT")
          this.#log.warn({ target, error: messageOf(error) }, "cannot remove the mount point of an image");
      });
    });
  }

  /** Hex digests of all images that have a mount point, mounted or stale. */
  async list(): Promise<string[]> {
    try {
      return (await readdir(this.#dir)).filter((name) => /^[0-9a-f]{64}$/.test(name));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  /** Takes the directory's own mount away once nothing is mounted below. */
  async close(): Promise<void> {
    if ((await this.list()).length > 0) return;
    const real = await mountPath(this.#dir).catch(() => undefined);
    if (real !== undefined && (await readMounts()).some((mount) => mount.path === real)) await unmount(this.#dir);
  }

  /**
   * Where the surrounding mount is shared (as systemd makes all of them), our mounts would show up in every other
   * mount namespace and keep the images busy there. A private bind mount of the directory over itself prevents that.
   */
  async #prepareDir(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o711 });
    await chmod(this.#dir, 0o711);
    const real = await mountPath(this.#dir);
    const mounts = await readMounts();
    if (mounts.some((mount) => mount.path === real)) return;
    let above = real;
    let around = mounts.findLast((mount) => mount.path === above);
    while (around === undefined && above !== "/") {
      above = dirname(above);
      const path = above;
      around = mounts.findLast((mount) => mount.path === path);
    }
    if (around?.shared !== true) return;
    await runTool("mount", ["--bind", "--make-private", "--", this.#dir, this.#dir]);
  }
}

async function identity(dir: string): Promise<string> {
  try {
    const { dev, ino } = await stat(dir, { bigint: true });
    return `${dev} ${ino}`;
  } catch {
    return "";
  }
}
