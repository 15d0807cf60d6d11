import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createImageStore, type ImageStore, type ImageStoreOptions } from "../../src/image/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { exec } from "../../src/system/exec.ts";
import { silentLogger } from "../../src/system/log.ts";
import { readMounts, unmount } from "../../src/system/mounts.ts";
import { layout } from "../../src/system/paths.ts";

export const signal: AbortSignal = new AbortController().signal;

/** A directory for one test. */
export async function makeRoot(): Promise<string> {
  return await mkdtemp(join(tmpdir(), "gantry-image-test-"));
}

/** Unmounts what a test mounted below its directory, and removes it. */
export async function removeRoot(root: string): Promise<void> {
  const below = (await readMounts()).filter((mount) => mount.path === root || mount.path.startsWith(`${root}/`));
  for (const mount of below.reverse()) await unmount(mount.path);
  await rm(root, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

export function openStore(root: string, options: Partial<ImageStoreOptions> = {}): ImageStore {
  return createImageStore({ paths: layout(join(root, "gantry")), log: silentLogger(), clock: systemClock, ...options });
}

/** Writes files into a directory. */
export async function writeTree(dir: string, files: Readonly<Record<string, string>>): Promise<string> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(dir, path)), { recursive: true });
    await writeFile(join(dir, path), text);
  }
  return dir;
}

/** Packs a directory with GNU tar. */
export async function packTar(
  dir: string,
  file: string,
  members: readonly string[] = ["."],
  extra: readonly string[] = [],
): Promise<string> {
  await exec("tar", ["--create", `--directory=${dir}`, `--file=${file}`, ...extra, ...members]);
  return file;
}

/** An OCI layout with one image per tag; each image is built of the given layers. */
export async function makeLayout(
  dir: string,
  images: Readonly<Record<string, readonly string[]>>,
  config: readonly string[] = [],
): Promise<string> {
  await exec("umoci", ["init", "--layout", dir]);
  for (const [tag, layers] of Object.entries(images)) {
    await exec("umoci", ["new", "--image", `${dir}:${tag}`]);
    for (const layer of layers) await exec("umoci", ["raw", "add-layer", "--image", `${dir}:${tag}`, layer]);
    if (config.length > 0) await exec("umoci", ["config", "--image", `${dir}:${tag}`, ...config]);
  }
  // Every step left a manifest and a config behind.
  await exec("umoci", ["gc", "--layout", dir]);
  return dir;
}

/** What "docker save" makes. */
export async function makeDockerArchive(ociLayout: string, tag: string, file: string, name: string): Promise<string> {
  await exec("skopeo", [
    "--insecure-policy",
    "copy",
    "--quiet",
    `oci:${ociLayout}:${tag}`,
    `docker-archive:${file}:${name}`,
  ]);
  return file;
}

export interface TarEntry {
  readonly name: string;
  /** A tar type flag: "0" file, "1" hard link, "2" symlink, "3" character device, "4" block device, "5" directory. */
  readonly type?: string;
  readonly link?: string;
  readonly text?: string;
  /** What the header claims, in bytes; default the length of `text`. */
  readonly size?: number;
  readonly mode?: number;
}

/** A tar as an honest tool would never make it: names and links go in exactly as they are. */
export function craftTar(entries: readonly TarEntry[], end = true): Buffer {
  const blocks: Buffer[] = [];
  for (const { name, type = "0", link = "", text = "", size, mode = 0o644 } of entries) {
    const header = Buffer.alloc(512);
    const octal = (value: number, at: number, width: number): number =>
      header.write(`${value.toString(8).padStart(width - 1, "0")}\0`, at, "latin1");
    header.write(name, 0, 100, "utf8");
    octal(mode, 100, 8);
    octal(0, 108, 8);
    octal(0, 116, 8);
    octal(size ?? Buffer.byteLength(text), 124, 12);
    octal(0, 136, 12);
    header.write(type, 156);
    header.write(link, 157, 100, "utf8");
    header.write("ustar\x0000", 257, "latin1");
    octal(8, 329, 8);
    octal(0, 337, 8);
    header.fill(" ", 148, 156);
    octal(
      header.reduce((sum, byte) => sum + byte, 0),
      148,
      7,
    );
    const body = Buffer.alloc(Math.ceil(Buffer.byteLength(text) / 512) * 512);
    body.write(text);
    blocks.push(header, body);
  }
  if (end) blocks.push(Buffer.alloc(1024));
  return Buffer.concat(blocks);
}
