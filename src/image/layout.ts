import { createHash } from "node:crypto";
import { lstat, readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { GantryError } from "../system/errors.ts";
import { compressionOf, readHead } from "./compression.ts";
import {
  type ConfigFile,
  configSchema,
  type Descriptor,
  indexSchema,
  LAYER_TYPE,
  MANIFEST_TYPE,
  type Manifest,
  manifestSchema,
  parseDocument,
  REF_NAME,
} from "./oci.ts";

/** An image as an OCI layout of its own in a temporary directory: complete, checked, not yet in the store. */
export interface Staged {
  /** The layout's directory; its only image is tagged "latest". */
  readonly layout: string;
  readonly manifest: Manifest;
  readonly manifestDigest: string;
  readonly config: ConfigFile;
  readonly configDigest: string;
}

const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

/** Reads a layout with one image back, and sets its media types right: skopeo labels plain layers as gzip. */
export async function readStaged(layout: string): Promise<Staged> {
  const index = parseDocument(indexSchema, await readDocument(join(layout, "index.json")), "index.json");
  const first = index.manifests[0];
  if (first === undefined) throw new GantryError("internal", "the staged image has no manifest", { kind: "system" });
  const { manifest: read, config } = await readImage(layout, first.digest);
  if (config.os !== "linux")
    throw new GantryError("image-invalid", `the image is made for ${config.os}, not for linux`, {
      hint: "Get the linux variant of it.",
    });
  const layers = await Promise.all(
    read.layers.map(async (layer) => ({ ...layer, mediaType: await layerType(layout, layer) })),
  );
  // Registries know it by its digest: its bytes stay as they are where nothing has to be set right.
  if (layers.every(({ mediaType }, at) => mediaType === read.layers[at]?.mediaType)) {
    await writeIndex(layout, first);
    return { layout, manifest: read, manifestDigest: first.digest, config, configDigest: read.config.digest };
  }
  const manifest = { ...read, layers };
  const descriptor = await writeBlob(layout, JSON.stringify(manifest), MANIFEST_TYPE);
  await writeIndex(layout, descriptor);
  return { layout, manifest, manifestDigest: descriptor.digest, config, configDigest: read.config.digest };
}

/** Reads an image's two documents from a layout or the store. @throws GantryError image-invalid */
export async function readImage(
  layout: string,
  manifestDigest: string,
): Promise<Pick<Staged, "manifest" | "config" | "configDigest">> {
  const manifest = parseDocument(manifestSchema, await readBlob(layout, manifestDigest), "the image manifest");
  const configDigest = manifest.config.digest;
  const config = parseDocument(configSchema, await readBlob(layout, configDigest), "the image config");
  return { manifest, config, configDigest };
}

async function layerType(layout: string, layer: Descriptor): Promise<string> {
  const compression = compressionOf(await readHead(blobPath(layout, layer.digest), 8));
  return compression === undefined ? LAYER_TYPE : `${LAYER_TYPE}+${compression}`;
}

/** Where a layout, or the store, keeps the blob with this digest. */
export function blobPath(layout: string, digest: string): string {
  return join(layout, "blobs", "sha256", digest.slice("sha256:".length));
}

/** Reads a small blob and checks that it is what its digest says. */
export async function readBlob(layout: string, digest: string): Promise<string> {
  const text = await readDocument(blobPath(layout, digest));
  const actual = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  if (actual !== digest)
    throw new GantryError("image-invalid", `blob ${digest} has other content than its digest says`, {
      hint: "Make or copy the image again.",
    });
  return text;
}

/** Reads a JSON document, unless it is absurdly large. @throws GantryError image-invalid */
export async function readDocument(file: string): Promise<string> {
  const stats = await lstat(file).catch((cause: unknown) => {
    throw new GantryError("image-invalid", `the image has no ${relative(dirname(dirname(dirname(file))), file)}`, {
      cause,
      hint: "Make or copy the image again.",
    });
  });
  if (stats.size > MAX_DOCUMENT_BYTES)
    throw new GantryError("image-invalid", "a manifest or config in the image is larger than 4 MiB", {
      hint: "Make the image again.",
    });
  return await readFile(file, "utf8");
}

/** Writes a small document into a layout. */
export async function writeBlob(layout: string, text: string, mediaType: string): Promise<Descriptor> {
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`;
  await writeFile(blobPath(layout, digest), text);
  return { mediaType, digest, size: Buffer.byteLength(text) };
}

/** Makes `manifest` the layout's only image, tagged "latest". */
export async function writeIndex(layout: string, manifest: Descriptor): Promise<void> {
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await writeFile(
    join(layout, "index.json"),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifest, annotations: { [REF_NAME]: "latest" } }] }),
  );
}
