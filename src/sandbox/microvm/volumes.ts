import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { GantryError } from "../../system/errors.ts";
import type { ContainerConfig, PreparedVolume } from "../driver.ts";
import { isAbsent } from "../namespace/files.ts";
import type { Guest } from "./channel/guest.ts";
import { type FileToPush, isRefusal, pushFiles } from "./channel/push.ts";
import type { Context } from "./context.ts";
import { SHARE_TAG } from "./qemu/args.ts";
import type { SandboxRecord } from "./records.ts";
import { imageSlots } from "./slots.ts";
import { versionOf } from "./volume-sync.ts";

/** Bounds of what is pushed into the guest's memory; a ConfigMap or Secret holds 1 MiB at most. */
const MAX_FILES = 5000;
const MAX_BYTES = 16 * 1024 * 1024;

/** Makes the volumes that a container mounts ready in the guest. Those that are ready stay as they are. */
export async function provideVolumes(
  ctx: Context,
  sandbox: SandboxRecord,
  config: ContainerConfig,
  signal: AbortSignal,
): Promise<void> {
  for (const name of new Set(config.mounts.map((mount) => mount.volume))) {
    const volume = sandbox.config.volumes.find((candidate) => candidate.name === name);
    if (!volume) {
      throw new GantryError("volume-failed", `container ${config.name} mounts "${name}", which the pod does not have`, {
        hint: "Name one of the pod's volumes.",
      });
    }
    await provide(ctx, sandbox, volume, signal);
  }
}

/** How far an emptyDir on disk can go beyond its limit until that is noticed, and its pod evicted. Bytes. */
const excess = (limit: number): number => Math.max(Math.ceil(limit / 4), 16 * 2 ** 20);

async function provide(
  ctx: Context,
  sandbox: SandboxRecord,
  volume: PreparedVolume,
  signal: AbortSignal,
): Promise<void> {
  const sandboxId = sandbox.config.id;
  const { guest } = ctx.machines.get(sandboxId);
  const { name, sizeLimitBytes } = volume;
  const memory = volume.medium === "Memory";
  const size =
    sizeLimitBytes === undefined ? {} : { sizeBytes: sizeLimitBytes + (memory ? 0 : excess(sizeLimitBytes)) };
  switch (volume.kind) {
    case "emptyDir": {
      const type = memory ? "tmpfs" : "scratch";
      const owner = volume.gid === undefined ? { mode: 0o777 } : { mode: 0o2777, gid: volume.gid };
      await guest.request({ type: "volume", body: { name, source: { type, ...size }, ...owner } }, signal);
      return;
    }
    case "configMap":
    case "secret": {
      await guest.request({ type: "volume", body: { name, source: { type: "files" }, mode: 0o755 } }, signal);
      await pushVolume(ctx, sandboxId, volume, signal);
      return;
    }
    case "image": {
      const disk = imageSlots(sandbox).get(volume.imageDigest ?? "");
      if (disk === undefined) throw new GantryError("internal", `image volume "${name}" has no disk`);
      await guest.request(
        { type: "volume", body: { name, source: { type: "disk", disk, fs: "erofs", readOnly: true } } },
        signal,
      );
      return;
    }
    case "claim":
    case "hostPath":
      await mountShare(guest, signal);
  }
}

/** The volume of the guest that has all hostPath volumes in it. No volume of a pod can have a name with a dot. */
export const SHARE_VOLUME = "gantry.share";
const SHARE_TIMEOUT_MS = 10_000;
const SHARE_POLL_MS = 5;
/** What the guest's mount says as long as it has not found the device. */
const EINVAL = 22;

async function mountShare(guest: Guest, signal: AbortSignal): Promise<void> {
  const source = { type: "virtiofs", tag: SHARE_TAG, readOnly: false } as const;
  const deadline = performance.now() + SHARE_TIMEOUT_MS;
  for (;;) {
    try {
      await guest.request({ type: "volume", body: { name: SHARE_VOLUME, source } }, signal);
      return;
    } catch (error) {
      if (!isRefusal(error) || error.reply.errno !== EINVAL || performance.now() > deadline) throw error;
    }
    await sleep(SHARE_POLL_MS);
  }
}

/** Brings the guest's copy of a ConfigMap or Secret up to date, all files at once. */
export async function pushVolume(
  ctx: Context,
  sandboxId: string,
  volume: PreparedVolume,
  signal: AbortSignal,
): Promise<void> {
  const { guest } = ctx.machines.get(sandboxId);
  const version = await versionOf(volume);
  const files = await filesBelow(volume);
  const link = await guest.link(signal);
  await guest.pushing(() => pushFiles(link, volume.name, files, true));
  if (version !== undefined) ctx.volumes.pushed(sandboxId, volume, version);
}

/** Where "..data" leads: one version as a whole, whatever is replaced meanwhile. Without it, the directory itself. */
async function currentVersion(directory: string): Promise<string> {
  return await realpath(join(directory, "..data")).catch(() => directory);
}

/** The files of a volume as an app sees them: below the links that make updates atomic. */
async function filesBelow(volume: PreparedVolume): Promise<FileToPush[]> {
  const files: FileToPush[] = [];
  let bytes = 0;
  const visit = async (directory: string, prefix: string): Promise<void> => {
    for (const name of (await readdir(directory)).sort()) {
      if (name.startsWith("..")) continue;
      const path = join(directory, name);
      const info = await stat(path);
      if (info.isDirectory()) {
        await visit(path, `${prefix}${name}/`);
        continue;
      }
      if (!info.isFile()) continue;
      bytes += info.size;
      if (files.length >= MAX_FILES || bytes > MAX_BYTES) {
        throw new GantryError("unsupported", `volume "${volume.name}" is too large to be copied into a micro-VM`, {
          hint: `${MAX_FILES} files and ${MAX_BYTES >> 20} MiB are the most.`,
        });
      }
      const { mode, uid, gid } = info;
      files.push({ path: `${prefix}${name}`, mode: mode & 0o7777, uid, gid, data: await readFile(path) });
    }
  };
  try {
    await visit(await currentVersion(volume.hostPath), "");
  } catch (cause) {
    if (!isAbsent(cause)) throw cause;
    throw new GantryError("volume-failed", `volume "${volume.name}": ${volume.hostPath} is not there`, { cause });
  }
  return files;
}
