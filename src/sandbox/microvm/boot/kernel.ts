import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError, isGantryError } from "../../../system/errors.ts";
import { exec } from "../../../system/exec.ts";
import { namesIn } from "../../namespace/files.ts";

/** An unpacked kernel. It is never installed: the host's own boot is not touched. */
export interface Kernel {
  /** Of Debian's package and its version, e.g. "linux-image-6.1.0-56-cloud-amd64_6.1.192-2"; names what it is. */
  readonly id: string;
  /** The bzImage. */
  readonly image: string;
  /** …/lib/modules/<release>; a kernel of the user's may have none. */
  readonly modules?: string;
}

/** One of the distribution's. */
export type PackagedKernel = Kernel & Required<Pick<Kernel, "modules">>;

/** The meta package whose dependency is the newest cloud kernel, by Node's `process.arch`. */
const META_PACKAGES: Readonly<Record<string, string>> = {
  x64: "linux-image-cloud-amd64",
  arm64: "linux-image-cloud-arm64",
};
const DOWNLOAD_TIMEOUT_MS = 300_000;

export interface KernelOptions {
  /** Kept between starts; made when it is missing. */
  readonly cacheDir: string;
  readonly signal?: AbortSignal;
  /** Default: this machine's. */
  readonly arch?: string;
  /** Told in a few words what takes its time. */
  readonly say?: (what: string) => void;
}

/**
 * The kernel for micro-VMs: the one in the cache, else the distribution's newest cloud kernel, downloaded and unpacked.
 * @throws GantryError host-unsupported (not Debian, or another architecture), command-failed (no package server)
 */
export async function ensureKernel(options: KernelOptions): Promise<PackagedKernel> {
  const cached = await cachedKernel(options.cacheDir);
  if (cached !== undefined) return cached;
  await mkdir(options.cacheDir, { recursive: true });
  return await download(options);
}

/** The newest kernel that was fetched before. */
export async function cachedKernel(cacheDir: string): Promise<PackagedKernel | undefined> {
  const cached = (await namesIn(cacheDir)).filter((name) => name.startsWith("linux-image-")).sort(byVersion);
  for (const id of cached.reverse()) {
    const kernel = await kernelIn(cacheDir, id);
    if (kernel !== undefined) return kernel;
  }
  return undefined;
}

const byVersion = new Intl.Collator("en", { numeric: true }).compare;

async function kernelIn(cacheDir: string, id: string): Promise<PackagedKernel | undefined> {
  const root = join(cacheDir, id);
  const [image, release] = await Promise.all([
    firstIn(join(root, "boot"), "vmlinuz-"),
    firstIn(join(root, "lib", "modules"), "").then(
      (found) => found ?? firstIn(join(root, "usr", "lib", "modules"), ""),
    ),
  ]);
  return image === undefined || release === undefined ? undefined : { id, image, modules: release };
}

async function firstIn(directory: string, prefix: string): Promise<string | undefined> {
  try {
    const name = (await readdir(directory)).sort().find((entry) => entry.startsWith(prefix));
    return name === undefined ? undefined : join(directory, name);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

async function download({ cacheDir, signal, arch = process.arch, say }: KernelOptions): Promise<PackagedKernel> {
  const meta = META_PACKAGES[arch];
  if (meta === undefined) {
    throw new GantryError("host-unsupported", `there is no cloud kernel for ${arch}`, {
      hint: "Micro-VM pods need an x86-64 or arm64 host; use runtimeClassName: namespace here.",
    });
  }
  const name = await newestImage(meta, signal);
  // Unpacked beside its place and moved there whole: a killed download leaves nothing that looks like a kernel.
  const stage = await mkdtemp(join(cacheDir, ".download-"));
  say?.(`downloading the kernel of micro-VMs (${name}) and unpacking it; it is not installed`);
  try {
    await apt("apt-get", ["-q", "download", name], { cwd: stage, signal });
    const file = (await readdir(stage)).find((entry) => entry.endsWith(".deb"));
    if (file === undefined)
      throw new GantryError("command-failed", `apt-get download ${name} left no package`, { kind: "system" });
    const root = join(stage, "root");
    await exec("dpkg-deb", ["-x", join(stage, file), root], {
      ...(signal ? { signal } : {}),
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
    });
    await rm(join(root, "usr", "share"), { recursive: true, force: true });
    const id = file.replace(/_[^_]*\.deb$/, "").replaceAll("%", "-");
    await rm(join(cacheDir, id), { recursive: true, force: true });
    await rename(root, join(cacheDir, id));
    const kernel = await kernelIn(cacheDir, id);
    if (kernel === undefined) throw new GantryError("command-failed", `${name} holds no kernel`, { kind: "system" });
    return kernel;
  } finally {
    await rm(stage, { recursive: true, force: true });
  }
}

/** The package that the meta package depends on; refreshes apt's lists once when they do not know it. */
async function newestImage(meta: string, signal: AbortSignal | undefined): Promise<string> {
  for (const attempt of ["lists as they are", "lists refreshed"] as const) {
    if (attempt === "lists refreshed") await apt("apt-get", ["-q", "update"], { signal });
    const { stdout } = await apt("apt-cache", ["depends", "--important", meta], { signal, okCodes: "any" });
    const name = /^\s*Depends:\s+(linux-image-\S+)$/m.exec(stdout)?.[1];
    if (name !== undefined) return name;
  }
  throw new GantryError("command-failed", `apt knows no package ${meta}`, { kind: "system", hint: OFFLINE_HINT });
}

const OFFLINE_HINT =
  "The kernel is downloaded once: check the network and apt's sources, or set microvm.kernel to one of yours.";

async function apt(
  command: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly signal?: AbortSignal | undefined; readonly okCodes?: "any" },
): Promise<{ stdout: string }> {
  const { signal, ...rest } = options;
  try {
    // Root's download goes into a directory that apt's own user cannot enter; the package is verified all the same.
    return await exec(command, ["-o", "APT::Sandbox::User=root", ...args], {
      ...rest,
      ...(signal ? { signal } : {}),
      timeoutMs: DOWNLOAD_TIMEOUT_MS,
    });
  } catch (error) {
    if (isGantryError(error, "command-missing")) {
      throw new GantryError(
        "host-unsupported",
        `the micro-VM kernel comes from Debian's packages, but ${command} is missing`,
        {
          hint: "Set microvm.kernel to a Linux kernel of yours, or use runtimeClassName: namespace here.",
          cause: error,
        },
      );
    }
    if (isGantryError(error, "command-failed", "timeout")) {
      throw new GantryError(error.code, `cannot get the kernel for micro-VMs: ${error.message}`, {
        kind: "system",
        hint: OFFLINE_HINT,
        cause: error,
      });
    }
    throw error;
  }
}
