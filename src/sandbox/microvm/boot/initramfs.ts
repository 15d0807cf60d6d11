import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { namesIn } from "../../namespace/files.ts";
import type { Agent } from "./agent.ts";
import { exists } from "./compile.ts";
import { type CpioEntry, cpio } from "./cpio.ts";
import type { Kernel } from "./kernel.ts";
import { type KernelModule, readModules } from "./modules.ts";

/** Loaded at every boot, in this order with what they need. virtio_mmio is for QEMU's microvm machine. */
const BOOT_MODULES: readonly string[] = [
  "virtio_pci",
  "virtio_mmio",
  "virtio_console",
  "virtio_blk",
  "virtio_net",
  "overlay",
  "erofs",
  "quota_v2",
];

/** Loaded when the kernel asks for the alias: most pods never do. */
const MODULES_ON_DEMAND: Readonly<Record<string, readonly string[]>> = {
  "fs-ext4": ["ext4"],
  "fs-virtiofs": ["virtiofs"],
  "net-pf-17": ["af_packet"],
};

export interface Initramfs {
  readonly path: string;
  /** Of everything that is in it. */
  readonly hash: string;
}

/**
 * The guest's first root file system: the agent as /init and the modules, uncompressed (unpacking costs a guest
 * without hardware virtualization more than reading). Rebuilt when kernel, agent or the lists above change.
 * @throws GantryError host-unsupported when the kernel lacks a module
 */
export async function buildInitramfs(options: {
  readonly kernel: Kernel;
  readonly agent: Agent;
  readonly cacheDir: string;
  /** Told in a few words what takes its time. */
  readonly say?: (what: string) => void;
}): Promise<Initramfs> {
  const { kernel, agent, cacheDir, say } = options;
  const image = await stat(kernel.image);
  const hash = createHash("sha256")
    .update(JSON.stringify([kernel.id, image.size, image.mtimeMs, agent.hash, BOOT_MODULES, MODULES_ON_DEMAND, LAYOUT]))
    .digest("hex")
    .slice(0, 16);
  const path = join(cacheDir, `initramfs-${hash}.cpio`);
  if (await exists(path)) {
    await noteUse(path);
    return { path, hash };
  }
  await mkdir(cacheDir, { recursive: true });
  say?.("building the initramfs of micro-VMs");
  const boot = await modulesOf(kernel, BOOT_MODULES);
  const lists: [string, readonly KernelModule[]][] = [["modules/boot", boot]];
  for (const [alias, wanted] of Object.entries(MODULES_ON_DEMAND)) {
    const needed = await modulesOf(kernel, wanted);
    const missing = needed.filter((module) => !boot.some((loaded) => loaded.name === module.name));
    if (missing.length > 0) lists.push([`modules/alias/${alias}`, missing]);
  }
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, cpio([...LAYOUT, ...moduleEntries(lists), await agentEntry(agent)]));
  await rename(temporary, path);
  await prune(cacheDir);
  return { path, hash };
}

/** Those of earlier versions, and of kernels that were tried: they are rebuilt within a second if they are wanted. */
const UNUSED_MS = 7 * 24 * 3600 * 1000;
const OURS = /^initramfs-[0-9a-f]{16}\.cpio(\.\d+)?$/;

async function noteUse(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => {}); // not ours to write: whoever may remove it notes its own uses
}

/** Removes what nobody has used for a week. Whoever still knows the path finds it gone, and builds it again. */
async function prune(cacheDir: string): Promise<void> {
  for (const name of (await namesIn(cacheDir)).filter((each) => OURS.test(each))) {
    const path = join(cacheDir, name);
    const used = (await stat(path).catch(() => undefined))?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (Date.now() - used > UNUSED_MS) await rm(path, { force: true });
  }
}

async function modulesOf({ modules }: Kernel, wanted: readonly string[]): Promise<KernelModule[]> {
  return modules === undefined ? [] : await readModules(modules, wanted);
}

const LAYOUT: readonly CpioEntry[] = [
  ...["dev", "proc", "sys", "run", "root", "modules", "modules/alias"].map(
    (path): CpioEntry => ({ path, type: "directory", mode: 0o755 }),
  ),
  // The kernel opens it for process 1 before there is a devtmpfs.
  { path: "dev/console", type: "device", mode: 0o600, major: 5, minor: 1 },
  { path: "modprobe", type: "link", target: "/init" },
];

async function agentEntry(agent: Agent): Promise<CpioEntry> {
  return { path: "init", type: "file", mode: 0o755, data: await readFile(agent.path) };
}

/** Each list names its modules' files in the order of loading; each module is there once. */
function moduleEntries(lists: readonly (readonly [string, readonly KernelModule[]])[]): CpioEntry[] {
  const all = new Map(lists.flatMap(([, modules]) => modules).map((module) => [module.name, module]));
  return [
    ...[...all.values()].map(
      ({ name, data }): CpioEntry => ({ path: `modules/${name}.ko`, type: "file", mode: 0o644, data }),
    ),
    ...lists.map(
      ([path, modules]): CpioEntry => ({
        path,
        type: "file",
        mode: 0o644,
        data: Buffer.from(modules.map(({ name }) => `/modules/${name}.ko\n`).join("")),
      }),
    ),
  ];
}
