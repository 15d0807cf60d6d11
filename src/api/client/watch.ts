import { GantryError, isGantryError } from "../../system/errors.ts";
import { errorOfStatus } from "../status-error.ts";
import type { WatchEvent } from "../wire.ts";
import type { Endpoint } from "./endpoint.ts";
import { openRequest, parseObject } from "./request.ts";
import { unreachable } from "./unreachable.ts";

/** Reads a watch: one JSON object per line. See ApiClient.watchPods for how it ends. */
export async function* watchLines<T>(
  endpoint: Endpoint,
  path: string,
  signal?: AbortSignal,
): AsyncGenerator<WatchEvent<T>, void, undefined> {
  try {
    const answer = await openRequest(endpoint, { method: "GET", path, signal });
    answer.setEncoding("utf8");
    const pieces: string[] = [];
    for await (const chunk of answer as AsyncIterable<string>) {
      const lines = chunk.split("\n");
      const last = lines.pop() ?? "";
      for (const line of lines) {
        const whole = pieces.join("") + line;
        pieces.length = 0;
        const event = parseEvent<T>(whole);
        if (event !== undefined) yield event;
      }
      if (last !== "") pieces.push(last);
    }
    // A watch ends with a whole line; what is left is for parseEvent to complain about.
    if (pieces.length > 0) parseEvent<T>(pieces.join(""));
  } catch (error) {
    if (signal?.aborted || isGantryError(error, "cancelled")) return;
    throw error instanceof GantryError ? error : unreachable(endpoint, error);
  }
}

/** Undefined for what carries no change (blank lines, bookmarks). @throws the error that an ERROR event carries */
function parseEvent<T>(line: string): WatchEvent<T> | undefined {
  if (line.trim() === "") return undefined;
  const event = parseObject<WatchEvent<T> | { readonly type: "BOOKMARK" | "ERROR"; readonly object: unknown }>(line);
  switch (event.type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
      return event;
    case "BOOKMARK":
      return undefined;
    case "ERROR":
      throw errorOfStatus(JSON.stringify(event.object), 0);
    default:
      throw new GantryError("internal", `the daemon sent an unknown watch event: ${line.slice(0, 200)}`);
  }
}
