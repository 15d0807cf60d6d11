import { chmod, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import { syncPath } from "./durable.ts";
import { makeErofs } from "./erofs.ts";
import type { Limits } from "./limits.ts";
import type { RootSource } from "./mounter.ts";
import type { Manifest } from "./oci.ts";
import { treeDigest } from "./rootfs-layer.ts";
import { runTool } from "./tools.ts";
import { unpackImage } from "./unpack.ts";

/** An image's root that was built in a temporary directory. */
export interface BuiltRoot {
  readonly source: RootSource;
  readonly sizeBytes: number;
  /** Of the EROFS file's first `sizeBytes`, or of the tree as a tar. */
  readonly digest: string;
}

export interface BuildRootOptions {
  readonly digest: string;
  readonly layout: string;
  readonly manifest: Manifest;
  readonly diffIds: readonly string[];
  readonly temp: string;
  readonly limits: Limits;
  /** An EROFS file, or the tree as it is where the host can't mount one. */
  readonly erofs: boolean;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Unpacks the layers and makes the image's root of them. @throws as `unpackImage` and `makeErofs` do */
export async function buildRoot(options: BuildRootOptions): Promise<BuiltRoot> {
  const { temp, digest, signal } = options;
  const { root, devices } = await unpackImage(options);
  if (devices > 0)
    options.log.warn(
      { digest, devices },
      "device nodes in the image were left out; ask for devices in the pod instead",
    );
  if (!options.erofs) {
    const { stdout } = await runTool("du", ["--summarize", "--bytes", "--", root], { signal });
    await runTool("sync", ["--file-system", root], { signal });
    return {
      source: { type: "tree", path: root },
      sizeBytes: Number.parseInt(stdout, 10),
      digest: await treeDigest(root, signal),
    };
  }
  const file = join(temp, "root.erofs");
  const { sizeBytes, digest: content } = await makeErofs(root, file, digest, signal);
  await rm(root, { recursive: true, force: true });
  await chmod(file, 0o444);
  await syncPath(file);
  return { source: { type: "erofs", path: file }, sizeBytes, digest: content };
}

/** Where the store keeps the root of an image. */
export function rootPath(roots: string, digest: string, type: RootSource["type"]): string {
  const hex = digest.slice("sha256:".length);
  return join(roots, type === "erofs" ? `${hex}.erofs` : hex);
}

/** The root in the store, if it is there. */
export async function findRoot(
  roots: string,
  digest: string,
  type: RootSource["type"],
): Promise<RootSource | undefined> {
  const path = rootPath(roots, digest, type);
  try {
    await stat(path);
    return { type, path };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Moves a built root into the store; one that is there already stays. */
export async function keepRoot(roots: string, digest: string, source: RootSource): Promise<RootSource> {
  const there = await findRoot(roots, digest, source.type);
  if (there !== undefined) return there;
  const path = rootPath(roots, digest, source.type);
  await rename(source.path, path);
  await syncPath(roots);
  return { type: source.type, path };
}
