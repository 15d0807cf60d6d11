import { type FSWatcher, watch } from "node:fs";
import type { Dirs } from "./dirs.ts";

/** Tells when conmon has written the exit code of a container. May miss one: whoever waits looks for himself too. */
export interface ExitWatcher {
  start(): void;
  stop(): void;
  /** @returns a function that ends it */
  subscribe(listener: (containerId: string) => void): () => void;
}

export function createExitWatcher(dirs: Dirs): ExitWatcher {
  const listeners = new Set<(containerId: string) => void>();
  let watcher: FSWatcher | undefined;
  return {
    start() {
      watcher ??= watch(dirs.exits, { persistent: false }, (_event, name) => {
        // conmon writes to a temporary file, "<id>.XXXXXX", and renames it
        if (name === null || name.includes(".")) return;
        for (const listener of listeners) listener(name);
      });
      watcher.on("error", () => {
        watcher?.close();
        watcher = undefined;
      });
    },
    stop() {
      watcher?.close();
      watcher = undefined;
      listeners.clear();
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
