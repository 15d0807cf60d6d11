import { link, rename, stat } from "node:fs/promises";
import type { Writable } from "node:stream";
import { errnoOf, GantryError } from "../system/errors.ts";
import { compressionOf, decompressTo, readHead, readPieces, type Written, writeFileStream } from "./compression.ts";
import { blobPath } from "./layout.ts";
import type { Limits } from "./limits.ts";
import { type Descriptor, LAYER_TYPE } from "./oci.ts";
import { type Held, summarizeTar, summarizeTarStream, type TarSummary } from "./tar.ts";

/** A layer in a form that umoci reads. */
export interface ReadableLayer {
  /** How the layout for umoci names it. */
  readonly descriptor: Descriptor;
  /**
   * What it holds; its digest is checked on the way.
   * @param held what is known of the image's other layers: the limits are for all together
   * @throws GantryError image-invalid, cancelled
   */
  list(held: Held, signal: AbortSignal): Promise<TarSummary>;
}

export interface LayerSource {
  /** The file. */
  readonly blob: string;
  readonly digest: string;
  /** Digest of the uncompressed layer. */
  readonly diffId: string;
  /** The layout for umoci. */
  readonly readable: string;
  readonly limits: Limits;
  readonly signal: AbortSignal;
}

/**
 * Puts a layer into a layout for umoci: as it is when that is plain or gzip, which costs no room on the disk, else
 * decompressed.
 * @throws GantryError image-invalid, disk-full, cancelled
 */
export async function readableLayer(source: LayerSource): Promise<ReadableLayer> {
  const { blob, digest, diffId, readable, limits, signal } = source;
  const compression = compressionOf(await readHead(blob, 8));
  switch (compression) {
    case undefined:
      // umoci checks the digest while it reads.
      await linkOnce(blob, blobPath(readable, diffId));
      return await plain(diffId, readable, limits);
    case "gzip": {
      const file = blobPath(readable, digest);
      await linkOnce(blob, file);
      const { size } = await stat(file);
      return {
        descriptor: { mediaType: `${LAYER_TYPE}+gzip`, digest, size },
        list: async (held, stop) => {
          const feed = (to: Writable): Promise<Written> =>
            decompressTo(readPieces(blob), compression, to, mostOf(limits, held), stop);
          const { summary, fed } = await summarizeTarStream(feed, limits, stop, held);
          requireDigest(fed, diffId);
          return summary;
        },
      };
    }
    case "zstd":
    case "xz":
    case "bzip2": {
      const file = blobPath(readable, diffId);
      requireDigest(await writeFileStream(blob, compression, `${file}.new`, mostOf(limits), signal), diffId);
      await rename(`${file}.new`, file);
      return await plain(diffId, readable, limits);
    }
  }
}

/** A tar is larger than what it unpacks to, by a header for every file. */
function mostOf(limits: Limits, held?: Held): number {
  return (limits.unpackedBytes - (held?.unpackedBytes ?? 0)) * 1.5;
}

async function plain(digest: string, readable: string, limits: Limits): Promise<ReadableLayer> {
  const file = blobPath(readable, digest);
  return {
    descriptor: { mediaType: LAYER_TYPE, digest, size: (await stat(file)).size },
    list: (held, signal) => summarizeTar(file, limits, signal, held),
  };
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
