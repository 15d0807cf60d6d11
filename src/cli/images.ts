import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import type { ApiClient } from "../api/client.ts";
import type { Credential, Image, VerifyResult } from "../image/contract.ts";
import type { PullStep } from "../image/pull/steps.ts";
import { volumeImagesOf } from "../pod/labels.ts";
import type { ObservedContainer, ObservedSandbox } from "../sandbox/driver.ts";
import { errnoOf, GantryError, isGantryError, messageOf } from "../system/errors.ts";
import type { Context } from "./context.ts";
import { observeHost } from "./observe.ts";

/** The images of this host, through the daemon where one runs, else by opening its store. */
export interface Images {
  list(): Promise<readonly Image[]>;
  /** @param source a file, a directory, or "-" for stdin */
  import(source: string, name: string, signal: AbortSignal): Promise<Image>;
  /** Every image of an archive, by its own names. */
  importAll(source: string, signal: AbortSignal): Promise<readonly Image[]>;
  pull(name: string, credentials: readonly Credential[], signal: AbortSignal): AsyncIterable<PullStep>;
  verify(names: readonly string[], repair: boolean, signal: AbortSignal): AsyncIterable<VerifyResult>;
  /** An OCI archive. */
  export(names: readonly string[], signal: AbortSignal): Promise<Readable>;
  remove(nameOrDigest: string): Promise<void>;
}

export async function openImages(context: Context): Promise<Images> {
  const client = await context.client();
  try {
    await client.daemonInfo();
    return throughDaemon(client);
  } catch (error) {
    if (!isGantryError(error, "daemon-unreachable") || !isAbsentDaemon(error)) throw error;
    return withoutDaemon(context);
  }
}

/** No daemon listens; one that may not be talked to, or breaks off, is another matter. */
export function isAbsentDaemon({ cause, details }: GantryError): boolean {
  // This host can't stand in for another one.
  if (details["server"] !== undefined) return false;
  const errno = errnoOf(cause);
  return errno === "ENOENT" || errno === "ECONNREFUSED" || errno === "ENOTDIR";
}

function throughDaemon(client: ApiClient): Images {
  return {
    list: () => client.listImages(),
    async import(source, name, signal) {
      const { stream, finished } = await open(source);
      const options = { signal, ...(source !== "-" && { source }) };
      const [image] = await Promise.all([client.importImage(stream, name, options), finished]);
      return image;
    },
    async importAll(source, signal) {
      const { stream, finished } = await open(source);
      const options = { signal, ...(source !== "-" && { source }) };
      const [images] = await Promise.all([client.importImages(stream, options), finished]);
      return images;
    },
    pull: (name, credentials, signal) => client.pullImage(name, credentials, signal),
    verify: (names, repair, signal) => client.verifyImages(names, repair, signal),
    export: (names, signal) => client.exportImages(names, signal),
    remove: (nameOrDigest) => client.removeImage(nameOrDigest),
  };
}

async function withoutDaemon({ paths }: Context): Promise<Images> {
  const { createImageStore, normalizeName } = await import("../image/index.ts");
  const { silentLogger } = await import("../system/log.ts");
  const { systemClock } = await import("../system/clock.ts");
  const { pullSteps } = await import("../image/pull/steps.ts");
  const { openTrust } = await import("./trust.ts");
  const { trust } = await openTrust({ paths });
  const store = createImageStore({ paths, log: silentLogger(), clock: systemClock, trust });
  return {
    list: () => store.list(),
    async import(source, name, signal) {
      if (source !== "-") await check(source);
      return store.import(source === "-" ? process.stdin : source, name, signal);
    },
    async importAll(source, signal) {
      if (source !== "-") await check(source);
      return store.importAll(source === "-" ? process.stdin : source, signal);
    },
    pull: (name, credentials, signal) => pullSteps(store, name, credentials, signal),
    verify: (names, repair, signal) => store.verify(names, repair, signal),
    export: async (names, signal) => Readable.from(store.export(names, signal), { objectMode: false }),
    async remove(nameOrDigest) {
      // Pods outlive the daemon, so what they use is asked of the host.
      const { sandboxes } = await observeHost(paths);
      await store.remove(nameOrDigest, (digest, name) =>
        usersOf(
          sandboxes,
          digest,
          ({ imageDigest, imageName }) =>
            imageDigest === digest && (name === undefined || normalizeName(imageName) === name),
        ),
      );
    },
  };
}

function usersOf(
  sandboxes: readonly ObservedSandbox[],
  digest: string,
  isUser: (container: ObservedContainer) => boolean,
): string[] {
  // By which name a volume has its image, only the daemon knows: it counts as a user of each.
  return sandboxes
    .filter(({ containers, labels }) => containers.some(isUser) || volumeImagesOf(labels).includes(digest))
    .map(({ pod }) => `${pod.namespace}/${pod.name}`);
}

interface Opened {
  readonly stream: Readable;
  /** Rejects when what was read turned out to be incomplete. */
  readonly finished: Promise<void>;
}

/** The bytes to send. A directory is sent as a tar of its content, which means the same. */
async function open(source: string): Promise<Opened> {
  if (source === "-") return { stream: process.stdin, finished: Promise.resolve() };
  const found = await check(source);
  if (!found.isDirectory()) return { stream: createReadStream(source), finished: Promise.resolve() };
  const tar = spawn("tar", ["-C", source, "--numeric-owner", "--xattrs", "--sparse", "-c", "."], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  tar.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString("utf8").slice(0, 4096 - said.length);
  });
  const finished = once(tar, "close").then(([code]) => {
    if (code !== 0)
      throw new GantryError("command-failed", `cannot read ${source}: ${said.trim() || `tar failed (${code})`}`);
  });
  // Reported through `finished` when the import succeeds nevertheless; never as an unhandled rejection.
  finished.catch(() => {});
  return { stream: tar.stdout, finished };
}

async function check(source: string) {
  const hint = "Give a file, a directory, or - for stdin.";
  const found = await stat(source).catch((cause: unknown) => {
    throw new GantryError("not-found", `cannot read ${source}: ${messageOf(cause)}`, { hint, cause });
  });
  // A pipe is fine: that is what <(…) of a shell is. A device might never end.
  if (found.isFile() || found.isDirectory() || found.isFIFO()) return found;
  throw new GantryError("image-invalid", `${source} is a device or a socket`, { hint });
}
