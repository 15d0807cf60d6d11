import { link, mkdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { errnoOf, GantryError, isGantryError } from "../system/errors.ts";
import { createLimiter } from "../system/limiter.ts";
import { compressionOf, decompressTo, readHead, readPieces, type Written, writeFileStream } from "./compression.ts";
import { blobPath, writeBlob, writeIndex } from "./layout.ts";
import { formatBytes, type Limits, tooBig } from "./limits.ts";
import { type Descriptor, LAYER_TYPE, MANIFEST_TYPE, type Manifest } from "./oci.ts";
import { summarizeTar, summarizeTarStream, type TarSummary } from "./tar.ts";
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
 * Unpacks an image's layers over each other into `<temp>/rootfs`. Every layer is decompressed by us first, up to the
 * limits, and listed, so that a decompression bomb ends before it takes room on the disk; umoci then unpacks what has
 * been looked at, confined to the directory whatever its paths and links say. Device nodes are left out: /dev is the
 * runtime's affair.
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
  let left: Limits = limits;
  let devices = 0;
  const readOne = async (digest: string, at: number): Promise<Descriptor> => {
    const blob = blobPath(layout, manifest.layers[at]?.digest ?? digest);
    try {
      const { layer, contents } = await readLayer(
        blob,
        manifest.layers[at]?.digest ?? digest,
        digest,
        readable,
        left,
        signal,
      );
      devices += contents.devices;
      left = {
        ...left,
        unpackedBytes: left.unpackedBytes - contents.unpackedBytes,
        entries: left.entries - contents.entries,
      };
      // Those that were read side by side each had all of what was left.
      if (left.unpackedBytes < 0) throw tooBig("it unpacks to too much", formatBytes(limits.unpackedBytes));
      if (left.entries < 0) throw tooBig("it holds too many files", `${limits.entries} files`);
      return layer;
    } catch (error) {
      throw inLayer(error, `layer ${at + 1} of ${diffIds.length}`);
    }
  };
  const layers = await readAll(diffIds, readOne);
  const document = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config: manifest.config, layers };
  await writeIndex(readable, await writeBlob(readable, JSON.stringify(document), MANIFEST_TYPE));
  const root = join(temp, "rootfs");
  if (layers.length === 0) await mkdir(root, { mode: 0o755 });
  else {
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
  if (devices > 0)
    await runTool("find", [root, "-xdev", "(", "-type", "b", "-o", "-type", "c", ")", "-delete"], { signal });
  return { root, devices };
}

/** Layers that are decompressed side by side. */
const AT_ONCE = 2;

/** The same layer may be there twice, and is read once. */
async function readAll(
  digests: readonly string[],
  read: (digest: string, at: number) => Promise<Descriptor>,
): Promise<Descriptor[]> {
  const never = new AbortController().signal;
  const limiter = createLimiter(AT_ONCE);
  const reading = new Map<string, Promise<Descriptor>>();
  let failed = false;
  const one = async (digest: string, at: number): Promise<Descriptor> => {
    if (failed) throw new GantryError("cancelled", "another layer can't be read", { kind: "system" });
    return await read(digest, at).catch((error: unknown) => {
      failed = true;
      throw error;
    });
  };
  for (const [at, digest] of digests.entries()) {
    if (!reading.has(digest))
      reading.set(
        digest,
        limiter.run(() => one(digest, at), never),
      );
  }
  // All of them end before anybody removes their files.
  const results = await Promise.allSettled(reading.values());
  const errors = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []));
  if (errors.length > 0) throw errors.find((error) => !isGantryError(error, "cancelled")) ?? errors[0];
  return await Promise.all(digests.map((digest) => reading.get(digest) ?? read(digest, 0)));
}

/**
 * Looks through a layer, and puts it into the layout `readable` in a form that umoci reads: as it is when that is plain
 * or gzip, which costs no room on the disk, else decompressed.
 * @throws GantryError image-invalid
 */
async function readLayer(
  blob: string,
  digest: string,
  diffId: string,
  readable: string,
  left: Limits,
  signal: AbortSignal,
): Promise<{ layer: Descriptor; contents: TarSummary }> {
  const compression = compressionOf(await readHead(blob, 8));
  // A tar is larger than what it unpacks to, by a header for every file.
  const maxBytes = left.unpackedBytes * 1.5;
  switch (compression) {
    case undefined: {
      // umoci checks the digest while it reads.
      const target = blobPath(readable, diffId);
      await linkOnce(blob, target);
      const layer = { mediaType: LAYER_TYPE, digest: diffId, size: (await stat(target)).size };
      return { layer, contents: await summarizeTar(target, left, signal) };
    }
    case "gzip": {
      const target = blobPath(readable, digest);
      await linkOnce(blob, target);
      const feed = (to: Writable): Promise<Written> =>
        decompressTo(readPieces(blob), compression, to, maxBytes, signal);
      const { summary, fed } = await summarizeTarStream(feed, left, signal);
      requireDigest(fed, diffId);
      return {
        layer: { mediaType: `${LAYER_TYPE}+gzip`, digest, size: (await stat(target)).size },
        contents: summary,
      };
    }
    case "zstd":
    case "xz":
    case "bzip2": {
      const target = blobPath(readable, diffId);
      const written = await writeFileStream(blob, compression, `${target}.new`, maxBytes, signal);
      requireDigest(written, diffId);
      await rename(`${target}.new`, target);
      const layer = { mediaType: LAYER_TYPE, digest: diffId, size: written.bytes };
      return { layer, contents: await summarizeTar(target, left, signal) };
    }
  }
}

/** A layer may be the image's twice, compressed in two ways that are the same to us. */
async function linkOnce(from: string, to: string): Promise<void> {
  await link(from, to).catch((error: unknown) => {
    if (errnoOf(error) !== "EEXIST") throw error;
  });
}

function requireDigest({ digest }: Written, diffId: string): void {
  if (digest === diffId) return;
  throw new GantryError("image-invalid", `its content has the digest ${digest}, but the image config says ${diffId}`, {
    hint: "Make or copy the image again.",
  });
}

function inLayer(error: unknown, what: string): unknown {
  if (!isGantryError(error, "image-invalid")) return error;
  return new GantryError("image-invalid", `${what}: ${error.message}`, {
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
