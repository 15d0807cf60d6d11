import { constants, copyFile, lstat, mkdir, readdir, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../system/errors.ts";
import { HOST_ARCHITECTURE } from "./architecture.ts";
import { chooseImage } from "./choose.ts";
import { blobPath, readBlob, readDocument, readStaged, type Staged, writeBlob, writeIndex } from "./layout.ts";
import type { Limits } from "./limits.ts";
import { fullNames, requireNames } from "./many.ts";
import {
  CONFIG_TYPE,
  type Descriptor,
  dockerManifestSchema,
  indexSchema,
  LAYER_TYPE,
  MANIFEST_TYPE,
  parseDocument,
  REF_NAME,
} from "./oci.ts";
import { describeRoot, packDirectory } from "./rootfs-layer.ts";
import type { Source } from "./source.ts";
import { invalidImage, runTool } from "./tools.ts";

export interface StageOptions {
  /** The normalized name that it is imported as; chooses among several images. */
  readonly name: string;
  /** A directory of this import, on the store's filesystem. */
  readonly temp: string;
  /** containers-policy.json(5) for skopeo. */
  readonly policy: string;
  readonly limits: Limits;
  readonly signal: AbortSignal;
}

const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
const TAR_READ = ["--force-local", "--no-same-owner", "--no-same-permissions"];

/** @throws GantryError image-invalid, disk-full, cancelled */
export async function stage(source: Source, options: StageOptions): Promise<Staged> {
  const { temp, signal } = options;
  const layout = join(temp, "oci");
  switch (source.kind) {
    case "docker-archive": {
      const at = await chooseDockerImage(source, options);
      // skopeo takes no colons in paths: it sees only names relative to our directory.
      await symlink(source.file, join(temp, "archive"));
      await skopeoCopy(`docker-archive:archive:@${at}`, options);
      break;
    }
    case "oci-archive":
      await stageLayout(await unpackArchive(source, temp, signal), options);
      break;
    case "oci-layout":
      await stageLayout(source.dir, options);
      break;
    case "rootfs-tar":
    case "rootfs-dir":
      await stageRoot(source, layout, options);
      break;
  }
  return await readStaged(layout);
}

/** @returns an OCI layout with what the archive holds */
async function unpackArchive(
  { file, contents }: Extract<Source, { kind: "oci-archive" }>,
  temp: string,
  signal: AbortSignal,
): Promise<string> {
  const dir = join(temp, "unpacked");
  await mkdir(dir);
  // Only what an image layout consists of.
  const members = ["oci-layout", "index.json", "blobs"].map((name) => `${contents.prefix}${name}`);
  await runTool("tar", ["--extract", ...TAR_READ, "--file", file, "--directory", dir, ...members], { signal }).catch(
    (error: unknown) => {
      throw invalidImage(error, "the OCI archive can't be unpacked");
    },
  );
  return dir;
}

/** Every image of an archive that may hold many. */
export interface Contents {
  /** The same images, as they are best staged one by one. */
  readonly source: Source;
  /** For each image with full names of its own: these. */
  readonly images: readonly (readonly string[])[];
}

/** @throws GantryError image-invalid (also when nothing in it has a name), disk-full, cancelled */
export async function listContents(source: Source, temp: string, signal: AbortSignal): Promise<Contents> {
  switch (source.kind) {
    case "rootfs-tar":
    case "rootfs-dir":
      throw new GantryError("image-invalid", "a root filesystem has no name of its own", {
        hint: "Say what to call it: gantry image import FILE NAME.",
      });
    case "docker-archive": {
      const entries = await readDockerManifest(source, signal);
      return named(
        source,
        entries.map((entry) => entry.RepoTags ?? []),
      );
    }
    case "oci-archive":
      return await listContents({ kind: "oci-layout", dir: await unpackArchive(source, temp, signal) }, temp, signal);
    case "oci-layout": {
      const usable = await usableManifests(source.dir);
      const byDigest = Map.groupBy(usable, ({ digest }) => digest);
      return named(
        source,
        [...byDigest.values()].map((same) => same.flatMap(namesOf)),
      );
    }
  }
}

function named(source: Source, names: readonly (readonly string[])[]): Contents {
  const images = names.map(fullNames).filter((full) => full.length > 0);
  requireNames(images.flat());
  return { source, images };
}

/**
 * A document of the layout that proves that its registry knows an image by `digest`: an index that lists the manifest.
 * @returns its text, or undefined when there is none
 */
export async function proofOf(source: Source, digest: string, manifest: string): Promise<string | undefined> {
  if (source.kind !== "oci-layout") return undefined;
  try {
    const text = await readBlob(source.dir, digest);
    const { manifests } = parseDocument(indexSchema, text, "the index");
    return manifests.some((entry) => entry.digest === manifest) ? text : undefined;
  } catch {
    return undefined;
  }
}

async function chooseDockerImage(
  source: Extract<Source, { kind: "docker-archive" }>,
  options: StageOptions,
): Promise<number> {
  const entries = await readDockerManifest(source, options.signal);
  return chooseImage(
    entries.map((entry) => ({ names: entry.RepoTags ?? [] })),
    options.name,
  );
}

async function readDockerManifest(source: Extract<Source, { kind: "docker-archive" }>, signal: AbortSignal) {
  const member = `${source.contents.prefix}manifest.json`;
  const { stdout } = await runTool(
    "tar",
    ["--extract", "--to-stdout", "--force-local", "--occurrence=1", "--file", source.file, member],
    {
      signal,
      maxOutputBytes: MAX_DOCUMENT_BYTES,
    },
  ).catch((error: unknown) => {
    throw invalidImage(error, "the docker-archive's manifest.json can't be read");
  });
  return parseDocument(dockerManifestSchema, stdout, "manifest.json");
}

async function usableManifests(dir: string): Promise<Descriptor[]> {
  await requirePlainBlobs(dir);
  const index = parseDocument(indexSchema, await readDocument(join(dir, "index.json")), "index.json");
  return index.manifests.filter((manifest) => !isForOther(manifest, index.manifests.length));
}

/** Copies one image out of a layout that we only read, by way of a layout of ours whose index lists just that one. */
async function stageLayout(dir: string, options: StageOptions): Promise<void> {
  const usable = await usableManifests(dir);
  const chosen =
    usable[
      chooseImage(
        usable.map((manifest) => ({ names: namesOf(manifest) })),
        options.name,
      )
    ];
  if (chosen === undefined) throw new GantryError("image-invalid", "the OCI layout holds no image");
  // skopeo checks every digest below this one, but not this one.
  await readBlob(dir, chosen.digest);
  const only = join(options.temp, "chosen");
  await mkdir(only);
  await symlink(join(dir, "blobs"), join(only, "blobs"));
  await writeFile(join(only, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await writeFile(join(only, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [chosen] }));
  await skopeoCopy("oci:chosen", options);
}

/** Docker puts the full name into an annotation of containerd; everybody else has one of OCI for name or tag. */
function namesOf(manifest: Descriptor): string[] {
  const names = [manifest.annotations?.["io.containerd.image.name"], manifest.annotations?.[REF_NAME]];
  return names.filter((name) => name !== undefined);
}

/** Some tools list an image's platforms side by side in index.json, and attestations next to them. */
function isForOther(manifest: Descriptor, count: number): boolean {
  if (count === 1 || manifest.platform == null) return false;
  return manifest.platform.os !== "linux" || manifest.platform.architecture !== HOST_ARCHITECTURE;
}

/** A hostile archive could make a blob a link to a file of the host's. */
async function requirePlainBlobs(dir: string): Promise<void> {
  for (const at of ["index.json", "blobs", "blobs/sha256"]) {
    const stats = await lstat(join(dir, at)).catch(() => undefined);
    const fine = at === "index.json" ? stats?.isFile() : stats?.isDirectory();
    if (fine !== true)
      throw new GantryError("image-invalid", `the OCI layout's ${at} is missing or not of the right type`, {
        hint: "Make the layout again.",
      });
  }
  for (const entry of await readdir(join(dir, "blobs/sha256"), { withFileTypes: true })) {
    if (!entry.isFile())
      throw new GantryError("image-invalid", `blobs/sha256/${entry.name} in the OCI layout is not a regular file`, {
        hint: "Make the layout again.",
      });
  }
}

async function skopeoCopy(from: string, options: StageOptions): Promise<void> {
  const args = [
    "--policy",
    options.policy,
    "--tmpdir",
    options.temp,
    "copy",
    "--quiet",
    "--dest-oci-accept-uncompressed-layers",
    from,
    "oci:oci",
  ];
  await runTool("skopeo", args, { cwd: options.temp, signal: options.signal }).catch((error: unknown) => {
    throw invalidImage(error, "the image can't be read");
  });
}

async function stageRoot(
  source: Extract<Source, { kind: "rootfs-tar" | "rootfs-dir" }>,
  layout: string,
  options: StageOptions,
): Promise<void> {
  await mkdir(join(layout, "blobs/sha256"), { recursive: true });
  const layer = join(options.temp, "layer");
  if (source.kind === "rootfs-dir") await packDirectory(source.dir, layer, options.limits.inputBytes, options.signal);
  else if (source.owned) await rename(source.file, layer);
  else await copyFile(source.file, layer, constants.COPYFILE_FICLONE);
  const { digest, size, config } = await describeRoot(layer, options.signal);
  await rename(layer, blobPath(layout, digest));
  const configDescriptor = await writeBlob(layout, JSON.stringify(config), CONFIG_TYPE);
  const manifest = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: configDescriptor,
    layers: [{ mediaType: LAYER_TYPE, digest, size }],
  };
  await writeIndex(layout, await writeBlob(layout, JSON.stringify(manifest), MANIFEST_TYPE));
}
