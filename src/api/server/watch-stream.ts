import type { Clock } from "../../system/clock.ts";
import { httpError, statusOfError } from "../status-error.ts";
import type { Ticker } from "./ticker.ts";
import type { Change, WatchCache } from "./watch-cache.ts";

export interface WatchRequest<T> {
  /** What to send first as ADDED; undefined to go on at `position`. */
  readonly initial: readonly T[] | undefined;
  readonly position: number;
  /** The client wants to be told now and then which version it has seen all of: it can go on from there. */
  readonly bookmarks: Bookmarks | undefined;
  /** After so long it ends. ms */
  readonly timeoutMs: number | undefined;
  matches(object: T): boolean;
  /** Names the form that `render` gives; default: the object as it is. Lines of one form are made once. */
  readonly form?: string;
  render?(object: T): unknown;
}

export interface Bookmarks {
  readonly ticker: Ticker;
  /** Tell that everything in `initial` has come (sendInitialEvents). */
  readonly endOfInitial: boolean;
  line(version: number, endOfInitial: boolean): Buffer;
}

/** Node's timers can't wait longer than this. ms */
const MAX_TIMER_MS = 2 ** 31 - 1;
const NEWLINE = "\n";

export function watchLine(type: string, object: unknown): Buffer {
  return Buffer.from(JSON.stringify({ type, object }) + NEWLINE);
}

/** Objects never change, so the line that a new watch gets for one is made once, however many begin. */
const added = new WeakMap<object, Buffer>();

function addedLine(object: unknown): Buffer {
  if (typeof object !== "object" || object === null) return watchLine("ADDED", object);
  let line = added.get(object);
  if (line === undefined) {
    line = watchLine("ADDED", object);
    added.set(object, line);
  }
  return line;
}

/**
 * The lines of one watch, made as the client takes them. Ends on abort; a client that has fallen behind what the cache
 * keeps gets a last ERROR event with status 410, as in Kubernetes.
 * @param fellBehind called as soon as this watch can't go on, though the client may be taking nothing
 */
export async function* watchStream<T>(
  cache: WatchCache<T>,
  request: WatchRequest<T>,
  clock: Clock,
  signal: AbortSignal,
  fellBehind: () => void,
): AsyncGenerator<Buffer, void, undefined> {
  const { bookmarks, timeoutMs } = request;
  let position = request.position;
  let wake: (() => void) | undefined;
  let bookmarkDue = false;
  let timedOut = false;
  const unsubscribe = cache.subscribe(() => {
    if (position < cache.start) fellBehind();
    wake?.();
  });
  const endTicks = bookmarks?.ticker.subscribe(() => {
    bookmarkDue = true;
    wake?.();
  });
  const atEnd = (): void => {
    timedOut = true;
    wake?.();
  };
  const timer = timeoutMs === undefined ? undefined : clock.setTimeout(atEnd, Math.min(timeoutMs, MAX_TIMER_MS));
  const onAbort = (): void => wake?.();
  signal.addEventListener("abort", onAbort);
  try {
    for (const object of request.initial ?? []) {
      if (signal.aborted) return;
      if (request.matches(object))
        yield request.render === undefined ? addedLine(object) : watchLine("ADDED", request.render(object));
    }
    if (bookmarks?.endOfInitial) yield bookmarks.line(cache.version, true);
    while (!signal.aborted) {
      if (position < cache.start) {
        yield watchLine("ERROR", statusOfError(expired("the watch was too slow and has missed changes")));
        return;
      }
      const change = cache.at(position);
      if (change !== undefined) {
        position += 1;
        const line = lineOf(change, request);
        if (line !== undefined) yield line;
      } else if (bookmarkDue || timedOut) {
        bookmarkDue = false;
        if (bookmarks !== undefined) yield bookmarks.line(cache.version, false);
        if (timedOut) return;
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
  } finally {
    clock.clearTimeout(timer);
    unsubscribe();
    endTicks?.();
    signal.removeEventListener("abort", onAbort);
  }
}

export function expired(why: string): ReturnType<typeof httpError> {
  return httpError("Expired", why, "List again, and watch from the list's resourceVersion.");
}

/** To a watch with a selector, an object that begins to match is ADDED, and one that ceases to is DELETED. */
function lineOf<T>(change: Change<T>, { matches, form, render }: WatchRequest<T>): Buffer | undefined {
  const before = change.previous !== undefined && matches(change.previous);
  const after = change.type !== "DELETED" && matches(change.object);
  let type: Change<T>["type"];
  if (after) type = before ? "MODIFIED" : "ADDED";
  else if (before || (change.type === "DELETED" && matches(change.object))) type = "DELETED";
  else return undefined;
  const name = `${type} ${form ?? "object"}`;
  let line = change.lines.get(name);
  if (line === undefined) {
    line = watchLine(type, render?.(change.object) ?? change.object);
    change.lines.set(name, line);
  }
  return line;
}
