import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";

/** Watches may be missed (another file system, too many watches): look again by oneself after this. ms */
const POLL_MS = 500;

/** Waits for something to happen to a log. */
export class Changes {
  readonly #path: string;
  readonly #signal: AbortSignal | undefined;
  #watcher: FSWatcher | undefined;
  #changed = false;
  #wake: (() => void) | undefined;

  constructor(path: string, signal: AbortSignal | undefined) {
    this.#path = path;
    this.#signal = signal;
    signal?.addEventListener("abort", this.#notice);
  }

  /** Resolves when the log's directory has changed since the last call, after half a second, or on abort. */
  async wait(): Promise<void> {
    this.#start();
    if (!this.#changed && !this.#signal?.aborted) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, POLL_MS);
      });
      clearTimeout(timer);
      this.#wake = undefined;
    }
    this.#changed = false;
  }

  close(): void {
    this.#signal?.removeEventListener("abort", this.#notice);
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  readonly #notice = (): void => {
    this.#changed = true;
    this.#wake?.();
  };

  /** The directory may come later than the reader: tried again with each wait. */
  #start(): void {
    if (this.#watcher !== undefined) return;
    try {
      const watcher = watch(dirname(this.#path), { persistent: false }, this.#notice);
      // Whatever happened before the watch began is seen by looking once more.
      this.#changed = true;
      watcher.on("error", () => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch {
      // Polling does it too.
    }
  }
}
