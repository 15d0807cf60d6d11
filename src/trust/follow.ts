/**
 * Follows a policy and its keys from a TUF repository (https://theupdateframework.github.io/specification/): tuf-js
 * checks signatures, versions and expiry; here is what is kept of it, and when it is too old to be trusted.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { syncPath } from "../image/durable.ts";
import { withLock } from "../image/lock.ts";
import type { Clock } from "../system/clock.ts";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";
import type { Paths } from "../system/paths.ts";
import { isCurrent, type LoadedPolicy, loadPolicy, relativeKeys } from "./sources.ts";
import type { FollowedPolicy } from "./trust.ts";

export interface FollowOptions {
  /** The repository: <url>/timestamp.json …, and its targets below <url>/targets. */
  readonly url: string;
  /** Path of the first root.json, which everything else is trusted by. */
  readonly root: string;
  /** Where what was followed is kept. */
  readonly dir: string;
  readonly clock: Clock;
}

/** The policy's name among the targets; keys are named in it by their own names there. */
export const POLICY_TARGET = "policy.json";
const MAX_POLICY_BYTES = 4 * 1024 * 1024;
const MAX_KEY_BYTES = 1024 * 1024;
/** One file from the repository, ms. */
const FETCH_TIMEOUT_MS = 30_000;

const ROLES = ["root", "timestamp", "snapshot", "targets"] as const;
/** In each state: what the last look that went well to its end has found. */
const VERIFIED = "verified.json";
const verifiedSchema = z.object({ validUntil: z.number(), version: z.int() });
const signedSchema = z.looseObject({ signed: z.looseObject({ expires: z.string(), version: z.int() }) });

/** Where what is followed is kept. */
export function followDir({ lib }: Pick<Paths, "lib">): string {
  return join(lib, "trust", "tuf");
}

export interface Followed {
  /** The policy, or one of its keys, is another one than before. */
  readonly changed: boolean;
  /** Version of the repository's list of targets. */
  readonly version: number;
  /** Until when it can be trusted, ms since the epoch. */
  readonly validUntil: number;
}

export class TufFollower {
  readonly #options: FollowOptions;
  #known: { readonly generation: string; readonly policy: LoadedPolicy; readonly validUntil: number } | undefined;
  #lastError: string | undefined;

  constructor(options: FollowOptions) {
    this.#options = options;
  }

  /** What was followed last, without asking the repository. Never throws: what can't be used is stale. */
  async current(): Promise<FollowedPolicy> {
    const { url, clock } = this.#options;
    try {
      const known = await this.#load();
      if (known === undefined) {
        const why = this.#lastError === undefined ? "" : `: ${this.#lastError}`;
        return { policy: undefined, stale: `the policy of ${url} has not been fetched yet${why}` };
      }
      if (clock.now() < known.validUntil) return { policy: known.policy, stale: undefined };
      const expired = new Date(known.validUntil).toISOString();
      const why = this.#lastError === undefined ? "" : ` (${this.#lastError})`;
      return {
        policy: known.policy,
        stale: `the policy of ${url} expired at ${expired} and no newer one is there${why}`,
      };
    } catch (error) {
      return { policy: undefined, stale: `what was followed from ${url} can't be read: ${messageOf(error)}` };
    }
  }

  /** When what is known stops being trusted, ms since the epoch; undefined when nothing is known. */
  async validUntil(): Promise<number | undefined> {
    return (await this.#load())?.validUntil;
  }

  /**
   * Asks the repository for what is new. What was known stays in force when that fails.
   * @throws GantryError invalid-config (the first root), image-untrusted (expired, rolled back, wrongly signed …),
   *   registry-failed (can't be reached), cancelled
   */
  async follow(signal: AbortSignal): Promise<Followed> {
    const { dir } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    try {
      const followed = await withLock(join(dir, "lock"), signal, () => this.#follow(signal));
      this.#lastError = undefined;
      return followed;
    } catch (error) {
      const told = explain(error, this.#options.url, signal);
      if (told.code !== "cancelled") this.#lastError = told.message;
      throw told;
    }
  }

  async #follow(signal: AbortSignal): Promise<Followed> {
    const { dir, url } = this.#options;
    const root = await this.#firstRoot();
    const anchor = createHash("sha256").update(root).digest("hex");
    const before = await currentGeneration(dir);
    // Another first root is another repository to trust: nothing of the old one counts.
    const kept = before !== undefined && (await readText(join(before, "anchor"))) === anchor ? before : undefined;
    const next = join(dir, `generation-${randomBytes(6).toString("hex")}`);
    try {
      await mkdir(join(next, "metadata"), { recursive: true, mode: 0o700 });
      if (kept === undefined) await writeFile(join(next, "metadata", "root.json"), root);
      else await cp(join(kept, "metadata"), join(next, "metadata"), { recursive: true });
      await writeFile(join(next, "anchor"), anchor);
      const files = await this.#refresh(next, url, signal).catch(async (error: unknown) => {
        // What was learned before it failed (a newer root, a newer timestamp) must not be forgotten.
        if (kept !== undefined) {
          await rm(join(next, "targets"), { recursive: true, force: true });
          for (const name of ["targets", VERIFIED]) await cp(join(kept, name), join(next, name), { recursive: true });
          await switchTo(dir, next);
        }
        throw error;
      });
      const verified = await readVerified(join(next, "metadata"));
      await writeFile(join(next, VERIFIED), JSON.stringify(verified));
      const same = kept !== undefined && (await sameFiles(join(kept, "targets"), join(next, "targets"), files));
      await switchTo(dir, next);
      return { changed: !same, ...verified };
    } finally {
      await sweep(dir);
    }
  }

  async #firstRoot(): Promise<string> {
    const { root } = this.#options;
    const text = await readFile(root, "utf8").catch((cause: unknown) => {
      throw new GantryError("invalid-config", `trust.tuf: the first root ${root} cannot be read: ${messageOf(cause)}`, {
        cause,
        hint: "Get root.json from the repository's owner by a way that you trust, and name its path in trust.tuf.root.",
      });
    });
    if (z.looseObject({ signed: z.looseObject({ _type: z.literal("root") }) }).safeParse(tryJson(text)).success)
      return text;
    throw new GantryError("invalid-config", `trust.tuf: ${root} is no root.json of TUF`, {
      hint: "Get root.json from the repository's owner by a way that you trust.",
    });
  }

  /** @returns the targets that the policy consists of, checked and below <generation>/targets */
  async #refresh(generation: string, url: string, signal: AbortSignal): Promise<string[]> {
    // Loaded only where a repository is followed.
    const { Updater, BaseFetcher } = await import("tuf-js");
    class Fetcher extends BaseFetcher {
      override async fetch(from: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
        return await fetchFile(from, signal);
      }
    }
    const targets = join(generation, "targets");
    await mkdir(targets, { mode: 0o700 });
    const updater = new Updater({
      metadataDir: join(generation, "metadata"),
      metadataBaseUrl: url,
      targetDir: targets,
      targetBaseUrl: `${url.replace(/\/+$/, "")}/targets`,
      fetcher: new Fetcher(),
    });
    await updater.refresh();
    const get = async (name: string, maxBytes: number): Promise<string> => {
      const info = await updater.getTargetInfo(name);
      if (info === undefined) throw new Refused(`it has no target ${name}`);
      if (info.length > maxBytes) throw new Refused(`its target ${name} is larger than ${maxBytes} bytes`);
      const file = join(targets, name);
      await mkdir(dirname(file), { recursive: true, mode: 0o700 });
      await updater.downloadTarget(info, file);
      return file;
    };
    const file = await get(POLICY_TARGET, MAX_POLICY_BYTES);
    const keys = relativeKeys(await readFile(file, "utf8"), targets, `${url}: ${POLICY_TARGET}`);
    for (const key of keys) await get(key, MAX_KEY_BYTES);
    const loaded = await loadPolicy(file, targets);
    if (loaded === undefined) throw new Refused(`its ${POLICY_TARGET} vanished`);
    return [POLICY_TARGET, ...keys];
  }

  async #load() {
    const { dir, root } = this.#options;
    const generation = await currentGeneration(dir);
    if (generation === undefined) return undefined;
    const known = this.#known;
    if (known?.generation === generation && (await isCurrent(known.policy.stamps))) return known;
    // Of another first root than the one that is configured now: as if nothing was known.
    const anchor = createHash("sha256")
      .update(await readFile(root, "utf8").catch(() => ""))
      .digest("hex");
    if ((await readText(join(generation, "anchor"))) !== anchor) return undefined;
    const targets = join(generation, "targets");
    const policy = await loadPolicy(join(targets, POLICY_TARGET), targets);
    if (policy === undefined) return undefined;
    const { validUntil } = verifiedSchema.parse(tryJson((await readText(join(generation, VERIFIED))) ?? ""));
    this.#known = { generation, policy: { ...policy, file: `${this.#options.url}` }, validUntil };
    return this.#known;
  }
}

/** The repository is at fault, in words of ours. */
class Refused extends Error {}

async function fetchFile(url: string, signal: AbortSignal): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(FETCH_TIMEOUT_MS)]) });
  // tuf-js knows a missing next root, which is how it finds the newest, by the status of its own error.
  if (response.ok && response.body !== null) return response.body;
  await response.body?.cancel();
  const { DownloadHTTPError } = await tufErrors();
  throw new DownloadHTTPError(`${url} answers ${response.status}`, response.status);
}

const errorsSchema = z.object({
  DownloadHTTPError: z.custom<new (message: string, status: number) => Error>((value) => typeof value === "function"),
});

/** The class is not among what tuf-js exports; it is looked up where it lives. */
async function tufErrors(): Promise<z.infer<typeof errorsSchema>> {
  const { createRequire } = await import("node:module");
  const require = createRequire(import.meta.url);
  return errorsSchema.parse(require(join(dirname(require.resolve("tuf-js")), "error.js")));
}

function explain(error: unknown, url: string, signal: AbortSignal): GantryError {
  if (error instanceof GantryError) return error;
  if (signal.aborted)
    return new GantryError("cancelled", "following the policy was called off", { kind: "system", cause: error });
  const said = messageOf(error).replace(/^(Unable to load \w+( metadata)? error )?(\w*Error: )?/, "");
  const unreachable = error instanceof TypeError || /answers \d|fetch failed|timeout|aborted/i.test(messageOf(error));
  if (unreachable) {
    const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : "";
    return new GantryError("registry-failed", `the TUF repository ${url} can't be read: ${said}${cause}`, {
      kind: "system",
      cause: error,
      hint: "Check the address in trust.tuf, and the network. What is known stays in force until it expires.",
    });
  }
  return new GantryError("image-untrusted", `the TUF repository ${url} can't be trusted now: ${said}`, {
    kind: "system",
    cause: error,
    hint: "Tell its owner. What is known stays in force until it expires.",
  });
}

/** Only a look that went well to its end counts: metadata that is newer must not lend its date to an older policy. */
async function readVerified(dir: string): Promise<z.infer<typeof verifiedSchema>> {
  const signed = await Promise.all(
    ROLES.map(async (role) => signedSchema.parse(tryJson(await readFile(join(dir, `${role}.json`), "utf8"))).signed),
  );
  const validUntil = Math.min(...signed.map(({ expires }) => Date.parse(expires)));
  return { validUntil, version: signed.at(-1)?.version ?? 0 };
}

/** A directory of its own for each state: what is in force changes by the switch of one link. */
async function currentGeneration(dir: string): Promise<string | undefined> {
  try {
    return await realpath(join(dir, "current"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function switchTo(dir: string, generation: string): Promise<void> {
  for (const file of await readdir(generation, { recursive: true })) {
    const path = join(generation, file);
    if ((await lstat(path)).isFile()) await syncPath(path);
  }
  const link = join(dir, "current.new");
  await rm(link, { force: true });
  await symlink(generation.slice(generation.lastIndexOf("/") + 1), link);
  await rename(link, join(dir, "current"));
  await syncPath(dir);
}

/** Removes every state but the one in force. Under the lock. */
async function sweep(dir: string): Promise<void> {
  const current = await readlink(join(dir, "current")).catch(() => "");
  for (const name of await readdir(dir)) {
    if (name.startsWith("generation-") && name !== current) await rm(join(dir, name), { recursive: true, force: true });
  }
}

async function sameFiles(a: string, b: string, files: readonly string[]): Promise<boolean> {
  for (const file of files) if ((await readText(join(a, file))) !== (await readText(join(b, file)))) return false;
  return true;
}

async function readText(file: string): Promise<string | undefined> {
  return await readFile(file, "latin1").catch(() => undefined);
}

function tryJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
