import { link, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, isGantryError } from "../system/errors.ts";
import { createLimiter } from "../system/limiter.ts";
import { blobPath, writeBlob, writeIndex } from "./layout.ts";
import { type Limits, tooManyFiles, unpacksToTooMuch } from "./limits.ts";
import { MANIFEST_TYPE, type Manifest } from "./oci.ts";
import { type ReadableLayer, readableLayer } from "./readable-layer.ts";
import { NOTHING_HELD } from "./tar.ts";
import { invalidImage, runTool } from "./tools.ts";

export interface UnpackOptions {
  /** A directory with blobs/sha256/, that holds the image's config and layers. */
  readonly layout: string;
  readonly manifest: Manifest;
  /** Digests of the uncompressed layers, from the image config. */
  readonly diffIds: readonly string[];
  /** A directory for this alone, on the same filesystem as `layout`. */
  readonly temp: string;
  readonly limits: Limits;
  readonly signal: AbortSignal;
}

/**
 * Unpacks an image's layers over each other into `<temp>/rootfs`. umoci does it, confined to the directory whatever
 * the layers' paths and links say. Every layer is decompressed and listed by us as well, by the same digests and up to
 * the limits: side by side with umoci, which is the slower one, and is ended by what we find (a decompression bomb).
 * Device nodes are left out: /dev is the runtime's affair.
 * @returns the root and how many device nodes were left out
 * @throws GantryError image-invalid, disk-full, cancelled
 */
export async function unpackImage(options: UnpackOptions): Promise<{ root: string; devices: number }> {
  const { layout, manifest, diffIds, temp, limits, signal } = options;
  if (manifest.layers.length !== diffIds.length) {
    throw new GantryError(
      "image-invalid",
      `the image has ${manifest.layers.length} layers but its config lists ${diffIds.length}`,
      { hint: "Make the image again." },
    );
  }
  const readable = join(temp, "readable");
  await mkdir(join(readable, "blobs/sha256"), { recursive: true });
  await link(blobPath(layout, manifest.config.digest), blobPath(readable, manifest.config.digest));
  const layers = await eachLayer(diffIds, (diffId, at) => {
    const digest = manifest.layers[at]?.digest ?? diffId;
    return readableLayer({ blob: blobPath(layout, digest), digest, diffId, readable, limits, signal });
  });
  const root = join(temp, "rootfs");
  if (layers.length === 0) {
    await mkdir(root, { mode: 0o755 });
    return { root, devices: 0 };
  }
  const descriptors = layers.map(({ descriptor }) => descriptor);
  const document = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config: manifest.config, layers: descriptors };
  await writeIndex(readable, await writeBlob(readable, JSON.stringify(document), MANIFEST_TYPE));
  const found = new AbortController();
  const [looked, unpacked] = await Promise.allSettled([
    lookThrough(diffIds, layers, limits, signal).catch((error: unknown) => {
      found.abort();
      throw error;
    }),
    runUmoci(temp, AbortSignal.any([signal, found.signal])),
  ]);
  // What is wrong with a layer says more than that it can't be unpacked.
  if (looked.status === "rejected") throw looked.reason;
  if (unpacked.status === "rejected") throw unpacked.reason;
  const devices = looked.value;
  if (devices > 0)
    await runTool("find", [root, "-xdev", "(", "-type", "b", "-o", "-type", "c", ")", "-delete"], { signal });
  return { root, devices };
}

/** Lists all layers. @returns how many device nodes they hold. @throws GantryError image-invalid, cancelled */
async function lookThrough(
  diffIds: readonly string[],
  layers: readonly ReadableLayer[],
  limits: Limits,
  signal: AbortSignal,
): Promise<number> {
  let held = NOTHING_HELD;
  let devices = 0;
  await eachLayer(diffIds, async (_diffId, at) => {
    const contents = await layers[at]?.list(held, signal);
    if (contents === undefined) return;
    devices += contents.devices;
    held = {
      unpackedBytes: held.unpackedBytes + contents.unpackedBytes,
      entries: held.entries + contents.entries,
    };
    // Those that are read side by side did not know of each other.
    if (held.unpackedBytes > limits.unpackedBytes) throw unpacksToTooMuch(limits, false);
    if (held.entries > limits.entries) throw tooManyFiles(limits, false);
  });
  return devices;
}

async function runUmoci(temp: string, signal: AbortSignal): Promise<void> {
  await runTool("umoci", ["raw", "unpack", "--image", "readable:latest", "rootfs"], { cwd: temp, signal }).catch(
    (error: unknown) => {
      throw invalidImage(
        error,
        "the image's layers can't be unpacked",
        "Its layers are damaged or try to write outside the image: import only images that you trust.",
      );
    },
  );
}

/** Layers that are read side by side. */
const AT_ONCE = 2;

/**
 * Does something with every layer; the same one may be there twice, and is taken once.
 * @throws what the first failed with, after all have ended; errors of the image tell which layer
 */
async function eachLayer<T>(
  diffIds: readonly string[],
  work: (diffId: string, at: number) => Promise<T>,
): Promise<T[]> {
  const never = new AbortController().signal;
  const limiter = createLimiter(AT_ONCE);
  const begun = new Map<string, Promise<T>>();
  let failed = false;
  const one = async (diffId: string, at: number): Promise<T> => {
    if (failed) throw new GantryError("cancelled", "another layer can't be read", { kind: "system" });
    return await work(diffId, at).catch((error: unknown) => {
      failed = true;
      throw inLayer(error, `layer ${at + 1} of ${diffIds.length}`);
    });
  };
  const all = diffIds.map((diffId, at) => {
    const known = begun.get(diffId) ?? limiter.run(() => one(diffId, at), never);
    begun.set(diffId, known);
    return known;
  });
  const results = await Promise.allSettled(all);
  const errors = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  if (errors.length > 0) throw errors.find((error) => !isGantryError(error, "cancelled")) ?? errors[0];
  return await Promise.all(all);
}

function inLayer(error: unknown, what: string): unknown {
  if (!isGantryError(error, "image-invalid")) return error;
  return new GantryError("image-invalid", `${what}: ${error.message}`, {
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
