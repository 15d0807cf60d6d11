/** Says that something below a folder may have changed, within milliseconds. */
import { basename, relative, sep } from "node:path";
import { type FSWatcher, watch } from "chokidar";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import { isWatchedName } from "./names.ts";
import { rootIdentity } from "./root-guard.ts";

export interface FolderWatcher {
  /** Why changes may come late: the system's watches are used up, or the like. */
  readonly error: string | undefined;
  close(): Promise<void>;
}

/** Mounting over a folder, or unmounting, makes no event: the root itself is looked at this often. ms. */
const ROOT_INTERVAL_MS = 500;

/** When a folder vanishes while watching it begins, that is never said to be ready. ms. */
const READY_TIMEOUT_MS = 2_000;

/** Calls `onChange` from before it returns until it is closed. The folder need not be there. */
export async function watchFolder(root: string, clock: Clock, onChange: () => void): Promise<FolderWatcher> {
  let error: string | undefined;
  let identity = rootIdentity(root);
  let closed = false;
  let watcher = open();
  let timer = clock.setTimeout(checkRoot, ROOT_INTERVAL_MS);
  await ready(watcher);
  return {
    get error() {
      return error;
    },
    async close() {
      closed = true;
      clock.clearTimeout(timer);
      await watcher.close();
    },
  };

  function open(): FSWatcher {
    error = undefined;
    const opened = watch(root, {
      ignoreInitial: true,
      atomic: false,
      followSymlinks: true,
      ignored: (path) => isIgnored(root, path),
    });
    // A raw event comes for every single change, before what chokidar makes of it; both only say "look again".
    opened.on("raw", (_event, path) => {
      if (path === null || isWatchedName(basename(path))) onChange();
    });
    opened.on("all", onChange);
    opened.on("error", (failure) => {
      error = messageOf(failure);
      onChange();
    });
    return opened;
  }

  async function ready(opened: FSWatcher): Promise<void> {
    let giveUp: TimerHandle;
    await new Promise<void>((resolve) => {
      opened.once("ready", resolve);
      giveUp = clock.setTimeout(resolve, READY_TIMEOUT_MS);
    });
    clock.clearTimeout(giveUp);
  }

  function checkRoot(): void {
    const now = rootIdentity(root);
    if (now !== identity) {
      identity = now;
      void watcher.close();
      watcher = open();
      onChange();
      // What changed before the new watcher was in place made no event.
      void ready(watcher).then(() => {
        if (!closed) onChange();
      });
    }
    timer = clock.setTimeout(checkRoot, ROOT_INTERVAL_MS);
  }
}

function isIgnored(root: string, path: string): boolean {
  const inside = relative(root, path);
  return inside !== "" && inside.split(sep).some((name) => name !== ".." && !isWatchedName(name));
}
