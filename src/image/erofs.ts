import { mkdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isGantryError } from "../system/errors.ts";
import { sha256Of } from "./hash.ts";
import { formatBytes, IMAGE_FILE_BYTES, tooBig } from "./limits.ts";
import { runTool } from "./tools.ts";

/** 2100-01-01 in s since the epoch; see `makeErofs`. */
const FAR_FUTURE = "4102444800";

export interface Erofs {
  readonly sizeBytes: number;
  readonly digest: string;
}

/**
 * Packs a directory into a read-only EROFS file, the same bytes for the same tree, and extends it sparsely to
 * `IMAGE_FILE_BYTES`. The files keep their times (Python checks its compiled files by them): mkfs.erofs would set
 * all of them with -T, but with SOURCE_DATE_EPOCH only caps them, and takes its own build time from it.
 * @param digest the image's; its first half becomes the filesystem's UUID
 * @returns size of the filesystem in bytes, and the digest of that much of the file. @throws GantryError image-invalid (too big), disk-full, cancelled, command-missing
 */
export async function makeErofs(tree: string, file: string, digest: string, signal: AbortSignal): Promise<Erofs> {
  const hex = digest.slice("sha256:".length);
  const uuid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join("-");
  const path = process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin";
  await runTool("mkfs.erofs", ["-U", uuid, "--quiet", file, tree], {
    signal,
    env: { PATH: path, LANG: "C", SOURCE_DATE_EPOCH: FAR_FUTURE },
  });
  const { size } = await stat(file);
  if (size > IMAGE_FILE_BYTES)
    throw tooBig(
      `the image's filesystem takes more than ${formatBytes(IMAGE_FILE_BYTES)}`,
      formatBytes(IMAGE_FILE_BYTES),
    );
  const content = await sha256Of(file, signal);
  await truncate(file, IMAGE_FILE_BYTES);
  return { sizeBytes: size, digest: content };
}

/**
 * Whether this host can make and mount EROFS files. Asks the kernel by mounting one: the module may be missing, or
 * loop devices (in a container).
 * @returns undefined when it can, else why not
 */
export async function whyNoErofs(temp: string, signal: AbortSignal): Promise<string | undefined> {
  if (!(await kernelHasErofs()) && !(await loadModule(signal))) return "the kernel has no EROFS";
  const tree = join(temp, "trial");
  const file = `${tree}.erofs`;
  try {
    await mkdir(tree, { recursive: true });
    await writeFile(join(tree, "file"), "");
    await makeErofs(tree, file, `sha256:${"0".repeat(64)}`, signal);
    await runTool("mount", ["-t", "erofs", "-o", "ro,nodev", file, tree], { signal });
    await runTool("umount", ["--", tree]);
    return undefined;
  } catch (error) {
    if (!isGantryError(error) || error.code === "cancelled" || error.code === "disk-full") throw error;
    return error.message;
  } finally {
    await rm(tree, { recursive: true, force: true });
    await rm(file, { force: true });
  }
}

async function kernelHasErofs(): Promise<boolean> {
  return /\berofs$/m.test(await readFile("/proc/filesystems", "utf8"));
}

async function loadModule(signal: AbortSignal): Promise<boolean> {
  try {
    await runTool("modprobe", ["erofs"], { signal });
    return await kernelHasErofs();
  } catch {
    return false; // no such module, or no modprobe
  }
}
