/**
 * Is the folder still the one that it was? A folder whose mount is gone looks empty, and would stop every pod.
 */
import { lstatSync, readlinkSync, statSync } from "node:fs";
import { errnoOf, messageOf } from "../system/errors.ts";

export type RootState =
  | { readonly type: "same" }
  /** Not usable now: why. */
  | { readonly type: "held"; readonly reason: string }
  /** Another folder stands at this path now. `deliberate`: because the link that the path is was pointed elsewhere. */
  | { readonly type: "other"; readonly identity: string; readonly deliberate: boolean };

export class RootGuard {
  readonly #path: string;
  #accepted: string | undefined;
  #link: string | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  look(): RootState {
    let identity: string;
    try {
      const stat = statSync(this.#path, { bigint: true });
      if (!stat.isDirectory()) return { type: "held", reason: "is no folder" };
      identity = `${stat.dev}:${stat.ino}`;
    } catch (error) {
      const reason = errnoOf(error) === "ENOENT" ? "is not there" : `can't be looked at: ${messageOf(error)}`;
      return { type: "held", reason };
    }
    if (this.#accepted === undefined) this.accept(identity);
    if (identity === this.#accepted) return { type: "same" };
    const link = linkOf(this.#path);
    return { type: "other", identity, deliberate: link !== undefined && link !== this.#link };
  }

  /** From now on the folder with this identity is the right one. */
  accept(identity: string): void {
    this.#accepted = identity;
    this.#link = linkOf(this.#path);
  }
}

/** What tells, cheaply, whether something else stands at the path than before. */
export function rootIdentity(path: string): string {
  try {
    const stat = statSync(path, { bigint: true });
    return `${stat.dev}:${stat.ino}`;
  } catch (error) {
    return errnoOf(error) ?? "unknown";
  }
}

/** Where the path points, when it is a symbolic link. */
function linkOf(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined;
  } catch {
    return undefined;
  }
}
