import { link, mkdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, isGantryError } from "../system/errors.ts";
import { createLimiter } from "../system/limiter.ts";
import { compressionOf, readHead, writeFileStream } from "./compression.ts";
import { blobPath, writeBlob, writeIndex } from "./layout.ts";
import { formatBytes, type Limits, tooBig } from "./limits.ts";
import { type Descriptor, LAYER_TYPE, MANIFEST_TYPE, type Manifest } from "./oci.ts";
import { summarizeTar } from "./tar.ts";
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
 * limits, and listed, so that a decompression bomb ends early; umoci then unpacks plain tars only, confined to the
 * directory whatever their paths and links say. Device nodes are left out: /dev is the runtime's affair.
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
  const plain = join(temp, "plain");
  await mkdir(join(plain, "blobs/sha256"), { recursive: true });
  await link(blobPath(layout, manifest.config.digest), blobPath(plain, manifest.config.digest));
  let left: Limits = limits;
  let devices = 0;
  const readOne = async (digest: string, at: number): Promise<Descriptor> => {
    const blob = blobPath(layout, manifest.layers[at]?.digest ?? digest);
    try {
      const size = await plainLayer(blob, digest, plain, left.unpackedBytes, signal);
      const contents = await summarizeTar(blobPath(plain, digest), left, signal);
      devices += contents.devices;
      left = {
        ...left,
        unpackedBytes: left.unpackedBytes - contents.unpackedBytes,
        entries: left.entries - contents.entries,
      };
      // Those that were read side by side each had all of what was left.
      if (left.unpackedBytes < 0) throw tooBig("it unpacks to too much", formatBytes(limits.unpackedBytes));
      if (left.entries < 0) throw tooBig("it holds too many files", `${limits.entries} files`);
      return { mediaType: LAYER_TYPE, digest, size };
    } catch (error) {
      throw inLayer(error, `layer ${at + 1} of ${diffIds.length}`);
    }
  };
  const layers = await readAll(diffIds, readOne);
  const document = { schemaVersion: 2, mediaType: MANIFEST_TYPE, config: manifest.config, layers };
  await writeIndex(plain, await writeBlob(plain, JSON.stringify(document), MANIFEST_TYPE));
  const root = join(temp, "rootfs");
  if (layers.length === 0) await mkdir(root, { mode: 0o755 });
  else {
    await runTool("umoci", ["raw", "unpack", "--image", "plain:latest", "rootfs"], { cwd: temp, signal }).catch(
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

/** Puts the uncompressed layer into the layout `plain` under its diff id. @returns its size in bytes */
async function plainLayer(
  blob: string,
  diffId: string,
  plain: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<number> {
  const target = blobPath(plain, diffId);
  const compression = compressionOf(await readHead(blob, 8));
  if (compression === undefined) {
    // umoci checks the digest while it reads.
    await link(blob, target);
    return (await stat(target)).size;
  }
  // A tar is larger than what it unpacks to, by a header for every file.
  const { digest, bytes } = await writeFileStream(blob, compression, `${target}.new`, maxBytes * 1.5, signal);
  if (digest !== diffId) {
    throw new GantryError(
      "image-invalid",
      `its content has the digest ${digest}, but the image config says ${diffId}`,
      { hint: "Make or copy the image again." },
    );
  }
  await rename(`${target}.new`, target);
  return bytes;
}

function inLayer(error: unknown, what: string): unknown {
  if (!isGantryError(error, "image-invalid")) return error;
  return new GantryError("image-invalid", `${what}: ${error.message}`, {
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
