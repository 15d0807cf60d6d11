import { spawn } from "node:child_process";
import { link, mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../system/errors.ts";
import { hexOf } from "./disk.ts";
import type { ImageRecord } from "./index-file.ts";
import { MANIFEST_TYPE, REF_NAME } from "./oci.ts";
import { installHint } from "./tools.ts";

/** An image under the names with which it is to be in the archive. */
export interface Exported {
  readonly record: ImageRecord;
  readonly names: readonly string[];
}

/**
 * One OCI archive with all of the images; blobs that they share are in it once.
 * @param blobs where the store keeps them. @param temp a directory for this alone, on the same filesystem
 * @throws GantryError image-invalid (a blob is missing), cancelled, command-missing
 */
export async function* writeArchive(
  images: readonly Exported[],
  blobs: string,
  temp: string,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, undefined> {
  const layout = join(temp, "archive");
  await mkdir(join(layout, "blobs", "sha256"), { recursive: true });
  const manifests = [];
  const digests = new Set<string>();
  for (const { record, names } of images) {
    for (const digest of record.blobs) digests.add(digest);
    for (const name of names) manifests.push(await entry(record, name, blobs));
  }
  for (const digest of digests) {
    await link(join(blobs, hexOf(digest)), join(layout, "blobs", "sha256", hexOf(digest))).catch((cause: unknown) => {
      throw missing(digest, cause);
    });
  }
  await writeFile(join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await writeFile(join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }));
  yield* packed(layout, signal);
}

/** Both spellings of a name: other engines read the one or the other. */
async function entry(record: ImageRecord, name: string, blobs: string): Promise<object> {
  const { size } = await stat(join(blobs, hexOf(record.manifest))).catch((cause: unknown) => {
    throw missing(record.manifest, cause);
  });
  return {
    mediaType: MANIFEST_TYPE,
    digest: record.manifest,
    size,
    platform: { os: "linux", architecture: record.architecture },
    annotations: { [REF_NAME]: name, "io.containerd.image.name": name },
  };
}

function missing(digest: string, cause: unknown): GantryError {
  return new GantryError("image-invalid", `blob ${digest} is missing in the image store`, {
    cause,
    hint: "Run 'gantry image verify' to repair it.",
  });
}

async function* packed(layout: string, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  const args = ["--create", "--directory", layout, "--owner=0", "--group=0", "--numeric-owner", "--sort=name"];
  const tar = spawn("tar", [...args, "oci-layout", "index.json", "blobs"], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  tar.stderr.on("data", (chunk: Buffer) => {
    if (said.length < 4096) said += chunk.toString("utf8");
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    tar.once("error", (cause) =>
      reject(
        new GantryError("command-missing", `cannot run tar: ${cause.message}`, { cause, hint: installHint("tar") }),
      ),
    );
    tar.once("close", (code) => resolve(code));
  });
  ended.catch(() => {}); // told below
  const stop = (): void => void tar.kill("SIGKILL");
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const chunk of tar.stdout as AsyncIterable<Buffer>) yield chunk;
    const code = await ended;
    if (signal.aborted) throw new GantryError("cancelled", "the export was cancelled", { kind: "system" });
    if (code !== 0) throw new GantryError("command-failed", `tar failed: ${said.trim()}`, { kind: "system" });
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}
