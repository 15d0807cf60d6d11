import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import type { Config } from "../config/index.ts";
import { acceleratorFile, knownAccelerator } from "../sandbox/microvm/accelerator/detect.ts";
import { areProgramsCompiled, cachedKernel, customKernel } from "../sandbox/microvm/boot/index.ts";
import { driverDirs } from "../sandbox/microvm/dirs.ts";
import { findQemu } from "../sandbox/microvm/qemu/find.ts";
import { bootId } from "../sandbox/namespace/proc.ts";
import { findMissing } from "../setup/find.ts";
import { REQUIREMENTS } from "../setup/requirements.ts";
import { isGantryError } from "../system/errors.ts";
import type { Paths } from "../system/paths.ts";
import type { MicrovmFacts } from "./facts.ts";
import { gatherRedirect } from "./gather-kernel.ts";
import { versionOf } from "./gather-tools.ts";

const COMPILER = ["gcc", "C library"];

/** What micro-VMs need and have here. Fetches, builds and boots nothing. */
export async function gatherMicrovm(
  paths: Paths,
  config: Config,
  root: boolean,
  signal: AbortSignal,
): Promise<MicrovmFacts> {
  const { boot } = driverDirs(paths);
  const [qemu, kernel, agent, accelerator, templateBytes, redirect] = await Promise.all([
    qemuHere(config.microvm.qemu, signal),
    kernelHere(config.microvm.kernel, boot),
    agentHere(boot),
    acceleratorHere(paths, config),
    freeBytes("/dev/shm"),
    gatherRedirect(root, signal),
  ]);
  const fetchable = existsSync("/usr/bin/apt-get") && existsSync("/usr/bin/dpkg-deb");
  const qemuSetting = config.microvm.qemu;
  const tun = existsSync("/dev/net/tun");
  return { qemu, qemuSetting, kernel, agent, fetchable, accelerator, tun, redirect, templateBytes };
}

async function qemuHere(setting: string | undefined, signal: AbortSignal): Promise<MicrovmFacts["qemu"]> {
  try {
    const path = findQemu(setting);
    return { path, version: await versionOf(path, signal) };
  } catch (error) {
    if (!isGantryError(error, "host-unsupported")) throw error;
    return undefined;
  }
}

async function kernelHere(setting: string | undefined, cacheDir: string): Promise<MicrovmFacts["kernel"]> {
  if (setting === undefined) {
    const kernel = await cachedKernel(cacheDir).catch(() => undefined); // not ours to read: as good as none
    return kernel === undefined ? "absent" : { name: kernel.id };
  }
  try {
    return { name: `${setting} (${(await customKernel(setting)).id})` };
  } catch (error) {
    if (!isGantryError(error)) throw error;
    return { wrong: error.message, mend: error.hint ?? "Correct microvm.kernel, or leave it out." };
  }
}

async function agentHere(cacheDir: string): Promise<MicrovmFacts["agent"]> {
  if (await areProgramsCompiled(cacheDir)) return "ready";
  const compiler = REQUIREMENTS.filter(({ tool }) => COMPILER.includes(tool));
  return findMissing(compiler, process.env["PATH"] ?? "").length === 0 ? "compilable" : "no-compiler";
}

async function acceleratorHere(paths: Paths, { microvm }: Config): Promise<MicrovmFacts["accelerator"]> {
  if (microvm.accelerator !== "auto") return { used: microvm.accelerator, why: "microvm.accelerator says so" };
  const known = await knownAccelerator({ cacheFile: acceleratorFile(paths), bootId: bootId() });
  return known === undefined ? "untried" : { used: known.accelerator, why: known.why };
}

/** Undefined when there is no such file system. */
async function freeBytes(path: string): Promise<number | undefined> {
  try {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
