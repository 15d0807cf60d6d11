/**
 * Encrypted manifest files in clear, for whoever reads folders without waiting: what is encrypted is first
 * `pending`; `settle` opens it, and the next look gets it. What is in clear is in memory only, and only until
 * `forget`.
 */
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { decrypt } from "./decrypt.ts";
import type { Encryption } from "./detect.ts";
import { readKeys } from "./keys.ts";
import { reasonOf } from "./manifest.ts";
import type { Undecryptable } from "./problem.ts";

export type Opened =
  | { readonly type: "clear"; readonly bytes: Uint8Array }
  | { readonly type: "pending" }
  | { readonly type: "failed"; readonly problem: Undecryptable };

export interface Opener {
  open(bytes: Uint8Array, encryption: Encryption): Opened;
  /** Something was asked for that `settle` has to open first. */
  readonly pending: boolean;
  settle(): Promise<void>;
  /** Lets go of what is in clear. What could not be opened is remembered until the keys change. */
  forget(): void;
}

/** @param keyFiles of the setting secrets.age.keys; read anew whenever they change */
export function createOpener(keyFiles: readonly string[]): Opener {
  const results = new Map<string, Opened>();
  const waiting = new Map<string, { readonly bytes: Uint8Array; readonly encryption: Encryption }>();
  let seen: string | undefined;
  return {
    open(bytes, encryption) {
      const now = stateOf(keyFiles);
      if (now !== seen) results.clear();
      seen = now;
      const id = createHash("sha256").update(bytes).digest("base64");
      const known = results.get(id);
      if (known !== undefined) return known;
      waiting.set(id, { bytes, encryption });
      return { type: "pending" };
    },
    get pending() {
      return waiting.size > 0;
    },
    async settle() {
      const todo = [...waiting];
      waiting.clear();
      for (const [id, { bytes, encryption }] of todo) results.set(id, await opened(bytes, encryption, keyFiles));
    },
    forget() {
      for (const [id, { type }] of results) if (type === "clear") results.delete(id);
    },
  };
}

async function opened(bytes: Uint8Array, encryption: Encryption, keyFiles: readonly string[]): Promise<Opened> {
  try {
    return { type: "clear", bytes: await decrypt(bytes, encryption, readKeys(keyFiles)) };
  } catch (error) {
    return { type: "failed", problem: reasonOf(error) };
  }
}

/** Changes whenever a key file does. */
function stateOf(files: readonly string[]): string {
  return files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? "-" : `${stat.ino}:${stat.size}:${stat.mtimeMs}:${stat.mode}`;
    })
    .join(" ");
}
