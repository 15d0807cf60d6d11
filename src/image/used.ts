import { open, stat, utimes } from "node:fs/promises";
import { join } from "node:path";

/** Nobody needs to know it better than to this many ms. */
const PRECISION_MS = 60_000;

/** When each image was last used: the time of a file of its own, so that noting it costs no lock and no index. */
export class UseTimes {
  readonly #dir: string;
  readonly #now: () => number;
  readonly #noted = new Map<string, number>();

  /** @param dir must exist by the first call. @param now ms since the epoch */
  constructor(dir: string, now: () => number) {
    this.#dir = dir;
    this.#now = now;
  }

  /** Never throws: a disk that is full must not keep a pod from starting. */
  async note(hex: string): Promise<void> {
    const now = this.#now();
    if (now - (this.#noted.get(hex) ?? Number.NEGATIVE_INFINITY) < PRECISION_MS) return;
    this.#noted.set(hex, now);
    const file = join(this.#dir, hex);
    try {
      await (await open(file, "a", 0o600)).close();
      await utimes(file, now / 1000, now / 1000);
    } catch {
      this.#noted.delete(hex);
    }
  }

  /** ms since the epoch; undefined when it was never used. */
  async of(hex: string): Promise<number | undefined> {
    try {
      return Math.round((await stat(join(this.#dir, hex))).mtimeMs);
    } catch {
      return undefined;
    }
  }
}
