import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../system/clock.ts";
import { GantryError } from "../../system/errors.ts";
import type { PullProgress } from "../contract.ts";
import { hexOf } from "../disk.ts";
import { formatBytes } from "../limits.ts";
import type { RemoteImage } from "./remote.ts";

const LOOK_MS = 250;
/** Manifests, configs and what the filesystem rounds up, bytes. */
const SLACK_BYTES = 16 * 1024 * 1024;

export interface WatchOptions {
  readonly layout: string;
  readonly name: string;
  readonly remote: RemoteImage;
  readonly report: (progress: PullProgress) => void;
  /** A pull in which no byte arrives for this long is given up, ms. */
  readonly stallMs: number;
  /** Where the layers may not say how large they are: more than this is too much, bytes. */
  readonly maxBytes: number;
  readonly clock: Clock;
}

/**
 * Runs `work`, a copy into `layout`, and looks at what has arrived meanwhile: skopeo tells of it only on a terminal.
 * Calls the work off when nothing arrives any more, or more than the registry announced (a hostile one could fill the disk).
 * @throws what `work` throws; GantryError timeout, image-invalid
 */
export async function watchCopy(
  work: (signal: AbortSignal) => Promise<void>,
  options: WatchOptions,
  signal: AbortSignal,
): Promise<void> {
  const { layout, name, remote, report, stallMs, clock } = options;
  const sizes = new Map((remote.layers ?? []).map(({ digest, size }) => [hexOf(digest), size]));
  const totalBytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const limit = remote.layers === undefined ? options.maxBytes : totalBytes + SLACK_BYTES;
  const stop = new AbortController();
  let failure: GantryError | undefined;
  const giveUp = (error: GantryError): void => {
    failure ??= error;
    stop.abort();
  };
  let before = -1;
  let changedAt = clock.now();
  const look = async (): Promise<void> => {
    const { bytes, whole } = await measure(layout, sizes);
    if (bytes > limit) return giveUp(tooMuch(name, limit));
    if (bytes !== before) changedAt = clock.now();
    else if (clock.now() - changedAt >= stallMs) return giveUp(stalled(name, stallMs, bytes));
    before = bytes;
    report({
      stage: "copying",
      bytes: Math.min(bytes, totalBytes),
      totalBytes,
      layers: whole,
      totalLayers: sizes.size,
    });
  };
  let ended = false;
  let timer: unknown;
  let looking: Promise<void> = Promise.resolve();
  const tick = (): void => {
    looking = look()
      .catch(() => {})
      .then(() => {
        if (!ended) timer = clock.setTimeout(tick, LOOK_MS);
      });
  };
  tick();
  try {
    await work(AbortSignal.any([signal, stop.signal]));
  } catch (error) {
    throw failure ?? error;
  } finally {
    ended = true;
    clock.clearTimeout(timer);
    await looking;
  }
}

async function measure(layout: string, sizes: ReadonlyMap<string, number>): Promise<{ bytes: number; whole: number }> {
  let bytes = 0;
  let whole = 0;
  for (const name of await readdir(join(layout, "blobs", "sha256")).catch(() => [])) {
    const size = sizes.get(name);
    if (size === undefined) continue;
    bytes += size;
    whole += 1;
  }
  // What is on its way has a name of skopeo's choice.
  for (const entry of await readdir(layout, { withFileTypes: true }).catch(() => [])) {
    if (!entry.isFile() || !entry.name.startsWith("oci-put-blob")) continue;
    bytes += (await stat(join(layout, entry.name)).catch(() => undefined))?.size ?? 0;
  }
  return { bytes, whole };
}

function tooMuch(name: string, limit: number): GantryError {
  return new GantryError(
    "image-invalid",
    `the registry sends more for ${name} than it announced (${formatBytes(limit)})`,
    {
      kind: "system",
      hint: "The registry, or something between it and this host, is broken or hostile; nothing was kept.",
    },
  );
}

function stalled(name: string, ms: number, bytes: number): GantryError {
  const seconds = Math.round(ms / 1000);
  return new GantryError("timeout", `pulling ${name} got nowhere for ${seconds} s, after ${formatBytes(bytes)}`, {
    kind: "system",
    hint: "Check the network and the registry; what is here is kept, and the next try goes on from there.",
  });
}
