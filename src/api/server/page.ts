/** Lists in pieces: `limit` and `continue`. Pure. */
import { z } from "zod";
import { GantryError } from "../../system/errors.ts";
import type { Query } from "./query.ts";
import { expired } from "./watch-stream.ts";

interface Named {
  readonly metadata: { readonly name: string; readonly namespace?: string | undefined };
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
}

const token = z.object({ v: z.string(), after: z.string() });

/**
 * The piece that the query asks for, by namespace and name. What comes, goes or changes between two pieces is seen as
 * it is when its piece is asked for.
 * @param version where the collection stands @param isKept whether one can still watch from a version
 * @throws usage (no limit, no token), Expired
 */
export function pageOf<T extends Named>(
  items: readonly T[],
  query: Query,
  version: string,
  isKept: (version: string) => boolean,
): Page<T> {
  const limit = query.integer("limit");
  const given = query.text("continue");
  const sorted =
    limit === undefined && given === undefined ? items : [...items].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  const start = given === undefined ? undefined : parseToken(given);
  // The pieces together are the list of the first one's version, to be watched from there.
  if (start !== undefined && !isKept(start.v))
    throw expired("the continue token is too old: too much has changed since the first piece of the list");
  const rest = start === undefined ? sorted : sorted.filter((item) => keyOf(item) > start.after);
  const resourceVersion = start?.v ?? version;
  if (limit === undefined || limit === 0 || rest.length <= limit) return { items: rest, metadata: { resourceVersion } };
  const page = rest.slice(0, limit);
  const last = page.at(-1);
  const text = JSON.stringify({ v: resourceVersion, after: last === undefined ? "" : keyOf(last) });
  const metadata = {
    ...{ resourceVersion, continue: Buffer.from(text).toString("base64url") },
    remainingItemCount: rest.length - page.length,
  };
  return { items: page, metadata };
}

/** A character that no name has stands between the two. */
function keyOf({ metadata }: Named): string {
  return `${metadata.namespace ?? ""}\0${metadata.name}`;
}

function parseToken(text: string): z.output<typeof token> {
  try {
    const parsed = token.safeParse(JSON.parse(Buffer.from(text, "base64url").toString("utf8")));
    if (parsed.success) return parsed.data;
  } catch {
    // Said below.
  }
  throw new GantryError("usage", `continue: '${text.slice(0, 100)}' is no token of this server`, {
    hint: "Take it from metadata.continue of the piece before, or list from the beginning.",
  });
}
